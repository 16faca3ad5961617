use portcullis_core::member::Received;
use portcullis_store::audit::Outcome;

use super::*;
use crate::harness::ORDINARY;

/// Alice brings Mallory in, which the company of b.example does not want.
async fn mallory_comes(lab: &Lab, alice: &mut Device) -> Device {
    let mut mallory = lab.device(MALLORY).await;
    lab.bring_in(alice, &mut mallory, ORDINARY).await;
    mallory
}

fn alarm(of: &Gateway, answer: &str) {
    let denied = records(of, "arrival.commit").remove(0).record;
    assert_eq!((denied.outcome, denied.reason.as_str()), (Outcome::Alarm, "TARGET_SUSPENDED"));
    assert_eq!(denied.detail["answer"], answer);
}

fn says(device: &Device, text: &str) -> bool {
    device.heard(&room()).any(|received| match received {
        Received::Message(message) => message.content.body.as_text() == Some(text),
        _ => false,
    })
}

#[tokio::test]
async fn a_denied_commit_is_delivered_with_an_alarm() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let b = lab.gateway("b.example");
    without_mallory(b, "deliver_with_alarm").await;
    let _mallory = mallory_comes(&lab, &mut alice).await;
    assert_accepted(&alice.say(&room(), "meet mallory").await.unwrap());
    bob.until_text(&room(), "meet mallory").await.unwrap();
    lab.quiet().await;
    alarm(b, "deliver_with_alarm");
    assert_eq!(tracked_epoch(b), 2);
}

#[tokio::test]
async fn a_denied_commit_is_seen_in_a_room_that_is_not_tracked_too() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let b = lab.gateway("b.example");
    b.database().sql("UPDATE rooms SET status = 3, version = version + 1; DELETE FROM room_states");
    without_mallory(b, "deliver_with_alarm").await;
    let _mallory = mallory_comes(&lab, &mut alice).await;
    bob.until_epoch(&room(), 2).await.unwrap();
    lab.quiet().await;
    alarm(b, "deliver_with_alarm");
    let noted = records(b, "arrival.commit").pop().unwrap().record.detail.to_string();
    assert!(noted.contains("group not tracked"), "{noted}");
}

#[tokio::test]
async fn a_denied_commit_and_all_after_it_is_withheld_until_an_operator_releases_it() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let b = lab.gateway("b.example");
    without_mallory(b, "withhold").await;
    let mut mallory = mallory_comes(&lab, &mut alice).await;
    assert_accepted(&alice.say(&room(), "meet mallory").await.unwrap());
    assert_accepted(&mallory.commit_pending(&room()).await.unwrap());
    alice.until_epoch(&room(), 3).await.unwrap();
    assert_accepted(&alice.say(&room(), "and again").await.unwrap());
    lab.quiet().await;
    alarm(b, "withhold");
    assert_eq!(kinds(b, &bob), ["welcome"]);
    assert_eq!(b.database().number("SELECT count(*) FROM kept_events WHERE why = 1"), 4);
    assert_eq!(tracked_epoch(b), 3);

    let room = room();
    let released = ["room", "release", room.as_str(), "--reason", "CASE-8: accepted"];
    b.operated(&released);
    for text in ["meet mallory", "and again"] {
        bob.until_text(&room, text).await.unwrap();
    }
    assert_accepted(&alice.say(&room, "as before").await.unwrap());
    bob.until_text(&room, "as before").await.unwrap();
    lab.quiet().await;
    assert_eq!(b.database().number("SELECT count(*) FROM kept_events"), 0);
    lab.gateway("a.example").database().assert_delivered(bob.client(), &b.database());
    assert_eq!(b.operate(&released).status.code(), Some(2));
}

#[tokio::test]
async fn a_client_that_policy_lets_into_the_withheld_room_resolves_it() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let b = lab.gateway("b.example");
    without_mallory(b, "withhold").await;
    let _mallory = mallory_comes(&lab, &mut alice).await;
    lab.quiet().await;
    assert_eq!(kinds(b, &bob), ["welcome"]);
    let mut laptop = lab.device("b.example/d/bob/laptop").await;
    let (_, material) = laptop.ask_group_info(&room()).await.unwrap();
    assert_accepted(&laptop.external_join(&room(), &material.unwrap(), None).await.unwrap());
    bob.until_epoch(&room(), 3).await.unwrap();
    alice.until_epoch(&room(), 3).await.unwrap();
    assert_accepted(&alice.say(&room(), "welcome").await.unwrap());
    bob.until_text(&room(), "welcome").await.unwrap();
}

#[tokio::test]
async fn devices_are_told_to_leave_do_so_and_nothing_else_goes_in_or_out() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = with_bob_as(&lab, ORDINARY).await;
    let b = lab.gateway("b.example");
    without_mallory(b, "leave").await;
    let before = bob.member_mut().text(&room(), "do not hear me").unwrap();
    let mut mallory = mallory_comes(&lab, &mut alice).await;
    assert_accepted(&mallory.commit_pending(&room()).await.unwrap());
    alice.until_epoch(&room(), 3).await.unwrap();
    assert_accepted(&alice.say(&room(), "do not read this").await.unwrap());
    lab.quiet().await;
    alarm(b, "leave");
    assert_eq!(kinds(b, &bob), ["welcome", "commit", "leave", "commit"]);
    assert_eq!(refusal(bob.submit(&room(), &before).await.unwrap()), "not_allowed");
    assert_eq!(refusal(bob.commit_pending(&room()).await.unwrap()), "not_allowed");
    let reasons = outcomes(b, "decision.message");
    assert_eq!(reasons.last().unwrap(), &(Outcome::Deny, "room_is_being_left".to_owned()));

    // The device is told so in an epoch that is over, and proposes it once more in the next.
    bob.until_leaving(&room()).await.unwrap();
    assert_eq!(bob.member().epoch(&room()).unwrap(), 3);
    alice.until_proposed(&room(), 2).await.unwrap();
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    bob.until_removed(&room()).await.unwrap();
    assert_accepted(&alice.say(&room(), "he is gone").await.unwrap());
    lab.quiet().await;
    assert!(!says(&bob, "do not read this"));
    let withheld = (Outcome::Deny, "room_is_being_left".to_owned());
    assert_eq!(outcomes(b, "arrival.message"), [withheld]);
    assert_eq!(tracked_epoch(b), -1);
}
