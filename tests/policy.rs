//! The commands for authors of policies, through the real binary.

use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;

use crate::harness::{edit, portcullis};

/// The shipped bundle in a folder of its own.
struct Authored {
    _home: tempfile::TempDir,
    dir: PathBuf,
}

impl Authored {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let init = portcullis().arg("init").arg(home.path().join("gw")).output().unwrap();
        assert!(init.status.success(), "{init:?}");
        let dir = home.path().join("gw/policies");
        Self { _home: home, dir }
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.dir.join(file), text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let (command, rest) = arguments.split_first().unwrap();
        portcullis().args(["policy", command]).arg(&self.dir).args(rest).output().unwrap()
    }

    /// What the command prints when it ends with this code.
    fn says(&self, code: i32, arguments: &[&str]) -> String {
        said(code, &self.run(arguments))
    }

    /// The same in one line, for what is broken over several.
    fn says_in_words(&self, code: i32, arguments: &[&str]) -> String {
        let said = self.says(code, arguments);
        said.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
    }

    fn json(&self, code: i32, arguments: &[&str]) -> Vec<Value> {
        let said = self.says(code, &[arguments, &["--format", "json"]].concat());
        said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
    }
}

fn said(code: i32, output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout) + &text(&output.stderr)
}

/// Time enough for the solver, on a machine that does much else beside.
const PATIENCE: [&str; 2] = ["--time-limit", "300"];
const PROVE: [&str; 3] = ["prove", "--time-limit", "300"];

const NIGHT: &str = "@id(\"company.night\")\n@reason(\"NIGHT\")\nforbid (\n  principal,\n  \
    action == Mimi::Action::\"canChangeRoomMood\",\n  resource is Mimi::Room\n)\n\
    when { context.now.toTime() < duration(\"6h\") };\n";

const CASES: &str = "\
rooms:
  lounge:
    room: mimi://a.example/r/lounge
    side: hub
    template: strict
    participants: { mimi://a.example/u/alice: group_admin }
cases:
  - it: nobody changes moods before six
    room: lounge
    actor: mimi://a.example/u/alice
    action: canChangeRoomMood
    table:
      - { it: at five, now: 2026-11-20T05:00:00Z, expect: { allow: false, policies: [company.night], reason: NIGHT } }
      - { it: at seven, now: 2026-11-20T07:00:00Z, expect: { allow: true } }
";

#[test]
fn the_bundle_that_is_shipped_is_good_tested_and_formatted() {
    let bundle = Authored::new();
    assert!(bundle.says(0, &["check", "--strict"]).contains(": good, "));
    assert!(bundle.says(0, &["test"]).contains(" cases, 0 failed"));
    assert_eq!(bundle.says(0, &["fmt", "--check"]), "");
    assert!(bundle.json(0, &["check"]).is_empty());
}

#[test]
fn everything_that_is_wrong_with_a_bundle_is_said_at_once_with_its_place() {
    let bundle = Authored::new();
    bundle.write("ceiling/night.cedar", &NIGHT.replace("canChangeRoomMood", "canChangeRoomMod"));
    bundle.write("ceiling/copy.cedar", &NIGHT.replace("canChangeRoomMood", "canCopyMessage").replace("night", "copy"));
    edit(&bundle.dir.join("settings.yaml"), "clearance: 0", "clearance: none");
    let said = bundle.says(3, &["check"]);
    for expected in [
        "night.cedar:5:",
        "did you mean `Mimi::Action::\"canChangeRoomMood\"`",
        "copy.cedar:5:",
        "this gateway cannot stop it",
        "mark the policy `@advisory`",
        "settings.yaml:",
        "not valid, 3 errors",
    ] {
        assert!(said.contains(expected), "`{expected}` is not in {said}");
    }
    let found = bundle.json(3, &["check"]);
    let places: Vec<_> =
        found.iter().map(|one| (one["file"].as_str().unwrap(), one["severity"].as_str().unwrap())).collect();
    assert_eq!(places, [("ceiling/copy.cedar", "error"), ("ceiling/night.cedar", "error"), ("settings.yaml", "error")]);
    assert_eq!((found[0]["line"].as_u64(), found[0]["length"].as_u64()), (Some(5), Some(16)));
    // No other command takes a bundle that is not good.
    for arguments in [&["test"][..], &["why", "--actor", "mimi://a.example/u/alice", "--action", "readStream"]] {
        assert!(bundle.says(3, arguments).contains("night.cedar:5:"));
    }
}

#[test]
fn warnings_are_told_and_fail_only_where_they_are_to() {
    let bundle = Authored::new();
    bundle.write("ceiling/night.cedar", &(NIGHT.to_owned() + &NIGHT.replace("company.night", "company.late")));
    let said = bundle.says(0, &["check"]);
    assert!(
        said.contains("policy says the same as `company.night`") && said.contains("good, with 1 warning\n"),
        "{said}"
    );
    bundle.says(3, &["check", "--strict"]);
}

#[test]
fn a_bundle_that_is_too_large_or_leads_in_circles_is_an_error_in_bounded_time() {
    let bundle = Authored::new();
    std::fs::create_dir(bundle.dir.join("rooms")).unwrap();
    for name in ["a", "b", "c"] {
        std::os::unix::fs::symlink(&bundle.dir, bundle.dir.join("rooms").join(name)).unwrap();
    }
    assert!(bundle.says_in_words(3, &["check"]).contains("larger than a bundle may be"));
    std::fs::remove_dir_all(bundle.dir.join("rooms")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", bundle.dir.join("ceiling/zero.cedar")).unwrap();
    assert!(bundle.says_in_words(3, &["check"]).contains("neither a file nor a folder"));
    std::fs::remove_file(bundle.dir.join("ceiling/zero.cedar")).unwrap();
    bundle.write("ceiling/large.cedar", &"// x\n".repeat(1 << 18));
    assert!(bundle.says_in_words(3, &["check"]).contains("larger than a bundle may be"));
    assert_eq!(portcullis().args(["policy", "check", "/nowhere"]).output().unwrap().status.code(), Some(64));
}

#[test]
fn tests_that_fail_say_what_came_out_instead() {
    let bundle = Authored::new();
    bundle.write("ceiling/night.cedar", NIGHT);
    bundle.write("tests/night.yaml", CASES);
    assert!(bundle.says(0, &["test", "--filter", "before six"]).contains("2 cases, 0 failed"));
    edit(&bundle.dir.join("ceiling/night.cedar"), "6h", "8h");
    let said = bundle.says(2, &["test"]);
    for expected in [
        "tests/night.yaml:8: nobody changes moods before six / at seven",
        "- expected  allow",
        "+ got       deny",
        "decided by company.night, reason NIGHT",
        "cases, 1 failed",
    ] {
        assert!(said.contains(expected), "`{expected}` is not in {said}");
    }
    let failed: Vec<Value> = bundle.json(2, &["test"]).into_iter().filter(|case| case["holds"] == false).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(
        failed[0]["differences"][0],
        serde_json::json!({ "of": "decision", "expected": "allow", "got": "deny" })
    );
    bundle.says(64, &["test", "--filter", "no such case"]);
}

#[test]
fn coverage_names_what_no_test_shows() {
    let bundle = Authored::new();
    bundle.write("ceiling/night.cedar", NIGHT);
    let said = bundle.says(0, &["test", "--coverage"]);
    assert!(said.contains("ceiling/night.cedar:1: `company.night` decides in no case"), "{said}");
    bundle.write("tests/night.yaml", CASES);
    assert!(!bundle.says(0, &["test", "--coverage"]).contains("`company.night`"));
}

#[test]
fn policies_are_written_in_their_one_form_or_not_at_all() {
    let bundle = Authored::new();
    let rough = NIGHT.replace("\n  ", " ").replace(",\n", ", ");
    bundle.write("ceiling/night.cedar", &rough);
    assert_eq!(bundle.says(2, &["fmt", "--check"]), "ceiling/night.cedar\n");
    assert_eq!(std::fs::read_to_string(bundle.dir.join("ceiling/night.cedar")).unwrap(), rough);
    bundle.write("ceiling/broken.cedar", "forbid (");
    assert!(bundle.says(3, &["fmt"]).contains("broken.cedar:1:"));
    assert_eq!(std::fs::read_to_string(bundle.dir.join("ceiling/night.cedar")).unwrap(), rough);
    std::fs::remove_file(bundle.dir.join("ceiling/broken.cedar")).unwrap();
    assert_eq!(bundle.says(0, &["fmt"]), "ceiling/night.cedar\n");
    assert_eq!(std::fs::read_to_string(bundle.dir.join("ceiling/night.cedar")).unwrap(), NIGHT);
}

#[test]
fn why_shows_the_policy_that_decides_clause_by_clause() {
    let bundle = Authored::new();
    bundle.write("ceiling/night.cedar", NIGHT);
    bundle.write("tests/night.yaml", CASES);
    let said = bundle.says(2, &["why", "--cases", "tests/night.yaml", "--it", "at five"]);
    for expected in [
        "deny  canChangeRoomMood  NIGHT",
        "forbid company.night (ceiling/night.cedar:1)",
        "[true ] when context.now.toTime() < duration(\"6h\")",
        "context.now.toTime() = duration(\"18000000ms\")",
        "without that it would be allowed by mimi.role-capability",
    ] {
        assert!(said.contains(expected), "`{expected}` is not in {said}");
    }
    let why = bundle.json(0, &["why", "--cases", "tests/night.yaml", "--it", "at seven"]).remove(0);
    assert_eq!((&why["allow"], &why["deciding"][0]["policy"]), (&true.into(), &"mimi.role-capability".into()));
}

#[test]
fn a_question_may_be_put_together_from_flags() {
    let bundle = Authored::new();
    let room = ["--room", "mimi://a.example/r/x", "--template", "strict"];
    let people = ["--participant", "mimi://a.example/u/alice=group_admin", "--participant", "mimi://b.example/u/bob=2"];
    let ask = |actor: &'static str, action: &'static str, code| {
        let who = ["why", "--actor", actor, "--action", action, "--target", "mimi://b.example/u/bob"];
        bundle.says(code, &[&who[..], &room, &people].concat())
    };
    assert!(ask("mimi://a.example/u/alice", "canBan", 0).contains("permit mimi.role-capability"));
    assert!(ask("mimi://c.example/u/carol", "canBan", 2).contains("deny  canBan  "));
    assert!(ask("mimi://a.example/u/alice", "canCopyMessage", 0).contains("not enforced here: `canCopyMessage`"));
    assert!(ask("mimi://a.example/u/alice", "canDestroyRoom", 2).contains("nothing permits it; nearest come:"));
    assert!(ask("mimi://a.example/u/alice", "canDance", 64).contains("no capability `canDance`"));
    bundle.says(64, &["why", "--actor", "mimi://a.example/u/alice"]);
    bundle.says(64, &["why", "--cases", "tests/company.yaml", "--it", "no such sentence"]);
    bundle.says(64, &["why", "--cases", "tests/nowhere.yaml", "--it", "x"]);
}

#[test]
fn every_command_has_examples_in_its_help() {
    let help =
        |arguments: &[&str]| said(0, &portcullis().arg("policy").args(arguments).arg("--help").output().unwrap());
    let commands = help(&[]);
    // Descriptions go on in lines that are indented further.
    let is_name = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let listed = commands
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(is_name);
    let names: Vec<&str> =
        listed.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
    assert!(names.contains(&"check") && names.contains(&"why"), "{commands}");
    for name in names {
        assert!(help(&[name]).contains(&format!("portcullis policy {name} ")), "{name}");
    }
}

#[test]
fn a_room_template_is_compiled_to_components_and_shown_again() {
    let bundle = Authored::new();
    let policies = bundle.dir.to_str().unwrap();
    let run = |code, arguments: &[&str]| {
        let output = portcullis().arg("room-template").args(arguments).output().unwrap();
        said(code, &output)
    };
    let compiled = run(0, &["compile", "strict", "--policies", policies]);
    let names: Vec<Value> = serde_json::from_str::<Value>(&compiled).unwrap()["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|component| component["name"].clone())
        .collect();
    assert!(names.contains(&"roles_list".into()) && names.contains(&"base_room_policy".into()), "{names:?}");
    bundle.write("compiled.json", &compiled);
    let shown = run(0, &["show", bundle.dir.join("compiled.json").to_str().unwrap()]);
    bundle.write("shown.yaml", &shown);
    let shown = bundle.dir.join("shown.yaml");
    assert_eq!(run(0, &["compile", shown.to_str().unwrap()]), compiled);
    bundle.write("broken.yaml", "title: x\nroels: []\n");
    let said = run(3, &["compile", bundle.dir.join("broken.yaml").to_str().unwrap()]);
    assert!(said.contains("broken.yaml:2:1"), "{said}");
    run(64, &["compile", "nowhere"]);
    assert!(run(0, &["--help"]).contains("portcullis room-template compile"));
}

#[test]
fn who_what_and_where_can_are_listed_with_the_conditions_that_are_left() {
    let bundle = Authored::new();
    bundle.write("ceiling/night.cedar", NIGHT);
    bundle.write("tests/night.yaml", CASES);
    let lounge = ["--cases", "tests/night.yaml", "--room", "lounge"];
    let who = bundle.says(0, &[&["who-can", "--action", "canChangeRoomMood"][..], &lounge].concat());
    assert!(who.contains("if   mimi://a.example/u/alice  by mimi.role-capability"), "{who}");
    assert!(who.contains("unless context.now.toTime() < duration(\"21600000ms\")  (company.night)"), "{who}");
    assert!(who.contains("0 yes, 1 under conditions, 0 no"), "{who}");
    let who = ["who-can", "--action", "canChangeRoomMood", "--now", "2026-11-20T12:00:00Z"];
    assert!(bundle.says(0, &[&who[..], &lounge].concat()).contains("1 yes, 0 under conditions, 0 no"));
    let what = bundle.says(0, &[&["what-can", "--actor", "mimi://a.example/u/alice"][..], &lounge].concat());
    assert!(what.contains("yes  canBan  by mimi.role-capability"), "{what}");
    assert!(what.contains("canCopyMessage") && what.contains("(not enforced here)"), "{what}");
    let place =
        ["where-can", "--actor", "mimi://a.example/u/alice", "--action", "canBan", "--cases", "tests/night.yaml"];
    assert!(bundle.says(0, &place).contains("yes  lounge mimi://a.example/r/lounge"));
    bundle.says(64, &["who-can", "--actor", "mimi://a.example/u/alice"]);
}

#[test]
fn what_changes_from_one_bundle_to_another_is_said_with_witnesses() {
    let (old, new) = (Authored::new(), Authored::new());
    let to = new.dir.to_str().unwrap();
    let same = old.says(0, &[&["diff", to, "--exit-code"][..], &PATIENCE].concat());
    assert!(same.contains("0 decided otherwise") && same.contains("proven: the policies of both"), "{same}");
    new.write("ceiling/night.cedar", NIGHT);
    new.write("tests/night.yaml", CASES);
    let said = old.says(2, &[&["diff", to, "--exit-code"][..], &PATIENCE].concat());
    for expected in
        ["  + company.night", "newly denied", "nobody changes moods before six / at five", "1 decided otherwise"]
    {
        assert!(said.contains(expected), "`{expected}` is not in {said}");
    }
    let found = old.json(0, &[&["diff", to][..], &PATIENCE].concat()).remove(0);
    assert_eq!((&found["policies"][0]["changed"], &found["proven"]), (&"added".into(), &true.into()));
}

#[test]
fn flags_that_would_be_ignored_are_refused() {
    let bundle = Authored::new();
    let (alice, lounge) = ("mimi://a.example/u/alice", "mimi://a.example/r/lounge");
    let cases = ["--cases", "tests/company.yaml"];
    for (said, arguments) in [
        ("cannot be used with", vec!["why", "--it", "x", "--now", "2026-11-20T05:00:00Z"]),
        ("cannot be used with", vec!["why", "--it", "x", "--target", alice]),
        ("cannot be used with", vec!["who-can", "--it", "x", "--room", "lounge"]),
        ("leave --room out", vec!["where-can", "--actor", alice, "--action", "canBan", "--room", "lounge"]),
        ("leave --actor out", vec!["who-can", "--actor", alice, "--action", "canBan", "--room", "lounge"]),
        ("leave --action out", vec!["what-can", "--actor", alice, "--action", "canBan", "--room", "lounge"]),
    ] {
        let said_so = bundle.says_in_words(64, &[&arguments[..], &cases].concat());
        assert!(said_so.contains(said), "{arguments:?}: {said_so}");
    }
    let who = ["who-can", "--action", "canBan", "--room", lounge];
    for (said, more) in [
        ("--template", vec!["--participant", "mimi://a.example/u/alice=group_admin"]),
        ("nobody is known to be in that room", vec![]),
        ("nobody is known to be in that room", vec!["--template", "strict"]),
    ] {
        let said_so = bundle.says_in_words(64, &[&who[..], &more].concat());
        assert!(said_so.contains(said), "{more:?}: {said_so}");
    }
    let said = bundle.says_in_words(64, &["why", "--actor", alice, "--action", "readStream", "--frozen"]);
    assert!(said.contains("--frozen describes a room"), "{said}");
    let said = bundle.says_in_words(64, &["where-can", "--actor", alice, "--action", "canBan"]);
    assert!(said.contains("give --cases"), "{said}");
}

#[test]
fn programs_read_what_is_wrong_from_every_command_as_json() {
    let (bundle, other) = (Authored::new(), Authored::new());
    bundle.write("ceiling/night.cedar", &NIGHT.replace("canChangeRoomMood", "canChangeRoomMod"));
    let (alice, good) = ("mimi://a.example/u/alice", other.dir.to_str().unwrap());
    for arguments in [
        &["test"][..],
        &["why", "--actor", alice, "--action", "readStream"],
        &["who-can", "--action", "canBan", "--room", "mimi://a.example/r/x"],
        &["diff", good],
    ] {
        let found = bundle.json(3, arguments);
        assert_eq!(found[0]["file"], "ceiling/night.cedar", "{arguments:?}");
    }
    other.write("mine.yaml", "rooms: {}\ncaes: []\n");
    let mine = other.dir.join("mine.yaml");
    std::fs::rename(&mine, other.dir.join("../mine.yaml")).unwrap();
    let mine = other.dir.join("../mine.yaml");
    let found = other.json(3, &["why", "--cases", mine.to_str().unwrap(), "--it", "x"]);
    assert_eq!((&found[0]["line"], &found[0]["severity"]), (&2.into(), &"error".into()));
}

#[test]
fn what_is_reached_by_a_link_is_not_formatted() {
    let bundle = Authored::new();
    let rough = NIGHT.replace("\n  ", " ").replace(",\n", ", ");
    let elsewhere = bundle.dir.join("../night.cedar");
    std::fs::write(&elsewhere, &rough).unwrap();
    std::os::unix::fs::symlink(&elsewhere, bundle.dir.join("ceiling/night.cedar")).unwrap();
    bundle.write("ceiling/late.cedar", &rough.replace("company.night", "company.late"));
    assert!(bundle.says_in_words(3, &["fmt"]).contains("is a link"));
    assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), rough);
    assert!(std::fs::read_to_string(bundle.dir.join("ceiling/late.cedar")).unwrap().contains("principal, action"));
    std::fs::remove_file(bundle.dir.join("ceiling/night.cedar")).unwrap();
    assert_eq!(bundle.says(0, &["fmt"]), "ceiling/late.cedar\n");
    let left = std::fs::read_dir(bundle.dir.join("ceiling")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| name.to_str().unwrap().ends_with(".cedar")));
}

#[test]
fn an_unknown_room_template_is_told_with_those_that_there_are() {
    let bundle = Authored::new();
    let run = |code, arguments: &[&str]| {
        let output = portcullis().arg("room-template").args(arguments).output().unwrap();
        said(code, &output).split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
    };
    let told = run(64, &["compile", "strickt", "--policies", bundle.dir.to_str().unwrap()]);
    assert!(told.contains("the bundle has `cooperative`, `direct`, `moderated`, `multi-org`, `strict`"), "{told}");
    assert!(run(64, &["compile", "strict"]).contains("give its folder with --policies"));
    bundle.write("broken.yaml", "title: x\nroels: []\n");
    let told = run(3, &["compile", bundle.dir.join("broken.yaml").to_str().unwrap()]);
    assert_eq!(told.matches("roels").count(), 1, "{told}");
}

#[test]
fn a_file_that_is_formatted_stays_whose_it_is() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let bundle = Authored::new();
    bundle.write("ceiling/night.cedar", &NIGHT.replace("\n  ", " ").replace(",\n", ", "));
    let file = bundle.dir.join("ceiling/night.cedar");
    let whose = || std::fs::metadata(&file).map(|of| (of.uid(), of.gid())).unwrap();
    if whose().0 == 0 {
        // Only root can give a file away, and only root has taken one.
        chown(&file, Some(65_534), Some(65_534)).unwrap();
    }
    let before = whose();
    assert_eq!(bundle.says(0, &["fmt"]), "ceiling/night.cedar\n");
    assert_eq!(whose(), before);
}

const PROMISE: &str = "@id(\"promise.late\")\n@doc(\"moods change by day\")\nforbid (principal is Mimi::User, \
    action == Mimi::Action::\"canChangeRoomMood\", resource is Mimi::Room)\n\
    when { context.now.toTime() < duration(\"6h\") };\n";

const MUTED: &str = "@id(\"promise.muted\")\n@doc(\"who is muted sends nothing\")\nforbid (principal is Mimi::User, \
    action == Mimi::Action::\"canSendMessage\", resource is Mimi::Room)\nwhen { resource.muted.contains(principal) };\n";

#[test]
fn prove_says_of_every_invariant_whether_it_holds_and_never_more_than_it_knows() {
    let bundle = Authored::new();
    bundle.write("invariants/company.cedar", MUTED);
    let said = bundle.says(0, &PROVE);
    assert_eq!(
        said,
        "proven      promise.muted: who is muted sends nothing (1 kinds of questions)\n1 of 1 invariants proven\n"
    );
    bundle.write("invariants/late.cedar", PROMISE);
    let said = bundle.says(2, &PROVE);
    assert!(said.contains("broken      promise.late: moods change by day") && said.contains("context.now ="), "{said}");
    let found = bundle.json(2, &PROVE);
    let late = found.iter().find(|one| one["invariant"] == "promise.late").unwrap();
    assert_eq!((&late["found"], &late["witness"]["allow"]), (&"broken".into(), &true.into()));
    bundle.write("ceiling/night.cedar", NIGHT);
    bundle.says(0, &PROVE);
    let said = bundle.says(2, &["prove", "--cvc5", "/nowhere/cvc5"]);
    assert!(said.contains("0 of 2 invariants proven") && said.contains("is cvc5 installed?"), "{said}");
}

#[test]
fn diff_shows_what_is_newly_denied_by_a_question_and_calls_nothing_the_same_that_is_not_proven() {
    let (bundle, other) = (Authored::new(), Authored::new());
    let dir = other.dir.to_str().unwrap().to_owned();
    let said = bundle.says(0, &[&["diff", &dir, "--exit-code"][..], &PATIENCE].concat());
    assert!(said.contains("proven: the policies of both decide every question the same"), "{said}");
    other.write("ceiling/night.cedar", NIGHT);
    let said = bundle.says(2, &[&["diff", &dir, "--exit-code"][..], &PATIENCE].concat());
    assert!(
        said.contains("newly denied, for example, and before: allow") && said.contains("[company.night]"),
        "{said}"
    );
    let found = &bundle.json(0, &[&["diff", &dir][..], &PATIENCE].concat())[0];
    assert_eq!(
        (&found["proven"], found["newly_denied"][0]["new"]["policies"][0].as_str()),
        (&true.into(), Some("company.night"))
    );
    let said = bundle.says(2, &["diff", &dir, "--exit-code", "--cvc5", "/nowhere/cvc5"]);
    assert!(said.contains("not proven  canChangeRoomMood by User on Room") && !said.contains("proven: the"), "{said}");
    edit(&other.dir.join("schema/mimi.cedarschema"), "entity Segment;", "entity Segment; ");
    let said = bundle.says(0, &["diff", &dir]);
    assert!(said.contains("not proven  the schemas differ"), "{said}");
}
