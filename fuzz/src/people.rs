//! What an identity provider sends: filters, and users and groups with what changes them.

use portcullis_core::scim::{Filter, GROUP, MembersChange, Patch, ResourceType, USER, canonical};
use serde_json::{Map, Value, json};

fn sample() -> Map<String, Value> {
    let sample = json!({
        "id": "7f", "userName": "alice", "active": true, "emails": [{ "value": "a@a.example", "type": "work" }],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": "Research" },
        "meta": { "created": "2026-11-22T10:00:00.000Z" },
    });
    sample.as_object().cloned().unwrap_or_default()
}

/// A filter: one that is read, and what denies it, tell the same resource apart.
pub(super) fn filter(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(filter) = Filter::parse(text) else { return false };
    let fits = filter.fits(&USER, &sample());
    if let Ok(denied) = Filter::parse(&format!("not ({text})")) {
        assert_ne!(denied.fits(&USER, &sample()), fits, "{text}");
    }
    true
}

/// A list: `User` or `Group`, what was sent of one, and the body of a change. What is kept of either is kept of itself.
pub(super) fn change(bytes: &[u8]) -> bool {
    let Ok((kind, sent, body)) = serde_json::from_slice::<(String, Value, Value)>(bytes) else { return false };
    let of = if kind == GROUP.name { &GROUP } else { &USER };
    let Ok(kept) = canonical(of, &sent) else { return false };
    assert_kept(of, &kept);
    let changed = Patch::parse(&body).and_then(|patch| patch.apart(of)).and_then(|(patch, changes)| {
        for change in changes {
            if let MembersChange::RemoveThose(those) = change {
                those.fits(of, "7f");
            }
        }
        patch.apply(of, kept)
    });
    changed.inspect(|changed| assert_kept(of, changed)).is_ok()
}

fn assert_kept(of: &ResourceType, kept: &Map<String, Value>) {
    assert_eq!(canonical(of, &Value::Object(kept.clone())).as_ref(), Ok(kept));
}

/// Inputs for each decoder of these.
pub(super) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let alice =
        json!({ "userName": "alice", "active": "True", "emails": [{ "value": "a@a.example", "type": "work" }] });
    let group = json!({ "displayName": "Traders", "members": [{ "value": "1" }, "2"] });
    let body = |operations: Value| json!({ "Operations": operations });
    let changes = [
        json!([
            "User",
            alice,
            body(json!([{ "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "b" }]))
        ]),
        json!([
            "User",
            alice,
            body(
                json!([{ "op": "replace", "value": { "name.givenName": "A", format!("{ENTERPRISE}:manager"): "7" } }])
            )
        ]),
        json!(["Group", group, body(json!([{ "op": "remove", "path": "members[value eq \"1\"]" }]))]),
        json!(["Group", group, body(json!([{ "op": "remove", "path": "members[value sw \"1\" or not (value pr)]" }]))]),
        json!(["User", alice, body(json!([{ "op": "replace", "value": { ENTERPRISE: { "department": null } } }]))]),
        json!(["Group", group, body(json!([{ "op": "Add", "path": "members", "value": [{ "value": "3" }] }]))]),
    ];
    let filters = [
        r#"userName eq "alice" and not (active eq false or emails[type eq "home"])"#.to_owned(),
        format!(r#"{ENTERPRISE}:department sw "r" or meta.created gt "2026" and title pr"#),
    ];
    let filters = filters.into_iter().map(|text| ("filter of people", text.into_bytes()));
    filters.chain(changes.map(|change| ("change of people", change.to_string().into_bytes()))).collect()
}
