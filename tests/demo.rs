//! The draft's example flow from end to end: three gateways as processes, real MLS clients, every refusal.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// Who, decision or code of the refusal, deciding policy.
const STEPS: [(&str, &str, &str); 24] = [
    ("alice/phone", "accepted", "mimi.create-room"),
    ("alice/phone", "accepted", "mimi.claim-elsewhere"),
    ("alice/phone", "accepted", "mimi.role-capability"),
    ("bob/phone", "accepted", "mimi.claim-elsewhere"),
    ("bob/phone", "accepted", "mimi.role-capability"),
    ("alice/phone", "accepted", "mimi.role-capability"),
    ("bob/phone", "accepted", "mimi.role-capability"),
    ("cathy/phone", "accepted", "mimi.role-capability"),
    ("cathy/laptop", "accepted", "mimi.role-capability"),
    ("cathy/laptop", "accepted", "mimi.role-capability"),
    ("cathy/laptop", "accepted", "mimi.role-capability"),
    ("cathy/phone", "not_allowed", "mimi.role-change-matrix"),
    ("operator", "recorded", ""),
    ("cathy/phone", "not_allowed", "company.muted"),
    ("operator", "recorded", ""),
    ("cathy/phone", "accepted", "mimi.role-capability"),
    ("alice/phone", "not_allowed", "company.suspended-target"),
    ("*", "accepted", "mimi.alternative"),
    ("*", "wrong_epoch", ""),
    ("bob/laptop", "wrong_epoch", ""),
    ("cathy/phone", "not_allowed", ""),
    ("cathy/phone", "accepted", "mimi.role-capability"),
    ("alice/phone", "accepted", "mimi.alternative"),
    ("cathy/laptop", "not_found", ""),
];

#[test]
fn the_demo_goes_as_it_should_and_every_step_is_in_the_hub_s_log() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("lab");
    let output =
        Command::new(env!("CARGO_BIN_EXE_portcullis")).args(["demo", "--json", "--dir"]).arg(&dir).output().unwrap();
    let (shown, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{shown}\n{errors}");

    let lines: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps: Vec<&Value> = lines.iter().filter(|line| line.get("step").is_some()).collect();
    assert_eq!(steps.len(), STEPS.len(), "{shown}");
    let mut positions = BTreeSet::new();
    for (step, (who, decision, policy)) in steps.into_iter().zip(STEPS) {
        assert!(who == "*" || step["who"] == who, "{step}");
        assert_eq!(step["code"].as_str().or_else(|| step["decision"].as_str()), Some(decision), "{step}");
        assert_eq!(step["policy"].as_array().unwrap().first().map_or("", |id| id.as_str().unwrap()), policy, "{step}");
        assert_eq!(step["differences"], serde_json::json!([]), "{step}");
        let log = step["log"].as_str().unwrap().to_owned();
        assert!(positions.insert((log, step["audit"].as_u64().unwrap())), "two steps have one audit entry: {step}");
    }

    let total = &lines.last().unwrap()["total"];
    assert_eq!(total["lanes_empty"], true, "{total}");
    assert_eq!(total["steps"], STEPS.len(), "{total}");
    for (log, position) in positions {
        assert!(total["audit_entries"][&log].as_u64() > Some(position), "{total}");
    }
    for domain in ["a.example", "b.example", "c.example"] {
        assert!(dir.join(domain).join("portcullis.db").is_file(), "nothing is kept of {domain}");
    }
}

#[test]
fn a_folder_that_holds_something_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine"), "mine").unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_portcullis")).args(["demo", "--dir"]).arg(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
