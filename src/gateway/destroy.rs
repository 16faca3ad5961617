//! The end of a room (A26 of the room policy): the hub proposes that everybody goes, takes nothing for it any more, and keeps its
//! name taken. What depends on it ends with it.

use std::sync::Arc;

use portcullis_core::mls::{Effect, external_proposal};
use portcullis_core::policy::{Question, RoomFacts, Side};
use portcullis_core::room::Actor;
use portcullis_core::time::Millis;
use portcullis_core::wire::components::Capability;
use portcullis_core::wire::uri::{ClientUri, Domain, RoomUri, UserUri};
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::restrictions;
use portcullis_store::rooms::{RoomHead, RoomStatus, Seen};
use portcullis_store::streams::{self, StreamItem};
use portcullis_store::{StoreError, Tx, rooms, ties};
use serde_json::json;
use uuid::Uuid;

use super::admin::Changed;
use super::create_room::case;
use super::decide::{Case, Decision, bare_facts, bare_question};
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

/// A room that can be destroyed, as it was when that was decided.
enum Found {
    Active(Arc<Hosted>),
    Waiting { head: Box<RoomHead>, facts: Box<RoomFacts> },
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
    /// [`GatewayError::Refused`] by policy, for the room or for one that depends on it; [`GatewayError::NotFound`] for who does
    /// not take part.
    pub async fn destroy_room(&self, once: Once, user: UserUri, room: RoomUri) -> Result<Kept, GatewayError> {
        let of = vec![Of::Room(room.clone()), Of::User(user.clone())];
        self.0.blocking(of, move |inner| destroy(inner, once, &user, &room)).await
    }

    /// Destroys a room of ours by order of whoever runs the gateway's own machine, where no policy is asked.
    ///
    /// # Errors
    ///
    /// [`GatewayError::NotFound`] for a room that is not ours or no more, [`GatewayError::Refused`] for one under legal hold, or with
    /// one that depends on it.
    pub async fn destroy_room_from_host(&self, room: RoomUri, order: Order) -> Result<(), GatewayError> {
        let work = move |inner: &Arc<Inner>| {
            let record = AuditRecord {
                room: Some(room.clone()),
                actor: Some(order.by.clone()),
                reason: order.reason.clone(),
                detail: json!({ "case": order.case }),
                ..AuditRecord::new(Uuid::now_v7(), inner.clock.now(), "moderation.destroy", Outcome::Info)
            };
            by_order(inner, Once::unnamed(), &room, &record, &order).map(drop)
        };
        self.0.blocking(Vec::new(), work).await
    }
}

/// Rooms that are no more by an order.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The room, and behind it those that depended on it.
    pub rooms: Vec<RoomUri>,
}

/// Why people of the company end a room.
#[derive(Clone, Debug)]
pub struct Order {
    /// Who.
    pub by: String,
    /// In the person's own words.
    pub reason: String,
    /// Number of the case; empty for none.
    pub case: String,
}

/// Destroys a room, when policy lets `user` do so.
fn destroy(inner: &Inner, once: Once, user: &UserUri, room: &RoomUri) -> Result<Kept, GatewayError> {
    until_written(inner, room, || {
        let case = case("decision.destroy", room, user, inner.clock.now());
        let (found, dependents) = match Found::with_dependents(inner, room)? {
            Some(all) if all.0.concerns(user) => all,
            Some(_) | None => return inner.hide(once, room, &case),
        };
        let decision = decided(inner, &case, user, &found, &dependents);
        if !decision.allow {
            return inner.refuse(once, room.as_str(), &decision);
        }
        end(inner, once, (room, &found, &dependents), &decision.record, None)
    })
}

/// Destroys a room because people of the company want it to be: `record` says who lets them. What is under legal hold stays.
///
/// # Errors
///
/// [`GatewayError::NotFound`] for a room that is not ours or no more, [`GatewayError::Refused`] for one under legal hold, or with one
/// that depends on it.
pub(super) fn by_order(
    inner: &Inner,
    once: Once,
    room: &RoomUri,
    record: &AuditRecord,
    order: &Order,
) -> Result<Kept, GatewayError> {
    until_written(inner, room, || {
        let (found, dependents) = Found::with_dependents(inner, room)?.ok_or(GatewayError::NotFound)?;
        if let Some(held) = std::iter::once(&found).chain(&dependents).find(|found| found.facts().legal_hold) {
            let (kind, actor, peer) = ("decision.destroy", Some(order.by.clone()), room.domain());
            let now = inner.clock.now();
            let case = Case { kind, room: Some(room), actor, peer, epoch: None, exchange: None, now };
            let held = json!({ "room": held.room(), "case": order.case });
            return inner.refuse(once, room.as_str(), &case.refuse("not_allowed", "room.legal_hold", held));
        }
        end(inner, once, (room, &found, &dependents), record, Some(order))
    })
}

/// Starts over as long as the room has moved on meanwhile.
fn until_written(
    inner: &Inner,
    room: &RoomUri,
    attempt: impl Fn() -> Result<Option<Kept>, GatewayError>,
) -> Result<Kept, GatewayError> {
    for _ in 0..ATTEMPTS {
        let written = attempt();
        if let Some(kept) = written? {
            return Ok(kept);
        }
        inner.rooms.forget(room);
    }
    Err(GatewayError::busy("the room changes faster than it can be destroyed"))
}

/// Ends a room with all that depend on it; `None` when one of them has moved on since it was looked at.
fn end(
    inner: &Inner,
    once: Once,
    (room, found, dependents): (&RoomUri, &Found, &[Found]),
    record: &AuditRecord,
    order: Option<&Order>,
) -> Result<Option<Kept>, GatewayError> {
    // The parent first, as everybody takes hold of it before what depends on it.
    let all = || std::iter::once(found).chain(dependents);
    let ends = all().map(|found| End::of(inner, found)).collect::<Result<Vec<_>, GatewayError>>()?;
    let written = write(inner, once, room, record.clone(), (ends, order.cloned()));
    all().for_each(|found| inner.rooms.forget(found.room()));
    match written {
        Err(StoreError::EpochMoved { .. }) => Ok(None),
        written => Ok(Some(written?)),
    }
}

/// Whether `user` may: the room and all that end with it are asked about, for each may be held by what is imposed on it alone.
fn decided(inner: &Inner, case: &Case<'_>, user: &UserUri, found: &Found, dependents: &[Found]) -> Decision {
    let (actor, source) = (Actor::User(user.clone()), user.domain());
    if let Found::Active(hosted) = found
        && hosted.blocks(user)
    {
        return case.refuse("not_allowed", "room.blocked", json!({ "user": user }));
    }
    let about = |found| question(found, user, &actor, &source, case.now);
    // A room without a group its creator may give up.
    let of_itself = Question { alternative_granted: matches!(found, Found::Waiting { .. }), ..about(found) };
    // Who may destroy the parent needs no role in what depends on it.
    let of_dependents = dependents.iter().map(|found| Question { alternative_granted: true, ..about(found) });
    let questions: Vec<Question<'_>> = std::iter::once(of_itself).chain(of_dependents).collect();
    let decision = case.decide(&inner.policy.active(), &questions);
    // A role that is about to be taken away gives no right any more (reading D-51).
    if let Found::Active(hosted) = found
        && decision.allow
        && !hosted.effective.holds(&hosted.state, user, Capability::DESTROY_ROOM)
    {
        return case.refuse("not_allowed", "room.demoted", json!({ "user": user }));
    }
    decision
}

/// The question whether one room may be destroyed.
fn question<'a>(found: &'a Found, user: &UserUri, actor: &'a Actor, source: &'a Domain, now: Millis) -> Question<'a> {
    let capability = (Capability::DESTROY_ROOM, None);
    match found {
        Found::Waiting { facts, .. } => bare_question(facts, actor, capability, source, now),
        Found::Active(hosted) => {
            let role = hosted.state.role_of(user);
            Question {
                from_role: role,
                to_role: role,
                transition_authorized: true,
                suite: hosted.view().suite,
                epoch: hosted.view().epoch,
                ..bare_question(&hosted.facts, actor, capability, source, now)
            }
        }
    }
}

impl Found {
    /// `None` for a room that is no more, or is not ours.
    fn find(inner: &Inner, room: &RoomUri) -> Result<Option<Self>, GatewayError> {
        // What is imposed is read after the version, so that what is imposed later moves it.
        let read = inner.store.read(|conn| {
            let Some(head) = rooms::head(conn, room)? else { return Ok(None) };
            Ok::<_, StoreError>(Some((head, restrictions::restrictions(conn, room)?)))
        });
        let Some((head, imposed)) = read? else { return Ok(None) };
        match head.status {
            RoomStatus::Active => match inner.hosted(room) {
                Ok(hosted) => Ok(Some(Self::Active(hosted))),
                Err(GatewayError::NotFound) => Ok(None),
                Err(error) => Err(error),
            },
            RoomStatus::Waiting => {
                let facts = Box::new(bare_facts(room, Side::Hub, &imposed));
                Ok(Some(Self::Waiting { head: Box::new(head), facts }))
            }
            RoomStatus::Followed | RoomStatus::Lost | RoomStatus::Destroyed => Ok(None),
        }
    }

    /// A room, and what ends with it.
    fn with_dependents(inner: &Inner, room: &RoomUri) -> Result<Option<(Self, Vec<Self>)>, GatewayError> {
        let Some(found) = Self::find(inner, room)? else { return Ok(None) };
        // Looked for after the room: whatever comes to depend on it from then on moves it, and this starts over.
        let mut dependents = Vec::new();
        for dependent in inner.store.read(|conn| ties::dependents(conn, room))? {
            dependents.extend(Self::find(inner, &dependent)?);
        }
        Ok(Some((found, dependents)))
    }

    fn facts(&self) -> &RoomFacts {
        match self {
            Self::Active(hosted) => &hosted.facts,
            Self::Waiting { facts, .. } => facts,
        }
    }

    fn room(&self) -> &RoomUri {
        match self {
            Self::Active(hosted) => &hosted.room,
            Self::Waiting { head, .. } => &head.room,
        }
    }

    /// Whether there is such a room for `user`; one without a group there is for its creator alone.
    fn concerns(&self, user: &UserUri) -> bool {
        match self {
            Self::Active(hosted) => hosted.state.is_listed(user),
            Self::Waiting { head, .. } => head.creator == *user,
        }
    }
}

impl End {
    fn of(inner: &Inner, found: &Found) -> Result<Self, GatewayError> {
        match found {
            Found::Active(hosted) => {
                let own = |client: &&ClientUri| inner.is_ours(&client.domain());
                let devices = hosted.view().leaves.iter().map(|leaf| &leaf.client).filter(own).cloned().collect();
                let deliveries = farewell(inner, hosted)?;
                Ok(Self { room: hosted.room.clone(), seen: hosted.seen, deliveries, devices })
            }
            Found::Waiting { head, .. } => {
                Ok(Self { room: head.room.clone(), seen: head.seen(), deliveries: Vec::new(), devices: Vec::new() })
            }
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

fn write(
    inner: &Inner,
    once: Once,
    room: &RoomUri,
    record: AuditRecord,
    (ends, order): (Vec<End>, Option<Order>),
) -> Result<Kept, StoreError> {
    let (id, now, named) = (record.event, record.at, room.clone());
    inner.store.write(room.as_str(), move |tx: &mut Tx<'_>| {
        for end in &ends {
            end.write(tx, now)?;
            tx.stage(&AuditRecord {
                room: Some(end.room.clone()),
                actor: record.actor.clone(),
                reason: if end.room == named { "destroyed" } else { "destroyed_with_its_parent" }.to_owned(),
                detail: match &order {
                    None => json!({ "decision": id, "epoch": end.seen.epoch }),
                    Some(Order { reason, case, .. }) => {
                        json!({ "decision": id, "epoch": end.seen.epoch, "why": reason, "case": case })
                    }
                },
                ..AuditRecord::new(Uuid::now_v7(), now, "room.destroyed", Outcome::Info)
            })?;
        }
        tx.stage(&record)?;
        match &order {
            None => once.keep(tx, Destroyed { decision: id }),
            Some(_) => {
                let rooms = ends.iter().map(|end| end.room.clone()).collect();
                once.keep(tx, Changed { value: Ended { rooms }, decision: id })
            }
        }
    })
}
