//! What people ask of policy bundles at the admin door, and what the command line says of the same.

use serde_json::{Value, json};

use super::policies::{QUIET, TWO, candidate, files, person, records};
use super::{Person, recorded};
use crate::harness::{Gateway, Lab, edit, portcullis, room};

/// What a command prints for programs, an object a line.
fn command(arguments: &[&str]) -> Vec<Value> {
    let said = String::from_utf8(portcullis().args(arguments).output().unwrap().stdout).unwrap();
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A room of two, and a question without who asks.
fn question() -> Value {
    json!({
        "rooms": { "lounge": {
            "room": "mimi://a.example/r/lounge", "side": "hub", "template": "strict",
            "participants": { "mimi://a.example/u/alice": "group_admin", "mimi://b.example/u/bob": "ordinary_user" },
        } },
        "cases": [{ "room": "lounge", "action": "canSendMessage" }],
    })
}

#[tokio::test]
async fn the_door_says_of_a_bundle_what_the_command_line_says_of_its_folder() {
    let lab = Lab::open(&TWO).await;
    let hub = lab.gateway("a.example");
    let ann = person(hub, "ann", &["admin"]);
    let folder = candidate(hub, QUIET);
    let folder = folder.to_str().unwrap();
    let pushed = ann.post("policies", json!({ "files": files(folder.as_ref()), "reason": "CASE-7" })).await.good().body;
    let digest = pushed["digest"].as_str().unwrap();
    let kept = json!({ "digest": digest });
    // Over a connection of its own each: the one before may have been idle for as long as a command takes.
    let ask = async |what: &str, body: Value| {
        person(hub, "ann", &["admin"]).post(&format!("policies/{what}"), body).await.good().body
    };

    let tested = ask("test", json!({ "bundle": kept })).await;
    let said = command(&["policy", "test", folder, "--coverage", "--format", "json"]);
    let both = [tested["items"].as_array().unwrap().as_slice(), tested["coverage"].as_array().unwrap()].concat();
    assert_eq!(both, said);
    // Some of what the shipped tests say is not true of it.
    let failed = tested["items"].as_array().unwrap().iter().filter(|item| item["holds"] == false).count() as u64;
    assert_eq!((tested["cases"].as_u64().unwrap() > 100, &tested["failed"]), (true, &failed.into()));
    assert!(failed > 0);

    let case = "a muted user does not send";
    let why = ask("why", json!({ "bundle": kept, "cases": "tests/company.yaml", "it": case })).await;
    let arguments = ["policy", "why", folder, "--cases", "tests/company.yaml", "--it", case, "--format", "json"];
    assert_eq!(vec![why], command(&arguments));

    let who = ask("who-can", json!({ "bundle": kept, "question": question() })).await;
    let arguments = [
        "policy",
        "who-can",
        folder,
        "--action",
        "canSendMessage",
        "--room",
        "mimi://a.example/r/lounge",
        "--template",
        "strict",
        "--participant",
        "mimi://a.example/u/alice=group_admin",
        "--participant",
        "mimi://b.example/u/bob=ordinary_user",
        "--format",
        "json",
    ];
    assert_eq!(who["items"].as_array().unwrap(), &command(&arguments));
    let of = |subject: &str| {
        let items = who["items"].as_array().unwrap();
        items.iter().find(|item| item["subject"] == subject).unwrap()["possible"].clone()
    };
    assert_eq!((of("mimi://a.example/u/alice"), of("mimi://b.example/u/bob")), (json!("if"), json!("no")));

    let mut asked = question();
    asked["cases"][0] = json!({ "room": "lounge", "actor": "mimi://a.example/u/alice" });
    let what = ask("what-can", json!({ "bundle": kept, "question": asked })).await;
    let ban = what["items"].as_array().unwrap().iter().find(|item| item["subject"] == "canBan").unwrap();
    assert_eq!(ban["enforced_here"], true);
    asked["cases"][0] = json!({ "actor": "mimi://b.example/u/bob", "action": "canSendMessage" });
    let anywhere = ask("where-can", json!({ "bundle": kept, "question": asked })).await;
    assert_eq!(anywhere["items"][0]["possible"], "no");

    let active = hub.folder.join("policies");
    let diff = ask("diff", json!({ "new": kept })).await;
    let mut said = command(&["policy", "diff", active.to_str().unwrap(), folder, "--format", "json"]);
    assert_eq!(vec![diff.clone()], said);
    assert_eq!(said.remove(0)["policies"][0]["name"], "company.quiet");
    let proven = ask("prove", json!({ "bundle": kept })).await;
    let said = command(&["policy", "prove", folder, "--format", "json"]);
    // The door has a minute for all of it, which is short where others take the machine.
    let late = |item: &Value| item.to_string().contains("the time for all questions was over");
    let of_door = proven["items"].as_array().unwrap();
    assert!(of_door.len() == said.len() && of_door.iter().any(|item| item["found"] == "proven"), "{proven:#}");
    assert!(of_door.iter().zip(&said).all(|(door, line)| door == line || late(door)), "{proven:#}");

    let mut unformed = files(folder.as_ref());
    unformed["ceiling/mine.cedar"] = QUIET.replace("\n  ", " ").into();
    let formatted = ask("format", json!({ "bundle": { "files": unformed } })).await;
    assert_eq!(formatted["files"], json!({ "ceiling/mine.cedar": QUIET }));
}

#[tokio::test]
async fn what_is_wrong_is_told_with_its_place_and_what_is_asked_is_on_the_record() {
    let lab = Lab::open(&TWO).await;
    let hub = lab.gateway("a.example");
    let ann = person(hub, "ann", &["auditor"]);
    let good = ann.post("policies/check", json!({})).await.good();
    assert_eq!((&good.body["good"], &good.body["errors"]), (&true.into(), &0.into()));
    let [record] = &recorded(hub, good.decision.unwrap())[..] else { panic!("one record") };
    let digest = good.body["digest"].as_str().unwrap();
    assert_eq!(record.record.detail["policy"], json!({ "ask": "check", "bundles": [digest] }));

    let mut wrong = files(&hub.folder.join("policies"));
    wrong["ceiling/mine.cedar"] = "forbid (principal, action, resource) when { context.nou == 1 };".into();
    wrong["tests/mine.yaml"] = "cases: [{ it: nothing }]".into();
    let told = ann.post("policies/check", json!({ "bundle": { "files": wrong } })).await.good().body;
    assert_eq!((&told["good"], &told["digest"]), (&false.into(), &Value::Null));
    let files: Vec<&str> = told["items"].as_array().unwrap().iter().map(|it| it["file"].as_str().unwrap()).collect();
    assert!(files.contains(&"ceiling/mine.cedar") && files.contains(&"tests/mine.yaml"), "{told:#}");
    assert!(told["items"][0]["line"].as_u64().unwrap() >= 1);

    for (what, body, refusal) in [
        ("test", json!({ "bundle": { "files": wrong } }), (400, "malformed")),
        ("test", json!({ "bundle": { "digest": "0".repeat(64) } }), (404, "not_found")),
        ("test", json!({ "bundle": { "digest": digest, "files": { "a": "b" } } }), (400, "malformed")),
        ("why", json!({ "cases": "tests/none.yaml", "it": "x" }), (400, "malformed")),
        ("why", json!({ "cases": "tests/company.yaml" }), (400, "malformed")),
        ("why", json!({}), (400, "malformed")),
        ("who-can", json!({ "question": { "cases": [{}, {}] } }), (400, "malformed")),
        ("who-can", json!({ "question": question(), "cases": "tests/company.yaml" }), (400, "malformed")),
        ("simulate", json!({ "since": "yesterday" }), (400, "malformed")),
        ("simulate", json!({}), (403, "not_allowed")),
    ] {
        let told = ann.post(&format!("policies/{what}"), body.clone()).await;
        assert_eq!(told.refusal(), refusal, "{what} {body}");
    }
}

/// A bundle that is good, and takes long to be looked into.
fn endless(hub: &Gateway) -> Value {
    let policy = |number: usize| {
        let clauses: Vec<String> = (0..9).map(|part| format!("context.epoch != {}", 9 * number + part)).collect();
        format!(
            "@id(\"company.n{number}\")\n@reason(\"N\")\nforbid (principal, action in Mimi::Action::\"RoomActs\", resource is \
             Mimi::Room)\nunless {{ {} }};\n",
            clauses.join(" && ")
        )
    };
    let mut files = files(&hub.folder.join("policies"));
    for file in 0..4 {
        let all: Vec<String> = (0..700).map(|number| policy(700 * file + number)).collect();
        files[format!("ceiling/n{file}.cedar")] = all.concat().into();
    }
    files
}

#[tokio::test]
async fn what_takes_too_long_ends_is_on_the_record_and_leaves_its_place_to_others() {
    let mut lab = Lab::new(&["a.example"]);
    let config = lab.gateways[0].folder.join("gateway.yaml");
    edit(&config, "policies: policies", "policies: { folder: policies, question_seconds: 1 }");
    lab.gateways[0].restart().await;
    let hub = &lab.gateways[0];
    let ann = person(hub, "ann", &["admin"]);
    for what in ["check", "test"] {
        let told = ann.post(&format!("policies/{what}"), json!({ "bundle": { "files": endless(hub) } })).await;
        assert_eq!(told.refusal(), (400, "malformed"), "{told:?}");
        assert!(told.body.to_string().contains("takes more than the 1 seconds"), "{told:?}");
    }
    let files = json!({ "ceiling/mine.cedar": "permit(principal,action,resource);" });
    let good = ann.post("policies/format", json!({ "bundle": { "files": files } })).await.good();
    assert_eq!(good.body["files"].as_object().unwrap().len(), 1);
    let failed: Vec<Value> =
        records(hub, "decision.admin").iter().map(|it| it.record.detail["policy"].clone()).collect();
    let [check, test, format] = &failed[..] else { panic!("{failed:?}") };
    assert!(check["failed"].as_str().unwrap().contains("1 seconds") && test["ask"] == "test", "{failed:?}");
    assert_eq!((&format["bundles"][0]["files"], &format["failed"]), (&json!(1), &Value::Null));
    assert_eq!(format["bundles"][0]["digest"].as_str().unwrap().len(), 64);
}

#[tokio::test]
async fn a_simulation_takes_both_rights_and_is_kept_for_the_activation_where_it_is_to_be() {
    let lab = Lab::open(&TWO).await;
    let (_alice, mut bob) = lab.alice_and_bob().await;
    assert!(bob.say(&room(), "hello").await.unwrap().answer.is_ok());
    lab.quiet().await;
    let hub = lab.gateway("a.example");
    let eve = person(hub, "eve", &["compliance"]);
    let folder = candidate(hub, QUIET);
    let said = hub.operated(&["policy", "push", folder.to_str().unwrap(), "--reason", "CASE-7"]);
    let digest = serde_json::from_str::<Value>(&said).unwrap()["digest"].as_str().unwrap().to_owned();
    let kept = json!({ "digest": digest });
    for roles in [&["auditor"], &["operator"], &["moderator"]] {
        let who = person(hub, "joe", roles);
        assert_eq!(who.post("policies/simulate", json!({ "bundle": kept })).await.refusal(), (403, "not_allowed"));
    }
    let told = eve.post("policies/simulate", json!({ "bundle": kept, "keep": true })).await.good();
    assert_eq!(told.body["by_policy"]["company.quiet"]["newly_denied"], 1, "{told:?}");
    let [simulated] = &records(hub, "policy.simulated")[..] else { panic!("one record") };
    assert_eq!(simulated.record.actor.as_deref(), Some("operator:eve"));
    assert_eq!(simulated.record.detail["digest"], digest);
    let [record] = &recorded(hub, told.decision.unwrap())[..] else { panic!("one record") };
    assert_eq!(record.record.detail["policy"]["ask"], "simulate");
    let one = eve.post("policies/simulate", json!({ "bundle": kept, "limit": 1 })).await.good().body;
    assert_eq!(one["records"], 1);
    let loose = json!({ "bundle": { "files": files(&folder) }, "keep": true });
    assert_eq!(eve.post("policies/simulate", loose).await.refusal(), (400, "malformed"));
    let ann: Person = person(hub, "ann", &["admin"]);
    ann.post(&format!("policies/{digest}/activate"), json!({ "reason": "CASE-7" })).await.good();
    let [activated] = &records(hub, "policy.activated")[..] else { panic!("one record") };
    assert_eq!(activated.record.detail["simulation"]["report"]["changed"]["newly_denied"], 1, "{activated:#?}");
    assert_eq!(activated.record.detail["earlier_simulations"], Value::Null);
}
