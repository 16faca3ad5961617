//! What changes from one bundle to another.

use super::*;

fn diff(old: &[(&str, &str)], new: &[(&str, &str)]) -> BundleDiff {
    let (old, new) = (files_with(old), files_with(new));
    let load =
        |files: &BTreeMap<String, Vec<u8>>| Bundle::load(files.clone()).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    let (before, after) = (load(&old), load(&new));
    BundleDiff::of(Written { bundle: &before, files: &old }, Written { bundle: &after, files: &new })
}

fn said(changes: &[Change]) -> Vec<String> {
    let said = changes.iter().map(|change| match &change.changed {
        Changed::Added => format!("+ {}", change.name),
        Changed::Removed => format!("- {}", change.name),
        Changed::Otherwise(how) => format!("~ {}: {}", change.name, how.join("; ")),
    });
    said.collect()
}

const SMALL: &str = "@id(\"mine.small\") @reason(\"SMALL\")\n\
    forbid (principal, action == Mimi::Action::\"canSendMessage\", resource is Mimi::Room) when { context.messageBytes > 500 };\n";

#[test]
fn a_bundle_does_not_differ_from_itself_in_another_form() {
    let rough = SMALL.replace(" when {", "\n\n// Why not.\nwhen\n{");
    let found = diff(&[("ceiling/mine.cedar", SMALL)], &[("ceiling/other.cedar", &rough)]);
    assert!(found.is_empty(), "{found:#?}");
    assert!(found.compared > 150, "{}", found.compared);
}

#[test]
fn policies_are_compared_by_their_parts() {
    let found = diff(&[], &[("ceiling/mine.cedar", SMALL)]);
    assert_eq!(said(&found.policies), ["+ mine.small"]);
    let changed = SMALL.replace("500", "600").replace("SMALL", "TINY");
    let found = diff(&[("ceiling/mine.cedar", SMALL)], &[("rooms/mine.cedar", &changed)]);
    assert_eq!(
        said(&found.policies),
        ["~ mine.small: moved from ceiling/ to rooms/; `@reason` changed; its conditions changed"]
    );
    let found = diff(&[("ceiling/mine.cedar", SMALL)], &[]);
    assert_eq!(said(&found.policies), ["- mine.small"]);
}

#[test]
fn cases_of_both_bundles_bear_witness_to_decisions_that_change() {
    let found = diff(&[], &[("ceiling/mine.cedar", SMALL)]);
    let changed: Vec<_> =
        found.decisions.iter().map(|change| (change.it.as_str(), change.old.allow, change.new.allow)).collect();
    assert!(changed.contains(&("a message of the largest size is sent", true, false)), "{changed:?}");
    let by_others = found.decisions.iter().find(|change| change.it == "a larger message is not sent").unwrap();
    assert_eq!(by_others.new.determining, ["company.message-size", "mine.small"]);
    let gone = diff(&[("ceiling/mine.cedar", SMALL), ("tests/mine.yaml", MINE)], &[]);
    assert!(gone.decisions.iter().any(|change| change.it == "mine is large" && change.new.allow), "{gone:#?}");
}

const MINE: &str = "\
rooms:
  lounge:
    room: mimi://a.example/r/lounge
    side: hub
    template: strict
    participants: { mimi://a.example/u/alice: group_admin }
cases:
  - { it: mine is large, room: lounge, actor: 'mimi://a.example/u/alice', action: canSendMessage, bytes: 501, expect: { allow: false } }
";

#[test]
fn settings_are_compared_by_path_and_entry() {
    let old =
        "defaults: { max_message_bytes: 1000 }\nproviders: []\nusers: [{ uri: mimi://a.example/u/a, clearance: 1 }]\n";
    let new = "defaults: { max_message_bytes: 2000 }\nproviders: [{ domain: b.example, suspended: true }]\n\
        users: [{ uri: mimi://a.example/u/b }, { uri: mimi://a.example/u/a, clearance: 1 }]\n";
    let found = diff(&[("settings.yaml", old)], &[("settings.yaml", new)]);
    assert_eq!(
        said(&found.settings),
        [
            "~ defaults.max_message_bytes: 1000 -> 2000",
            "+ providers[b.example].domain",
            "+ providers[b.example].suspended",
            "+ users[mimi://a.example/u/b].uri",
        ]
    );
}

#[test]
fn templates_are_compared_by_role_and_capability() {
    let strict = String::from_utf8(shipped_files().remove("templates/strict.yaml").unwrap()).unwrap();
    let changed = strict.replace(
        "      - canKick\n      - canChangeUserRole\n      - canDeleteOtherReaction",
        "      - canChangeUserRole\n      - canDeleteOtherReaction",
    );
    let found = diff(&[], &[("templates/strict.yaml", &changed)]);
    assert_eq!(said(&found.templates), ["~ strict: role `group_admin`: -canKick; role `super_admin`: -canKick"]);
    let found = diff(&[], &[("templates/strict.yaml", &strict.replace("max_clients: 5000", "max_clients: 50"))]);
    assert_eq!(said(&found.templates), ["~ strict: what stands beside its roles"]);
}
