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
