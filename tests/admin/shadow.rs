//! A bundle that is asked beside the one that decides, at real gateways.

use std::path::{Path, PathBuf};

use portcullis_store::audit::AuditEntry;
use serde_json::{Value, json};

use super::Person;
use super::policies::person;
use crate::harness::{Cluster, Gateway, Lab, eventually, room};

const TWO: [&str; 2] = ["a.example", "b.example"];
/// Nobody at b.example writes.
const QUIET: &str = "@id(\"company.quiet\")\n@reason(\"QUIET\")\nforbid (\n  principal in Mimi::Provider::\"b.example\",\n  \
    action == Mimi::Action::\"canSendMessage\",\n  resource is Mimi::Room\n);\n";
/// Fails whenever it is asked.
const BROKEN: &str = "@id(\"company.broken\")\n@reason(\"BROKEN\")\nforbid (\n  principal,\n  \
    action == Mimi::Action::\"canSendMessage\",\n  resource is Mimi::Room\n)\n\
    when { context.messageBytes * 9223372036854775807 == 7 };\n";

/// The gateway's bundle with a policy more, in a folder of its own.
fn candidate(gateway: &Gateway, name: &str, policy: &str) -> PathBuf {
    let folder = gateway.folder.with_extension(name);
    let copied = std::process::Command::new("cp").arg("-r").arg(gateway.folder.join("policies")).arg(&folder).status();
    assert!(copied.unwrap().success());
    std::fs::write(folder.join("ceiling/mine.cedar"), policy).unwrap();
    folder
}

/// Pushes a bundle from the host and gives its digest.
fn push(gateway: &Gateway, folder: &Path) -> String {
    let said = gateway.operated(&["policy", "push", folder.to_str().unwrap(), "--reason", "CASE-7"]);
    serde_json::from_str::<Value>(&said).unwrap()["digest"].as_str().unwrap().to_owned()
}

fn because() -> Value {
    json!({ "reason": "CASE-7" })
}

fn records(gateway: &Gateway, kind: &str) -> Vec<AuditEntry> {
    gateway.database().entries().into_iter().filter(|entry| entry.record.kind == kind).collect()
}

/// The report once the shadow has been asked about everything that was decided.
async fn caught_up(who: &Person) -> Value {
    eventually("the shadow has come so far", async || {
        let told = who.get("policies/shadow").await.good().body;
        (told["behind"] == 0).then_some(told)
    })
    .await
}

#[tokio::test]
async fn a_shadow_says_what_it_would_decide_and_its_activation_says_what_it_said() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let hub = lab.gateway("a.example");
    let (ann, eve) = (person(hub, "ann", &["admin"]), person(hub, "eve", &["compliance"]));
    let first = ann.get("policies").await.good().body["items"][0]["digest"].as_str().unwrap().to_owned();
    let digest = push(hub, &candidate(hub, "quiet", QUIET));
    let step = |name: &str| format!("policies/{digest}/{name}");
    assert_eq!(eve.get("policies/shadow").await.refusal(), (404, "not_found"));
    assert_eq!(eve.post(&step("shadow"), because()).await.refusal(), (403, "not_allowed"));
    let shadow = ann.post(&step("shadow"), because()).await.good().body;
    assert_eq!((&shadow["digest"], &shadow["state"]), (&digest.as_str().into(), &"shadow".into()));
    for text in ["one", "two"] {
        assert!(bob.say(&room(), text).await.unwrap().answer.is_ok(), "a shadow enforces nothing");
        assert!(alice.say(&room(), text).await.unwrap().answer.is_ok());
    }
    lab.quiet().await;
    // What people did is not for whoever only keeps the gateway running.
    assert_eq!(person(hub, "joe", &["operator"]).get("policies/shadow").await.refusal(), (403, "not_allowed"));
    let told = caught_up(&eve).await;
    assert_eq!((&told["digest"], &told["started_by"]), (&digest.as_str().into(), &"operator:ann".into()));
    let changes = json!({ "newly_allowed": 0, "newly_denied": 2, "by_others": 0 });
    let report = &told["report"];
    assert_eq!((&report["changed"], &report["by_policy"]["company.quiet"]), (&changes, &changes));
    assert_eq!(report["not_replayable"], json!({}));
    assert_eq!(report["samples"][0]["candidate"]["reason"], "QUIET");
    assert!(report["same"].as_u64() >= Some(2), "{report:#}");

    person(hub, "ann", &["admin"]).post(&step("activate"), because()).await.good();
    assert_eq!(bob.say(&room(), "hello?").await.unwrap().answer.unwrap_err().code, "not_allowed");
    let ended = eve.get("policies/shadow").await.good().body;
    assert_eq!(ended["stopped_by"], "operator:ann");
    lab.quiet().await;
    let [started] = &records(hub, "policy.shadow_started")[..] else { panic!("one record") };
    let detail = &started.record.detail;
    assert_eq!((&detail["shadow_before"], &detail["shadow_after"]), (&Value::Null, &digest.as_str().into()));
    assert_eq!((&detail["before"], &detail["after"]), (&first.as_str().into(), &first.as_str().into()));
    let [activated] = &records(hub, "policy.activated")[..] else { panic!("one record") };
    let detail = &activated.record.detail;
    assert_eq!((&detail["shadow_before"], &detail["shadow_after"]), (&digest.as_str().into(), &Value::Null));
    assert_eq!(detail["shadow"]["report"]["changed"], changes);
    assert_eq!(detail["simulation"], Value::Null);
}

#[tokio::test]
async fn one_bundle_is_the_shadow_at_a_time_and_one_that_fails_harms_nobody() {
    let lab = Lab::open(&TWO).await;
    let (_alice, mut bob) = lab.alice_and_bob().await;
    let hub = lab.gateway("a.example");
    let (ann, eve) = (person(hub, "ann", &["admin"]), person(hub, "eve", &["auditor"]));
    let active = ann.get("policies").await.good().body["items"][0]["digest"].as_str().unwrap().to_owned();
    let quiet = push(hub, &candidate(hub, "quiet", QUIET));
    let broken = push(hub, &candidate(hub, "broken", BROKEN));
    let conflict = (409, "conflict");
    assert_eq!(ann.post("policies/shadow/stop", because()).await.refusal(), conflict);
    assert_eq!(ann.post(&format!("policies/{active}/shadow"), because()).await.refusal(), conflict);
    assert_eq!(ann.post(&format!("policies/{}/shadow", "0".repeat(64)), because()).await.refusal(), conflict);
    let said = hub.operated(&["policy", "shadow", &quiet[..12], "--reason", "CASE-7"]);
    assert!(said.contains("\"state\":\"shadow\""), "{said}");
    assert_eq!(ann.post(&format!("policies/{quiet}/shadow"), because()).await.refusal(), conflict);
    ann.post(&format!("policies/{broken}/shadow"), because()).await.good();
    assert!(bob.say(&room(), "hello").await.unwrap().answer.is_ok());
    lab.quiet().await;
    let told = caught_up(&eve).await;
    assert_eq!((&told["digest"], &told["run"]), (&broken.as_str().into(), &2.into()));
    assert_eq!(told["report"]["by_policy"]["company.broken"]["newly_denied"], 1);
    assert_eq!(told["report"]["samples"][0]["candidate"]["reason"], "POLICY_ERROR");
    let shown = hub.operated(&["policy", "shadow", "--report"]);
    assert!(shown.contains(&broken) && shown.contains("newly denied       1"), "{shown}");

    // Over a connection of its own: the one before may have been idle for too long.
    person(hub, "ann", &["admin"]).post("policies/shadow/stop", because()).await.good();
    assert!(bob.say(&room(), "unseen").await.unwrap().answer.is_ok());
    lab.quiet().await;
    let shown: Value = serde_json::from_str(&hub.operated(&["policy", "shadow", "--report", "--json"])).unwrap();
    assert_eq!(
        (&shown["stopped_by"], &shown["report"]["changed"]["newly_denied"]),
        (&"operator:ann".into(), &1.into())
    );
    let changes: Vec<_> = ["policy.shadow_started", "policy.shadow_stopped"].map(|kind| records(hub, kind)).concat();
    let changes: Vec<[&Value; 2]> =
        changes.iter().map(|entry| ["shadow_before", "shadow_after"].map(|name| &entry.record.detail[name])).collect();
    let (quiet, broken, none) = (Value::from(quiet), Value::from(broken), Value::Null);
    assert_eq!(changes, [[&none, &quiet], [&quiet, &broken], [&broken, &none]]);
    let stop = hub.operate(&["policy", "shadow", "--stop", "--reason", "CASE-7"]);
    assert_eq!(stop.status.code(), Some(2), "{}", String::from_utf8_lossy(&stop.stderr));
}

#[tokio::test]
async fn what_replicas_find_adds_up_through_the_end_of_one_of_them() {
    let cluster = Cluster::start();
    let mut lab = Lab::new(&TWO);
    let mut replicas = lab.replicas("a.example", cluster.url()).await;
    lab.gateway_mut("b.example").restart().await;
    let (_alice, mut bob) = lab.alice_and_bob().await;
    let quiet = push(&replicas.gateways[0], &candidate(&replicas.gateways[0], "quiet", QUIET));
    let eve = person(&replicas.gateways[1], "eve", &["admin", "auditor"]);
    eve.post(&format!("policies/{quiet}/shadow"), because()).await.good();
    for number in 0..20 {
        assert!(bob.say(&room(), &format!("message {number}")).await.unwrap().answer.is_ok());
        if number == 10 {
            eventually("one of them has begun", async || {
                let told = eve.get("policies/shadow").await.good().body;
                (told["report"]["changed"]["newly_denied"].as_u64() > Some(0)).then_some(())
            })
            .await;
            replicas.gateways[0].kill();
            replicas.gateways[0].restart().await;
        }
    }
    let told = eventually("all has been asked", async || {
        let told = eve.get("policies/shadow").await.good().body;
        (told["report"]["changed"]["newly_denied"].as_u64() >= Some(20)).then_some(told)
    })
    .await;
    assert_eq!(told["report"]["changed"]["newly_denied"], 20);
}

#[tokio::test]
async fn a_simulation_that_is_kept_stands_in_the_record_of_the_activation() {
    let lab = Lab::open(&TWO).await;
    let (_alice, mut bob) = lab.alice_and_bob().await;
    let hub = lab.gateway("a.example");
    assert!(bob.say(&room(), "hello").await.unwrap().answer.is_ok());
    lab.quiet().await;
    let folder = candidate(hub, "quiet", QUIET);
    let simulate = ["policy", "simulate", folder.to_str().unwrap(), "--keep", "--json"];
    assert_eq!(hub.operate(&simulate).status.code(), Some(2), "it is not pushed");
    let digest = push(hub, &folder);
    hub.operated(&simulate);
    hub.operated(&[&simulate[..], &["--limit", "1"]].concat());
    hub.operated(&["policy", "activate", &digest, "--reason", "CASE-7"]);
    lab.quiet().await;
    let [first, simulated] = &records(hub, "policy.simulated")[..] else { panic!("two records") };
    assert_eq!(simulated.record.detail["digest"], digest.as_str());
    let [activated] = &records(hub, "policy.activated")[..] else { panic!("one record") };
    let said = &activated.record.detail["simulation"];
    assert_eq!(said["report"]["window"]["limit"], 1, "the latest");
    assert_eq!(said["report"], simulated.record.detail["report"]);
    let earlier = &activated.record.detail["earlier_simulations"][0];
    assert_eq!(earlier["changed"], first.record.detail["report"]["changed"], "which one with less does not hide");
    assert_eq!(earlier["changed"]["newly_denied"], 1);
    assert_eq!(activated.record.detail["shadow"], Value::Null);
}
