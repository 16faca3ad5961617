use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Receiver, Rotel, lab_with, open};
use crate::admin::Person;
use crate::harness::{Gateway, eventually, room};

/// Positions in the audit log of a gateway.
fn log(gateway: &Gateway) -> BTreeSet<u64> {
    gateway.database().entries().into_iter().map(|entry| entry.seq).collect()
}

fn log_signed(gateway: &Gateway) -> BTreeSet<i64> {
    log(gateway).into_iter().map(|seq| i64::try_from(seq).unwrap()).collect()
}

#[tokio::test]
async fn a_real_collector_that_is_stopped_and_started_again_gets_every_record() {
    let mut rotel = Rotel::start().await;
    let mut lab = lab_with(&["a.example"], &rotel.url());
    open(&mut lab).await;
    let mut alice = lab.device("a.example/d/alice/phone").await;
    assert!(alice.create_room(&room(), "strict", "Clubhouse").await.unwrap().answer.is_ok());
    lab.quiet().await;
    let hub = lab.gateway("a.example");
    eventually("the collector has the log", async || (rotel.positions() == log(hub)).then_some(())).await;

    rotel.stop();
    let before = log(hub);
    for number in 0..5 {
        assert!(alice.say(&room(), &format!("message {number}")).await.unwrap().answer.is_ok());
    }
    lab.quiet().await;
    let hub = lab.gateway("a.example");
    assert!(log(hub).len() >= before.len() + 5);
    assert_eq!(rotel.positions(), before);
    rotel.restart().await;
    eventually("the collector has the log again", async || (rotel.positions() == log(hub)).then_some(())).await;

    let seen = rotel.seen();
    for attribute in [
        "service.instance.id: Str(a.example)",
        "portcullis.outcome: Str(allow)",
        "portcullis.room: Str(mimi://a.example/r/clubhouse)",
        "user.id: Str(mimi://a.example/u/alice)",
        "log.record.uid: Str(",
        "security_rule.name: ",
    ] {
        assert!(seen.contains(attribute), "`{attribute}` was not seen");
    }
}

#[tokio::test]
async fn of_a_batch_that_is_refused_in_part_all_the_rest_arrives_and_the_operator_sees_what_does_not() {
    let receiver = Receiver::start();
    receiver.refuse(3);
    let mut lab = lab_with(&["a.example"], receiver.url());
    open(&mut lab).await;
    let mut alice = lab.device("a.example/d/alice/phone").await;
    assert!(alice.create_room(&room(), "strict", "Clubhouse").await.unwrap().answer.is_ok());
    for number in 0..5 {
        assert!(alice.say(&room(), &format!("message {number}")).await.unwrap().answer.is_ok());
    }
    let hub = lab.gateway("a.example");
    eventually("all but one arrive", async || {
        let mut owed = log_signed(hub);
        let told = hub.database().entries().iter().any(|entry| entry.record.kind == "audit.export.rejected");
        (owed.remove(&3) && told && receiver.positions() == owed).then_some(())
    })
    .await;
    let letters = hub.operated(&["audit", "dead-letters", "--json"]);
    let letters: Vec<Value> = letters.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(letters.len(), 1);
    assert_eq!((&letters[0]["seq"], &letters[0]["reason"]), (&3.into(), &"attribute is too odd".into()));
    assert!(hub.operated(&["audit", "dead-letters"]).contains("attribute is too odd"));

    assert_eq!(hub.operate(&["audit", "redeliver", "--from", "4"]).status.code(), Some(2));
    receiver.take(3);
    assert!(hub.operated(&["audit", "redeliver", "--from", "3", "--to", "3"]).contains("1 records are sent again"));
    eventually("it arrives", async || receiver.positions().contains(&3).then_some(())).await;
    eventually("no letter is left", async || {
        hub.operated(&["audit", "dead-letters", "--json"]).is_empty().then_some(())
    })
    .await;
    let asked = hub.database().entries().into_iter().find(|entry| entry.record.kind == "audit.export.redeliver");
    assert!(asked.unwrap().record.actor.unwrap().starts_with("host:"));
}

#[tokio::test]
async fn people_see_what_the_collector_refused_and_have_it_sent_once_more() {
    let receiver = Receiver::start();
    for position in [2, 4] {
        receiver.refuse(position);
    }
    let mut lab = lab_with(&["a.example"], receiver.url());
    open(&mut lab).await;
    let mut alice = lab.device("a.example/d/alice/phone").await;
    assert!(alice.create_room(&room(), "strict", "Clubhouse").await.unwrap().answer.is_ok());
    for number in 0..5 {
        assert!(alice.say(&room(), &format!("message {number}")).await.unwrap().answer.is_ok());
    }
    let hub = lab.gateway("a.example");
    let (viewer, moderator, ops) =
        (Person::at(hub, &["viewer"]), Person::at(hub, &["moderator"]), Person::at(hub, &["operator"]));
    let positions = async || -> Vec<Value> {
        let page = viewer.get("exports/otlp/dead-letters").await;
        page.body["items"].as_array().unwrap().iter().map(|letter| letter["position"].clone()).collect()
    };
    eventually("both are given up", async || (positions().await == [2, 4]).then_some(())).await;
    let first = viewer.get("exports/otlp/dead-letters?limit=1").await.body;
    assert_eq!(
        (&first["items"][0]["http_status"], &first["items"][0]["reason"]),
        (&200.into(), &"attribute is too odd".into())
    );
    let rest = viewer.get(&format!("exports/otlp/dead-letters?cursor={}", first["next"].as_str().unwrap())).await.body;
    assert_eq!((&rest["items"][0]["position"], rest.get("next")), (&4.into(), None));
    assert_eq!(viewer.get("exports/another/dead-letters").await.body["items"], json!([]));
    assert_eq!(moderator.get("exports/otlp/dead-letters").await.refusal(), (403, "not_allowed"));

    let path = "exports/otlp/redeliver";
    let wish = json!({ "reason": "CASE-7: the rule is mended", "from": 4 });
    for person in [&viewer, &moderator] {
        assert_eq!(person.post(path, wish.clone()).await.refusal(), (403, "not_allowed"));
    }
    for (body, refused) in [
        (json!({ "reason": "why not", "from": 5 }), (404, "not_found")),
        (json!({ "reason": "why not", "to": 1 }), (404, "not_found")),
        (json!({ "reason": " " }), (400, "malformed")),
        (json!({ "from": 4 }), (400, "malformed")),
    ] {
        assert_eq!(ops.post(path, body).await.refusal(), refused);
    }
    assert_eq!(ops.post("exports/another/redeliver", wish.clone()).await.refusal(), (404, "not_found"));
    receiver.take(4);
    let sent = ops.post(path, wish).await;
    assert_eq!((sent.status, &sent.body), (200, &json!({ "records": 1 })));
    eventually("it arrives", async || receiver.positions().contains(&4).then_some(())).await;
    eventually("one letter is left", async || (positions().await == [2]).then_some(())).await;
    lab.quiet().await;
    let entries = lab.gateway("a.example").database().entries();
    let asked: Vec<_> = entries.iter().filter(|entry| entry.record.kind == "audit.export.redeliver").collect();
    let [asked] = asked[..] else { panic!("it is recorded once") };
    assert_eq!(asked.record.actor.as_deref(), Some("operator:ops"));
    assert_eq!(asked.record.reason, "CASE-7: the rule is mended");
    let decided = entries.iter().find(|entry| entry.record.decision == sent.decision).unwrap();
    assert_eq!(
        (decided.record.kind.as_str(), &decided.record.policy[..]),
        ("decision.admin", &["admin.manage-exports".to_owned()][..])
    );
}

#[tokio::test]
async fn what_was_recorded_before_a_stop_has_left_when_the_process_ends() {
    let receiver = Receiver::start();
    let mut lab = lab_with(&["a.example"], receiver.url());
    open(&mut lab).await;
    let mut alice = lab.device("a.example/d/alice/phone").await;
    assert!(alice.create_room(&room(), "strict", "Clubhouse").await.unwrap().answer.is_ok());
    for number in 0..20 {
        assert!(alice.say(&room(), &format!("message {number}")).await.unwrap().answer.is_ok());
    }
    let hub = lab.gateway_mut("a.example");
    hub.signal("TERM");
    assert!(hub.ended().await.success());
    assert_eq!(hub.database().waiting(), 0);
    assert_eq!(receiver.positions(), log_signed(hub));
}

#[tokio::test]
async fn what_a_collector_could_not_take_before_a_stop_leaves_after_the_next_start() {
    let receiver = Receiver::start();
    let mut lab = lab_with(&["a.example"], receiver.url());
    open(&mut lab).await;
    let mut alice = lab.device("a.example/d/alice/phone").await;
    receiver.away(true);
    assert!(alice.create_room(&room(), "strict", "Clubhouse").await.unwrap().answer.is_ok());
    for number in 0..20 {
        assert!(alice.say(&room(), &format!("message {number}")).await.unwrap().answer.is_ok());
    }
    let hub = lab.gateway_mut("a.example");
    hub.signal("TERM");
    assert!(hub.ended().await.success());
    assert!(receiver.positions().len() < log(hub).len());
    receiver.away(false);
    hub.restart().await;
    eventually("the collector has the log", async || (receiver.positions() == log_signed(hub)).then_some(())).await;
}

#[tokio::test]
async fn a_batch_that_a_collector_had_read_and_not_answered_when_the_process_was_killed_leaves_again() {
    let receiver = Receiver::start();
    let mut lab = lab_with(&["a.example"], receiver.url());
    open(&mut lab).await;
    let mut alice = lab.device("a.example/d/alice/phone").await;
    assert!(alice.create_room(&room(), "strict", "Clubhouse").await.unwrap().answer.is_ok());
    lab.quiet().await;
    let hub = lab.gateway("a.example");
    eventually("the collector has the log", async || (receiver.positions() == log_signed(hub)).then_some(())).await;

    let before = receiver.positions();
    receiver.hold(true);
    for number in 0..5 {
        assert!(alice.say(&room(), &format!("message {number}")).await.unwrap().answer.is_ok());
    }
    let held =
        eventually("the collector has read a batch", async || Some(receiver.held()).filter(|held| !held.is_empty()));
    let held = held.await;
    lab.gateway_mut("a.example").kill();
    assert!(held.is_disjoint(&before) && receiver.positions() == before);

    receiver.hold(false);
    let hub = lab.gateway_mut("a.example");
    hub.restart().await;
    let all = async || (receiver.positions() == log_signed(hub)).then_some(());
    eventually("the collector has what it had read, and the rest", all).await;
    assert!(receiver.positions().is_superset(&held) && log(hub).len() >= before.len() + 5);
}
