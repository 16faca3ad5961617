//! Consent: users of ours ask others and answer them, and others ask ours. What stands is in the database at once; other
//! providers are told of it by letters that a worker sends (readings D-47, D-48).
//!
//! Nobody learns here whether a user exists, or has seen a request: what another provider sends is answered alike whoever
//! it is for, and a refusal is sent to nobody who was not granted anything before.

use std::sync::Arc;

use portcullis_core::consent::Verdict;
use portcullis_core::mls::crypto::HubCrypto;
use portcullis_core::mls::key_package::{self, KeyPackageInfo};
use portcullis_core::policy::{ConsentStep, DoorAct, DoorQuestion};
use portcullis_core::time::Millis;
use portcullis_core::wire::Wire;
use portcullis_core::wire::components::Dictionary;
use portcullis_core::wire::consent::{ConsentEntry, ConsentOperation};
use portcullis_core::wire::mls::KeyPackage;
use portcullis_core::wire::uri::{Domain, RoomUri, UserUri};
use portcullis_store::consents::{self, Consent, Scope, Visibility};
use portcullis_store::key_packages::StoredKeyPackage;
use portcullis_store::standings::Standing;
use portcullis_store::streams::{self, StreamItem};
use portcullis_store::{StoreError, Tx, answers, devices, key_packages, routes};
use uuid::Uuid;

use super::decide::{Case, Decision};
use super::once::{Content, Kept, Once, Reply, Shown};
use super::places::Of;
use super::{Gateway, GatewayError, Inner};

/// Most KeyPackages of one grant.
const MOST_PACKAGES: usize = 64;

/// Most requests that stand towards one user; further ones are taken and not kept.
const MOST_REQUESTS: u64 = 1000;

/// What a user of ours does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentChange {
    /// Which step.
    pub operation: ConsentOperation,
    /// The other user.
    pub user: UserUri,
    /// The room it is for; `None` for every room.
    pub room: Option<RoomUri>,
    /// KeyPackages of the own user's devices, for a grant.
    pub key_packages: Vec<Vec<u8>>,
}

/// By which endpoint another provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsentEndpoint {
    /// `requestConsent`: its user is the requester.
    Request,
    /// `updateConsent`: its user is the target.
    Update,
}

/// What a step came to: nothing but the decision is told of it.
struct Taken {
    status: u16,
    decision: Uuid,
}

impl Shown for Taken {
    fn reply(self) -> Result<Reply, GatewayError> {
        let Self { status, decision } = self;
        Ok(Reply { status, content: Content::Octets, decision: Some(decision), body: Vec::new() })
    }
}

impl Gateway {
    /// Takes a step of a user of ours. The answer is empty.
    ///
    /// # Errors
    ///
    /// [`GatewayError::Refused`] by policy, [`GatewayError::NotFound`] for a user or device that is not registered, or a
    /// provider that does not federate with us, [`GatewayError::Conflict`] for a KeyPackage that was given out before,
    /// [`GatewayError::TooMany`] beyond the limit of the user.
    pub async fn change_consent(&self, once: Once, user: UserUri, change: ConsentChange) -> Result<Kept, GatewayError> {
        let of = vec![Of::User(user.clone())];
        self.0.blocking(of, move |inner| step(inner, once, &user, change)).await
    }

    /// What stands between a user of ours and others, after number `after`, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`GatewayError`] of the database.
    pub async fn consents(&self, user: UserUri, after: u64, limit: u32) -> Result<Vec<Consent>, GatewayError> {
        let of = vec![Of::User(user.clone())];
        let read = move |inner: &Arc<Inner>| Ok(inner.store.read(|conn| consents::page(conn, &user, after, limit))?);
        self.0.blocking(of, read).await
    }

    /// Takes a ConsentEntry of another provider for a user of `domain`. The answer is empty, whatever became of it.
    ///
    /// # Errors
    ///
    /// [`GatewayError::Decode`] for what is no entry for the endpoint and the domain, [`GatewayError::WrongIdentity`] for a
    /// user that is not the caller's, [`GatewayError::NotFound`] for a domain that is not ours,
    /// [`GatewayError::TooMany`] beyond the limit of the user who acts.
    pub async fn take_consent(
        &self,
        once: Once,
        from: Domain,
        endpoint: ConsentEndpoint,
        domain: Domain,
        body: actix_web::web::Bytes,
    ) -> Result<Kept, GatewayError> {
        let of = vec![Of::Peer(from.clone())];
        self.0.blocking(of, move |inner| take(inner, once, &from, endpoint, &domain, &body)).await
    }
}

/// A step with everything that its effect needs.
struct Step {
    entry: ConsentEntry,
    /// What its KeyPackages are, in their order.
    packages: Vec<KeyPackageInfo>,
    now: Millis,
}

impl Step {
    fn scope(&self) -> Scope {
        let ConsentEntry { requester, target, room, .. } = &self.entry;
        Scope { requester: requester.clone(), target: target.clone(), room: room.clone() }
    }

    fn exchange(&self) -> [u8; 32] {
        answers::scope(&[&self.entry.encode()])
    }

    fn case<'a>(&'a self, peer: &Domain) -> Case<'a> {
        Case {
            kind: "decision.consent",
            room: self.entry.room.as_ref(),
            actor: Some(self.entry.actor().to_string()),
            peer: peer.clone(),
            epoch: None,
            exchange: Some(self.exchange()),
            now: self.now,
        }
    }

    fn about(&self) -> ConsentStep<'_> {
        ConsentStep { about: self.entry.told(), room: self.entry.room.as_ref(), operation: self.entry.operation }
    }

    /// Whether the one who acts, who is ours, may.
    fn may_leave(&self, inner: &Inner) -> Decision {
        let act = if self.entry.operation.is_requester_s() { DoorAct::RequestConsent } else { DoorAct::GrantConsent };
        self.decide(inner, act(self.about()), &self.entry.actor().domain())
    }

    /// Whether it may reach the one who is told, who is ours.
    fn may_arrive(&self, inner: &Inner, source: &Domain) -> Decision {
        let act = match self.entry.operation.is_requester_s() {
            true => DoorAct::ReceiveConsentRequest,
            false => DoorAct::ReceiveConsent,
        };
        self.decide(inner, act(self.about()), source)
    }

    fn decide(&self, inner: &Inner, act: DoorAct<'_>, source: &Domain) -> Decision {
        let (actor, door) = (self.entry.actor(), self.entry.told().domain());
        let question = DoorQuestion { act, actor, door: &door, source, now: self.now };
        self.case(source).decide_door(&inner.policy.active(), &question)
    }

    /// Whether the one who is told, who is of ours, is there and has room for another request.
    fn finds(&self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        let there = devices::user_exists(tx, self.entry.told())?;
        let full = consents::requests(tx, &self.entry.target)? >= MOST_REQUESTS;
        Ok(there && !(full && self.entry.operation == ConsentOperation::Request))
    }

    /// Writes down what stands from now on. Tells whether the other side is to hear of it.
    fn stand(&self, tx: &mut Tx<'_>, visibility: Visibility) -> Result<bool, StoreError> {
        let (scope, now) = (self.scope(), self.now);
        match self.entry.operation {
            ConsentOperation::Request => consents::request(tx, &scope, visibility, now),
            ConsentOperation::Cancel => consents::cancel(tx, &scope),
            ConsentOperation::Grant => {
                let stood = consents::decide(tx, &scope, Verdict::Granted, visibility, now)?;
                Ok(!stood || !self.packages.is_empty())
            }
            // Whoever was never granted anything would learn that the request was seen.
            ConsentOperation::Revoke => consents::decide(tx, &scope, Verdict::Revoked, visibility, now),
        }
    }

    /// Lets the devices of the one who is told know.
    fn announce(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let devices = devices::devices_of(tx, self.entry.told())?;
        let kind = format!("consent_{}", self.entry.operation.name());
        let item = StreamItem { room: self.entry.room.clone(), kind, payload: self.entry.encode(), at: self.now };
        streams::push(tx, &devices, &item)
    }
}

/// Reads the KeyPackages of a grant, all of which must be of `user`'s clients.
fn read_packages(
    packages: &[KeyPackage],
    user: &UserUri,
    remaining: std::time::Duration,
    now: Millis,
) -> Result<Vec<KeyPackageInfo>, GatewayError> {
    if packages.len() > MOST_PACKAGES {
        return Err(GatewayError::decode(format!("a grant has at most {MOST_PACKAGES} key packages")));
    }
    let crypto = HubCrypto::default();
    let read = |package| {
        let info = key_package::validate(&crypto, package, remaining, now).map_err(GatewayError::decode)?;
        match info.user == *user {
            true => Ok(info),
            false => Err(GatewayError::decode("a key package is not of a client of the user who consents")),
        }
    };
    packages.iter().map(read).collect()
}

/// A step of a user of ours.
fn step(inner: &Inner, once: Once, user: &UserUri, change: ConsentChange) -> Result<Kept, GatewayError> {
    inner.claims.take_consent(user)?;
    let now = inner.clock.now();
    let ConsentChange { operation, user: other, room, key_packages } = change;
    if other == *user {
        return Err(GatewayError::decode("nobody consents to itself"));
    }
    if operation != ConsentOperation::Grant && !key_packages.is_empty() {
        return Err(GatewayError::decode("only a grant has key packages"));
    }
    let packages = key_packages.iter().map(|bytes| KeyPackage::decode(bytes).map_err(GatewayError::decode));
    let packages = packages.collect::<Result<Vec<_>, _>>()?;
    let infos = read_packages(&packages, user, key_package::MINIMUM_REMAINING, now)?;
    let (requester, target) =
        if operation.is_requester_s() { (user.clone(), other.clone()) } else { (other.clone(), user.clone()) };
    let extensions = Dictionary::default();
    let entry = ConsentEntry { operation, requester, target, room, key_packages: packages, extensions };
    let step = Step { entry, packages: infos, now };
    let known = inner.store.read(|conn| devices::user_exists(conn, user));
    if !known.map_err(|error: StoreError| GatewayError::from(error))? {
        return Err(GatewayError::NotFound);
    }
    let reached = match inner.is_ours(&other.domain()) {
        true => Reached::Ours,
        false => match inner.peers.list().standing(&other.domain()) {
            Some(Standing::Allowed | Standing::Suspended | Standing::Blocked) => Reached::Peer,
            Some(Standing::Pending) | None if operation.withdraws() => Reached::Nobody,
            Some(Standing::Pending) | None => return Err(GatewayError::NotFound),
        },
    };
    let left = step.may_leave(inner);
    if !left.allow {
        return inner.refuse(once, user.as_str(), &left);
    }
    let arrived = (reached == Reached::Ours).then(|| step.may_arrive(inner, &user.domain()));
    let (lane, key) = (step.entry.target.to_string(), Uuid::now_v7().to_string());
    inner.store.write(&lane, move |tx: &mut Tx<'_>| {
        tx.stage(&left.record)?;
        if let Some(arrived) = &arrived {
            tx.stage(&arrived.record)?;
        }
        give_out(tx, &step)?;
        let arrives = match &arrived {
            Some(arrived) => arrived.allow && step.finds(tx)?,
            None => true,
        };
        let visibility = if arrives { Visibility::Shown } else { Visibility::Hidden };
        let heard = step.stand(tx, visibility)?;
        match reached {
            Reached::Ours if heard && arrives => step.announce(tx)?,
            Reached::Peer if heard => consents::owe(tx, &other.domain(), &key, &step.entry, now)?,
            Reached::Ours | Reached::Peer | Reached::Nobody => {}
        }
        Ok(once.keep(tx, Taken { status: 204, decision: left.id() })?)
    })
}

/// Where the other user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    Ours,
    Peer,
    /// At a provider that does not federate with us.
    Nobody,
}

/// Marks the KeyPackages of a grant as given out, so that nobody else gets them and Welcomes for them find their devices.
fn give_out(tx: &mut Tx<'_>, step: &Step) -> Result<(), GatewayError> {
    let (exchange, target) = (step.exchange(), &step.entry.target);
    for (info, package) in step.packages.iter().zip(&step.entry.key_packages) {
        if devices::hold(tx, &info.client)?.is_none_or(|owner| owner != *target) {
            return Err(GatewayError::NotFound);
        }
        devices::see(tx, &info.client, step.now)?;
        if !key_packages::exists(tx, &info.reference)? {
            let stored = StoredKeyPackage {
                reference: info.reference.clone(),
                client: info.client.clone(),
                user: info.user.clone(),
                suite: info.suite,
                not_after: info.not_after,
                key_package: package.as_bytes().to_vec(),
            };
            key_packages::add(tx, &stored, step.now)?;
        }
        if !key_packages::claim(tx, &info.reference, &exchange)? {
            return Err(GatewayError::Conflict);
        }
    }
    Ok(())
}

/// An entry of another provider.
fn take(
    inner: &Inner,
    once: Once,
    from: &Domain,
    endpoint: ConsentEndpoint,
    domain: &Domain,
    body: &[u8],
) -> Result<Kept, GatewayError> {
    let entry = super::decode::<ConsentEntry>(body)?;
    if entry.operation.is_requester_s() != (endpoint == ConsentEndpoint::Request) {
        return Err(GatewayError::decode("the operation is not one of this endpoint"));
    }
    if entry.actor().domain() != *from {
        return Err(GatewayError::WrongIdentity);
    }
    if !inner.is_ours(domain) {
        return Err(GatewayError::NotFound);
    }
    if entry.told().domain() != *domain {
        return Err(GatewayError::decode("the user of the body is not of the domain of the path"));
    }
    inner.claims.take_consent(entry.actor())?;
    let now = inner.clock.now();
    let packages = read_packages(&entry.key_packages, &entry.target, std::time::Duration::ZERO, now)?;
    let step = Step { entry, packages, now };
    let decision = step.may_arrive(inner, from);
    let (lane, provider) = (step.entry.target.to_string(), from.clone());
    // One way through for all, so that time does not tell them apart either.
    Ok(inner.store.write(&lane, move |tx: &mut Tx<'_>| {
        tx.stage(&decision.record)?;
        if step.finds(tx)? && decision.allow {
            for info in &step.packages {
                routes::add(tx, &info.reference, &provider, info.not_after)?;
            }
            if step.stand(tx, Visibility::Shown)? {
                step.announce(tx)?;
            }
        }
        once.keep(tx, Taken { status: 201, decision: decision.id() })
    })?)
}
