//! Our users, their devices and the KeyPackages that wait to be claimed.

use std::num::NonZeroU32;
use std::time::Duration;

use portcullis_core::mls::crypto::HubCrypto;
use portcullis_core::mls::key_package;
use portcullis_core::policy::{DoorAct, DoorQuestion};
use portcullis_core::time::Millis;
use portcullis_core::wire::Wire;
use portcullis_core::wire::mls::KeyPackage;
use portcullis_core::wire::uri::{ClientUri, UserUri};
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::key_packages::StoredKeyPackage;
use portcullis_store::leaves::Whose;
use portcullis_store::restrictions::{self, Grounds, Place, Restriction};
use portcullis_store::streams::{self, StreamItem};
use portcullis_store::{self as store, StoreError, Tx, admission, devices, follower, key_packages};
use serde_json::json;
use uuid::Uuid;

use super::decide::{Case, Decision};
use super::follow::LEAVE;
use super::group_info::bearer;
use super::once::{Kept, Once};
use super::people::{Claims, PeopleError};
use super::places::Of;
use super::{Gateway, GatewayError, Inner, people};
use crate::config::Rate;

/// Most KeyPackages that wait for one device: unclaimed ones are what a replayed request can burn (reading D-21).
const MAX_UNCLAIMED: u64 = 200;

/// How long it is not noted again that a device is there.
pub(super) const SIGHT: Duration = Duration::from_secs(60 * 60);

/// Kind of the records of what is deleted.
const DEREGISTRATION: &str = "decision.deregistration";

/// Deletions by one user in each process: each disturbs the rooms that the user is in.
pub(super) const DELETIONS: Rate =
    Rate { per_minute: NonZeroU32::new(2).unwrap(), burst: NonZeroU32::new(20).unwrap() };

/// How many KeyPackages of a device nobody has claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unclaimed(pub u64);

impl Gateway {
    /// Registers a user of ours, with what its own token says of it where that is to be kept; doing it again changes nothing else.
    ///
    /// # Errors
    ///
    /// [`GatewayError::WrongIdentity`] for a user of another provider.
    pub async fn register_user(&self, user: UserUri, claims: Option<Claims>) -> Result<(), GatewayError> {
        let of = vec![Of::User(user.clone())];
        self.0.blocking(of, move |inner| register_user(inner, &user, claims.as_ref())).await
    }

    /// Registers a device of a registered user; doing it again changes nothing.
    ///
    /// # Errors
    ///
    /// [`GatewayError::WrongIdentity`] for a device that is not the user's, [`GatewayError::NotFound`] for an
    /// unknown user.
    pub async fn register_device(&self, user: UserUri, device: ClientUri) -> Result<(), GatewayError> {
        self.0.blocking(vec![Of::User(user.clone())], move |inner| register_device(inner, &user, &device)).await
    }

    /// Deletes a device of a user of ours, whose clients the hub then takes out of the rooms we host.
    ///
    /// # Errors
    ///
    /// [`GatewayError::WrongIdentity`] for a device that is not the user's, [`GatewayError::NotFound`] for one that is not
    /// registered, [`GatewayError::Refused`] by policy, [`GatewayError::TooMany`] for who deletes all the time.
    pub async fn deregister_device(&self, user: UserUri, device: ClientUri) -> Result<(), GatewayError> {
        self.0.blocking(vec![Of::User(user.clone())], move |inner| deregister_device(inner, &user, &device)).await
    }

    /// Deletes a user of ours with all its devices; its rights end in every room.
    ///
    /// # Errors
    ///
    /// [`GatewayError::NotFound`] for one that is not registered, [`GatewayError::Refused`] by policy,
    /// [`GatewayError::TooMany`] for who does so all the time.
    pub async fn deregister_user(&self, user: UserUri) -> Result<(), GatewayError> {
        self.0.blocking(vec![Of::User(user.clone())], move |inner| deregister_user(inner, &user)).await
    }

    /// Takes raw KeyPackages of one device, all or none, and answers the number now unclaimed ([`Unclaimed`]).
    ///
    /// # Errors
    ///
    /// [`GatewayError::Decode`] for a KeyPackage that no hub would accept, with the reason.
    pub async fn upload_key_packages(
        &self,
        once: Once,
        user: UserUri,
        device: ClientUri,
        packages: Vec<Vec<u8>>,
    ) -> Result<Kept, GatewayError> {
        self.0
            .blocking(vec![Of::User(user.clone())], move |inner| {
                upload_key_packages(inner, once, &user, &device, &packages)
            })
            .await
    }

    /// How many KeyPackages of a device are unclaimed.
    ///
    /// # Errors
    ///
    /// [`GatewayError::NotFound`] for a device that is not registered to the user.
    pub async fn count_key_packages(&self, user: UserUri, device: ClientUri) -> Result<u64, GatewayError> {
        self.0.blocking(vec![Of::User(user.clone())], move |inner| count_key_packages(inner, &user, &device)).await
    }
}

fn register_user(inner: &Inner, user: &UserUri, claims: Option<&Claims>) -> Result<(), GatewayError> {
    if !inner.is_ours(&user.domain()) {
        return Err(GatewayError::WrongIdentity);
    }
    let (owner, now, claims) = (user.clone(), inner.clock.now(), claims.map(Claims::encode));
    let told = claims.clone();
    let written = inner.store.write(user.as_str(), move |tx: &mut Tx<'_>| {
        let user = owner.clone();
        let folded = user.folded();
        // The head before the name, as whoever writes what the identity provider says has it.
        let new = match &claims {
            Some(claims) if people::claims::differ(tx, &folded, claims)? => {
                Some((claims.clone(), store::people::hold(tx)?))
            }
            _ => None,
        };
        if !people::hold_admitted(tx, &user)? {
            return Ok(false);
        }
        if let Some((claims, revision)) = new {
            people::claims::keep(tx, &folded, claims, revision, now)?;
        }
        devices::register_user(tx, &user, now)?;
        welcome_back(tx, &Restriction::Deprovisioned(user.clone()), now)?;
        tx.stage(&AuditRecord {
            actor: Some(user.to_string()),
            peer: Some(user.domain()),
            reason: "registered_by_the_backend".to_owned(),
            detail: claims.as_deref().map_or(json!({}), |claims| json!({ "claims": claims })),
            ..AuditRecord::new(Uuid::now_v7(), now, "user.registered", Outcome::Info)
        })?;
        Ok::<_, PeopleError>(true)
    });
    let written = written.map_err(GatewayError::from)?;
    if told.is_some() {
        people::refresh(inner)?;
    }
    // This process may not have heard of it yet.
    if written { Ok(()) } else { people::refuse(inner, user, "PUT /v1/users/{user}") }
}

fn register_device(inner: &Inner, user: &UserUri, device: &ClientUri) -> Result<(), GatewayError> {
    if device.user().as_ref() != Some(user) || !inner.is_ours(&user.domain()) {
        return wrong_identity(inner, Once::unnamed(), user, "decision.device", "device_is_another_user_s", device);
    }
    let decision = allowed(inner, Once::unnamed(), user, DoorAct::RegisterDevice, "decision.device")?;
    let (owner, device, now) = (user.clone(), device.clone(), inner.clock.now());
    let written = inner.store.write(user.as_str(), move |tx: &mut Tx<'_>| {
        devices::register_device(tx, &device, &owner, now)?;
        // Whether it was there before is not to be told before: another replica may just be deleting it.
        welcome_back(tx, &Restriction::Device(device.clone()), now)?;
        tx.stage(&decision.record)
    });
    match written {
        Err(StoreError::Missing) => Err(GatewayError::NotFound),
        Err(StoreError::Exists) => Err(GatewayError::Conflict),
        written => Ok(written?),
    }
}

/// A device that its user has lost, or its backend has deleted: it gets nothing any more, and the hub proposes that it goes
/// from each room of ours that it is in. From rooms of other hubs only the user's other devices can take it out.
fn deregister_device(inner: &Inner, user: &UserUri, device: &ClientUri) -> Result<(), GatewayError> {
    if device.user().as_ref() != Some(user) || !inner.is_ours(&user.domain()) {
        return wrong_identity(inner, Once::unnamed(), user, DEREGISTRATION, "device_is_another_user_s", device);
    }
    inner.deletions.take(user)?;
    let decision = allowed(inner, Once::unnamed(), user, DoorAct::DeregisterDevice, DEREGISTRATION)?;
    let (grounds, gone, now) = (grounds(user, &decision), device.clone(), inner.clock.now());
    let tickets = bearer(device, user);
    inner.store.write(user.as_str(), move |tx: &mut Tx<'_>| {
        // Before its rooms, as whoever brings it in does.
        devices::forget_device(tx, &gone)?;
        admission::take_back(tx, &tickets)?;
        restrictions::take_out(tx, Whose::Client(&gone), None, &grounds, now)?;
        restrictions::impose(tx, &Place::Everywhere, &Restriction::Device(gone.clone()), &grounds, now)?;
        tx.stage(&decision.record)
    })?;
    inner.streams.end(user, device);
    Ok(())
}

/// A user who is no user of ours any longer: its rights end in every room, until it is registered again.
fn deregister_user(inner: &Inner, user: &UserUri) -> Result<(), GatewayError> {
    inner.deletions.take(user)?;
    let decision = allowed(inner, Once::unnamed(), user, DoorAct::DeregisterUser, DEREGISTRATION)?;
    let own = inner.store.read(|conn| devices::devices_of(conn, user))?;
    let (grounds, gone, now) = (grounds(user, &decision), user.clone(), inner.clock.now());
    inner.store.write(user.as_str(), move |tx: &mut Tx<'_>| {
        if !devices::user_exists(tx, &gone)? {
            return Err(StoreError::Missing);
        }
        end(tx, &gone, &grounds, now)?;
        tx.stage(&decision.record)
    })?;
    own.iter().for_each(|device| inner.streams.end(user, device));
    Ok(())
}

/// Forgets a user, if it is registered, and ends its rights in every room.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub(super) fn end(tx: &mut Tx<'_>, gone: &UserUri, grounds: &Grounds, now: Millis) -> Result<(), StoreError> {
    if devices::hold_user(tx, gone)? {
        for device in devices::devices_of(tx, gone)? {
            admission::take_back(tx, &bearer(&device, gone))?;
        }
        devices::forget_user(tx, gone)?;
    }
    bar(tx, gone, grounds, now)
}

/// Ends the rights of a user in every room.
fn bar(tx: &mut Tx<'_>, gone: &UserUri, grounds: &Grounds, now: Millis) -> Result<(), StoreError> {
    restrictions::take_out(tx, Whose::User(gone), Some(gone), grounds, now)?;
    restrictions::impose(tx, &Place::Everywhere, &Restriction::Deprovisioned(gone.clone()), grounds, now)?;
    Ok(())
}

/// As [`end`], for somebody whom the identity provider has deactivated or deleted. From rooms of other hubs nobody takes its
/// devices out but these themselves (correction C-14): those that are in some stay as much as it takes for that, and are told to.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub(super) fn retire(tx: &mut Tx<'_>, gone: &UserUri, grounds: &Grounds, now: Millis) -> Result<(), StoreError> {
    if devices::hold_user(tx, gone)? {
        let mut stays = false;
        for device in devices::devices_of(tx, gone)? {
            let rooms = follower::rooms(tx, &device)?;
            if rooms.is_empty() {
                continue;
            }
            stays = true;
            admission::take_back(tx, &bearer(&device, gone))?;
            devices::retire(tx, &device)?;
            for room in rooms {
                let item = StreamItem { room: Some(room), kind: LEAVE.to_owned(), payload: Vec::new(), at: now };
                streams::push(tx, std::slice::from_ref(&device), &item)?;
            }
        }
        if stays {
            devices::forget_profile(tx, gone)?;
            for device in devices::devices_of(tx, gone)? {
                drop_if_out(tx, &device)?;
            }
            return bar(tx, gone, grounds, now);
        }
    }
    end(tx, gone, grounds, now)
}

/// Forgets a device that is in no room of other hubs, and its user with the last of those that were there only to leave.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub(super) fn drop_if_out(tx: &mut Tx<'_>, device: &ClientUri) -> Result<(), StoreError> {
    if !follower::rooms(tx, device)?.is_empty() {
        return Ok(());
    }
    let Some((owner, _, _)) = devices::standing(tx, device)? else { return Ok(()) };
    admission::take_back(tx, &bearer(device, &owner))?;
    match devices::forget_device(tx, device) {
        Ok(()) | Err(StoreError::Missing) => {}
        Err(error) => return Err(error),
    }
    if devices::devices_of(tx, &owner)?.is_empty() { devices::forget_user(tx, &owner) } else { Ok(()) }
}

/// Notes that a device is there, unless it was noted of late.
pub(super) fn seen(inner: &Inner, user: &UserUri, device: &ClientUri) -> Result<(), GatewayError> {
    let now = inner.clock.now();
    if inner.store.read(|conn| devices::is_unseen(conn, device, now.minus(SIGHT)))? {
        let device = device.clone();
        inner.store.write(user.as_str(), move |tx: &mut Tx<'_>| devices::see(tx, &device, now))?;
    }
    Ok(())
}

/// Who was deleted and is registered again is as new.
fn welcome_back(tx: &mut Tx<'_>, former: &Restriction, now: Millis) -> Result<(), StoreError> {
    if restrictions::is_in_force(tx, &Place::Everywhere, former)? {
        restrictions::lift(tx, &Place::Everywhere, former, now)?;
    }
    Ok(())
}

fn grounds(user: &UserUri, decision: &Decision) -> Grounds {
    Grounds {
        by: user.to_string(),
        reason: "deregistered_by_the_backend".to_owned(),
        case: String::new(),
        policies: decision.record.policy.clone(),
        decision: Some(decision.id()),
    }
}

fn upload_key_packages(
    inner: &Inner,
    once: Once,
    user: &UserUri,
    device: &ClientUri,
    packages: &[Vec<u8>],
) -> Result<Kept, GatewayError> {
    let unclaimed = count_key_packages(inner, user, device)?;
    if packages.len() as u64 > MAX_UNCLAIMED.saturating_sub(unclaimed) {
        return Err(GatewayError::Conflict); // Before the work of looking at them; what holds is counted below.
    }
    let (crypto, now) = (HubCrypto::default(), inner.clock.now());
    let mut checked = Vec::with_capacity(packages.len());
    for bytes in packages {
        let package = KeyPackage::decode(bytes).map_err(GatewayError::decode)?;
        let info = key_package::validate(&crypto, &package, key_package::MINIMUM_REMAINING, now)
            .map_err(GatewayError::decode)?;
        if info.client != *device || info.user != *user {
            return wrong_identity(
                inner,
                once,
                user,
                "decision.key_packages",
                "credential_is_another_client_s",
                device,
            );
        }
        checked.push(StoredKeyPackage {
            reference: info.reference,
            client: info.client,
            user: info.user,
            suite: info.suite,
            not_after: info.not_after,
            key_package: bytes.clone(),
        });
    }
    let decision = allowed(inner, once, user, DoorAct::PublishKeyPackages, "decision.key_packages")?;
    let (device, owner) = (device.clone(), user.clone());
    inner.store.write(user.as_str(), move |tx: &mut Tx<'_>| {
        if devices::hold(tx, &device)?.is_none_or(|found| found != owner) {
            return Err(GatewayError::NotFound);
        }
        for package in &checked {
            key_packages::add(tx, package, now)?;
        }
        devices::see(tx, &device, now)?;
        let unclaimed = key_packages::count(tx, &device, now)?;
        if unclaimed > MAX_UNCLAIMED {
            return Err(GatewayError::Conflict);
        }
        tx.stage(&decision.record)?;
        Ok(once.keep(tx, Unclaimed(unclaimed))?)
    })
}

fn count_key_packages(inner: &Inner, user: &UserUri, device: &ClientUri) -> Result<u64, GatewayError> {
    let now = inner.clock.now();
    let count = inner.store.read(|conn| {
        let known = devices::device_user(conn, device)?.is_some_and(|owner| owner == *user);
        known.then(|| key_packages::count(conn, device, now)).transpose()
    });
    count.map_err(|error: StoreError| GatewayError::from(error))?.ok_or(GatewayError::NotFound)
}

/// A decision that allows; one that denies is recorded and becomes an error.
pub(super) fn allowed(
    inner: &Inner,
    once: Once,
    user: &UserUri,
    act: DoorAct<'_>,
    kind: &'static str,
) -> Result<Decision, GatewayError> {
    let case = case(kind, user, inner.clock.now());
    let domain = user.domain();
    let question = DoorQuestion { act, actor: user, door: &domain, source: &domain, now: case.now };
    let decision = case.decide_door(&inner.policy.active(), &question);
    if decision.allow { Ok(decision) } else { inner.refuse(once, user.as_str(), &decision) }
}

/// The user speaks for a device or in a credential that is not its own.
fn wrong_identity<T>(
    inner: &Inner,
    once: Once,
    user: &UserUri,
    kind: &'static str,
    reason: &str,
    device: &ClientUri,
) -> Result<T, GatewayError> {
    let case = case(kind, user, inner.clock.now());
    inner.refuse(once, user.as_str(), &case.refuse("wrong_identity", reason, json!({ "device": device })))
}

fn case(kind: &'static str, user: &UserUri, now: Millis) -> Case<'static> {
    Case { kind, room: None, actor: Some(user.to_string()), peer: user.domain(), epoch: None, exchange: None, now }
}
