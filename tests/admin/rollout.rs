//! What must not come to decide, and what must go on deciding.

use portcullis_store::audit::Outcome;
use serde_json::json;

use super::policies::{POLICIES, QUIET, TWO, candidate, files, listed, person, records};
use crate::harness::{Gateway, Lab, edit, eventually, portcullis};

async fn decides(gateway: &Gateway) -> String {
    let status = person(gateway, "ann", &["admin"]).get("status").await.good().body;
    status["bundle"].as_str().unwrap().to_owned()
}

/// Writes another policy into the folder, and waits until the process has read it.
async fn reload(gateway: &Gateway, policy: &str) {
    std::fs::write(gateway.folder.join("policies/ceiling/mine.cedar"), policy).unwrap();
    again(gateway).await;
}

async fn again(gateway: &Gateway) {
    let said = ["policies are reloaded", "policies of the folder"];
    let read = || said.iter().map(|said| gateway.log().matches(said).count()).sum::<usize>();
    let before = read();
    gateway.signal("HUP");
    eventually("the folder is read", async || (read() > before).then_some(())).await;
}

fn last_reason(gateway: &Gateway, kind: &str) -> String {
    records(gateway, kind).pop().unwrap().record.reason
}

#[tokio::test]
async fn where_it_takes_two_people_they_are_two_whoever_writes_the_folder_and_whichever_way_they_come() {
    let mut lab = Lab::new(&TWO);
    edit(&lab.gateway("a.example").config_file(), POLICIES, "policies: { folder: policies, approvals: 2 }");
    lab.start().await;
    let hub = lab.gateway("a.example");
    let (ann, bea) = (person(hub, "ann", &["admin"]), person(hub, "bea", &["admin"]));
    let because = || json!({ "reason": "CASE-7" });
    reload(hub, QUIET).await;
    let digest = listed(hub)[0].0.clone();
    let step = |name: &str| format!("policies/{digest}/{name}");
    ann.post(&step("approve"), because()).await.good();
    assert_eq!(ann.post(&step("activate"), because()).await.refusal(), (409, "conflict"));
    let by_host = |step: &str, digest: &str| hub.operate(&["policy", step, digest, "--reason", "CASE-7"]).status.code();
    assert_eq!(by_host("activate", &digest), Some(2), "ann may have an account on the host, too");
    assert_eq!(bea.post(&step("activate"), because()).await.good().body["state"], "active");

    let folder = candidate(hub, &QUIET.replace("QUIET", "SILENT"));
    hub.operated(&["policy", "push", folder.to_str().unwrap(), "--reason", "CASE-8"]);
    let (digest, pushed) = (listed(hub)[0].0.clone(), records(hub, "policy.pushed"));
    assert!(pushed[0].record.actor.as_deref().unwrap().starts_with("host:"));
    let step = |name: &str| format!("policies/{digest}/{name}");
    assert_eq!(ann.post(&step("approve"), because()).await.refusal(), (409, "conflict"));
    assert_eq!(by_host("approve", &digest), Some(2), "it has brought it itself");
    assert_eq!(bea.post(&step("activate"), because()).await.refusal(), (409, "conflict"));

    lab.quiet().await;
    let attempts = records(lab.gateway("a.example"), "decision.admin");
    let attempts: Vec<_> = attempts.iter().filter(|entry| entry.record.outcome == Outcome::Deny).collect();
    let told = attempts.iter().map(|entry| (entry.record.actor.as_deref().unwrap(), entry.record.reason.as_str()));
    let reason = "bundle_is_not_ready";
    assert!(told.eq([("operator:ann", reason), ("operator:ann", reason), ("operator:bea", reason)]));
    assert_eq!(attempts[2].record.detail["digest"], digest);
    let missing = attempts[2].record.detail["missing"].as_str().unwrap();
    assert!(missing.contains("nobody else has approved"), "{missing}");
    // So are those from the host.
    let attempts = records(lab.gateway("a.example"), "policy.refused");
    let told: Vec<(&str, &str)> = attempts
        .iter()
        .map(|entry| (entry.record.reason.as_str(), entry.record.detail["operation"].as_str().unwrap()))
        .collect();
    assert_eq!(told.len(), 2, "{attempts:?}");
    assert!(told.contains(&(reason, "activate")) && told.contains(&(reason, "approve")));
    for entry in &attempts {
        assert_eq!((entry.record.outcome, &entry.record.detail["why"]), (Outcome::Deny, &json!("CASE-7")));
        assert!(
            entry.record.actor.as_deref().unwrap().starts_with("host:") && !entry.record.detail["missing"].is_null()
        );
    }
}

#[tokio::test]
async fn what_was_gone_back_from_comes_back_by_its_digest_alone() {
    let lab = Lab::open(&TWO).await;
    let hub = lab.gateway("a.example");
    let first = decides(hub).await;
    reload(hub, QUIET).await;
    let bad = decides(hub).await;
    hub.operated(&["policy", "rollback", "--reason", "CASE-8"]);
    let again = hub.operate(&["policy", "rollback", "--reason", "CASE-8"]);
    assert_eq!(again.status.code(), Some(2));
    let ann = person(hub, "ann", &["admin"]);
    assert_eq!(ann.post("policies/rollback", json!({ "reason": "CASE-8" })).await.refusal(), (409, "conflict"));
    eventually("it is gone back", async || (decides(hub).await == first).then_some(())).await;
    ann.post("policies/rollback", json!({ "digest": bad, "reason": "CASE-8" })).await.good();
    assert_eq!(decides(hub).await, bad);
    for reason in ["", "  ", "two\nlines", &"x".repeat(1025)] {
        assert_eq!(hub.operate(&["policy", "rollback", &first, "--reason", reason]).status.code(), Some(64));
    }
}

#[tokio::test]
async fn a_kept_bundle_gets_the_signature_that_it_lacked() {
    let mut lab = Lab::open(&TWO).await;
    let hub = lab.gateway("a.example");
    let folder = candidate(hub, QUIET);
    let push = || hub.operate(&["policy", "push", folder.to_str().unwrap(), "--reason", "CASE-7"]).status.code();
    assert_eq!(push(), Some(0));
    let digest = listed(hub)[0].0.clone();
    let sign =
        portcullis().args(["policy", "sign"]).arg(&folder).arg("--key").arg(hub.folder.join("keys/log.key")).output();
    let signer = String::from_utf8(sign.unwrap().stdout).unwrap().trim().to_owned();
    edit(&hub.config_file(), POLICIES, &format!("policies: {{ folder: policies, signers: ['{signer}'] }}"));
    let activate = || hub.operate(&["policy", "activate", &digest, "--reason", "CASE-7"]).status.code();
    assert_eq!(activate(), Some(3), "it is kept without");
    assert_eq!(push(), Some(0));
    assert_eq!(activate(), Some(0));
    let shown = person(hub, "ann", &["admin"]).get(&format!("policies/{digest}")).await.good().body;
    assert!(shown["files"]["signature"].as_str().unwrap().starts_with(&signer));
    // The folder is unsigned, and what decides is not.
    let hub = lab.gateway_mut("a.example");
    hub.kill();
    hub.restart().await;
    assert_eq!(decides(hub).await, digest);
    assert_eq!(last_reason(hub, "policy.loaded"), "folder_is_not_good");
}

#[tokio::test]
async fn a_process_starts_with_whichever_is_good_of_its_folder_and_what_the_database_names() {
    let mut lab = Lab::open(&TWO).await;
    let hub = lab.gateway_mut("a.example");
    let first = decides(hub).await;
    let mine = hub.folder.join("policies/ceiling/mine.cedar");
    std::fs::write(&mine, "forbid (").unwrap();
    hub.kill();
    hub.restart().await;
    assert_eq!(decides(hub).await, first);
    assert!(hub.log().contains("those of the database go on"), "{}", hub.log());
    let alarm = records(hub, "policy.loaded").pop().unwrap().record;
    assert_eq!((alarm.outcome, alarm.reason.as_str()), (Outcome::Alarm, "folder_is_not_good"));
    assert!(alarm.detail["flaw"].as_str().unwrap().contains("ceiling/mine.cedar:1:"), "{}", alarm.detail);

    std::fs::remove_file(&mine).unwrap();
    let folder = candidate(hub, QUIET);
    hub.operated(&["policy", "push", folder.to_str().unwrap(), "--reason", "CASE-7"]);
    let second = listed(hub)[0].0.clone();
    hub.operated(&["policy", "activate", &second, "--reason", "CASE-7"]);
    hub.kill();
    hub.database().sql(&format!("UPDATE bundles SET content = CAST('{{}}' AS BLOB) WHERE digest = x'{second}'"));
    hub.restart().await;
    assert_eq!(decides(hub).await, first);
    let alarm = records(hub, "policy.loaded").pop().unwrap().record;
    assert_eq!((alarm.outcome, alarm.reason.as_str()), (Outcome::Alarm, "active_bundle_is_not_good"));

    std::fs::write(&mine, "forbid (").unwrap();
    hub.kill();
    hub.start();
    assert_eq!(hub.ended().await.code(), Some(3), "neither is good");
}

#[tokio::test]
async fn an_older_folder_moves_nobody_back() {
    let mut lab = Lab::open(&TWO).await;
    let hub = lab.gateway_mut("a.example");
    let first = decides(hub).await;
    reload(hub, QUIET).await;
    let second = decides(hub).await;
    assert_ne!(second, first);
    hub.kill();
    std::fs::remove_file(hub.folder.join("policies/ceiling/mine.cedar")).unwrap();
    hub.restart().await;
    assert_eq!(decides(hub).await, second, "as a replica that starts with what it had");
    assert_eq!(last_reason(hub, "policy.loaded"), "bundle_is_retired");
    again(hub).await;
    assert_eq!(decides(hub).await, second, "nothing has changed");

    // Whoever changes the folder under a process means it, until somebody has gone back from anything.
    reload(hub, &QUIET.replace("QUIET", "SILENT")).await;
    let third = decides(hub).await;
    reload(hub, QUIET).await;
    assert_eq!(decides(hub).await, second);
    hub.operated(&["policy", "rollback", &first, "--reason", "CASE-8"]);
    reload(hub, &QUIET.replace("QUIET", "SILENT")).await;
    assert_eq!(last_reason(hub, "policy.reloaded"), "bundle_is_retired");
    assert_eq!(decides(hub).await, first);
    assert!(listed(hub).iter().any(|(digest, state)| *digest == third && state == "retired"));
    reload(hub, &QUIET.replace("QUIET", "MUTE")).await;
    assert!(![first, second, third].contains(&decides(hub).await), "what is new decides");
}

#[tokio::test]
async fn no_file_of_a_bundle_leads_out_of_it() {
    let lab = Lab::open(&TWO).await;
    let hub = lab.gateway("a.example");
    let ann = person(hub, "ann", &["admin"]);
    for path in ["../out.md", "examples/../../out.md", "/tmp/out.md", "a//out.md"] {
        let mut bundle = files(&candidate(hub, QUIET));
        std::fs::remove_dir_all(hub.folder.with_extension("candidate")).unwrap();
        bundle[path] = "x".into();
        let told = ann.post("policies", json!({ "files": bundle, "reason": "CASE-7" })).await;
        assert_eq!(told.refusal(), (400, "malformed"), "{path}");
        assert!(told.body["detail"].as_str().unwrap().contains("lead out of the bundle"), "{path}: {}", told.body);
    }
    // What somebody has kept before that was refused.
    let of_before = "INSERT INTO bundles (digest, content, stored_at, pushed_by) \
                     VALUES (zeroblob(32), CAST('{\"a/../../out.md\":\"x\"}' AS BLOB), 0, 'ann')";
    hub.database().sql(of_before);
    let to = hub.folder.join("shown");
    let shown = hub.operate(&["policy", "show", &"0".repeat(64), "--to", to.to_str().unwrap()]);
    assert_eq!(shown.status.code(), Some(2));
    assert!(!to.exists() && !hub.folder.join("out.md").exists());
    assert_eq!(hub.operate(&["policy", "show", &"1".repeat(64)]).status.code(), Some(2));
}
