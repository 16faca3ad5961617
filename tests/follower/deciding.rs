use portcullis_core::time::Millis;
use portcullis_core::wire::Wire;
use portcullis_core::wire::notify::{FanoutBody, FanoutMessage};
use portcullis_core::wire::update::UpdateRequest;
use portcullis_store::audit::Outcome;

use super::*;
use crate::harness::{ADMIN, ORDINARY};

#[tokio::test]
async fn roles_decide_what_leaves_for_a_tracked_room_and_not_for_another() {
    let lab = Lab::open(&TWO).await;
    let (alice, mut bob) = with_bob_as(&lab, ORDINARY).await;
    let (a, b) = (lab.gateway("a.example"), lab.gateway("b.example"));
    let sent = bob.remove(&room(), alice.user()).await.unwrap();
    let exchange = sent.exchange.unwrap();
    assert_eq!(refusal(sent), "not_allowed");
    lab.quiet().await;
    let own = records(b, "decision.commit").pop().unwrap().record;
    assert_eq!((own.outcome, own.exchange), (Outcome::Deny, Some(exchange)));
    assert!(own.policy.contains(&"mimi.role-change-matrix".to_owned()), "{own:?}");
    assert!(a.database().entries().iter().all(|entry| entry.record.exchange != Some(exchange)), "it has left");

    b.database().sql("UPDATE rooms SET status = 3, version = version + 1; DELETE FROM room_states");
    let sent = bob.remove(&room(), alice.user()).await.unwrap();
    let exchange = sent.exchange.unwrap();
    assert_eq!(refusal(sent), "not_allowed");
    lab.quiet().await;
    let own = records(b, "decision.commit").pop().unwrap().record;
    assert_eq!((own.outcome, own.policy.as_slice()), (Outcome::Allow, ["mimi.untracked".to_owned()].as_slice()));
    assert!(own.detail.to_string().contains("group not tracked"), "{own:?}");
    let of_hub = a.database().entries().into_iter().find(|entry| entry.record.exchange == Some(exchange)).unwrap();
    assert_eq!(of_hub.record.outcome, Outcome::Deny);
}

#[tokio::test]
async fn a_user_muted_by_its_own_company_is_not_heard_in_a_room_whether_it_is_tracked_or_not() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = with_bob_as(&lab, ADMIN).await;
    let b = lab.gateway("b.example");
    b.operated(&["room", "mute", room().as_str(), bob.user().as_str(), "--reason", "too loud"]);
    let text = bob.member_mut().text(&room(), "hello?").unwrap();
    assert_eq!(refusal(bob.submit(&room(), &text).await.unwrap()), "not_allowed");
    let denied = records(b, "decision.message").pop().unwrap().record;
    assert!(denied.policy.contains(&"company.muted".to_owned()), "{denied:?}");
    // Nor when the group is lost: that is nothing which a muted user may bring about.
    b.database().sql("UPDATE rooms SET status = 3, version = version + 1; DELETE FROM room_states");
    assert_eq!(refusal(bob.submit(&room(), &text).await.unwrap()), "not_allowed");
    let denied = records(b, "decision.message").pop().unwrap().record;
    assert!(denied.policy.contains(&"company.muted".to_owned()), "{denied:?}");
    b.operated(&["room", "unmute", room().as_str(), bob.user().as_str(), "--reason", "calm again"]);
    assert_accepted(&bob.say(&room(), "hello").await.unwrap());
    alice.until_text(&room(), "hello").await.unwrap();
}

#[tokio::test]
async fn a_message_that_policy_denies_is_kept_from_the_devices_and_holds_nothing_up() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let b = lab.gateway("b.example");
    let largest = "max_message_bytes: 600";
    settle_on(b, &[("max_message_bytes: 262144", largest)]).await;
    let long = alice.say(&room(), &"so long ".repeat(100)).await.unwrap();
    assert_accepted(&long);
    assert_accepted(&alice.say(&room(), "short").await.unwrap());
    bob.until_text(&room(), "short").await.unwrap();
    lab.quiet().await;
    assert_eq!(kinds(b, &bob), ["welcome", "application"]);
    let arrived = records(b, "arrival.message");
    assert_eq!(arrived[0].record.exchange, long.exchange);
    assert_eq!((arrived[0].record.outcome, arrived[1].record.outcome), (Outcome::Deny, Outcome::Allow));
    assert_eq!(arrived[0].record.detail["withheld_from_devices"], 1);
}

#[tokio::test]
async fn the_welcome_of_a_suspended_user_is_withheld_and_the_lane_goes_on() {
    let lab = Lab::open(&TWO).await;
    let mut alice = lab.device("a.example/d/alice/phone").await;
    let mut bob = lab.device("b.example/d/bob/phone").await;
    assert_accepted(&alice.create_room(&room(), "strict", "Clubhouse").await.unwrap());
    bob.publish_key_packages(1).await.unwrap();
    let (_, packages) = alice.claim(bob.user(), &room()).await.unwrap();
    let b = lab.gateway("b.example");
    settle_on(b, &[("users: []", "users:\n  - uri: mimi://b.example/u/bob\n    suspended: true")]).await;
    let added = alice.add(&room(), packages, (bob.user().clone(), ORDINARY)).await.unwrap();
    assert_accepted(&added);
    assert_accepted(&alice.say(&room(), "anybody?").await.unwrap());
    lab.quiet().await;
    assert_eq!(kinds(b, &bob), [""; 0]);
    let welcome = records(b, "arrival.welcome").pop().unwrap().record;
    assert_eq!((welcome.outcome, welcome.reason.as_str()), (Outcome::Deny, "TARGET_SUSPENDED"));
    assert_eq!(b.database().number("SELECT count(*) FROM followed"), 0);
    let parked = "SELECT count(*) FROM outbox_lanes WHERE status <> 0";
    assert_eq!(lab.gateway("a.example").database().number(parked), 0);
}

#[tokio::test]
async fn a_welcome_for_a_key_package_that_is_forgotten_here_does_not_hold_the_room_up() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut eve = lab.device("b.example/d/eve/phone").await;
    eve.publish_key_packages(1).await.unwrap();
    let (_, packages) = alice.claim(eve.user(), &room()).await.unwrap();
    let (a, b) = (lab.gateway("a.example"), lab.gateway("b.example"));
    b.database().sql("DELETE FROM key_packages");
    assert_accepted(&alice.add(&room(), packages, (eve.user().clone(), ORDINARY)).await.unwrap());
    assert_accepted(&alice.say(&room(), "is Eve there?").await.unwrap());
    bob.until_text(&room(), "is Eve there?").await.unwrap();
    lab.quiet().await;
    assert_eq!(a.database().number("SELECT count(*) FROM outbox_lanes WHERE status <> 0"), 0);
    let unknown = (Outcome::Deny, "key_packages_are_not_known_here".to_owned());
    assert_eq!(outcomes(b, "arrival.welcome").last(), Some(&unknown));
    assert_eq!(kinds(b, &eve), [""; 0]);
}

#[tokio::test]
async fn what_another_hub_does_against_the_roles_of_its_room_is_noticed() {
    let lab = Lab::open(&TWO).await;
    let (alice, mut bob) = with_bob_as(&lab, ORDINARY).await;
    lab.quiet().await;
    // The hub has never checked this one: it stands in for a hub that lets everything through.
    let request = bob.member_mut().set_role(&room(), alice.user(), ORDINARY).unwrap();
    let UpdateRequest::Commit(bundle) = request else { panic!() };
    bob.member_mut().rejected(&room()).unwrap();
    let body = FanoutBody::Commit { message: bundle.commit, external_proposals: vec![] };
    let timestamp = Millis(1);
    let fanout = FanoutMessage { timestamp, body };
    notify(&lab, fanout.encode()).await;
    lab.quiet().await;
    let b = lab.gateway("b.example");
    let noticed = records(b, "arrival.commit").pop().unwrap().record;
    assert_eq!((noticed.outcome, noticed.actor.as_deref()), (Outcome::Alarm, Some("mimi://b.example/u/bob")));
    assert_eq!(noticed.detail["answer"], "deliver_with_alarm");
    assert!(b.log().contains("policy denies what another hub has accepted"));
}
