use portcullis_core::franking::Franking;
use portcullis_core::wire::Wire;
use portcullis_core::wire::frank::Frank;
use portcullis_core::wire::submit::{SubmitMessageRequest, SubmitMessageResponse, SubmitOutcome};

use crate::harness::{Gateway, Lab, room};

const TWO: [&str; 2] = ["a.example", "b.example"];

/// The frank in the hub's own answer.
async fn answered(gateway: &Gateway, request: &SubmitMessageRequest) -> Option<Frank> {
    let answer = gateway.client(&request.sender).submit(&room(), request.encode()).await.unwrap().value;
    let SubmitMessageResponse { outcome: SubmitOutcome::Accepted { frank, .. }, .. } = answer else {
        panic!("not accepted: {answer:?}")
    };
    frank
}

#[tokio::test]
async fn every_accepted_message_is_franked_by_its_hub_for_sender_and_receivers_alike() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let by_bob = bob.member_mut().text(&room(), "from elsewhere").unwrap();
    let frank = answered(lab.gateway("b.example"), &by_bob).await.unwrap();
    let heard = alice.until_text(&room(), "from elsewhere").await.unwrap();
    let Franking::Verified(evidence) = heard.franking else { panic!("{:?}", heard.franking) };
    assert_eq!(evidence.frank, frank);
    assert_eq!((&evidence.context.sender, &evidence.context.room), (bob.user(), &room()));

    // The same message again has the same answer, and so the same frank.
    let by_alice = alice.member_mut().text(&room(), "from here").unwrap();
    let a = lab.gateway("a.example");
    let first = answered(a, &by_alice).await;
    assert_eq!(first, answered(a, &by_alice).await);
    let heard = bob.until_text(&room(), "from here").await.unwrap();
    let Franking::Verified(evidence) = heard.franking else { panic!("{:?}", heard.franking) };
    assert_eq!(Some(evidence.frank), first);
}

#[tokio::test]
async fn messages_that_come_at_once_are_franked_each_for_the_time_it_was_accepted_at() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let gateway = lab.gateway("a.example");
    // A client takes few messages out of their sender's order.
    let texts: Vec<String> = (0..4).map(|number| format!("message {number}")).collect();
    let requests: Vec<_> = texts.iter().map(|text| alice.member_mut().text(&room(), text).unwrap()).collect();
    futures_util::future::join_all(requests.iter().map(|request| answered(gateway, request))).await;
    for text in &texts {
        let heard = bob.until_text(&room(), text).await.unwrap();
        assert!(matches!(heard.franking, Franking::Verified(_)), "{text}: {:?}", heard.franking);
    }
}

#[tokio::test]
async fn a_gateway_that_cannot_open_its_hub_keys_does_not_start() {
    let mut lab = Lab::open(&TWO).await;
    let a = lab.gateway_mut("a.example");
    assert_eq!(a.database().number("SELECT count(*) FROM hub_keys"), 1);
    a.kill();
    let file = a.folder.join("keys/sealing.key");
    let good = std::fs::read_to_string(&file).unwrap();
    // 32 octets of zero in base64.
    std::fs::write(&file, format!("{}=", "A".repeat(43))).unwrap();
    a.start();
    assert!(!a.ended().await.success());
    assert!(a.log().contains("cannot open the keys that the database is sealed under"), "{}", a.log());
    std::fs::write(&file, good).unwrap();
    a.restart().await;
    assert_eq!(a.database().number("SELECT count(*) FROM hub_keys"), 1);
}
