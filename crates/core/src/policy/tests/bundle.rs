use super::*;

#[test]
fn everything_that_is_wrong_is_listed_at_once_with_its_place() {
    let typo = "@id(\"mine.typo\") @reason(\"MINE\")\n\
        forbid (principal, action == Mimi::Action::\"canSendMesage\", resource is Mimi::Room);\n";
    let attribute = "\n@id(\"mine.attribute\") @reason(\"MINE\")\n\
        forbid (principal, action in Mimi::Action::\"RoomActs\", resource is Mimi::Room)\n\
        when { resource.clasification > 1 };\n";
    let permit =
        "@id(\"mine.permit\") permit (principal, action in Mimi::Action::\"RoomActs\", resource is Mimi::Room);\n";
    let nameless = "forbid (principal, action in Mimi::Action::\"RoomActs\", resource is Mimi::Room);\n";
    let wrong = diagnostics_with(&[
        ("ceiling/1.cedar", typo),
        ("ceiling/2.cedar", attribute),
        ("ceiling/3.cedar", permit),
        ("ceiling/4.cedar", nameless),
        ("ceiling/5.cedar", "forbid (principal, action, resource"),
        ("settings.yaml", "users:\n  - uri: mimi://a.example/u/alice\n    clearence: 2\n"),
        ("tests/mine.yaml", "cases: 3\n"),
    ]);
    let expect = [
        "ceiling/1.cedar:2:",
        "ceiling/2.cedar:4:8: for policy `mine.attribute`, attribute `clasification`",
        "ceiling/3.cedar:1:1: this folder only forbids",
        "ceiling/4.cedar:1:1: forbid has no `@reason`",
        "ceiling/4.cedar:1:1: policy has no `@id`",
        "ceiling/5.cedar:1:36: ",
        "settings.yaml:3:5: users[0]: unknown field `clearence`",
        "tests/mine.yaml:1:",
    ];
    assert_eq!(wrong.len(), expect.len(), "{wrong:#?}");
    for (wrong, expect) in wrong.iter().zip(expect) {
        assert!(wrong.starts_with(expect), "expected `{expect}…`, got `{wrong}`");
    }
    assert!(wrong[0].contains("canSendMessage"), "{}", wrong[0]);
}

#[test]
fn a_policy_that_can_never_apply_is_refused() {
    let policy = "@id(\"mine\") @reason(\"MINE\")\n\
        forbid (principal, action in Mimi::Action::\"RoomActs\", resource is Mimi::Provider);\n";
    let wrong = diagnostics_with(&[("ceiling/mine.cedar", policy)]);
    assert!(wrong[0].starts_with("ceiling/mine.cedar:"), "{wrong:?}");
    assert_eq!(wrong.len(), 1, "{wrong:?}");
}

#[test]
fn a_policy_id_is_used_once_over_all_files() {
    let policy = "@id(\"company.muted\") @reason(\"MINE\")\n\
        forbid (principal, action in Mimi::Action::\"MessageActs\", resource is Mimi::Room);\n";
    let wrong = diagnostics_with(&[("rooms/mine.cedar", policy)]);
    assert_eq!(
        wrong,
        ["rooms/mine.cedar:1:1: policy id `company.muted` is used twice (first used in `ceiling/moderation.cedar`)"]
    );
}

#[test]
fn a_public_message_that_names_a_policy_is_refused() {
    let policy = "@id(\"mine\") @reason(\"MINE\") @public_message(\"see company.muted\")\n\
        forbid (principal, action in Mimi::Action::\"MessageActs\", resource is Mimi::Room);\n";
    let wrong = diagnostics_with(&[("rooms/mine.cedar", policy)]);
    assert!(wrong[0].contains("names the policy `company.muted`"), "{wrong:?}");
}

#[test]
fn a_public_message_may_have_words_that_are_ids() {
    let policy = "@id(\"muted\") @reason(\"MINE\") @public_message(\"you are muted.\")\n\
        forbid (principal, action in Mimi::Action::\"MessageActs\", resource is Mimi::Room);\n";
    assert!(Bundle::load(files_with(&[("rooms/mine.cedar", policy)])).is_ok());
}

#[test]
fn an_unknown_annotation_is_refused() {
    let policy = "@id(\"mine\") @reason(\"MINE\") @publik_message(\"x\")\n\
        forbid (principal, action in Mimi::Action::\"MessageActs\", resource is Mimi::Room);\n";
    let wrong = diagnostics_with(&[("rooms/mine.cedar", policy)]);
    assert!(wrong[0].starts_with("rooms/mine.cedar:1:29: unknown annotation `@publik_message`"), "{wrong:?}");
}

#[test]
fn a_name_that_the_settings_do_not_give_is_refused() {
    let policy = "@id(\"mine\") @reason(\"MINE\")\n\
        forbid (principal in Mimi::Segment::\"tradng\", action in Mimi::Action::\"MessageActs\", resource is Mimi::Room);\n";
    let wrong = diagnostics_with(&[("ceiling/mine.cedar", policy)]);
    assert!(
        wrong[0].starts_with("ceiling/mine.cedar:2:37: `Mimi::Segment::\"tradng\"` is nothing that exists"),
        "{wrong:?}"
    );
    let settings = "users: [{ uri: mimi://a.example/u/alice, segments: [tradng] }]\n";
    assert!(Bundle::load(files_with(&[("ceiling/mine.cedar", policy), ("settings.yaml", settings)])).is_ok());
}

#[test]
fn a_room_uri_that_no_room_can_have_is_refused() {
    let policy = "@id(\"mine\") @reason(\"MINE\")\n\
        forbid (principal, action in Mimi::Action::\"MessageActs\", resource == Mimi::Room::\"mimi://A.example/r/x\");\n";
    assert!(diagnostics_with(&[("rooms/mine.cedar", policy)])[0].contains("is nothing that exists"));
}

#[test]
fn a_schema_that_lacks_what_the_gateway_asks_is_refused() {
    let schema = String::from_utf8(shipped_files().remove("schema/mimi.cedarschema").unwrap()).unwrap();
    let without = schema.replace("canOpenJoin, ", "");
    let wrong = diagnostics_with(&[("schema/mimi.cedarschema", &without)]);
    assert!(
        wrong.iter().any(|wrong| wrong.contains("does not declare action `Mimi::Action::\"canOpenJoin\"`")),
        "{wrong:?}"
    );
    let changed = schema.replace("clearance: Long,", "clearance: Long, badge: String,");
    let wrong = diagnostics_with(&[("schema/mimi.cedarschema", &changed)]);
    assert!(wrong.iter().any(|wrong| wrong.contains("badge")), "{wrong:?}");
    let optional = schema.replace("clearance: Long,", "clearance: Long, badge?: String,");
    assert!(Bundle::load(files_with(&[("schema/mimi.cedarschema", &optional)])).is_ok());
}

#[test]
fn settings_list_everyone_once_and_levels_in_range() {
    let settings = "users:\n  - uri: mimi://a.example/u/a\n  - uri: mimi://a.example/u/b\n    clearance: 4\n  - uri: mimi://a.example/u/a\n";
    let wrong = diagnostics_with(&[("settings.yaml", settings)]);
    assert_eq!(
        wrong,
        [
            "settings.yaml:3:10: clearance 4 is out of range (expected 0 to 3)",
            "settings.yaml:5:10: `mimi://a.example/u/a` is listed twice (keep one entry)",
        ]
    );
}

#[test]
fn without_settings_there_is_no_bundle() {
    let mut files = shipped_files();
    files.remove("settings.yaml");
    let wrong = Bundle::load(files).unwrap_err();
    assert_eq!(wrong[0].to_string(), "settings.yaml:1:1: file is missing (an empty one sets nothing: `{}`)");
}

#[test]
fn a_file_without_a_place_is_refused_and_examples_are_never_read() {
    let wrong = diagnostics_with(&[("cieling/mine.cedar", ""), ("platform/notes.txt", "")]);
    assert!(wrong.iter().all(|wrong| wrong.contains("has no place in a bundle")) && wrong.len() == 2, "{wrong:?}");
    let plain = Bundle::load(shipped_files()).unwrap();
    let with_example = Bundle::load(files_with(&[("examples/bank/x.cedar", "permit (")])).unwrap();
    assert_eq!(plain.digest(), with_example.digest());
}

#[test]
fn a_test_that_names_what_does_not_exist_is_refused() {
    let suite = "cases:\n  - it: x\n    actor: mimi://a.example/u/alice\n    action: readStraem\n    expect: { allow: true, policies: [nope] }\n";
    let wrong = diagnostics_with(&[("tests/mine.yaml", suite)]);
    assert!(wrong[0].starts_with("tests/mine.yaml:4:13: no action `readStraem` at the door"), "{wrong:?}");
    assert!(wrong[1].starts_with("tests/mine.yaml:5:39: no policy `nope`"), "{wrong:?}");
}

#[test]
fn the_answer_to_denied_commits_is_one_of_three_and_a_room_may_have_its_own() {
    let settings = "follower: { denied_commit: withhold }\n\
        rooms:\n  - uri: mimi://a.example/r/board\n    denied_commit: leave\n";
    let engine = engine_with(&[("settings.yaml", settings)]);
    let answer = |engine: &Engine, room: &str| engine.denied_commit(&room.parse().unwrap());
    assert_eq!(answer(&engine, "mimi://a.example/r/board"), DeniedCommit::Leave);
    assert_eq!(answer(&engine, "mimi://a.example/r/lounge"), DeniedCommit::Withhold);
    assert_eq!(answer(&engine_with(&[]), "mimi://a.example/r/lounge"), DeniedCommit::DeliverWithAlarm);
    let wrong = diagnostics_with(&[("settings.yaml", "users: []\nfollower:\n  denied_commit: ignore\n")]);
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].starts_with("settings.yaml:3:18: "), "{wrong:?}");
    assert!(wrong[0].contains("deliver_with_alarm"), "{wrong:?}");
    let wrong = diagnostics_with(&[("settings.yaml", "follower:\n  denied: leave\n")]);
    assert!(wrong[0].starts_with("settings.yaml:2:3: "), "{wrong:?}");
}

#[test]
fn a_bundle_without_a_schema_is_told_so_and_nothing_that_follows_from_it() {
    let mut files = shipped_files();
    files.retain(|file, _| !file.starts_with("schema/"));
    let wrong: Vec<String> = Bundle::load(files).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(wrong.len(), 1, "{wrong:#?}");
    assert!(wrong[0].starts_with("schema/mimi.cedarschema:1:1: the bundle has no schema"), "{wrong:?}");
}

#[test]
fn a_template_that_is_not_good_is_told_once_and_not_by_the_tests_that_use_it() {
    let wrong = diagnostics_with(&[("templates/strict.yaml", "titel: x\n")]);
    assert_eq!(wrong.len(), 1, "{wrong:#?}");
    assert!(wrong[0].starts_with("templates/strict.yaml:1:"), "{wrong:?}");
}
