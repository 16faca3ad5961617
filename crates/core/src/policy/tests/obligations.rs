//! What is owed where something is allowed.

use super::*;

const SETTINGS: &str = "obligations:\n  rate_classes:\n    - { name: slow, per_minute: 6, burst: 2 }\n    \
    - { name: brisk, per_minute: 60, burst: 20 }\n";
const SLOW: &str = "@id(\"owed.guests\") @reason(\"GUESTS\")\n@rate_class(\"slow\")\npermit (principal, \
    action == Mimi::Action::\"canSendMessage\", resource is Mimi::Room)\nwhen { principal.employment == \"guest\" };\n";
const BRISK: &str = "@id(\"owed.large\")\n@rate_class(\"brisk\")\npermit (principal, \
    action == Mimi::Action::\"canSendMessage\", resource is Mimi::Room)\nwhen { context.messageBytes > 50 };\n\
    @id(\"owed.large-too\")\n@rate_class(\"brisk\")\npermit (principal, action in [Mimi::Action::\"canSendMessage\"], \
    resource is Mimi::Room)\nwhen { context.messageBytes > 60 };\n";

fn owing(more: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    let all = [&[("settings.yaml", SETTINGS)], more].concat();
    files_with(&all)
}

fn wrong_with(obligation: &str, settings: &str) -> Vec<String> {
    diagnostics_with(&[("obligations/mine.cedar", obligation), ("settings.yaml", settings)])
}

fn sent(engine: &Engine, who: &str, bytes: u64) -> Verdict {
    let (room, actor) = (clubhouse(), Actor::User(user(who)));
    let source = domain(who.split('/').next().unwrap());
    let asked = question(&room, &actor, Capability::SEND_MESSAGE, None, &source);
    engine.decide(&Question { message_bytes: bytes, ..asked })
}

#[test]
fn of_all_that_holds_the_strictest_is_owed_with_what_asks_for_it() {
    let engine =
        Engine::new(&Bundle::load(owing(&[("obligations/a.cedar", SLOW), ("obligations/b.cedar", BRISK)])).unwrap());
    let owed = |bytes| sent(&engine, "b.example/u/bob", bytes).obligations.rate_class;
    assert_eq!(owed(100), Some(Owed { value: "slow".to_owned(), because: vec!["owed.guests".to_owned()] }));
    let alone = Engine::new(&Bundle::load(owing(&[("obligations/b.cedar", BRISK)])).unwrap());
    let owed = |bytes| sent(&alone, "b.example/u/bob", bytes).obligations.rate_class;
    let brisk = |because: &[&str]| {
        Some(Owed { value: "brisk".to_owned(), because: because.iter().map(|id| (*id).to_owned()).collect() })
    };
    assert_eq!(
        (owed(10), owed(55), owed(70)),
        (None, brisk(&["owed.large"]), brisk(&["owed.large", "owed.large-too"]))
    );
    assert_eq!(alone.rate_class("brisk").map(|class| class.per_minute.get()), Some(60));
    let verdict = sent(&engine, "c.example/u/mallory", 100);
    assert!(!verdict.allow && verdict.obligations.is_empty(), "{verdict:?}");
}

#[test]
fn obligations_allow_nothing() {
    let all = SLOW.replace("when { principal.employment == \"guest\" }", "when { true || principal.suspended }");
    let engine = Engine::new(&Bundle::load(owing(&[("obligations/a.cedar", &all)])).unwrap());
    let verdict = sent(&engine, "d.example/u/nobody", 10);
    assert_eq!((verdict.allow, verdict.reason.as_str()), (false, "NOT_A_PARTICIPANT"));
}

#[test]
fn what_nothing_carries_out_is_refused_and_so_is_what_is_not_an_obligation() {
    for (from, to, message) in [
        ("@rate_class(\"slow\")", "@retention(\"P30D\")", "`@retention` is not carried out by this version"),
        ("@rate_class(\"slow\")", "@review(\"supervisor\")", "`@review` is not carried out"),
        ("@rate_class(\"slow\")", "@journal(\"worm-1\")", "`@journal` is not carried out"),
        ("@rate_class(\"slow\")", "@rate_class(\"sluggish\")", "no rate class `sluggish`"),
        ("@rate_class(\"slow\")", "@rate_clas(\"slow\")", "unknown annotation `@rate_clas`"),
        ("@rate_class(\"slow\")\n", "", "obligation asks for nothing"),
        ("permit (", "forbid (", "this folder only permits"),
        ("\"canSendMessage\"", "\"canAddParticipant\"", "more than it is carried out for"),
        (
            "action == Mimi::Action::\"canSendMessage\"",
            "action in Mimi::Action::\"MessageActs\"",
            "more than it is carried out for",
        ),
        ("principal.employment == \"guest\"", "context.epoch * 2 > 7", "counts with facts"),
        ("principal.employment == \"guest\"", "principal.employmnt == \"guest\"", "employmnt"),
        ("@id(\"owed.guests\")", "@id(\"company.muted\")", "`company.muted` is used twice"),
        ("@id(\"owed.guests\")", "", "policy has no `@id`"),
    ] {
        let wrong = wrong_with(&SLOW.replace(from, to), SETTINGS);
        let place = if message.ends_with("used twice") { "" } else { "obligations/mine.cedar:" };
        assert!(wrong.iter().any(|one| one.starts_with(place) && one.contains(message)), "{message}: {wrong:#?}");
    }
}

#[test]
fn rate_classes_stand_in_their_order_and_once() {
    let turned = "obligations:\n  rate_classes:\n    - { name: brisk, per_minute: 60, burst: 20 }\n    \
        - { name: slow, per_minute: 6, burst: 2 }\n    - { name: brisk, per_minute: 60, burst: 20 }\n";
    let wrong = wrong_with(SLOW, turned);
    assert!(wrong.iter().any(|one| one.contains("`slow` allows less than `brisk` before it")), "{wrong:#?}");
    assert!(wrong.iter().any(|one| one.contains("`brisk` is listed twice")), "{wrong:#?}");
}

#[test]
fn what_is_owed_is_recorded_and_must_be_owed_again() {
    let bundle = Bundle::load(owing(&[("obligations/a.cedar", SLOW)])).unwrap();
    let verdict = sent(&Engine::new(&bundle), "b.example/u/bob", 10);
    let recorded = serde_json::json!({ "verdict": verdict.recorded() });
    assert_eq!(recorded.pointer("/verdict/obligations/rate_class/value"), Some(&"slow".into()));
    assert_eq!(Told::of(&recorded), Some(Told::from(verdict.clone())));
    let other = Verdict { obligations: Obligations::default(), ..verdict };
    assert_ne!(Told::of(&recorded), Some(Told::from(other.clone())));
    // Records without any are as they were.
    assert!(other.recorded().get("obligations").is_none());
}

#[test]
fn tests_say_what_is_owed_and_coverage_counts_obligations() {
    let tests = "rooms:\n  lounge:\n    room: mimi://a.example/r/lounge\n    side: hub\n    template: strict\n    \
        participants: { mimi://b.example/u/bob: ordinary_user }\ncases:\n  - it: guests are slow\n    room: lounge\n    \
        actor: mimi://b.example/u/bob\n    action: canSendMessage\n    table:\n      \
        - { it: right, expect: { allow: true, obligations: { rate_class: slow } } }\n      \
        - { it: wrong, expect: { allow: true, obligations: {} } }\n";
    let bundle = Bundle::load(owing(&[("obligations/a.cedar", SLOW), ("tests/owed.yaml", tests)])).unwrap();
    let outcomes = run_cases(&bundle);
    let mine: Vec<&CaseOutcome> = outcomes.iter().filter(|outcome| outcome.file == "tests/owed.yaml").collect();
    assert!(mine[0].holds(), "{mine:#?}");
    assert_eq!(mine[1].differences[0].to_string(), "obligations: expected none, got rate_class slow");
    let coverage = Coverage::of(&bundle);
    let of = coverage.policies.iter().find(|policy| policy.id == "owed.guests").unwrap();
    assert!(of.decides >= 2 && of.clauses[0].holds >= 2, "{of:#?}");
}
