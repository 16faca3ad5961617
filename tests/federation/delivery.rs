use portcullis_core::member::Received;
use serde_json::Value;

use super::assert_accepted;
use crate::harness::{ADMIN, Gateway, Lab, ORDINARY, eventually, room};

const TWO: [&str; 2] = ["a.example", "b.example"];
const LANE: [&str; 4] = ["--room", "mimi://a.example/r/clubhouse", "--peer", "b.example"];

/// The lane to b.example as the operator of the hub sees it; `Null` when it owes nothing.
fn lane(hub: &Gateway) -> Value {
    let printed = hub.operated(&["outbox", "lanes", "--json"]);
    let mut lanes = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lanes.find(|lane| lane["peer"] == "b.example").unwrap_or_default()
}

async fn parked(hub: &Gateway) -> Value {
    eventually("the lane is parked", async || {
        let lane = lane(hub);
        (lane["state"] == "parked").then_some(lane)
    })
    .await
}

fn texts<'a>(heard: impl Iterator<Item = &'a Received>) -> Vec<&'a str> {
    heard
        .filter_map(|received| match received {
            Received::Message(message) => message.content.body.as_text(),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn what_a_peer_missed_while_it_was_away_comes_in_order_when_it_is_back() {
    let mut lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    lab.gateway_mut("b.example").kill();
    let said: Vec<String> = (0..5).map(|number| format!("message {number}")).collect();
    for text in &said {
        assert_accepted(&alice.say(&room(), text).await.unwrap());
    }
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    let lane = eventually("an attempt fails", async || {
        let lane = lane(lab.gateway("a.example"));
        (lane["attempts"].as_u64() > Some(0)).then_some(lane)
    })
    .await;
    assert_eq!((&lane["state"], &lane["owed"]), (&"open".into(), &6.into()));
    lab.gateway_mut("b.example").restart().await;
    bob.until_epoch(&room(), 2).await.unwrap();
    assert_eq!(texts(bob.heard(&room())), said);
    lab.quiet().await;
    let (a, b) = (lab.gateway("a.example").database(), lab.gateway("b.example").database());
    a.assert_delivered(bob.client(), &b);
}

#[tokio::test]
async fn nothing_overtakes_what_a_peer_refuses_until_an_operator_has_left_it_out() {
    let lab = Lab::open(&TWO).await;
    let hub = lab.gateway("a.example");
    let mut alice = lab.device("a.example/d/alice/phone").await;
    let mut bob = lab.device("b.example/d/bob/phone").await;
    assert_accepted(&alice.create_room(&room(), "strict", "Clubhouse").await.unwrap());
    lab.bring_in_ghost(&mut alice, ORDINARY).await;
    let stuck = parked(hub).await;
    assert_eq!((&stuck["http_status"], &stuck["owed"]), (&404.into(), &1.into()));

    bob.publish_key_packages(1).await.unwrap();
    let (_, packages) = alice.claim(bob.user(), &room()).await.unwrap();
    assert_accepted(&alice.add(&room(), packages, (bob.user().clone(), ADMIN)).await.unwrap());
    assert_accepted(&alice.say(&room(), "welcome").await.unwrap());
    let retry: Vec<&str> = ["outbox", "retry"].into_iter().chain(LANE).collect();
    hub.operated(&retry);
    assert_eq!(parked(hub).await["owed"], 4, "something overtook it");
    assert!(lab.gateway("b.example").database().stream(bob.client()).is_empty());

    // Bob's provider had a client in the room before him, so it is owed his commit too, and has nobody to give it to.
    for reason in ["the ghost never was a client", "nobody to read it"] {
        let skip: Vec<&str> = ["outbox", "skip", "--reason", reason].into_iter().chain(LANE).collect();
        hub.operated(&skip);
        if reason != "nobody to read it" {
            parked(hub).await;
        }
    }
    bob.until_text(&room(), "welcome").await.unwrap();
    lab.quiet().await;
    let skipped: Vec<_> =
        hub.database().entries().into_iter().filter(|entry| entry.record.kind == "outbox.skip").collect();
    assert_eq!(skipped.len(), 2);
    assert!(format!("{:?}", skipped[0].record).contains("the ghost never was a client"), "{:?}", skipped[0].record);
}

#[tokio::test]
async fn what_is_sent_again_is_the_same_bytes_and_reaches_the_device_no_second_time() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    for text in ["one", "two", "three"] {
        assert_accepted(&alice.say(&room(), text).await.unwrap());
        bob.until_text(&room(), text).await.unwrap();
    }
    lab.quiet().await;
    let (hub, b) = (lab.gateway("a.example"), lab.gateway("b.example").database());
    let before = b.stream(bob.client());
    let second = hub.database().events().iter().rev().nth(1).unwrap().seq.to_string();
    let resend: Vec<&str> = ["outbox", "resend", "--from", &second].into_iter().chain(LANE).collect();
    assert_eq!(hub.operated(&resend), "2 messages are owed again\n");
    eventually("they are delivered again", async || lane(hub).is_null().then_some(())).await;
    lab.quiet().await;
    assert_eq!(b.stream(bob.client()), before);
    assert_accepted(&alice.say(&room(), "four").await.unwrap());
    bob.until_text(&room(), "four").await.unwrap();
}

#[tokio::test]
async fn a_lane_that_is_not_parked_is_not_skipped() {
    let lab = Lab::open(&TWO).await;
    let (_alice, _bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    let skip: Vec<&str> = ["outbox", "skip", "--reason", "why not"].into_iter().chain(LANE).collect();
    assert_eq!(lab.gateway("a.example").operate(&skip).status.code(), Some(2));
}
