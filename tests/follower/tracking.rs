use portcullis::provider::client::ClientError;
use portcullis_core::member::Member;
use portcullis_core::time::Millis;
use portcullis_core::wire::Wire;
use portcullis_core::wire::notify::{FanoutBody, FanoutMessage};
use portcullis_core::wire::update::UpdateRequest;
use portcullis_store::audit::Outcome;

use super::*;
use crate::harness::ORDINARY;

fn code(refused: Result<Option<uuid::Uuid>, ClientError>) -> String {
    refused.unwrap_err().problem().unwrap().code.clone()
}

#[tokio::test]
async fn the_group_is_tracked_once_a_client_has_joined_and_follows_every_commit() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = with_bob_as(&lab, ORDINARY).await;
    let b = lab.gateway("b.example");
    assert_eq!(tracked_epoch(b), 1);
    let sent = alice.commit_pending(&room()).await.unwrap();
    assert_accepted(&sent);
    bob.until_epoch(&room(), 2).await.unwrap();
    assert_accepted(&bob.commit_pending(&room()).await.unwrap());
    alice.until_epoch(&room(), 3).await.unwrap();
    lab.quiet().await;
    assert_eq!(tracked_epoch(b), 3);
    let arrived = records(b, "arrival.commit");
    assert_eq!(arrived[0].record.exchange, sent.exchange);
    assert_eq!(arrived[0].record.actor.as_deref(), Some("mimi://a.example/u/alice"));
    assert!(arrived.iter().all(|entry| entry.record.outcome == Outcome::Allow), "{arrived:?}");
    let leaving = bob.leave(&room()).await.unwrap();
    assert_accepted(&leaving);
    alice.until_proposed(&room(), 2).await.unwrap();
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    bob.until_removed(&room()).await.unwrap();
    lab.quiet().await;
    assert_eq!(tracked_epoch(b), -1);
    assert_eq!(outcomes(b, "follower.ended"), [(Outcome::Info, "no_client_of_ours_is_left".to_owned())]);
}

#[tokio::test]
async fn a_client_that_joins_from_outside_tells_its_gateway_the_group() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, bob) = lab.alice_and_bob().await;
    let b = lab.gateway("b.example");
    b.database().sql("UPDATE rooms SET status = 3, version = version + 1; DELETE FROM room_states");
    let mut laptop = lab.device("b.example/d/bob/laptop").await;
    let (_, material) = laptop.ask_group_info(&room()).await.unwrap();
    assert_accepted(&laptop.external_join(&room(), &material.unwrap(), None).await.unwrap());
    alice.until_epoch(&room(), 2).await.unwrap();
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    laptop.until_epoch(&room(), 3).await.unwrap();
    lab.quiet().await;
    assert_eq!(tracked_epoch(b), 3);
    assert_eq!(outcomes(b, "follower.lost"), []);
    drop(bob);
}

#[tokio::test]
async fn a_commit_that_does_not_fit_ends_tracking_until_a_client_tells_the_group_again() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    let b = lab.gateway("b.example");
    let UpdateRequest::Commit(bundle) = alice.member_mut().commit_pending(&room()).unwrap() else { panic!() };
    alice.member_mut().rejected(&room()).unwrap();
    let forged = crate::federation::forged(&UpdateRequest::Commit(bundle));
    let UpdateRequest::Commit(forged) = forged else { panic!() };
    let body = FanoutBody::Commit { message: forged.commit, external_proposals: Vec::new() };
    let timestamp = Millis(1);
    notify(&lab, FanoutMessage { timestamp, body }.encode()).await;
    assert_eq!(tracked_epoch(b), -1);
    assert_accepted(&alice.say(&room(), "still here").await.unwrap());
    assert!(bob.until_text(&room(), "still here").await.is_err(), "the client takes in a forged commit");
    // The commit said that the group is in epoch 2, which the client does not believe: it is told of when it is there.
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    bob.until_epoch(&room(), 2).await.unwrap();
    assert_eq!(tracked_epoch(b), 2);
    lab.quiet().await;
    assert_eq!(outcomes(b, "follower.lost"), [(Outcome::Error, "mls.authenticity".to_owned())]);
    let taken_up = outcomes(b, "decision.tracking");
    assert_eq!(taken_up.iter().filter(|(_, reason)| reason == "group_is_taken_up").count(), 2, "{taken_up:?}");
}

#[tokio::test]
async fn nobody_tells_the_group_who_is_not_in_it_or_not_up_to_date() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let eve = lab.device("b.example/d/eve/phone").await;
    let (a, b) = (lab.gateway("a.example"), lab.gateway("b.example"));
    let described = |member: &Member| {
        let group = member.group_info(&room()).unwrap();
        (group.group_info.as_bytes().to_vec(), group.tree.as_bytes().to_vec())
    };
    let (group_info, tree) = described(bob.member());
    let by_eve = b.client(eve.user()).take_up(&room(), group_info.clone(), tree.clone()).await;
    assert_eq!(code(by_eve), "group_info_refused");
    let (of_alice, tree_of_alice) = described(alice.member());
    let not_bob_s = b.client(bob.user()).take_up(&room(), of_alice.clone(), tree_of_alice.clone()).await;
    assert_eq!(code(not_bob_s), "group_info_refused");
    let garbage = b.client(bob.user()).take_up(&room(), vec![1, 2, 3], tree.clone()).await;
    assert_eq!(code(garbage), "group_info_refused");
    let at_the_hub = a.client(alice.user()).take_up(&room(), of_alice, tree_of_alice).await;
    assert_eq!(code(at_the_hub), "conflict");
    let elsewhere = "mimi://a.example/r/elsewhere".parse().unwrap();
    let unknown = b.client(bob.user()).take_up(&elsewhere, group_info.clone(), tree.clone()).await;
    assert_eq!(code(unknown), "not_found");
    b.client(bob.user()).take_up(&room(), group_info.clone(), tree.clone()).await.unwrap();
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    bob.until_epoch(&room(), 2).await.unwrap();
    assert_eq!(code(b.client(bob.user()).take_up(&room(), group_info, tree).await), "group_info_stale");
    let reasons: Vec<String> = outcomes(b, "decision.tracking").into_iter().map(|(_, reason)| reason).collect();
    for reason in ["signer_is_of_another_user", "mls.malformed", "epoch_is_over", "group_is_tracked"] {
        assert!(reasons.iter().any(|found| found == reason), "{reason}: {reasons:?}");
    }
}

#[tokio::test]
async fn a_group_made_up_for_the_room_is_not_taken_up() {
    let lab = Lab::open(&TWO).await;
    let (alice, bob) = lab.alice_and_bob().await;
    let b = lab.gateway("b.example");
    b.database().sql("UPDATE rooms SET status = 3, version = version + 1; DELETE FROM room_states");
    // The same client makes a group of another hub, and one of this hub for another room.
    let mut forger = lab.device("b.example/d/bob/laptop").await;
    let elsewhere = "mimi://b.example/r/lair".parse().unwrap();
    assert_accepted(&forger.create_room(&elsewhere, "strict", "Lair").await.unwrap());
    let group = forger.member().group_info(&elsewhere).unwrap();
    let (group_info, tree) = (group.group_info.as_bytes().to_vec(), group.tree.as_bytes().to_vec());
    assert_eq!(
        code(b.client(bob.user()).take_up(&room(), group_info.clone(), tree.clone()).await),
        "group_info_refused"
    );
    b.database().sql(
        "INSERT INTO followed (room, device, joined_at) \
         VALUES ('mimi://a.example/r/clubhouse', 'mimi://b.example/d/bob/laptop', 0)",
    );
    assert_eq!(code(b.client(bob.user()).take_up(&room(), group_info, tree).await), "group_info_refused");
    let reasons: Vec<String> = outcomes(b, "decision.tracking").into_iter().map(|(_, reason)| reason).collect();
    for reason in ["signer_has_not_joined_this_room", "group_is_of_another_hub"] {
        assert!(reasons.iter().any(|found| found == reason), "{reason}: {reasons:?}");
    }
    assert_eq!(tracked_epoch(b), -1);
    drop(alice);
}
