//! Bundles that are too much, or that mislead whoever reads them: refused in bounded time, with everything that is wrong.

use super::*;

#[test]
fn a_file_that_is_too_large_is_refused_beside_everything_else() {
    let large = "// x\n".repeat(250_000);
    let wrong = diagnostics_with(&[("ceiling/large.cedar", &large), ("ceiling/typo.cedar", "forbid (")]);
    assert!(wrong[0].starts_with("ceiling/large.cedar:1:1: file is too large"), "{wrong:?}");
    assert!(wrong[1].starts_with("ceiling/typo.cedar:1:"), "{wrong:?}");
}

#[test]
fn a_bundle_of_too_many_bytes_or_files_is_refused() {
    let mut files = shipped_files();
    files.extend((0..70).map(|number| (format!("ceiling/{number}.md"), vec![b'x'; 1 << 20])));
    let wrong = Bundle::load(files).unwrap_err();
    assert!(wrong.iter().any(|wrong| wrong.message == "bundle is too large from here on"), "{wrong:?}");
    let mut files = shipped_files();
    files.extend((0..MAX_FILES).map(|number| (format!("ceiling/{number}.md"), Vec::new())));
    let wrong = Bundle::load(files).unwrap_err();
    assert!(wrong.iter().any(|wrong| wrong.message == "bundle is too large from here on"), "{wrong:?}");
}

#[test]
fn yaml_that_unfolds_without_end_is_refused() {
    let mut bomb = String::from("a0: &a0 [x]\n");
    for level in 1..12 {
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", format!("*a{}, ", level - 1).repeat(9)));
    }
    for file in ["settings.yaml", "tests/bomb.yaml", "templates/bomb.yaml"] {
        let wrong = diagnostics_with(&[(file, &bomb)]);
        assert!(wrong[0].starts_with(file), "{wrong:?}");
        assert!(wrong[0].contains("unfold") || wrong[0].contains("limit"), "{wrong:?}");
    }
}

#[test]
fn deep_nesting_is_refused() {
    let deep = format!("users: {}{}\n", "[".repeat(10_000), "]".repeat(10_000));
    assert!(diagnostics_with(&[("settings.yaml", &deep)])[0].starts_with("settings.yaml:1:"));
    let policy = |condition: &str| {
        format!(
            "@id(\"mine\") @reason(\"MINE\")\n\
             forbid (principal, action == Mimi::Action::\"canBan\", resource is Mimi::Room) when {{ {condition} }};\n"
        )
    };
    for (condition, message) in [
        (format!("{}true{}", "(".repeat(20_000), ")".repeat(20_000)), "brackets are nested too deep"),
        (format!("{}0 > 1", "context.epoch + ".repeat(20_000)), "policy has too many operators"),
        (format!("{}true", "if true then true else ".repeat(20_000)), "policy has too many operators"),
        (format!("context{}", "[\"x\"]".repeat(1_001)), "policy has too many operators"),
        (format!("context{}", "[\"x\"]".repeat(200_000)), "policy has too many operators"),
    ] {
        let wrong = diagnostics_with(&[("ceiling/mine.cedar", &policy(&condition))]);
        assert!(wrong[0].starts_with("ceiling/mine.cedar:2:") && wrong[0].contains(message), "{wrong:?}");
    }
    let schema =
        format!("namespace Mimi {{ entity Deep = {{ a: {}Long{} }}; }}", "Set<".repeat(5000), ">".repeat(5000));
    let wrong = diagnostics_with(&[("schema/deep.cedarschema", &schema)]);
    assert!(wrong[0].contains("brackets are nested too deep"), "{wrong:?}");
}

#[test]
fn as_many_operators_as_a_policy_may_have_are_taken() {
    let sum = "context.epoch + ".repeat(490);
    let policy = format!(
        "@id(\"mine\") @reason(\"MINE\")\n\
         forbid (principal, action == Mimi::Action::\"canBan\", resource is Mimi::Room) when {{ {sum}0 > 1 }};\n"
    );
    Bundle::check(files_with(&[("ceiling/mine.cedar", &policy)])).unwrap();
}

#[test]
fn groups_and_roles_in_a_circle_are_refused() {
    let schema = String::from_utf8(shipped_files().remove("schema/mimi.cedarschema").unwrap()).unwrap();
    let circle = schema.replace("action RoomActs;", "action RoomActs in [MessageActs];");
    let wrong = diagnostics_with(&[("schema/mimi.cedarschema", &circle)]);
    assert!(wrong.iter().any(|wrong| wrong.contains("cycle")), "{wrong:?}");
    let template = "title: x\ndescription: x\ncreator_role: a\nenforcer_role: a\nroles:\n\
        \x20 - { index: 2, name: a, like: b }\n  - { index: 3, name: b, like: a }\n";
    let wrong = diagnostics_with(&[("templates/circle.yaml", template)]);
    assert!(wrong[0].contains("defined twice or like itself"), "{wrong:?}");
}

#[test]
fn names_that_look_like_others_are_refused() {
    // The second letter of the one in the policy is Cyrillic.
    let policy = "@id(\"mine\") @reason(\"MINE\")\n\
        forbid (principal, action == Mimi::Action::\"canBan\", resource is Mimi::Room) when { principal.uri like \"*/b\u{43e}b\" };\n";
    let wrong = diagnostics_with(&[("ceiling/mine.cedar", policy)]);
    assert!(wrong[0].contains("mixed scripts"), "{wrong:?}");
    for (group, flaw) in [("p\u{430}rtners", "mixes the letters"), ("part\u{200b}ners", "cannot be seen")] {
        let settings = format!("providers: [{{ domain: b.example, groups: ['{group}'] }}]\n");
        let wrong = diagnostics_with(&[("settings.yaml", &settings)]);
        assert!(wrong[0].starts_with("settings.yaml:1:") && wrong[0].contains(flaw), "{wrong:?}");
    }
    let twins = "users:\n  - { uri: mimi://a.example/u/a, segments: [scope] }\n  - { uri: mimi://a.example/u/b, segments: [\u{455}\u{441}\u{43e}\u{440}\u{435}] }\n";
    let wrong = diagnostics_with(&[("settings.yaml", twins)]);
    assert!(wrong[0].contains("looks like `scope`"), "{wrong:?}");
    let wrong = diagnostics_with(&[("ceiling/c\u{435}iling.cedar", "")]);
    assert!(wrong[0].contains("name of the file mixes"), "{wrong:?}");
}

#[test]
fn a_name_that_is_nearly_one_of_the_settings_is_put_right() {
    let settings = "users: [{ uri: mimi://a.example/u/alice, segments: [trading] }]\n";
    let policy = "@id(\"mine\") @reason(\"MINE\")\n\
        forbid (principal in Mimi::Segment::\"tradng\", action in Mimi::Action::\"MessageActs\", resource is Mimi::Room);\n";
    let wrong = diagnostics_with(&[("ceiling/mine.cedar", policy), ("settings.yaml", settings)]);
    assert!(wrong[0].contains("did you mean `trading`?"), "{wrong:?}");
}

#[test]
fn entities_that_the_gateway_never_describes_are_refused() {
    let schema = "namespace Mimi { entity Badge; }\n";
    let policy = "@id(\"mine\") @reason(\"MINE\")\n\
        forbid (principal, action == Mimi::Action::\"canBan\", resource is Mimi::Room)\n\
        when { [Mimi::Badge::\"gold\"].contains(Mimi::Badge::\"red\") || resource.outsiderRole == Mimi::Role::\"x\" };\n";
    let policy = policy.replace("resource.outsiderRole", "resource has outsiderRole && resource.outsiderRole");
    let wrong = diagnostics_with(&[("ceiling/mine.cedar", &policy), ("schema/more.cedarschema", schema)]);
    assert!(wrong.iter().any(|wrong| wrong.contains("no entities of this type")), "{wrong:?}");
    assert!(wrong.iter().any(|wrong| wrong.contains("expected the URI of a room, `#`")), "{wrong:?}");
}

#[test]
fn a_letter_that_only_looks_like_one_is_named() {
    // A Cyrillic o in `employment`.
    let policy = "@id(\"mine\") @reason(\"MINE\")\n\
        forbid (principal, action == Mimi::Action::\"canBan\", resource is Mimi::Room) \
        when { principal.empl\u{43e}yment == \"guest\" };\n";
    let wrong = diagnostics_with(&[("ceiling/mine.cedar", policy)]);
    assert!(wrong[0].contains("`\u{43e}` is U+043E, which can stand in a text only"), "{wrong:?}");
}

#[test]
fn names_of_roles_that_cannot_be_seen_are_refused() {
    let strict = include_str!("../../../../../policies/templates/strict.yaml");
    let odd = strict.replace("group_admin", "\"group\\u200badmin\"");
    let wrong = diagnostics_with(&[("templates/odd.yaml", &odd)]);
    assert!(
        wrong.iter().any(|wrong| wrong.contains("name of the role has characters that cannot be seen")),
        "{wrong:?}"
    );
    let envelope = "envelope: { roles: { \"user\\nmax_users: 1\": [a.example] } }\n";
    let wrong = diagnostics_with(&[("settings.yaml", envelope)]);
    assert!(
        wrong.iter().any(|wrong| wrong.contains("name of the role has characters that cannot be seen")),
        "{wrong:?}"
    );
}
