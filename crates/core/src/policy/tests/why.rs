//! Why a question is decided as it is.

use super::*;

const HOURS: &str = "@id(\"mine.hours\") @reason(\"OUTSIDE_HOURS\")\n\
    forbid (principal, action == Mimi::Action::\"canSendMessage\", resource is Mimi::Room)\n\
    when { principal.employment == \"contractor\" }\n\
    unless { context.now.toTime() >= duration(\"7h\") && context.now.toTime() < duration(\"19h\") };\n";

const ROOM: &str = "\
settings: { users: [{ uri: mimi://b.example/u/bob, employment: contractor }] }
rooms:
  lounge:
    room: mimi://a.example/r/lounge
    side: hub
    template: strict
    participants: { mimi://a.example/u/alice: group_admin, mimi://b.example/u/bob: ordinary_user }
";

fn why(case: &str) -> Why {
    let bundle = Bundle::load(files_with(&[("ceiling/mine.cedar", HOURS)])).unwrap();
    let suite = bundle.questions("asked.yaml", &format!("{ROOM}cases:\n  - {case}\n"));
    bundle.why(&suite.unwrap_or_else(|wrong| panic!("{wrong:#?}")), 0).unwrap()
}

#[test]
fn a_deny_shows_the_conditions_of_its_policy_with_values() {
    let why =
        why("{ room: lounge, actor: 'mimi://b.example/u/bob', action: canSendMessage, now: 2026-11-20T23:00:00Z }");
    assert_eq!((why.verdict.allow, why.enforcement), (false, Enforcement::Here));
    assert_eq!(why.permitted_by, ["mimi.role-capability"]);
    let [policy] = &why.deciding[..] else { panic!("{why:#?}") };
    assert_eq!((policy.id.as_str(), policy.file.as_str(), policy.line), ("mine.hours", "ceiling/mine.cedar", 1));
    let parts: Vec<_> = policy.parts.iter().map(|part| (part.kind.name(), part.passes())).collect();
    assert_eq!(parts, [("action", true), ("resource", true), ("when", true), ("unless", true)]);
    let when = &policy.parts[2].clause;
    assert_eq!(when.values, [("principal.employment".to_owned(), "\"contractor\"".to_owned())]);
    let unless = &policy.parts[3].clause;
    assert_eq!((unless.joined, unless.parts.len(), &unless.holds), (Some(Joined::All), 2, &Holds::No));
    let sides: Vec<&Holds> = unless.parts.iter().map(|part| &part.holds).collect();
    assert_eq!(sides, [&Holds::Yes, &Holds::No]);
    assert!(unless.parts[0].values.iter().any(|(text, _)| text.contains("toTime")), "{unless:#?}");
}

#[test]
fn what_nothing_permits_shows_what_comes_nearest() {
    let permitted = why("{ room: lounge, actor: 'mimi://c.example/u/carol', action: canDestroyRoom }");
    assert_eq!((permitted.verdict.reason.as_str(), permitted.deciding.len()), ("NOT_A_PARTICIPANT", 0));
    let nearest = &permitted.near[0];
    let missed: Vec<&str> =
        nearest.parts.iter().filter(|part| !part.passes()).map(|part| part.clause.text.as_str()).collect();
    assert_eq!(missed.len(), 1, "{permitted:#?}");
}

#[test]
fn what_is_not_reached_is_not_said_to_hold_or_fail() {
    let why = why("{ room: lounge, actor: 'mimi://c.example/u/carol', action: canDestroyRoom }");
    let role = why.near.iter().find(|policy| policy.id == "mimi.role-capability").unwrap();
    let condition = &role.parts.last().unwrap().clause;
    let holds: Vec<&Holds> = condition.parts.iter().map(|part| &part.holds).collect();
    assert_eq!(holds, [&Holds::No, &Holds::NotReached]);
}

#[test]
fn what_clients_alone_enforce_is_marked() {
    let why = why("{ room: lounge, actor: 'mimi://b.example/u/bob', action: canCopyMessage }");
    assert_eq!((why.verdict.allow, why.enforcement), (true, Enforcement::Clients));
    assert_eq!(why.deciding[0].id, "mimi.role-capability");
}
