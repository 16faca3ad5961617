//! Rooms of our own: the record first, then the group that its creator starts.

use std::collections::BTreeMap;

use portcullis_core::identity::credential::provider_credential;
use portcullis_core::mls::Group;
use portcullis_core::policy::{Question, Side};
use portcullis_core::room::{self, Actor, TemplateInput};
use portcullis_core::wire::Wire;
use portcullis_core::wire::components::{Capability, FrankingAgent};
use portcullis_core::wire::update::Extension;
use portcullis_core::wire::uri::{ClientUri, GroupUri, RoomUri, UserUri};
use portcullis_store::restrictions::{self, Place, Restriction, Restrictions};
use portcullis_store::rooms::{GroupState, NewRoom as NewRow, RoomHead, RoomStatus};
use portcullis_store::{StoreError, Tx, devices, leaves, rooms};
use serde_json::json;
use uuid::Uuid;

use super::decide::{Case, Decision, bare_facts};
use super::once::{Kept, Once};
use super::policy::Active;
use super::{Answer, GatewayError, Inner};

/// X25519, AES-128-GCM, SHA-256, Ed25519 (RFC 9420, section 17.1): the suite of the rooms we create.
const SUITE: u16 = 1;

/// A room to be created.
#[derive(Clone, Debug)]
pub struct NewRoom {
    /// Its identifier, under one of our domains.
    pub room: RoomUri,
    /// The template's name, such as `strict`.
    pub template: String,
    /// Display name put into the room metadata.
    pub name: String,
}

/// A room that waits for its first group.
#[derive(Clone, Debug)]
pub struct CreatedRoom {
    /// Identifier of the room.
    pub room: RoomUri,
    /// MLS group id to use.
    pub group: GroupUri,
    /// MLS ciphersuite to use.
    pub suite: u16,
    /// GroupContext extensions to use, TLS-encoded `Extension extensions<V>`.
    pub extensions: Vec<u8>,
    /// The decision that allowed it.
    pub decision: Uuid,
}

/// Creates the record of a room, when policy allows it.
pub(super) fn create(inner: &Inner, once: Once, creator: &UserUri, new: &NewRoom) -> Result<Kept, GatewayError> {
    let now = inner.clock.now();
    let domain = creator.domain();
    let case = case("decision.room", &new.room, creator, now);
    if new.room.domain() != domain || !inner.hosts(&new.room) {
        let decision = case.refuse("wrong_identity", "room_is_not_of_the_creator_s_provider", json!({}));
        return inner.refuse(once, creator.as_str(), &decision);
    }
    let active = inner.policy.active();
    let Some(extensions) = compiled(inner, &active, new, creator) else {
        let refused = case.refuse("unknown_template", "unknown_template", json!({ "template": new.template }));
        let sentence = format!("there is no room template `{}`", new.template);
        return inner.refuse(once, creator.as_str(), &Decision { sentence, ..refused });
    };
    // Who is out of all rooms is out of those to come.
    let imposed = imposed_on(inner, &new.room, creator)?;
    let facts = bare_facts(&new.room, Side::Hub, &imposed);
    let actor = Actor::User(creator.clone());
    let question = Question {
        room: &facts,
        actor: &actor,
        capability: Capability::CREATE_ROOM,
        target: None,
        from_role: 0,
        to_role: 0,
        transition_authorized: false,
        alternative_granted: false,
        preauthorized: false,
        external: false,
        suite: SUITE,
        epoch: 0,
        message_bytes: 0,
        source: &domain,
        now,
    };
    let decision = case.decide(&active, &[question]);
    let id = decision.id();
    if !decision.allow {
        return inner.refuse(once, new.room.as_str(), &decision);
    }
    let group =
        GroupUri::parse(&format!("mimi://{domain}/g/{}", new.room.last_segment())).map_err(GatewayError::internal)?;
    let row = NewRow {
        room: new.room.clone(),
        group: group.clone(),
        template: new.template.clone(),
        creator: creator.clone(),
    };
    let created = CreatedRoom { room: new.room.clone(), group, suite: SUITE, extensions, decision: id };
    // A room that exists is a conflict.
    Ok(inner.store.write(new.room.as_str(), move |tx: &mut Tx<'_>| {
        rooms::create(tx, &row, now)?;
        tx.stage(&decision.record)?;
        once.keep(tx, created.clone())
    })?)
}

/// Takes the group that the creator has started for the room.
pub(super) fn start_group(
    inner: &Inner,
    user: &UserUri,
    room: &RoomUri,
    group_info: &[u8],
    ratchet_tree: &[u8],
) -> Result<Answer, GatewayError> {
    let head = inner.store.read(|conn| rooms::head(conn, room))?.ok_or(GatewayError::NotFound)?;
    let now = inner.clock.now();
    let case = case("decision.group", room, user, now);
    // To everybody else the room does not exist.
    if head.creator != *user {
        return inner.hide(Once::unnamed(), room, &case);
    }
    if head.status != RoomStatus::Waiting {
        return Err(GatewayError::Conflict);
    }
    // It may have been imposed after the room was created.
    if imposed_on(inner, room, user)?.barred.contains(user) {
        let decision = case.refuse("not_allowed", "room.barred", json!({ "user": user }));
        return inner.refuse(Once::unnamed(), room.as_str(), &decision);
    }
    let group = match agreed(inner, &head, group_info, ratchet_tree) {
        Ok(group) => group,
        Err(reason) => {
            let decision = case.refuse("not_the_created_room", reason, json!({ "template": head.template }));
            return inner.refuse(Once::unnamed(), room.as_str(), &decision);
        }
    };
    let first = GroupState {
        epoch: group.view().epoch,
        snapshot: group.snapshot().map_err(GatewayError::internal)?,
        group_info: group.group_info().to_vec(),
    };
    let record = case.note("group_started", json!({ "template": head.template }));
    let (id, started, creator, seen) = (record.event, room.clone(), user.clone(), head.version);
    let leaves = group.view().leaves.clone();
    let clients: Vec<ClientUri> = leaves.iter().map(|leaf| leaf.client.clone()).collect();
    let written = inner.store.write(room.as_str(), move |tx: &mut Tx<'_>| {
        let held = devices::hold_all(tx, &clients)?;
        if clients.iter().any(|client| held.get(client) != Some(&creator)) {
            return Ok(false);
        }
        clients.iter().try_for_each(|client| devices::see(tx, client, now))?;
        rooms::start_group(tx, &started, seen, &first, now)?;
        leaves::record(tx, &started, first.epoch, &leaves)?;
        tx.stage(&record)?;
        Ok(true)
    });
    match written {
        Ok(false) => {
            let decision = case.refuse("not_the_created_room", "client_is_not_registered", json!({}));
            inner.refuse(Once::unnamed(), room.as_str(), &decision)
        }
        Ok(true) => Ok(Answer { body: Vec::new(), decision: Some(id) }),
        Err(StoreError::Missing) => Err(GatewayError::Conflict),
        Err(error) => Err(error.into()),
    }
}

/// What is imposed on a room that has no group yet, and on its creator.
fn imposed_on(inner: &Inner, room: &RoomUri, creator: &UserUri) -> Result<Restrictions, GatewayError> {
    let deprovisioned = Restriction::Deprovisioned(creator.clone());
    Ok(inner.store.read(|conn| {
        let mut imposed = restrictions::restrictions(conn, room)?;
        if restrictions::is_in_force(conn, &Place::Everywhere, &deprovisioned)? {
            imposed.barred.users.insert(creator.clone());
        }
        Ok::<_, StoreError>(imposed)
    })?)
}

/// The group, if it is exactly what the template makes of this room, with its creator's client and nobody else's.
fn agreed(inner: &Inner, head: &RoomHead, group_info: &[u8], ratchet_tree: &[u8]) -> Result<Group, String> {
    let group = Group::found(group_info, ratchet_tree).map_err(|error| format!("mls.{}", error.reason()))?;
    let view = group.view();
    if view.group != head.group || view.suite != SUITE || view.epoch != 0 {
        return Err("group_id_suite_or_epoch_differs".to_owned());
    }
    let state = room::found(view, &head.room, &head.creator).map_err(|error| format!("room.{}", error.code()))?;
    let name = state.metadata().map(|metadata| metadata.name.clone()).unwrap_or_default();
    let new = NewRoom { room: head.room.clone(), template: head.template.clone(), name };
    let expected = compiled(inner, &inner.policy.active(), &new, &head.creator);
    let expected = expected.ok_or_else(|| "template_is_gone".to_owned())?;
    if by_type(&group.extensions().map_err(|error| format!("mls.{}", error.reason()))?) != by_type(&expected) {
        return Err("group_differs_from_template".to_owned());
    }
    Ok(group)
}

/// The GroupContext extensions that the template makes of a room; `None` when there is no such template.
fn compiled(inner: &Inner, active: &Active, new: &NewRoom, creator: &UserUri) -> Option<Vec<u8>> {
    let domain = new.room.domain();
    let hub = inner.hub_sender(&domain);
    let franking_agent =
        FrankingAgent { signature_key: inner.keys.franking.public(), credential: provider_credential(&domain) };
    let input = TemplateInput { room: &new.room, name: &new.name, creator, hub: &hub, franking_agent: &franking_agent };
    Some(active.bundle.template(&new.template)?.compile(&input))
}

/// Extensions regardless of their order, which has no meaning.
fn by_type(extensions: &[u8]) -> Option<BTreeMap<u16, Vec<u8>>> {
    let extensions = Vec::<Extension>::decode(extensions).ok()?;
    Some(extensions.into_iter().map(|extension| (extension.extension_type, extension.data)).collect())
}

fn case<'a>(kind: &'static str, room: &'a RoomUri, user: &UserUri, now: portcullis_core::time::Millis) -> Case<'a> {
    Case {
        kind,
        room: Some(room),
        actor: Some(user.to_string()),
        peer: user.domain(),
        epoch: Some(0),
        exchange: None,
        now,
    }
}
