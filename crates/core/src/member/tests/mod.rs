//! Members among themselves: a table of clients with nothing between them but bytes.

mod commits;
mod franks;
mod joins;
mod messages;

use std::time::Duration;

use openmls::prelude::{BasicCredential, ProtocolVersion};
use openmls_basic_credential::SignatureKeyPair;

use crate::mls::crypto::HubCrypto;
use crate::mls::{Group, labels};
use crate::room::{About, Template, TemplateInput};
use crate::time::Millis;
use crate::wire::Wire;
use crate::wire::components::{Component, Dictionary, FrankingAgent};
use crate::wire::external_sender::ExternalSender;
use crate::wire::frank::{Frank, FrankingContext, FrankingTbs, SafeAad, server_frank};
use crate::wire::mls::KeyPackage;
use crate::wire::notify::{FanoutBody, FanoutMessage};
use crate::wire::submit::SubmitMessageRequest;
use crate::wire::update::{Extension, RatchetTreeOption, UpdateRequest};
use crate::wire::uri::{ClientUri, GroupUri, RoomUri, UserUri};

use super::{Bundling, Member, MemberError, Message, Received};

const STRICT: &str = include_str!("../../../../../policies/templates/strict.yaml");
const ORDINARY: u32 = 2;
const MONTHS: Duration = Duration::from_hours(60 * 24);

fn room() -> RoomUri {
    RoomUri::parse("mimi://a.example/r/lobby").unwrap()
}

fn user(name: &str) -> UserUri {
    UserUri::parse(&format!("mimi://a.example/u/{name}")).unwrap()
}

fn client(name: &str, device: &str) -> ClientUri {
    ClientUri::parse(&format!("mimi://a.example/d/{name}/{device}")).unwrap()
}

fn member(name: &str) -> Member {
    Member::new(client(name, "phone")).unwrap()
}

fn key_package(member: &mut Member) -> KeyPackage {
    member.key_packages(1, MONTHS).unwrap().remove(0)
}

/// The time, as a new key package knows it: openmls reads the system clock anyway (C-12).
fn now(member: &mut Member) -> Millis {
    let key_package = key_package(member).into_openmls().unwrap();
    let key_package = key_package.validate(&HubCrypto::default(), ProtocolVersion::Mls10).unwrap();
    // Key packages are valid from an hour before they were made.
    Millis((key_package.life_time().not_before() + 3600) * 1000)
}

/// The keys of a hub, which otherwise only passes bytes on.
struct Hub {
    suite: u16,
    sender: SignatureKeyPair,
    agent: SignatureKeyPair,
    secret: [u8; 32],
}

impl Hub {
    fn new(suite: u16) -> Self {
        let pair = || SignatureKeyPair::new(labels::signature_scheme(suite).unwrap()).unwrap();
        Self { suite, sender: pair(), agent: pair(), secret: [5; 32] }
    }

    fn external_sender(&self) -> ExternalSender {
        let credential = BasicCredential::new(b"mimi://a.example".to_vec()).into();
        ExternalSender { signature_key: self.sender.public().to_vec(), credential }
    }

    fn extensions(&self, creator: &UserUri) -> Vec<u8> {
        let hub = self.external_sender();
        let agent = FrankingAgent { signature_key: self.agent.public().to_vec(), credential: hub.credential.clone() };
        let input = TemplateInput {
            room: &room(),
            about: &About::named("Lobby"),
            creator,
            participants: &[],
            parent: None,
            hub: &hub,
            franking_agent: &agent,
        };
        Template::parse(STRICT).unwrap().compile(&input)
    }

    fn frank(&self, request: &SubmitMessageRequest, at: Millis) -> Frank {
        let tag = SafeAad::decode(request.message.authenticated_data().unwrap()).unwrap().franking_tag().unwrap();
        let context = FrankingContext { sender: request.sender.clone(), room: room(), accepted_at: at };
        let server_frank = server_frank(&self.secret, &tag, &context);
        let signed = FrankingTbs { server_frank, signature_suite: self.suite, context };
        let signature = labels::sign_with_label(&self.agent, labels::FRANKING_INTEGRITY, &signed.encode()).unwrap();
        Frank { server_frank, signature_suite: self.suite, signature }
    }
}

/// A room, the clients that sit in it, and the group as their hub sees it.
struct Table {
    hub: Hub,
    group: Group,
    members: Vec<Member>,
    clock: u64,
}

impl Table {
    /// `names` in one room, the first of them its creator; everybody has one client.
    fn of(names: &[&str]) -> Self {
        Self::seated(Hub::new(1), names.iter().map(|name| member(name)).collect())
    }

    fn seated(hub: Hub, members: Vec<Member>) -> Self {
        let extensions = hub.extensions(members[0].user());
        Self::in_room(hub, members, &extensions)
    }

    /// In a room that has one component more than the template gives it.
    fn with_component(hub: Hub, members: Vec<Member>, component: &impl Component) -> Self {
        let mut extensions = Vec::<Extension>::decode(&hub.extensions(members[0].user())).unwrap();
        let dictionary = extensions.iter_mut().find(|extension| extension.extension_type == 6).unwrap();
        let mut components = Dictionary::decode(&dictionary.data).unwrap();
        components.write(component);
        dictionary.data = components.encode();
        Self::in_room(hub, members, &extensions.encode())
    }

    fn in_room(hub: Hub, mut members: Vec<Member>, extensions: &[u8]) -> Self {
        let guests = members.split_off(1);
        let mut creator = members.remove(0);
        let group = GroupUri::parse("mimi://a.example/g/lobby").unwrap();
        let first = creator.create_room(&room(), &group, extensions).unwrap();
        let group = Group::found(first.group_info.as_bytes(), first.tree.as_bytes()).unwrap();
        let clock = now(&mut creator).0;
        let mut table = Self { hub, group, members: vec![creator], clock };
        if !guests.is_empty() {
            table.invite(guests);
        }
        table
    }

    /// The first member adds `guests`, who take the Welcome.
    fn invite(&mut self, mut guests: Vec<Member>) {
        let key_packages: Vec<KeyPackage> = guests.iter_mut().map(key_package).collect();
        let mut listed: Vec<UserUri> =
            self.members[0].participants(&room()).unwrap().into_iter().map(|participant| participant.user).collect();
        let mut participants = Vec::new();
        for guest in &guests {
            if !listed.contains(guest.user()) {
                listed.push(guest.user().clone());
                participants.push((guest.user().clone(), ORDINARY));
            }
        }
        let update = self.members[0].add(&room(), key_packages, participants).unwrap();
        self.members.append(&mut guests);
        self.accept(0, &update);
    }

    fn epoch(&self, member: usize) -> u64 {
        self.members[member].epoch(&room()).unwrap()
    }

    fn tick(&mut self) -> Millis {
        self.clock += 1;
        Millis(self.clock)
    }

    /// What a hub fans out for an update; a Welcome comes with the tree of `after`, who has applied the commit.
    fn fanout(&mut self, update: &UpdateRequest, after: usize) -> Vec<FanoutMessage> {
        let timestamp = self.tick();
        let bodies = match UpdateRequest::decode(&update.encode()).unwrap() {
            UpdateRequest::Proposals(proposals) => {
                let (message, more) = proposals.split_first().unwrap();
                vec![FanoutBody::Proposal { message: message.clone(), more: more.to_vec() }]
            }
            UpdateRequest::Commit(bundle) => {
                let commit = FanoutBody::Commit { message: bundle.commit, external_proposals: Vec::new() };
                let welcome = bundle.welcome.map(|welcome| FanoutBody::Welcome {
                    message: welcome.message(),
                    tree: RatchetTreeOption::Full(self.members[after].group_info(&room()).unwrap().tree),
                });
                std::iter::once(commit).chain(welcome).collect()
            }
        };
        let whole = |body| FanoutMessage::decode(&FanoutMessage { timestamp, body }.encode()).unwrap();
        bodies.into_iter().map(whole).collect()
    }

    /// The hub accepts the update of member `from`, and everybody hears of it, `from` included.
    fn accept(&mut self, from: usize, update: &UpdateRequest) -> Vec<Vec<Received>> {
        self.check(update);
        self.accept_unchecked(from, update)
    }

    /// The hub accepts an update, and nobody hears of it.
    fn check(&mut self, update: &UpdateRequest) {
        let now = self.tick();
        match UpdateRequest::decode(&update.encode()).unwrap() {
            UpdateRequest::Commit(bundle) => {
                let staged = self.group.inspect_commit(&bundle, now).unwrap();
                self.group.merge(staged).unwrap();
            }
            UpdateRequest::Proposals(proposals) => {
                self.group.inspect_proposals(&proposals, now).unwrap();
                for proposal in &proposals {
                    self.group.queue(proposal).unwrap();
                }
            }
        }
    }

    /// As [`Self::accept`], by a hub that checks nothing and loses track of the group.
    fn accept_unchecked(&mut self, from: usize, update: &UpdateRequest) -> Vec<Vec<Received>> {
        self.members[from].accepted(&room()).unwrap();
        let fanout = self.fanout(update, from);
        self.deliver(&fanout)
    }

    /// Everybody who is in the room takes in what is fanned out; those who are not take the Welcomes only (C-7).
    fn deliver(&mut self, fanout: &[FanoutMessage]) -> Vec<Vec<Received>> {
        let take = |member: &mut Member| {
            let seated = member.rooms().any(|it| *it == room());
            let mine = fanout.iter().filter(|it| seated || matches!(it.body, FanoutBody::Welcome { .. }));
            mine.flat_map(|it| member.receive(&room(), it).unwrap()).collect()
        };
        self.members.iter_mut().map(take).collect()
    }

    fn say(&mut self, from: usize, text: &str) -> Vec<Vec<Received>> {
        let request = self.members[from].text(&room(), text).unwrap();
        let fanout = self.franked(&request);
        self.deliver(&[fanout])
    }

    fn franked(&mut self, request: &SubmitMessageRequest) -> FanoutMessage {
        let timestamp = self.tick();
        let frank = Some(self.hub.frank(request, timestamp));
        FanoutMessage { timestamp, body: FanoutBody::Application { message: request.message.clone(), frank } }
    }

    /// All members that are in the room share the epoch's secrets, and nobody else has them.
    fn assert_in_step(&self) {
        let secrets: Vec<_> = self
            .members
            .iter()
            .filter(|member| member.rooms().count() == 1)
            .map(|member| member.epoch_authenticator(&room()).unwrap())
            .collect();
        assert!(secrets.len() > 1);
        assert!(secrets.iter().all(|secret| *secret == secrets[0]), "members have parted");
    }

    fn roles(&self, member: usize) -> Vec<(String, u32)> {
        let listed = self.members[member].participants(&room()).unwrap();
        listed.iter().map(|it| (it.user.last_segment().to_owned(), it.role_index)).collect()
    }
}

/// The only message that was received.
fn message(received: &[Received]) -> &Message {
    let [Received::Message(message)] = received else { panic!("no message: {received:?}") };
    message
}
