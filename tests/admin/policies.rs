use portcullis::http::token::{ADMIN_AUDIENCE, Grant};
use portcullis_store::audit::{AuditEntry, Outcome};
use serde_json::{Value, json};

use super::{Person, address, sign};
use crate::harness::{Cluster, Gateway, Lab, Replicas, edit, eventually, portcullis, room};

pub(super) const TWO: [&str; 2] = ["a.example", "b.example"];
/// Nobody at b.example writes.
pub(super) const QUIET: &str = "@id(\"company.quiet\")\n@reason(\"QUIET\")\nforbid (\n  principal in Mimi::Provider::\"b.example\",\n  \
    action == Mimi::Action::\"canSendMessage\",\n  resource is Mimi::Room\n);\n";
pub(super) const POLICIES: &str = "policies: policies";

/// A person of another name.
pub(super) fn person(gateway: &Gateway, subject: &str, roles: &[&str]) -> Person {
    let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
    let grant = Grant {
        subject,
        audience: ADMIN_AUDIENCE,
        issuer: None,
        scope: "",
        roles: Some(("roles", &roles)),
        lifetime_seconds: 3600,
    };
    Person::with(gateway, sign(gateway, &grant))
}

/// The gateway's bundle in a folder of its own, with a policy more.
pub(super) fn candidate(gateway: &Gateway, policy: &str) -> std::path::PathBuf {
    let folder = gateway.folder.with_extension("candidate");
    let copied = std::process::Command::new("cp").arg("-r").arg(gateway.folder.join("policies")).arg(&folder).status();
    assert!(copied.unwrap().success());
    std::fs::write(folder.join("ceiling/mine.cedar"), policy).unwrap();
    folder
}

/// The files of a folder as they are pushed.
pub(super) fn files(folder: &std::path::Path) -> Value {
    fn collect(root: &std::path::Path, folder: &std::path::Path, into: &mut serde_json::Map<String, Value>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(root, &path, into);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                into.insert(name, std::fs::read_to_string(&path).unwrap().into());
            }
        }
    }
    let mut found = serde_json::Map::new();
    collect(folder, folder, &mut found);
    found.into()
}

pub(super) fn records(gateway: &Gateway, kind: &str) -> Vec<AuditEntry> {
    gateway.database().entries().into_iter().filter(|entry| entry.record.kind == kind).collect()
}

/// The digest and state of each bundle that a command lists, the latest first.
pub(super) fn listed(gateway: &Gateway) -> Vec<(String, String)> {
    let said = gateway.operated(&["policy", "list", "--json"]);
    let of = |line: &str| {
        let bundle: Value = serde_json::from_str(line).unwrap();
        (bundle["digest"].as_str().unwrap().to_owned(), bundle["state"].as_str().unwrap().to_owned())
    };
    said.lines().map(of).collect()
}

#[tokio::test]
async fn a_bundle_that_is_pushed_decides_once_a_second_person_has_approved_it() {
    let mut lab = Lab::new(&TWO);
    let policies = "policies: { folder: policies, approvals: 2 }";
    edit(&lab.gateway("a.example").config_file(), POLICIES, policies);
    lab.start().await;
    let (_alice, mut bob) = lab.alice_and_bob().await;
    let hub = lab.gateway("a.example");
    let (ann, eve) = (person(hub, "ann", &["admin"]), person(hub, "eve", &["compliance"]));
    let first = ann.get("policies").await.good().body["items"][0]["digest"].as_str().unwrap().to_owned();

    let bundle = files(&candidate(hub, QUIET));
    let pushed = ann.post("policies", json!({ "files": bundle, "reason": "CASE-7" })).await.good().body;
    assert_eq!((&pushed["state"], &pushed["pushed_by"]), (&"draft".into(), &"operator:ann".into()));
    let digest = pushed["digest"].as_str().unwrap();
    let step = |name: &str| format!("policies/{digest}/{name}");
    let because = || json!({ "reason": "CASE-7" });
    assert_eq!(ann.post(&step("activate"), because()).await.refusal(), (409, "conflict"));
    assert_eq!(ann.post(&step("approve"), because()).await.refusal(), (409, "conflict"));
    assert_eq!(eve.post(&step("activate"), because()).await.refusal(), (403, "not_allowed"));
    assert!(bob.say(&room(), "a draft decides nothing").await.unwrap().answer.is_ok());
    let approved = eve.post(&step("approve"), because()).await.good().body;
    assert_eq!((&approved["state"], &approved["approved_by"]), (&"approved".into(), &"operator:eve".into()));
    let active = ann.post(&step("activate"), because()).await.good();
    assert_eq!(active.body["state"], "active");
    assert_eq!(bob.say(&room(), "hello?").await.unwrap().answer.unwrap_err().code, "not_allowed");
    let shown = ann.get(&format!("policies/{digest}")).await.good().body;
    assert_eq!(shown["files"]["ceiling/mine.cedar"], QUIET);

    // Going back takes one person.
    let back = person(hub, "joe", &["operator"]).post("policies/rollback", because()).await.good().body;
    assert_eq!((&back["digest"], &back["state"]), (&first.as_str().into(), &"active".into()));
    assert!(bob.say(&room(), "hello").await.unwrap().answer.is_ok());
    lab.quiet().await;
    let [activated] = &records(hub, "policy.activated")[..] else { panic!("one record") };
    assert_eq!(activated.record.actor.as_deref(), Some("operator:ann"));
    assert_eq!(activated.record.detail["decision"], active.decision.unwrap().to_string());
    let detail = |name: &str| activated.record.detail[name].as_str().unwrap();
    assert_eq!((detail("before"), detail("after")), (first.as_str(), digest));
    assert_eq!((detail("pushed_by"), detail("approved_by")), ("operator:ann", "operator:eve"));
    let [rolled_back] = &records(hub, "policy.rolled_back")[..] else { panic!("one record") };
    assert_eq!((rolled_back.record.outcome, &rolled_back.record.detail["before"]), (Outcome::Info, &digest.into()));
}

#[tokio::test]
async fn what_is_wrong_with_a_pushed_bundle_is_all_told_and_it_is_not_kept() {
    let lab = Lab::open(&TWO).await;
    let hub = lab.gateway("a.example");
    let ann = person(hub, "ann", &["admin"]);
    let mut bundle = files(&candidate(hub, "permit (principal, action, resource);"));
    bundle["ceiling/other.cedar"] = "forbid (".into();
    let told = ann.post("policies", json!({ "files": bundle, "reason": "CASE-7" })).await;
    assert_eq!(told.refusal(), (400, "malformed"));
    let detail = told.body["detail"].as_str().unwrap();
    assert!(detail.contains("ceiling/mine.cedar:1:1") && detail.contains("ceiling/other.cedar:1:"), "{detail}");
    assert_eq!(listed(hub).len(), 1);
    assert_eq!(ann.post(&format!("policies/{}/activate", "0".repeat(64)), json!({ "reason": "x" })).await.status, 409);
    assert_eq!(ann.get(&format!("policies/{}", "0".repeat(64))).await.refusal(), (404, "not_found"));
    assert_eq!(ann.get("policies/short").await.refusal(), (400, "malformed"));
}

#[tokio::test]
async fn a_rollback_from_the_host_needs_nobody_else_raises_the_alarm_and_outlives_a_restart() {
    let mut lab = Lab::open(&TWO).await;
    let (_alice, mut bob) = lab.alice_and_bob().await;
    let hub = lab.gateway("a.example");
    let first = listed(hub)[0].0.clone();
    std::fs::write(hub.folder.join("policies/ceiling/mine.cedar"), QUIET).unwrap();
    hub.signal("HUP");
    eventually("it is reloaded", async || hub.log().contains("policies are reloaded").then_some(())).await;
    assert_eq!(bob.say(&room(), "hello?").await.unwrap().answer.unwrap_err().code, "not_allowed");

    assert!(hub.operated(&["policy", "rollback", "--reason", "CASE-8"]).contains(&first));
    eventually("the gateway follows", async || hub.log().contains("rolled back from the host").then_some(())).await;
    assert!(bob.say(&room(), "hello").await.unwrap().answer.is_ok());
    assert_eq!(listed(hub).iter().map(|(_, state)| state.as_str()).collect::<Vec<_>>(), ["retired", "active"]);
    lab.quiet().await;
    let hub = lab.gateway("a.example");
    let [alarm] = &records(hub, "policy.rolled_back")[..] else { panic!("one record") };
    assert_eq!((alarm.record.outcome, alarm.record.reason.as_str()), (Outcome::Alarm, "CASE-8"));
    assert_eq!(alarm.record.detail["after"], first);
    // The folder holds what it held: that is no change, and undoes nothing.
    lab.gateway_mut("a.example").kill();
    lab.gateway_mut("a.example").restart().await;
    assert!(bob.say(&room(), "still here").await.unwrap().answer.is_ok());
    let hub = lab.gateway("a.example");
    hub.signal("HUP");
    assert_eq!(hub.log().matches("rolled back from the host").count(), 1, "the alarm is raised once");
    eventually("it is read", async || {
        hub.log().contains("have decided before, and others decide by now").then_some(())
    })
    .await;
    assert!(bob.say(&room(), "and still").await.unwrap().answer.is_ok());
    std::fs::write(hub.folder.join("policies/ceiling/mine.cedar"), QUIET.replace("QUIET", "SILENT")).unwrap();
    hub.signal("HUP");
    let reloads = || hub.log().matches("policies are reloaded").count();
    eventually("a change decides", async || (reloads() > 1).then_some(())).await;
    assert_eq!(listed(hub)[0].1, "active");
    assert_eq!(bob.say(&room(), "hello?").await.unwrap().answer.unwrap_err().code, "not_allowed");
}

#[tokio::test]
async fn what_changes_in_the_folder_waits_where_it_is_to_or_takes_two_people() {
    for policies in ["{ folder: policies, activate: manual }", "{ folder: policies, approvals: 2 }"] {
        let mut lab = Lab::new(&TWO);
        edit(&lab.gateway("a.example").config_file(), POLICIES, &format!("policies: {policies}"));
        lab.start().await;
        let hub = lab.gateway("a.example");
        std::fs::write(hub.folder.join("policies/ceiling/mine.cedar"), QUIET).unwrap();
        hub.signal("HUP");
        eventually("it is a draft", async || hub.log().contains("are a draft, and wait").then_some(())).await;
        let states: Vec<String> = listed(hub).into_iter().map(|(_, state)| state).collect();
        assert_eq!(states, ["draft", "active"], "{policies}");
        let digest = &listed(hub)[0].0;
        let activated = hub.operate(&["policy", "activate", &digest[..12], "--reason", "CASE-7"]);
        let expected = if policies.contains("approvals") { 2 } else { 0 };
        assert_eq!(activated.status.code(), Some(expected), "{policies}");
        // A broken folder changes nothing, and says so.
        std::fs::write(hub.folder.join("policies/ceiling/mine.cedar"), "forbid (").unwrap();
        hub.signal("HUP");
        eventually("it is refused", async || hub.log().contains("policies are not reloaded").then_some(())).await;
    }
}

#[tokio::test]
async fn with_the_store_as_source_the_folder_does_not_count_once_a_bundle_decides() {
    let mut lab = Lab::new(&TWO);
    edit(&lab.gateway("a.example").config_file(), POLICIES, "policies: { folder: policies, source: store }");
    lab.start().await;
    let hub = lab.gateway("a.example");
    let folder = candidate(hub, QUIET);
    std::fs::write(hub.folder.join("policies/ceiling/mine.cedar"), QUIET).unwrap();
    hub.signal("HUP");
    eventually("it is told", async || hub.log().contains("their folder does not count").then_some(())).await;
    assert_eq!(listed(hub).len(), 1);
    hub.operated(&["policy", "push", folder.to_str().unwrap(), "--reason", "CASE-7"]);
    let digest = listed(hub)[0].0.clone();
    hub.operated(&["policy", "activate", &digest, "--reason", "CASE-7"]);
    eventually("it decides", async || hub.log().contains("another policy bundle decides").then_some(())).await;
    let status = person(hub, "ann", &["admin"]).get("status").await.good().body;
    assert_eq!(status["bundle"], digest);
    let to = hub.folder.with_extension("shown");
    hub.operated(&["policy", "show", &digest[..8], "--to", to.to_str().unwrap()]);
    assert_eq!(files(&to), files(&folder));
}

#[tokio::test]
async fn a_bundle_that_no_signer_has_signed_is_refused_wherever_it_comes_from() {
    let mut lab = Lab::new(&TWO);
    let hub = lab.gateway("a.example");
    let policies = hub.folder.join("policies");
    let sign_with = |key: &str, folder: &std::path::Path| {
        let output = portcullis().args(["policy", "sign"]).arg(folder).arg("--key").arg(hub.folder.join(key)).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    // Any Ed25519 key will do for a signer; that of the log is one.
    let signer = sign_with("keys/log.key", &policies);
    edit(&hub.config_file(), POLICIES, &format!("policies: {{ folder: policies, signers: ['{signer}'] }}"));
    lab.start().await;
    let hub = lab.gateway("a.example");
    let sign_with = |key: &str, folder: &std::path::Path| {
        let mut sign = portcullis();
        sign.args(["policy", "sign"]).arg(folder).arg("--key").arg(hub.folder.join(key));
        assert!(sign.output().unwrap().status.success());
    };
    let folder = candidate(hub, QUIET);
    let push = || hub.operate(&["policy", "push", folder.to_str().unwrap(), "--reason", "CASE-7"]).status.code();
    assert_eq!(push(), Some(3), "the signature is another bundle's");
    sign_with("keys/hub.key", &folder);
    assert_eq!(push(), Some(3), "the signer is nobody");
    let ann = person(hub, "ann", &["admin"]);
    let told = ann.post("policies", json!({ "files": files(&folder), "reason": "CASE-7" })).await;
    assert_eq!(told.refusal(), (400, "malformed"));
    std::fs::write(policies.join("ceiling/mine.cedar"), QUIET).unwrap();
    hub.signal("HUP");
    eventually("it is refused", async || hub.log().contains("policies are not reloaded").then_some(())).await;
    sign_with("keys/log.key", &folder);
    assert_eq!(push(), Some(0));
    sign_with("keys/log.key", &policies);
    hub.signal("HUP");
    eventually("it is signed", async || hub.log().contains("policies are reloaded").then_some(())).await;
}

/// A process of the gateway with an admin door that its log tells.
fn person_at(replica: &Gateway, roles: &[&str]) -> Person {
    let there = format!("http://{}", address(&replica.log()));
    Person { origin: there, ..person(replica, "ann", roles) }
}

#[tokio::test]
async fn two_replicas_follow_one_pointer_whichever_of_them_moves_it() {
    let cluster = Cluster::start();
    let mut lab = Lab::new(&TWO);
    let replicas: Replicas = lab.replicas("a.example", cluster.url()).await;
    let [one, other] = &replicas.gateways[..] else { panic!("two replicas") };
    let digest_at =
        async |person: &Person| person.get("status").await.good().body["bundle"].as_str().unwrap().to_owned();
    let (here, there) = (person_at(one, &["admin"]), person_at(other, &["admin"]));
    let first = digest_at(&here).await;
    assert_eq!(digest_at(&there).await, first);

    let pushed = here.post("policies", json!({ "files": files(&candidate(one, QUIET)), "reason": "CASE-7" })).await;
    let digest = pushed.good().body["digest"].as_str().unwrap().to_owned();
    here.post(&format!("policies/{digest}/activate"), json!({ "reason": "CASE-7" })).await.good();
    assert_eq!(digest_at(&here).await, digest, "it is in force where the answer came from");
    eventually("the other follows", async || (digest_at(&there).await == digest).then_some(())).await;

    // The other way, past the doors.
    other.operated(&["policy", "rollback", "--reason", "CASE-8"]);
    for person in [&here, &there] {
        eventually("it is gone back", async || (digest_at(person).await == first).then_some(())).await;
    }
    let again = here.post("policies/rollback", json!({ "digest": digest, "reason": "CASE-9" })).await.good();
    assert_eq!(again.body["state"], "active");
    // A process that starts with the same old folder follows, too.
    drop((here, there));
    let mut replicas = replicas;
    let other = &mut replicas.gateways[1];
    other.kill();
    other.restart().await;
    assert_eq!(digest_at(&person_at(other, &["admin"])).await, digest);
}
