//! What another bundle would have decided, of what real gateways have recorded.

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::{Person, ROOM, recorded};
use crate::harness::{Cluster, Gateway, Lab, ORDINARY, edit, portcullis, room};

const TWO: [&str; 2] = ["a.example", "b.example"];
/// Nobody at b.example writes more than a few words.
const SHORT: &str = "@id(\"company.short\")\n@reason(\"SHORT\")\nforbid (\n  principal in Mimi::Provider::\"b.example\",\n  \
    action == Mimi::Action::\"canSendMessage\",\n  resource is Mimi::Room\n)\nwhen { context.messageBytes > 2000 };\n";

/// The gateway's bundle in a folder of its own, with a policy more.
fn candidate(gateway: &Gateway, policy: &str) -> PathBuf {
    let folder = gateway.folder.with_extension("candidate");
    let copied = std::process::Command::new("cp").arg("-r").arg(gateway.folder.join("policies")).arg(&folder).status();
    assert!(copied.unwrap().success());
    std::fs::write(folder.join("ceiling/mine.cedar"), policy).unwrap();
    folder
}

/// What the command prints when it ends with this code.
fn simulate(gateway: &Gateway, code: i32, folder: &Path, more: &[&str]) -> String {
    let folder = folder.to_str().unwrap();
    let output = gateway.operate(&[&["policy", "simulate", folder], more].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn report(gateway: &Gateway, folder: &Path, more: &[&str]) -> Value {
    serde_json::from_str(&simulate(gateway, 0, folder, &[&["--json"], more].concat())).unwrap()
}

#[tokio::test]
async fn what_is_recorded_is_asked_again_of_the_same_bundle_with_the_same_answers() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let hub = lab.gateway("a.example");
    let ops = Person::at(hub, &["moderator", "operator"]);
    let bob_s = "mimi%3A%2F%2Fb.example%2Fu%2Fbob";
    let mut cathy = lab.device("b.example/d/cathy/phone").await;
    lab.bring_in(&mut alice, &mut cathy, ORDINARY).await;
    assert!(bob.say(&room(), "hello").await.unwrap().answer.is_ok());
    // Muted, frozen, suspended and barred: each is a fact that only the record has by now.
    let because = || json!({ "reason": "CASE-7" });
    for (change, undone) in [("mute", "unmute"), ("remove", "readmit")] {
        ops.post(&format!("rooms/{ROOM}/users/{bob_s}/{change}"), because()).await.good();
        assert!(bob.say(&room(), "hello?").await.unwrap().answer.is_err());
        ops.post(&format!("rooms/{ROOM}/users/{bob_s}/{undone}"), because()).await.good();
    }
    ops.post(&format!("rooms/{ROOM}/freeze"), because()).await.good();
    assert!(alice.say(&room(), "hello?").await.unwrap().answer.is_err());
    ops.post(&format!("rooms/{ROOM}/unfreeze"), because()).await.good();
    ops.decide("b.example", "suspend").await.good();
    assert!(bob.say(&room(), "hello?").await.unwrap().answer.is_err());
    ops.decide("b.example", "allow").await.good();
    let said = alice.say(&room(), "goodbye").await.unwrap();
    assert!(said.answer.is_ok());
    lab.quiet().await;
    for gateway in &lab.gateways {
        let told = report(gateway, &gateway.folder.join("policies"), &[]);
        let (asked, same) = (told["questions"].as_u64().unwrap(), told["same"].as_u64().unwrap());
        assert_eq!((same, &told["not_replayable"]), (asked, &json!({})), "{told:#}");
        assert!(asked >= 9 && told["records"].as_u64().unwrap() >= 9, "{told:#}");
        simulate(gateway, 0, &gateway.folder.join("policies"), &["--exit-code"]);
    }
    // What a message costs in the log.
    let [message] = &recorded(hub, said.decision.unwrap())[..] else { panic!("one record") };
    let detail = message.record.detail.to_string();
    assert!(detail.len() < 350, "{} octets: {detail}", detail.len());
}

#[tokio::test]
async fn a_candidate_s_differences_are_counted_by_policy_room_and_peer_with_samples() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let hub = lab.gateway("a.example");
    for text in ["short", &"long ".repeat(500), &"longer ".repeat(500)] {
        assert!(bob.say(&room(), text).await.unwrap().answer.is_ok());
        assert!(alice.say(&room(), text).await.unwrap().answer.is_ok());
    }
    lab.quiet().await;
    let folder = candidate(hub, SHORT);
    let told = report(hub, &folder, &[]);
    let changes = json!({ "newly_allowed": 0, "newly_denied": 2, "by_others": 0 });
    assert_eq!(told["changed"], changes, "{told:#}");
    assert_eq!(told["not_replayable"], json!({}));
    assert_eq!(told["by_policy"], json!({ "company.short": changes }));
    assert_eq!(told["by_room"], json!({ room().to_string(): changes }));
    assert_eq!(told["by_peer"], json!({ "b.example": changes }));
    let samples = told["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 2);
    let [sample, _] = &samples[..] else { panic!("two") };
    assert_eq!((&sample["change"], &sample["kind"]), (&"newly_denied".into(), &"decision.message".into()));
    assert_eq!(sample["question"]["actor"], "mimi://b.example/u/bob");
    assert_eq!((&sample["recorded"]["allow"], &sample["candidate"]["reason"]), (&true.into(), &"SHORT".into()));
    let [record] = &recorded(hub, sample["decision"].as_str().unwrap().parse().unwrap())[..] else { panic!("one") };
    assert_eq!(record.seq, sample["seq"].as_u64().unwrap());

    let said = simulate(hub, 2, &folder, &["--exit-code"]);
    for expected in ["newly denied       2", "company.short", "newly denied: decision.message", "+ deny SHORT"] {
        assert!(said.contains(expected), "`{expected}` is not in {said}");
    }
    // Only the latest, and only those of a time.
    let latest = report(hub, &folder, &["--limit", "2"]);
    assert_eq!((&latest["records"], &latest["changed"]["newly_denied"]), (&2.into(), &1.into()));
    assert_eq!(report(hub, &folder, &["--until", "2020-01-01T00:00:00Z"])["records"], 0);
    assert_eq!(report(hub, &folder, &["--since", "2020-01-01T00:00:00Z"])["changed"]["newly_denied"], 2);
    simulate(hub, 64, &folder, &["--since", "yesterday"]);
    std::fs::write(folder.join("ceiling/mine.cedar"), "forbid (").unwrap();
    simulate(hub, 3, &folder, &[]);
}

#[tokio::test]
async fn what_cannot_be_asked_again_is_told_apart_and_never_the_same() {
    let lab = Lab::open(&TWO).await;
    let (_alice, mut bob) = lab.alice_and_bob().await;
    assert!(bob.say(&room(), "hello").await.unwrap().answer.is_ok());
    lab.quiet().await;
    let hub = lab.gateway("a.example");
    let (folder, database) = (hub.folder.join("policies"), hub.database());
    let told = report(hub, &folder, &[]);
    let (asked, same) = (told["questions"].as_u64().unwrap(), told["same"].as_u64().unwrap());
    assert_eq!(asked, same);
    let mut details = database.entries().into_iter().filter_map(|entry| entry.openings.0.get("detail").cloned());
    assert!(details.any(|detail| detail.json.contains("\"roles\":")));
    let say = |what: &str, instead: &str| {
        for mut entry in database.entries() {
            let detail = entry.openings.0.get_mut("detail").map(|detail| &mut detail.json);
            let Some(json) = detail.filter(|json| json.contains(what)) else { continue };
            *json = json.replace(what, instead);
            let openings = HEXLOWER.encode(&entry.openings.encode().unwrap());
            database.sql(&format!("UPDATE audit_entries SET openings = x'{openings}' WHERE seq = {}", entry.seq));
        }
    };
    let unknown = |reason: &str| {
        let told = report(hub, &folder, &[]);
        let count = told["not_replayable"][reason].as_u64();
        assert_eq!(told["same"].as_u64().unwrap() + count.unwrap_or(0), asked, "{told:#}");
        count
    };
    // Somebody makes guests of members.
    database.sql("CREATE TABLE kept_roles AS SELECT * FROM role_sets");
    database
        .sql("UPDATE role_sets SET content = CAST(replace(CAST(content AS TEXT), 'ordinary_user', 'guest') AS BLOB)");
    assert!(unknown("roles_not_kept") >= Some(1));
    simulate(hub, 2, &folder, &["--exit-code"]);
    database.sql("DELETE FROM role_sets; INSERT INTO role_sets SELECT * FROM kept_roles");
    assert_eq!(unknown("roles_not_kept"), None);
    // A record says what was not decided.
    database.sql("CREATE TABLE kept AS SELECT seq, openings FROM audit_entries");
    let restore = "UPDATE audit_entries SET openings = (SELECT openings FROM kept WHERE kept.seq = audit_entries.seq)";
    say("message_bytes\":", "message_bytes\":9999");
    assert_eq!(unknown("answered_otherwise"), Some(1));
    database.sql(restore);
    // One of an earlier version.
    say("facts\":1", "facts\":0");
    assert_eq!(unknown("recorded_before"), Some(asked));
    database.sql("UPDATE audit_entries SET openings = NULL");
    assert!(report(hub, &folder, &[])["not_replayable"]["erased"].as_u64() > Some(0));
    database.sql(restore);
    database.sql("UPDATE bundles SET content = CAST('{}' AS BLOB)");
    let told = report(hub, &candidate(hub, SHORT), &[]);
    assert_eq!((&told["not_replayable"], &told["same"]), (&json!({ "bundle_not_good": asked }), &0.into()));
}

#[tokio::test]
async fn decisions_in_postgresql_are_asked_again_too() {
    let cluster = Cluster::start();
    let mut lab = Lab::new(&TWO);
    let file = lab.gateway("a.example").config_file();
    edit(&file, "database: sqlite:portcullis.db", &format!("database: {}", cluster.url()));
    lab.start().await;
    let (_alice, mut bob) = lab.alice_and_bob().await;
    assert!(bob.say(&room(), "hello").await.unwrap().answer.is_ok());
    lab.quiet().await;
    let hub = lab.gateway("a.example");
    let mut command = portcullis();
    command.args(["policy", "simulate", "--json", "--exit-code", "--database", cluster.url()]);
    let output = command.arg(hub.folder.join("policies")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(told["same"].as_u64() > Some(3) && told["same"] == told["questions"], "{told:#}");
}
