use portcullis::peer::{Endpoint, PeerError};
use portcullis_core::wire::Wire;
use portcullis_core::wire::notify::{FanoutMessage, MOST_MESSAGES};

use super::assert_accepted;
use crate::harness::{Gateway, Lab, room};

const TWO: [&str; 2] = ["a.example", "b.example"];

/// Delivers to b.example in the name of the hub.
async fn notify(hub: &Gateway, body: Vec<u8>) -> Result<(), PeerError> {
    hub.post("b.example", Endpoint::Notify(room()), body).await.map(drop)
}

#[tokio::test]
async fn a_message_that_is_notified_again_alone_and_in_another_batch_reaches_the_device_once() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    for text in ["one", "two"] {
        assert_accepted(&alice.say(&room(), text).await.unwrap());
        bob.until_text(&room(), text).await.unwrap();
    }
    lab.quiet().await;
    let (a, b) = (lab.gateway("a.example"), lab.gateway("b.example").database());
    let before = b.stream(bob.client());
    let events: Vec<Vec<u8>> = a.database().events().into_iter().map(|event| event.event.fanout).collect();
    let [.., one, two] = &events[..] else { panic!("there are two messages") };
    for body in [one.clone(), [one.as_slice(), two].concat(), [two.as_slice(), one].concat(), one.clone()] {
        notify(a, body).await.unwrap();
    }
    lab.quiet().await;
    assert_eq!(b.stream(bob.client()), before);
}

#[tokio::test]
async fn messages_that_are_notified_out_of_order_reach_the_device_once_each() {
    let mut lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    lab.gateway_mut("b.example").kill();
    for text in ["one", "two"] {
        assert_accepted(&alice.say(&room(), text).await.unwrap());
    }
    let events: Vec<Vec<u8>> =
        lab.gateway("a.example").database().events().into_iter().map(|event| event.event.fanout).collect();
    lab.gateway_mut("a.example").kill();
    lab.gateway_mut("b.example").restart().await;
    let [.., one, two] = &events[..] else { panic!("there are two messages") };
    for body in [two, one] {
        notify(lab.gateway("a.example"), body.clone()).await.unwrap();
    }
    bob.until_text(&room(), "one").await.unwrap();
    bob.until_text(&room(), "two").await.unwrap();
    lab.gateway("a.example").database().sql("UPDATE outbox_lanes SET lease_until = 0");
    lab.gateway_mut("a.example").restart().await;
    lab.quiet().await;
    let payloads: Vec<Vec<u8>> =
        lab.gateway("b.example").database().stream(bob.client()).into_iter().map(|row| row.item.payload).collect();
    let [.., first, second] = &payloads[..] else { panic!("there are two messages") };
    assert_eq!((first, second), (two, one));
    for payload in [one, two] {
        assert_eq!(payloads.iter().filter(|other| *other == payload).count(), 1);
    }
}

#[tokio::test]
async fn a_welcome_for_a_key_package_that_nobody_here_has_is_not_found_and_leaves_nothing() {
    let lab = Lab::open(&["a.example", "b.example", "c.example"]).await;
    let (_alice, _bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    let (a, c) = (lab.gateway("a.example"), lab.gateway("c.example"));
    let welcome =
        |event: &portcullis_store::events::Event| event.event.kind == portcullis_store::events::EventKind::Welcome;
    let welcome = a.database().events().into_iter().find(welcome).unwrap();
    assert!(FanoutMessage::decode(&welcome.event.fanout).is_ok());
    let answer = a.post("c.example", Endpoint::Notify(room()), welcome.event.fanout).await;
    assert_eq!(answer.unwrap_err().status(), Some(404));
    assert_eq!(c.database().number("SELECT count(*) FROM stream_rows"), 0);
    assert_eq!(c.database().number("SELECT count(*) FROM inbox_messages"), 0);
}

#[tokio::test]
async fn a_batch_of_more_messages_than_are_taken_is_malformed() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    assert_accepted(&alice.say(&room(), "one").await.unwrap());
    bob.until_text(&room(), "one").await.unwrap();
    lab.quiet().await;
    let hub = lab.gateway("a.example");
    let message = hub.database().events().pop().unwrap().event.fanout;
    notify(hub, message.repeat(MOST_MESSAGES)).await.unwrap();
    let refused = notify(hub, message.repeat(MOST_MESSAGES + 1)).await.unwrap_err();
    assert_eq!(refused.status(), Some(400));
}

#[tokio::test]
async fn nobody_but_the_hub_of_a_room_notifies_of_it() {
    let lab = Lab::open(&["a.example", "b.example", "c.example"]).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    assert_accepted(&alice.say(&room(), "one").await.unwrap());
    bob.until_text(&room(), "one").await.unwrap();
    lab.quiet().await;
    let event = lab.gateway("a.example").database().events().pop().unwrap();
    let answer = lab.gateway("c.example").post("b.example", Endpoint::Notify(room()), event.event.fanout).await;
    assert_eq!(answer.unwrap_err().status(), Some(403));
}

#[tokio::test]
async fn a_stream_that_breaks_again_and_again_loses_and_repeats_nothing() {
    let mut lab = Lab::open(&TWO).await;
    let (mut alice, bob) = lab.alice_and_bob().await;
    let door = lab.gateway("b.example").client(bob.user());
    let mut seen = Vec::new();
    let mut position = 0;
    for round in 0..3 {
        for number in 0..3 {
            assert_accepted(&alice.say(&room(), &format!("{round}.{number}")).await.unwrap());
        }
        // One event is left unread each time, so that the next stream starts behind the newest.
        let mut stream = door.events(bob.client(), position);
        for _ in 0..3 {
            let next = stream.next().await.unwrap();
            seen.push((next.position, next.event.payload.0));
        }
        position = stream.position();
        drop(stream);
        lab.quiet().await;
        lab.gateway_mut("b.example").kill();
        lab.gateway_mut("b.example").restart().await;
    }
    let mut stream = door.events(bob.client(), position);
    let rows = lab.gateway("b.example").database().stream(bob.client());
    while seen.len() < rows.len() {
        let next = stream.next().await.unwrap();
        seen.push((next.position, next.event.payload.0));
    }
    let rows: Vec<_> = rows.into_iter().map(|row| (row.position, row.item.payload)).collect();
    assert_eq!(seen, rows);
}
