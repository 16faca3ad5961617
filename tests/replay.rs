//! What a gateway has accepted, replayed through the pure stages, is accepted again and gives what it has stored, whatever moderators have
//! imposed meanwhile; what the hub itself proposes for that is not played. Lifetimes are compared with the wall clock (C-12), so what is
//! replayed is as old as the test.

mod again;
mod steps;

use std::cell::RefCell;
use std::collections::HashMap;

use actix_web::web::Bytes;
use portcullis::addresses::Resolver;
use portcullis::assets::Fetcher;
use portcullis::gateway::{
    Active, Caller, Claims, Clock, Gateway, HubKeys, NewRoom, Once, Parts, Policy, Reporters, moderation,
};
use portcullis::peer::Peers;
use portcullis::provider::RoomCreated;
use portcullis::server::store_options;
use portcullis_core::member::{Draft, Member};
use portcullis_core::mls::crypto::HubCrypto;
use portcullis_core::mls::key_package;
use portcullis_core::room::About;
use portcullis_core::wire::Wire;
use portcullis_core::wire::components::{ComponentId, RoomMetadata};
use portcullis_core::wire::group_info::GroupInfoResponse;
use portcullis_core::wire::mls::KeyPackage;
use portcullis_core::wire::notify::{FanoutBody, FanoutMessage};
use portcullis_core::wire::submit::{SubmitMessageRequest, SubmitMessageResponse, SubmitOutcome};
use portcullis_core::wire::update::{CommitBundle, UpdateRequest, UpdateResponse};
use portcullis_core::wire::uri::{ClientUri, RoomUri, UserUri};
use portcullis_store::restrictions::{self, Grounds, Place, Restrictions};
use portcullis_store::{Store, StoreError, Tx, events, key_packages, routes};
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestRunner};
use tokio::runtime::Runtime;

use self::steps::{Step, Wish, step};
use super::harness::{Lab, client};

/// Alice creates the room and brings Bob and Cathy in; whoever is of b.example comes by another provider.
const PEOPLE: [&str; 5] =
    ["a.example/d/alice", "a.example/d/bob", "b.example/d/cathy", "b.example/d/dave", "a.example/d/eve"];

const BANNED: u32 = 1;
const ORDINARY: u32 = 2;
const SUPER_ADMIN: u32 = 4;

/// A gateway without doors.
struct House {
    gateway: Gateway,
    /// What decides there.
    policy: Active,
    runtime: Runtime,
    _lab: Lab,
}

impl House {
    fn new() -> Self {
        let lab = Lab::new(&["a.example", "b.example"]);
        let config = lab.gateway("a.example").config();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let parts = Parts {
            domains: config.domains.clone(),
            store: Store::open(&config.database, &store_options(&config).unwrap()).unwrap(),
            policy: Policy::open(&config.policies).unwrap(),
            peers: Peers::new(&config).unwrap(),
            keys: HubKeys::read(&config.keys).unwrap(),
            clock: Clock::default(),
            claims: Claims::new(&config.limits),
            reporters: Reporters::new(&config.limits),
            assets: Fetcher::new(&config.assets, &[]).unwrap(),
            addresses: Resolver::new(&config).unwrap(),
        };
        let policy = Active::read(&config.policies).unwrap();
        let gateway = Gateway::new(parts);
        runtime.block_on(gateway.open_data_keys()).unwrap();
        Self { gateway, policy, runtime, _lab: lab }
    }

    fn register(&self, client: &ClientUri) {
        let user = client.user().unwrap();
        if user.domain().as_str() == "a.example" {
            self.runtime.block_on(self.gateway.register_user(user.clone(), None)).unwrap();
            self.runtime.block_on(self.gateway.register_device(user, client.clone())).unwrap();
        }
    }
}

impl House {
    /// What a claim leaves behind, from here or through here: the limit of claims is lower than what is played.
    fn give_out(&self, client: &ClientUri, package: &KeyPackage) {
        let (crypto, remaining) = (HubCrypto::default(), key_package::MINIMUM_REMAINING);
        let info = key_package::validate(&crypto, package, remaining, Clock::default().now()).unwrap();
        let (reference, provider) = (info.reference, client.domain());
        if provider.as_str() == "a.example" {
            let upload = self.gateway.upload_key_packages(
                Once::unnamed(),
                info.user,
                client.clone(),
                vec![package.as_bytes().to_vec()],
            );
            self.runtime.block_on(upload).unwrap();
        }
        let given = move |tx: &mut Tx<'_>| {
            key_packages::claim(tx, &reference, &[7; 32])?;
            routes::add(tx, &reference, &provider, info.not_after)?;
            Ok::<_, StoreError>(())
        };
        self.gateway.store().write("given", given).unwrap();
    }
}

/// One room of it and everybody who has been in it.
struct Play<'a> {
    house: &'a House,
    room: RoomUri,
    /// GroupInfo and tree that the group was founded with.
    first: (Vec<u8>, Vec<u8>),
    /// Clients, with those that are not in the room yet or any more.
    members: Vec<Member>,
    /// What was submitted with each commit, by the commit's hash.
    bundles: HashMap<[u8; 32], CommitBundle>,
    /// What messages were submitted in, by the hashes of them.
    messages: HashMap<[u8; 32], SubmitMessageRequest>,
    /// What moderators have imposed by now, and what they had when each event was accepted.
    imposed: Restrictions,
    imposed_at: HashMap<u64, Restrictions>,
    /// The last event that everybody has been told.
    told: u64,
    devices: usize,
}

impl<'a> Play<'a> {
    fn new(house: &'a House, number: usize) -> Self {
        let room = RoomUri::parse(&format!("mimi://a.example/r/room{number}")).unwrap();
        let members: Vec<Member> =
            PEOPLE.iter().map(|person| Member::new(client(&format!("{person}/phone{number}"))).unwrap()).collect();
        members.iter().for_each(|member| house.register(member.client()));
        let mut play = Self {
            house,
            room,
            first: Default::default(),
            members,
            bundles: HashMap::new(),
            messages: HashMap::new(),
            imposed: Restrictions::default(),
            imposed_at: HashMap::new(),
            told: 0,
            devices: 0,
        };
        play.found();
        for guest in [1, 2] {
            assert!(play.take(Step::Add { by: 0, whom: guest, role: ORDINARY }), "{guest} cannot be brought in");
        }
        play
    }

    fn found(&mut self) {
        let (alice, room) = (self.members[0].user().clone(), self.room.clone());
        let new = NewRoom {
            room: room.clone(),
            template: "strict".to_owned(),
            about: About::named("Lobby"),
            participants: Vec::new(),
            parent: None,
        };
        let (gateway, runtime) = (&self.house.gateway, &self.house.runtime);
        let created = runtime.block_on(gateway.create_room(Once::unnamed(), alice.clone(), new)).unwrap();
        let created: RoomCreated = serde_json::from_slice(&created.into_reply().body).unwrap();
        let first = self.members[0].create_room(&room, &created.group, &created.extensions.0).unwrap();
        self.first = (first.group_info.as_bytes().to_vec(), first.tree.as_bytes().to_vec());
        let (group_info, tree) = (self.first.0.clone().into(), self.first.1.clone().into());
        runtime.block_on(gateway.start_group(alice, room, group_info, tree)).unwrap();
    }

    /// Positions of the clients that think they are in the room.
    fn seated(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|at| self.members[*at].rooms().any(|room| *room == self.room)).collect()
    }

    fn chosen(&self, by: usize) -> Option<usize> {
        let seated = self.seated();
        seated.get(by % seated.len().max(1)).copied()
    }

    fn person(&self, whom: usize) -> UserUri {
        self.members[whom].user().clone()
    }

    /// Whether the hub accepted what somebody did. What cannot be done at all was not.
    fn take(&mut self, step: Step) -> bool {
        let room = self.room.clone();
        match step {
            Step::Add { by, whom, role } => {
                let packages = self.members[whom].key_packages(1, portcullis::member::KEY_PACKAGE_LIFETIME).unwrap();
                self.house.give_out(self.members[whom].client(), &packages[0]);
                let draft = Draft::default().clients(packages);
                let listed = draft.participant(self.person(whom), role);
                self.update(by, |member| member.commit(&room, &listed))
            }
            Step::Remove { by, whom } => {
                let whom = self.person(whom);
                self.update(by, |member| member.remove(&room, &whom))
            }
            Step::Ban { by, whom } => {
                let whom = self.person(whom);
                self.update(by, |member| member.ban(&room, &whom, BANNED))
            }
            Step::SetRole { by, whom, role } => {
                let whom = self.person(whom);
                self.update(by, |member| member.set_role(&room, &whom, role))
            }
            Step::Rename { by } => self.update(by, |member| {
                let metadata = member.component::<RoomMetadata>(&room)?;
                let renamed = metadata.map(|old| RoomMetadata { name: format!("{}!", old.name), ..old }.encode());
                member.commit(&room, &Draft::default().component(ComponentId::ROOM_METADATA, renamed))
            }),
            Step::ProposeRemoval { by, whom } => {
                let whom = self.person(whom);
                let draft = Draft::default().without_clients(whom.clone()).without_participant(whom);
                self.update(by, |member| member.propose(&room, &draft))
            }
            Step::ProposeRole { by, whom, role } => {
                let draft = Draft::default().role(self.person(whom), role);
                self.update(by, |member| member.propose(&room, &draft))
            }
            Step::Leave { by } => self.update(by, |member| member.leave(&room)),
            Step::Commit { by } => self.update(by, |member| member.commit_pending(&room)),
            Step::Say { by } => self.say(by),
            Step::Join { whom } => self.join(whom),
            Step::Race { by, other } => {
                let (Some(first), Some(second)) = (self.chosen(by), self.chosen(other)) else { return false };
                let Ok(late) = self.members[second].commit_pending(&room) else { return false };
                first != second
                    && self.update(by, |member| member.commit_pending(&room)) | self.submit(second, &late.encode())
            }
            Step::Forge { by, at } => {
                let Some(by) = self.chosen(by) else { return false };
                let Ok(request) = self.members[by].commit_pending(&room) else { return false };
                let mut body = request.encode();
                let at = at % body.len();
                body[at] ^= 1;
                self.submit(by, &body)
            }
            Step::Moderate { whom, wish } => self.moderate(whom, wish),
        }
    }

    /// Waits for what is pending: of what a moderator denies of that no event would tell.
    fn moderate(&mut self, whom: usize, wish: Wish) -> bool {
        let store = self.house.gateway.store();
        let (group, ..) = self.stored();
        let (place, now) = (Place::Room(self.room.clone()), Clock::default().now());
        let grounds = Grounds { by: "ops".to_owned(), reason: "CASE-7".to_owned(), ..Grounds::default() };
        let change = wish.about(self.person(whom));
        let impose = move |tx: &mut Tx<'_>| moderation::change(tx, &place, &change, &grounds, now);
        let done = group.pending().is_empty() && store.write(self.room.as_str(), impose).is_ok();
        self.tell();
        done
    }

    fn update<E>(&mut self, by: usize, build: impl FnOnce(&mut Member) -> Result<UpdateRequest, E>) -> bool {
        let Some(by) = self.chosen(by) else { return false };
        let Ok(request) = build(&mut self.members[by]) else { return false };
        self.submit(by, &request.encode())
    }

    fn caller(&self, by: usize) -> Caller {
        let user = self.members[by].user().clone();
        if user.domain().as_str() == "a.example" { Caller::User(user) } else { Caller::Peer(user.domain()) }
    }

    fn submit(&mut self, by: usize, body: &[u8]) -> bool {
        let (caller, room) = (self.caller(by), self.room.clone());
        let answer =
            self.house.gateway.update_room(Once::unnamed(), caller, room.clone(), Bytes::copy_from_slice(body));
        let answer = self.house.runtime.block_on(answer);
        let response = answer.map(|kept| UpdateResponse::decode(&kept.into_reply().body).unwrap());
        let accepted = matches!(response, Ok(UpdateResponse::Success { .. }));
        if accepted {
            if let UpdateRequest::Commit(bundle) = UpdateRequest::decode(body).unwrap() {
                self.bundles.insert(bundle.commit.hash(), bundle);
            }
            self.tell();
        } else {
            let _ = self.members[by].rejected(&room);
        }
        accepted
    }

    fn say(&mut self, by: usize) -> bool {
        let Some(by) = self.chosen(by) else { return false };
        let Ok(message) = self.members[by].text(&self.room, "hello") else { return false };
        let submit = self.house.gateway.submit_message(
            Once::unnamed(),
            self.caller(by),
            self.room.clone(),
            message.encode().into(),
        );
        let answer = self.house.runtime.block_on(submit);
        let outcome = answer.map(|kept| SubmitMessageResponse::decode(&kept.into_reply().body).unwrap().outcome);
        let accepted = matches!(outcome, Ok(SubmitOutcome::Accepted { .. }));
        if accepted {
            self.messages.insert(message.message.hash(), message);
        }
        self.tell();
        accepted
    }

    fn join(&mut self, whom: usize) -> bool {
        self.devices += 1;
        let name = format!("{}/d{}of{}", PEOPLE[whom], self.devices, self.room.last_segment());
        let mut device = Member::new(client(&name)).unwrap();
        self.house.register(device.client());
        let request = device.group_info_request(&self.room, None).unwrap().encode();
        self.members.push(device);
        let by = self.members.len() - 1;
        let answer = self.house.gateway.group_info(Once::unnamed(), self.caller(by), self.room.clone(), request.into());
        let answer = self.house.runtime.block_on(answer).unwrap();
        let answer = GroupInfoResponse::decode(&answer.into_reply().body).unwrap();
        let device = &mut self.members[by];
        let joined = device.open_group_info_response(&self.room, &answer);
        let joined = joined.and_then(|material| device.external_join(&self.room, &material, None));
        joined.is_ok_and(|request| self.submit(by, &request.encode()))
    }

    /// Tells every client what the room has accepted since; clients outside of it hear of Welcomes only. Whoever cannot
    /// follow has parted from the room, and what it does from now on is refused.
    fn tell(&mut self) {
        let events = self.house.gateway.store().read(|conn| events::range(conn, &self.room, self.told, 100)).unwrap();
        for event in events {
            self.told = event.seq;
            self.imposed_at.entry(event.seq).or_insert_with(|| self.imposed.clone());
            let fanout = FanoutMessage::decode(&event.event.fanout).unwrap();
            let seated = self.seated();
            for (at, member) in self.members.iter_mut().enumerate() {
                if seated.contains(&at) || matches!(fanout.body, FanoutBody::Welcome { .. }) {
                    let _ = member.receive(&self.room, &fanout);
                }
            }
        }
        self.imposed = self.house.gateway.store().read(|conn| restrictions::restrictions(conn, &self.room)).unwrap();
    }
}

#[test]
fn what_was_accepted_replayed_through_the_pure_stages_gives_what_is_stored() {
    let house = House::new();
    let (mut number, mut steps_taken, mut accepted) = (0, 0, 0);
    let seeds = FileFailurePersistence::Direct("tests/replay.proptest-regressions");
    let config = ProptestConfig {
        cases: 16,
        max_shrink_iters: 100,
        failure_persistence: Some(Box::new(seeds)),
        ..ProptestConfig::default()
    };
    let holds = |steps: Vec<Step>| {
        number += 1;
        let mut play = Play::new(&house, number);
        for step in steps {
            steps_taken += 1;
            accepted += usize::from(play.take(step));
        }
        play.assert_same()
    };
    {
        let holds = RefCell::new(holds);
        let strategy = proptest::collection::vec(step(), 1..=12);
        TestRunner::new(config).run(&strategy, |steps| (holds.borrow_mut())(steps)).unwrap();
    }
    // About half is; were it next to nothing, nothing would have been tested.
    assert!(accepted * 8 > steps_taken, "{accepted} of {steps_taken} steps were accepted");
}

#[test]
fn what_was_accepted_under_what_moderators_impose_is_accepted_again() {
    let house = House::new();
    let mut play = Play::new(&house, 0);
    let [mute_bob, ban_cathy, freeze] =
        [(1, Wish::Mute), (2, Wish::Ban), (0, Wish::Freeze)].map(|(whom, wish)| Step::Moderate { whom, wish });
    let [alice, bob, cathy] = [0, 1, 2].map(|by| Step::Say { by });
    let renews = Step::Commit { by: 0 };
    let steps = [alice, bob, mute_bob, alice, bob, ban_cathy, renews, alice, cathy, freeze, renews, alice];
    let taken = steps.map(|step| play.take(step));
    assert_eq!(taken, [true, true, true, true, false, true, true, true, false, true, true, false]);
    let Restrictions { frozen, muted, barred, .. } = &play.imposed;
    assert!(*frozen && muted.contains(&play.person(1)) && barred.contains(&play.person(2)));
    play.assert_same().unwrap();
}
