use portcullis_core::wire::Wire;
use portcullis_core::wire::notify::FanoutMessage;
use portcullis_store::audit::Outcome;

use super::*;

/// Two commits and a message after each, accepted while the follower is away. Gives them, the hub being stopped too.
async fn missed(lab: &mut Lab) -> (Device, Device, Vec<Vec<u8>>) {
    let (mut alice, bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    let before = fanned_out(lab).len();
    lab.gateway_mut("b.example").kill();
    for text in ["one", "two"] {
        assert_accepted(&alice.commit_pending(&room()).await.unwrap());
        assert_accepted(&alice.say(&room(), text).await.unwrap());
    }
    let events = fanned_out(lab).split_off(before);
    lab.gateway_mut("a.example").kill();
    lab.gateway_mut("b.example").restart().await;
    (alice, bob, events)
}

/// Waits until a gateway has nothing to do, whether its peers are there or not.
async fn rest(gateway: &Gateway) {
    eventually("it comes to rest", async || (gateway.database().waiting() == 0).then_some(())).await;
}

fn epochs(of: &Gateway, device: &Device) -> Vec<u64> {
    let rows = of.database().stream(device.client());
    let fanouts = rows.iter().filter_map(|row| FanoutMessage::decode(&row.item.payload).ok());
    fanouts.filter_map(|fanout| fanout.body.message().epoch()).collect()
}

#[tokio::test]
async fn what_comes_before_its_predecessor_waits_for_it() {
    let mut lab = Lab::new(&TWO);
    for gateway in &mut lab.gateways {
        gateway.restart().await;
    }
    let (_alice, mut bob, events) = missed(&mut lab).await;
    for event in events.iter().rev() {
        notify(&lab, event.clone()).await;
    }
    bob.until_text(&room(), "one").await.unwrap();
    bob.until_text(&room(), "two").await.unwrap();
    let b = lab.gateway("b.example");
    assert_eq!(kinds(b, &bob), ["welcome", "commit", "application", "commit", "application"]);
    assert_eq!(tracked_epoch(b), 3);
    assert_eq!(b.database().number("SELECT count(*) FROM kept_events"), 0);
    rest(b).await;
    assert_eq!(outcomes(b, "follower.lost"), []);
}

#[tokio::test]
async fn a_batch_that_comes_again_in_any_shape_moves_nothing() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    bob.until_epoch(&room(), 2).await.unwrap();
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    bob.until_epoch(&room(), 3).await.unwrap();
    lab.quiet().await;
    let b = lab.gateway("b.example");
    let (stream, arrived) = (b.database().stream(bob.client()), records(b, "arrival.commit").len());
    let [.., one, two] = &fanned_out(&lab)[..] else { panic!("there are two commits") };
    for body in [one.clone(), two.clone(), [one.as_slice(), two].concat(), [two.as_slice(), one].concat()] {
        notify(&lab, body).await;
    }
    lab.quiet().await;
    assert_eq!(b.database().stream(bob.client()), stream);
    assert_eq!(records(b, "arrival.commit").len(), arrived);
    assert_eq!(tracked_epoch(b), 3);
}

#[tokio::test]
async fn a_commit_that_never_comes_is_not_waited_for_without_end() {
    let mut lab = Lab::new(&TWO);
    for gateway in &mut lab.gateways {
        gateway.restart().await;
    }
    let (_alice, bob, events) = missed(&mut lab).await;
    let [first, _, second, said] = &events[..] else { panic!("{} events", events.len()) };
    notify(&lab, second.clone()).await;
    let b = lab.gateway("b.example");
    assert_eq!((kinds(b, &bob).len(), tracked_epoch(b)), (1, 1));
    b.database().sql("UPDATE kept_events SET kept_at = 0");
    notify(&lab, said.clone()).await;
    rest(b).await;
    assert_eq!(outcomes(b, "follower.lost"), [(Outcome::Error, "commit_is_missing".to_owned())]);
    assert_eq!(kinds(b, &bob), ["welcome", "group_info_wanted", "commit", "application"]);
    assert_eq!(epochs(b, &bob), [2, 3]);
    // It comes after all: late, but not lost.
    notify(&lab, first.clone()).await;
    rest(b).await;
    assert_eq!(epochs(b, &bob), [2, 3, 1]);
    assert_eq!(tracked_epoch(b), -1);
}

#[tokio::test]
async fn a_quiet_room_is_not_waited_for_without_end_either() {
    let mut lab = Lab::new(&TWO);
    for gateway in &mut lab.gateways {
        gateway.restart().await;
    }
    let (_alice, bob, events) = missed(&mut lab).await;
    notify(&lab, events[2].clone()).await;
    let b = lab.gateway("b.example");
    b.database().sql("UPDATE kept_events SET kept_at = 0");
    eventually("it is given up", async || (tracked_epoch(b) == -1).then_some(())).await;
    rest(b).await;
    assert_eq!(kinds(b, &bob), ["welcome", "group_info_wanted", "commit"]);
}

/// A hub sends a message to each domain of a company, and to one of them perhaps before it has let in a device of the
/// other.
#[tokio::test]
async fn what_came_before_a_device_was_let_in_reaches_it_when_it_comes_again() {
    let mut lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut carol = lab.device("b.example/d/carol/phone").await;
    carol.publish_key_packages(1).await.unwrap();
    let (claimed, packages) = alice.claim(carol.user(), &room()).await.unwrap();
    assert_accepted(&claimed);
    lab.quiet().await;
    let before = fanned_out(&lab).len();
    lab.gateway_mut("b.example").kill();
    assert_accepted(&alice.add(&room(), packages, (carol.user().clone(), ADMIN)).await.unwrap());
    assert_accepted(&alice.say(&room(), "hello").await.unwrap());
    let events = fanned_out(&lab).split_off(before);
    lab.gateway_mut("a.example").kill();
    lab.gateway_mut("b.example").restart().await;
    let [commit, welcome, message] = events.as_slice() else { panic!("{} events", events.len()) };
    for body in [commit, message, welcome, message, message] {
        notify(&lab, body.clone()).await;
    }
    carol.until_text(&room(), "hello").await.unwrap();
    bob.until_text(&room(), "hello").await.unwrap();
    let b = lab.gateway("b.example");
    rest(b).await;
    assert_eq!(kinds(b, &carol), ["welcome", "application"]);
    assert_eq!(kinds(b, &bob), ["welcome", "commit", "application"]);
}
