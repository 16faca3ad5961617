//! A client of ours describes the group of another hub's room to us (correction C-2): from then on it is tracked.

use std::sync::Arc;

use actix_web::web::Bytes;
use portcullis_core::identity::credential::provider_of;
use portcullis_core::mls::{Group, Leaf};
use portcullis_core::policy::Side;
use portcullis_core::room::{self, RoomState};
use portcullis_core::wire::Wire;
use portcullis_core::wire::notify::{FanoutBody, FanoutMessage};
use portcullis_core::wire::uri::{RoomUri, UserUri};
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::follower::{self, Standing, Why};
use portcullis_store::proposals::PendingProposal;
use portcullis_store::rooms::{GroupState, Seen};
use portcullis_store::{StoreError, Topic};
use serde_json::json;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::super::decide::{Case, Decision};
use super::super::places::Of;
use super::super::policy::envelope;
use super::super::rooms::Hosted;
use super::super::{Answer, GatewayError, Inner};
use super::plan::{Effect, Plan};
use super::{ATTEMPTS, CATCHING_UP, Followed, LAST_EPOCH};

/// What a client uploads.
struct Upload<'a> {
    inner: &'a Inner,
    user: &'a UserUri,
    room: &'a RoomUri,
    group_info: &'a [u8],
    ratchet_tree: &'a [u8],
    /// Whether the tracked group has had its time to catch up.
    last: bool,
}

/// Takes the GroupInfo and ratchet tree of a room that another provider hosts. A client knows its own commit before the
/// hub has fanned it out to us: what is ahead of the tracked group is compared with it when that has caught up.
pub(in super::super) async fn take_up(
    inner: &Arc<Inner>,
    user: UserUri,
    room: RoomUri,
    group_info: Bytes,
    ratchet_tree: Bytes,
) -> Result<Answer, GatewayError> {
    if inner.hosts(&room) {
        return Err(GatewayError::Conflict);
    }
    let mut changed = inner.store.changes(Topic::Followed);
    let until = Instant::now() + CATCHING_UP;
    loop {
        changed.mark_unchanged();
        let of = (user.clone(), room.clone(), group_info.clone(), ratchet_tree.clone());
        let last = until <= Instant::now();
        let attempt = move |inner: &Arc<Inner>| {
            let (user, room, group_info, ratchet_tree) = &of;
            attempt(&Upload { inner, user, room, group_info, ratchet_tree, last })
        };
        let places = vec![Of::Room(room.clone()), Of::User(user.clone())];
        match inner.blocking(places, attempt).await? {
            Some(answer) => return Ok(answer),
            None => drop(timeout_at(until, changed.changed()).await),
        }
    }
}

/// `None` while the tracked group is behind.
fn attempt(upload: &Upload<'_>) -> Result<Option<Answer>, GatewayError> {
    let Upload { inner, room, .. } = *upload;
    for _ in 0..ATTEMPTS {
        let followed = Followed::load(inner, room)?;
        if followed.known.is_none() {
            return Err(GatewayError::NotFound);
        }
        let Some((plan, id)) = upload.plan(followed)? else { return Ok(None) };
        match plan.write() {
            Err(StoreError::EpochMoved { .. } | StoreError::AlreadyAnswered) => inner.rooms.forget(room),
            Err(error) => return Err(error.into()),
            Ok(()) => return Ok(Some(Answer { body: Vec::new(), decision: Some(id) })),
        }
    }
    Err(GatewayError::busy("the room changes faster than its group can be taken up"))
}

impl<'a> Upload<'a> {
    fn plan(&self, followed: Followed) -> Result<Option<(Plan<'a>, Uuid)>, GatewayError> {
        let mut plan = Plan::new(self.inner, followed);
        let case = Case {
            kind: "decision.tracking",
            room: Some(self.room),
            actor: Some(self.user.to_string()),
            peer: self.user.domain(),
            epoch: None,
            exchange: None,
            now: plan.now,
        };
        let (group, leaf) = match self.fit(&plan) {
            Ok(fit) => fit,
            Err(reason) => return Err(self.refuse(case.refuse("group_info_refused", reason, json!({})))),
        };
        let view = group.view().clone();
        let case = Case { actor: Some(leaf.client.to_string()), epoch: Some(view.epoch), ..case };
        if view.epoch < plan.progress.seen_epoch {
            let detail = json!({ "seen": plan.progress.seen_epoch });
            return Err(self.refuse(case.refuse("group_info_stale", "epoch_is_over", detail)));
        }
        let tracked = plan.tracked.clone();
        let seen_epoch = plan.progress.seen_epoch;
        let reason = match &tracked {
            // What leads there is on its way, unless something waits for it in vain.
            Some(tracked) if view.epoch > tracked.view().epoch && !plan.is_waiting() => {
                if !self.last {
                    return Ok(None);
                }
                "group_is_tracked"
            }
            Some(tracked) if view == *tracked.view() => "group_is_tracked",
            Some(tracked) if view.epoch == tracked.view().epoch => {
                let reason = "differs_from_the_tracked_group";
                return Err(self.refuse(case.refuse("group_info_refused", reason, json!({}))));
            }
            // Only where the hub has been heard to be there does it stand above what another client has told.
            Some(tracked) if view.epoch < tracked.view().epoch && view.epoch != seen_epoch => {
                let detail = json!({ "seen": tracked.view().epoch });
                return Err(self.refuse(case.refuse("group_info_stale", "epoch_is_over", detail)));
            }
            Some(_) | None => "group_is_taken_up",
        };
        let record = case.note(reason, json!({ "epoch": view.epoch, "clients": view.leaves.len() }));
        let id = record.event;
        plan.effects.push(Effect::Record(record));
        if reason == "group_is_taken_up" {
            if let Some(out) = envelope::lies_out(&plan.active, &case, &view) {
                plan.effects.push(Effect::Record(AuditRecord { outcome: Outcome::Alarm, ..out.record }));
            }
            self.follow(&mut plan, group, id)?;
        }
        // Whoever is where the tracked group is, and has nothing withheld from it that led there, has been let in by policy
        // since.
        let there = tracked.is_some_and(|tracked| *tracked.view() == view);
        if plan.progress.standing == Standing::Withheld && there && self.is_new(&leaf)? {
            plan.effects.push(Effect::Release);
            plan.progress.standing = Standing::Open;
        }
        plan.take_due()?;
        plan.finish()?;
        Ok(Some((plan, id)))
    }

    fn follow(&self, plan: &mut Plan<'a>, group: Group, decision: Uuid) -> Result<(), GatewayError> {
        let view = group.view().clone();
        let snapshot = group.snapshot().map_err(GatewayError::internal)?;
        let state = GroupState { epoch: view.epoch, snapshot, group_info: group.group_info().to_vec() };
        plan.effects.push(Effect::Follow { group: view.group.clone(), state, by: self.user.clone() });
        let pending = self.pending(plan, view.epoch, decision)?;
        for proposal in &pending {
            plan.effects.push(Effect::Pend { epoch: view.epoch, proposal: proposal.clone() });
        }
        plan.effects.push(Effect::ForgetProposals(None));
        let seen = Seen { epoch: view.epoch, version: plan.next_version };
        // The hub has not said that it is there, so that is not taken for seen.
        plan.progress.taken_up = view.epoch;
        plan.progress.taken_up_at = plan.now;
        let state = RoomState::read(group.view()).map_err(GatewayError::internal)?;
        plan.tracked = Some(
            Hosted::of(self.inner, self.room, Side::Follower, seen, (group, state), pending, &plan.imposed)?.into(),
        );
        Ok(())
    }

    /// Whether the client was not yet in the room when something of it was withheld first.
    fn is_new(&self, leaf: &Leaf) -> Result<bool, GatewayError> {
        let withheld = self.inner.store.read(|conn| follower::withheld_from(conn, self.room))?;
        Ok(withheld.is_none_or(|devices| !devices.contains(&leaf.client)))
    }

    /// The proposals of its epoch that were passed on before it was taken up.
    fn pending(&self, plan: &Plan<'_>, epoch: u64, decision: Uuid) -> Result<Vec<PendingProposal>, GatewayError> {
        let Ok((mut group, _)) = Group::take_up(self.group_info, self.ratchet_tree) else { return Ok(Vec::new()) };
        let kept = self.inner.store.read(|conn| follower::kept(conn, self.room, Why::Proposal, u32::MAX))?;
        let mut pending: Vec<PendingProposal> = Vec::new();
        for row in kept.iter().filter(|row| row.kept.epoch == epoch) {
            let Ok(FanoutMessage { timestamp, body: FanoutBody::Proposal { message, more } }) =
                FanoutMessage::decode(&row.kept.item.payload)
            else {
                continue;
            };
            for message in std::iter::once(message).chain(more) {
                let Some(reference) = group.queue(&message).ok().and_then(|part| part.reference) else { continue };
                if pending.iter().all(|known| known.reference != reference) {
                    pending.push(PendingProposal {
                        reference,
                        message: message.as_bytes().to_vec(),
                        proposer: plan.hub.to_string(),
                        kind: "proposal".to_owned(),
                        accepted_at: timestamp.min(plan.now),
                        decision,
                        bundle: plan.active.engine.bundle_digest(),
                    });
                }
            }
        }
        Ok(pending)
    }

    /// The group, if it can be this room's as a client of this user sees it; else why not.
    fn fit(&self, plan: &Plan<'_>) -> Result<(Group, Leaf), String> {
        let (group, leaf) =
            Group::take_up(self.group_info, self.ratchet_tree).map_err(|error| format!("mls.{}", error.reason()))?;
        let view = group.view();
        if view.epoch > LAST_EPOCH {
            return Err("epoch_is_out_of_range".to_owned());
        }
        if leaf.user != *self.user {
            return Err("signer_is_of_another_user".to_owned());
        }
        if !plan.devices.contains(&leaf.client) {
            return Err("signer_has_not_joined_this_room".to_owned());
        }
        if view.group.domain() != plan.hub {
            return Err("group_is_of_another_hub".to_owned());
        }
        let senders = group.external_senders().map_err(|error| format!("mls.{}", error.reason()))?;
        if !senders.iter().any(|sender| provider_of(&sender.credential).as_ref() == Some(&plan.hub)) {
            return Err("hub_is_no_external_sender".to_owned());
        }
        room::running(view, self.room).map_err(|error| format!("room.{}", error.code()))?;
        Ok((group, leaf))
    }

    /// Refuses, once that is on the record.
    fn refuse(&self, decision: Decision) -> GatewayError {
        match self.inner.record(self.room.as_str(), &decision) {
            Ok(()) => GatewayError::refused(&decision),
            Err(error) => error,
        }
    }
}
