use portcullis_core::content::Content;
use portcullis_core::time::Millis;
use portcullis_core::wire::report_abuse::AbusiveMessage;
use portcullis_core::wire::uri::RoomUri;

use super::{TWO, hand_in, moderator, queue, report, said, verdicts};
use crate::harness::{ADMIN, Lab, bring_into, room};

#[tokio::test]
async fn what_a_member_reports_as_it_was_franked_is_proven_at_the_hub_and_from_elsewhere() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let moderator = moderator(&lab);
    let by_alice = said(&mut alice, &mut bob, &room(), "you fool").await;
    let complaint = report(Some(bob.user()), alice.user(), vec![by_alice]);
    hand_in(lab.gateway("b.example"), bob.user(), &complaint).await.unwrap();
    assert_eq!(verdicts(&moderator).await, ["proven"]);
    let by_bob = said(&mut bob, &mut alice, &room(), "you too").await;
    let complaint = report(Some(alice.user()), bob.user(), vec![by_bob]);
    hand_in(lab.gateway("a.example"), alice.user(), &complaint).await.unwrap();
    assert_eq!(verdicts(&moderator).await, ["proven"]);
    let shown: Vec<_> = queue(&moderator).await;
    assert_eq!(shown.len(), 2);
    assert_eq!(
        (&shown[0]["reporter"], &shown[0]["alleged"]),
        (&bob.user().as_str().into(), &alice.user().as_str().into())
    );
    assert_eq!((&shown[0]["state"], &shown[0]["proven"], &shown[0]["version"]), (&"new".into(), &1.into(), &1.into()));
}

#[tokio::test]
async fn of_what_is_reported_in_other_words_of_another_time_room_or_frank_nothing_is_proven() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let attic = RoomUri::parse("mimi://a.example/r/attic").unwrap();
    assert!(alice.create_room(&attic, "strict", "Attic").await.unwrap().answer.is_ok());
    bring_into(&attic, &mut alice, &mut bob, ADMIN).await;
    let good = said(&mut alice, &mut bob, &room(), "you fool").await;
    let elsewhere = said(&mut alice, &mut bob, &attic, "you fool").await;
    let content = |text: &str| Content::text(alice.user(), &room(), text, Content::decode(&good.content).unwrap().salt);
    let with = |change: fn(&mut AbusiveMessage)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed
    };
    let messages = vec![
        AbusiveMessage { content: content("you thief").encode(), ..good.clone() },
        with(|message| message.accepted_at = Millis(message.accepted_at.0 + 1)),
        with(|message| message.accepted_at = Millis(u64::MAX)),
        with(|message| message.accepted_at = Millis(1)),
        elsewhere,
        with(|message| message.frank.signature[0] ^= 1),
        with(|message| message.frank.signature_suite = 3),
        with(|message| message.content.push(0)),
        good,
    ];
    let complaint = report(Some(bob.user()), alice.user(), messages);
    hand_in(lab.gateway("b.example"), bob.user(), &complaint).await.unwrap();
    let expected = [
        "not_franked_here",
        "not_franked_here",
        "hub_key_gone",
        "hub_key_gone",
        "another_room",
        "signature_invalid",
        "another_suite",
        "content_unreadable",
        "proven",
    ];
    assert_eq!(verdicts(&moderator(&lab)).await, expected);
    let [shown] = &queue(&moderator(&lab)).await[..] else { panic!("one report") };
    assert_eq!((&shown["messages"], &shown["proven"]), (&9.into(), &1.into()));
}

#[tokio::test]
async fn nobody_is_held_to_what_somebody_else_has_said() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let by_bob = said(&mut bob, &mut alice, &room(), "you fool").await;
    // Bob reports his own words as Alice's.
    let complaint = report(Some(bob.user()), alice.user(), vec![by_bob]);
    hand_in(lab.gateway("b.example"), bob.user(), &complaint).await.unwrap();
    assert_eq!(verdicts(&moderator(&lab)).await, ["another_sender"]);
}

#[tokio::test]
async fn a_report_of_more_than_sixteen_messages_is_none() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let message = said(&mut alice, &mut bob, &room(), "you fool").await;
    let complaint = report(Some(bob.user()), alice.user(), vec![message; 17]);
    let refused = hand_in(lab.gateway("b.example"), bob.user(), &complaint).await.unwrap_err();
    assert_eq!(refused, (400, "malformed".to_owned()));
    assert!(queue(&moderator(&lab)).await.is_empty());
}
