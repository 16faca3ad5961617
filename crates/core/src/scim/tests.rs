use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn alice() -> Map<String, Value> {
    object(json!({
        "id": "7f", "userName": "Alice@A.example", "externalId": "Ext-1", "active": true, "userType": "Employee",
        "name": { "givenName": "Alice" },
        "emails": [
            { "value": "alice@a.example", "type": "work", "primary": true },
            { "value": "al@home.example", "type": "home" },
        ],
        ENTERPRISE_URN: { "department": "Research", "manager": { "value": "26" } },
        "meta": { "lastModified": "2026-11-22T10:00:00.000Z" },
    }))
}

fn fits(filter: &str) -> bool {
    Filter::parse(filter).unwrap().fits(&USER, &alice())
}

#[test]
fn every_operator_of_a_filter_compares_as_rfc_7644_says() {
    for filter in [
        r#"userName eq "alice@a.example""#,
        r#"USERNAME Eq "ALICE@A.EXAMPLE""#,
        r#"externalId eq "Ext-1""#,
        r#"userName ne "bob""#,
        r#"userName co "ICE@""#,
        r#"userName sw "al""#,
        r#"userName ew ".example""#,
        "userName pr",
        "active eq true",
        r#"active eq "True""#,
        r#"name.givenName eq "alice""#,
        r#"emails co "home.example""#,
        r#"emails.type eq "work""#,
        r#"emails[type eq "work" and primary eq true]"#,
        r#"emails[type eq "home" and value co "@home"]"#,
        r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq "research""#,
        r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "a""#,
        r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value eq "26""#,
        r#"meta.lastModified gt "2026-11-22T09:00:00Z""#,
        r#"meta.lastModified le "2026-11-23T09:00:00Z""#,
        "title eq null",
        r#"not (userType eq "Contractor")"#,
        r#"userType eq "Intern" or userType eq "Employee" and active eq true"#,
        r#"(userType eq "Intern" or userType eq "Employee") and not(active eq false)"#,
    ] {
        assert!(fits(filter), "{filter}");
    }
    for filter in [
        r#"externalId eq "ext-1""#,
        "title pr",
        "active eq false",
        r#"emails[type eq "home" and primary eq true]"#,
        r#"emails.value ne "al@home.example""#,
        r#"userType eq "Employee" and userType eq "Intern""#,
        r#"(userType eq "Employee" or active eq true) and userType eq "Intern""#,
        "userName eq 7",
        r#"userName gt "b""#,
        "active gt true",
    ] {
        assert!(!fits(filter), "{filter}");
    }
}

#[test]
fn what_is_no_filter_is_refused_with_its_place_and_within_bounds() {
    for filter in [
        "",
        "userName",
        "userName eq",
        "userName is \"x\"",
        "userName eq \"x",
        "userName eq x",
        "eq \"x\"",
        "userName eq \"x\" and",
        "(userName pr",
        "userName pr)",
        "emails[type pr",
        "userName eq [1]",
        "userName eq {}",
        "not userName pr",
        "a..b pr",
        "userName pr or or active pr",
        "urn:unknown:schema:User:x pr",
    ] {
        let error = Filter::parse(filter).unwrap_err();
        assert_eq!(error.kind, ScimType::InvalidFilter, "{filter}: {error}");
    }
    let deep = |depth: usize| format!("{}userName pr{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Filter::parse(&deep(MAX_DEPTH - 1)).is_ok());
    assert!(Filter::parse(&deep(MAX_DEPTH)).unwrap_err().detail.contains("deep"));
    let long = format!("userName eq \"{}\"", "x".repeat(MAX_FILTER_BYTES));
    assert!(Filter::parse(&long).unwrap_err().detail.contains("bytes"));
    assert!(Filter::parse(r#"userName eq "a \" b""#).is_ok());
}

#[test]
fn a_filter_tells_what_an_index_can_find() {
    let filter = |text: &str| Filter::parse(text).unwrap();
    assert_eq!(filter(r#"userName eq "x" and active eq true"#).wants("username"), Some("x"));
    assert_eq!(filter(r#"userName eq "x" or active eq true"#).wants("username"), None);
    assert_eq!(filter(r#"not (userName eq "x")"#).wants("username"), None);
    assert_eq!(filter(r#"id eq "1" and members eq "x""#).wants("members"), Some("x"));
    assert_eq!(filter(r#"members.value eq "x""#).wants("members.value"), Some("x"));
    assert_eq!(filter(r#"members.value eq "x""#).wants("members"), None);
    assert_eq!(
        filter(r#"members.value eq "x" or not (Members ne "y" and id pr)"#).compares("members"),
        Some(vec!["x", "y"])
    );
    assert_eq!(filter("id pr").compares("members"), Some(Vec::new()));
    for more in
        ["members pr", r#"members sw "x""#, r#"members[value eq "x"]"#, r#"members.display eq "x""#, "members eq null"]
    {
        assert_eq!(filter(more).compares("members"), None, "{more}");
    }
}

fn patched(of: &ResourceType, resource: Value, operations: Value) -> Result<Value, ScimError> {
    let kept = canonical(of, &resource).unwrap();
    Patch::parse(&json!({ "schemas": [], "Operations": operations }))?.apply(of, kept).map(Value::Object)
}

#[test]
fn what_is_sent_is_kept_in_the_words_of_the_schema() {
    let sent = json!({
        "schemas": [USER_URN], "USERNAME": "  alice ", "ACTIVE": "False", "password": "secret", "id": "mine",
        "groups": [{ "value": "x" }], "emails": { "Value": "a@b.example", "Primary": "true", "display": "A" },
        "name": { "GivenName": "Al", "middleName": "B" }, "title": null, "phoneNumbers": [{ "value": "7" }],
        "urn:ietf:params:scim:schemas:extension:ENTERPRISE:2.0:User": { "Department": "R", "manager": "26", "employeeNumber": 7 },
        "urn:example:own": { "x": 1 },
    });
    let kept = Value::Object(canonical(&USER, &sent).unwrap());
    let expected = json!({
        "userName": "alice", "active": false, "emails": [{ "value": "a@b.example", "primary": true }],
        "name": { "givenName": "Al" },
        ENTERPRISE_URN: { "department": "R", "manager": { "value": "26" }, "employeeNumber": "7" },
    });
    assert_eq!(kept, expected);
    for (sent, kind) in [
        (json!([]), ScimType::InvalidSyntax),
        (json!({ "active": true }), ScimType::InvalidValue),
        (json!({ "userName": "" }), ScimType::InvalidValue),
        (json!({ "userName": "a", "active": "perhaps" }), ScimType::InvalidValue),
        (json!({ "userName": ["a", "b"] }), ScimType::InvalidValue),
        (json!({ "userName": "a\u{7}" }), ScimType::InvalidValue),
        (json!({ "userName": "a".repeat(MAX_TEXT_BYTES + 1) }), ScimType::InvalidValue),
        (json!({ "userName": "a", "emails": vec![json!({ "value": "x" }); MAX_VALUES + 1] }), ScimType::InvalidValue),
    ] {
        assert_eq!(canonical(&USER, &sent).unwrap_err().kind, kind, "{sent}");
    }
}

#[test]
fn identity_providers_change_users_in_their_own_ways() {
    let before = json!({
        "userName": "alice", "active": true, "title": "Dr", "emails": [{ "value": "a@b.example", "type": "work" }],
        ENTERPRISE_URN: { "department": "R", "manager": { "value": "26" } },
    });
    let cases = [
        // Entra: capitals, text in the place of a boolean, dots in keys, the manager as text.
        (json!([{ "op": "Replace", "path": "active", "value": "False" }]), "/active", json!(false)),
        (
            json!([{ "op": "Replace", "value": { "active": "False", "name.givenName": "Al" } }]),
            "/name/givenName",
            json!("Al"),
        ),
        (
            json!([{ "op": "Add", "path": format!("{ENTERPRISE_URN}:manager"), "value": "27" }]),
            "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/manager/value",
            json!("27"),
        ),
        (
            json!([{ "op": "Replace", "value": { format!("{ENTERPRISE_URN}:department"): "S" } }]),
            "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/department",
            json!("S"),
        ),
        (
            json!([{ "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "new@b.example" }]),
            "/emails/0/value",
            json!("new@b.example"),
        ),
        (
            json!([{ "op": "Add", "path": "emails[type eq \"home\"].value", "value": "home@b.example" }]),
            "/emails/1",
            json!({ "type": "home", "value": "home@b.example" }),
        ),
        (json!([{ "op": "Add", "path": "phoneNumbers[type eq \"work\"].value", "value": "7" }]), "/title", json!("Dr")),
        // Okta: one replacement without a path, with what it was told.
        (
            json!([{ "op": "replace", "value": { "active": false, "id": "7f", "schemas": [] } }]),
            "/active",
            json!(false),
        ),
        (json!([{ "op": "remove", "path": "title" }]), "/title", Value::Null),
        (json!([{ "op": "replace", "path": "title", "value": null }]), "/title", Value::Null),
        (json!([{ "op": "remove", "path": "emails[value eq \"a@b.example\"]" }]), "/emails", Value::Null),
        (
            json!([{ "op": "remove", "path": ENTERPRISE_URN }]),
            "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
            Value::Null,
        ),
        (
            json!([{ "op": "replace", "path": ENTERPRISE_URN, "value": { "division": "D" } }]),
            "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/division",
            json!("D"),
        ),
        (json!([{ "op": "add", "path": "name", "value": { "familyName": "F" } }]), "/name/familyName", json!("F")),
    ];
    for (operations, place, expected) in cases {
        let after =
            patched(&USER, before.clone(), operations.clone()).unwrap_or_else(|error| panic!("{operations}: {error}"));
        assert_eq!(after.pointer(place).cloned().unwrap_or_default(), expected, "{operations}");
    }
}

#[test]
fn of_several_primary_addresses_the_new_one_is_primary() {
    let before = json!({ "userName": "a", "emails": [{ "value": "1@b.example", "primary": true }] });
    let added = json!([{ "op": "add", "path": "emails", "value": [{ "value": "2@b.example", "primary": true }] }]);
    let after = patched(&USER, before, added).unwrap();
    assert_eq!(after["emails"], json!([{ "value": "1@b.example" }, { "value": "2@b.example", "primary": true }]));
}

#[test]
fn a_null_takes_away_what_it_stands_for_however_deep_it_stands() {
    let before = json!({
        "userName": "alice", "name": { "givenName": "Al", "familyName": "F" },
        ENTERPRISE_URN: { "department": "R", "division": "D", "manager": { "value": "26" } },
    });
    let enterprise = |operation: Value| {
        let after = patched(&USER, before.clone(), json!([operation])).unwrap();
        after.get(ENTERPRISE_URN).cloned().unwrap_or_default()
    };
    let rest = json!({ "division": "D", "manager": { "value": "26" } });
    for operation in [
        json!({ "op": "replace", "path": ENTERPRISE_URN, "value": { "department": null } }),
        json!({ "op": "replace", "value": { ENTERPRISE_URN: { "Department": null } } }),
        json!({ "op": "add", "value": { ENTERPRISE_URN: { "department": null, "division": "D" } } }),
        json!({ "op": "replace", "value": { format!("{ENTERPRISE_URN}:department"): null } }),
        json!({ "op": "replace", "path": ENTERPRISE_URN, "value": { "department": "" } }),
    ] {
        assert_eq!(enterprise(operation.clone()), rest, "{operation}");
    }
    let no_manager = json!({ "department": "R", "division": "D" });
    for gone in [json!(null), json!({ "value": null }), json!("")] {
        let operation = json!({ "op": "replace", "path": ENTERPRISE_URN, "value": { "manager": gone } });
        assert_eq!(enterprise(operation.clone()), no_manager, "{operation}");
    }
    for gone in [json!(null), json!({ "department": null, "division": null, "manager": null })] {
        let operation = json!({ "op": "replace", "value": { ENTERPRISE_URN: gone } });
        assert_eq!(enterprise(operation.clone()), Value::Null, "{operation}");
    }
    let after = patched(&USER, before, json!([{ "op": "replace", "value": { "name": { "familyName": null } } }]));
    assert_eq!(after.unwrap()["name"], json!({ "givenName": "Al" }));
    assert!(canonical(&USER, &json!({ "userName": "a", ENTERPRISE_URN: null })).unwrap().get(ENTERPRISE_URN).is_none());
}

/// What is said of members, and what is left of the change.
fn apart(operations: Value) -> Result<(Patch, Vec<MembersChange>), ScimError> {
    Patch::parse(&json!({ "Operations": operations })).unwrap().apart(&GROUP)
}

#[test]
fn what_is_said_of_members_stands_apart_in_its_order() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let (add, remove, replace) = (MembersChange::Add, MembersChange::Remove, MembersChange::Replace);
    for (operation, change) in [
        (json!({ "op": "remove", "path": "members[value eq \"2\"]" }), remove(names(&["2"]))),
        (json!({ "op": "remove", "path": "members[value eq \"2\" and value eq \"3\"]" }), remove(names(&[]))),
        (
            json!({ "op": "Remove", "path": "Members", "value": [{ "value": "1" }, { "value": "3" }] }),
            remove(names(&["1", "3"])),
        ),
        (
            json!({ "op": "Add", "path": "members", "value": [{ "value": "4", "display": "x" }, { "value": "4" }] }),
            add(names(&["4"])),
        ),
        (json!({ "op": "add", "value": { "members": ["5"] } }), add(names(&["5"]))),
        (json!({ "op": "add", "path": "members[value eq \"5\"]", "value": {} }), add(names(&["5"]))),
        (json!({ "op": "replace", "path": "members", "value": [{ "value": "9" }] }), replace(names(&["9"]))),
        (
            json!({ "op": "replace", "value": { "members": { "value": "9" }, "displayName": "G" } }),
            replace(names(&["9"])),
        ),
        (json!({ "op": "remove", "path": "members" }), replace(names(&[]))),
        (json!({ "op": "replace", "path": "members", "value": [] }), replace(names(&[]))),
        (json!({ "op": "replace", "path": "members", "value": null }), replace(names(&[]))),
    ] {
        let (rest, changes) = apart(json!([operation])).unwrap();
        assert_eq!(changes, [change], "{operation}");
        let kept = rest.apply(&GROUP, object(json!({ "displayName": "G" }))).unwrap();
        assert_eq!(kept, object(json!({ "displayName": "G" })), "{operation}");
    }
    let (_, changes) = apart(json!([{ "op": "remove", "path": "members[value sw \"a\" or value eq \"b\"]" }])).unwrap();
    let [MembersChange::RemoveThose(those)] = &changes[..] else { panic!("{changes:?}") };
    assert!(those.fits(&GROUP, "a1") && those.fits(&GROUP, "b") && !those.fits(&GROUP, "c"));
    let (rest, changes) = apart(json!([
        { "op": "add", "path": "members", "value": "1" }, { "op": "replace", "path": "displayName", "value": "H" },
        { "op": "remove", "path": "members" },
    ]))
    .unwrap();
    assert_eq!(changes, [MembersChange::Add(names(&["1"])), MembersChange::Replace(Vec::new())]);
    assert_eq!(rest.apply(&GROUP, object(json!({ "displayName": "G" }))).unwrap()["displayName"], "H");
    for (operation, kind) in [
        (
            json!({ "op": "replace", "path": "members[value eq \"1\"]", "value": { "value": "2" } }),
            ScimType::Mutability,
        ),
        (json!({ "op": "replace", "path": "members[value eq \"1\"].value", "value": "2" }), ScimType::Mutability),
        (json!({ "op": "remove", "path": "members.wings" }), ScimType::InvalidPath),
        (json!({ "op": "add", "path": "members", "value": [7, { "display": "x" }] }), ScimType::InvalidValue),
    ] {
        assert_eq!(apart(json!([operation])).unwrap_err().kind, kind, "{operation}");
    }
}

#[test]
fn a_change_that_cannot_be_is_refused_by_its_kind() {
    let alice = || json!({ "userName": "alice", "emails": [{ "value": "a@b.example", "type": "work" }] });
    for (operations, kind) in [
        (json!([]), ScimType::InvalidSyntax),
        (json!([7]), ScimType::InvalidSyntax),
        (json!([{ "op": "move", "path": "title" }]), ScimType::InvalidSyntax),
        (json!(vec![json!({ "op": "remove", "path": "title" }); MAX_OPERATIONS + 1]), ScimType::InvalidSyntax),
        (json!([{ "op": "remove" }]), ScimType::NoTarget),
        (json!([{ "op": "add", "value": "x" }]), ScimType::InvalidValue),
        (json!([{ "op": "add", "path": 7, "value": "x" }]), ScimType::InvalidPath),
        (json!([{ "op": "add", "path": "wings", "value": "x" }]), ScimType::InvalidPath),
        (json!([{ "op": "add", "path": "name.wings", "value": "x" }]), ScimType::InvalidPath),
        (json!([{ "op": "add", "path": "title.x", "value": "x" }]), ScimType::InvalidPath),
        (json!([{ "op": "add", "path": "title[x eq 1]", "value": "x" }]), ScimType::InvalidPath),
        (json!([{ "op": "add", "path": "emails[type eq \"work\"", "value": "x" }]), ScimType::InvalidPath),
        (json!([{ "op": "add", "path": "emails[type is 1].value", "value": "x" }]), ScimType::InvalidFilter),
        (json!([{ "op": "replace", "path": "emails[type eq \"home\"].value", "value": "x" }]), ScimType::NoTarget),
        (json!([{ "op": "replace", "path": "id", "value": "x" }]), ScimType::Mutability),
        (json!([{ "op": "replace", "path": "groups", "value": [] }]), ScimType::Mutability),
        (json!([{ "op": "replace", "path": "active", "value": "perhaps" }]), ScimType::InvalidValue),
        (json!([{ "op": "remove", "path": "userName" }]), ScimType::InvalidValue),
    ] {
        assert_eq!(patched(&USER, alice(), operations.clone()).unwrap_err().kind, kind, "{operations}");
    }
    let body = json!({ "schemas": [] });
    assert_eq!(Patch::parse(&body).unwrap_err().kind, ScimType::InvalidSyntax);
}

#[test]
fn who_wants_some_attributes_gets_those_and_the_identifier() {
    let path = |text: &str| AttributePath::parse(text).unwrap();
    let told = projected(
        &USER,
        &alice(),
        &[path("userName"), path("emails.value"), path(&format!("{ENTERPRISE_URN}:department"))],
        &[],
    );
    let expected = json!({
        "id": "7f", "userName": "Alice@A.example",
        "emails": [{ "value": "alice@a.example" }, { "value": "al@home.example" }],
        ENTERPRISE_URN: { "department": "Research" },
    });
    assert_eq!(told, expected);
    let told = projected(&USER, &alice(), &[], &[path("emails"), path("meta"), path("name.givenName"), path("id")]);
    assert!(
        told.get("emails").is_none() && told.get("meta").is_none() && told["id"] == "7f" && told["name"] == json!({})
    );
}

proptest! {
    #[test]
    fn whatever_is_sent_nothing_panics(filter in ".{0,80}", path in "[a-zA-Z.\\[\\]\" :=()]{0,40}", text in ".{0,20}") {
        let _ = Filter::parse(&filter);
        let _ = patched(&USER, json!({ "userName": "a" }), json!([{ "op": "add", "path": path, "value": text }]));
    }
}
