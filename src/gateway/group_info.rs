//! A GroupInfoRequest at the hub: what a client needs to join by external commit, sealed to it, with a ticket that
//! lets exactly that client in for a short while.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::identity::credential::{bound_client, certified, provider_credential};
use portcullis_core::mls::crypto::HubCrypto;
use portcullis_core::mls::labels;
use portcullis_core::room::{Admission, Applicant};
use portcullis_core::time::Millis;
use portcullis_core::wire::external_sender::ExternalSender;
use portcullis_core::wire::group_info::{
    GroupInfoOutcome, GroupInfoRatchetTree, GroupInfoRequest, GroupInfoResponse, PendingProposal, SealedGroupInfo,
};
use portcullis_core::wire::mls::{GroupInfo, MlsMessage};
use portcullis_core::wire::update::RatchetTreeOption;
use portcullis_core::wire::uri::{ClientUri, RoomUri, UserUri};
use portcullis_core::wire::{Protocol, Wire};
use portcullis_store::admission::Ticket;
use portcullis_store::join_codes::{self as stored, JoinCode};
use portcullis_store::{Tx, admission, answers, devices};
use serde_json::json;

use uuid::Uuid;

use super::decide::{Case, question};
use super::join_codes;
use super::once::{Kept, Once};
use super::reissue;
use super::rooms::Hosted;
use super::{Answer, Caller, GatewayError, Inner};
use crate::config::Rate;

/// How long an admission ticket lasts (reading D-46).
const TICKET: Duration = Duration::from_secs(120);
/// Most answers to one key within [`READ_WINDOW`] that it makes no use of (reading D-46).
const READS: u64 = 5;
const READ_WINDOW: Duration = Duration::from_secs(60);
/// Requests of one user for one room in each process: keys are the requester's own choice.
pub(super) const USER_READS: Rate = {
    let number = NonZeroU32::new(30).unwrap();
    Rate { per_minute: number, burst: number }
};

const TOO_MANY: &str = "too_many_reads_without_a_commit";
const NOT_REGISTERED: &str = "client_is_not_registered";

/// Answers a GroupInfoRequest for a room we are the hub of.
pub(super) fn answer(
    inner: &Arc<Inner>,
    once: Once,
    caller: &Caller,
    room: &RoomUri,
    body: &[u8],
) -> Result<Kept, GatewayError> {
    let request = super::decode::<GroupInfoRequest>(body)?;
    let user = bound_client(&request.credential, &request.signature_key).ok();
    let case = Case {
        kind: "decision.group_info",
        room: Some(room),
        actor: user.as_ref().map(|(_, user)| user.to_string()),
        peer: caller.domain(),
        epoch: None,
        exchange: Some(answers::scope(&[body])),
        now: inner.clock.now(),
    };
    let hosted = match inner.hosted(room) {
        Ok(hosted) => hosted,
        Err(GatewayError::NotFound) => return refused(inner, once, &case, room, "no_such_room"),
        Err(error) => return Err(error),
    };
    let (admission, code) = match admission(inner, caller, &hosted, &request, case.now)? {
        Ok(admitted) => admitted,
        Err(reason) => return refused(inner, once, &case, room, &reason),
    };
    let action = admission.action();
    let source = caller.domain();
    let asked = question(&hosted.facts, &action, (hosted.view().suite, hosted.view().epoch), &source, case.now);
    let decision = case.decide(&inner.policy.active(), &[asked]);
    if !decision.allow {
        return inner.answer_refusal(once, room.as_str(), decision, denial(room));
    }
    let Some(body) = sealed(inner, &hosted, &request)? else {
        return refused(inner, once, &case, room, "hub_is_no_external_sender");
    };
    let ticket = Ticket {
        id: Uuid::now_v7(),
        room: room.clone(),
        credential_hash: bearer(admission.client(), admission.user()),
        role: admission.role(),
        code,
        signature_key: request.signature_key,
        issued_at: case.now,
        expires_at: case.now.plus(TICKET),
    };
    let (id, since) = (decision.id(), case.now.minus(READ_WINDOW));
    let own = inner.is_ours(&admission.user().domain());
    let (client, user) = (admission.client().clone(), admission.user().clone());
    let issued = inner.store.write(room.as_str(), move |tx: &mut Tx<'_>| {
        if own {
            if devices::hold(tx, &client)?.as_ref() != Some(&user) {
                return Ok(Err(NOT_REGISTERED));
            }
            devices::see(tx, &client, ticket.issued_at)?;
        }
        if admission::count_since(tx, &ticket.room, &ticket.signature_key, since)? >= READS {
            return Ok(Err(TOO_MANY));
        }
        admission::issue(tx, &ticket)?;
        tx.stage(&decision.record)?;
        once.keep(tx, Answer { body: body.clone(), decision: Some(id) }).map(Ok)
    })?;
    issued.or_else(|reason| refused(inner, once, &case, room, reason))
}

/// Whom a ticket is for, besides its key: a certificate may change while the client stays (reading D-46).
pub(super) fn bearer(client: &ClientUri, user: &UserUri) -> [u8; 32] {
    answers::scope(&[client.as_bytes(), user.as_bytes()])
}

/// By which right the requester may have the GroupInfo, and its joining code if it has one; or why it may not.
fn admission(
    inner: &Inner,
    caller: &Caller,
    hosted: &Hosted,
    request: &GroupInfoRequest,
    now: Millis,
) -> Result<Result<(Admission, Option<Uuid>), String>, GatewayError> {
    let refusal = |reason: &str| Ok(Err(reason.to_owned()));
    let Ok((client, user)) = bound_client(&request.credential, &request.signature_key) else {
        return refusal("credential_cannot_be_read");
    };
    if !caller.speaks_for(&user) {
        return refusal("requester_is_not_of_this_provider");
    }
    if request.suite != hosted.view().suite {
        return refusal("ciphersuite_is_not_the_group_s");
    }
    if !is_signed(request) {
        return refusal("signature_is_not_valid");
    }
    if hosted.blocks(&user) {
        return refusal("room.blocked");
    }
    // One that its backend has deleted still has its keys.
    let known = |device: &ClientUri| inner.store.read_one(|conn| devices::device_user(conn, device));
    if inner.is_ours(&user.domain()) && known(&client)?.as_ref() != Some(&user) {
        return refusal(NOT_REGISTERED);
    }
    if inner.reads.take(&(hosted.room.clone(), user.clone())).is_err() {
        return refusal(TOO_MANY);
    }
    let code = match request.joining_code.as_deref() {
        Some(code) => match good_code(inner, &hosted.room, code, &user, now)? {
            None => return refusal("joining_code_is_not_good"),
            good => good,
        },
        None => None,
    };
    let (code, role) = (code.as_ref().map(|code| code.id), code.map(|code| code.role));
    let certified = certified(&request.credential);
    let applicant = Applicant { client: &client, user: &user, certified: &certified };
    Ok(match Admission::of(&hosted.state, applicant, &request.signature_key, role) {
        Ok(admission) if hosted.effective.takes_away(&hosted.state, &admission.action()) => {
            Err("room.demoted".to_owned())
        }
        Ok(admission) => Ok((admission, code)),
        Err(violation) => Err(format!("room.{}", violation.code())),
    })
}

/// The code that somebody presents, if the user may use it.
fn good_code(
    inner: &Inner,
    room: &RoomUri,
    code: &[u8],
    user: &UserUri,
    now: Millis,
) -> Result<Option<JoinCode>, GatewayError> {
    let hash = join_codes::hash(room, code);
    let found = inner.store.read(|conn| stored::find(conn, room, &hash))?;
    Ok(found.filter(|code: &JoinCode| code.is_good(&user.domain(), now)))
}

fn is_signed(request: &GroupInfoRequest) -> bool {
    let (key, signature) = (&request.signature_key, &request.signature);
    let crypto = HubCrypto::default();
    labels::verify_with_label(&crypto, request.suite, key, "GroupInfoRequestTBS", &request.tbs(), signature).is_ok()
}

/// The answer; `None` where the hub has no key among the room's external senders, by which the client would know it.
fn sealed(inner: &Inner, hosted: &Hosted, request: &GroupInfoRequest) -> Result<Option<Vec<u8>>, GatewayError> {
    let Some((_, key)) = reissue::position(inner, hosted)? else { return Ok(None) };
    let pending = |proposal: &portcullis_store::proposals::PendingProposal| {
        let message = MlsMessage::decode(&proposal.message).map_err(GatewayError::internal)?;
        Ok(PendingProposal { proposal: message, accepted_at: proposal.accepted_at })
    };
    let tree = hosted.group.ratchet_tree().map_err(GatewayError::internal)?;
    let plaintext = GroupInfoRatchetTree {
        group_info: GroupInfo::decode(hosted.group.group_info()).map_err(GatewayError::internal)?,
        ratchet_tree: RatchetTreeOption::Full(tree),
        pending_proposals: hosted.pending.iter().map(pending).collect::<Result<_, GatewayError>>()?,
    };
    let room = &hosted.room;
    let encrypted = labels::encrypt_with_label(
        &HubCrypto::default(),
        request.suite,
        &request.group_info_public_key,
        "GroupInfo and ratchet_tree encryption",
        room.as_bytes(),
        &plaintext.encode(),
    )
    .map_err(GatewayError::decode)?;
    let mut answer = SealedGroupInfo {
        suite: request.suite,
        hub_sender: ExternalSender { signature_key: key.public(), credential: provider_credential(&room.domain()) },
        encrypted,
        signature: Vec::new(),
    };
    let unsigned = response(room, GroupInfoOutcome::Success(answer.clone()));
    let tbs = unsigned.tbs().unwrap_or_default();
    answer.signature = labels::sign_with_label(key, "GroupInfoResponseTBS", &tbs).map_err(GatewayError::internal)?;
    Ok(Some(response(room, GroupInfoOutcome::Success(answer)).encode()))
}

/// Every refusal says the same, so that nobody learns which rooms exist and who is in them.
fn refused(inner: &Inner, once: Once, case: &Case<'_>, room: &RoomUri, reason: &str) -> Result<Kept, GatewayError> {
    let decision = case.refuse("not_authorized", reason, json!({}));
    inner.answer_refusal(once, room.as_str(), decision, denial(room))
}

/// The refusal that a peer or a user gets.
pub(super) fn denial(room: &RoomUri) -> Vec<u8> {
    response(room, GroupInfoOutcome::NotAuthorized).encode()
}

fn response(room: &RoomUri, outcome: GroupInfoOutcome) -> GroupInfoResponse {
    GroupInfoResponse { protocol: Protocol::Mls10, room: room.clone(), outcome }
}
