//! Devices that are not there for too long, and those that are back.

use portcullis::member::Device;
use portcullis_core::member::Draft;
use portcullis_core::wire::uri::RoomUri;

use super::lost::{TABLET, TWO, clients, joins, of_room, restrictions, three};
use super::{assert_accepted, assert_in_step, refusal};
use crate::harness::{ADMIN, Database, Lab, ORDINARY, bring_into, eventually, room};

/// Gateways of which one takes devices for lost, and has looked who is there for a while.
async fn watching() -> Lab {
    let mut lab = Lab::new(&TWO);
    lab.gateway("a.example").configure("devices: { lost_after_days: 30 }\n");
    lab.start().await;
    let a = lab.gateway("a.example").database();
    eventually("it is watched", async || (a.number("SELECT count(*) FROM device_watch") == 1).then_some(())).await;
    a.sql("UPDATE device_watch SET since = 1");
    lab
}

/// As if a device had not been there for decades.
fn is_missing(lab: &Lab, name: &str) {
    let a = lab.gateway("a.example").database();
    a.sql(&format!("UPDATE devices SET seen_at = 1 WHERE client = 'mimi://{name}'"));
}

fn lost(a: &Database) -> i64 {
    a.number("SELECT count(*) FROM devices WHERE stale = 1")
}

/// Waits until the gateway has looked through everything that it looks through all the time.
async fn looked(a: &Database, of: &RoomUri) {
    // Rows that are behind are mended at the beginning of a look: the second look has seen the first one end.
    for _ in 0..2 {
        a.sql(&format!("UPDATE rooms SET leaves_epoch = -1 WHERE uri = '{of}'"));
        let behind = format!("SELECT count(*) FROM rooms WHERE uri = '{of}' AND leaves_epoch = -1");
        eventually("another look", async || (a.number(&behind) == 0).then_some(())).await;
    }
}

/// Alice and Bob, and Alice's tablet.
async fn with_tablet(lab: &Lab) -> (Device, Device, Device) {
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let tablet = joins(lab, TABLET).await;
    for device in [&mut alice, &mut bob] {
        device.until_epoch(&room(), 2).await.unwrap();
    }
    lab.quiet().await;
    (alice, bob, tablet)
}

#[tokio::test]
async fn a_device_that_was_not_there_for_too_long_goes_and_comes_back_with_its_keys() {
    let lab = watching().await;
    let (mut alice, _bob, mut tablet) = with_tablet(&lab).await;
    is_missing(&lab, TABLET);
    alice.until_proposed(&room(), 1).await.unwrap();
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    assert_eq!((clients(&alice, TABLET), clients(&alice, "a.example/d/alice/phone")), (0, 1));
    let found = restrictions(&lab, &of_room()).await;
    let told = (&found[0]["reason"], found[0]["ended_at"].is_u64());
    assert_eq!(told, (&"not_seen_for_too_long".into(), true), "{found:?}");
    // It is registered all the while.
    let (_, material) = tablet.ask_group_info(&room()).await.unwrap();
    assert_accepted(&tablet.external_join(&room(), &material.unwrap(), None).await.unwrap());
    assert_eq!(lost(&lab.gateway("a.example").database()), 0, "who asks to come in is there");
    assert_accepted(&tablet.say(&room(), "back from the drawer").await.unwrap());
    alice.until_text(&room(), "back from the drawer").await.unwrap();
}

#[tokio::test]
async fn who_is_back_with_its_keys_before_its_leaf_has_gone_stays() {
    let lab = watching().await;
    let (mut alice, mut bob, mut tablet) = with_tablet(&lab).await;
    is_missing(&lab, TABLET);
    alice.until_proposed(&room(), 1).await.unwrap();
    let (_, material) = tablet.ask_group_info(&room()).await.unwrap();
    assert_accepted(&tablet.external_join(&room(), &material.unwrap(), None).await.unwrap());
    for device in [&mut alice, &mut bob] {
        device.until_epoch(&room(), 3).await.unwrap();
    }
    assert_eq!(clients(&alice, TABLET), 1);
    let a = lab.gateway("a.example").database();
    looked(&a, &room()).await;
    assert_eq!(a.number("SELECT count(*) FROM proposals"), 0, "nobody proposes that it goes");
    let found = restrictions(&lab, &of_room()).await;
    assert_eq!((&found[0]["cryptographic"], found[0]["ended_at"].is_u64()), (&"done".into(), true), "{found:?}");
    assert_accepted(&tablet.say(&room(), "still here").await.unwrap());
    alice.until_text(&room(), "still here").await.unwrap();
    assert_in_step(&[&alice, &bob, &tablet]);
}

#[tokio::test]
async fn a_device_that_is_lost_is_neither_claimed_nor_brought_in_until_it_is_there_again() {
    let lab = watching().await;
    let (mut alice, mut bob, mut cathy) = three(&lab).await;
    let mut dora = lab.device("a.example/d/dora/phone").await;
    dora.publish_key_packages(3).await.unwrap();
    let claim = async |by: &mut Device, of: &Device| by.claim(of.user(), &room()).await.unwrap().1;
    let (pending, kept) = (claim(&mut alice, &dora).await, claim(&mut cathy, &dora).await);
    let draft = Draft::default().clients(pending).participant(dora.user().clone(), ORDINARY);
    let proposed = alice.member_mut().propose(&room(), &draft).unwrap();
    assert_accepted(&alice.update(&room(), &proposed).await.unwrap());
    bob.until_proposed(&room(), 2).await.unwrap();
    is_missing(&lab, "a.example/d/dora/phone");
    let a = lab.gateway("a.example").database();
    eventually("it is lost", async || (lost(&a) == 1).then_some(())).await;
    assert_eq!(refusal(bob.commit_pending(&room()).await.unwrap()), "invalid_proposal");
    assert_eq!(a.number("SELECT count(*) FROM proposals"), 0);
    // Who has not heard of the proposal may go on, but not with her.
    assert!(claim(&mut cathy, &dora).await.is_empty());
    let added = cathy.add(&room(), kept.clone(), (dora.user().clone(), ORDINARY)).await.unwrap();
    let told = added.answer.unwrap_err();
    assert!(told.detail.contains("key_package_unknown"), "{told:?}");
    dora.publish_key_packages(1).await.unwrap();
    assert_eq!(lost(&a), 0);
    assert_eq!(claim(&mut cathy, &dora).await.len(), 1);
    assert_accepted(&cathy.add(&room(), kept, (dora.user().clone(), ORDINARY)).await.unwrap());
}

#[tokio::test]
async fn time_in_which_nobody_has_watched_makes_no_device_absent() {
    let mut lab = watching().await;
    let (mut alice, _bob, _tablet) = with_tablet(&lab).await;
    let hub = lab.gateway_mut("a.example");
    hub.kill();
    // It has stood still for long, or is restored from what was kept long ago; another build knows nothing of sight.
    hub.database().sql("UPDATE device_watch SET since = 1, noted_at = 2; UPDATE devices SET seen_at = 1");
    hub.database().sql("UPDATE devices SET seen_at = 0 WHERE client LIKE '%alice/phone'");
    hub.restart().await;
    let a = lab.gateway("a.example").database();
    eventually("it is watched again", async || (a.number("SELECT since FROM device_watch") > 2).then_some(())).await;
    looked(&a, &room()).await;
    assert_eq!(lost(&a), 0);
    assert_eq!(a.number("SELECT count(*) FROM devices WHERE seen_at = 0"), 0);
    a.sql("UPDATE device_watch SET since = 1");
    alice.until_proposed(&room(), 1).await.unwrap();
}

#[tokio::test]
async fn one_room_that_cannot_be_read_holds_nobody_up_and_disturbs_no_other() {
    let lab = watching().await;
    let (mut alice, bob, _tablet) = with_tablet(&lab).await;
    let second = RoomUri::parse("mimi://a.example/r/second").unwrap();
    assert_accepted(&alice.create_room(&second, "strict", "Second").await.unwrap());
    let mut cathy = lab.device("b.example/d/cathy/phone").await;
    bring_into(&second, &mut alice, &mut cathy, ADMIN).await;
    let hub = lab.gateway("a.example");
    let a = hub.database();
    let broken = |by: &str| a.sql(&format!("UPDATE room_states SET epoch = epoch {by} WHERE room = '{second}'"));
    broken("+ 1000");
    a.sql(&format!("UPDATE rooms SET leaves_epoch = -1 WHERE uri = '{second}'"));
    is_missing(&lab, TABLET);
    hub.operated(&["room", "remove-user", bob.user().as_str(), "--reason", "gone"]);
    alice.until_proposed(&room(), 1).await.unwrap();
    let version = || a.number(&format!("SELECT version FROM rooms WHERE uri = '{}'", room()));
    looked(&a, &room()).await;
    let before = version();
    looked(&a, &room()).await;
    assert_eq!((version(), lost(&a)), (before, 0), "in which rooms the tablet is, is not known yet");
    let owed = || a.number("SELECT count(*) FROM room_restrictions WHERE room = '' AND owed = 1");
    assert_eq!(owed(), 1);
    broken("- 1000");
    eventually("it is all done", async || (owed() == 0 && lost(&a) == 1).then_some(())).await;
    let found = restrictions(&lab, &of_room()).await;
    assert!(found.iter().any(|item| item["reason"] == "not_seen_for_too_long"), "{found:?}");
}

#[tokio::test]
async fn one_device_that_cannot_be_taken_for_lost_holds_up_neither_others_nor_moderators() {
    let lab = watching().await;
    let (mut alice, bob, _tablet) = with_tablet(&lab).await;
    let watch = lab.device("a.example/d/alice/watch").await;
    let a = lab.gateway("a.example").database();
    a.sql(&format!(
        "CREATE TRIGGER broken BEFORE UPDATE OF stale ON devices WHEN new.client = 'mimi://{TABLET}' \
         BEGIN SELECT RAISE(ABORT, 'broken'); END"
    ));
    is_missing(&lab, TABLET);
    a.sql(&format!("UPDATE devices SET seen_at = 2 WHERE client = '{}'", watch.client()));
    eventually("the other one is lost", async || (lost(&a) == 1).then_some(())).await;
    lab.gateway("a.example").operated(&["room", "remove-user", bob.user().as_str(), "--reason", "gone"]);
    alice.until_proposed(&room(), 1).await.unwrap();
    a.sql("DROP TRIGGER broken");
    eventually("both are lost", async || (lost(&a) == 2).then_some(())).await;
}
