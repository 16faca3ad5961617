//! Policies with slots, and who and what is put into them.

use super::*;

const READ_ONLY: &str = "@id(\"company.read-only\")\n@reason(\"READS\")\n@public_message(\"you may only read here\")\n\
    forbid (\n  principal in ?principal,\n  action in Mimi::Action::\"MessageActs\",\n  resource == ?resource\n)\n\
    when { context.messageBytes > 0 };\n";
const BOB_READS: &str = "- template: company.read-only\n  links:\n    \
    - { user: mimi://b.example/u/bob, room: mimi://a.example/r/clubhouse }\n";
const LINK: &str = "company.read-only@user:mimi://b.example/u/bob@room:mimi://a.example/r/clubhouse";

fn wrong_with(template: &str, links: &str) -> Vec<String> {
    diagnostics_with(&[("templates/mine.cedar", template), ("rooms/mine.yaml", links)])
}

#[test]
fn a_link_forbids_to_whom_and_where_it_says_under_an_id_that_tells_both() {
    let engine = engine_with(&[("templates/mine.cedar", READ_ONLY), ("rooms/mine.yaml", BOB_READS)]);
    let (room, source) = (clubhouse(), domain("b.example"));
    let bob = Actor::User(user("b.example/u/bob"));
    let verdict = engine.decide(&question(&room, &bob, Capability::SEND_MESSAGE, None, &source));
    assert_eq!((verdict.allow, verdict.reason.as_str()), (false, "READS"));
    assert_eq!(
        (verdict.determining.as_slice(), verdict.public_sentence()),
        (&[LINK.to_owned()][..], "you may only read here")
    );
    let elsewhere = RoomFacts { room: "mimi://a.example/r/other".parse().unwrap(), ..clubhouse() };
    assert!(engine.decide(&question(&elsewhere, &bob, Capability::SEND_MESSAGE, None, &source)).allow);
    let (alice, home) = (Actor::User(user("a.example/u/alice")), domain("a.example"));
    assert!(engine.decide(&question(&room, &alice, Capability::SEND_MESSAGE, None, &home)).allow);
}

#[test]
fn a_link_reaches_what_is_in_its_segment_and_label() {
    let template = READ_ONLY.replace("resource == ?resource", "resource is Mimi::Room in ?resource");
    let settings = "users: [{ uri: mimi://b.example/u/bob, segments: [sales] }]\n\
        rooms: [{ uri: mimi://a.example/r/clubhouse, labels: [calm] }]\n";
    let links = "- { template: company.read-only, links: [{ segment: sales, label: calm }] }\n";
    let engine =
        engine_with(&[("templates/mine.cedar", &template), ("rooms/mine.yaml", links), ("settings.yaml", settings)]);
    let (room, bob, source) = (clubhouse(), Actor::User(user("b.example/u/bob")), domain("b.example"));
    let verdict = engine.decide(&question(&room, &bob, Capability::SEND_MESSAGE, None, &source));
    assert_eq!(verdict.determining, ["company.read-only@segment:sales@label:calm"]);
}

#[test]
fn a_segment_and_a_group_of_one_name_are_two_links() {
    let settings = "users: [{ uri: mimi://b.example/u/bob, segments: [partners] }]\n\
        providers: [{ domain: c.example, groups: [partners] }]\n";
    let links = "- template: company.read-only\n  links:\n    - { segment: partners, room: mimi://a.example/r/x }\n    \
        - { group: partners, room: mimi://a.example/r/x }\n";
    let files = [("templates/mine.cedar", READ_ONLY), ("rooms/mine.yaml", links), ("settings.yaml", settings)];
    let bundle = Bundle::load(files_with(&files)).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    let mut ids: Vec<String> = bundle.policy_ids().filter(|id| id.starts_with("company.read-only@")).collect();
    ids.sort_unstable();
    let of = |kind: &str| format!("company.read-only@{kind}:partners@room:mimi://a.example/r/x");
    assert_eq!(ids, [of("group"), of("segment")]);
}

#[test]
fn links_that_come_to_too_much_are_refused_before_they_are_expanded() {
    let links =
        |number: usize| format!("- template: company.read-only\n  links: [{}]\n", vec!["{label: a}"; number].join(","));
    let settings = ("settings.yaml", "rooms: [{ uri: mimi://a.example/r/x, labels: [a] }]\n");
    let small = READ_ONLY.replace(" in ?principal", "").replace("resource ==", "resource is Mimi::Room in");
    let too_many = |wrong: &[String]| wrong.len() == 1 && wrong[0].contains("links are too many from here on");
    // Files have their own limit, and what all of them hold together counts.
    let (few, many) = (links(5_001), links(95_000));
    let template = ("templates/mine.cedar", small.as_str());
    let wrong = diagnostics_with(&[template, settings, ("rooms/a.yaml", &few), ("rooms/b.yaml", &many)]);
    assert!(too_many(&wrong), "{wrong:#?}");
    let large = small.replace("READS", &"R".repeat(512 << 10));
    let wrong = diagnostics_with(&[("templates/mine.cedar", &large), settings, ("rooms/a.yaml", &links(129))]);
    assert!(too_many(&wrong), "{wrong:#?}");
    engine_with(&[("templates/mine.cedar", &large), settings, ("rooms/a.yaml", &links(1))]);
}

#[test]
fn everything_that_is_wrong_with_links_is_listed_with_its_place() {
    let links = "- template: company.read-onyl\n  links: []\n- template: company.read-only\n  links:\n    \
        - { user: mimi://b.example/u/bob }\n    \
        - { user: mimi://b.example/u/bob, segment: sales, room: mimi://a.example/r/x }\n    \
        - { segment: tradng, room: mimi://a.example/r/x }\n    \
        - { user: mimi://b.example/u/eve, room: mimi://a.example/r/x }\n    \
        - { user: mimi://b.example/u/eve, room: mimi://a.example/r/x }\n";
    let wrong = wrong_with(READ_ONLY, links);
    let expect = [
        "rooms/mine.yaml:1:13: no policy template `company.read-onyl` (expected the `@id` of a policy in \
         `templates/*.cedar`; did you mean `company.read-only`?)",
        "rooms/mine.yaml:5:15: link of `company.read-only` leaves `?resource` open (expected `room` or `label`)",
        "rooms/mine.yaml:6:15: link of `company.read-only` fills `?principal` twice",
        "rooms/mine.yaml:7:18: segment `tradng` is nothing that exists",
        "rooms/mine.yaml:9:15: policy id `company.read-only@user:mimi://b.example/u/eve@room:mimi://a.example/r/x` is \
         used twice",
    ];
    assert_eq!(wrong.len(), expect.len(), "{wrong:#?}");
    for (wrong, expect) in wrong.iter().zip(expect) {
        assert!(wrong.starts_with(expect), "expected `{expect}…`, got `{wrong}`");
    }
}

#[test]
fn a_link_of_a_kind_that_its_template_can_never_match_is_refused() {
    let equal = READ_ONLY.replace("principal in ?principal", "principal == ?principal");
    let links = "- template: company.read-only\n  links:\n    - { provider: b.example, room: mimi://a.example/r/x }\n";
    let wrong = wrong_with(&equal, links);
    assert!(wrong.len() == 1 && wrong[0].starts_with("rooms/mine.yaml:3:"), "{wrong:#?}");
    let settings = "rooms: [{ uri: mimi://a.example/r/x, labels: [calm] }]\n";
    let links = "- { template: company.read-only, links: [{ user: mimi://b.example/u/bob, label: calm }] }\n";
    let wrong = diagnostics_with(&[
        ("templates/mine.cedar", READ_ONLY),
        ("rooms/mine.yaml", links),
        ("settings.yaml", settings),
    ]);
    assert!(wrong.len() == 1 && wrong[0].starts_with("rooms/mine.yaml:1:"), "{wrong:#?}");
    let where_only = READ_ONLY.replace("principal in ?principal", "principal");
    let wrong = wrong_with(&where_only, BOB_READS);
    assert!(wrong.len() == 1 && wrong[0].contains("has no `?principal` to fill"), "{wrong:#?}");
}

#[test]
fn a_template_is_held_to_what_every_policy_of_the_company_is() {
    for (from, to, message) in [
        ("forbid (", "permit (", "this folder only forbids"),
        ("@reason(\"READS\")\n", "", "forbid has no `@reason`"),
        ("@id(\"company.read-only\")\n", "", "policy has no `@id`"),
        ("MessageActs", "canRemoveSelf", "nobody is held in a room"),
        ("context.messageBytes > 0", "principal.suspended", "stay possible whoever is suspended"),
        ("MessageActs", "canReactToMessage", "this gateway cannot stop it"),
        ("context.messageBytes > 0", "context.mesageBytes > 0", "mesageBytes"),
        ("context.messageBytes > 0", "principal in Mimi::Segment::\"tradng\"", "is nothing that exists"),
    ] {
        // Reporting is among what no suspension stops.
        let scope = if to == "principal.suspended" { ("MessageActs", "MemberActs") } else { ("", "") };
        let template = READ_ONLY.replace(from, to).replace(scope.0, scope.1);
        let wrong = wrong_with(&template, "[]");
        let at = wrong.iter().find(|wrong| wrong.contains(message));
        assert!(at.is_some_and(|at| at.starts_with("templates/mine.cedar:")), "{message}: {wrong:#?}");
    }
}

#[test]
fn slots_stand_in_templates_and_nothing_else_does() {
    let wrong = diagnostics_with(&[("ceiling/mine.cedar", READ_ONLY)]);
    assert!(wrong[0].starts_with("ceiling/mine.cedar:1:1: this folder holds no policies with slots"), "{wrong:?}");
    let closed = READ_ONLY.replace(" in ?principal", "").replace(" == ?resource", "");
    let wrong = diagnostics_with(&[("templates/mine.cedar", &closed)]);
    assert!(wrong[0].starts_with("templates/mine.cedar:1:1: policy has no slot"), "{wrong:?}");
}

#[test]
fn a_template_without_links_is_warned_of_and_never_one_of_its_links() {
    let (_, warnings) = Bundle::check(files_with(&[("templates/mine.cedar", READ_ONLY)])).unwrap();
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("nothing is linked to the template"), "{warnings:?}");
    let links: String =
        (0..50).map(|n| format!("    - {{ user: mimi://b.example/u/u{n}, room: mimi://a.example/r/x }}\n")).collect();
    let links = format!("- template: company.read-only\n  links:\n{links}");
    let files = files_with(&[("templates/mine.cedar", READ_ONLY), ("rooms/mine.yaml", &links)]);
    let (bundle, warnings) = Bundle::check(files).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(bundle.policy_ids().filter(|id| id.starts_with("company.read-only@")).count(), 50);
}

#[test]
fn a_template_whose_conditions_never_hold_is_warned_of_once() {
    let never = READ_ONLY.replace("context.messageBytes > 0", "context.messageBytes > 0 && false");
    let files = files_with(&[("templates/mine.cedar", &never), ("rooms/mine.yaml", BOB_READS)]);
    let found: Vec<String> = match Bundle::check(files) {
        Ok((_, warnings)) => warnings.iter().map(ToString::to_string).collect(),
        Err(wrong) => wrong.iter().map(ToString::to_string).collect(),
    };
    assert!(!found.is_empty() && found.iter().all(|found| found.starts_with("templates/mine.cedar:")), "{found:?}");
}

#[test]
fn tests_expect_links_and_coverage_counts_them_for_their_template() {
    let case = |user: &str, expect: &str| {
        format!(
            "  - {{ it: {user}, room: clubhouse, actor: 'mimi://b.example/u/{user}', action: canSendMessage, bytes: 1, \
             expect: {{ {expect} }} }}\n"
        )
    };
    let tests = format!(
        "rooms:\n  clubhouse:\n    room: mimi://a.example/r/clubhouse\n    side: hub\n    template: strict\n    \
         participants: {{ mimi://b.example/u/bob: ordinary_user, mimi://b.example/u/eve: ordinary_user }}\ncases:\n{}{}",
        case("bob", &format!("allow: false, policies: ['{LINK}']")),
        case("eve", "allow: true, policies: [mimi.role-capability]"),
    );
    let bundle = Bundle::load(files_with(&[
        ("templates/mine.cedar", READ_ONLY),
        ("rooms/mine.yaml", BOB_READS),
        ("tests/mine.yaml", &tests),
    ]));
    let bundle = bundle.unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    let outcomes = run_cases(&bundle);
    assert!(outcomes.iter().all(CaseOutcome::holds), "{outcomes:#?}");
    let coverage = Coverage::of(&bundle);
    let mine: Vec<&PolicyCoverage> =
        coverage.policies.iter().filter(|policy| policy.id.starts_with("company.read-only")).collect();
    assert_eq!(
        mine.iter().map(|of| (of.id.as_str(), of.decides, of.in_scope)).collect::<Vec<_>>(),
        [("company.read-only", 1, 1)]
    );
}

#[test]
fn a_diff_names_links_and_tells_a_change_of_their_template_once() {
    let files =
        |template: &str, links: &str| files_with(&[("templates/mine.cedar", template), ("rooms/mine.yaml", links)]);
    let more = format!("{BOB_READS}    - {{ user: mimi://b.example/u/eve, room: mimi://a.example/r/clubhouse }}\n");
    let (old, new) = (files(READ_ONLY, BOB_READS), files(&READ_ONLY.replace("> 0", "> 9"), &more));
    let (a, b) = (Bundle::load(old.clone()).unwrap(), Bundle::load(new.clone()).unwrap());
    let diff = BundleDiff::of(Written { bundle: &a, files: &old }, Written { bundle: &b, files: &new });
    let told: Vec<(&str, bool)> =
        diff.policies.iter().map(|change| (change.name.as_str(), change.changed == Changed::Added)).collect();
    let eve = LINK.replace("bob", "eve");
    assert_eq!(told, [("company.read-only", false), (eve.as_str(), true)]);
}
