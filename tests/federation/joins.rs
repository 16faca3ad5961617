use portcullis_core::wire::group_info::GroupInfoRatchetTree;
use portcullis_core::wire::update::RatchetTreeOption;

use super::{assert_accepted, assert_in_step, refusal};
use crate::harness::{Lab, room};

const TWO: [&str; 2] = ["a.example", "b.example"];

#[tokio::test]
async fn a_new_client_of_a_participant_joins_with_its_ticket_once() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut laptop = lab.device("b.example/d/bob/laptop").await;
    let (asked, material) = laptop.ask_group_info(&room()).await.unwrap();
    assert_accepted(&asked);
    assert_accepted(&laptop.external_join(&room(), &material.unwrap(), None).await.unwrap());
    for device in [&mut alice, &mut bob] {
        device.until_epoch(&room(), 2).await.unwrap();
    }
    assert_in_step(&[&alice, &bob, &laptop]);
    assert_accepted(&laptop.say(&room(), "me again").await.unwrap());
    alice.until_text(&room(), "me again").await.unwrap();
    bob.until_text(&room(), "me again").await.unwrap();
}

#[tokio::test]
async fn nobody_joins_from_outside_without_a_ticket() {
    let lab = Lab::open(&TWO).await;
    let (alice, mut bob) = lab.alice_and_bob().await;
    let mut laptop = lab.device("b.example/d/bob/laptop").await;
    let current = alice.member().group_info(&room()).unwrap();
    let material = GroupInfoRatchetTree {
        group_info: current.group_info,
        ratchet_tree: RatchetTreeOption::Full(current.tree),
        pending_proposals: Vec::new(),
    };
    assert_eq!(refusal(laptop.external_join(&room(), &material, None).await.unwrap()), "not_allowed");
    assert_accepted(&bob.say(&room(), "still here").await.unwrap());
}

#[tokio::test]
async fn nobody_joins_from_outside_with_the_ticket_of_another_key() {
    let lab = Lab::open(&TWO).await;
    let (_alice, _bob) = lab.alice_and_bob().await;
    let mut laptop = lab.device("b.example/d/bob/laptop").await;
    let mut tablet = lab.device("b.example/d/bob/tablet").await;
    let (_, material) = tablet.ask_group_info(&room()).await.unwrap();
    let material = material.unwrap();
    assert_eq!(refusal(laptop.external_join(&room(), &material, None).await.unwrap()), "not_allowed");
    assert_accepted(&tablet.external_join(&room(), &material, None).await.unwrap());
}

#[tokio::test]
async fn who_is_not_in_the_room_does_not_learn_its_group_info() {
    let lab = Lab::open(&TWO).await;
    let (_alice, _bob) = lab.alice_and_bob().await;
    let mut eve = lab.device("b.example/d/eve/phone").await;
    let (asked, material) = eve.ask_group_info(&room()).await.unwrap();
    assert_eq!(refusal(asked), "not_authorized");
    assert!(material.is_none());
}
