//! An UpdateRequest at the hub: a commit or a bundle of proposals, decided and made durable in one transaction.

mod withdraw;

use std::sync::Arc;

use portcullis_core::mls::{Change, HandshakeError, Sender, joining};
use portcullis_core::policy::{Question, Side};
use portcullis_core::room::{self, Action, Admission, Consequences, Prospect, Rule, Violation};
use portcullis_core::time::Millis;
use portcullis_core::wire::Wire;
use portcullis_core::wire::mls::MlsMessage;
use portcullis_core::wire::update::{CommitBundle, UpdateRequest, UpdateResponse};
use portcullis_core::wire::uri::{RoomUri, UserUri};
use portcullis_store::admission::{self, Ticket};
use portcullis_store::join_codes::{self, JoinCode};
use portcullis_store::leaves::{self, Moved};
use portcullis_store::proposals::PendingProposal;
use portcullis_store::rooms::{GroupState, Seen};
use portcullis_store::{StoreError, Tx, asset_hosts, proposals, rooms};
use serde_json::json;
use tracing::info_span;

use super::added;
use super::decide::{Case, Decision, question};
use super::fan_out::{self, Delivery};
use super::group_info::bearer;
use super::moderation;
use super::once::{Kept, Once};
use super::policy::envelope;
use super::present::{self, Newcomers};
use super::reissue;
use super::replay::Replay;
use super::rooms::Hosted;
use super::ties::Ties;
use super::{Answer, Caller, GatewayError, Inner};
use crate::telemetry::metrics;

/// How often a request starts over because the room moved on while it was decided.
const ATTEMPTS: usize = 16;

/// Takes an UpdateRequest for a room we are the hub of.
pub(super) fn accept(
    inner: &Arc<Inner>,
    once: Once,
    caller: &Caller,
    room: &RoomUri,
    body: &[u8],
) -> Result<Kept, GatewayError> {
    let request = super::decode::<UpdateRequest>(body)?;
    let replay = Replay::of("update", caller, room, body);
    for _ in 0..ATTEMPTS {
        if let Some(answer) = replay.stored(inner)? {
            return inner.keep_again(once, room.as_str(), answer);
        }
        let hosted = inner.hosted(room)?;
        let update = Update { inner, caller, hosted: &hosted, replay, once, now: inner.clock.now() };
        update.reveal(&request)?;
        let answered = match &request {
            UpdateRequest::Commit(bundle) => update.commit(bundle)?,
            UpdateRequest::Proposals(proposals) => update.proposals(proposals)?,
        };
        match answered {
            Some(kept) => return Ok(kept),
            None => inner.rooms.forget(room),
        }
    }
    Err(GatewayError::busy("the room changes faster than this request can be decided"))
}

/// One attempt on the room as it was seen. Its methods give `None` when the room has moved on and nothing was written.
struct Update<'a> {
    inner: &'a Inner,
    caller: &'a Caller,
    hosted: &'a Hosted,
    replay: Replay,
    once: Once,
    now: Millis,
}

impl Update<'_> {
    /// Who neither takes part nor has a ticket gets what there is for a room that does not exist.
    fn reveal(&self, request: &UpdateRequest) -> Result<(), GatewayError> {
        let (kind, message) = match request {
            UpdateRequest::Commit(bundle) => ("decision.commit", Some(&bundle.commit)),
            UpdateRequest::Proposals(proposals) => ("decision.proposal", proposals.first()),
        };
        if self.hosted.knows(self.caller) {
            return Ok(());
        }
        let message = message.ok_or(GatewayError::NotFound)?;
        if let Some((key, client, user)) = joining(message)
            && self.caller.speaks_for(&user)
            && self.ticket_of(&key, bearer(&client, &user))?.is_some()
        {
            return Ok(());
        }
        self.inner.hide(self.once, &self.hosted.room, &self.case(kind, message))
    }

    fn commit(&self, bundle: &CommitBundle) -> Result<Option<Kept>, GatewayError> {
        let case = self.case("decision.commit", &bundle.commit);
        let inspect = || self.hosted.group.inspect_commit(bundle, self.now);
        let staged = match info_span!("mls.inspect").in_scope(inspect) {
            Ok(staged) => staged,
            Err(error) => return self.refuse_handshake(&case, &error),
        };
        let change = &staged.change;
        let sender = change.sender.user();
        let case = Case { actor: Some(sender.to_string()), ..case };
        if let Some(refusal) = self.not_entitled(&case, &change.sender) {
            return self.refuse(refusal, not_allowed);
        }
        let ticket = match change.joiner() {
            Some(leaf) => self.ticket_of(&leaf.signature_key, bearer(&leaf.client, &leaf.user))?,
            None => None,
        };
        // The ticket says that this client may come; by which right is told by the room and the code as they are now.
        let code = self.code_of(ticket.as_ref(), sender)?;
        let admission = ticket.as_ref().zip(change.joiner()).and_then(|(_, leaf)| {
            let role = code.as_ref().map(|code| code.role);
            Admission::of(&self.hosted.state, leaf.into(), &leaf.signature_key, role).ok()
        });
        let read = || room::actions(change, &self.hosted.state, admission.as_ref());
        let Consequences { actions, room: state } = match info_span!("room.actions").in_scope(read) {
            Ok(consequences) => consequences,
            Err(violation) => return self.refuse_violation(&case, &violation),
        };
        let spent = code.filter(|_| actions.iter().any(|action| action.rule == Rule::JoinByCode));
        let new: Vec<&Action> = actions.iter().filter(|action| action.reference.is_none()).collect();
        if let Some(refusal) = self.demoted(&case, &new).or_else(|| self.escapes(&case, change)) {
            return self.refuse(refusal, not_allowed);
        }
        let active = self.inner.policy.active();
        let out = envelope::leads_out(&active, &case, &change.before, &change.after);
        if let Some(kept) =
            self.withdraw_denied(&active, &case, &actions, (&change.parts, out.is_some().then_some(&change.after)))?
        {
            return Ok(Some(kept));
        }
        if let Some(refusal) = out {
            return self.refuse(refusal, not_allowed);
        }
        let decision = self.decide(&case, new.into_iter());
        if !decision.allow {
            return self.refuse(decision, not_allowed);
        }
        if let Some(refusal) = self.barred(&case, &actions) {
            return self.refuse(refusal, not_allowed);
        }
        let ties = match Ties::of(self.inner, self.hosted, &actions, Some(&state), &decision)? {
            Ok(ties) => ties,
            Err(violation) => return self.refuse_violation(&case, &violation),
        };
        let added = change.parts.iter().filter(|part| part.reference.is_none());
        if let Some(refusal) = added::unclaimed(self.inner, Side::Hub, &case, added)? {
            return self.refuse(refusal, not_allowed);
        }
        let next = GroupState {
            epoch: change.after.epoch,
            snapshot: staged.group().snapshot().map_err(GatewayError::internal)?,
            group_info: change.group_info.clone(),
        };
        let Some(reissued) = reissue::removes(self.inner, self.hosted, change, &next.snapshot)? else {
            return self.refuse(removal_first(&case), not_allowed);
        };
        let mut settled = moderation::settled(self.hosted, &change.after, &state);
        if change.joiner().is_some() {
            settled.left(self.hosted, decision.id());
            settled.came_back(self.hosted, change, decision.id());
        }
        let stapled = reissued.iter().map(|again| again.message.clone()).collect();
        let deliveries = fan_out::of_commit(self.inner, self.hosted, (bundle, stapled), &staged)?;
        let hub = UserUri::provider(&self.hosted.room.domain());
        let pending: Vec<PendingProposal> =
            reissued.into_iter().map(|again| decision.proposal(again.reference, &again.message, &hub)).collect();
        let (room, seen, now) = (self.hosted.room.clone(), self.hosted.seen, self.now);
        let (again, done) = (pending.clone(), settled.clone());
        let newcomers = Newcomers::of(self.inner, change.parts.iter(), change.joiner());
        let hosts = room::asset_hosts(&change.after);
        let hosts = (hosts != room::asset_hosts(&change.before)).then_some(hosts);
        let moved = Moved::between(&change.before.leaves, &change.after.leaves);
        let effect = move |tx: &mut Tx<'_>| {
            newcomers.hold(tx)?;
            ties.hold(tx)?;
            let accepted_at = rooms::advance_epoch(tx, &room, seen, &next, now)?;
            if let Some(ticket) = &ticket {
                admission::spend(tx, ticket)?;
            }
            spent.as_ref().map_or(Ok(()), |code| join_codes::spend(tx, code.id, now))?;
            for proposal in &again {
                proposals::add(tx, &room, next.epoch, &PendingProposal { accepted_at, ..proposal.clone() })?;
            }
            leaves::follow(tx, &room, &moved)?;
            hosts.as_ref().map_or(Ok(()), |hosts| asset_hosts::replace(tx, &room, hosts))?;
            done.write(tx, &room, accepted_at)?;
            ties.write(tx, &room, accepted_at)?;
            Ok(accepted_at)
        };
        let answer = self.write(decision, effect, deliveries)?;
        if answer.is_some() && change.rejoins() {
            metrics::rejoined();
        }
        // What the hub has proposed again got its time in the transaction: the next request reads it there.
        if answer.is_some() && pending.is_empty() && settled.is_empty() {
            let seen = Seen { epoch: staged.change.after.epoch, version: seen.version + 1 };
            let (_, group) = staged.into_parts();
            let room = &self.hosted.room;
            let next =
                Hosted::of(self.inner, room, Side::Hub, seen, (group, state), pending, &self.hosted.restrictions);
            // What is accepted is accepted: at worst the next request reads it.
            next.into_iter().for_each(|next| self.inner.rooms.keep(next));
        }
        Ok(answer)
    }

    fn proposals(&self, messages: &[MlsMessage]) -> Result<Option<Kept>, GatewayError> {
        let first = messages.first().ok_or_else(|| GatewayError::decode("a bundle holds at least one proposal"))?;
        let case = self.case("decision.proposal", first);
        let inspect = || self.hosted.group.inspect_proposals(messages, self.now);
        let proposed = match info_span!("mls.inspect").in_scope(inspect) {
            Ok(proposed) => proposed,
            Err(error) => return self.refuse_handshake(&case, &error),
        };
        let case = Case { actor: Some(proposed.user().to_string()), ..case };
        if !self.caller.speaks_for(proposed.user()) {
            return self.refuse(not_of_this_provider(&case, proposed.user()), not_allowed);
        }
        if proposed.parts.iter().any(|part| present::acts_for_nobody(self.hosted, part)) {
            return self.refuse(gone(&case), not_allowed);
        }
        let pending = self.hosted.group.pending();
        let read = || room::proposed_actions(self.hosted.view(), &self.hosted.state, &pending, &proposed.parts);
        let Prospect { actions, after } = match info_span!("room.actions").in_scope(read) {
            Ok(prospect) => prospect,
            Err(violation) => return self.refuse_violation(&case, &violation),
        };
        if let Some(refusal) = envelope::leads_out(&self.inner.policy.active(), &case, self.hosted.view(), &after) {
            return self.refuse(refusal, not_allowed);
        }
        if let Some(refusal) = self.demoted(&case, &actions.iter().collect::<Vec<_>>()) {
            return self.refuse(refusal, not_allowed);
        }
        let decision = self.decide(&case, actions.iter());
        if !decision.allow {
            return self.refuse(decision, not_allowed);
        }
        if let Some(refusal) = self.barred(&case, &actions) {
            return self.refuse(refusal, not_allowed);
        }
        let ties = match Ties::of(self.inner, self.hosted, &actions, None, &decision)? {
            Ok(ties) => ties,
            Err(violation) => return self.refuse_violation(&case, &violation),
        };
        if let Some(refusal) = added::unclaimed(self.inner, Side::Hub, &case, proposed.parts.iter())? {
            return self.refuse(refusal, not_allowed);
        }
        let accepted: Vec<PendingProposal> = proposed
            .references()
            .zip(messages)
            .map(|(reference, message)| decision.proposal(reference.to_vec(), message, proposed.user()))
            .collect();
        let (room, seen, now) = (self.hosted.room.clone(), self.hosted.seen, self.now);
        let newcomers = Newcomers::of(self.inner, proposed.parts.iter(), None);
        let effect = move |tx: &mut Tx<'_>| {
            newcomers.see(tx, now)?;
            newcomers.hold(tx)?;
            ties.hold(tx)?;
            let accepted_at = rooms::accept_proposals(tx, &room, seen, now)?;
            for proposal in &accepted {
                proposals::add(tx, &room, seen.epoch, &PendingProposal { accepted_at, ..proposal.clone() })?;
            }
            ties.write(tx, &room, accepted_at)?;
            Ok(accepted_at)
        };
        self.write(decision, effect, fan_out::of_proposals(self.inner, self.hosted, messages))
    }

    /// Effect, events, audit record and answer: all of them, or nothing.
    fn write(
        &self,
        decision: Decision,
        effect: impl Fn(&mut Tx<'_>) -> Result<Millis, StoreError> + Send + 'static,
        deliveries: Vec<Delivery>,
    ) -> Result<Option<Kept>, GatewayError> {
        let (room, replay, once, now, id) = (self.hosted.room.clone(), self.replay, self.once, self.now, decision.id());
        let written = self.inner.store.write(self.hosted.room.as_str(), move |tx: &mut Tx<'_>| {
            let accepted_at = effect(tx)?;
            for delivery in &deliveries {
                delivery.write(tx, &room, accepted_at)?;
            }
            tx.stage(&decision.record)?;
            let body = UpdateResponse::Success { description: String::new(), accepted_at }.encode();
            replay.store(tx, &body, id, now)?;
            once.keep(tx, Answer { body, decision: Some(id) })
        });
        self.inner.rooms.forget(&self.hosted.room);
        settled(written)
    }

    fn decide<'a>(&self, case: &Case<'_>, actions: impl Iterator<Item = &'a Action>) -> Decision {
        let source = self.caller.domain();
        let group = (self.hosted.view().suite, self.hosted.view().epoch);
        let questions: Vec<Question<'_>> =
            actions.map(|action| question(&self.hosted.facts, action, group, &source, self.now)).collect();
        case.decide(&self.inner.policy.active(), &questions)
    }

    fn case<'a>(&'a self, kind: &'static str, message: &MlsMessage) -> Case<'a> {
        Case {
            kind,
            room: Some(&self.hosted.room),
            actor: None,
            peer: self.caller.domain(),
            epoch: message.epoch(),
            exchange: Some(message.hash()),
            now: self.now,
        }
    }

    /// A provider commits for its own users only, and for none whose rights have ended (reading D-51).
    fn not_entitled(&self, case: &Case<'_>, sender: &Sender) -> Option<Decision> {
        let user = sender.user();
        if !self.caller.speaks_for(user) {
            return Some(not_of_this_provider(case, user));
        }
        if let Sender::Member { leaf, .. } = sender
            && present::is_gone(self.hosted, self.hosted.view(), *leaf)
        {
            return Some(gone(case));
        }
        let blocked = self.hosted.blocks(user);
        blocked.then(|| case.refuse("not_allowed", "room.blocked", json!({ "user": user })))
    }

    /// A role that an accepted proposal has taken away gives no right any more (reading D-51).
    fn demoted(&self, case: &Case<'_>, actions: &[&Action]) -> Option<Decision> {
        let taken = actions.iter().find(|action| self.hosted.effective.takes_away(&self.hosted.state, action))?;
        let capability = taken.capability.to_string();
        Some(case.refuse("not_allowed", "room.demoted", json!({ "capability": capability })))
    }

    /// Whose rights moderators have ended does nothing but take its own clients out, and nobody brings it in; whatever the
    /// company's policies say about that.
    fn barred(&self, case: &Case<'_>, actions: &[Action]) -> Option<Decision> {
        let barred = &self.hosted.restrictions.barred;
        let acts = |action: &&Action| {
            let leaves = matches!(action.rule, Rule::RemoveOwnClient | Rule::Leave);
            (!leaves && action.reference.is_none() && barred.contains(&action.actor.uri()))
                || self.brings_barred(action)
        };
        let found = actions.iter().find(acts)?;
        let capability = found.capability.to_string();
        Some(case.refuse("not_allowed", "room.barred", json!({ "capability": capability })))
    }

    fn brings_barred(&self, action: &Action) -> bool {
        let barred = &self.hosted.restrictions.barred;
        matches!(action.rule, Rule::AddParticipant | Rule::AddClients | Rule::Unban)
            && action.target.as_ref().is_some_and(|target| barred.contains(target))
    }

    /// An external commit would end the epoch without what somebody else has proposed for a participant, and the hub
    /// cannot propose that again (correction C-6): a member commits it first.
    fn escapes(&self, case: &Case<'_>, change: &Change) -> Option<Decision> {
        change.joiner()?;
        let imposed = self.hosted.effective.is_imposed();
        imposed.then(|| removal_first(case))
    }

    /// The ticket of the client that joins (reading D-46).
    fn ticket_of(&self, key: &[u8], bearer: [u8; 32]) -> Result<Option<Ticket>, GatewayError> {
        let (room, now) = (&self.hosted.room, self.now);
        let ticket = self.inner.store.read(|conn| admission::find(conn, room, key, now))?;
        Ok(ticket.filter(|ticket: &Ticket| ticket.credential_hash == bearer))
    }

    /// The joining code that the ticket was issued for, while it is good.
    fn code_of(&self, ticket: Option<&Ticket>, user: &UserUri) -> Result<Option<JoinCode>, GatewayError> {
        let Some(id) = ticket.and_then(|ticket| ticket.code) else { return Ok(None) };
        let code = self.inner.store.read(|conn| join_codes::load(conn, id))?;
        Ok(code.filter(|code: &JoinCode| code.is_good(&user.domain(), self.now)))
    }

    fn refuse_handshake(&self, case: &Case<'_>, error: &HandshakeError) -> Result<Option<Kept>, GatewayError> {
        let detail = match error {
            HandshakeError::InvalidProposals { position, .. } => json!({ "position": position }),
            HandshakeError::WrongEpoch { current } => json!({ "current": current }),
            HandshakeError::NotAllowed { .. } => json!({}),
        };
        let decision = case.refuse(error.code(), format!("mls.{}", error.reason()), detail);
        self.refuse(decision, |description| match error {
            HandshakeError::WrongEpoch { current } => UpdateResponse::WrongEpoch { description, current: *current },
            HandshakeError::InvalidProposals { references, .. } => {
                UpdateResponse::InvalidProposal { description, references: references.clone() }
            }
            HandshakeError::NotAllowed { .. } => not_allowed(description),
        })
    }

    fn refuse_violation(&self, case: &Case<'_>, violation: &Violation) -> Result<Option<Kept>, GatewayError> {
        let capability = violation.capability().map(|capability| capability.to_string());
        let detail = json!({ "user": violation.user(), "capability": capability });
        let decision = case.refuse(violation.code(), format!("room.{}", violation.code()), detail);
        self.refuse(decision, |description| {
            if violation.is_invalid_proposal() {
                let references = violation.reference().map(<[u8]>::to_vec).into_iter().collect();
                UpdateResponse::InvalidProposal { description, references }
            } else {
                not_allowed(description)
            }
        })
    }

    /// A refusal is recorded before it is told; if it cannot be recorded, the caller gets no answer but 503.
    fn refuse(
        &self,
        decision: Decision,
        response: impl FnOnce(String) -> UpdateResponse,
    ) -> Result<Option<Kept>, GatewayError> {
        let body = response(decision.description()).encode();
        self.inner.answer_refusal(self.once, self.hosted.room.as_str(), decision, body).map(Some)
    }
}

/// The answer of a write, or `None` when the room has moved on.
fn settled(written: Result<Kept, StoreError>) -> Result<Option<Kept>, GatewayError> {
    match written {
        Ok(kept) => Ok(Some(kept)),
        // A fixed room that somebody has come to have meanwhile is found the next time.
        Err(StoreError::EpochMoved { .. } | StoreError::AlreadyAnswered | StoreError::Missing | StoreError::Exists) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn not_of_this_provider(case: &Case<'_>, user: &UserUri) -> Decision {
    case.refuse("not_allowed", "sender_is_not_of_this_provider", json!({ "user": user }))
}

fn removal_first(case: &Case<'_>) -> Decision {
    case.refuse("not_allowed", "pending_removal_comes_first", json!({}))
}

/// A device that its backend has deleted does nothing any more, and nothing is done for it.
fn gone(case: &Case<'_>) -> Decision {
    case.refuse("not_allowed", "device_is_gone", json!({}))
}

fn not_allowed(description: String) -> UpdateResponse {
    UpdateResponse::NotAllowed { description }
}
