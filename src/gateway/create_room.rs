//! Rooms of our own: the record first, then the group that its creator starts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portcullis_core::mls::Group;
use portcullis_core::policy::{GrantedInVain, NEUTRAL_SENTENCE, Question, Side};
use portcullis_core::room::{self, About, Actor, RoomState, Template, TemplateInput, asset_hosts};
use portcullis_core::wire::Wire;
use portcullis_core::wire::components::{Capability, FrankingAgent, ParticipantList};
use portcullis_core::wire::external_sender::ExternalSender;
use portcullis_core::wire::update::Extension;
use portcullis_core::wire::uri::{ClientUri, GroupUri, RoomUri, UserUri};
use portcullis_store::restrictions::{self, Place, Restriction, Restrictions};
use portcullis_store::rooms::{GroupState, NewRoom as NewRow, RoomHead, RoomStatus};
use portcullis_store::{StoreError, Tx, asset_hosts as stored_hosts, devices, leaves, rooms, ties as stored};
use serde_json::json;
use uuid::Uuid;

use super::decide::{Case, Decision, bare_facts, bare_question};
use super::once::{Kept, Once};
use super::policy::{Active, envelope};
use super::rooms::Hosted;
use super::{Answer, GatewayError, Inner, next_group, ties};

/// X25519, AES-128-GCM, SHA-256, Ed25519 (RFC 9420, section 17.1): the suite of the rooms we create.
pub(super) const SUITE: u16 = 1;

/// Most users that a room starts with beside its creator.
const MOST_PARTICIPANTS: usize = 256;

/// Most rooms that depend on one: who leaves it leaves them in one transaction.
const MOST_DEPENDENTS: usize = 64;

/// A room to be created.
#[derive(Clone, Debug)]
pub struct NewRoom {
    /// Its identifier, under one of our domains.
    pub room: RoomUri,
    /// The template's name, such as `strict`.
    pub template: String,
    /// What its metadata say of it.
    pub about: About,
    /// Who else takes part from the start; for templates of fixed membership only.
    pub participants: Vec<UserUri>,
    /// The room of ours that it depends on.
    pub parent: Option<RoomUri>,
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
    /// What its roles grant and policy allows nobody.
    pub granted_in_vain: Vec<GrantedInVain>,
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
    let Some(template) = active.bundle.template(&new.template) else {
        let refused = case.refuse("unknown_template", "unknown_template", json!({ "template": new.template }));
        let sentence = format!("there is no room template `{}`", new.template);
        return inner.refuse(once, creator.as_str(), &Decision { sentence, ..refused });
    };
    people(creator, new, template).map_err(GatewayError::decode)?;
    let input = Founding::of(inner, new, creator);
    let (extensions, components) = (template.compile(&input.input()), template.components(&input.input()));
    if let Some(decision) = envelope::starts_outside(&active, &case, &components, &domain) {
        return inner.refuse(once, new.room.as_str(), &decision);
    }
    // Who is out of all rooms is out of those to come.
    let imposed = imposed_on(inner, &new.room, creator)?;
    let facts = bare_facts(&new.room, Side::Hub, &imposed);
    let actor = Actor::User(creator.clone());
    let about = |capability, target| Question {
        suite: SUITE,
        ..bare_question(&facts, &actor, (capability, target), &domain, now)
    };
    let listed = new.participants.iter().map(|user| Question {
        to_role: template.participant_role(),
        // Who founds a room of fixed membership says who is in it.
        alternative_granted: true,
        transition_authorized: true,
        ..about(Capability::ADD_PARTICIPANT, Some(user))
    });
    let mut questions: Vec<Question<'_>> = vec![about(Capability::CREATE_ROOM, None)];
    questions.extend(listed);
    let parent = match &new.parent {
        None => None,
        Some(parent) => match founded_under(inner, parent, creator)? {
            Ok(parent) => Some(parent),
            Err(reason) => {
                let decision = case.refuse("not_allowed", reason, json!({ "parent": parent }));
                return inner.refuse(once, new.room.as_str(), &decision);
            }
        },
    };
    if let Some(parent) = &parent {
        let role = parent.state.role_of(creator);
        questions.push(Question {
            from_role: role,
            to_role: role,
            transition_authorized: true,
            alternative_granted: ties::parent(parent).stands_in(creator),
            suite: parent.view().suite,
            epoch: parent.view().epoch,
            ..bare_question(&parent.facts, &actor, (Capability::CREATE_SUBGROUP, None), &domain, now)
        });
    }
    let mut decision = case.decide(&active, &questions);
    if !decision.allow {
        return inner.refuse(once, new.room.as_str(), &decision);
    }
    let in_vain = active.bundle.granted_in_vain(template);
    if let Some(detail) = decision.record.detail.as_object_mut().filter(|_| !in_vain.is_empty()) {
        let told = |it: &GrantedInVain| json!({ "role": it.role, "capability": it.capability.to_string(), "policy": it.policy });
        detail.insert("granted_in_vain".to_owned(), in_vain.iter().map(told).collect());
    }
    let made = Made { inner, once, creator, new, members: members(creator, new, template), parent, decision, in_vain };
    match made.write(extensions)? {
        Ok(kept) => Ok(kept),
        Err(unfit) => {
            let (reason, sentence) = match unfit {
                Unfit::Exists(room) => {
                    ("room.fixed_room_exists", format!("the same users have the room `{room}` already"))
                }
                Unfit::Dependents => ("too_many_dependent_rooms", NEUTRAL_SENTENCE.to_owned()),
                Unfit::Moved => return Err(GatewayError::busy("the parent room changes while this one is created")),
            };
            let decision = case.refuse("not_allowed", reason, json!({}));
            inner.refuse(once, new.room.as_str(), &Decision { sentence, ..decision })
        }
    }
}

/// Why an allowed room is not created.
enum Unfit {
    /// The same users have this one already.
    Exists(RoomUri),
    /// Its parent has too many that depend on it.
    Dependents,
    /// Its parent is no longer as it was seen.
    Moved,
}

/// A room that policy allows.
struct Made<'a> {
    inner: &'a Inner,
    once: Once,
    creator: &'a UserUri,
    new: &'a NewRoom,
    members: Option<[u8; 32]>,
    parent: Option<Arc<Hosted>>,
    decision: Decision,
    in_vain: Vec<GrantedInVain>,
}

impl Made<'_> {
    fn write(&self, extensions: Vec<u8>) -> Result<Result<Kept, Unfit>, GatewayError> {
        let Self { new, members, once, .. } = self;
        let (domain, id, now) = (new.room.domain(), self.decision.id(), self.decision.record.at);
        let group = GroupUri::parse(&format!("mimi://{domain}/g/{}", new.room.last_segment()));
        let group = group.map_err(GatewayError::internal)?;
        let row = NewRow {
            room: new.room.clone(),
            group: group.clone(),
            template: new.template.clone(),
            creator: self.creator.clone(),
        };
        let created = CreatedRoom {
            room: new.room.clone(),
            group,
            suite: SUITE,
            extensions,
            granted_in_vain: self.in_vain.clone(),
            decision: id,
        };
        let parent = self.parent.as_ref().map(|parent| (parent.room.clone(), parent.seen));
        let (record, members, once) = (self.decision.record.clone(), *members, *once);
        let written = self.inner.store.write(new.room.as_str(), move |tx: &mut Tx<'_>| {
            if let Some(members) = &members
                && let Some(other) = stored::fixed_room(tx, members)?
            {
                return Ok(Err(Unfit::Exists(other)));
            }
            if let Some((parent, seen)) = &parent {
                stored::hold(tx, parent, *seen)?;
                if stored::dependents(tx, parent)?.len() >= MOST_DEPENDENTS {
                    return Ok(Err(Unfit::Dependents));
                }
            }
            rooms::create(tx, &row, now)?;
            stored::fix(tx, &row.room, members.as_ref())?;
            parent.as_ref().map_or(Ok(()), |(parent, _)| stored::depend(tx, &row.room, parent))?;
            tx.stage(&record)?;
            once.keep(tx, created.clone()).map(Ok)
        });
        match written {
            Err(StoreError::EpochMoved { .. }) => Ok(Err(Unfit::Moved)),
            // A room that exists is a conflict.
            written => Ok(written?),
        }
    }
}

/// Whether those who are to take part can be named so.
fn people(creator: &UserUri, new: &NewRoom, template: &Template) -> Result<(), &'static str> {
    let named: BTreeSet<&UserUri> = new.participants.iter().chain([creator]).collect();
    match new.participants.as_slice() {
        [] => Ok(()),
        _ if !template.is_fixed() => Err("rooms of this template start with their creator alone"),
        others if others.len() > MOST_PARTICIPANTS => Err("these are more participants than a room starts with"),
        others if named.len() <= others.len() => Err("a participant is named twice, or is the creator"),
        others if others.iter().any(UserUri::is_provider) => Err("this is a provider and no user"),
        _ => Ok(()),
    }
}

/// The users whose only fixed room it is to be.
fn members(creator: &UserUri, new: &NewRoom, template: &Template) -> Option<[u8; 32]> {
    let users: BTreeSet<&UserUri> = new.participants.iter().chain([creator]).collect();
    template.is_fixed().then(|| ties::digest(users.into_iter()))
}

/// The parent of a room that `creator` founds, or why it cannot be one. To who does not take part in it there is no such room.
fn founded_under(
    inner: &Inner,
    parent: &RoomUri,
    creator: &UserUri,
) -> Result<Result<Arc<Hosted>, &'static str>, GatewayError> {
    if !inner.hosts(parent) {
        return Ok(Err("parent_is_not_known"));
    }
    let hosted = match inner.hosted(parent) {
        Ok(hosted) if hosted.state.takes_part(creator) && !hosted.blocks(creator) => hosted,
        Ok(_) | Err(GatewayError::NotFound) => return Ok(Err("parent_is_not_known")),
        Err(error) => return Err(error),
    };
    // One level, so that what follows a removal is bounded.
    let depends = hosted.state.base_policy().parent_dependant;
    Ok(if depends { Err("parent_depends_on_another_room") } else { Ok(hosted) })
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
    if head.status == RoomStatus::Active
        && let Some(next) = inner.store.read(|conn| stored::next_group(conn, room))?
        && next.starter == *user
    {
        return next_group::start(inner, user, room, &next.group, (group_info, ratchet_tree));
    }
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
    let active = inner.policy.active();
    let group = match agreed((inner, &active), &head, group_info, ratchet_tree) {
        Ok(group) => group,
        Err(reason) => {
            let decision = case.refuse("not_the_created_room", reason, json!({ "template": head.template }));
            return inner.refuse(Once::unnamed(), room.as_str(), &decision);
        }
    };
    // What the company accepts may have changed since it was created, and only now it says what it is called.
    let (components, hub) = (&group.view().components, room.domain());
    if let Some(decision) = envelope::starts_outside(&active, &case, components, &hub) {
        return inner.refuse(Once::unnamed(), room.as_str(), &decision);
    }
    let first = GroupState {
        epoch: group.view().epoch,
        snapshot: group.snapshot().map_err(GatewayError::internal)?,
        group_info: group.group_info().to_vec(),
    };
    let record = case.note("group_started", json!({ "template": head.template }));
    let (id, started, creator, seen) = (record.event, room.clone(), user.clone(), head.version);
    let (leaves, assets) = (group.view().leaves.clone(), asset_hosts(group.view()));
    // Of a dependent room the parent may have moved on since it was created.
    let parent = match inner.store.read(|conn| stored::parent(conn, room))? {
        None => None,
        Some(parent) => {
            let hosted = inner.hosted(&parent)?;
            let state = RoomState::read(group.view()).map_err(GatewayError::internal)?;
            if let Err(violation) = ties::parent(&hosted).holds(None, &state) {
                let decision = case.refuse("not_allowed", format!("room.{}", violation.code()), json!({}));
                return inner.refuse(Once::unnamed(), room.as_str(), &decision);
            }
            Some((parent, hosted.seen))
        }
    };
    let clients: Vec<ClientUri> = leaves.iter().map(|leaf| leaf.client.clone()).collect();
    let written = inner.store.write(room.as_str(), move |tx: &mut Tx<'_>| {
        let held = devices::hold_all(tx, &clients)?;
        if clients.iter().any(|client| held.get(client) != Some(&creator)) {
            return Ok(false);
        }
        clients.iter().try_for_each(|client| devices::see(tx, client, now))?;
        parent.as_ref().map_or(Ok(()), |(parent, seen)| stored::hold(tx, parent, *seen))?;
        rooms::start_group(tx, &started, seen, &first, now)?;
        leaves::record(tx, &started, first.epoch, &leaves)?;
        stored_hosts::replace(tx, &started, &assets)?;
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
fn agreed(
    (inner, active): (&Inner, &Active),
    head: &RoomHead,
    group_info: &[u8],
    ratchet_tree: &[u8],
) -> Result<Group, String> {
    let group = Group::found(group_info, ratchet_tree).map_err(|error| format!("mls.{}", error.reason()))?;
    let view = group.view();
    if view.group != head.group || view.suite != SUITE || view.epoch != 0 {
        return Err("group_id_suite_or_epoch_differs".to_owned());
    }
    let state = room::found(view, &head.room, &head.creator).map_err(|error| format!("room.{}", error.code()))?;
    let template = active.bundle.template(&head.template).ok_or_else(|| "template_is_gone".to_owned())?;
    let read = inner.store.read(|conn| {
        let fixed = ties::members(&state).map(|members| stored::fixed_room(conn, &members)).transpose()?;
        Ok::<_, StoreError>((fixed.flatten(), stored::parent(conn, &head.room)?))
    });
    let (fixed, parent) = read.map_err(|_| "database_does_not_answer".to_owned())?;
    // Whom a fixed room is for was decided when it was created.
    if template.is_fixed() && fixed.as_ref() != Some(&head.room) {
        return Err("participants_differ".to_owned());
    }
    let participants = if template.is_fixed() { founding(&group, &head.creator) } else { Vec::new() };
    let about = state.metadata().and_then(About::of).ok_or_else(|| "metadata_differ_from_template".to_owned())?;
    let new = NewRoom { room: head.room.clone(), template: head.template.clone(), about, participants, parent };
    let expected = template.compile(&Founding::of(inner, &new, &head.creator).input());
    if by_type(&group.extensions().map_err(|error| format!("mls.{}", error.reason()))?) != by_type(&expected) {
        return Err("group_differs_from_template".to_owned());
    }
    Ok(group)
}

/// Who is listed beside the creator and the hub, in the order of the list.
fn founding(group: &Group, creator: &UserUri) -> Vec<UserUri> {
    let list = group.view().components.read::<ParticipantList>().ok().flatten().unwrap_or_default();
    let users = list.participants.into_iter().map(|listed| listed.user);
    users.filter(|user| user != creator && !user.is_provider()).collect()
}

/// What a template is compiled for, with what it borrows.
struct Founding<'a> {
    new: &'a NewRoom,
    creator: &'a UserUri,
    hub: ExternalSender,
    franking_agent: FrankingAgent,
}

impl<'a> Founding<'a> {
    fn of(inner: &Inner, new: &'a NewRoom, creator: &'a UserUri) -> Self {
        let domain = new.room.domain();
        Self { new, creator, hub: inner.hub_sender(&domain), franking_agent: inner.franking_agent(&domain) }
    }

    fn input(&self) -> TemplateInput<'_> {
        TemplateInput {
            room: &self.new.room,
            about: &self.new.about,
            creator: self.creator,
            participants: &self.new.participants,
            parent: self.new.parent.as_ref(),
            hub: &self.hub,
            franking_agent: &self.franking_agent,
        }
    }
}

/// Extensions regardless of their order, which has no meaning.
pub(super) fn by_type(extensions: &[u8]) -> Option<BTreeMap<u16, Vec<u8>>> {
    let extensions = Vec::<Extension>::decode(extensions).ok()?;
    Some(extensions.into_iter().map(|extension| (extension.extension_type, extension.data)).collect())
}

pub(super) fn case<'a>(
    kind: &'static str,
    room: &'a RoomUri,
    user: &UserUri,
    now: portcullis_core::time::Millis,
) -> Case<'a> {
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
