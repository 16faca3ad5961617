use super::*;
use crate::policy::people::PersonFacts;

/// Value and source of an attribute.
fn said(engine: &Engine, of: &str, name: &str) -> Option<(String, String)> {
    let all = engine.attributes(&user(of));
    all.into_iter().find(|attribute| attribute.name == name).map(|attribute| (attribute.value, attribute.source))
}

fn engine() -> Engine {
    let settings = "
defaults: { user: { employment: guest, clearance: 0 } }
providers:
- { domain: b.example, jurisdiction: EU, users: { employment: contractor, clearance: 1, segments: [partners] } }
- { domain: c.example, jurisdiction: US, users: { jurisdiction: CH } }
rules:
- { provider: b.example, clearance: 2 }
- { user: 'mimi://b.example/u/ext-*', employment: guest, clearance: 0, segments: [outside], jurisdiction: UK }
- { user: 'mimi://b.example/u/*-x', segments: [x] }
- { user: 'mimi://a.example/u/dora', segments: [other], clearance: 3 }
users:
- { uri: 'mimi://b.example/u/ext-boss', clearance: 3 }
- { uri: 'mimi://a.example/u/boss', employment: guest, segments: [board], clearance: 1, suspended: false }
directory:
  rules:
  - { employment: employee }
  - { group: traders, segments: [trading], clearance: 2, managed: true }
  - { department: research, division: D, segments: [lab] }
  - { user_type: contractor, employment: contractor }
";
    engine_with(&[
        ("settings.yaml", settings),
        ("tests/company.yaml", "cases: []"),
        ("tests/implied.yaml", "cases: []"),
    ])
}

/// Of somebody who is out, too.
fn facts_of_a_trader() -> PersonFacts {
    PersonFacts { active: false, groups: BTreeSet::from(["Traders".to_owned()]), ..PersonFacts::default() }
}

#[test]
fn a_rule_may_ask_what_the_token_of_a_user_of_ours_says() {
    let settings = "
rules:
- { claims: { acr: high }, clearance: 2 }
- { claims: { acr: high, devices: managed }, provider: a.example, managed: true, clearance: 3 }
directory: { rules: [{ clearance: 1, employment: employee }] }
";
    let engine = engine_with(&[("settings.yaml", settings)]);
    let claims = |pairs: &[(&str, &str)]| -> BTreeMap<String, BTreeSet<String>> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), BTreeSet::from([(*value).to_owned(), "x".to_owned()])))
            .collect()
    };
    let of = |listed: bool, pairs: &[(&str, &str)]| {
        let facts = PersonFacts { listed, claims: claims(pairs), ..PersonFacts::default() };
        let engine = engine.with_people(Arc::new([(user("a.example/u/dora"), facts.into())].into_iter().collect()));
        ["clearance", "managed", "employment"].map(|name| said(&engine, "a.example/u/dora", name))
    };
    let guest = pair("guest", "defaults.user");
    assert_eq!(of(false, &[]), [pair("0", "defaults.user"), None, guest.clone()]);
    assert_eq!(of(false, &[("acr", "low")]), [pair("0", "defaults.user"), None, guest.clone()]);
    assert_eq!(of(false, &[("acr", "high")]), [pair("2", "rules[0]"), None, guest.clone()]);
    let both = [("acr", "high"), ("devices", "managed")];
    assert_eq!(of(false, &both), [pair("3", "rules[1]"), pair("true", "rules[1]"), guest]);
    let employee = pair("employee", "directory.rules[0]");
    assert_eq!(of(true, &both), [pair("1", "directory.rules[0]"), pair("true", "rules[1]"), employee]);
}

#[test]
fn a_bundle_whose_schema_was_kept_before_an_attribute_came_to_be_goes_on_without_it() {
    let schema = String::from_utf8(shipped_files().remove("schema/mimi.cedarschema").unwrap()).unwrap();
    let all = ["jurisdiction", "department", "organization", "manager", "managed"];
    let is_new = |line: &&str| !all.iter().any(|name| line.trim_start().starts_with(&format!("{name}?:")));
    let old: String = schema.lines().filter(is_new).map(|line| format!("{line}\n")).collect();
    assert_eq!(schema.lines().count(), old.lines().count() + all.len());
    let engine = engine_with(&[
        ("schema/mimi.cedarschema", &old),
        ("settings.yaml", "directory: { rules: [{ clearance: 2, managed: true }] }"),
    ]);
    let facts = PersonFacts { department: Some("Research".to_owned()), ..PersonFacts::default() };
    let engine = engine.with_people(Arc::new([(user("b.example/u/bob"), facts.into())].into_iter().collect()));
    let (room, actor, source) = (clubhouse(), Actor::User(user("b.example/u/bob")), domain("b.example"));
    let verdict = engine.decide(&question(&room, &actor, Capability::SEND_MESSAGE, None, &source));
    assert!(verdict.allow, "{verdict:?}");
    assert_eq!(said(&engine, "b.example/u/bob", "clearance"), pair("2", "directory.rules[0]"));
    assert_eq!(
        (said(&engine, "b.example/u/bob", "department"), said(&engine, "b.example/u/bob", "managed")),
        (None, None)
    );
    // What is declared must be what the gateway builds.
    let wrong = schema.replace("managed?: Bool", "managed?: Long");
    assert!(diagnostics_with(&[("schema/mimi.cedarschema", &wrong)])[0].contains("managed"));
}

fn pair(value: &str, source: &str) -> Option<(String, String)> {
    Some((value.to_owned(), source.to_owned()))
}

#[test]
fn users_of_other_providers_have_what_stands_with_their_provider_unless_a_rule_says_otherwise() {
    let engine = engine();
    for (of, name, expected) in [
        ("d.example/u/dan", "employment", pair("guest", "defaults.user")),
        ("d.example/u/dan", "jurisdiction", None),
        ("b.example/u/bob", "employment", pair("contractor", "providers")),
        ("b.example/u/bob", "clearance", pair("2", "rules[0]")),
        ("b.example/u/bob", "segments", pair("partners", "providers")),
        ("b.example/u/bob", "jurisdiction", pair("EU", "providers")),
        ("c.example/u/cathy", "jurisdiction", pair("CH", "providers")),
        ("b.example/u/ext-eve", "employment", pair("guest", "rules[1]")),
        ("b.example/u/ext-eve", "clearance", pair("0", "rules[1]")),
        ("b.example/u/ext-eve", "segments", pair("outside", "rules[1]")),
        ("b.example/u/ext-eve", "jurisdiction", pair("UK", "rules[1]")),
        ("b.example/u/ext-x", "segments", pair("outside, x", "rules[1], rules[2]")),
        ("b.example/u/ext-boss", "clearance", pair("3", "users")),
        ("b.example/u/ext-boss", "employment", pair("guest", "rules[1]")),
    ] {
        assert_eq!(said(&engine, of, name), expected, "{of} {name}");
    }
}

#[test]
fn what_the_identity_provider_says_stands_above_rules_and_below_what_is_said_of_one_user_alone() {
    let facts = PersonFacts {
        department: Some("Research".to_owned()),
        division: Some("d".to_owned()),
        manager: Some(user("a.example/u/ann")),
        groups: BTreeSet::from(["TraDers".to_owned(), "others".to_owned()]),
        ..PersonFacts::default()
    };
    let known = |facts: PersonFacts| {
        let people = std::collections::HashMap::from([(user("a.example/u/dora"), facts.into())]);
        engine().with_people(Arc::new(people))
    };
    let with = known(facts.clone());
    let dora = |engine: &Engine, name| said(engine, "a.example/u/dora", name);
    assert_eq!(dora(&engine(), "segments"), pair("other", "rules[3]"));
    assert_eq!(dora(&with, "segments"), pair("lab, trading", "directory.rules[1], directory.rules[2]"));
    assert_eq!(dora(&with, "employment"), pair("employee", "directory.rules[0]"));
    assert_eq!(dora(&with, "clearance"), pair("2", "directory.rules[1]"));
    assert_eq!(dora(&with, "department"), pair("Research", "directory"));
    assert_eq!(dora(&with, "manager"), pair("mimi://a.example/u/ann", "directory"));
    assert_eq!(dora(&with, "managed"), pair("true", "directory.rules[1]"));
    assert_eq!(said(&with, "a.example/u/DOra", "clearance"), pair("2", "directory.rules[1]"), "however it is spelt");
    assert_eq!(said(&with, "a.example/u/eve", "employment"), pair("guest", "defaults.user"), "whom it does not know");
    let contractor = known(PersonFacts { user_type: Some("Contractor".to_owned()), active: false, ..facts });
    assert_eq!(dora(&contractor, "employment"), pair("contractor", "directory.rules[3]"), "the last rule counts");
    assert_eq!(dora(&contractor, "suspended"), pair("true", "directory"));
    let nothing = known(PersonFacts { groups: BTreeSet::new(), department: None, ..PersonFacts::default() });
    assert_eq!(dora(&nothing, "segments"), pair("other", "rules[3]"), "where it says nothing the settings count");
    let both = [user("a.example/u/boss"), user("a.example/u/dora")].map(|of| (of, facts_of_a_trader().into()));
    let with = engine().with_people(Arc::new(both.into_iter().collect()));
    let boss = |name| said(&with, "a.example/u/boss", name);
    assert_eq!(boss("segments"), pair("board", "users"));
    assert_eq!((boss("employment"), boss("clearance")), (pair("guest", "users"), pair("1", "users")));
    assert_eq!((boss("managed"), boss("suspended")), (pair("true", "directory.rules[1]"), pair("true", "directory")));
}

#[test]
fn a_change_of_what_is_said_of_somebody_is_seen_by_the_next_decision() {
    let engine = engine_with(&[]);
    let (room, actor, source) = (clubhouse(), Actor::User(user("b.example/u/bob")), domain("b.example"));
    let asked = question(&room, &actor, Capability::SEND_MESSAGE, None, &source);
    assert!(engine.decide(&asked).allow);
    let said = |active| {
        let facts = PersonFacts { active, ..PersonFacts::default() };
        engine.with_people(Arc::new([(user("b.example/u/bob"), facts.into())].into_iter().collect()))
    };
    // They share what was found out before.
    assert_eq!(said(false).decide(&asked).reason, "ACTOR_SUSPENDED");
    assert!(said(true).decide(&asked).allow && engine.decide(&asked).allow);
    let mut entry = serde_json::Map::new();
    said(false).name_people(&mut entry, [&user("b.example/u/bob"), &user("a.example/u/alice")]);
    assert_eq!(entry["people"].as_object().unwrap().keys().collect::<Vec<_>>(), ["mimi://b.example/u/bob"]);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    for (wrong, told) in [
        ("directory: { rules: [{ clearance: 4 }] }", "clearance 4 is out of range"),
        ("rules: [{ clearance: 9 }]", "clearance 9 is out of range"),
        ("rules: [{ user: 'mimi://*/u/x' }]", "expected a user such as"),
        ("directory: { rules: [{ grop: x }] }", "grop"),
        ("providers: [{ domain: b.example, users: { clearance: 5 } }]", "clearance 5 is out of range"),
    ] {
        let found = diagnostics_with(&[("settings.yaml", wrong)]);
        assert!(found.iter().any(|line| line.contains(told)), "{wrong}: {found:?}");
    }
}
