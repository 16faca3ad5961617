//! The checklist of the room policy, as tables: each test builds a room, changes it, and looks at the actions or at the
//! breach.

mod components;
mod counts;
mod effective;
mod envelope;
mod joins;
mod membership;
mod start;
mod templates;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::mls::{Change, ComponentOperation, Effect, GroupView, Leaf, LeafCapabilities, Part, Proposer, Says, Sender};
use crate::wire::Wire as _;
use crate::wire::components::{
    BaseRoomPolicy, Capability, Component, ComponentId, JoinLinks, JoinLinksUpdate, OperationalParameters, Participant,
    ParticipantList, ParticipantListUpdate, PreauthList, Role, RoleChange, RolesList,
};
use crate::wire::external_sender::ExternalSender;
use crate::wire::uri::{ClientUri, Domain, GroupUri, RoomUri, UserUri};

use super::*;

const NO_ROLE: u32 = 0;
const BANNED: u32 = 1;
const USER: u32 = 2;
const ADMIN: u32 = 3;
const SUPER: u32 = 4;
const ENFORCER: u32 = 5;

const ALICE: &str = "mimi://a.example/u/alice";
const BOB: &str = "mimi://b.example/u/bob";
const CATHY: &str = "mimi://c.example/u/cathy";
const DIANA: &str = "mimi://d.example/u/diana";
const HUB: &str = "mimi://a.example";

fn user(text: &str) -> UserUri {
    UserUri::parse(text).unwrap()
}

/// The client `device` of a user; its leaf has the signature key that is its own name.
fn client(of: &str, device: &str) -> ClientUri {
    let of = user(of);
    ClientUri::parse(&format!("mimi://{}/d/{}/{device}", of.domain(), of.last_segment())).unwrap()
}

fn key(client: &ClientUri) -> Vec<u8> {
    client.as_bytes().to_vec()
}

fn template(name: &str) -> Template {
    let text = match name {
        "direct" => include_str!("../../../../../policies/templates/direct.yaml"),
        "cooperative" => include_str!("../../../../../policies/templates/cooperative.yaml"),
        "strict" => include_str!("../../../../../policies/templates/strict.yaml"),
        "moderated" => include_str!("../../../../../policies/templates/moderated.yaml"),
        _ => include_str!("../../../../../policies/templates/multi-org.yaml"),
    };
    Template::parse(text).unwrap()
}

fn room_uri() -> RoomUri {
    RoomUri::parse("mimi://a.example/r/clubhouse").unwrap()
}

/// The components that `template` gives a room of Alice's.
fn components(template: &Template) -> crate::wire::components::Dictionary {
    let credential = openmls::prelude::BasicCredential::new(HUB.into()).into();
    let hub = ExternalSender { signature_key: vec![7; 32], credential };
    let agent =
        crate::wire::components::FrankingAgent { signature_key: vec![8; 32], credential: hub.credential.clone() };
    template.components(&TemplateInput {
        room: &room_uri(),
        about: &About::named("Clubhouse"),
        creator: &user(ALICE),
        participants: &[],
        parent: None,
        hub: &hub,
        franking_agent: &agent,
    })
}

/// A room in some epoch.
#[derive(Clone)]
struct Scene {
    view: GroupView,
}

impl Scene {
    /// Alice is super_admin, Bob group_admin, Cathy ordinary_user, each with one phone, and the hub enforces.
    fn of(name: &str) -> Self {
        Self::empty(name).with(BOB, ADMIN, &["phone"]).with(CATHY, USER, &["phone"])
    }

    /// Alice alone, with the template's role for creators.
    fn empty(name: &str) -> Self {
        let template = template(name);
        let components = components(&template);
        let leaves = Vec::new();
        let group = GroupUri::parse("mimi://a.example/g/clubhouse").unwrap();
        let scene = Self { view: GroupView { group, epoch: 4, suite: 1, leaves, components } };
        scene.device(ALICE, "phone")
    }

    fn device(mut self, of: &str, device: &str) -> Self {
        let index = self.view.leaves.len() as u32;
        let client = client(of, device);
        self.view
            .leaves
            .push(Leaf { index, signature_key: key(&client), client, user: user(of), says: Arc::default() }.into());
        self
    }

    fn with(self, of: &str, role: u32, devices: &[&str]) -> Self {
        let listed = self.edit(|list: &mut ParticipantList| {
            list.participants.push(Participant { user: user(of), role_index: role });
        });
        devices.iter().fold(listed, |scene, device| scene.device(of, device))
    }

    fn edit<T: Component>(mut self, change: impl FnOnce(&mut T)) -> Self {
        let mut component: T = self.view.components.read().unwrap().unwrap();
        change(&mut component);
        self.view.components.write(&component);
        self
    }

    fn role(self, index: u32, change: impl FnOnce(&mut Role)) -> Self {
        self.edit(|list: &mut RolesList| {
            change(list.roles.iter_mut().find(|role| role.role_index == index).unwrap());
        })
    }

    fn base(self, change: impl FnOnce(&mut BaseRoomPolicy)) -> Self {
        self.edit(change)
    }

    fn operational(self, change: impl FnOnce(&mut OperationalParameters)) -> Self {
        self.edit(change)
    }

    fn state(&self) -> RoomState {
        RoomState::read(&self.view).unwrap()
    }

    fn list(&self) -> Vec<(UserUri, u32)> {
        let list: ParticipantList = self.view.components.read().unwrap().unwrap();
        list.participants.into_iter().map(|p| (p.user, p.role_index)).collect()
    }

    fn position(&self, of: &str) -> u32 {
        self.list().iter().position(|(listed, _)| listed.as_str() == of).unwrap() as u32
    }

    /// A list update by users instead of positions; a removal is a role of 0, an addition a user that is not listed.
    fn moves(&self, moves: &[(&str, u32)]) -> Effect {
        let mut update = ParticipantListUpdate::default();
        for (of, role) in moves {
            let listed = self.list().iter().any(|(listed, _)| listed.as_str() == *of);
            match (listed, *role) {
                (false, role_index) => update.added.push(Participant { user: user(of), role_index }),
                (true, NO_ROLE) => update.removed.push(self.position(of)),
                (true, role_index) => update.changed.push(RoleChange { user_index: self.position(of), role_index }),
            }
        }
        update_list(&update)
    }

    fn leaf(&self, of: &str, device: &str) -> &Leaf {
        self.view.leaves.iter().find(|leaf| leaf.client == client(of, device)).unwrap()
    }

    /// The same room, with every client that is in it saying something else of itself.
    fn says(mut self, change: impl Fn(&mut Says)) -> Self {
        for leaf in &mut self.view.leaves {
            change(Arc::make_mut(&mut Arc::make_mut(leaf).says));
        }
        self
    }

    fn remove(&self, of: &str, device: &str) -> Effect {
        let Leaf { index, client, user, .. } = self.leaf(of, device).clone();
        Effect::Remove { leaf: index, client, user }
    }

    fn self_remove(&self, of: &str, device: &str) -> Effect {
        let Leaf { index, client, user, .. } = self.leaf(of, device).clone();
        Effect::SelfRemove { leaf: index, client, user }
    }

    fn member(&self, of: &str) -> Proposer {
        let Leaf { index, client, user, .. } =
            Leaf::clone(self.view.leaves.iter().find(|leaf| leaf.user.as_str() == of).unwrap());
        Proposer::Member { leaf: index, client, user }
    }

    /// Pending proposals of one proposer.
    fn pending(&self, proposer: Proposer, effects: Vec<Effect>) -> Vec<Part> {
        let number = |at: usize| Some(format!("{proposer:?}{at}").into_bytes());
        effects
            .into_iter()
            .enumerate()
            .map(|(at, effect)| Part { effect, proposer: proposer.clone(), reference: number(at) })
            .collect()
    }

    /// A commit of `by` with its own proposals by value.
    fn commit(&self, by: &str, effects: Vec<Effect>) -> Result<Vec<Action>, Violation> {
        self.commit_citing(by, effects, Vec::new())
    }

    /// The same, with pending proposals of others.
    fn commit_citing(&self, by: &str, effects: Vec<Effect>, cited: Vec<Part>) -> Result<Vec<Action>, Violation> {
        let proposer = self.member(by);
        let Proposer::Member { leaf, client, user } = proposer.clone() else { unreachable!() };
        let own = effects.into_iter().map(|effect| Part { effect, proposer: proposer.clone(), reference: None });
        let parts: Vec<Part> = cited.into_iter().chain(own).collect();
        actions_of(&self.change(Sender::Member { leaf, client, user }, parts, None), &self.state(), None)
    }

    /// An external commit of a client, with an admission that it asked for just before, if it got one.
    fn join(&self, of: &str, device: &str, effects: Vec<Effect>, cited: Vec<Part>) -> Result<Vec<Action>, Violation> {
        let (client, user) = (client(of, device), user(of));
        let admission = admit(&self.state(), &client, &user, &key(&client), None).ok();
        let change = self.external_commit(of, device, effects, cited);
        actions_of(&change, &self.state(), admission.as_ref())
    }

    fn external_commit(&self, of: &str, device: &str, effects: Vec<Effect>, cited: Vec<Part>) -> Change {
        let (client, user) = (client(of, device), user(of));
        let proposer = Proposer::Joiner { client: client.clone(), user: user.clone() };
        let own = std::iter::once(Effect::ExternalInit).chain(effects).map(|effect| Part {
            effect,
            proposer: proposer.clone(),
            reference: None,
        });
        let parts: Vec<Part> = cited.into_iter().chain(own).collect();
        let index = 100;
        let says = Arc::default();
        let leaf = Leaf { index, signature_key: key(&client), client: client.clone(), user: user.clone(), says };
        self.change(Sender::Joiner { client, user }, parts, Some(leaf))
    }

    /// Proposals of one proposer, on top of pending ones.
    fn propose(&self, proposer: Proposer, effects: Vec<Effect>, pending: &[Part]) -> Result<Vec<Action>, Violation> {
        let prospect = proposed_actions(&self.view, &self.state(), pending, &self.pending(proposer, effects));
        prospect.map(|prospect| prospect.actions)
    }

    fn change(&self, sender: Sender, parts: Vec<Part>, joiner: Option<Leaf>) -> Change {
        let mut after = self.view.clone();
        after.epoch += 1;
        let mut roles: BTreeMap<UserUri, u32> = self.list().into_iter().collect();
        for part in &parts {
            match &part.effect {
                Effect::Add { client, user, says, .. } => after.leaves.push(Arc::new(Leaf {
                    index: 50 + after.leaves.len() as u32,
                    client: client.clone(),
                    user: user.clone(),
                    signature_key: key(client),
                    says: Arc::clone(says),
                })),
                Effect::Remove { leaf, .. } | Effect::SelfRemove { leaf, .. } => {
                    after.leaves.retain(|kept| kept.index != *leaf);
                }
                Effect::Component { id: ComponentId::PARTICIPANT_LIST, operation } => {
                    let ComponentOperation::Update(data) = operation else { continue };
                    let Ok(update) = ParticipantListUpdate::decode(data) else { continue };
                    let list = self.list();
                    for RoleChange { user_index, role_index } in update.changed {
                        list.get(user_index as usize).map(|(user, _)| roles.insert(user.clone(), role_index));
                    }
                    for index in update.removed {
                        list.get(index as usize).map(|(user, _)| roles.remove(user));
                    }
                    roles.extend(update.added.into_iter().map(|added| (added.user, added.role_index)));
                }
                Effect::Component { id: ComponentId::JOIN_LINKS, operation: ComponentOperation::Update(data) } => {
                    let update = JoinLinksUpdate::decode(data).unwrap();
                    let mut all: JoinLinks = after.components.read().unwrap().unwrap_or_default();
                    let stays = |at: usize| !update.removed.contains(&(at as u32));
                    all.links =
                        all.links.into_iter().enumerate().filter(|(at, _)| stays(*at)).map(|(_, it)| it).collect();
                    all.links.extend(update.added);
                    after.components.write(&all);
                }
                Effect::Component { id, operation: ComponentOperation::Update(data) } => {
                    after.components.insert(*id, data.clone());
                }
                Effect::Component { id, operation: ComponentOperation::Remove } => {
                    after.components.remove(*id);
                }
                _ => {}
            }
        }
        let participants = roles.into_iter().map(|(user, role_index)| Participant { user, role_index }).collect();
        after.components.write(&ParticipantList { participants });
        after.leaves.extend(joiner.map(Arc::new));
        let cited = parts.iter().filter_map(|part| part.reference.clone()).collect();
        Change {
            before: self.view.clone(),
            after,
            sender,
            parts,
            group_info: Vec::new(),
            welcome_refs: Vec::new(),
            cited,
        }
    }

    /// Whether the room's own policy grants every action.
    fn grants(&self, result: &Result<Vec<Action>, Violation>) -> bool {
        let room = self.state();
        result.as_ref().unwrap().iter().all(|action| action.granted_by(&room))
    }
}

fn hub() -> Proposer {
    Proposer::ExternalSender { index: 0, domain: Some(Domain::parse("a.example").unwrap()) }
}

fn update_list(update: &ParticipantListUpdate) -> Effect {
    set(ComponentId::PARTICIPANT_LIST, update.encode())
}

fn set(id: ComponentId, data: Vec<u8>) -> Effect {
    Effect::Component { id, operation: ComponentOperation::Update(data) }
}

fn add(of: &str, device: &str) -> Effect {
    add_for(of, device, 86_400)
}

fn add_for(of: &str, device: &str, lifetime_s: u64) -> Effect {
    let client = client(of, device);
    Effect::Add { key_package_ref: key(&client), client, user: user(of), lifetime_s, says: Arc::default() }
}

fn rules(result: &Result<Vec<Action>, Violation>) -> Vec<Rule> {
    result.as_ref().unwrap().iter().map(|action| action.rule).collect()
}

/// The actions of a commit, once it is shown that what is shared with the room before it is right.
fn actions_of(change: &Change, room: &RoomState, admission: Option<&Admission>) -> Result<Vec<Action>, Violation> {
    let consequences = actions(change, room, admission)?;
    assert_eq!(consequences.room, RoomState::read(&change.after).unwrap());
    Ok(consequences.actions)
}

fn breach(result: &Result<Vec<Action>, Violation>) -> Breach {
    result.as_ref().unwrap_err().breach()
}

fn admit(
    room: &RoomState,
    client: &ClientUri,
    user: &UserUri,
    key: &[u8],
    code: Option<u32>,
) -> Result<Admission, Violation> {
    Admission::of(room, Applicant { client, user, certified: &[] }, key, code)
}

/// A preauth entry for all users of a provider.
fn preauthorize(provider: &str, role: u32) -> impl FnOnce(&mut PreauthList) {
    let claim = super::preauth::any_user_of(&Domain::parse(provider).unwrap());
    move |list| {
        list.entries.push(crate::wire::components::PreauthEntry { claims: vec![claim], target_role_index: role });
    }
}

fn can(role: &mut Role, capability: Capability) {
    role.capabilities.push(capability);
}

fn cannot(role: &mut Role, capability: Capability) {
    role.capabilities.retain(|held| *held != capability);
}
