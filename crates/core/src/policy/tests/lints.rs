//! What a good bundle is warned of.

use super::*;

fn warnings_with(more: &[(&str, &str)]) -> Vec<String> {
    let (_, warnings) = Bundle::check(files_with(more)).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    assert!(warnings.iter().all(|warning| warning.severity == Severity::Warning));
    warnings.iter().map(ToString::to_string).collect()
}

fn warnings_of(policies: &str) -> Vec<String> {
    warnings_with(&[("ceiling/mine.cedar", policies)])
}

fn forbid(id: &str, action: &str, conditions: &str) -> String {
    format!(
        "@id(\"{id}\") @reason(\"MINE\")\n\
         forbid (principal, action == Mimi::Action::\"{action}\", resource is Mimi::Room) {conditions};\n"
    )
}

#[test]
fn a_policy_that_never_applies_is_found() {
    let never = forbid("mine", "canSendMessage", "when { 1 > 2 }");
    assert_eq!(
        warnings_of(&never),
        ["ceiling/mine.cedar:1:1: policy never applies (its conditions never hold for any of the actions it names)"]
    );
    assert!(warnings_of(&forbid("mine", "canSendMessage", "when { principal.suspended }")).is_empty());
}

#[test]
fn conditions_that_always_hold_are_found() {
    let always = forbid("mine", "canSendMessage", "when { action == Mimi::Action::\"canSendMessage\" }");
    assert!(warnings_of(&always)[0].contains("conditions of the policy change nothing"), "{:?}", warnings_of(&always));
    let warnings = warnings_of(&forbid("mine", "canChangeRoomMood", ""));
    assert!(!warnings.iter().any(|warning| warning.contains("change nothing")), "it has none: {warnings:?}");
}

#[test]
fn of_two_policies_that_say_the_same_the_second_is_found() {
    let sides = "when { context.side == \"hub\" } unless { principal.service }";
    let twice = forbid("mine.a", "canBan", sides) + &forbid("mine.b", "canBan", sides);
    assert_eq!(
        warnings_of(&twice),
        ["ceiling/mine.cedar:3:1: policy says the same as `mine.a` (whenever it applies, the one in \
          ceiling/mine.cedar:1 does too)"]
    );
}

#[test]
fn a_policy_in_the_shadow_of_a_wider_one_is_found() {
    let wide = forbid("mine.wide", "canBan", "when { context.side == \"hub\" }");
    let narrow = forbid("mine.narrow", "canBan", "when { principal.service } when { context.side == \"hub\" }");
    let warnings = warnings_of(&(narrow.clone() + &wide));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("ceiling/mine.cedar:1:1: policy is shadowed by `mine.wide`"), "{warnings:?}");
    let room = "@id(\"room.one\") @reason(\"MINE\")\n\
        forbid (principal, action == Mimi::Action::\"canBan\", resource == Mimi::Room::\"mimi://a.example/r/one\")\n\
        when { context.side == \"hub\" };\n";
    let warnings = warnings_with(&[("ceiling/mine.cedar", &wide), ("rooms/one.cedar", room)]);
    assert!(warnings[0].starts_with("rooms/one.cedar:1:1: policy is shadowed by `mine.wide`"), "{warnings:?}");
    let other = narrow.replace("canBan", "canKick");
    assert!(warnings_of(&(other + &wide)).is_empty());
}

#[test]
fn arithmetic_that_can_leave_its_range_is_found() {
    let warnings = warnings_of(&forbid("mine", "canSendMessage", "when { context.epoch * 2 > 10 }"));
    assert!(warnings[0].contains("arithmetic on facts can leave the range"), "{warnings:?}");
    assert!(warnings_of(&forbid("mine", "canSendMessage", "when { context.epoch > 2 * 5 }")).is_empty());
}

#[test]
fn times_that_are_counted_with_can_leave_their_range_too() {
    for counted in [
        "context.now.offset(context.now.toTime()) > datetime(\"2026-01-01\")",
        "context.now.toDate().durationSince(datetime(\"2026-01-01\")) > duration(\"1d\")",
    ] {
        let warnings = warnings_of(&forbid("mine", "canSendMessage", &format!("when {{ {counted} }}")));
        assert!(warnings[0].contains("arithmetic on facts can leave the range"), "{warnings:?}");
    }
    for near in [
        "when { context.now > datetime(\"2026-01-01\").offset(duration(\"1h\")) }",
        "when { context.now.offset(duration(\"1h\")) > datetime(\"2026-01-01\") }",
    ] {
        assert!(warnings_of(&forbid("mine", "canSendMessage", near)).is_empty(), "{near}");
    }
}

#[test]
fn a_policy_that_tells_something_else_is_in_no_shadow() {
    let one = forbid("mine.one", "canBan", "when { context.side == \"hub\" }");
    let two = one.replace("mine.one", "mine.two");
    assert!(warnings_of(&(one.clone() + &two))[0].contains("says the same as"));
    assert!(warnings_of(&(one.clone() + &two.replace("MINE", "OTHER"))).is_empty());
    let worded = two.replace("@reason", "@public_message(\"not on this side\") @reason");
    assert!(warnings_of(&(one + &worded)).is_empty());
}

#[test]
fn conditions_that_change_nothing_are_found_in_a_policy_for_one_room_or_one_group() {
    let of = |scope: &str, condition: &str| {
        format!("@id(\"mine\") @reason(\"MINE\")\nforbid ({scope}) when {{ {condition} }};\n")
    };
    let action = "action == Mimi::Action::\"canSendMessage\"";
    let room = format!("principal, {action}, resource == Mimi::Room::\"mimi://a.example/r/one\"");
    let provider = format!("principal in Mimi::Provider::\"b.example\", {action}, resource is Mimi::Room");
    for scope in [room, provider] {
        for condition in [action, "1 < 2", "context.epoch > 1 || true"] {
            let warnings = warnings_of(&of(&scope, condition));
            assert!(
                warnings.len() == 1 && warnings[0].contains("conditions of the policy change nothing"),
                "{scope} {condition}: {warnings:?}"
            );
        }
        assert!(warnings_of(&of(&scope, "principal.suspended")).is_empty(), "{scope}");
    }
}

#[test]
fn a_capability_that_a_template_grants_and_the_ceiling_takes_is_found_where_it_is_granted() {
    let warnings = warnings_of(&forbid("mine.no-moods", "canChangeRoomMood", ""));
    let strict = shipped_files().remove("templates/strict.yaml").unwrap();
    let strict = String::from_utf8(strict).unwrap();
    let line = strict.lines().position(|line| line.contains("canChangeRoomMood")).unwrap() + 1;
    let expected = format!("templates/strict.yaml:{line}:9: role `group_admin` grants `canChangeRoomMood`, which");
    assert!(warnings.iter().any(|warning| warning.starts_with(&expected)), "{warnings:?}");
    assert!(warnings_of(&forbid("mine", "canChangeRoomMood", "when { principal.suspended }")).is_empty());
}

#[test]
fn a_condition_that_leaves_only_what_cannot_be_stopped_here_is_found() {
    let copying = "@id(\"mine\") @reason(\"MINE\")\n\
        forbid (principal, action in Mimi::Action::\"MessageActs\", resource is Mimi::Room)\n\
        when { action == Mimi::Action::\"canCopyMessage\" || action == Mimi::Action::\"canCopyLink\" };\n";
    let warnings = warnings_of(copying);
    assert!(warnings[0].contains("policy applies only to what this gateway cannot stop"), "{warnings:?}");
    let warnings = warnings_of(&copying.replace("canCopyLink", "canSendMessage"));
    assert!(!warnings.iter().any(|warning| warning.contains("cannot stop")), "{warnings:?}");
}

#[test]
fn what_a_role_is_granted_is_found_at_that_role_and_as_a_whole_word() {
    let strict = String::from_utf8(shipped_files().remove("templates/strict.yaml").unwrap()).unwrap();
    // A role whose name begins with the other's stands before it, and has a capability whose name begins with the other's.
    let before = "  - index: 2\n    name: ordinary_user\n";
    let other = "  - index: 90\n    name: group_admin_elsewhere\n    capabilities: [canSendLinkPreview, canSendLink]\n";
    assert!(strict.contains(before));
    let strict = strict.replace(before, &format!("{other}\n{before}"));
    let warnings = warnings_with(&[
        ("ceiling/mine.cedar", &format!("@advisory {}", forbid("mine", "canSendLink", ""))),
        ("templates/strict.yaml", &strict),
    ]);
    let place = |needle: &str| strict.lines().position(|line| line.contains(needle)).unwrap() + 1;
    let of = |role: &str| {
        let said = format!("role `{role}` grants `canSendLink`,");
        let found: Vec<&str> = warnings
            .iter()
            .filter(|warning| warning.starts_with("templates/strict.yaml:") && warning.contains(&said))
            .map(|warning| warning.split(": role").next().unwrap())
            .collect();
        let [found] = found[..] else { panic!("{role}: {warnings:#?}") };
        found.to_owned()
    };
    let line = place("canSendLinkPreview, canSendLink]");
    assert_eq!(of("group_admin_elsewhere"), format!("templates/strict.yaml:{line}:40"));
    let line = strict.lines().position(|line| line.trim() == "- canSendLink").unwrap() + 1;
    assert_eq!(of("ordinary_user"), format!("templates/strict.yaml:{line}:9"));
    // It has this from the role that it is like.
    let line = strict.lines().position(|line| line.trim() == "name: group_admin").unwrap() + 1;
    assert_eq!(of("group_admin"), format!("templates/strict.yaml:{line}:11"));
}

#[test]
fn nothing_is_granted_in_vain_where_a_forbid_leaves_somebody_or_some_room() {
    let forbid =
        |scope: &str, conditions: &str| format!("@id(\"mine\") @reason(\"MINE\")\nforbid ({scope}) {conditions};\n");
    let of = |policies: &str| {
        let (bundle, warnings) = Bundle::check(files_with(&[("ceiling/mine.cedar", policies)])).unwrap();
        let warned = warnings.iter().filter(|warning| warning.message.contains("forbids to everybody")).count();
        let in_vain = bundle.granted_in_vain(bundle.template("strict").unwrap());
        (warned > 0, in_vain.iter().any(|it| it.capability == Capability::BAN))
    };
    let ban = "action == Mimi::Action::\"canBan\"";
    assert_eq!(of(&forbid(&format!("principal, {ban}, resource is Mimi::Room"), "")), (true, true));
    assert_eq!(of(&forbid(&format!("principal is Mimi::User, {ban}, resource"), "")), (true, true));
    for (scope, conditions) in [
        (format!("principal == Mimi::User::\"mimi://a.example/u/bob\", {ban}, resource is Mimi::Room"), ""),
        (format!("principal in Mimi::Provider::\"b.example\", {ban}, resource is Mimi::Room"), ""),
        (format!("principal, {ban}, resource == Mimi::Room::\"mimi://a.example/r/one\""), ""),
        (format!("principal, {ban}, resource is Mimi::Room"), "when { context.side == \"hub\" }"),
        (format!("principal, {ban}, resource is Mimi::Room"), "unless { principal.service }"),
    ] {
        assert_eq!(of(&forbid(&scope, conditions)), (false, false), "{scope} {conditions}");
    }
}
