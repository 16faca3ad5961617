//! The tests of a bundle: what they say when they fail, and what they can be written with.

use super::*;

const HOURS: &str = "@id(\"mine.hours\") @reason(\"OUTSIDE_HOURS\")\n\
    forbid (principal, action == Mimi::Action::\"canSendMessage\", resource is Mimi::Room)\n\
    when { principal.employment == \"contractor\" }\n\
    unless { context.now.toTime() >= duration(\"7h\") && context.now.toTime() < duration(\"19h\") };\n";

fn outcomes_of(suite: &str) -> Vec<CaseOutcome> {
    let files = files_with(&[("ceiling/mine.cedar", HOURS), ("tests/mine.yaml", suite)]);
    let bundle = Bundle::load(files).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    run_cases(&bundle).into_iter().filter(|outcome| outcome.file == "tests/mine.yaml").collect()
}

const ROOM: &str = "\
settings: { users: [{ uri: mimi://b.example/u/bob, employment: contractor }] }
now: 2026-11-20T09:00:00Z
rooms:
  lounge:
    room: mimi://a.example/r/lounge
    side: hub
    template: strict
    participants: { mimi://a.example/u/alice: group_admin, mimi://b.example/u/bob: ordinary_user }
";

#[test]
fn a_table_asks_one_question_with_some_of_it_otherwise() {
    let suite = format!(
        "{ROOM}
cases:
  - it: contractors write in their hours
    room: lounge
    actor: mimi://b.example/u/bob
    action: canSendMessage
    expect: {{ allow: true }}
    table:
      - it: in the morning
      - it: in the last second
        now: 2026-11-20T18:59:59Z
      - it: too late
        now: 2026-11-20T20:00:00+01:00
        expect: {{ allow: false, policies: [mine.hours], reason: OUTSIDE_HOURS }}
      - {{ actor: 'mimi://a.example/u/alice', now: 1795219200000 }}
"
    );
    let outcomes = outcomes_of(&suite);
    assert!(outcomes.iter().all(CaseOutcome::holds), "{outcomes:#?}");
    let said: Vec<&str> = outcomes.iter().map(|outcome| outcome.it.as_str()).collect();
    assert_eq!(
        said,
        [
            "contractors write in their hours / in the morning",
            "contractors write in their hours / in the last second",
            "contractors write in their hours / too late",
            "contractors write in their hours / row 4",
        ]
    );
    assert!(outcomes.iter().all(|outcome| outcome.line == 11), "{outcomes:#?}");
}

#[test]
fn a_case_that_fails_says_what_came_out_instead() {
    let suite = format!(
        "{ROOM}
cases:
  - it: contractors write at night
    room: lounge
    actor: mimi://b.example/u/bob
    action: canSendMessage
    now: 2026-11-20T23:00:00Z
    expect: {{ allow: true, policies: [mimi.role-capability], reason: ROLE_GRANTS }}
"
    );
    let outcomes = outcomes_of(&suite);
    let differences: Vec<String> = outcomes[0].differences.iter().map(ToString::to_string).collect();
    assert_eq!(
        differences,
        [
            "decision: expected allow, got deny",
            "policies: expected mimi.role-capability, got mine.hours",
            "reason: expected ROLE_GRANTS, got OUTSIDE_HOURS",
        ]
    );
    assert_eq!((outcomes[0].file.as_str(), outcomes[0].line), ("tests/mine.yaml", 11));
}

#[test]
fn a_room_of_a_template_has_its_roles_and_allows_the_changes_that_they_list() {
    let suite = format!(
        "{ROOM}
cases:
  - it: an admin bans
    room: lounge
    actor: mimi://a.example/u/alice
    action: canBan
    target: mimi://b.example/u/bob
    expect: {{ allow: true, policies: [mimi.role-capability] }}
  - it: an admin adds
    room: lounge
    actor: mimi://a.example/u/alice
    action: canAddParticipant
    target: mimi://c.example/u/carol
    expect: {{ allow: true, policies: [mimi.role-capability] }}
  - it: an admin makes nobody super admin
    room: lounge
    actor: mimi://a.example/u/alice
    action: canChangeUserRole
    target: mimi://b.example/u/bob
    to_role: super_admin
    expect: {{ allow: false, policies: [mimi.role-change-matrix] }}
  - it: an ordinary user bans nobody
    room: lounge
    actor: mimi://b.example/u/bob
    action: canBan
    target: mimi://a.example/u/alice
    expect: {{ allow: false }}
"
    );
    let outcomes = outcomes_of(&suite);
    assert!(outcomes.iter().all(CaseOutcome::holds), "{outcomes:#?}");
}

#[test]
fn without_settings_of_its_own_a_suite_has_those_of_the_bundle() {
    let suite = ROOM.split_once('\n').unwrap().1.to_owned()
        + "cases:\n  - it: a guest writes at night\n    room: lounge\n    actor: mimi://b.example/u/bob\n    \
           action: canSendMessage\n    now: 2026-11-20T23:00:00Z\n    expect: { allow: true }\n";
    assert!(outcomes_of(&suite)[0].holds());
    let settings = "users: [{ uri: mimi://b.example/u/bob, employment: contractor }]\n";
    let files = [("ceiling/mine.cedar", HOURS), ("tests/mine.yaml", &suite), ("settings.yaml", settings)];
    let outcomes = run_cases(&Bundle::load(files_with(&files)).unwrap());
    assert!(!outcomes.iter().find(|outcome| outcome.file == "tests/mine.yaml").unwrap().holds());
}

#[test]
fn what_a_case_lacks_or_names_in_vain_is_said_where_it_stands() {
    let suite = "\
rooms:
  lounge: { room: 'mimi://a.example/r/l', side: hub, template: sooper, participants: {} }
  attic:
    room: mimi://a.example/r/attic
    side: hub
    template: strict
    participants: { mimi://a.example/u/alice: boss }
cases:
  - it: says too little
    actor: mimi://a.example/u/alice
    expect: { allow: true }
  - it: expects nothing
    actor: mimi://a.example/u/alice
    action: readStream
  - it: is a table in a table
    actor: mimi://a.example/u/alice
    action: readStream
    expect: { allow: true }
    table: [{ table: [{ now: 3 }] }]
admin:
  - it: is nothing to do
    roles: [admin]
    action: viewStatuses
    expect: { allow: true }
";
    let wrong = diagnostics_with(&[("tests/mine.yaml", suite)]);
    let expect = [
        "tests/mine.yaml:2:64: no room template `sooper`",
        "tests/mine.yaml:7:47: no role `boss`",
        "tests/mine.yaml:9:9: `says too little` has no `action`",
        "tests/mine.yaml:12:9: `expects nothing` has no `expect`",
        "tests/mine.yaml:15:9: `is a table in a table / row 1` has a table in a table",
        "tests/mine.yaml:23:13: no action `viewStatuses` with the operation `read`",
    ];
    assert_eq!(wrong.len(), expect.len(), "{wrong:#?}");
    for (wrong, expect) in wrong.iter().zip(expect) {
        assert!(wrong.starts_with(expect), "expected `{expect}…`, got `{wrong}`");
    }
}

#[test]
fn coverage_counts_deciding_cases_and_conditions_seen_from_both_sides() {
    let suite = format!(
        "{ROOM}
cases:
  - it: at night
    room: lounge
    actor: mimi://b.example/u/bob
    action: canSendMessage
    now: 2026-11-20T23:00:00Z
    expect: {{ allow: false }}
  - it: an employee at night
    room: lounge
    actor: mimi://a.example/u/alice
    action: canSendMessage
    expect: {{ allow: true }}
"
    );
    let mut files = files_with(&[("ceiling/mine.cedar", HOURS), ("tests/mine.yaml", &suite)]);
    files.retain(|file, _| !file.starts_with("tests/") || file == "tests/mine.yaml");
    let coverage = Coverage::of(&Bundle::load(files).unwrap());
    let hours = coverage.policies.iter().find(|policy| policy.id == "mine.hours").unwrap();
    assert_eq!((hours.decides, hours.in_scope, hours.is_full()), (1, 2, false));
    let counts: Vec<_> = hours.clauses.iter().map(|clause| (clause.holds, clause.fails)).collect();
    assert_eq!(counts, [(1, 1), (0, 1)], "the hours are not looked at for who is no contractor: {hours:#?}");
    let legal = coverage.policies.iter().find(|policy| policy.id == "company.legal-hold").unwrap();
    assert_eq!((legal.decides, legal.in_scope), (0, 0));
    assert_eq!(coverage.deciding(), 2);
}
