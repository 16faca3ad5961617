//! What arrives, one message at a time: decided, then put before our devices or kept from them.
//!
//! The hub gets 201 whatever is decided: a refusal would park its lane and with it everything after. What may not reach
//! our users is withheld here.

use std::collections::BTreeSet;

use portcullis_core::mls::{Group, HandshakeError};
use portcullis_core::policy::Side;
use portcullis_core::room;
use portcullis_core::wire::mls::MlsMessage;
use portcullis_core::wire::notify::{FanoutBody, FanoutMessage};
use portcullis_core::wire::uri::{ClientUri, UserUri};
use portcullis_store::audit::Outcome;
use portcullis_store::events::EventKind;
use portcullis_store::follower::{Kept, Standing, Why};
use portcullis_store::proposals::PendingProposal;
use serde_json::json;

use super::super::GatewayError;
use super::super::decide::Decision;
use super::super::rooms::Hosted;
use super::plan::{Effect, Plan};
use super::{LAST_EPOCH, Waiting};

/// A message of a hub.
pub(super) struct Arrival {
    pub(super) message: FanoutMessage,
    /// Its exact bytes.
    pub(super) bytes: Vec<u8>,
    /// SHA-256 of the MLSMessage.
    pub(super) hash: [u8; 32],
    /// Our devices that a Welcome is for.
    pub(super) welcomed: Vec<ClientUri>,
    /// Set when it came before: the version of the room at which it was put before devices.
    pub(super) again: Option<u64>,
    /// Set when it came earlier and has waited since.
    pub(super) kept: Option<Waiting>,
}

impl Arrival {
    /// `None` for a Welcome, whose epoch is sealed.
    pub(super) fn epoch(&self) -> Option<u64> {
        self.message.body.message().epoch()
    }

    /// Its epoch as the store can count it; what it is decided by stands in its bytes.
    pub(super) fn kept_epoch(&self) -> u64 {
        self.epoch().unwrap_or_default().min(LAST_EPOCH)
    }

    /// When it is its turn among what has come.
    pub(super) fn turn(&self) -> (Option<u64>, bool) {
        (self.epoch(), matches!(self.message.body, FanoutBody::Commit { .. }))
    }

    /// What devices are told it is.
    pub(super) fn kind(&self) -> &'static str {
        let kind = match &self.message.body {
            FanoutBody::Application { .. } => EventKind::Message,
            FanoutBody::Welcome { .. } => EventKind::Welcome,
            FanoutBody::Proposal { .. } => EventKind::Proposal,
            FanoutBody::Commit { .. } => EventKind::Commit,
        };
        kind.name()
    }
}

impl Plan<'_> {
    /// Takes one message, and gives the number of devices that get it.
    pub(super) fn take(&mut self, arrival: &Arrival) -> Result<usize, GatewayError> {
        if !self.known && !matches!(arrival.message.body, FanoutBody::Welcome { .. }) {
            return Err(GatewayError::NotFound);
        }
        match &arrival.message.body {
            FanoutBody::Welcome { .. } => self.welcome(arrival),
            FanoutBody::Application { message, .. } => Ok(self.application(arrival, message, &self.devices.clone())),
            FanoutBody::Proposal { message, more } => self.proposals(arrival, std::iter::once(message).chain(more)),
            FanoutBody::Commit { message, external_proposals } => self.commit(arrival, message, external_proposals),
        }
    }

    /// A Welcome for devices of ours: may their users be in this room? It is sealed, so who adds them is not known here.
    ///
    /// The hub gets 404 for a Welcome to nobody here to a room that nothing has come of, and nothing of the batch is kept
    /// (reading D-41). In a room that is known it is for a KeyPackage that has expired: that must not hold up the rest.
    fn welcome(&mut self, arrival: &Arrival) -> Result<usize, GatewayError> {
        if arrival.welcomed.is_empty() {
            if !self.known {
                return Err(GatewayError::NotFound);
            }
            let decision = self.case("arrival.welcome", arrival).refuse(
                "not_allowed",
                "key_packages_are_not_known_here",
                json!({}),
            );
            self.note(decision, 0);
            return Ok(0);
        }
        self.known = true;
        let users: BTreeSet<UserUri> = arrival.welcomed.iter().filter_map(ClientUri::user).collect();
        let case = self.case("arrival.welcome", arrival);
        let (decision, allowed) = match self.progress.standing {
            Standing::Leaving => (case.refuse("not_allowed", "room_is_being_left", json!({})), BTreeSet::new()),
            Standing::Open | Standing::Withheld => self.decide_welcome(&case, users),
        };
        let let_in: Vec<ClientUri> = self.of_users(arrival.welcomed.iter(), &allowed);
        self.note(decision, arrival.welcomed.len() - let_in.len());
        if let_in.is_empty() {
            return Ok(0);
        }
        for device in &let_in {
            self.effects.push(Effect::Join(device.clone()));
            if self.devices.insert(device.clone()) {
                self.joined.insert(device.clone(), u64::MAX);
            }
        }
        let count = let_in.len();
        self.deliver(arrival, let_in);
        Ok(count)
    }

    /// Puts what came before in front of devices that have joined since; gives their number. What it does to the group it
    /// has done, and what policy made of that stands in the room's standing.
    pub(super) fn take_again(&mut self, arrival: &Arrival, late: BTreeSet<ClientUri>) -> usize {
        if late.is_empty() {
            return 0;
        }
        match &arrival.message.body {
            FanoutBody::Welcome { .. } => 0,
            FanoutBody::Application { message, .. } => self.application(arrival, message, &late),
            FanoutBody::Proposal { message, more } => {
                let messages = std::iter::once(message).chain(more);
                let decision = self.decide_outline("arrival.proposal", arrival, messages);
                self.pass_on(arrival, decision, late)
            }
            FanoutBody::Commit { message, .. } => {
                let decision = self.decide_outline("arrival.commit", arrival, std::iter::once(message));
                self.pass_on(arrival, decision, late)
            }
        }
    }

    fn pass_on(&mut self, arrival: &Arrival, decision: Decision, devices: BTreeSet<ClientUri>) -> usize {
        self.note(alarming(decision), 0);
        let count = devices.len();
        self.deliver(arrival, devices.into_iter().collect());
        count
    }

    /// An application message: may the users of these devices receive it? Who sends it is inside the ciphertext.
    fn application(&mut self, arrival: &Arrival, message: &MlsMessage, devices: &BTreeSet<ClientUri>) -> usize {
        let users: BTreeSet<UserUri> = devices.iter().filter_map(ClientUri::user).collect();
        let case = self.case("arrival.message", arrival);
        let (decision, allowed) = match self.progress.standing {
            Standing::Leaving => (case.refuse("not_allowed", "room_is_being_left", json!({})), BTreeSet::new()),
            Standing::Open | Standing::Withheld => self.decide_receipt(&case, users, message),
        };
        let receivers = self.of_users(devices.iter(), &allowed);
        self.note(decision, devices.len() - receivers.len());
        let count = receivers.len();
        self.deliver(arrival, receivers);
        count
    }

    /// Proposals change nothing before they are committed, and a device that lacks one cannot take in the commit: they
    /// are passed on. What policy denies is on the record, and is decided again with the commit.
    fn proposals<'m>(
        &mut self,
        arrival: &Arrival,
        messages: impl Iterator<Item = &'m MlsMessage> + Clone,
    ) -> Result<usize, GatewayError> {
        let current = self.tracked.clone().filter(|tracked| arrival.epoch() == Some(tracked.view().epoch));
        let decision = match current {
            Some(tracked) => self.proposed(arrival, &tracked, messages)?,
            None => {
                let decision = self.decide_outline("arrival.proposal", arrival, messages);
                self.remember(arrival);
                decision
            }
        };
        self.note(alarming(decision), 0);
        let devices: Vec<ClientUri> = self.devices.iter().cloned().collect();
        let count = devices.len();
        self.deliver(arrival, devices);
        Ok(count)
    }

    /// Puts proposals among those that are pending in the tracked group.
    fn proposed<'m>(
        &mut self,
        arrival: &Arrival,
        tracked: &Hosted,
        messages: impl Iterator<Item = &'m MlsMessage> + Clone,
    ) -> Result<Decision, GatewayError> {
        let case = self.case("arrival.proposal", arrival);
        let mut group = copy(tracked)?;
        let before = group.pending();
        let queue = || messages.clone().map(|message| group.queue(message)).collect::<Result<Vec<_>, HandshakeError>>();
        let new = match tracing::info_span!("mls.inspect").in_scope(queue) {
            Ok(new) => new,
            Err(error) => return Ok(case.refuse(error.code(), format!("mls.{}", error.reason()), json!({}))),
        };
        let read = || room::proposed_actions(tracked.view(), &tracked.state, &before, &new);
        let decision = match tracing::info_span!("room.actions").in_scope(read) {
            Ok(prospect) => self.decide_actions(&case, tracked, prospect.actions.iter()),
            Err(violation) => self.violation(&case, &violation),
        };
        let at = self.accepted_at(arrival);
        let mut pending = tracked.pending.clone();
        self.effects.push(Effect::AcceptProposals { seen: tracked.seen });
        for (message, part) in messages.zip(new) {
            let reference = part.reference.unwrap_or_default();
            if pending.iter().any(|known| known.reference == reference) {
                continue;
            }
            let proposal = self.pending(&decision, reference, message, at);
            self.effects.push(Effect::Pend { epoch: tracked.view().epoch, proposal: proposal.clone() });
            pending.push(proposal);
        }
        let mut seen = tracked.seen;
        seen.version += 1;
        let group = (group, tracked.state.clone());
        let next = Hosted::of(self.inner, &self.room, Side::Follower, seen, group, pending, &tracked.restrictions)?;
        self.tracked = Some(next.into());
        Ok(decision)
    }

    /// Keeps proposals for whoever takes the group up.
    fn remember(&mut self, arrival: &Arrival) {
        if self.tracked.is_some() {
            return;
        }
        let item = self.item(arrival.kind(), arrival.bytes.clone(), self.accepted_at(arrival));
        let (why, epoch, kept_at) = (Why::Proposal, arrival.kept_epoch(), self.now);
        self.effects.push(Effect::KeepProposal(Kept { why, epoch, item, kept_at, devices: Vec::new() }));
    }

    /// A pending proposal as the store keeps it.
    pub(super) fn pending(
        &self,
        decision: &Decision,
        reference: Vec<u8>,
        message: &MlsMessage,
        accepted_at: portcullis_core::time::Millis,
    ) -> PendingProposal {
        PendingProposal {
            reference,
            message: message.as_bytes().to_vec(),
            proposer: decision.record.actor.clone().unwrap_or_else(|| self.hub.to_string()),
            kind: "proposal".to_owned(),
            accepted_at,
            decision: decision.id(),
            bundle: decision.record.bundle.unwrap_or_default(),
        }
    }

    /// Puts a decision on the record, with the number of devices that do not get what it is about.
    pub(super) fn note(&mut self, decision: Decision, withheld: usize) {
        let mut record = decision.record;
        if withheld > 0
            && let Some(detail) = record.detail.as_object_mut()
        {
            detail.insert("withheld_from_devices".to_owned(), withheld.into());
        }
        self.effects.push(Effect::Record(record));
    }

    fn of_users<'d>(&self, devices: impl Iterator<Item = &'d ClientUri>, users: &BTreeSet<UserUri>) -> Vec<ClientUri> {
        devices.filter(|device| device.user().is_some_and(|user| users.contains(&user))).cloned().collect()
    }
}

/// The tracked group with its pending proposals, to change.
fn copy(tracked: &Hosted) -> Result<Group, GatewayError> {
    let mut group =
        Group::restore(&tracked.group.snapshot().map_err(GatewayError::internal)?).map_err(GatewayError::internal)?;
    for pending in &tracked.pending {
        let message = portcullis_core::wire::Wire::decode(&pending.message).map_err(GatewayError::internal)?;
        // One that no longer holds was left out before.
        let _ = group.queue(&message);
    }
    Ok(group)
}

/// A denial of what happens all the same.
pub(super) fn alarming(mut decision: Decision) -> Decision {
    if decision.record.outcome == Outcome::Deny {
        decision.record.outcome = Outcome::Alarm;
        decision.record.room.iter().for_each(|room| {
            tracing::warn!(%room, decision = %decision.record.event, "policy denies what another hub has accepted");
        });
    }
    decision
}
