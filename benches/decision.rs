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
/// Policies of the bundles that are compared.
const SIZES: [usize; 3] = [10, 1000, 10_000];
/// Decisions a round; an odd number, so that one of them is the median.
const DECISIONS: usize = 2001;

/// What is owed for a message: three of these hold.
const OBLIGATIONS: &str = r#"
@id("owed.guests") @rate_class("slow")
permit (principal, action == Mimi::Action::"canSendMessage", resource is Mimi::Room) when { principal.employment == "guest" };
@id("owed.large") @rate_class("brisk")
permit (principal, action == Mimi::Action::"canSendMessage", resource is Mimi::Room) when { context.messageBytes > 1000 };
@id("owed.late") @rate_class("brisk")
permit (principal, action == Mimi::Action::"canSendMessage", resource is Mimi::Room)
when { context.now > datetime("2026-06-01") };
@id("owed.cleared") @rate_class("brisk")
permit (principal, action == Mimi::Action::"canSendMessage", resource is Mimi::Room) when { principal.clearance > 1 };
"#;
const SETTINGS: &str = "obligations: { rate_classes: [{ name: slow, per_minute: 6, burst: 2 }, { name: brisk, per_minute: 60, burst: 20 }] }";

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
        ("settings.yaml".to_owned(), SETTINGS.as_bytes().to_vec()),
        ("obligations/bench.cedar".to_owned(), OBLIGATIONS.as_bytes().to_vec()),
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
        assert!(verdict.allow && verdict.errors.is_empty() && !verdict.obligations.is_empty(), "{verdict:?}");
        took
    };
    median((0..DECISIONS).map(one).collect())
}

pub(super) fn run() {
    let engines = SIZES.map(engine);
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
    for engine in &engines {
        round(engine, &question);
    }
    let (mut times, mut ratios) = (vec![Vec::new(); SIZES.len()], vec![Vec::new(); SIZES.len()]);
    for _ in 0..ROUNDS {
        let took = engines.each_ref().map(|engine| round(engine, &question));
        for (number, it) in took.iter().enumerate() {
            times[number].push(*it);
            ratios[number].push(it / took[0]);
        }
    }
    for ((size, times), ratios) in SIZES.into_iter().zip(times).zip(ratios) {
        let least = times.iter().copied().fold(f64::INFINITY, f64::min);
        println!(
            "decision with obligations, {size:>6} policies, {APPLY} apply: {:6.1} µs, least {:6.1} µs, {:4.2} times the first",
            median(times) / 1000.0,
            least / 1000.0,
            median(ratios)
        );
    }
}
