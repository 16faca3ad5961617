//! Pending proposals that are denied by the time a commit cites them.

use portcullis_core::mls::{GroupView, Part};
use portcullis_core::room::{self, Action};
use portcullis_core::wire::Wire;
use portcullis_core::wire::update::UpdateResponse;
use portcullis_core::wire::uri::Domain;
use portcullis_store::proposals::PendingProposal;
use portcullis_store::{StoreError, Tx, proposals};
use serde_json::json;

use super::super::decide::{Case, Decision, question};
use super::super::once::Kept;
use super::super::policy::{Active, envelope};
use super::super::{Answer, GatewayError, present};
use super::{Update, gone};

impl Update<'_> {
    /// What the commit cites was decided when it was proposed. What policy or a moderator denies by now, or what a device
    /// that was deleted is in, leaves the pending set, and a commit that cites it is refused (correction C-5); else a
    /// suspension in between would wedge the room.
    pub(super) fn withdraw_denied(
        &self,
        active: &Active,
        case: &Case<'_>,
        actions: &[Action],
        (parts, led_out): (&[Part], Option<&GroupView>),
    ) -> Result<Option<Kept>, GatewayError> {
        let again = |actor: Option<String>, peer: Domain| Case {
            kind: "decision.pending",
            room: case.room,
            actor,
            peer,
            epoch: case.epoch,
            exchange: None,
            now: self.now,
        };
        let void = present::void(self.inner, self.hosted, parts)?.into_iter().map(|reference| {
            let proposer = self.proposer(&reference);
            (reference, gone(&again(proposer, self.caller.domain())))
        });
        let group = (self.hosted.view().suite, self.hosted.view().epoch);
        let mut denied: Vec<(Vec<u8>, Decision)> = void.collect();
        if let Some(after) = led_out {
            denied.extend(self.outside(active, parts).into_iter().filter_map(|part| {
                let reference = part.reference.clone()?;
                let case = again(self.proposer(&reference), self.caller.domain());
                Some((reference, envelope::leads_out(active, &case, self.hosted.view(), after)?))
            }));
        }
        for action in actions {
            let Some(reference) = &action.reference else { continue };
            let source: Domain = action.actor.domain();
            let asked = question(&self.hosted.facts, action, group, &source, self.now);
            let again = again(Some(action.actor.to_string()), source.clone());
            let decision = if self.brings_barred(action) {
                again.refuse("not_allowed", "room.barred", json!({ "user": action.target }))
            } else {
                again.decide(active, &[asked])
            };
            if !decision.allow && denied.iter().all(|(known, _)| known != reference) {
                denied.push((reference.clone(), decision));
            }
        }
        if denied.is_empty() {
            return Ok(None);
        }
        // What was accepted together leaves together (reading D-28).
        let bundle = |reference: &Vec<u8>| self.hosted.pending.iter().find(|pending| pending.reference == *reference);
        let bundles: Vec<_> =
            denied.iter().filter_map(|(reference, _)| bundle(reference)).map(|it| it.decision).collect();
        let of_bundle = |pending: &&PendingProposal| bundles.contains(&pending.decision);
        let references: Vec<Vec<u8>> =
            self.hosted.pending.iter().filter(of_bundle).map(|pending| pending.reference.clone()).collect();
        let withdrawn = references.clone();
        let refusal = case.refuse("invalid_proposal", "pending_proposal_is_denied_by_now", json!({}));
        let body = UpdateResponse::InvalidProposal { description: refusal.description(), references }.encode();
        let (room, epoch, once, id) = (self.hosted.room.clone(), self.hosted.seen.epoch, self.once, refusal.id());
        let written = self.inner.store.write(self.hosted.room.as_str(), move |tx: &mut Tx<'_>| {
            for (_, decision) in &denied {
                tx.stage(&decision.record)?;
            }
            for reference in &withdrawn {
                match proposals::withdraw(tx, &room, epoch, reference) {
                    Ok(()) | Err(StoreError::Missing) => {}
                    Err(error) => return Err(error),
                }
            }
            tx.stage(&refusal.record)?;
            once.keep(tx, Answer { body: body.clone(), decision: Some(id) })
        });
        self.inner.rooms.forget(&self.hosted.room);
        Ok(Some(written?))
    }

    /// The cited proposals that lead the room out of the envelope by themselves, or else those that do together: bundles change
    /// between a proposal and its commit.
    fn outside<'p>(&self, active: &Active, parts: &'p [Part]) -> Vec<&'p Part> {
        let cited: Vec<&Part> = parts.iter().filter(|part| part.reference.is_some()).collect();
        let out = |parts: &[Part]| {
            let after = self.prospect(parts);
            after.is_some_and(|after| envelope::is_led_out(active, self.hosted.view(), &after))
        };
        let alone: Vec<&Part> = cited.iter().copied().filter(|part| out(std::slice::from_ref(*part))).collect();
        let together: Vec<Part> = cited.iter().copied().cloned().collect();
        if alone.is_empty() && out(&together) { cited } else { alone }
    }

    /// The group as it would be with these proposals alone.
    fn prospect(&self, parts: &[Part]) -> Option<GroupView> {
        room::proposed_actions(self.hosted.view(), &self.hosted.state, &[], parts).ok().map(|prospect| prospect.after)
    }

    /// Who has made a pending proposal.
    fn proposer(&self, reference: &[u8]) -> Option<String> {
        let pending = self.hosted.pending.iter().find(|pending| pending.reference == reference);
        pending.map(|pending| pending.proposer.clone())
    }
}
