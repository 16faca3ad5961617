use portcullis_core::member::{Draft, Member};
use portcullis_core::time::Millis;
use portcullis_core::wire::Wire;
use portcullis_core::wire::mls::MlsMessage;
use portcullis_core::wire::notify::{FanoutBody, FanoutMessage};
use portcullis_core::wire::update::UpdateRequest;
use portcullis_store::audit::Outcome;

use super::*;
use crate::harness::ORDINARY;

const LOST: &str = "UPDATE rooms SET status = 3, version = version + 1; DELETE FROM room_states";

fn described(member: &Member) -> (Vec<u8>, Vec<u8>) {
    let group = member.group_info(&room()).unwrap();
    (group.group_info.as_bytes().to_vec(), group.tree.as_bytes().to_vec())
}

/// A commit that the hub has never heard of, as it would fan it out.
fn unheard_of(member: &mut Member, timestamp: Millis) -> FanoutMessage {
    let UpdateRequest::Commit(bundle) = member.commit_pending(&room()).unwrap() else { panic!() };
    FanoutMessage { timestamp, body: FanoutBody::Commit { message: bundle.commit, external_proposals: vec![] } }
}

/// A PublicMessage begins with version and wire format, then the group's identifier behind its length of one or two
/// bytes, then the epoch (RFC 9420, section 6).
fn in_epoch(message: &MlsMessage, epoch: u64) -> MlsMessage {
    let mut bytes = message.as_bytes().to_vec();
    let length = message.group_id().unwrap().len();
    let at = 4 + if length < 64 { 1 } else { 2 } + length;
    bytes[at..at + 8].copy_from_slice(&epoch.to_be_bytes());
    MlsMessage::decode(&bytes).unwrap()
}

/// Alice has the room, Bob and Eve of the follower are in it, and Bob has told a group three epochs ahead of the hub.
async fn told_ahead(lab: &Lab) -> (Device, Device) {
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut eve = lab.device("b.example/d/eve/phone").await;
    lab.bring_in(&mut alice, &mut eve, ORDINARY).await;
    bob.until_epoch(&room(), 2).await.unwrap();
    lab.quiet().await;
    let b = lab.gateway("b.example");
    b.database().sql(LOST);
    for _ in 0..3 {
        bob.member_mut().commit_pending(&room()).unwrap();
        bob.member_mut().accepted(&room()).unwrap();
    }
    let (group_info, tree) = described(bob.member());
    b.client(bob.user()).take_up(&room(), group_info, tree).await.unwrap();
    assert_eq!(tracked_epoch(b), 5);
    (alice, eve)
}

#[tokio::test]
async fn a_group_that_a_client_tells_ahead_of_the_hub_is_lost_when_the_hub_goes_on() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut eve) = told_ahead(&lab).await;
    let b = lab.gateway("b.example");
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    eve.until_epoch(&room(), 3).await.unwrap();
    assert_eq!(outcomes(b, "follower.lost"), [], "it may have been under way");
    b.database().sql("UPDATE followed_rooms SET taken_up_at = 0");
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    eve.until_epoch(&room(), 4).await.unwrap();
    lab.quiet().await;
    assert_eq!(outcomes(b, "follower.lost"), [(Outcome::Error, "taken_up_ahead_of_hub".to_owned())]);
    assert_eq!(tracked_epoch(b), 4);
}

#[tokio::test]
async fn a_client_that_is_where_the_hub_is_stands_above_one_that_is_ahead_of_it() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut eve) = told_ahead(&lab).await;
    let b = lab.gateway("b.example");
    let (group_info, tree) = described(eve.member());
    b.client(eve.user()).take_up(&room(), group_info, tree).await.unwrap();
    assert_eq!(tracked_epoch(b), 2);
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    eve.until_epoch(&room(), 3).await.unwrap();
    lab.quiet().await;
    assert_eq!(tracked_epoch(b), 3);
    assert_eq!(outcomes(b, "follower.lost"), []);
}

#[tokio::test]
async fn the_time_of_a_hub_goes_into_ours_nowhere() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    for timestamp in [Millis(u64::MAX), Millis(u64::MAX / 2)] {
        let fanout = unheard_of(alice.member_mut(), timestamp);
        notify(&lab, fanout.encode()).await;
        alice.member_mut().accepted(&room()).unwrap();
    }
    let b = lab.gateway("b.example");
    assert_eq!(tracked_epoch(b), 3);
    lab.quiet().await;
    let latest = "SELECT max((SELECT last_accepted FROM rooms), (SELECT max(at) FROM stream_payloads))";
    assert!(b.database().number(latest) < 10_000_000_000_000);
    assert_eq!(kinds(b, &bob), ["welcome", "commit", "commit"]);
}

#[tokio::test]
async fn an_epoch_that_no_group_comes_to_wedges_nothing() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    let b = lab.gateway("b.example");
    let real = unheard_of(alice.member_mut(), Millis(1));
    alice.member_mut().rejected(&room()).unwrap();
    for epoch in [u64::MAX / 2, u64::MAX, 1_000_000] {
        let message = in_epoch(real.body.message(), epoch);
        let body = FanoutBody::Commit { message, external_proposals: vec![] };
        notify(&lab, FanoutMessage { timestamp: Millis(1), body }.encode()).await;
    }
    b.database().sql("UPDATE kept_events SET kept_at = 0");
    eventually("they are given up", async || (tracked_epoch(b) == -1).then_some(())).await;
    assert_eq!(b.database().number("SELECT seen_epoch FROM followed_rooms"), 0);
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    lab.quiet().await;
    assert_eq!(b.database().number("SELECT seen_epoch FROM followed_rooms"), 2);
    assert_eq!(b.database().stream(bob.client()).pop().map(|row| row.item.payload), fanned_out(&lab).pop());
}

#[tokio::test]
async fn what_may_not_come_in_does_not_go_out_in_a_commit_of_ours() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let b = lab.gateway("b.example");
    without_mallory(b, "withhold").await;
    let mut mallory = lab.device(MALLORY).await;
    mallory.publish_key_packages(1).await.unwrap();
    let (_, packages) = alice.claim(mallory.user(), &room()).await.unwrap();
    let draft = Draft::default().clients(packages).participant(mallory.user().clone(), ORDINARY);
    let proposals = alice.member_mut().propose(&room(), &draft).unwrap();
    assert_accepted(&alice.update(&room(), &proposals).await.unwrap());
    bob.until_proposed(&room(), 2).await.unwrap();
    assert_eq!(refusal(bob.commit_pending(&room()).await.unwrap()), "invalid_proposal");
    lab.quiet().await;
    assert_eq!(tracked_epoch(b), 1);
    assert_eq!(lab.gateway("a.example").database().number("SELECT max(epoch) FROM rooms"), 1);
}

#[tokio::test]
async fn a_client_from_which_something_is_withheld_does_not_open_the_room_by_having_it_from_elsewhere() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let b = lab.gateway("b.example");
    without_mallory(b, "withhold").await;
    let mut mallory = lab.device(MALLORY).await;
    lab.bring_in(&mut alice, &mut mallory, ORDINARY).await;
    lab.quiet().await;
    let mut sent = fanned_out(&lab).into_iter().filter_map(|event| FanoutMessage::decode(&event).ok());
    let commit = sent.rfind(|fanout| matches!(fanout.body, FanoutBody::Commit { .. })).unwrap();
    bob.member_mut().receive(&room(), &commit).unwrap();
    let (group_info, tree) = described(bob.member());
    b.client(bob.user()).take_up(&room(), group_info, tree).await.unwrap();
    lab.quiet().await;
    assert_eq!(kinds(b, &bob), ["welcome"]);
    assert_eq!(b.database().number("SELECT standing FROM followed_rooms"), 1);
}

#[tokio::test]
async fn what_was_waited_for_in_vain_is_released_with_what_was_withheld() {
    let mut lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let b = lab.gateway("b.example");
    without_mallory(b, "withhold").await;
    let mut mallory = lab.device(MALLORY).await;
    lab.bring_in(&mut alice, &mut mallory, ORDINARY).await;
    lab.quiet().await;
    let mut laptop = lab.device("b.example/d/bob/laptop").await;
    let (_, material) = laptop.ask_group_info(&room()).await.unwrap();
    let sent = laptop.external_join(&room(), &material.unwrap(), None).await.unwrap();
    assert_accepted(&sent);
    alice.until_epoch(&room(), 3).await.unwrap();
    lab.quiet().await;
    assert_eq!(tracked_epoch(lab.gateway("b.example")), 3);
    let before = fanned_out(&lab).len();
    lab.gateway_mut("b.example").kill();
    for _ in 0..2 {
        assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    }
    let commits = fanned_out(&lab).split_off(before);
    lab.gateway_mut("a.example").kill();
    lab.gateway_mut("b.example").restart().await;
    notify(&lab, commits[1].clone()).await;
    let b = lab.gateway("b.example");
    b.database().sql("UPDATE kept_events SET kept_at = 0 WHERE why = 0");
    let (group_info, tree) = described(laptop.member());
    b.client(laptop.user()).take_up(&room(), group_info, tree).await.unwrap();
    eventually("it comes to rest", async || (b.database().waiting() == 0).then_some(())).await;
    assert_eq!(b.database().number("SELECT count(*) FROM kept_events"), 0);
    assert_eq!(b.database().number("SELECT standing FROM followed_rooms"), 0);
    bob.until_epoch(&room(), 3).await.unwrap();
}
