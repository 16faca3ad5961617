//! What accepting a commit costs in a room of 1,000, beside what openmls alone needs to process and merge it.

use std::hint::black_box;
use std::time::{Duration, UNIX_EPOCH};

use openmls::framing::{MlsMessageBodyIn, MlsMessageIn, ProcessedMessageContent, ProtocolMessage};
use openmls::group::{ProposalStore, PublicGroup};
use portcullis_core::identity::credential::provider_credential;
use portcullis_core::member::Member;
use portcullis_core::mls::component_updates::{apply, component_update, dictionary, fill};
use portcullis_core::mls::crypto::HubCrypto;
use portcullis_core::mls::{Change, Group};
use portcullis_core::policy::{Bundle, Engine, Membership, Question, RoomFacts, Side};
use portcullis_core::room::{self, Action, RoomState, Template, TemplateInput};
use portcullis_core::time::Millis;
use portcullis_core::wire::Wire;
use portcullis_core::wire::components::FrankingAgent;
use portcullis_core::wire::external_sender::ExternalSender;
use portcullis_core::wire::mls::{GroupInfo, RatchetTree};
use portcullis_core::wire::notify::{FanoutBody, FanoutMessage};
use portcullis_core::wire::update::{CommitBundle, RatchetTreeOption, UpdateRequest};
use portcullis_core::wire::uri::{ClientUri, Domain, GroupUri, RoomUri, UserUri};
use tls_codec::Deserialize as _;

use super::store::Nothing;
use super::{ROUNDS, median, policies};

const STRICT: &str = include_str!("../policies/templates/strict.yaml");
const PEOPLE: usize = 1000;
/// Members who commit, spread over the tree; all of them have committed before what is measured, so that the tree is
/// as full as in a room that has been in use.
const ACTIVE: usize = 16;
/// Commits a round.
const COMMITS: usize = 16;
const ORDINARY: u32 = 2;
const GROUP_ADMIN: u32 = 3;
const LIFETIME: Duration = Duration::from_secs(60 * 24 * 3600);

/// The room, and clients that are in it.
struct Crowd {
    room: RoomUri,
    /// Alice first.
    active: Vec<Member>,
}

/// Commits that follow each other, and the group before them.
struct Series {
    name: &'static str,
    group_info: Vec<u8>,
    tree: Vec<u8>,
    updates: Vec<Vec<u8>>,
}

fn user(number: usize) -> UserUri {
    UserUri::parse(&format!("mimi://a.example/u/user{number}")).unwrap()
}

fn member(number: usize) -> Member {
    Member::new(ClientUri::parse(&format!("mimi://a.example/d/user{number}/phone")).unwrap()).unwrap()
}

/// openmls compares lifetimes with the system clock (C-12).
fn now() -> Millis {
    Millis(u64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap())
}

/// CPU time of this thread, in nanoseconds; the kernel brings it up to date when the thread yields.
fn cpu_ns() -> f64 {
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

impl Crowd {
    fn gathered() -> Self {
        let room = RoomUri::parse("mimi://a.example/r/arena").unwrap();
        let domain = Domain::parse("a.example").unwrap();
        let credential = provider_credential(&domain);
        let hub = ExternalSender { signature_key: vec![7; 32], credential: credential.clone() };
        let franking_agent = FrankingAgent { signature_key: vec![8; 32], credential };
        let mut alice = member(0);
        let creator = alice.user().clone();
        let input = TemplateInput {
            room: &room,
            name: "Arena",
            creator: &creator,
            participants: &[],
            parent: None,
            hub: &hub,
            franking_agent: &franking_agent,
        };
        let extensions = Template::parse(STRICT).unwrap().compile(&input);
        alice.create_room(&room, &GroupUri::parse("mimi://a.example/g/arena").unwrap(), &extensions).unwrap();
        let mut guests: Vec<Member> = (1..PEOPLE).map(member).collect();
        let packages: Vec<_> = guests.iter_mut().flat_map(|guest| guest.key_packages(1, LIFETIME).unwrap()).collect();
        let listed = (1..PEOPLE).map(|number| (user(number), GROUP_ADMIN));
        let UpdateRequest::Commit(bundle) = alice.add(&room, packages, listed).unwrap() else { panic!("no commit") };
        alice.accepted(&room).unwrap();
        let tree = RatchetTreeOption::Full(alice.group_info(&room).unwrap().tree);
        let message = bundle.welcome.unwrap().message();
        let welcome = FanoutMessage { timestamp: now(), body: FanoutBody::Welcome { message, tree } };
        let mut active = vec![alice];
        for mut guest in guests.into_iter().step_by(PEOPLE / (ACTIVE - 1)) {
            guest.receive(&room, &welcome).unwrap();
            active.push(guest);
        }
        let mut crowd = Self { room, active };
        for by in 0..crowd.active.len() {
            crowd.commit(by, |member, room| member.commit_pending(room).unwrap());
        }
        crowd
    }

    fn commit(&mut self, by: usize, build: impl FnOnce(&mut Member, &RoomUri) -> UpdateRequest) -> Vec<u8> {
        let request = build(&mut self.active[by], &self.room);
        let UpdateRequest::Commit(CommitBundle { commit, .. }) = &request else { panic!("no commit") };
        let body = FanoutBody::Commit { message: commit.clone(), external_proposals: Vec::new() };
        let fanout = FanoutMessage { timestamp: now(), body };
        for member in &mut self.active {
            member.receive(&self.room, &fanout).unwrap();
        }
        request.encode()
    }

    fn series(&mut self, name: &'static str, build: impl Fn(&mut Member, &RoomUri, usize) -> UpdateRequest) -> Series {
        let first = self.active[0].group_info(&self.room).unwrap();
        let updates = (0..COMMITS)
            .map(|number| self.commit(number % self.active.len(), |member, room| build(member, room, number)));
        Series {
            name,
            updates: updates.collect(),
            group_info: first.group_info.as_bytes().to_vec(),
            tree: first.tree.as_bytes().to_vec(),
        }
    }
}

/// openmls alone, with a store that keeps nothing: CPU nanoseconds a commit.
fn alone(series: &Series) -> f64 {
    let crypto = HubCrypto::default();
    let group_info = GroupInfo::decode(&series.group_info).unwrap().into_openmls().unwrap();
    let tree = RatchetTree::decode(&series.tree).unwrap().into_openmls().unwrap();
    let (mut group, _) = PublicGroup::from_external(&crypto, &Nothing, tree, group_info, ProposalStore::new()).unwrap();
    let commits: Vec<Vec<u8>> = series.updates.iter().map(|update| bundle(update).commit.as_bytes().to_vec()).collect();
    let start = cpu_ns();
    for commit in &commits {
        let message = MlsMessageIn::tls_deserialize_exact(commit).unwrap();
        let MlsMessageBodyIn::PublicMessage(message) = message.extract() else { panic!("no PublicMessage") };
        let processed = group.process_message(&crypto, ProtocolMessage::from(message)).unwrap();
        let staged = match processed.into_content() {
            ProcessedMessageContent::StagedCommitMessage(staged) => *staged,
            ProcessedMessageContent::UnresolvedAppDataCommit(unresolved) => {
                let updates: Vec<_> = unresolved.app_data_update_proposals().map(component_update).collect();
                let extension = group.group_context().extensions().app_data_dictionary();
                let before = dictionary(extension.map(|extension| extension.dictionary()));
                let mut updater = group.app_data_dictionary_updater();
                fill(&mut updater, apply(&before, &updates).unwrap());
                let changes = updater.changes();
                group.stage_app_data_commit(&crypto, *unresolved, changes).unwrap()
            }
            other => panic!("no commit: {other:?}"),
        };
        group.merge_commit(&Nothing, staged).unwrap();
    }
    (cpu_ns() - start) / commits.len() as f64
}

fn bundle(update: &[u8]) -> CommitBundle {
    match UpdateRequest::decode(update).unwrap() {
        UpdateRequest::Commit(bundle) => bundle,
        UpdateRequest::Proposals(_) => panic!("no commit"),
    }
}

/// All pure stages, from the body of the request to the snapshot that is stored: CPU nanoseconds a commit.
fn accepted(series: &Series, engine: &Engine, room: &RoomUri) -> f64 {
    let mut group = Group::found(&series.group_info, &series.tree).unwrap();
    let mut state = RoomState::read(group.view()).unwrap();
    let mut facts = facts(room, &state);
    let source = room.domain();
    let start = cpu_ns();
    for update in &series.updates {
        let at = now();
        let bundle = bundle(update);
        let staged = group.inspect_commit(&bundle, at).unwrap();
        let consequences = room::actions(&staged.change, &state, None).unwrap();
        decide(engine, &staged.change, &consequences.actions, &facts, &source, at);
        if bundle.welcome.is_some() {
            black_box(staged.group().ratchet_tree().unwrap());
        }
        black_box(staged.group().snapshot().unwrap());
        state = consequences.room;
        facts.roles = Some(Membership::from(&state));
        group.merge(staged).unwrap();
    }
    (cpu_ns() - start) / series.updates.len() as f64
}

fn facts(room: &RoomUri, state: &RoomState) -> RoomFacts {
    RoomFacts {
        room: room.clone(),
        side: Side::Hub,
        roles: Some(Membership::from(state)),
        muted: Default::default(),
        barred: Default::default(),
        frozen: false,
        legal_hold: false,
    }
}

fn decide(engine: &Engine, change: &Change, actions: &[Action], facts: &RoomFacts, source: &Domain, now: Millis) {
    for action in actions {
        let verdict = engine.decide(&Question {
            room: facts,
            actor: &action.actor,
            capability: action.capability,
            target: action.target.as_ref(),
            from_role: action.from_role,
            to_role: action.to_role,
            transition_authorized: action.transition_authorized,
            alternative_granted: action.alternative_granted,
            preauthorized: action.preauthorized,
            external: action.external,
            suite: change.after.suite,
            epoch: change.before.epoch,
            message_bytes: 0,
            source,
            now,
        });
        assert!(verdict.allow, "{verdict:?}");
    }
}

pub(super) fn run() {
    let engine = Engine::new(&Bundle::load(policies()).unwrap());
    let mut crowd = Crowd::gathered();
    let series = [
        crowd.series("update of own keys", |member, room, _| member.commit_pending(room).unwrap()),
        crowd.series("change of a role", |member, room, number| {
            member.set_role(room, &user(500 + number), ORDINARY).unwrap()
        }),
        crowd.series("adding a user", |member, room, number| {
            let mut guest = self::member(PEOPLE + number);
            let packages = guest.key_packages(1, LIFETIME).unwrap();
            member.add(room, packages, [(guest.user().clone(), ORDINARY)]).unwrap()
        }),
    ];
    for series in &series {
        alone(series);
        accepted(series, &engine, &crowd.room);
        let (mut theirs, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (a, b) = (alone(series), accepted(series, &engine, &crowd.room));
            theirs.push(a);
            ours.push(b);
            ratios.push(b / a);
        }
        let (theirs, ours) = (median(theirs) / 1e6, median(ours) / 1e6);
        println!("commit in a room of {PEOPLE}, {}: openmls {theirs:.2} ms, all stages {ours:.2} ms", series.name);
        println!("commit in a room of {PEOPLE}, {}: {:.2} times openmls", series.name, median(ratios));
    }
}
