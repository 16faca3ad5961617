//! The next group of a room that nobody is left in: MLS has no group without members, so a room that outlives them is a
//! sequence of groups (draft-ietf-mimi-room-policy, "persistent_room"; reading D-8).

use portcullis_core::mls::{Effect, Group};
use portcullis_core::room::{self, RoomState, asset_hosts};
use portcullis_core::wire::uri::{ClientUri, GroupUri, RoomUri, UserUri};
use portcullis_store::rooms::GroupState;
use portcullis_store::ties::{self as stored, NextGroup};
use portcullis_store::{StoreError, Tx, asset_hosts as stored_hosts, devices, leaves};
use serde_json::json;
use uuid::Uuid;

use super::create_room::{CreatedRoom, SUITE, by_type, case};
use super::decide::question;
use super::once::{Kept, Once};
use super::places::Of;
use super::policy::envelope;
use super::rooms::Hosted;
use super::{Answer, Gateway, GatewayError, Inner, moderation};

impl Gateway {
    /// Answers what the next group of a room must be started with in which nobody is left ([`CreatedRoom`]).
    ///
    /// # Errors
    ///
    /// [`GatewayError::Refused`] by policy, [`GatewayError::Conflict`] while somebody is in the group,
    /// [`GatewayError::NotFound`] for who does not take part.
    pub async fn next_group(&self, once: Once, user: UserUri, room: RoomUri) -> Result<Kept, GatewayError> {
        let of = vec![Of::Room(room.clone()), Of::User(user.clone())];
        self.0.blocking(of, move |inner| ask(inner, once, &user, &room)).await
    }
}

/// Answers what the next group of a room must be made with, to a participant that may bring in clients.
fn ask(inner: &Inner, once: Once, user: &UserUri, room: &RoomUri) -> Result<Kept, GatewayError> {
    let hosted = inner.hosted(room)?;
    let now = inner.clock.now();
    let case = case("decision.group", room, user, now);
    if !hosted.state.is_listed(user) {
        return inner.hide(once, room, &case);
    }
    if hosted.effective.is_out(&hosted.state, user) {
        let decision = case.refuse("not_allowed", "room.blocked", json!({ "user": user }));
        return inner.refuse(once, room.as_str(), &decision);
    }
    if !is_left(&hosted) {
        return Err(GatewayError::Conflict);
    }
    let action = hosted.state.own_client(user);
    let source = user.domain();
    let asked = question(&hosted.facts, &action, (SUITE, 0), &source, now);
    let decision = case.decide(&inner.policy.active(), &[asked]);
    if !decision.allow {
        return inner.refuse(once, room.as_str(), &decision);
    }
    let fresh = format!("mimi://{}/g/{}", room.domain(), Uuid::new_v4());
    let group = GroupUri::parse(&fresh).map_err(GatewayError::internal)?;
    let extensions = successor(inner, &hosted)?;
    let answer = CreatedRoom {
        room: room.clone(),
        group: group.clone(),
        suite: SUITE,
        extensions,
        granted_in_vain: Vec::new(),
        decision: decision.id(),
    };
    let (next, of, seen) = (NextGroup { group, starter: user.clone() }, room.clone(), hosted.seen);
    let written = inner.store.write(room.as_str(), move |tx: &mut Tx<'_>| {
        stored::hold(tx, &of, seen)?;
        stored::await_group(tx, &of, &next, now)?;
        tx.stage(&decision.record)?;
        once.keep(tx, answer.clone())
    });
    Ok(written?)
}

/// Takes the group that a participant has started for the room.
pub(super) fn start(
    inner: &Inner,
    user: &UserUri,
    room: &RoomUri,
    wanted: &GroupUri,
    (group_info, ratchet_tree): (&[u8], &[u8]),
) -> Result<Answer, GatewayError> {
    let hosted = inner.hosted(room)?;
    let now = inner.clock.now();
    let case = case("decision.group", room, user, now);
    // Somebody has come back since, or this user is out.
    if !is_left(&hosted) || hosted.effective.is_out(&hosted.state, user) || !hosted.state.is_listed(user) {
        return Err(GatewayError::Conflict);
    }
    let expected = successor(inner, &hosted)?;
    let (group, state) = match fit(&expected, wanted, (room, user), (group_info, ratchet_tree)) {
        Ok(fit) => fit,
        Err(reason) => {
            let decision = case.refuse("not_the_created_room", reason, json!({}));
            return inner.refuse(Once::unnamed(), room.as_str(), &decision);
        }
    };
    let after = group.view();
    if let Some(decision) = envelope::leads_out(&inner.policy.active(), &case, hosted.view(), after) {
        return inner.refuse(Once::unnamed(), room.as_str(), &decision);
    }
    let first = GroupState {
        epoch: group.view().epoch,
        snapshot: group.snapshot().map_err(GatewayError::internal)?,
        group_info: group.group_info().to_vec(),
    };
    let record = case.note("next_group_started", json!({ "group": wanted, "former_epoch": hosted.view().epoch }));
    let assets = asset_hosts(group.view());
    let settled = moderation::settled(&hosted, group.view(), &state);
    let (id, of, seen) = (record.event, room.clone(), hosted.seen);
    let (wanted, starter, new) = (wanted.clone(), user.clone(), group.view().leaves.clone());
    let clients: Vec<ClientUri> = new.iter().map(|leaf| leaf.client.clone()).collect();
    let written = inner.store.write(room.as_str(), move |tx: &mut Tx<'_>| {
        let held = devices::hold_all(tx, &clients)?;
        if clients.iter().any(|client| held.get(client) != Some(&starter)) {
            return Ok(false);
        }
        clients.iter().try_for_each(|client| devices::see(tx, client, now))?;
        stored::replace_group(tx, &of, seen, (&wanted, &first))?;
        leaves::record(tx, &of, first.epoch, &new)?;
        stored_hosts::replace(tx, &of, &assets)?;
        settled.write(tx, &of, now)?;
        tx.stage(&record)?;
        Ok::<_, StoreError>(true)
    });
    inner.rooms.forget(room);
    match written {
        Ok(true) => Ok(Answer { body: Vec::new(), decision: Some(id) }),
        Ok(false) => {
            let decision = case.refuse("not_the_created_room", "client_is_not_registered", json!({}));
            inner.refuse(Once::unnamed(), room.as_str(), &decision)
        }
        Err(StoreError::EpochMoved { .. }) => Err(GatewayError::Conflict),
        Err(error) => Err(error.into()),
    }
}

/// Whether every client in the group is on its way out, or has no rights any more: nobody is there to commit it.
fn is_left(hosted: &Hosted) -> bool {
    let pending = hosted.group.pending();
    let goes = |index: u32| {
        pending.iter().any(|part| match &part.effect {
            Effect::Remove { leaf, .. } | Effect::SelfRemove { leaf, .. } => *leaf == index,
            _ => false,
        })
    };
    let out = |user: &UserUri| hosted.restrictions.barred.contains(user);
    let mut leaves = hosted.view().leaves.iter();
    hosted.state.base_policy().persistent_room
        && leaves.all(|leaf| goes(leaf.index) || out(&leaf.user) || hosted.restrictions.is_gone(leaf))
}

fn successor(inner: &Inner, hosted: &Hosted) -> Result<Vec<u8>, GatewayError> {
    let domain = hosted.room.domain();
    let extensions = hosted.group.extensions().map_err(GatewayError::internal)?;
    let (hub, agent) = (inner.hub_sender(&domain), inner.franking_agent(&domain));
    // Whose leaving was accepted has left; so has whom a moderator has taken out until it is off the list.
    let removed = |user: &UserUri| {
        hosted
            .restrictions
            .here
            .iter()
            .any(|imposed| moderation::ends_off_the_list(imposed) && imposed.ends_rights_of(user))
    };
    let gone = |user: &UserUri| hosted.effective.leaving().contains(user) || removed(user);
    room::successor(hosted.view(), &extensions, (&hub, &agent), gone).map_err(GatewayError::internal)
}

/// The group, if it is what was asked for, with clients of its starter and nobody else's.
fn fit(
    expected: &[u8],
    wanted: &GroupUri,
    (room, user): (&RoomUri, &UserUri),
    (group_info, ratchet_tree): (&[u8], &[u8]),
) -> Result<(Group, RoomState), String> {
    let group = Group::found(group_info, ratchet_tree).map_err(|error| format!("mls.{}", error.reason()))?;
    let view = group.view();
    if view.group != *wanted || view.suite != SUITE || view.epoch != 0 {
        return Err("group_id_suite_or_epoch_differs".to_owned());
    }
    let state = room::found(view, room, user).map_err(|error| format!("room.{}", error.code()))?;
    if by_type(&group.extensions().map_err(|error| format!("mls.{}", error.reason()))?) != by_type(expected) {
        return Err("group_differs_from_its_predecessor".to_owned());
    }
    Ok((group, state))
}
