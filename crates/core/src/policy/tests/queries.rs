//! Who can, what can, where can.

use super::*;

const HOURS: &str = "@id(\"mine.hours\") @reason(\"OUTSIDE_HOURS\")\n\
    forbid (principal, action == Mimi::Action::\"canSendMessage\", resource is Mimi::Room)\n\
    when { principal.employment == \"contractor\" }\n\
    unless { context.now.toTime() >= duration(\"7h\") };\n";

const ROOMS: &str = "\
settings:
  defaults: { max_message_bytes: 1000 }
  users:
    - { uri: mimi://b.example/u/bob, employment: contractor }
    - { uri: mimi://c.example/u/carol, suspended: true }
rooms:
  lounge:
    room: mimi://a.example/r/lounge
    side: hub
    template: strict
    participants:
      mimi://a.example/u/alice: group_admin
      mimi://b.example/u/bob: ordinary_user
      mimi://c.example/u/carol: ordinary_user
  quiet:
    room: mimi://a.example/r/quiet
    side: hub
    template: strict
    frozen: true
    participants: { mimi://b.example/u/bob: ordinary_user }
  away: { room: 'mimi://z.example/r/away', side: follower }
cases:
  - { it: send, room: lounge, actor: 'mimi://b.example/u/bob', action: canSendMessage }
";

fn asked(over: Over, open: &[OpenFact]) -> Vec<Answer> {
    let bundle = Bundle::load(files_with(&[("ceiling/mine.cedar", HOURS)])).unwrap();
    let suite = bundle.questions("asked.yaml", ROOMS).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    bundle.query(&suite, 0, over, &open.iter().copied().collect()).unwrap()
}

fn possible(answers: &[Answer]) -> Vec<(&str, Possible)> {
    answers.iter().map(|answer| (answer.subject.as_str(), answer.possible)).collect()
}

#[test]
fn who_can_names_everybody_with_the_conditions_that_are_left() {
    let answers = asked(Over::Users, &[OpenFact::Now]);
    assert_eq!(
        possible(&answers),
        [
            ("mimi://a.example/u/alice", Possible::Yes),
            ("mimi://b.example/u/bob", Possible::If),
            ("mimi://c.example/u/carol", Possible::No),
        ]
    );
    let [condition] = &answers[1].conditions[..] else { panic!("{answers:#?}") };
    assert_eq!((condition.policy.as_str(), condition.forbids), ("mine.hours", true));
    assert!(condition.text.contains("context.now.toTime()"), "{condition:?}");
    assert!(!condition.text.contains("employment"), "what is known is not asked for: {condition:?}");
    assert_eq!(answers[1].by, ["mimi.role-capability"]);
    assert_eq!(answers[2].by, ["company.suspended-actor"]);
}

#[test]
fn what_is_given_is_no_condition() {
    let answers = asked(Over::Users, &[]);
    assert!(answers.iter().all(|answer| answer.conditions.is_empty()), "{answers:#?}");
    assert_eq!(answers[1].possible, Possible::No, "at midnight");
    let answers = asked(Over::Users, &[OpenFact::Bytes]);
    assert!(answers[0].conditions[0].text.contains("context.messageBytes"), "{answers:#?}");
}

#[test]
fn what_can_goes_over_all_capabilities_and_marks_what_is_not_stopped_here() {
    let answers = asked(Over::Actions, &[OpenFact::Now]);
    assert_eq!(answers.len(), Capability::NAMED.len());
    let of = |name: &str| answers.iter().find(|answer| answer.subject == name).unwrap();
    assert_eq!(of("canSendMessage").possible, Possible::If);
    assert_eq!(of("canRemoveSelf").possible, Possible::Yes);
    assert_eq!(of("canBan").possible, Possible::No);
    assert_eq!(
        (of("canCopyMessage").possible, of("canCopyMessage").enforcement),
        (Possible::Yes, Enforcement::Clients)
    );
}

#[test]
fn where_can_goes_over_all_rooms() {
    let answers = asked(Over::Rooms, &[OpenFact::Now]);
    assert_eq!(
        possible(&answers),
        [
            ("away mimi://z.example/r/away", Possible::If),
            ("lounge mimi://a.example/r/lounge", Possible::If),
            ("quiet mimi://a.example/r/quiet", Possible::No),
        ]
    );
}

#[test]
fn with_nothing_open_the_answers_are_those_of_the_engine() {
    let bundle = Bundle::load(shipped_files()).unwrap();
    let mut compared = 0;
    for (_, suite) in bundle.suites() {
        // Each takes a while without optimisation.
        for (number, it) in suite.sentences().step_by(20) {
            for over in [Over::Users, Over::Actions, Over::Rooms] {
                let Some(answers) = bundle.query(suite, number, over, &BTreeSet::new()) else { continue };
                assert!(answers.iter().all(|answer| answer.possible != Possible::If), "{it}: {answers:#?}");
                compared += answers.len();
            }
            let Some(answers) = bundle.query(suite, number, Over::Users, &BTreeSet::new()) else { continue };
            let why = bundle.why(suite, number).unwrap();
            let actor = &why.facts.iter().find(|(name, _)| *name == "principal").unwrap().1;
            let same = answers.iter().find(|answer| actor.contains(&format!("\"{}\"", answer.subject)));
            // A case may name who hands it in, and that stays as it is for everybody.
            if let Some(same) = same {
                assert_eq!(same.possible == Possible::Yes, why.verdict.allow, "{it}");
            }
        }
    }
    assert!(compared > 300, "{compared}");
}

#[test]
fn what_is_done_to_somebody_says_that_nobody_was_named() {
    let answers = asked(Over::Actions, &[]);
    let unnamed = |name: &str| &answers.iter().find(|answer| answer.subject == name).unwrap().unnamed[..];
    assert_eq!(unnamed("canBan"), ["target"]);
    assert_eq!(unnamed("canChangeUserRole"), ["target", "to_role"]);
    assert_eq!(unnamed("canChangeOwnRole"), ["to_role"]);
    assert!(unnamed("canSendMessage").is_empty());
}

#[test]
fn what_surely_fails_is_no_condition() {
    let failing = "@id(\"mine\") @reason(\"MINE\")\n\
        forbid (principal, action == Mimi::Action::\"canSendMessage\", resource is Mimi::Room)\n\
        when { context.epoch + 9223372036854775807 > 0 && context.now > datetime(\"2020-01-01\") };\n";
    let bundle = Bundle::load(files_with(&[("ceiling/mine.cedar", failing)])).unwrap();
    let rooms = ROOMS.replace("action: canSendMessage", "action: canSendMessage, epoch: 7");
    let suite = bundle.questions("asked.yaml", &rooms).unwrap();
    let answers = bundle.query(&suite, 0, Over::Users, &[OpenFact::Now].into()).unwrap();
    assert!(
        answers.iter().all(|answer| answer.possible == Possible::No && answer.conditions.is_empty()),
        "{answers:#?}"
    );
    assert_eq!(answers[0].by, ["mine"]);
}
