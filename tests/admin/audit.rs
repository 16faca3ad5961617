use portcullis_tlog::witness::AddCheckpoint;
use portcullis_tlog::{Hash, LogProof, Policy, SignedCheckpoint};
use serde_json::{Value, json};

use super::{Person, ROOM};
use crate::federation::assert_accepted;
use crate::harness::{Gateway, Lab, eventually, portcullis, room};

const TWO: [&str; 2] = ["a.example", "b.example"];

fn items(page: &Value) -> &Vec<Value> {
    page["items"].as_array().unwrap()
}

fn positions(page: &Value) -> Vec<u64> {
    items(page).iter().map(|item| item["seq"].as_u64().unwrap()).collect()
}

/// Returns once all that stands in the log is signed.
async fn signed(gateway: &Gateway) {
    eventually("all of the log is signed", async || {
        let database = gateway.database();
        let size = database.number("SELECT count(*) FROM audit_entries");
        (database.number("SELECT coalesce(max(size), 0) FROM audit_checkpoints") == size).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_auditor_finds_what_happened_by_all_that_stands_in_it_and_is_on_the_record_for_it() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    assert_accepted(&alice.say(&room(), "hello").await.unwrap());
    let hub = lab.gateway("a.example");
    hub.operated(&["room", "mute", room().as_str(), bob.user().as_str(), "--reason", "too loud"]);
    bob.say(&room(), "hello?").await.unwrap().answer.unwrap_err();
    lab.quiet().await;
    signed(hub).await;
    let auditor = Person::at(hub, &["auditor"]);
    let found = async |query: &str| auditor.get(&format!("audit?{query}")).await.good().body;
    let entries = hub.database().entries();

    let all = found("order=oldest&limit=500").await;
    assert_eq!(positions(&all), entries.iter().map(|entry| entry.seq).collect::<Vec<_>>());
    assert_eq!(all["as_of"]["size"], entries.len());
    let shown = &items(&all)[3];
    assert_eq!(
        (&shown["kind"], shown["time"].as_str().map(|time| &time[23..])),
        (&entries[3].record.kind.as_str().into(), Some("+00:00"))
    );

    let muted = found(&format!(
        "reason=MUTED&outcome=deny&room={ROOM}&actor={}&zone=Asia/Tokyo",
        crate::rights::encoded(bob.user().as_str())
    ))
    .await;
    let [refused] = &items(&muted)[..] else { panic!("{muted}") };
    assert!(refused["time"].as_str().unwrap().ends_with("+09:00"), "{refused}");
    let policy = refused["policy"][0].as_str().unwrap();
    for query in [
        format!("policy={policy}"),
        format!("decision={}", refused["decision"].as_str().unwrap()),
        format!("exchange={}", refused["exchange"].as_str().unwrap()),
        format!("kind={}&outcome=deny", refused["kind"].as_str().unwrap()),
        format!("kind=decision.*&outcome=deny&peer={}", refused["peer"].as_str().unwrap()),
        format!("bundle={}&outcome=deny", refused["bundle"].as_str().unwrap()),
        format!("since={at}&until={at}1&outcome=deny", at = refused["at"]),
    ] {
        assert_eq!(items(&found(&query).await), &[refused_in_utc(refused)], "{query}");
    }
    assert!(items(&found("client=mimi://a.example/d/nobody/phone").await).is_empty());
    assert!(items(&found("trace=0123").await).is_empty());

    // Readers leave a trace of their own, which others do not see unless they look for it.
    lab.quiet().await;
    signed(hub).await;
    let readers = found("kind=access.*&order=oldest").await;
    let first = &items(&readers)[0];
    assert_eq!(
        (&first["kind"], &first["actor"], &first["detail"]),
        (
            &json!("access.query"),
            &json!("operator:ops"),
            &json!({ "asked": { "but": "access", "order": "oldest" }, "entries": entries.len() }),
        )
    );
    assert_eq!(first["policy"], json!(["admin.read-audit"]));
    assert_eq!(positions(&found("order=oldest&limit=500").await), positions(&all));
    assert!(positions(&found("order=oldest&limit=500&access=true").await).len() > entries.len());

    for wrong in
        ["since=yesterday", "zone=Mars", "outcome=maybe", "bundle=12", "cursor=MQoyCjM", "since=18446744073709551615"]
    {
        assert_eq!(auditor.get(&format!("audit?{wrong}")).await.refusal(), (400, "malformed"), "{wrong}");
    }
    for role in ["admin", "operator", "moderator", "viewer"] {
        assert_eq!(Person::at(hub, &[role]).get("audit").await.refusal(), (403, "not_allowed"), "{role}");
    }
}

/// As it is shown where no zone is asked for.
fn refused_in_utc(refused: &Value) -> Value {
    let mut refused = refused.clone();
    let at = portcullis_core::time::Millis(refused["at"].as_u64().unwrap());
    refused["time"] = portcullis::audit::times::shown(at, &portcullis::audit::times::zone("UTC").unwrap()).into();
    refused
}

#[tokio::test]
async fn pages_are_read_as_of_one_checkpoint_whatever_is_written_meanwhile() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, _bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    let hub = lab.gateway("a.example");
    signed(hub).await;
    let auditor = Person::at(hub, &["compliance"]);
    let before = hub.database().entries().len() as u64;
    let first = auditor.get("audit?limit=4").await.good().body;
    assert_eq!(first["as_of"]["size"], before);
    let mut paged = positions(&first);
    let mut next = first["next"].as_str().map(str::to_owned);
    while let Some(cursor) = next {
        assert_accepted(&alice.say(&room(), "more").await.unwrap());
        signed(hub).await;
        let page = auditor.get(&format!("audit?limit=4&cursor={cursor}")).await.good().body;
        assert_eq!(page["as_of"], first["as_of"]);
        paged.extend(positions(&page));
        next = page["next"].as_str().map(str::to_owned);
        let other = auditor.get(&format!("audit?outcome=deny&cursor={cursor}")).await;
        assert_eq!(other.refusal(), (400, "malformed"));
    }
    assert_eq!(paged, (0..before).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn entries_are_counted_and_proved_at_the_door_and_on_the_host() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, _bob) = lab.alice_and_bob().await;
    assert_accepted(&alice.say(&room(), "hello").await.unwrap());
    lab.quiet().await;
    let hub = lab.gateway("a.example");
    signed(hub).await;
    let entries = hub.database().entries();
    let auditor = Person::at(hub, &["auditor"]);

    let counted = auditor.get("audit/counts").await.good().body;
    assert_eq!((&counted["entries"], &counted["spans"]), (&json!(entries.len()), &json!([])));
    let by_day = auditor.get("audit/counts?by=day&zone=Europe/Berlin").await.good().body;
    let spans = by_day["spans"].as_array().unwrap();
    assert_eq!(spans.iter().map(|span| span["entries"].as_u64().unwrap()).sum::<u64>(), entries.len() as u64);
    let allowed =
        entries.iter().filter(|entry| entry.record.outcome == portcullis_store::audit::Outcome::Allow).count();
    assert_eq!(spans.iter().map(|span| span["allow"].as_u64().unwrap()).sum::<u64>(), allowed as u64);
    assert!(spans.len() >= 30 && spans[0]["time"].as_str().unwrap().contains("T00:00:00.000+0"), "{by_day}");
    assert_eq!(auditor.get("audit/counts?by=minute&since=2020-01-01").await.refusal(), (400, "malformed"));

    let proved = auditor.get("audit/3/proof").await.good().body;
    let key = hub.operated(&["audit", "checkpoint", "--key"]);
    let policy = Policy::parse(format!("log {key}quorum none\n").as_bytes()).unwrap();
    let proof = LogProof::parse(proved["proof"].as_str().unwrap().as_bytes()).unwrap();
    proof.verify(&Hash::leaf(&entries[3].leaf), &policy).unwrap();
    assert_eq!(auditor.get("audit/100000/proof").await.refusal(), (404, "not_found"));

    let line = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    let found =
        hub.operated(&["audit", "query", "--json", "--all", "--limit", "3", "--oldest", "--zone", "Asia/Tokyo"]);
    let found: Vec<Value> = found.lines().map(line).collect();
    let (end, found) = found.split_last().unwrap();
    assert_eq!(
        found.iter().map(|entry| entry["seq"].as_u64().unwrap()).collect::<Vec<_>>(),
        (0..entries.len() as u64).collect::<Vec<_>>()
    );
    assert!(found[0]["time"].as_str().unwrap().ends_with("+09:00") && end["next"].is_null(), "{end}");
    let page = hub.operated(&["audit", "query", "--kind", "decision.message"]);
    assert!(page.contains("mimi.role-capability") && page.contains("signed"), "{page}");
    let counts = hub.operated(&["audit", "count", "--kind", "decision.message"]);
    assert!(counts.contains("1 entries"), "{counts}");
    let readers = hub.operated(&["audit", "list", "--kind", "access.*", "--json"]);
    let kinds: Vec<String> = readers.lines().map(|text| line(text)["kind"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "access.count").count(), 3, "{kinds:?}");
    assert!(kinds.contains(&"access.proof".to_owned()));
}

#[tokio::test]
async fn all_of_a_room_is_taken_out_of_a_running_gateway_and_proved_by_nothing_but_the_key() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, _bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    let hub = lab.gateway("a.example");
    signed(hub).await;
    let key = hub.operated(&["audit", "checkpoint", "--key"]);
    let path = |name: &str| hub.folder.join(name).display().to_string();
    std::fs::write(path("kept"), hub.operated(&["audit", "checkpoint"])).unwrap();
    assert_accepted(&alice.say(&room(), "hello").await.unwrap());
    lab.quiet().await;
    let told =
        hub.operated(&["audit", "export", "--room", room().as_str(), "--kept", &path("kept"), "--out", &path("taken")]);
    assert!(told.contains("all there are"), "{told}");

    let offline = |more: &[&str]| {
        let mut command = portcullis();
        command.args(["audit", "verify", "--export", &path("taken"), "--kept", &path("kept"), "--config", "/nowhere"]);
        command.args(more).output().unwrap()
    };
    let good = offline(&["--key", key.trim()]);
    let lines = String::from_utf8(good.stdout).unwrap();
    assert!(good.status.success() && !lines.contains("BAD"), "{lines}");
    std::fs::write(path("policy"), format!("log {key}quorum none\n")).unwrap();
    assert!(offline(&["--policy", &path("policy")]).status.success());
    assert_eq!(offline(&[]).status.code(), Some(3));

    let consistent = hub.operated(&["audit", "consistency", &path("kept")]);
    let consistent = AddCheckpoint::parse(consistent.as_bytes()).unwrap();
    let kept = SignedCheckpoint::parse(&std::fs::read(path("kept")).unwrap()).unwrap();
    consistent.check([&key.trim().parse().unwrap()], &kept.head()).unwrap();

    let entries = std::fs::read_to_string(path("taken/entries.jsonl")).unwrap();
    let changed: String = entries.lines().skip(1).map(|line| format!("{line}\n")).collect();
    std::fs::write(path("taken/entries.jsonl"), changed).unwrap();
    let bad = offline(&["--key", key.trim(), "--json"]);
    assert_eq!(bad.status.code(), Some(2));
    let lines = String::from_utf8(bad.stdout).unwrap();
    let complete = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let complete = complete.into_iter().find(|line| line["check"] == "complete").unwrap();
    assert!(complete["wrong"].as_u64().unwrap() > 0, "{lines}");
    let again = hub.operate(&["audit", "export", "--room", room().as_str(), "--out", &path("taken")]);
    assert_eq!(again.status.code(), Some(64));
}
