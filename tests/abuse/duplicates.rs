use std::fmt::Write as _;

use portcullis_core::wire::report_abuse::AbusiveMessage;

use super::{TWO, hand_in, moderator, queue, report, said};
use crate::federation::assert_accepted;
use crate::harness::{Cluster, Lab, room};

#[tokio::test]
async fn what_the_same_user_reports_once_more_is_counted_and_not_queued() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let (a, b) = (lab.gateway("a.example"), lab.gateway("b.example"));
    let moderator = moderator(&lab);
    let first = said(&mut alice, &mut bob, &room(), "you fool").await;
    let second = said(&mut alice, &mut bob, &room(), "you thief").await;
    let once = report(Some(bob.user()), alice.user(), vec![first.clone(), first.clone()]);
    for _ in 0..3 {
        hand_in(b, bob.user(), &once).await.unwrap();
    }
    let [shown] = &queue(&moderator).await[..] else { panic!("one report") };
    assert_eq!((&shown["messages"], &shown["repeats"]), (&1.into(), &2.into()));

    // What is new of a report is one of its own, and so is what somebody else reports.
    hand_in(b, bob.user(), &report(Some(bob.user()), alice.user(), vec![first.clone(), second])).await.unwrap();
    hand_in(a, alice.user(), &report(Some(alice.user()), alice.user(), vec![first])).await.unwrap();
    let counts: Vec<_> = queue(&moderator)
        .await
        .iter()
        .map(|shown| (shown["messages"].as_u64().unwrap(), shown["repeats"].as_u64().unwrap()))
        .collect();
    assert_eq!(counts, [(1, 3), (1, 0), (1, 0)]);
}

#[tokio::test]
async fn a_reporter_has_its_limits() {
    let mut lab = Lab::new(&TWO);
    lab.gateway("a.example").configure("limits: { reports: { per_minute: 1, burst: 2 } }\n");
    lab.start().await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let (a, b) = (lab.gateway("a.example"), lab.gateway("b.example"));
    let message = said(&mut alice, &mut bob, &room(), "you fool").await;
    let complaint = report(Some(bob.user()), alice.user(), vec![message.clone()]);
    for _ in 0..2 {
        hand_in(b, bob.user(), &complaint).await.unwrap();
    }
    let told = hand_in(b, bob.user(), &complaint).await.unwrap_err();
    assert_eq!(told, (429, "too_many_requests".to_owned()));
    // Each has its own.
    hand_in(a, alice.user(), &report(Some(alice.user()), alice.user(), vec![message])).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_proven_counts_against_who_reports_it() {
    let mut lab = Lab::new(&TWO);
    lab.gateway("a.example").configure("limits: { unproven_per_day: 3 }\n");
    lab.start().await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let b = lab.gateway("b.example");
    let good = said(&mut alice, &mut bob, &room(), "you fool").await;
    let forged = |number: u8| {
        let mut forged = good.clone();
        forged.frank.server_frank[0] ^= number;
        forged
    };
    let complaint = |messages: Vec<AbusiveMessage>| report(Some(bob.user()), alice.user(), messages);
    hand_in(b, bob.user(), &complaint(vec![forged(1), forged(2)])).await.unwrap();
    // What is good counts for nobody.
    hand_in(b, bob.user(), &complaint(vec![good.clone()])).await.unwrap();
    hand_in(b, bob.user(), &complaint(vec![forged(3)])).await.unwrap();
    let told = hand_in(b, bob.user(), &complaint(vec![good.clone()])).await.unwrap_err();
    assert_eq!(told, (429, "too_many_requests".to_owned()));
}

#[tokio::test]
async fn replicas_frank_with_one_key_and_queue_one_report_once() {
    let cluster = Cluster::start();
    let mut lab = Lab::new(&TWO);
    let replicas = lab.replicas("a.example", cluster.url()).await;
    lab.gateway_mut("b.example").restart().await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut messages = Vec::new();
    for number in 0..4 {
        let mut text = String::new();
        write!(text, "message {number}").unwrap();
        messages.push(said(&mut alice, &mut bob, &room(), &text).await);
    }
    let complaint = report(Some(bob.user()), alice.user(), messages);
    let b = lab.gateway("b.example");
    let handed = futures_util::future::join_all((0..8).map(|_| hand_in(b, bob.user(), &complaint))).await;
    assert!(handed.iter().all(Result::is_ok), "{handed:?}");
    let database = replicas.gateways[0].database();
    assert_eq!(database.number("SELECT count(*) FROM hub_keys"), 1);
    assert_eq!(database.number("SELECT count(*) FROM reports"), 1);
    assert_eq!(database.number("SELECT CAST(sum(proven) AS BIGINT) FROM reports"), 4);
    assert_eq!(database.number("SELECT CAST(sum(repeats) AS BIGINT) FROM reports"), 7);
    assert_accepted(&alice.say(&room(), "still here").await.unwrap());
}
