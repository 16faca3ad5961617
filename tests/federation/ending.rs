//! Rooms that people of the company end, or hold.

use serde_json::json;

use super::assert_accepted;
use crate::admin::Person;
use crate::harness::{Lab, room};
use crate::rights::encoded;

const TWO: [&str; 2] = ["a.example", "b.example"];

fn path() -> String {
    format!("rooms/{}/destroy", encoded(room().as_str()))
}

#[tokio::test]
async fn a_room_that_compliance_destroys_is_over_for_everybody_and_says_who_why_and_for_which_case() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let a = lab.gateway("a.example");
    let order = json!({ "reason": "made for fraud", "case": "CASE-7" });
    for role in ["moderator", "operator", "admin", "auditor"] {
        assert_eq!(Person::at(a, &[role]).post(&path(), order.clone()).await.refusal(), (403, "not_allowed"), "{role}");
    }
    assert_accepted(&alice.say(&room(), "still here").await.unwrap());
    let compliance = Person::at(a, &["compliance"]);
    let long = json!({ "reason": "x", "case": "x".repeat(129) });
    assert_eq!(compliance.post(&path(), long).await.refusal(), (400, "malformed"));
    // Nobody of the company is in the room, and it is frozen until somebody has looked.
    a.operated(&["room", "freeze", room().as_str(), "--reason", "looking", "--case", "CASE-7"]);
    let told = compliance.post(&path(), order.clone()).await;
    assert_eq!((told.status, &told.body), (200, &json!({ "rooms": [room()] })), "{told:?}");
    bob.until_proposed(&room(), 2).await.unwrap();
    assert!(alice.say(&room(), "hello?").await.unwrap().answer.is_err());
    assert_eq!(compliance.post(&path(), order).await.refusal(), (404, "not_found"));
    lab.quiet().await;
    let heard = a.database().stream(alice.client()).into_iter().filter(|row| row.item.kind == "room_destroyed");
    assert_eq!(heard.count(), 1);
    let entries = a.database().entries();
    let [ended] = &entries.iter().filter(|entry| entry.record.kind == "room.destroyed").collect::<Vec<_>>()[..] else {
        panic!("one room");
    };
    assert_eq!(ended.record.actor.as_deref(), Some("operator:ops"));
    assert_eq!(
        (&ended.record.detail["why"], &ended.record.detail["case"]),
        (&json!("made for fraud"), &json!("CASE-7"))
    );
    let decision = told.decision.unwrap();
    let decided = entries.iter().find(|entry| entry.record.decision == Some(decision)).unwrap();
    assert_eq!(
        (decided.record.kind.as_str(), &decided.record.policy),
        ("decision.admin", &vec!["admin.destroy-room".to_owned()])
    );
    assert_eq!(a.database().number("SELECT count(*) FROM rooms WHERE status = 4"), 1);
}

#[tokio::test]
async fn a_room_is_destroyed_from_the_host_and_neither_there_nor_at_the_door_while_it_is_held() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let a = lab.gateway("a.example");
    a.operated(&["room", "freeze", room().as_str(), "--reason", "CASE-7"]);
    // The kind of a legal hold.
    a.database().sql("UPDATE room_restrictions SET kind = 1 WHERE kind = 0; UPDATE rooms SET version = version + 1");
    let lounge = room();
    let order = ["room", "destroy", lounge.as_str(), "--case", "CASE-8", "--reason", "made for fraud"];
    let refused = a.operate(&order);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("legal hold"));
    let compliance = Person::at(a, &["compliance"]);
    assert_eq!(compliance.post(&path(), json!({ "reason": "x" })).await.status, 403);
    a.database().sql("DELETE FROM room_restrictions; UPDATE rooms SET version = version + 1");
    a.operated(&order);
    bob.until_proposed(&room(), 2).await.unwrap();
    assert!(alice.say(&room(), "hello?").await.unwrap().answer.is_err());
    assert_eq!(a.operate(&order).status.code(), Some(2), "there is no such room any more");
    lab.quiet().await;
    let entries = a.database().entries();
    let held = entries.iter().filter(|entry| entry.record.reason == "room.legal_hold");
    assert_eq!(held.count(), 2);
    let by_hand = entries.iter().find(|entry| entry.record.kind == "moderation.destroy").unwrap();
    assert!(by_hand.record.actor.as_deref().unwrap().starts_with("host:"));
    assert_eq!(by_hand.record.detail["case"], "CASE-8");
}
