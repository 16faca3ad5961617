//! What a decision costs, from facts to verdict, when most of many policies cannot apply to it.

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use portcullis_core::policy::{Bundle, Engine, Membership, Question, RoleFacts, RoomFacts, Side};
use portcullis_core::room::Actor;
use portcullis_core::time::Millis;
use portcullis_core::wire::components::Capability;
use portcullis_core::wire::uri::{Domain, RoomUri, UserUri};

use super::{ROUNDS, median};

const SCHEMA: &str = include_str!("../policies/schema/mimi.cedarschema");
/// Policies whose scope fits the question, in every bundle that is measured.
const APPLY: usize = 8;
/// Decisions a round; an odd number, so that one of them is the median.
const DECISIONS: usize = 2001;

/// A bundle of `total` policies of which [`APPLY`] apply to a message in the lounge: half of the others are about other
/// rooms, half about other actions.
fn engine(total: usize) -> Engine {
    let mut platform = vec![String::from(
        "@id(\"role\") @reason(\"ROLE\") permit (principal, action in Mimi::Action::\"MemberActs\", resource is Mimi::Room)
        when { resource.hasTag(principal.uri) && resource.getTag(principal.uri).capabilities.contains(action) };\n",
    )];
    let mut rooms = Vec::new();
    for number in 1..APPLY {
        platform.push(format!(
            "@id(\"apply.{number}\") @reason(\"SIZE\")
            forbid (principal, action in Mimi::Action::\"MessageActs\", resource is Mimi::Room)
            when {{ context.messageBytes > {number}000000 && principal.clearance < 3 }};\n"
        ));
    }
    for number in APPLY..total {
        if number % 2 == 0 {
            rooms.push(format!(
                "@id(\"room.{number}\") @reason(\"ROOM\")
                forbid (principal, action in Mimi::Action::\"RoomActs\",
                    resource == Mimi::Room::\"mimi://a.example/r/room{number}\")
                when {{ principal.clearance < 0 || context.messageBytes > {number} }};\n"
            ));
        } else {
            platform.push(format!(
                "@id(\"act.{number}\") @reason(\"ACT\")
                forbid (principal, action in Mimi::Action::\"RemovingActs\", resource is Mimi::Room)
                when {{ principal.clearance < 2 && context.epoch == {number} }};\n"
            ));
        }
    }
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::from([
        ("schema/mimi.cedarschema".to_owned(), SCHEMA.as_bytes().to_vec()),
        ("settings.yaml".to_owned(), b"{}".to_vec()),
    ]);
    // A file has its limit.
    for (layer, policies) in [("platform", platform), ("rooms", rooms)] {
        for (number, some) in policies.chunks(1000).enumerate() {
            files.insert(format!("{layer}/bench-{number}.cedar"), some.concat().into_bytes());
        }
    }
    Engine::new(&Bundle::load(files).unwrap_or_else(|wrong| panic!("{wrong:#?}")))
}

/// A room of 1,000 with the roles of the shipped template `strict`, as far as numbers go.
fn lounge() -> RoomFacts {
    let capabilities: BTreeSet<Capability> = Capability::NAMED.iter().take(40).map(|(it, _)| *it).collect();
    let role = |index| Arc::new(RoleFacts { index, name: format!("role {index}"), capabilities: capabilities.clone() });
    let user = |number| UserUri::parse(&format!("mimi://a.example/u/user{number}")).unwrap();
    RoomFacts {
        room: RoomUri::parse("mimi://a.example/r/lounge").unwrap(),
        side: Side::Hub,
        roles: Some(Membership {
            participants: Arc::new((0..1000).map(|number| (user(number), 2)).collect()),
            roles: (0..6).map(role).collect(),
        }),
        muted: BTreeSet::new(),
        barred: Default::default(),
        frozen: false,
        legal_hold: false,
    }
}

/// Nanoseconds of the median decision.
fn round(engine: &Engine, question: &Question<'_>) -> f64 {
    let one = |_| {
        let start = Instant::now();
        let verdict = black_box(engine.decide(black_box(question)));
        let took = start.elapsed().as_nanos() as f64;
        assert!(verdict.allow && verdict.errors.is_empty(), "{verdict:?}");
        took
    };
    median((0..DECISIONS).map(one).collect())
}

pub(super) fn run() {
    let (few, many) = (engine(10), engine(10_000));
    let (room, source) = (lounge(), Domain::parse("a.example").unwrap());
    let actor = Actor::User(UserUri::parse("mimi://a.example/u/user7").unwrap());
    let question = Question {
        room: &room,
        actor: &actor,
        capability: Capability::SEND_MESSAGE,
        target: None,
        from_role: 0,
        to_role: 0,
        transition_authorized: false,
        alternative_granted: false,
        preauthorized: false,
        external: false,
        suite: 1,
        epoch: 7,
        message_bytes: 2000,
        source: &source,
        now: Millis(1_795_257_600_000),
    };
    round(&few, &question);
    round(&many, &question);
    let (mut of_few, mut of_many, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (a, b) = (round(&few, &question), round(&many, &question));
        of_few.push(a);
        of_many.push(b);
        ratios.push(b / a);
    }
    println!("decision, 10 policies, {APPLY} apply:      {:7.1} µs", median(of_few) / 1000.0);
    println!("decision, 10,000 policies, {APPLY} apply:  {:7.1} µs", median(of_many) / 1000.0);
    println!("decision, 10,000 to 10:             {:7.2}", median(ratios));
}
