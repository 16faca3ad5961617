//! What accepting a commit costs in a room of 1,000, beside what openmls alone needs to process and merge it.

use std::hint::black_box;

use portcullis_core::identity::credential::provider_credential;
use portcullis_core::member::Member;
use portcullis_core::mls::{Change, Group};
use portcullis_core::policy::{Bundle, Engine, Membership, Question, RoomFacts, Side};
use portcullis_core::room::{self, About, Action, RoomState, Template, TemplateInput};
use portcullis_core::time::Millis;
use portcullis_core::wire::components::FrankingAgent;
use portcullis_core::wire::external_sender::ExternalSender;
use portcullis_core::wire::uri::{ClientUri, Domain, GroupUri, RoomUri};

use super::crowd::{Alone, Crowd, KINDS, PEOPLE, bundle, now};
use super::{ROUNDS, median, policies};

const STRICT: &str = include_str!("../policies/templates/strict.yaml");
/// Commits a round.
const COMMITS: usize = 16;

/// Commits that follow each other, and the group before them.
struct Series {
    name: &'static str,
    group: (Vec<u8>, Vec<u8>),
    updates: Vec<Vec<u8>>,
}

/// CPU time of this thread, in nanoseconds; the kernel brings it up to date when the thread yields.
fn cpu_ns() -> f64 {
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// Who has created the room.
fn founder(room: &RoomUri) -> Member {
    let credential = provider_credential(&room.domain());
    let hub = ExternalSender { signature_key: vec![7; 32], credential: credential.clone() };
    let franking_agent = FrankingAgent { signature_key: vec![8; 32], credential };
    let mut alice = Member::new(ClientUri::parse("mimi://a.example/d/user0/phone").unwrap()).unwrap();
    let creator = alice.user().clone();
    let input = TemplateInput {
        room,
        about: &About::named("Arena"),
        creator: &creator,
        participants: &[],
        parent: None,
        hub: &hub,
        franking_agent: &franking_agent,
    };
    let extensions = Template::parse(STRICT).unwrap().compile(&input);
    alice.create_room(room, &GroupUri::parse("mimi://a.example/g/arena").unwrap(), &extensions).unwrap();
    alice
}

/// openmls alone: CPU nanoseconds a commit.
fn alone(series: &Series) -> f64 {
    let mut group = Alone::at(&series.group);
    let commits: Vec<Vec<u8>> = series.updates.iter().map(|update| bundle(update).commit.as_bytes().to_vec()).collect();
    let start = cpu_ns();
    commits.iter().for_each(|commit| group.merge(commit));
    (cpu_ns() - start) / commits.len() as f64
}

/// All pure stages, from the body of the request to the snapshot that is stored: CPU nanoseconds a commit.
fn accepted(series: &Series, engine: &Engine, room: &RoomUri) -> f64 {
    let (group_info, tree) = &series.group;
    let mut group = Group::found(group_info, tree).unwrap();
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
    let room = RoomUri::parse("mimi://a.example/r/arena").unwrap();
    let (mut crowd, _) = Crowd::gathered(founder(&room), room);
    let series = KINDS.map(|kind| {
        let group = crowd.group();
        Series { name: kind.name, group, updates: crowd.commits(&kind, 0..COMMITS) }
    });
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
