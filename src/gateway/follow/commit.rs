//! A commit of another hub. It has happened, whatever is decided here: a denial gets the answer that the settings give.

use portcullis_core::mls::{Change, Group, HandshakeError};
use portcullis_core::policy::{DeniedCommit, Side};
use portcullis_core::room::{self, Admission, Breach, Consequences, RoomState, Violation};
use portcullis_core::time::Millis;
use portcullis_core::wire::mls::MlsMessage;
use portcullis_core::wire::uri::ClientUri;
use portcullis_store::audit::Outcome;
use portcullis_store::follower::{Progress, Standing};
use portcullis_store::restrictions::Restriction;
use portcullis_store::rooms::{GroupState, Seen};
use serde_json::json;

use super::super::GatewayError;
use super::super::added;
use super::super::decide::{Case, Decision};
use super::super::policy::envelope;
use super::super::rooms::Hosted;
use super::arrival::{Arrival, alarming};
use super::plan::{Effect, LEAVE, Plan};
use super::{EARLY, LAST_EPOCH, LATE, PATIENCE};

/// What was found out about a commit.
struct Found {
    decision: Decision,
    /// Instead of what the settings say.
    answer: Option<DeniedCommit>,
    /// Clients that it takes out.
    gone: Vec<ClientUri>,
}

impl Plan<'_> {
    /// Takes a commit: the tracked group follows it, and the devices get it unless it is withheld.
    pub(super) fn commit(
        &mut self,
        arrival: &Arrival,
        commit: &MlsMessage,
        stapled: &[MlsMessage],
    ) -> Result<usize, GatewayError> {
        let found = match self.tracked.clone() {
            Some(tracked) => self.in_group(arrival, &tracked, commit, stapled)?,
            None => self.outlined(arrival, commit),
        };
        self.reached(arrival.epoch().unwrap_or_default().saturating_add(1));
        let Found { mut decision, answer, gone } = found;
        let mut told = None;
        if !decision.allow {
            let answer = answer.unwrap_or_else(|| self.active.engine.denied_commit(&self.room));
            if let Some(detail) = decision.record.detail.as_object_mut() {
                detail.insert("answer".to_owned(), answer.name().into());
            }
            decision = alarming(decision);
            if self.progress.standing == Standing::Open {
                match answer {
                    DeniedCommit::DeliverWithAlarm => {}
                    DeniedCommit::Withhold => self.progress.standing = Standing::Withheld,
                    DeniedCommit::Leave => {
                        self.progress.standing = Standing::Leaving;
                        told = Some(LEAVE);
                    }
                }
            }
        }
        self.note(decision, 0);
        let devices: Vec<ClientUri> = self.devices.iter().cloned().collect();
        let count = devices.len();
        self.deliver(arrival, devices);
        for client in gone {
            if self.devices.remove(&client) {
                self.effects.push(Effect::Gone(client));
            }
        }
        if let Some(kind) = told {
            self.tell(kind);
        }
        self.end_of_interest();
        Ok(count)
    }

    /// By what can be read off it alone.
    fn outlined(&self, arrival: &Arrival, commit: &MlsMessage) -> Found {
        let decision = self.decide_outline("arrival.commit", arrival, std::iter::once(commit));
        Found { decision, answer: None, gone: Vec::new() }
    }

    /// By the tracked group, if the commit fits it.
    fn in_group(
        &mut self,
        arrival: &Arrival,
        tracked: &Hosted,
        commit: &MlsMessage,
        stapled: &[MlsMessage],
    ) -> Result<Found, GatewayError> {
        let of = commit.epoch().unwrap_or_default();
        if commit.group_id() != Some(tracked.view().group.as_bytes()) {
            self.lose("mls.group");
            return Ok(self.outlined(arrival, commit));
        }
        if of < tracked.view().epoch {
            if let Some(reason) = self.behind(arrival, of) {
                self.lose(reason);
            }
            return Ok(self.outlined(arrival, commit));
        }
        let inspect = || tracked.group.inspect_fanned_out(commit, self.accepted_at(arrival));
        let (change, group) = match tracing::info_span!("mls.inspect").in_scope(inspect) {
            Ok(staged) => staged.into_parts(),
            Err(error) => {
                self.lose(&reason(&error));
                return Ok(self.outlined(arrival, commit));
            }
        };
        let case = self.case("arrival.commit", arrival);
        let case = Case { actor: Some(change.sender.user().to_string()), ..case };
        // A client of ours that we know nothing of is nobody's.
        let forged = added::unclaimed(self.inner, Side::Follower, &case, change.parts.iter())?;
        let read = || actions(&change, tracked);
        let (decision, answer) = match (tracing::info_span!("room.actions").in_scope(read), forged) {
            (Ok(_), Some(refusal)) => (refusal, None),
            (Ok(all), None) => {
                let decision = self.decide_actions(&case, tracked, all.actions.iter());
                let out = envelope::leads_out(&self.active, &case, &change.before, &change.after);
                (out.filter(|_| decision.allow).unwrap_or(decision), None)
            }
            (Err(violation), _) => {
                // What this build does not know may be right: it is not a reason to go.
                let unknown = violation.breach() == Breach::NotSupported;
                (self.violation(&case, &violation), unknown.then_some(DeniedCommit::DeliverWithAlarm))
            }
        };
        drop(case);
        let gone = taken_out(&change);
        let out = |imposed: &&Restriction| !change.after.leaves.iter().any(|leaf| imposed.takes_out(leaf));
        self.effects.extend(tracked.restrictions.here.iter().filter(out).cloned().map(Effect::Settle));
        self.enter(arrival, tracked, group, stapled, &decision)?;
        Ok(Found { decision, answer, gone })
    }

    /// The tracked group enters its next epoch.
    fn enter(
        &mut self,
        arrival: &Arrival,
        tracked: &Hosted,
        mut group: Group,
        stapled: &[MlsMessage],
        decision: &Decision,
    ) -> Result<(), GatewayError> {
        let at = self.accepted_at(arrival);
        let epoch = tracked.view().epoch + 1;
        let snapshot = group.snapshot().map_err(GatewayError::internal)?;
        let next = GroupState { epoch, snapshot, group_info: Vec::new() };
        self.effects.push(Effect::Advance { seen: tracked.seen, next });
        let mut pending = Vec::new();
        for message in stapled {
            match group.queue(message) {
                Ok(part) => {
                    let proposal = self.pending(decision, part.reference.unwrap_or_default(), message, at);
                    self.effects.push(Effect::Pend { epoch, proposal: proposal.clone() });
                    pending.push(proposal);
                }
                Err(error) => {
                    self.record("arrival.proposal", Outcome::Alarm, &reason(&error), json!({ "stapled": true }));
                }
            }
        }
        let seen = Seen { epoch, version: tracked.seen.version + 1 };
        let state = RoomState::read(group.view()).map_err(GatewayError::internal)?;
        let next =
            Hosted::of(self.inner, &self.room, Side::Follower, seen, (group, state), pending, &tracked.restrictions)?;
        self.tracked = Some(next.into());
        Ok(())
    }

    /// A group without a client of ours is not followed any longer.
    fn end_of_interest(&mut self) {
        let Some(tracked) = self.tracked.clone() else { return };
        if tracked.view().leaves.iter().any(|leaf| self.inner.is_ours(&leaf.client.domain())) {
            return;
        }
        self.record("follower.ended", Outcome::Info, "no_client_of_ours_is_left", json!({}));
        self.effects.push(Effect::Lose(tracked.seen));
        self.tracked = None;
        // Who comes to the room again may come to another group of it, which begins anew (reading D-8).
        let start = Progress { seen_epoch: 0, taken_up: 0, taken_up_at: Millis(0), standing: self.progress.standing };
        self.progress = start;
    }

    /// The hub is in this epoch, unless that is further than it can have come since something was last heard of it.
    /// Proposals of epochs that are over serve nobody.
    fn reached(&mut self, epoch: u64) {
        let known = self.progress.seen_epoch.max(self.progress.taken_up);
        let leap = known > 0 && epoch > known.saturating_add(EARLY.into());
        if !leap && epoch <= LAST_EPOCH {
            self.progress.seen_epoch = self.progress.seen_epoch.max(epoch);
        }
        self.effects.push(Effect::ForgetProposals(Some(self.progress.seen_epoch)));
    }

    /// What a commit of an epoch before the tracked one shows; `None` where it came late.
    fn behind(&self, arrival: &Arrival, of: u64) -> Option<&'static str> {
        if of >= self.progress.taken_up {
            // Nobody delivers for longer: the hub repeats what it has forgotten that we have.
            let late = arrival.message.timestamp < self.now.minus(LATE);
            return (!late).then_some("epoch_had_another_commit");
        }
        // What was under way when the group was taken up has come by now: the hub never was where that says.
        let overdue = self.progress.taken_up_at < self.now.minus(PATIENCE);
        overdue.then_some("taken_up_ahead_of_hub")
    }
}

/// What the commit does, the joiner's right being read off the room itself.
fn actions(change: &Change, tracked: &Hosted) -> Result<Consequences, Violation> {
    // Whether a joining code is good only the hub knows.
    let role = |user| RoomState::read(&change.after).map_or(0, |room| room.role_of(user));
    let admission = change.joiner().and_then(|leaf| Admission::on_trust(&tracked.state, leaf, role(&leaf.user)).ok());
    room::actions(change, &tracked.state, admission.as_ref())
}

fn taken_out(change: &Change) -> Vec<ClientUri> {
    let stays = |client: &ClientUri| change.after.leaves.iter().any(|leaf| leaf.client == *client);
    change.before.leaves.iter().map(|leaf| &leaf.client).filter(|client| !stays(client)).cloned().collect()
}

fn reason(error: &HandshakeError) -> String {
    format!("mls.{}", error.reason())
}
