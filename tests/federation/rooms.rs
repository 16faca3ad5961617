//! Rooms of every kind, by real clients at their hub and at a follower: of fixed membership, dependent on others, limited, that
//! outlive their groups, and that end.

use portcullis::member::{Device, Sent};
use portcullis::provider::CreateRoom;
use portcullis_core::member::Draft;
use portcullis_core::wire::Wire;
use portcullis_core::wire::components::{BaseRoomPolicy, Component};
use portcullis_core::wire::uri::{RoomUri, UserUri};

use super::lost::{TWO, clients};
use super::{assert_accepted, assert_in_step, refusal};
use crate::harness::{ADMIN, Lab, ORDINARY, bring_into, edit, eventually, room, user};

const ALICE: &str = "a.example/d/alice/phone";
const BOB: &str = "b.example/d/bob/phone";
const CATHY: &str = "b.example/d/cathy/phone";

fn named(name: &str) -> RoomUri {
    RoomUri::parse(&format!("mimi://a.example/r/{name}")).unwrap()
}

/// A room of the template `direct` between its founder and others.
fn direct(name: &str, others: &[&UserUri]) -> CreateRoom {
    let participants = others.iter().map(|user| (*user).clone()).collect();
    CreateRoom { participants, ..CreateRoom::new(named(name), "direct", "") }
}

fn dependent(name: &str, parent: &RoomUri) -> CreateRoom {
    CreateRoom { parent: Some(parent.clone()), ..CreateRoom::new(named(name), "strict", "Board") }
}

/// Adds the clients of a listed user.
async fn adds_clients(host: &mut Device, room: &RoomUri, guest: &mut Device) -> Sent {
    guest.publish_key_packages(1).await.unwrap();
    let (claimed, packages) = host.claim(guest.user(), room).await.unwrap();
    assert_accepted(&claimed);
    let request = host.member_mut().commit(room, &Draft::default().clients(packages)).unwrap();
    host.update(room, &request).await.unwrap()
}

#[tokio::test]
async fn a_fixed_room_is_the_only_one_of_its_people_and_nobody_comes_or_goes() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = (lab.device(ALICE).await, lab.device(BOB).await);
    let mut cathy = lab.device(CATHY).await;
    let talk = named("talk");
    assert_accepted(&alice.found_room(&direct("talk", &[bob.user()])).await.unwrap());
    // Who is listed is brought in, though no role adds anybody.
    assert_accepted(&adds_clients(&mut alice, &talk, &mut bob).await);
    bob.until_epoch(&talk, 1).await.unwrap();
    assert_accepted(&bob.say(&talk, "just us").await.unwrap());
    alice.until_text(&talk, "just us").await.unwrap();

    let again = alice.found_room(&direct("again", &[bob.user()])).await.unwrap().answer.unwrap_err();
    assert_eq!(again.code, "not_allowed");
    assert!(again.detail.contains("mimi://a.example/r/talk"), "{again:?}");
    assert_accepted(&alice.found_room(&direct("three", &[bob.user(), cathy.user()])).await.unwrap());
    assert_accepted(&alice.found_room(&direct("alone", &[])).await.unwrap());

    // A third user is refused by the follower, which follows the group, and by the hub.
    cathy.publish_key_packages(1).await.unwrap();
    for host in [&mut alice, &mut bob] {
        let (_, packages) = host.claim(cathy.user(), &talk).await.unwrap();
        let added = host.add(&talk, packages, (cathy.user().clone(), ORDINARY)).await.unwrap();
        assert_eq!(refusal(added), "not_allowed");
        assert_eq!(refusal(host.leave(&talk).await.unwrap()), "not_allowed");
    }
    // Own devices come.
    let mut tablet = lab.device("b.example/d/bob/tablet").await;
    let (_, material) = tablet.ask_group_info(&talk).await.unwrap();
    assert_accepted(&tablet.external_join(&talk, &material.unwrap(), None).await.unwrap());
    alice.until_epoch(&talk, 2).await.unwrap();
    assert_eq!(alice.member().clients(&talk).unwrap().len(), 3);
    lab.quiet().await;
    let said: Vec<String> =
        lab.gateway("a.example").database().entries().into_iter().map(|e| e.record.reason).collect();
    assert!(said.contains(&"room.fixed_room_exists".to_owned()) && said.contains(&"room.fixed_membership".to_owned()));
    let said: Vec<String> =
        lab.gateway("b.example").database().entries().into_iter().map(|e| e.record.reason).collect();
    assert!(said.contains(&"room.fixed_membership".to_owned()), "{said:?}");
}

#[tokio::test]
async fn a_fixed_room_starts_with_the_people_it_was_created_for_and_with_nobody_else() {
    let lab = Lab::open(&TWO).await;
    let mut alice = lab.device(ALICE).await;
    let (bob, cathy) = (user("b.example/u/bob"), user("b.example/u/cathy"));
    let door = lab.gateway("a.example").client(alice.user());
    let with_bob = door.create_room(&direct("bob", &[&bob])).await.unwrap().value;
    let with_cathy = door.create_room(&direct("cathy", &[&cathy])).await.unwrap().value;
    // The group of the one under the name of the other.
    let first = alice.member_mut().create_room(&with_bob.room, &with_bob.group, &with_cathy.extensions.0).unwrap();
    let (info, tree) = (first.group_info.as_bytes().to_vec(), first.tree.as_bytes().to_vec());
    let refused = door.start_group(&with_bob.room, info, tree).await.unwrap_err();
    assert_eq!(refused.problem().unwrap().code, "not_the_created_room");
    for (others, template) in [(vec![bob.clone(), bob.clone()], "direct"), (vec![bob.clone()], "strict")] {
        let new = CreateRoom { participants: others, ..CreateRoom::new(named("odd"), template, "") };
        assert_eq!(door.create_room(&new).await.unwrap_err().problem().unwrap().code, "malformed");
    }
}

#[tokio::test]
async fn who_leaves_the_parent_room_has_no_part_in_rooms_that_depend_on_it() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut cathy = lab.device(CATHY).await;
    lab.bring_in(&mut alice, &mut cathy, ADMIN).await;
    let (mut dora, board) = (lab.device("b.example/d/dora/phone").await, named("board"));
    assert_accepted(&alice.found_room(&dependent("board", &room())).await.unwrap());
    bring_into(&board, &mut alice, &mut bob, ADMIN).await;

    // Dora is not in the parent room; and with Cathy the board would be all of it.
    dora.publish_key_packages(1).await.unwrap();
    cathy.publish_key_packages(1).await.unwrap();
    for stranger in [&dora, &cathy] {
        let (_, packages) = bob.claim(stranger.user(), &board).await.unwrap();
        let added = bob.add(&board, packages, (stranger.user().clone(), ORDINARY)).await.unwrap();
        assert_eq!(refusal(added), "not_allowed");
    }
    // What it depends on does not change.
    let base = alice.member().component::<BaseRoomPolicy>(&board).unwrap().unwrap();
    assert_eq!(base.parent_room, Some(room()));
    let free = BaseRoomPolicy { parent_dependant: false, parent_room: None, ..base };
    let draft = Draft::default().component(BaseRoomPolicy::ID, Some(free.encode()));
    let request = alice.member_mut().commit(&board, &draft).unwrap();
    assert_eq!(refusal(alice.update(&board, &request).await.unwrap()), "not_allowed");

    // Bob is taken out of the parent: he is out of the board before any commit there.
    assert_accepted(&alice.remove(&room(), bob.user()).await.unwrap());
    assert_eq!(refusal(bob.say(&board, "still here").await.unwrap()), "not_allowed");
    alice.until_epoch(&board, 1).await.unwrap();
    eventually("the hub proposes that Bob goes", async || {
        let a = lab.gateway("a.example").database();
        (a.number("SELECT count(*) FROM proposals WHERE room = 'mimi://a.example/r/board'") == 1).then_some(())
    })
    .await;
    alice.until_proposed(&board, 1).await.unwrap();
    assert_accepted(&alice.commit_pending(&board).await.unwrap());
    bob.until_removed(&board).await.unwrap();
    let own = alice.member().clients(&board).unwrap();
    assert_eq!(own.len(), 1, "{own:?}");
    lab.quiet().await;
    let said = lab.gateway("a.example").database().entries();
    let cascaded = said.iter().filter(|entry| entry.record.reason == "left_the_parent_room");
    assert_eq!(cascaded.filter(|entry| entry.record.room == Some(board.clone())).count(), 1);
    let denied: Vec<&str> = said.iter().map(|entry| entry.record.reason.as_str()).collect();
    for reason in ["room.not_in_parent", "room.whole_parent", "room.parent"] {
        assert!(denied.contains(&reason), "{reason}: {denied:?}");
    }
}

#[tokio::test]
async fn a_dependent_room_is_founded_by_who_may_bring_people_into_its_parent() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, _bob) = lab.alice_and_bob().await;
    let mut carol = lab.device("a.example/d/carol/phone").await;
    // To who is not in it there is no such room.
    assert_eq!(refusal(carol.found_room(&dependent("carols", &room())).await.unwrap()), "not_allowed");
    lab.bring_in(&mut alice, &mut carol, ORDINARY).await;
    assert_eq!(refusal(carol.found_room(&dependent("carols", &room())).await.unwrap()), "not_allowed");
    assert_accepted(&alice.found_room(&dependent("board", &room())).await.unwrap());
    assert_eq!(refusal(alice.found_room(&dependent("below", &named("board"))).await.unwrap()), "not_allowed");
    let there = lab.gateway("a.example").database();
    assert_eq!(there.number("SELECT count(*) FROM rooms"), 2);
}

#[tokio::test]
async fn a_room_outlives_its_last_client_and_goes_on_with_another_group() {
    let lab = Lab::open(&TWO).await;
    let mut alice = lab.device(ALICE).await;
    assert_accepted(&alice.create_room(&room(), "strict", "Clubhouse").await.unwrap());
    let mut carol = lab.device("a.example/d/carol/phone").await;
    lab.bring_in(&mut alice, &mut carol, ORDINARY).await;
    // Somebody is in it.
    assert_eq!(refusal(alice.next_group(&room()).await.unwrap()), "conflict");
    // Carol leaves, and Alice's only device is gone: nobody is there to commit it.
    assert_accepted(&carol.leave(&room()).await.unwrap());
    lab.gateway("a.example").client(alice.user()).deregister_device(alice.client()).await.unwrap();
    let former = lab.gateway("a.example").database().number("SELECT epoch FROM rooms");
    assert_eq!(former, 1);
    // Carol has left: she begins nothing.
    assert_eq!(refusal(carol.next_group(&room()).await.unwrap()), "not_allowed");
    let mut tablet = lab.device("a.example/d/alice/tablet").await;
    assert_accepted(&tablet.next_group(&room()).await.unwrap());
    assert_eq!(tablet.member().epoch(&room()).unwrap(), 0);
    let listed = tablet.member().participants(&room()).unwrap();
    assert!(!listed.iter().any(|listed| listed.user == *carol.user()), "{listed:?}");
    let a = lab.gateway("a.example").database();
    assert_eq!(a.number("SELECT epoch FROM rooms"), 0);
    assert_eq!(a.number("SELECT count(*) FROM rooms WHERE group_uri = 'mimi://a.example/g/clubhouse'"), 0);

    // The same room, by another group: at the hub, and at a follower.
    let mut dora = lab.device("a.example/d/dora/phone").await;
    bring_into(&room(), &mut tablet, &mut dora, ORDINARY).await;
    let mut bob = lab.device(BOB).await;
    bring_into(&room(), &mut tablet, &mut bob, ADMIN).await;
    assert_accepted(&bob.say(&room(), "it goes on").await.unwrap());
    tablet.until_text(&room(), "it goes on").await.unwrap();
    dora.until_text(&room(), "it goes on").await.unwrap();
    lab.quiet().await;
    assert_eq!(lab.gateway("b.example").database().number("SELECT count(*) FROM rooms WHERE status = 2"), 1);
}

#[tokio::test]
async fn a_room_that_is_destroyed_is_over_for_everybody_and_takes_its_dependents_along() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut cathy = lab.device(CATHY).await;
    lab.bring_in(&mut alice, &mut cathy, ORDINARY).await;
    let board = named("board");
    assert_accepted(&alice.found_room(&dependent("board", &room())).await.unwrap());
    bring_into(&board, &mut alice, &mut bob, ADMIN).await;
    let mut carol = lab.device("a.example/d/carol/phone").await;
    lab.bring_in(&mut alice, &mut carol, ORDINARY).await;
    // It takes the capability, which an ordinary user does not have, and a stranger knows of no such room.
    let mut dora = lab.device("a.example/d/dora/phone").await;
    assert_eq!(refusal(carol.destroy_room(&room()).await.unwrap()), "not_allowed");
    assert_eq!(refusal(dora.destroy_room(&room()).await.unwrap()), "not_found");
    bob.until_epoch(&room(), 3).await.unwrap();

    let late = [room(), board.clone()].map(|of| bob.member_mut().text(&of, "hello?").unwrap());
    assert_accepted(&alice.destroy_room(&room()).await.unwrap());
    for device in [&mut bob, &mut cathy] {
        device.until_proposed(&room(), 4).await.unwrap();
    }
    bob.until_proposed(&board, 2).await.unwrap();
    for (gone, late) in [room(), board.clone()].iter().zip(&late) {
        assert!(alice.say(gone, "hello?").await.unwrap().answer.is_err());
        assert!(bob.submit(gone, late).await.unwrap().answer.is_err());
    }
    let again = CreateRoom::new(room(), "strict", "Clubhouse");
    assert_eq!(refusal(alice.found_room(&again).await.unwrap()), "conflict");
    lab.quiet().await;
    let a = lab.gateway("a.example").database();
    assert_eq!(a.number("SELECT count(*) FROM rooms WHERE status = 4"), 2);
    for table in ["room_states", "room_leaves", "room_parents", "proposals"] {
        assert_eq!(a.number(&format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
    let ended: Vec<String> = a.entries().into_iter().map(|entry| entry.record.kind).collect();
    assert_eq!(ended.iter().filter(|kind| *kind == "room.destroyed").count(), 2);
}

#[tokio::test]
async fn a_room_is_not_destroyed_while_one_that_depends_on_it_is_held() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, _bob) = lab.alice_and_bob().await;
    let a = lab.gateway("a.example");
    // One with a group, and one that waits for it.
    assert_accepted(&alice.found_room(&dependent("board", &room())).await.unwrap());
    a.client(alice.user()).create_room(&dependent("jury", &room())).await.unwrap();
    for held in ["board", "jury"] {
        a.operated(&["room", "freeze", named(held).as_str(), "--reason", "CASE-7"]);
        // The kind of a legal hold.
        a.database()
            .sql("UPDATE room_restrictions SET kind = 1 WHERE kind = 0; UPDATE rooms SET version = version + 1");
        assert_eq!(refusal(alice.destroy_room(&room()).await.unwrap()), "not_allowed", "{held}");
        a.database().sql("DELETE FROM room_restrictions; UPDATE rooms SET version = version + 1");
    }
    lab.quiet().await;
    let denied = a.database().entries().into_iter().filter(|entry| entry.record.reason == "LEGAL_HOLD");
    assert_eq!(denied.filter(|entry| entry.record.room == Some(room())).count(), 2);
    assert_eq!(a.database().number("SELECT count(*) FROM rooms WHERE status = 4"), 0);
    assert_accepted(&alice.destroy_room(&room()).await.unwrap());
    assert_eq!(a.database().number("SELECT count(*) FROM rooms WHERE status = 4"), 3);
}

#[tokio::test]
async fn a_room_takes_as_many_clients_users_and_devices_as_its_policy_says() {
    let mut lab = Lab::new(&TWO);
    let policies = lab.gateway("a.example").folder.join("policies/templates/strict.yaml");
    edit(&policies, "max_clients: 5000", "max_clients: 3\n  max_users: 3");
    let single = lab.gateway("a.example").folder.join("policies/templates/cooperative.yaml");
    edit(&single, "multi_device: true", "multi_device: false");
    lab.start().await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut tablet = lab.device("b.example/d/bob/tablet").await;
    let (_, material) = tablet.ask_group_info(&room()).await.unwrap();
    assert_accepted(&tablet.external_join(&room(), &material.unwrap(), None).await.unwrap());
    // A fourth client, of the follower's and of the hub's.
    for name in ["b.example/d/bob/watch", "a.example/d/alice/tablet"] {
        let mut fourth = lab.device(name).await;
        let (_, material) = fourth.ask_group_info(&room()).await.unwrap();
        assert_eq!(refusal(fourth.external_join(&room(), &material.unwrap(), None).await.unwrap()), "not_allowed");
    }
    // A third user is listed, a fourth is not.
    alice.until_epoch(&room(), 2).await.unwrap();
    for (name, answer) in [("c", true), ("d", false)] {
        let listed = Draft::default().participant(user(&format!("b.example/u/{name}")), ORDINARY);
        let request = alice.member_mut().commit(&room(), &listed).unwrap();
        assert_eq!(alice.update(&room(), &request).await.unwrap().answer.is_ok(), answer, "{name}");
    }
    bob.until_epoch(&room(), 3).await.unwrap();
    tablet.until_epoch(&room(), 3).await.unwrap();
    assert_in_step(&[&alice, &bob, &tablet]);
    assert_eq!(clients(&alice, "b.example/d/bob/watch"), 0);

    let lone = named("lone");
    assert_accepted(&alice.create_room(&lone, "cooperative", "One device each").await.unwrap());
    bring_into(&lone, &mut alice, &mut bob, ORDINARY).await;
    for name in ["b.example/d/bob/laptop", "a.example/d/alice/laptop"] {
        let mut second = lab.device(name).await;
        let (_, material) = second.ask_group_info(&lone).await.unwrap();
        assert_eq!(refusal(second.external_join(&lone, &material.unwrap(), None).await.unwrap()), "not_allowed");
    }
    lab.quiet().await;
    let said: Vec<String> =
        lab.gateway("a.example").database().entries().into_iter().map(|e| e.record.reason).collect();
    for reason in ["room.max_clients", "room.max_users", "room.second_client"] {
        assert!(said.iter().any(|said| said == reason), "{reason}: {said:?}");
    }
}
