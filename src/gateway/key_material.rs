//! A KeyMaterialRequest: answered from our own devices' KeyPackages, or passed on byte by byte to the provider that
//! has them (readings D-19 to D-22).

use std::sync::Arc;

use actix_web::web::Bytes;
use portcullis_core::consent::{Decided, Standing};
use portcullis_core::identity::credential::bound_client;
use portcullis_core::mls::crypto::HubCrypto;
use portcullis_core::mls::{key_package, labels};
use portcullis_core::policy::{self, DoorAct, DoorQuestion};
use portcullis_core::time::Millis;
use portcullis_core::wire::key_material::{
    ClientKeyMaterial, KeyMaterialRequest, KeyMaterialResponse, KeyMaterialUserCode,
};
use portcullis_core::wire::mls::KeyPackage;
use portcullis_core::wire::uri::{ClientUri, Domain, UserUri};
use portcullis_core::wire::{Protocol, Wire};
use portcullis_store::key_packages::{Candidate, StoredKeyPackage};
use portcullis_store::{StoreError, Tx, answers, consents, devices, key_packages, routes};
use serde_json::json;

use super::decide::{Case, Decision};
use super::forward;
use super::once::{Kept, Once};
use super::places::Of;
use super::{Answer, Caller, GatewayError, Inner};
use crate::peer::Endpoint;
use crate::telemetry::metrics;

/// KeyPackages of one device that are looked at together: the first mostly fits.
const CANDIDATES: u32 = 8;

/// Answers or passes on a KeyMaterialRequest for `target`.
pub(super) async fn answer(
    inner: &Arc<Inner>,
    once: Once,
    caller: Caller,
    target: UserUri,
    body: Bytes,
) -> Result<Kept, GatewayError> {
    let request = super::decode::<KeyMaterialRequest>(&body)?;
    if request.target_user != target {
        return Err(GatewayError::decode("the target of the body is not the target of the path"));
    }
    if inner.is_ours(&target.domain()) {
        let of = vec![Of::from(&caller)];
        return inner.blocking(of, move |inner| claim(inner, once, &caller, &request, &body)).await;
    }
    pass_on(inner, once, caller, request, body).await
}

/// What is wrong with a request, for the record; the requester learns only that it gets nothing (reading D-21).
fn fault(caller: &Caller, request: &KeyMaterialRequest) -> Option<&'static str> {
    let through_hub = |domain: &Domain| request.room.as_ref().is_some_and(|room| room.domain() == *domain);
    let speaks = match caller {
        Caller::Peer(domain) => request.requesting_user.domain() == *domain || through_hub(domain),
        Caller::User(user) => *user == request.requesting_user,
    };
    match bound_client(&request.requester_credential, &request.requester_signature_key) {
        _ if !speaks => Some("requester_is_not_of_this_provider"),
        Err(_) => Some("credential_cannot_be_read"),
        Ok((_, user)) if user != request.requesting_user => Some("credential_is_another_user_s"),
        Ok(_) if !is_signed(request) => Some("signature_is_not_valid"),
        Ok(_) => None,
    }
}

/// The scheme is that of the first acceptable suite; the others' are tried too (reading D-20).
fn is_signed(request: &KeyMaterialRequest) -> bool {
    let (crypto, tbs) = (HubCrypto::default(), request.tbs());
    let (key, signature) = (&request.requester_signature_key, &request.signature);
    request
        .acceptable_suites
        .iter()
        .any(|suite| labels::verify_with_label(&crypto, *suite, key, "KeyMaterialRequestTBS", &tbs, signature).is_ok())
}

/// Why we do not act as hub for this request: only who takes part in a room of ours claims for it.
fn outside(inner: &Inner, request: &KeyMaterialRequest) -> Result<Option<&'static str>, GatewayError> {
    let Some(room) = request.room.as_ref().filter(|room| inner.hosts(room)) else { return Ok(None) };
    let hosted = match inner.hosted(room) {
        Ok(hosted) => hosted,
        Err(GatewayError::NotFound) => return Ok(Some("no_such_room")),
        Err(error) => return Err(error),
    };
    let user = &request.requesting_user;
    Ok(match hosted.state.is_listed(user) {
        false => Some("requester_is_not_in_the_room"),
        true if hosted.state.is_banned(user) || hosted.blocks(user) => Some("room.blocked"),
        true => None,
    })
}

/// Decides a request and counts it. What is not allowed is not recorded yet; what comes too often is.
fn decide(
    inner: &Inner,
    caller: &Caller,
    request: &KeyMaterialRequest,
    body: &[u8],
    consent: Standing,
    now: Millis,
) -> Result<Decision, GatewayError> {
    let case = Case {
        kind: "decision.key_material",
        room: request.room.as_ref(),
        actor: Some(request.requesting_user.to_string()),
        peer: caller.domain(),
        epoch: None,
        exchange: Some(answers::scope(&[body])),
        now,
    };
    let refuse = |code, reason| case.refuse(code, reason, json!({ "target": request.target_user }));
    let fault = match fault(caller, request) {
        None => outside(inner, request)?,
        fault => fault,
    };
    if let Some(reason) = fault {
        return Ok(refuse("no_consent", reason));
    }
    let (door, source) = (request.target_user.domain(), caller.domain());
    let question = DoorQuestion {
        act: DoorAct::ClaimKeyMaterial(policy::Claim {
            target: &request.target_user,
            room: request.room.as_ref(),
            consent,
        }),
        actor: &request.requesting_user,
        door: &door,
        source: &source,
        now,
    };
    let decision = case.decide_door(&inner.policy.active(), &question);
    if decision.allow
        && let Err(too_many) = inner.claims.take(&source, &request.requesting_user, &request.target_user)
    {
        inner.record(request.target_user.as_str(), &refuse("too_many_requests", "too_many_claims"))?;
        return Err(too_many.into());
    }
    Ok(decision)
}

/// Claims one KeyPackage of each of the target's devices; each is given out once. A request has neither nonce nor time,
/// so that only a limit keeps one that is sent again and again under other keys from taking them all (reading D-21).
fn claim(
    inner: &Arc<Inner>,
    once: Once,
    caller: &Caller,
    request: &KeyMaterialRequest,
    body: &[u8],
) -> Result<Kept, GatewayError> {
    let now = inner.clock.now();
    let decided = inner.store.read(|conn| consents::decided(conn, &request.requesting_user, &request.target_user));
    let decided: Vec<Decided> = decided.map_err(|error: StoreError| GatewayError::from(error))?;
    let consent = Standing::of(&decided, request.room.as_ref());
    let decision = decide(inner, caller, request, body, consent, now)?;
    let lane = request.target_user.to_string();
    if !decision.allow {
        let body = response(&request.target_user, refusal(&decision, request, consent), Vec::new());
        return inner.answer_refusal(once, &lane, decision, body);
    }
    let (id, request, hash) = (decision.id(), request.clone(), answers::scope(&[body]));
    let is_hub = request.room.as_ref().is_some_and(|room| inner.hosts(room));
    let (kept, given) = inner.store.write(&lane, move |tx: &mut Tx<'_>| {
        let target = &request.target_user;
        if consents::decided(tx, &request.requesting_user, target)? != decided {
            return Err(GatewayError::busy("consent has changed since it was decided"));
        }
        tx.stage(&decision.record)?;
        let keep = |tx: &mut Tx<'_>, body| once.keep(tx, Answer { body, decision: Some(id) });
        if !devices::user_exists(tx, target)? {
            return Ok((keep(tx, response(target, KeyMaterialUserCode::UserUnknown, Vec::new()))?, Vec::new()));
        }
        let claim = Claim { request: &request, hash: &hash, is_hub, now };
        let devices = devices::devices_of(tx, target)?;
        let clients: Vec<_> = devices.into_iter().map(|client| claim.one_of(tx, client)).collect::<Result<_, _>>()?;
        let given: Vec<&'static str> = clients.iter().map(outcome).collect();
        Ok((keep(tx, response(target, code(&clients), clients))?, given))
    })?;
    for outcome in given {
        metrics::key_package(outcome);
    }
    Ok(kept)
}

/// What a refused requester is told: that there is consent to another room where only that is missing.
fn refusal(decision: &Decision, request: &KeyMaterialRequest, consent: Standing) -> KeyMaterialUserCode {
    let nothing_forbids = decision.record.policy.is_empty() && decision.record.reason == "NOT_PERMITTED";
    if nothing_forbids && consent == Standing::AnotherRoom && request.room.is_some() {
        KeyMaterialUserCode::NoConsentForThisRoom
    } else {
        KeyMaterialUserCode::NoConsent
    }
}

/// What became of a device's KeyPackages, for the counter.
fn outcome(client: &ClientKeyMaterial) -> &'static str {
    match client {
        ClientKeyMaterial::Success { .. } => "claimed",
        ClientKeyMaterial::Exhausted { .. } => "exhausted",
        ClientKeyMaterial::NothingCompatible { .. } => "incompatible",
    }
}

/// A claim that is allowed.
struct Claim<'a> {
    request: &'a KeyMaterialRequest,
    /// SHA-256 of the request.
    hash: &'a [u8; 32],
    /// Whether we are to send the Welcome on.
    is_hub: bool,
    now: Millis,
}

impl Claim<'_> {
    /// The first KeyPackage of a device that fits and that nobody else gets.
    fn one_of(&self, tx: &mut Tx<'_>, client: ClientUri) -> Result<ClientKeyMaterial, StoreError> {
        let (user, valid_after) = (&self.request.target_user, self.now.plus(key_package::MINIMUM_REMAINING));
        let mut incompatible = false;
        let mut last: Option<Candidate> = None;
        loop {
            let page = key_packages::candidates(tx, user, &client, valid_after, last.as_ref(), CANDIDATES)?;
            for Candidate { package, .. } in &page {
                match self.fitting(package)? {
                    Fit::Fits(key_package) if key_packages::claim(tx, &package.reference, self.hash)? => {
                        if self.is_hub {
                            routes::add(tx, &package.reference, &client.domain(), package.not_after)?;
                        }
                        return Ok(ClientKeyMaterial::Success { client, key_package });
                    }
                    Fit::Incompatible => incompatible = true,
                    Fit::Fits(_) | Fit::Withheld => {}
                }
            }
            last = page.into_iter().last();
            if last.is_none() {
                break;
            }
        }
        Ok(if incompatible {
            ClientKeyMaterial::NothingCompatible { client, capabilities: None }
        } else {
            ClientKeyMaterial::Exhausted { client }
        })
    }

    fn fitting(&self, package: &StoredKeyPackage) -> Result<Fit, StoreError> {
        if !self.request.acceptable_suites.contains(&package.suite) {
            return Ok(Fit::Incompatible);
        }
        let bytes = KeyPackage::decode(&package.key_package).map_err(|_| StoreError::Corrupt("key package"))?;
        let crypto = HubCrypto::default();
        Ok(match key_package::validate(&crypto, &bytes, key_package::MINIMUM_REMAINING, self.now) {
            Err(_) => Fit::Withheld,
            Ok(info) if info.last_resort => Fit::Withheld, // Not given out over MIMI (reading D-22).
            Ok(info) if info.says.capabilities.satisfy(&self.request.required_capabilities) => Fit::Fits(bytes),
            Ok(_) => Fit::Incompatible,
        })
    }
}

/// What a KeyPackage is to a request.
enum Fit {
    Fits(KeyPackage),
    Incompatible,
    Withheld,
}

/// How the whole went (reading D-60).
fn code(clients: &[ClientKeyMaterial]) -> KeyMaterialUserCode {
    let given = clients.iter().filter(|client| matches!(client, ClientKeyMaterial::Success { .. })).count();
    match given {
        0 => KeyMaterialUserCode::NoCompatibleMaterial,
        given if given == clients.len() => KeyMaterialUserCode::Success,
        _ => KeyMaterialUserCode::PartialSuccess,
    }
}

fn response(user: &UserUri, status: KeyMaterialUserCode, clients: Vec<ClientKeyMaterial>) -> Vec<u8> {
    KeyMaterialResponse { protocol: Protocol::Mls10, status, user: user.clone(), clients }.encode()
}

/// As hub: to the target's provider, unchanged, for it is signed. As follower: to the room's hub; without a room, or
/// for a room of our own, to the target's provider.
///
/// The decision is durable before it leaves, the answer before it is told, with what a hub has to remember of it. Who
/// gets no answer, because a process has ended or a connection has broken anywhere in between, and sends the same again
/// under the same key, has it decided once more, with a record of that. The next provider is then asked under the same
/// key for the same bytes; where that honours keys (reading D-15), as we do, it answers what it has answered, and has
/// claimed once.
async fn pass_on(
    inner: &Arc<Inner>,
    once: Once,
    caller: Caller,
    request: KeyMaterialRequest,
    body: Bytes,
) -> Result<Kept, GatewayError> {
    let is_hub = request.room.as_ref().is_some_and(|room| inner.hosts(room));
    if matches!(caller, Caller::Peer(_)) && !is_hub {
        return Err(GatewayError::NotFound);
    }
    let target = request.target_user.clone();
    let own = match (&request.room, &caller) {
        (Some(room), _) if is_hub => room.domain(),
        (_, caller) => caller.domain(),
    };
    let to = match &request.room {
        Some(room) if !is_hub => room.domain(),
        _ => target.domain(),
    };
    let asked = (request, body.clone());
    let decided = inner
        .blocking(vec![Of::from(&caller)], move |inner| {
            let (request, body) = asked;
            let decision = decide(inner, &caller, &request, &body, Standing::Elsewhere, inner.clock.now())?;
            let target = &request.target_user;
            if decision.allow {
                inner.record(target.as_str(), &decision)?;
                return Ok(Ok(decision.id()));
            }
            let body = response(target, KeyMaterialUserCode::NoConsent, Vec::new());
            inner.answer_refusal(once, target.as_str(), decision, body).map(Err)
        })
        .await?;
    let decision = match decided {
        Ok(decision) => decision,
        Err(refused) => return Ok(refused),
    };
    let answer = forward::send(inner, once, &own, &to, Endpoint::KeyMaterial(target.clone()), body).await?;
    let answered = KeyMaterialResponse::decode(&answer).map_err(GatewayError::peer)?;
    let answer = Answer { body: answer, decision: Some(decision) };
    if !is_hub {
        return inner.keep_passed_on(once, target.as_str(), answer).await;
    }
    inner.blocking(vec![Of::Peer(to)], move |inner| remember_routes(inner, once, &target, &answered, answer)).await
}

/// As hub we must know where to send the Welcome (reading D-42).
fn remember_routes(
    inner: &Inner,
    once: Once,
    target: &UserUri,
    answered: &KeyMaterialResponse,
    answer: Answer,
) -> Result<Kept, GatewayError> {
    let (crypto, now) = (HubCrypto::default(), inner.clock.now());
    let mut given = Vec::new();
    for client in &answered.clients {
        let ClientKeyMaterial::Success { client, key_package } = client else { continue };
        let info =
            key_package::validate(&crypto, key_package, std::time::Duration::ZERO, now).map_err(GatewayError::peer)?;
        if answered.user != *target || info.user != *target || info.client != *client {
            return Err(GatewayError::peer("a key package is not of the user and client that it is given out for"));
        }
        given.push((info.reference, info.not_after));
    }
    let (lane, provider) = (target.to_string(), target.domain());
    Ok(inner.store.write(&lane, move |tx: &mut Tx<'_>| {
        given.iter().try_for_each(|(reference, until)| routes::add(tx, reference, &provider, *until))?;
        once.keep(tx, answer.clone())
    })?)
}
