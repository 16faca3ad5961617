//! A SubmitMessageRequest at the hub: decided before it is stored, stored before it is answered.

use std::sync::Arc;

use actix_web::web::Bytes;
use portcullis_core::policy::Question;
use portcullis_core::room::Actor;
use portcullis_core::wire::components::Capability;
use portcullis_core::wire::mls::MlsKind;
use portcullis_core::wire::submit::{SubmitMessageRequest, SubmitMessageResponse, SubmitOutcome};
use portcullis_core::wire::uri::{Domain, RoomUri};
use portcullis_core::wire::{Protocol, Wire};
use portcullis_store::rooms::Seen;
use portcullis_store::{StoreError, Tx, rooms};
use serde_json::json;
use tracing::Instrument as _;

use super::decide::{Case, Decision};
use super::fan_out;
use super::franking::Franker;
use super::once::{Kept, Once};
use super::places::{Of, Place};
use super::replay::Replay;
use super::rooms::Hosted;
use super::{Answer, Caller, GatewayError, Inner};

/// How often a message starts over because the room moved on while it was decided.
const ATTEMPTS: usize = 16;

/// A message on its way.
struct Submission {
    inner: Arc<Inner>,
    once: Once,
    caller: Caller,
    room: RoomUri,
    body: Bytes,
    replay: Replay,
    /// Held until the message is written, also when nobody waits for the answer any more.
    _place: Place,
}

/// How far a message gets without writing it.
enum Step {
    Answered(Kept),
    /// It is accepted with this job, unless the room, which was seen like this, has moved on.
    Accept(Seen, Job),
}

type Job = Box<dyn FnMut(&mut Tx<'_>) -> Result<Kept, StoreError> + Send>;

/// Takes an application message for a room we are the hub of, also when its sender does not wait for the answer. No thread
/// waits while it is written.
pub(super) async fn accept(
    inner: &Arc<Inner>,
    once: Once,
    caller: Caller,
    room: RoomUri,
    body: Bytes,
) -> Result<Kept, GatewayError> {
    let place = inner.places.take(vec![Of::Room(room.clone()), Of::from(&caller)])?;
    let replay = Replay::of("submitMessage", &caller, &room, &body);
    let submission = Submission { inner: Arc::clone(inner), once, caller, room, body, replay, _place: place };
    let taken = tokio::spawn(Arc::new(submission).take().in_current_span());
    taken.await.unwrap_or_else(|panic| Err(GatewayError::internal(panic)))
}

impl Submission {
    async fn take(self: Arc<Self>) -> Result<Kept, GatewayError> {
        for _ in 0..ATTEMPTS {
            let message = Arc::clone(&self);
            let (seen, mut job) = match self.inner.aside(move |_| message.step()).await? {
                Step::Answered(kept) => return Ok(kept),
                Step::Accept(seen, job) => (seen, job),
            };
            let message = Arc::clone(&self);
            let job = move |tx: &mut Tx<'_>| {
                let _held = &message;
                job(tx)
            };
            match self.inner.store.append_async(self.room.as_str(), job).await {
                Ok(kept) => {
                    self.replay.remember(&self.inner);
                    return Ok(kept);
                }
                Err(StoreError::AlreadyAnswered) => self.replay.remember(&self.inner),
                Err(StoreError::EpochMoved { .. }) => self.inner.rooms.forget_as(&self.room, seen),
                Err(error) => return Err(error.into()),
            }
        }
        Err(GatewayError::busy("the room changes faster than this message can be decided"))
    }

    fn step(&self) -> Result<Step, GatewayError> {
        let Self { inner, once, caller, room, body, replay, _place } = self;
        if replay.is_known(inner)
            && let Some(answer) = replay.stored(inner)?
        {
            return inner.keep_again(*once, room.as_str(), answer).map(Step::Answered);
        }
        let request = super::decode::<SubmitMessageRequest>(body)?;
        let case = Case {
            kind: "decision.message",
            room: Some(room),
            actor: Some(request.sender.to_string()),
            peer: caller.domain(),
            epoch: request.message.epoch(),
            exchange: Some(request.message.hash()),
            now: inner.clock.now(),
        };
        let judge = |hosted: &Hosted| judge(inner, caller, hosted, &request, &case);
        // A room that has moved on since takes nothing, and a message that was answered before is not taken again: what is
        // stored is asked for only where the room in memory does not allow it.
        let allowed = inner.rooms.recent(room).map(|hosted| (judge(&hosted), hosted));
        let (judged, hosted) = match allowed {
            Some((judged @ Judged::Allowed(_), hosted)) => (judged, hosted),
            _ => {
                if let Some(answer) = replay.stored(inner)? {
                    return inner.keep_again(*once, room.as_str(), answer).map(Step::Answered);
                }
                let hosted = inner.hosted(room)?;
                (judge(&hosted), hosted)
            }
        };
        let (decision, outcome) = match judged {
            Judged::Allowed(decision) => {
                let job = accepting(inner, &hosted, &request, decision, (*replay, *once))?;
                return Ok(Step::Accept(hosted.seen, job));
            }
            Judged::Hidden => return inner.hide(*once, room, &case),
            Judged::Refused(decision) => (decision, SubmitOutcome::NotAllowed),
            Judged::TooOld(decision) => (decision, SubmitOutcome::EpochTooOld { current: hosted.view().epoch }),
        };
        inner.answer_refusal(*once, room.as_str(), decision, answer(outcome)).map(Step::Answered)
    }
}

/// What is to be done with a message.
enum Judged {
    Allowed(Decision),
    Refused(Decision),
    TooOld(Decision),
    Hidden,
}

fn judge(inner: &Inner, caller: &Caller, hosted: &Hosted, request: &SubmitMessageRequest, case: &Case<'_>) -> Judged {
    if !hosted.knows(caller) {
        return Judged::Hidden;
    }
    let oldest = hosted.view().epoch.saturating_sub(hosted.state.epoch_tolerance());
    match unfit(caller, hosted, request) {
        Some(reason) => Judged::Refused(case.refuse("not_allowed", reason, json!({}))),
        None if request.message.epoch() < Some(oldest) => {
            Judged::TooOld(case.refuse("epoch_too_old", "epoch_too_old", json!({ "oldest": oldest })))
        }
        None => {
            let decision = decide(inner, &caller.domain(), hosted, request, case);
            if decision.allow { Judged::Allowed(decision) } else { Judged::Refused(decision) }
        }
    }
}

/// What accepts a message: effect, record and answer.
fn accepting(
    inner: &Arc<Inner>,
    hosted: &Hosted,
    request: &SubmitMessageRequest,
    decision: Decision,
    (replay, once): (Replay, Once),
) -> Result<Job, GatewayError> {
    let (id, now, seen, room) = (decision.id(), decision.record.at, hosted.seen, hosted.room.clone());
    let franker = Franker::of(inner, hosted, request, now)?;
    let delivery = fan_out::of_message(inner, hosted, request.message.epoch().unwrap_or_default(), &request.message);
    let record = decision.record.seal()?;
    Ok(Box::new(move |tx: &mut Tx<'_>| {
        let accepted = rooms::accept_message(tx, &room, seen, now)?;
        let frank = franker.as_ref().map(|franker| franker.frank(accepted.at)).transpose()?;
        delivery.write_as(tx, &room, accepted, frank.clone())?;
        tx.stage_sealed(&record)?;
        let body = answer(SubmitOutcome::Accepted { accepted_at: accepted.at, frank });
        replay.store(tx, &body, id, now)?;
        once.keep(tx, Answer { body, decision: Some(id) })
    }))
}

/// What the protocol forbids, whatever policy says.
fn unfit(caller: &Caller, hosted: &Hosted, request: &SubmitMessageRequest) -> Option<&'static str> {
    let (view, sender, message) = (hosted.view(), &request.sender, &request.message);
    if message.kind() != MlsKind::Application {
        Some("not_an_application_message")
    } else if message.group_id() != Some(view.group.as_bytes()) {
        Some("message_of_another_group")
    } else if !caller.speaks_for(sender) {
        Some("sender_is_not_of_this_provider")
    } else if message.epoch() > Some(view.epoch) {
        Some("epoch_is_in_the_future")
    } else if hosted.blocks(sender) {
        Some("room.blocked")
    } else if hosted.state.may_send(sender) && !hosted.effective.may_send(&hosted.state, sender) {
        Some("room.demoted")
    } else if !hosted.state.is_active(sender) {
        Some("sender_has_no_client_in_the_group")
    } else {
        None
    }
}

/// Asks the policy whether the sender may, in a room whose group stands here. `source` is who handed it in.
pub(super) fn decide(
    inner: &Inner,
    source: &Domain,
    hosted: &Hosted,
    request: &SubmitMessageRequest,
    case: &Case<'_>,
) -> Decision {
    let actor = Actor::User(request.sender.clone());
    let role = hosted.state.role_of(&request.sender);
    let question = Question {
        room: &hosted.facts,
        actor: &actor,
        capability: Capability::SEND_MESSAGE,
        target: None,
        from_role: role,
        to_role: role,
        transition_authorized: true,
        // A hub cannot tell a reaction from a message (reading P-25).
        alternative_granted: !hosted.state.holds(&request.sender, Capability::SEND_MESSAGE)
            && hosted.state.may_react(&request.sender),
        preauthorized: false,
        external: false,
        suite: hosted.view().suite,
        epoch: hosted.view().epoch,
        message_bytes: request.message.as_bytes().len() as u64,
        source,
        now: case.now,
    };
    case.decide(&inner.policy.active(), &[question])
}

pub(super) fn answer(outcome: SubmitOutcome) -> Vec<u8> {
    SubmitMessageResponse { protocol: Protocol::Mls10, outcome }.encode()
}

impl Inner {
    /// Tells a stranger nothing of a room that is here: only the record says so.
    ///
    /// # Errors
    ///
    /// [`GatewayError::NotFound`] at best.
    pub(super) fn hide<T>(&self, once: Once, room: &RoomUri, case: &Case<'_>) -> Result<T, GatewayError> {
        let decision = case.refuse("not_found", "caller_has_nothing_to_do_with_the_room", json!({}));
        self.record_refusal(once, room.as_str(), &decision, GatewayError::NotFound)?;
        Err(GatewayError::NotFound)
    }
}
