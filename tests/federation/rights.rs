use portcullis::member::Device;
use portcullis_core::member::{Draft, Received};

use super::{assert_accepted, refusal};
use crate::admin::Person;
use crate::harness::{ADMIN, Lab, ORDINARY, edit, room};

/// Alice and Bob, and Dora, so that Bob is not the last of his role. The room is in epoch 2.
async fn company(lab: &Lab) -> (Device, Device, Device) {
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut dora = lab.device("a.example/d/dora/phone").await;
    lab.bring_in(&mut alice, &mut dora, ADMIN).await;
    bob.until_epoch(&room(), 2).await.unwrap();
    (alice, bob, dora)
}

async fn joins(lab: &Lab, client: &str) -> Device {
    let mut device = lab.device(client).await;
    let (_, material) = device.ask_group_info(&room()).await.unwrap();
    assert_accepted(&device.external_join(&room(), &material.unwrap(), None).await.unwrap());
    device
}

#[tokio::test]
async fn whose_removal_waits_for_a_commit_has_no_rights_back_after_an_external_commit() {
    let lab = Lab::open(&["a.example", "b.example"]).await;
    let (mut alice, mut bob, _dora) = company(&lab).await;
    let mut laptop = joins(&lab, "b.example/d/bob/laptop").await;
    for device in [&mut alice, &mut bob] {
        device.until_epoch(&room(), 3).await.unwrap();
    }
    let late = laptop.member_mut().text(&room(), "one more thing").unwrap();
    assert_accepted(&bob.leave(&room()).await.unwrap());
    alice.until_proposed(&room(), 3).await.unwrap();
    let _tablet = joins(&lab, "a.example/d/alice/tablet").await;
    alice.until_epoch(&room(), 4).await.unwrap();
    assert_eq!(refusal(laptop.submit(&room(), &late).await.unwrap()), "not_allowed");
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    let left = alice.member().clients(&room()).unwrap();
    assert!(left.iter().all(|client| client.domain().as_str() == "a.example"), "{left:?}");
}

#[tokio::test]
async fn a_removal_that_waits_for_a_commit_cannot_be_shaken_off_by_an_external_commit() {
    let lab = Lab::open(&["a.example", "b.example"]).await;
    let (mut alice, mut bob, mut dora) = company(&lab).await;
    let mut tablet = lab.device("a.example/d/alice/tablet").await;
    let (_, material) = tablet.ask_group_info(&room()).await.unwrap();
    let gone = Draft::default().without_participant(bob.user().clone()).without_clients(bob.user().clone());
    let proposals = alice.member_mut().propose(&room(), &gone).unwrap();
    assert_accepted(&alice.update(&room(), &proposals).await.unwrap());
    assert_eq!(refusal(bob.say(&room(), "am I still here?").await.unwrap()), "not_allowed");
    assert_eq!(refusal(tablet.external_join(&room(), &material.unwrap(), None).await.unwrap()), "not_allowed");
    dora.until_proposed(&room(), 2).await.unwrap();
    assert_accepted(&dora.commit_pending(&room()).await.unwrap());
}

#[tokio::test]
async fn a_demotion_counts_from_its_acceptance_on() {
    let lab = Lab::open(&["a.example", "b.example"]).await;
    let (mut alice, mut bob, mut dora) = company(&lab).await;
    let mut cathy = lab.device("a.example/d/cathy/phone").await;
    lab.bring_in(&mut alice, &mut cathy, ORDINARY).await;
    dora.until_epoch(&room(), 3).await.unwrap();
    bob.until_epoch(&room(), 3).await.unwrap();
    let less = Draft::default().role(bob.user().clone(), ORDINARY);
    let proposals = alice.member_mut().propose(&room(), &less).unwrap();
    assert_accepted(&alice.update(&room(), &proposals).await.unwrap());
    bob.until_proposed(&room(), 1).await.unwrap();
    // Bob's commit cites his own demotion, and does what only his old role may.
    assert_eq!(refusal(bob.remove(&room(), cathy.user()).await.unwrap()), "not_allowed");
    dora.until_proposed(&room(), 1).await.unwrap();
    assert_accepted(&dora.commit_pending(&room()).await.unwrap());
}

#[tokio::test]
async fn whose_demotion_waits_for_a_commit_proposes_nothing_that_only_the_old_role_may() {
    let lab = Lab::open(&["a.example", "b.example"]).await;
    let (mut alice, mut bob, mut dora) = company(&lab).await;
    let mut cathy = lab.device("a.example/d/cathy/phone").await;
    lab.bring_in(&mut alice, &mut cathy, ORDINARY).await;
    dora.until_epoch(&room(), 3).await.unwrap();
    bob.until_epoch(&room(), 3).await.unwrap();
    let less = Draft::default().role(bob.user().clone(), ORDINARY);
    let proposals = alice.member_mut().propose(&room(), &less).unwrap();
    assert_accepted(&alice.update(&room(), &proposals).await.unwrap());
    bob.until_proposed(&room(), 1).await.unwrap();
    // A removal takes effect when it is accepted.
    let gone = Draft::default().without_participant(cathy.user().clone()).without_clients(cathy.user().clone());
    let proposals = bob.member_mut().propose(&room(), &gone).unwrap();
    assert_eq!(refusal(bob.update(&room(), &proposals).await.unwrap()), "not_allowed");
    assert_accepted(&cathy.say(&room(), "still here").await.unwrap());
}

#[tokio::test]
async fn a_demotion_that_waits_for_a_commit_cannot_be_shaken_off_by_an_external_commit() {
    let lab = Lab::open(&["a.example", "b.example"]).await;
    let (mut alice, bob, mut dora) = company(&lab).await;
    let mut laptop = lab.device("b.example/d/bob/laptop").await;
    let (_, material) = laptop.ask_group_info(&room()).await.unwrap();
    let less = Draft::default().role(bob.user().clone(), ORDINARY);
    let proposals = alice.member_mut().propose(&room(), &less).unwrap();
    assert_accepted(&alice.update(&room(), &proposals).await.unwrap());
    assert_eq!(refusal(laptop.external_join(&room(), &material.unwrap(), None).await.unwrap()), "not_allowed");
    dora.until_proposed(&room(), 1).await.unwrap();
    assert_accepted(&dora.commit_pending(&room()).await.unwrap());
    let (_, material) = laptop.ask_group_info(&room()).await.unwrap();
    assert_accepted(&laptop.external_join(&room(), &material.unwrap(), None).await.unwrap());
}

#[tokio::test]
async fn a_pending_proposal_that_policy_denies_by_now_leaves_the_pending_set_and_wedges_nothing() {
    let lab = Lab::open(&["a.example", "b.example"]).await;
    let (mut alice, mut bob, mut dora) = company(&lab).await;
    let promoted = Draft::default().participant("mimi://a.example/u/eve".parse().unwrap(), ORDINARY);
    let proposed = bob.member_mut().propose(&room(), &promoted).unwrap();
    assert_accepted(&bob.update(&room(), &proposed).await.unwrap());
    alice.until_proposed(&room(), 1).await.unwrap();
    let ops = Person::at(lab.gateway("a.example"), &["operator"]);
    let reason = serde_json::json!({ "reason": "CASE-7" });
    assert_eq!(ops.post("peers/b.example/suspend", reason).await.status, 200);
    let a = lab.gateway("a.example");
    assert_eq!(a.database().number("SELECT count(*) FROM proposals"), 1, "it waits with the decision that accepted it");
    assert_eq!(refusal(alice.commit_pending(&room()).await.unwrap()), "invalid_proposal");
    assert_eq!(a.database().number("SELECT count(*) FROM proposals"), 0);
    // Who has not heard of it goes on.
    assert_accepted(&dora.commit_pending(&room()).await.unwrap());
    lab.quiet().await;
    let said = a.database().entries();
    let left = said.iter().find(|entry| entry.record.kind == "decision.pending").unwrap();
    assert_eq!(left.record.reason, "ACTOR_SUSPENDED");
}

#[tokio::test]
async fn whose_role_may_not_read_gets_no_messages_at_the_hub_nor_at_a_follower() {
    let mut lab = Lab::new(&["a.example", "b.example", "c.example"]);
    let strict = lab.gateway("a.example").folder.join("policies/templates/strict.yaml");
    edit(&strict, "      - canReceiveMessage\n", "");
    edit(&strict, "      - canAddParticipant\n", "      - canReceiveMessage\n      - canAddParticipant\n");
    lab.start().await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut deaf = Vec::new();
    for name in ["a.example/d/carol/phone", "b.example/d/eve/phone", "c.example/d/dora/phone"] {
        let mut device = lab.device(name).await;
        lab.bring_in(&mut alice, &mut device, ORDINARY).await;
        deaf.push(device);
    }
    bob.until_epoch(&room(), 4).await.unwrap();
    assert_accepted(&alice.say(&room(), "not for everybody").await.unwrap());
    bob.until_text(&room(), "not for everybody").await.unwrap();
    // What comes after it has come.
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    for device in &mut deaf {
        device.until_epoch(&room(), 5).await.unwrap();
        let heard = device.heard(&room()).any(|received| matches!(received, Received::Message(_)));
        assert!(!heard, "{}", device.client());
    }
    lab.quiet().await;
    // To a provider none of whose users may read it does not even go.
    let arrived = |domain: &str| {
        let entries = lab.gateway(domain).database().entries();
        entries.iter().filter(|entry| entry.record.kind == "arrival.message").count()
    };
    assert_eq!((arrived("b.example"), arrived("c.example")), (1, 0));
}
