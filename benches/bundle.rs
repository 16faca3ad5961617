//! How long it takes to prove a bundle of 10,000 policies, and to run 1,000 tests of a bundle.

use std::time::Instant;

use portcullis_core::policy::{Bundle, run_cases};

use super::{ROUNDS, median, policies};

const POLICIES: usize = 10_000;
const CASES: usize = 1000;

const TEMPLATE: &str = "@id(\"company.read-only\") @reason(\"READ_ONLY\")
    forbid (principal == ?principal, action in Mimi::Action::\"MessageActs\", resource == ?resource)
    when { principal.employment == \"guest\" };";

/// Milliseconds of the median.
fn timed(mut once: impl FnMut()) -> f64 {
    let times = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        once();
        start.elapsed().as_secs_f64() * 1000.0
    });
    median(times.collect())
}

pub(super) fn run() {
    let mut linked = policies();
    let links = (0..POLICIES).map(|number| {
        let (user, room) = (number % 977, number / 13);
        format!("    - {{ user: mimi://b.example/u/user{user}-{number}, room: mimi://a.example/r/room{room} }}\n")
    });
    let links = format!("- template: company.read-only\n  links:\n{}", links.collect::<String>());
    linked.insert("templates/read-only.cedar".to_owned(), TEMPLATE.as_bytes().to_vec());
    linked.insert("rooms/read-only.yaml".to_owned(), links.into_bytes());
    let load = |files: &std::collections::BTreeMap<String, Vec<u8>>| {
        Bundle::load(files.clone()).unwrap_or_else(|wrong| panic!("{wrong:#?}"))
    };
    let took = timed(|| assert!(load(&linked).policy_ids().count() > POLICIES));
    println!("bundle, {POLICIES} links of a template, proved:  {took:7.1} ms");
    let few = policies();
    println!("bundle, as shipped, proved:              {:7.1} ms", timed(|| drop(load(&few))));

    let mut tested = policies();
    let rows = (0..CASES).map(|number| {
        let user = if number % 2 == 0 { "alice" } else { "bob" };
        let expect = if number % 500 < 250 { "allow: true" } else { "allow: false, reason: MESSAGE_TOO_LARGE" };
        let bytes = if number % 500 < 250 { number } else { 300_000 + number };
        format!(
            "      - {{ it: row {number}, actor: mimi://a.example/u/{user}, bytes: {bytes}, expect: {{ {expect} }} }}\n"
        )
    });
    let suite = format!(
        "rooms:\n  lounge:\n    room: mimi://a.example/r/lounge\n    side: hub\n    \
         roles: [{{ index: 2, name: member, capabilities: [canSendMessage] }}]\n    \
         participants: {{ mimi://a.example/u/alice: 2, mimi://a.example/u/bob: 2 }}\n\
         cases:\n  - it: many messages\n    room: lounge\n    action: canSendMessage\n    table:\n{}",
        rows.collect::<String>()
    );
    tested.insert("tests/many.yaml".to_owned(), suite.into_bytes());
    let took = timed(|| {
        let outcomes = run_cases(&load(&tested));
        assert_eq!(outcomes.len(), CASES);
        assert!(outcomes.iter().all(|outcome| outcome.holds()), "{:?}", outcomes.iter().find(|it| !it.holds()));
    });
    println!("tests, {CASES} cases, the bundle proved first:  {took:7.1} ms");
}
