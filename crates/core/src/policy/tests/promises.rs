//! What a forbid must never stop, and what it cannot stop.

use cedar_policy::{EntityId, SchemaFragment};

use super::*;

fn forbid(scope: &str, conditions: &str) -> String {
    format!("@id(\"mine\") @reason(\"MINE\")\nforbid (principal, {scope}, resource is Mimi::Room)\n{conditions};\n")
}

fn wrong_with(policy: &str) -> Vec<String> {
    match Bundle::load(files_with(&[("ceiling/mine.cedar", policy)])) {
        Ok(_) => Vec::new(),
        Err(wrong) => wrong.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn freeze_and_suspension_never_forbid_dropping_own_clients_or_reporting() {
    let in_room = "action in Mimi::Action::\"RoomActs\"";
    for condition in [
        "when { principal.suspended }",
        "when { principal.provider.suspended }",
        "when { context has target && context.target.suspended }",
        "when { resource.frozen && principal.employment == \"guest\" }",
        "unless { !resource.frozen }",
        "when { if resource.frozen then true else false }",
    ] {
        let wrong = wrong_with(&forbid(in_room, condition));
        assert!(
            wrong[0].starts_with("ceiling/mine.cedar:1:1: policy would forbid `canRemoveOwnClient` and"),
            "{wrong:?}"
        );
        assert!(wrong[0].contains("`canReportAbuse` by"), "{wrong:?}");
    }
    for scope in ["action == Mimi::Action::\"canReportAbuse\"", "action == Mimi::Action::\"canRemoveOwnClient\""] {
        assert_eq!(wrong_with(&forbid(scope, "when { principal.suspended }")).len(), 1);
        assert!(wrong_with(&forbid(scope, "when { principal.employment == \"guest\" }")).is_empty());
    }
}

#[test]
fn freeze_never_forbids_what_moderators_do_to_take_users_out() {
    for name in ["canRemoveParticipant", "canBan", "canKick"] {
        let wrong = wrong_with(&forbid(&format!("action == Mimi::Action::\"{name}\""), "when { resource.frozen }"));
        assert!(wrong[0].contains(&format!("policy would forbid `{name}` by `frozen`")), "{wrong:?}");
        let by_suspension = forbid(&format!("action == Mimi::Action::\"{name}\""), "when { principal.suspended }");
        assert!(wrong_with(&by_suspension).is_empty());
    }
}

#[test]
fn a_policy_that_lets_them_pass_is_taken() {
    let kept = "unless { action in [Mimi::Action::\"canRemoveOwnClient\", Mimi::Action::\"canReportAbuse\"] }";
    let suspended = forbid("action in Mimi::Action::\"RoomActs\"", &format!("when {{ principal.suspended }}\n{kept}"));
    assert!(wrong_with(&suspended).is_empty(), "{:?}", wrong_with(&suspended));
    let frozen = forbid("action in Mimi::Action::\"FreezableActs\"", "when { resource.frozen }");
    assert!(wrong_with(&frozen).is_empty());
}

#[test]
fn a_forbid_that_a_freeze_or_suspension_only_lifts_is_taken() {
    let in_room = "action in Mimi::Action::\"RoomActs\"";
    for condition in [
        "when { context.epoch > 1000 } unless { resource.frozen }",
        "when { context.epoch > 1000 && !principal.suspended }",
        "when { context.epoch > 1000 && principal.suspended == false }",
        "when { !(resource.frozen || principal.suspended) && context.epoch > 1000 }",
    ] {
        assert!(
            wrong_with(&forbid(in_room, condition)).is_empty(),
            "{condition}: {:?}",
            wrong_with(&forbid(in_room, condition))
        );
    }
    for condition in [
        "when { principal.suspended == true }",
        "when { principal.suspended != false }",
        "unless { resource.frozen == false }",
        "when { principal.suspended == resource.frozen }",
        "when { [true].contains(resource.frozen) }",
    ] {
        assert!(!wrong_with(&forbid(in_room, condition)).is_empty(), "{condition}");
    }
}

#[test]
fn no_layer_forbids_leaving_by_freeze_or_suspension() {
    let leaving = forbid("action == Mimi::Action::\"canRemoveSelf\"", "when { resource.frozen }");
    let wrong = |policy: &str| match Bundle::load(files_with(&[("platform/mine.cedar", policy)])) {
        Ok(_) => Vec::new(),
        Err(wrong) => wrong.iter().map(ToString::to_string).collect::<Vec<_>>(),
    };
    let said = wrong(&leaving);
    assert!(said.len() == 1 && said[0].contains("policy would forbid `canRemoveSelf` by `frozen` or"), "{said:?}");
    assert!(wrong(&leaving.replace("resource.frozen", "context.epoch > 1000")).is_empty());
    let said = wrong_with(&leaving);
    assert!(said.len() == 1 && said[0].contains("nobody is held in a room"), "said once: {said:?}");
}

#[test]
fn a_rule_on_what_this_gateway_cannot_stop_is_refused_unless_it_says_so() {
    let copying = forbid("action == Mimi::Action::\"canCopyMessage\"", "");
    let wrong = wrong_with(&copying);
    assert_eq!(
        wrong,
        ["ceiling/mine.cedar:2:44: `canCopyMessage` is enforced by clients alone: this gateway cannot stop it \
          (mark the policy `@advisory`, or leave the action out)"]
    );
    assert!(wrong_with(&format!("@advisory\n{copying}")).is_empty());
    let uploads = forbid("action in [Mimi::Action::\"canUploadImage\", Mimi::Action::\"canSendMessage\"]", "");
    assert!(
        wrong_with(&uploads)[0].contains("`canUploadImage` is enforced by providers"),
        "{:?}",
        wrong_with(&uploads)
    );
}

#[test]
fn a_rule_on_what_is_stopped_here_is_not_advisory() {
    let sending = forbid("action == Mimi::Action::\"canSendMessage\"", "");
    assert!(wrong_with(&sending).is_empty());
    assert!(wrong_with(&format!("@advisory\n{sending}"))[0].contains("policy is advisory, but enforced here"));
    let both = forbid("action in [Mimi::Action::\"canCopyMessage\", Mimi::Action::\"canSendMessage\"]", "");
    let wrong = wrong_with(&format!("@advisory\n{both}"));
    assert!(wrong[0].contains("`canSendMessage` is enforced here, and the policy is advisory"), "{wrong:?}");
}

#[test]
fn a_group_with_something_that_is_stopped_here_needs_no_mark() {
    assert!(wrong_with(&forbid("action in Mimi::Action::\"MessageActs\"", "")).is_empty());
}

#[test]
fn the_shipped_schema_says_of_every_capability_who_enforces_it() {
    let text = String::from_utf8(shipped_files().remove("schema/mimi.cedarschema").unwrap()).unwrap();
    let (schema, _) = SchemaFragment::from_cedarschema_str(&text).unwrap();
    for (capability, name) in Capability::NAMED {
        let namespace = Some("Mimi".parse().unwrap());
        let mark = schema.action_annotation(namespace, &EntityId::new(name), "enforcement").unwrap();
        assert_eq!(mark, Enforcement::of(*capability).mark(), "{name}");
    }
}

/// Between `| ` and ` |`, row by row, of the table in the section of the page for authors.
fn documented() -> BTreeMap<String, String> {
    let page = include_str!("../../../../../docs/policy.md");
    let section = page.split("\n## ").find(|section| section.starts_with("Who enforces what")).unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `") || line.starts_with("| **"));
    let mut marks = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        for name in cells[1].split(", ") {
            marks.insert(name.trim_matches('`').to_owned(), cells[0].trim_matches('`').to_owned());
        }
    }
    marks
}

#[test]
fn the_page_for_authors_says_of_every_capability_who_enforces_it() {
    let known: BTreeMap<String, String> = Capability::NAMED
        .iter()
        .map(|(capability, name)| ((*name).to_owned(), Enforcement::of(*capability).mark().to_owned()))
        .collect();
    assert_eq!(documented(), known);
}
