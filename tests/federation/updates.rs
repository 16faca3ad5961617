use portcullis_core::member::Bundling;
use portcullis_core::wire::Wire;
use portcullis_core::wire::submit::{SubmitMessageResponse, SubmitOutcome};
use portcullis_core::wire::update::{GroupInfoOption, RatchetTreeOption, UpdateRequest, UpdateResponse};

use super::{assert_accepted, assert_in_step, forged, hand_in, refusal};
use crate::harness::{ADMIN, Lab, ORDINARY, room};

const TWO: [&str; 2] = ["a.example", "b.example"];

async fn joins_and_renews(bundling: Bundling, expected: fn(&GroupInfoOption, &RatchetTreeOption) -> bool) {
    let lab = Lab::open(&TWO).await;
    let mut alice = lab.device("a.example/d/alice/phone").await;
    let mut bob = lab.device("b.example/d/bob/phone").await;
    alice.member_mut().bundle(bundling);
    bob.member_mut().bundle(bundling);
    assert_accepted(&alice.create_room(&room(), "strict", "Clubhouse").await.unwrap());
    lab.bring_in(&mut alice, &mut bob, ADMIN).await;
    let request = bob.member_mut().commit_pending(&room()).unwrap();
    let UpdateRequest::Commit(bundle) = &request else { panic!("it is a commit") };
    assert!(expected(&bundle.group_info, &bundle.ratchet_tree));
    assert_accepted(&bob.update(&room(), &request).await.unwrap());
    alice.until_epoch(&room(), 2).await.unwrap();
    assert_in_step(&[&alice, &bob]);
}

#[tokio::test]
async fn commits_with_the_whole_group_info_and_tree_bring_a_member_in_and_renew_its_keys() {
    let whole = |info: &GroupInfoOption, tree: &RatchetTreeOption| {
        matches!(info, GroupInfoOption::Full(_)) && matches!(tree, RatchetTreeOption::Full(_))
    };
    joins_and_renews(Bundling::Full, whole).await;
}

#[tokio::test]
async fn commits_with_a_partial_group_info_and_no_tree_bring_a_member_in_and_renew_its_keys() {
    let part = |info: &GroupInfoOption, tree: &RatchetTreeOption| {
        matches!(info, GroupInfoOption::Partial(_)) && matches!(tree, RatchetTreeOption::DistributionService)
    };
    joins_and_renews(Bundling::Light, part).await;
}

#[tokio::test]
async fn an_update_that_is_handed_in_twice_takes_effect_once_and_gets_the_same_answer() {
    let lab = Lab::open(&TWO).await;
    let (_, mut bob) = lab.alice_and_bob().await;
    let request = bob.member_mut().commit_pending(&room()).unwrap();
    let b = lab.gateway("b.example");
    let first = hand_in(b, &request).await;
    let second = hand_in(b, &request).await;
    assert!(matches!(first, UpdateResponse::Success { .. }), "{first:?}");
    assert_eq!(first, second);
    let UpdateRequest::Commit(bundle) = &request else { panic!("it is a commit") };
    lab.quiet().await;
    assert_eq!(lab.gateway("a.example").database().effects(bundle.commit.hash()), (1, 1));
}

#[tokio::test]
async fn a_commit_for_an_epoch_that_is_over_is_refused_and_its_sender_can_go_on() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    assert_eq!(refusal(bob.commit_pending(&room()).await.unwrap()), "wrong_epoch");
    bob.until_epoch(&room(), 2).await.unwrap();
    assert_accepted(&bob.commit_pending(&room()).await.unwrap());
    lab.gateway("a.example").database().assert_one_commit_per_epoch();
}

#[tokio::test]
async fn a_commit_with_a_forged_signature_is_refused_and_leaves_the_room_as_it_was() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let request = bob.member_mut().commit_pending(&room()).unwrap();
    assert_eq!(refusal(bob.update(&room(), &forged(&request)).await.unwrap()), "not_allowed");
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    bob.until_epoch(&room(), 2).await.unwrap();
    assert_in_step(&[&alice, &bob]);
}

#[tokio::test]
async fn of_two_providers_that_commit_in_the_same_moment_one_wins() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let room = room();
    let (of_alice, of_bob) = tokio::join!(alice.commit_pending(&room), bob.commit_pending(&room));
    let (of_alice, of_bob) = (of_alice.unwrap(), of_bob.unwrap());
    assert_ne!(of_alice.answer.is_ok(), of_bob.answer.is_ok());
    assert_eq!(refusal(if of_alice.answer.is_ok() { of_bob } else { of_alice }), "wrong_epoch");
    alice.until_epoch(&room, 2).await.unwrap();
    bob.until_epoch(&room, 2).await.unwrap();
    assert_in_step(&[&alice, &bob]);
}

#[tokio::test]
async fn a_provider_hands_in_nothing_for_users_of_another() {
    let lab = Lab::open(&["a.example", "b.example", "c.example"]).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut cathy = lab.device("c.example/d/cathy/phone").await;
    lab.bring_in(&mut alice, &mut cathy, ORDINARY).await;
    bob.until_epoch(&room(), 2).await.unwrap();
    let c = lab.gateway("c.example");
    let message = bob.member_mut().text(&room(), "by way of c").unwrap();
    let endpoint = portcullis::peer::Endpoint::SubmitMessage(room());
    let answer = c.post("a.example", endpoint, message.encode()).await.unwrap();
    assert_eq!(SubmitMessageResponse::decode(&answer.body).unwrap().outcome, SubmitOutcome::NotAllowed);
    let commit = bob.member_mut().commit_pending(&room()).unwrap();
    let answer = hand_in(c, &commit).await;
    assert!(matches!(answer, UpdateResponse::NotAllowed { .. }), "{answer:?}");
    let answer = hand_in(lab.gateway("b.example"), &commit).await;
    assert!(matches!(answer, UpdateResponse::Success { .. }), "{answer:?}");
}

#[tokio::test]
async fn who_leaves_is_gone_with_the_next_commit() {
    let lab = Lab::open(&["a.example", "b.example", "c.example"]).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut cathy = lab.device("c.example/d/cathy/phone").await;
    lab.bring_in(&mut bob, &mut cathy, ORDINARY).await;
    alice.until_epoch(&room(), 2).await.unwrap();
    let late = cathy.member_mut().text(&room(), "one more thing").unwrap();
    assert_accepted(&cathy.leave(&room()).await.unwrap());
    alice.until_proposed(&room(), 2).await.unwrap();
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    cathy.until_removed(&room()).await.unwrap();
    bob.until_epoch(&room(), 3).await.unwrap();
    assert_in_step(&[&alice, &bob]);
    assert_eq!(refusal(cathy.submit(&room(), &late).await.unwrap()), "not_found");
}
