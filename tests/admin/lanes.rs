use portcullis::member::Device;
use portcullis::provider::ChangeConsent;
use portcullis_core::wire::consent::ConsentOperation;
use serde_json::{Value, json};

use super::{Person, ROOM};
use crate::harness::{Lab, ORDINARY, eventually, room};

const TWO: [&str; 2] = ["a.example", "b.example"];

async fn parked(ops: &Person) -> Value {
    eventually("the lane is parked", async || {
        let lanes = ops.get("lanes?state=parked").await.good().body;
        lanes["items"].get(0).cloned()
    })
    .await
}

/// Alice with a room whose lane to b.example is stuck on a Welcome that b.example does not know what to do with.
async fn stuck(lab: &Lab) -> Device {
    let mut alice = lab.device("a.example/d/alice/phone").await;
    assert!(alice.create_room(&room(), "strict", "Clubhouse").await.unwrap().answer.is_ok());
    lab.bring_in_ghost(&mut alice, ORDINARY).await;
    alice
}

#[tokio::test]
async fn a_parked_lane_is_shown_tried_again_and_goes_on_when_its_first_message_is_left_out() {
    let lab = Lab::open(&TWO).await;
    let hub = lab.gateway("a.example");
    let _alice = stuck(&lab).await;
    let ops = Person::at(hub, &["operator"]);
    let lane = parked(&ops).await;
    assert_eq!((&lane["room"], &lane["peer"]), (&room().as_str().into(), &"b.example".into()));
    assert_eq!((&lane["http_status"], &lane["owed"]), (&404.into(), &1.into()));
    let path = format!("lanes/{ROOM}/b.example");
    let shown = ops.get(&path).await.good().body;
    assert_eq!((&shown["state"], &shown["messages"][0]["position"]), (&"parked".into(), &1.into()));
    assert_eq!(ops.get("status").await.good().body["lanes"]["parked"], 1);

    let tried = ops.post(&format!("{path}/retry"), json!({ "reason": "it may know it now" })).await.good();
    parked(&ops).await;
    let skipped = ops.post(&format!("{path}/skip"), json!({ "reason": "CASE-7: no such client" })).await.good();
    assert_eq!(skipped.body, json!({ "messages": 1 }));
    lab.quiet().await;
    assert_eq!(ops.get("lanes").await.good().body["items"], json!([]));
    let again = ops.post(&format!("{path}/skip"), json!({ "reason": "once more" })).await;
    assert_eq!(again.refusal(), (409, "conflict"));
    lab.quiet().await;
    let entries = hub.database().entries();
    let by_people: Vec<_> =
        entries.iter().filter(|entry| entry.record.actor.as_deref() == Some("operator:ops")).collect();
    let of = |kind: &str| by_people.iter().filter(|entry| entry.record.kind == kind).collect::<Vec<_>>();
    let [skip] = of("outbox.skip")[..] else { panic!("it is recorded once") };
    assert_eq!(skip.record.reason, "CASE-7: no such client");
    assert_eq!(of("outbox.retry").len(), 1);
    let decisions: Vec<_> = of("decision.admin").iter().map(|entry| entry.record.decision).collect();
    assert_eq!(decisions, [tried.decision, skipped.decision]);
}

#[tokio::test]
async fn what_a_room_owed_from_an_event_on_is_owed_again_byte_by_byte() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    for text in ["one", "two"] {
        assert!(alice.say(&room(), text).await.unwrap().answer.is_ok());
        bob.until_text(&room(), text).await.unwrap();
    }
    lab.quiet().await;
    let (hub, b) = (lab.gateway("a.example"), lab.gateway("b.example").database());
    let before = b.stream(bob.client());
    let from = hub.database().events().last().unwrap().seq;
    let ops = Person::at(hub, &["operator"]);
    let resend = |path: String| {
        let ops = &ops;
        async move { ops.post(&path, json!({ "reason": "its disk was lost", "from": from })).await }
    };
    assert_eq!(resend(format!("lanes/{ROOM}/b.example/resend")).await.good().body, json!({ "messages": 1 }));
    assert_eq!(resend(format!("lanes/{ROOM}/z.example/resend")).await.refusal(), (404, "not_found"));
    lab.quiet().await;
    assert_eq!(b.stream(bob.client()), before);
    assert!(alice.say(&room(), "three").await.unwrap().answer.is_ok());
    bob.until_text(&room(), "three").await.unwrap();
}

#[tokio::test]
async fn who_may_only_look_at_lanes_changes_none() {
    let lab = Lab::open(&TWO).await;
    let (_alice, _bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    let path = format!("lanes/{ROOM}/b.example");
    for (roles, sees) in [(["auditor"], 200), (["compliance"], 403)] {
        let person = Person::at(lab.gateway("a.example"), &roles);
        assert_eq!(person.get(&path).await.status, sees, "{roles:?}");
        for (change, body) in [
            ("retry", json!({ "reason": "why not" })),
            ("skip", json!({ "reason": "why not" })),
            ("resend", json!({ "reason": "why not", "from": 1 })),
        ] {
            let refused = person.post(&format!("{path}/{change}"), body).await;
            assert_eq!(refused.refusal(), (403, "not_allowed"), "{roles:?} {change}");
        }
    }
}

#[tokio::test]
async fn what_a_provider_refuses_to_be_told_of_consent_is_shown_tried_again_and_given_up() {
    let lab = Lab::open(&TWO).await;
    let (a, b) = (lab.gateway("a.example"), lab.gateway("b.example"));
    let alice = lab.device("a.example/d/alice/phone").await;
    let mut bob = lab.device("b.example/d/bob/phone").await;
    let (ops, at_b) = (Person::at(a, &["operator"]), Person::at(b, &["operator"]));
    at_b.decide("a.example", "block").await.good();
    let ask = |operation, room| ChangeConsent { operation, user: bob.user().clone(), room, key_packages: Vec::new() };
    let door = a.client(alice.user());
    for room in [None, Some(room())] {
        door.change_consent(&ask(ConsentOperation::Request, room)).await.unwrap();
    }
    let letters = eventually("both are parked", async || {
        let letters = ops.get("letters").await.good().body["items"].clone();
        letters.as_array()?.iter().filter(|letter| letter["state"] == "parked").count().eq(&2).then_some(letters)
    })
    .await;
    assert_eq!((&letters[0]["operation"], &letters[0]["http_status"]), (&"request".into(), &403.into()));
    assert_eq!((&letters[1]["room"], &letters[1]["peer"]), (&room().as_str().into(), &"b.example".into()));
    let status = ops.get("status").await.good().body;
    assert_eq!(status["letters"], json!({ "owing": 2, "parked": 2 }));
    assert_eq!(a.operated(&["letters", "list", "--parked", "--json"]).lines().count(), 2);
    assert!(a.operated(&["letters", "list"]).contains("parked"));
    at_b.decide("a.example", "allow").await.good();
    let tried = ops.post("letters/b.example/retry", json!({ "reason": "they let us in again" })).await.good();
    assert_eq!(tried.body, json!({ "messages": 2 }));
    bob.until_consent(ConsentOperation::Request, 2).await.unwrap();
    lab.quiet().await;
    assert_eq!(ops.get("letters").await.good().body["items"], json!([]));
    let none = ops.post("letters/b.example/skip", json!({ "reason": "there is nothing left" })).await;
    assert_eq!(none.refusal(), (404, "not_found"));
    assert_eq!(a.operate(&["letters", "skip", "b.example", "--reason", "none"]).status.code(), Some(2));
    assert_eq!(a.operate(&["letters", "retry", "c.example", "--reason", "none"]).status.code(), Some(2));
    assert!(a.operated(&["letters", "retry", "b.example", "--reason", "once more"]).starts_with("0 letters"));
}
