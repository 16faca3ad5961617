//! The end of a room (A26 of the room policy): the hub proposes that everybody goes, takes nothing for it any more, and keeps its
//! name taken. What depends on it ends with it.

use std::sync::Arc;

use portcullis_core::mls::{Effect, external_proposal};
use portcullis_core::policy::{Question, Side};
use portcullis_core::room::Actor;
use portcullis_core::time::Millis;
use portcullis_core::wire::components::Capability;
use portcullis_core::wire::uri::{ClientUri, RoomUri, UserUri};
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::restrictions;
use portcullis_store::rooms::{RoomStatus, Seen};
use portcullis_store::streams::{self, StreamItem};
use portcullis_store::{StoreError, Tx, rooms, ties};
use serde_json::json;
use uuid::Uuid;

use super::create_room::case;
use super::decide::{Decision, bare_facts, bare_question};
use super::fan_out::{self, Delivery};
use super::moderation::MOST_PENDING;
use super::once::{Kept, Once};
use super::places::Of;
use super::reissue;
use super::rooms::Hosted;
use super::{Gateway, GatewayError, Inner};

/// How often it starts over because a room moved on meanwhile.
const ATTEMPTS: usize = 16;

/// Kind of the event that devices of ours get.
const DESTROYED: &str = "room_destroyed";

/// A room that is no more.
#[derive(Clone, Debug)]
pub struct Destroyed {
    /// The decision that allowed it.
    pub decision: Uuid,
}

/// What becomes of one room.
struct End {
    room: RoomUri,
    seen: Seen,
    deliveries: Vec<Delivery>,
    devices: Vec<ClientUri>,
}

impl Gateway {
    /// Destroys a room of ours with those that depend on it ([`Destroyed`]): everybody is told to go, and its name stays taken.
    ///
    /// # Errors
    ///
    /// [`GatewayError::Refused`] by policy, [`GatewayError::NotFound`] for who does not take part.
    pub async fn destroy_room(&self, once: Once, user: UserUri, room: RoomUri) -> Result<Kept, GatewayError> {
        let of = vec![Of::Room(room.clone()), Of::User(user.clone())];
        self.0.blocking(of, move |inner| destroy(inner, once, &user, &room)).await
    }
}

/// Destroys a room, when policy lets `user` do so.
fn destroy(inner: &Inner, once: Once, user: &UserUri, room: &RoomUri) -> Result<Kept, GatewayError> {
    for _ in 0..ATTEMPTS {
        let Some(decision) = decided(inner, user, room)? else {
            return inner.hide(once, room, &case("decision.destroy", room, user, inner.clock.now()));
        };
        if !decision.allow {
            return inner.refuse(once, room.as_str(), &decision);
        }
        let dependents = inner.store.read(|conn| ties::dependents(conn, room))?;
        let mut ends = Vec::new();
        for room in dependents.iter().chain([room]) {
            ends.extend(End::of(inner, room)?);
        }
        match write(inner, once, room, decision, ends) {
            Err(StoreError::EpochMoved { .. }) => {
                dependents.iter().chain([room]).for_each(|room| inner.rooms.forget(room));
            }
            written => {
                dependents.iter().chain([room]).for_each(|room| inner.rooms.forget(room));
                return Ok(written?);
            }
        }
    }
    Err(GatewayError::busy("the room changes faster than it can be destroyed"))
}

/// Whether `user` may; `None` for who has nothing to do with the room. A room without a group its creator may give up.
fn decided(inner: &Inner, user: &UserUri, room: &RoomUri) -> Result<Option<Decision>, GatewayError> {
    let now = inner.clock.now();
    let case = case("decision.destroy", room, user, now);
    let (actor, source) = (Actor::User(user.clone()), user.domain());
    let capability = (Capability::DESTROY_ROOM, None);
    let active = inner.policy.active();
    let Some(head) = inner.store.read(|conn| rooms::head(conn, room))? else { return Ok(None) };
    match head.status {
        RoomStatus::Waiting if head.creator == *user => {
            let imposed = inner.store.read(|conn| restrictions::restrictions(conn, room))?;
            let facts = bare_facts(room, Side::Hub, &imposed);
            let question =
                Question { alternative_granted: true, ..bare_question(&facts, &actor, capability, &source, now) };
            Ok(Some(case.decide(&active, &[question])))
        }
        RoomStatus::Active => {
            let hosted = inner.hosted(room)?;
            if !hosted.state.is_listed(user) {
                return Ok(None);
            }
            if hosted.blocks(user) {
                return Ok(Some(case.refuse("not_allowed", "room.blocked", json!({ "user": user }))));
            }
            let role = hosted.state.role_of(user);
            let question = Question {
                from_role: role,
                to_role: role,
                transition_authorized: true,
                suite: hosted.view().suite,
                epoch: hosted.view().epoch,
                ..bare_question(&hosted.facts, &actor, capability, &source, now)
            };
            let decision = case.decide(&active, &[question]);
            // A role that is about to be taken away gives no right any more (reading D-51).
            if decision.allow && !hosted.effective.holds(&hosted.state, user, Capability::DESTROY_ROOM) {
                return Ok(Some(case.refuse("not_allowed", "room.demoted", json!({ "user": user }))));
            }
            Ok(Some(decision))
        }
        RoomStatus::Waiting | RoomStatus::Followed | RoomStatus::Lost | RoomStatus::Destroyed => Ok(None),
    }
}

impl End {
    /// `None` for a room that is no more.
    fn of(inner: &Inner, room: &RoomUri) -> Result<Option<Self>, GatewayError> {
        let Some(head) = inner.store.read(|conn| rooms::head(conn, room))? else { return Ok(None) };
        match head.status {
            RoomStatus::Active => {
                let hosted = inner.hosted(room)?;
                let own = |client: &&ClientUri| inner.is_ours(&client.domain());
                let devices = hosted.view().leaves.iter().map(|leaf| &leaf.client).filter(own).cloned().collect();
                let deliveries = farewell(inner, &hosted)?;
                Ok(Some(Self { room: room.clone(), seen: hosted.seen, deliveries, devices }))
            }
            RoomStatus::Waiting => {
                Ok(Some(Self { room: room.clone(), seen: head.seen(), deliveries: Vec::new(), devices: Vec::new() }))
            }
            RoomStatus::Followed | RoomStatus::Lost | RoomStatus::Destroyed => Ok(None),
        }
    }

    fn write(&self, tx: &mut Tx<'_>, now: Millis) -> Result<(), StoreError> {
        let at = match self.deliveries.is_empty() {
            true => now,
            false => rooms::accept_proposals(tx, &self.room, self.seen, now)?,
        };
        // What is proposed moves the room's version by one.
        let moved = u64::from(!self.deliveries.is_empty());
        self.deliveries.iter().try_for_each(|delivery| delivery.write(tx, &self.room, at))?;
        let item =
            StreamItem { room: Some(self.room.clone()), kind: DESTROYED.to_owned(), payload: Vec::new(), at: now };
        streams::push(tx, &self.devices, &item)?;
        ties::destroy(tx, &self.room, Seen { version: self.seen.version + moved, ..self.seen }, now)
    }
}

/// Removes of all clients that nobody has proposed to remove yet. Nobody commits them: they tell everybody that this is the end.
fn farewell(inner: &Inner, hosted: &Arc<Hosted>) -> Result<Vec<Delivery>, GatewayError> {
    let Some((own, key)) = reissue::position(inner, hosted)? else { return Ok(Vec::new()) };
    let pending = hosted.group.pending();
    let goes = |index: u32| {
        pending.iter().any(|part| match &part.effect {
            Effect::Remove { leaf, .. } | Effect::SelfRemove { leaf, .. } => *leaf == index,
            _ => false,
        })
    };
    let remove = |leaf: u32| external_proposal::remove(hosted.view(), own, leaf, key).map_err(GatewayError::internal);
    let leaves = hosted.view().leaves.iter().map(|leaf| leaf.index).filter(|index| !goes(*index));
    let removes = leaves.map(remove).collect::<Result<Vec<_>, GatewayError>>()?;
    Ok(removes.chunks(MOST_PENDING).flat_map(|removes| fan_out::of_proposals(inner, hosted, removes)).collect())
}

fn write(inner: &Inner, once: Once, room: &RoomUri, decision: Decision, ends: Vec<End>) -> Result<Kept, StoreError> {
    let (id, now, named) = (decision.id(), decision.record.at, room.clone());
    inner.store.write(room.as_str(), move |tx: &mut Tx<'_>| {
        for end in &ends {
            end.write(tx, now)?;
            tx.stage(&AuditRecord {
                room: Some(end.room.clone()),
                actor: decision.record.actor.clone(),
                reason: if end.room == named { "destroyed" } else { "destroyed_with_its_parent" }.to_owned(),
                detail: json!({ "decision": id, "epoch": end.seen.epoch }),
                ..AuditRecord::new(Uuid::now_v7(), now, "room.destroyed", Outcome::Info)
            })?;
        }
        tx.stage(&decision.record)?;
        once.keep(tx, Destroyed { decision: id })
    })
}
