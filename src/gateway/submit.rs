//! A SubmitMessageRequest at the hub: decided before it is stored, stored before it is answered.

use std::sync::Arc;

use actix_web::web::Bytes;
use portcullis_core::franking::HubKey;
use portcullis_core::policy::Question;
use portcullis_core::room::Actor;
use portcullis_core::time::Millis;
use portcullis_core::wire::components::Capability;
use portcullis_core::wire::mls::MlsKind;
use portcullis_core::wire::submit::{SubmitMessageRequest, SubmitMessageResponse, SubmitOutcome};
use portcullis_core::wire::uri::{Domain, RoomUri};
use portcullis_core::wire::{Protocol, Wire};
use portcullis_store::rooms::Seen;
use portcullis_store::{Queued, StoreError, Tx, rooms};
use serde_json::json;
use tracing::Instrument as _;

use super::decide::{Case, Decision};
use super::fan_out;
use super::franking::Franker;
use super::once::{Kept, Once};
use super::places::{Of, Place};
use super::rates::RATE;
use super::replay::Replay;
use super::rooms::Hosted;
use super::{Answer, Caller, GatewayError, Inner};
use crate::limits::TooMany;

/// How often a message starts over because the room moved on while it was decided.
const ATTEMPTS: usize = 16;

/// Most leaves of a room, and octets of a body, with which a message is decided where it came in: both take time, and
/// other requests wait there.
const FEW_LEAVES: usize = 512;
const SMALL_BODY: usize = 64 * 1024;

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
    /// It is handed in, and accepted unless the room, which was seen like this, has moved on.
    HandedIn(Seen, Queued<Kept>),
}

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
            let step = match self.at_once()? {
                Some(step) => step,
                None => self.inner.aside(move |_| message.step()).await?,
            };
            let (seen, queued) = match step {
                Step::Answered(kept) => return Ok(kept),
                Step::HandedIn(seen, queued) => (seen, queued),
            };
            match queued.done().await {
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

    /// Hands the message in if that takes nothing but what is in memory, and policy allows it. A room that has moved on since
    /// takes nothing, and a message that was answered before is not taken again: what is stored need not be asked for.
    fn at_once(self: &Arc<Self>) -> Result<Option<Step>, GatewayError> {
        let Self { inner, caller, room, replay, .. } = &**self;
        let Some(hosted) = inner.rooms.recent(room).filter(|_| !replay.is_known(inner)) else { return Ok(None) };
        if hosted.view().leaves.len() > FEW_LEAVES || self.body.len() > SMALL_BODY {
            return Ok(None);
        }
        let (request, now) = (self.request()?, inner.clock.now());
        let Some(key) = inner.hub_key_at_hand(&room.domain(), now) else { return Ok(None) };
        match judge(inner, caller, &hosted, &request, &self.case(&request, now)) {
            // One that its sender may not send by now may have been answered before.
            Judged::Allowed(decision) if self.count(&request, &decision).is_err() => Ok(None),
            Judged::Allowed(decision) => self.hand_in(&hosted, &request, decision, key).map(Some),
            Judged::Refused(_) | Judged::TooOld(_) | Judged::Hidden => Ok(None),
        }
    }

    fn step(self: Arc<Self>) -> Result<Step, GatewayError> {
        let Self { inner, once, caller, room, replay, .. } = &*self;
        if let Some(answer) = replay.stored(inner)? {
            return inner.keep_again(*once, room.as_str(), answer).map(Step::Answered);
        }
        let request = self.request()?;
        let case = self.case(&request, inner.clock.now());
        let hosted = inner.hosted(room)?;
        let (decision, outcome) = match judge(inner, caller, &hosted, &request, &case) {
            Judged::Allowed(decision) => {
                self.count(&request, &decision).or_else(|too_many| {
                    inner.record(room.as_str(), &case.hold_back(&decision))?;
                    Err(GatewayError::from(too_many))
                })?;
                let key = inner.hub_key(&room.domain(), decision.record.at)?;
                return self.hand_in(&hosted, &request, decision, key);
            }
            Judged::Hidden => return inner.hide(*once, room, &case),
            Judged::Refused(decision) => (decision, SubmitOutcome::NotAllowed),
            Judged::TooOld(decision) => (decision, SubmitOutcome::EpochTooOld { current: hosted.view().epoch }),
        };
        inner.answer_refusal(*once, room.as_str(), decision, answer(outcome)).map(Step::Answered)
    }

    /// Counts the message in the rate class of its sender, once.
    fn count(&self, request: &SubmitMessageRequest, decision: &Decision) -> Result<(), TooMany> {
        self.inner.count(&request.sender, decision, || Replay::of(RATE, &self.caller, &self.room, &self.body))
    }

    fn request(&self) -> Result<SubmitMessageRequest, GatewayError> {
        super::decode(&self.body)
    }

    fn case<'a>(&'a self, request: &SubmitMessageRequest, now: Millis) -> Case<'a> {
        Case {
            kind: "decision.message",
            room: Some(&self.room),
            actor: Some(request.sender.to_string()),
            peer: self.caller.domain(),
            epoch: request.message.epoch(),
            exchange: Some(request.message.hash()),
            now,
        }
    }

    /// Has the message accepted: effect, record and answer.
    fn hand_in(
        self: &Arc<Self>,
        hosted: &Hosted,
        request: &SubmitMessageRequest,
        decision: Decision,
        key: HubKey,
    ) -> Result<Step, GatewayError> {
        let (inner, message) = (&self.inner, Arc::clone(self));
        let (id, now, seen) = (decision.id(), decision.record.at, hosted.seen);
        let franker = Franker::of(inner, hosted, request, key);
        let epoch = request.message.epoch().unwrap_or_default();
        let delivery = fan_out::of_message(inner, hosted, epoch, &request.message);
        let record = decision.record.seal()?;
        inner.lines.next(&self.room, now, |expected| {
            let made = franker.as_ref().map(|franker| franker.frank(expected)).transpose()?;
            let job = move |tx: &mut Tx<'_>| {
                let Self { inner, room, replay, once, .. } = &*message;
                let accepted = rooms::accept_message(tx, room, seen, expected)?;
                let frank = if accepted.at == expected {
                    made.clone()
                } else {
                    inner.lines.reached(room, accepted.at);
                    franker.as_ref().map(|franker| franker.frank(accepted.at)).transpose()?
                };
                delivery.write_as(tx, room, accepted, frank.clone())?;
                tx.stage_sealed(&record)?;
                let body = answer(SubmitOutcome::Accepted { accepted_at: accepted.at, frank });
                replay.store(tx, &body, id, now)?;
                once.keep(tx, Answer { body, decision: Some(id) })
            };
            Ok(Step::HandedIn(seen, inner.store.queue_append(self.room.as_str(), job)?))
        })
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
