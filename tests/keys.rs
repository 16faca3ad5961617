//! The keys of a gateway: what they seal, and others in their place, while rooms go on.

use portcullis_core::franking::Franking;
use portcullis_core::member::Message;
use portcullis_core::wire::uri::RoomUri;
use serde_json::Value;

use crate::admin::Person;
use crate::federation::{assert_accepted, assert_in_step};
use crate::harness::{ADMIN, Gateway, Lab, ORDINARY, bring_into, eventually, room};
use crate::rights::encoded;

const TWO: [&str; 2] = ["a.example", "b.example"];

fn listed(gateway: &Gateway, which: &str) -> Vec<Value> {
    let told = gateway.operated(&["keys", "list", "--rooms", "--json"]);
    let keys = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    keys.filter(|key| key["which"] == which).collect()
}

fn key(shown: &Value) -> String {
    shown["key"].as_str().unwrap().to_owned()
}

/// Seals under the new sealing key what the database keeps.
fn rewrap(gateway: &Gateway) {
    gateway.operated(&["keys", "rewrap", "--reason", "every host has it"]);
}

fn rotate(gateway: &Gateway, which: &str) {
    gateway.operated(&["keys", "rotate", which, "--reason", "a year is over"]);
}

#[tokio::test]
async fn what_rooms_say_and_what_they_are_stands_in_no_copy_of_the_database() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    alice.publish_key_packages(3).await.unwrap();
    assert_accepted(&bob.say(&room(), "sealed").await.unwrap());
    alice.until_text(&room(), "sealed").await.unwrap();
    lab.quiet().await;
    for (domain, tables) in [
        (
            "a.example",
            vec!["room_states/snapshot", "room_states/group_info", "events/fanout", "key_packages/key_package"],
        ),
        ("b.example", vec!["room_states/snapshot"]),
    ] {
        let database = lab.gateway(domain).database();
        for (table, column) in tables.iter().map(|it| it.split_once('/').unwrap()) {
            let some = database.number(&format!("SELECT count(*) FROM {table} WHERE length({column}) > 0"));
            let open = database.number(&format!(
                "SELECT count(*) FROM {table} WHERE length({column}) > 0 AND hex(substr({column}, 1, 2)) <> 'FF01'"
            ));
            assert!(some > 0 && open == 0, "{domain} {table}.{column}: {open} of {some}");
        }
    }
}

#[tokio::test]
async fn every_key_is_rotated_while_rooms_go_on_and_former_keys_serve_what_names_them() {
    let mut lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    assert_accepted(&bob.say(&room(), "before").await.unwrap());
    alice.until_text(&room(), "before").await.unwrap();
    lab.quiet().await;
    let former = key(&listed(lab.gateway("a.example"), "hub")[0]);
    for which in ["hub", "franking", "franks", "log", "token", "sealing", "data", "tls"] {
        rotate(lab.gateway("a.example"), which);
    }
    rewrap(lab.gateway("a.example"));
    for (which, count) in
        [("hub", 2), ("franking", 2), ("franks", 2), ("log", 2), ("token", 2), ("sealing", 2), ("data", 6)]
    {
        assert_eq!(listed(lab.gateway("a.example"), which).len(), count, "{which}");
    }
    let gateway = lab.gateway_mut("a.example");
    gateway.kill();
    gateway.restart().await;

    // The devices sign in with tokens of the former key, which goes on.
    let attic = RoomUri::parse("mimi://a.example/r/attic").unwrap();
    assert_accepted(&alice.create_room(&attic, "strict", "Attic").await.unwrap());
    bring_into(&attic, &mut alice, &mut bob, ADMIN).await;
    assert_accepted(&bob.say(&room(), "after").await.unwrap());
    let heard = alice.until_text(&room(), "after").await.unwrap();
    let franked = |message: &Message| matches!(message.franking, Franking::Verified(_));
    assert!(franked(&heard), "the former agent franks for the room that names it");
    assert_accepted(&bob.say(&attic, "new").await.unwrap());
    assert!(franked(&alice.until_text(&attic, "new").await.unwrap()));
    let mut tablet = lab.device("b.example/d/bob/tablet").await;
    for of in [room(), attic.clone()] {
        let (_, material) = tablet.ask_group_info(&of).await.unwrap();
        assert_accepted(&tablet.external_join(&of, &material.unwrap(), None).await.unwrap());
    }
    let named: Vec<u64> =
        listed(lab.gateway("a.example"), "hub").iter().map(|it| it["rooms"].as_u64().unwrap()).collect();
    assert_eq!(named, [1, 1], "each room names the key of its time");
    // The hub still takes clients out of the former one.
    let kicked = format!("rooms/{}/users/{}/kick", encoded(room().as_str()), encoded(bob.user().as_str()));
    let told =
        Person::at(lab.gateway("a.example"), &["moderator"]).post(&kicked, serde_json::json!({ "reason": "x" })).await;
    assert_eq!(told.status, 200, "{told:?}");
    alice.until_epoch(&room(), 2).await.unwrap();
    alice.until_proposed(&room(), 2).await.unwrap();
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    bob.until_removed(&room()).await.unwrap();
    lab.quiet().await;
    // Checkpoints of both keys prove the log.
    eventually("the head is signed", async || {
        lab.gateway("a.example").operate(&["audit", "verify"]).status.success().then_some(())
    })
    .await;

    // Revoked, the former key signs nothing any more.
    lab.gateway("a.example").operated(&["keys", "revoke", "hub", &former, "--reason", "CASE-7"]);
    let gateway = lab.gateway_mut("a.example");
    gateway.kill();
    gateway.restart().await;
    let mut watch = lab.device("a.example/d/alice/watch").await;
    assert!(watch.ask_group_info(&room()).await.unwrap().0.answer.is_err());
    let (_, material) = watch.ask_group_info(&attic).await.unwrap();
    assert_accepted(&watch.external_join(&attic, &material.unwrap(), None).await.unwrap());
    lab.quiet().await;
    let said: Vec<String> =
        lab.gateway("a.example").database().entries().into_iter().map(|it| it.record.kind).collect();
    for (kind, count) in [("key.rotated", 7), ("key.requested", 1), ("key.rewrapped", 1), ("key.revoked", 1)] {
        assert_eq!(said.iter().filter(|said| *said == kind).count(), count, "{kind}");
    }
}

#[tokio::test]
async fn a_room_that_goes_on_with_another_group_names_the_key_of_that_time() {
    let mut lab = Lab::open(&TWO).await;
    let mut alice = lab.device("a.example/d/alice/phone").await;
    assert_accepted(&alice.create_room(&room(), "strict", "Clubhouse").await.unwrap());
    lab.gateway("a.example").client(alice.user()).deregister_device(alice.client()).await.unwrap();
    rotate(lab.gateway("a.example"), "hub");
    let gateway = lab.gateway_mut("a.example");
    gateway.kill();
    gateway.restart().await;
    let mut tablet = lab.device("a.example/d/alice/tablet").await;
    assert_accepted(&tablet.next_group(&room()).await.unwrap());
    let named: Vec<u64> =
        listed(lab.gateway("a.example"), "hub").iter().map(|it| it["rooms"].as_u64().unwrap()).collect();
    assert_eq!(named, [1, 0]);
    let mut eve = lab.device("b.example/d/eve/phone").await;
    bring_into(&room(), &mut tablet, &mut eve, ORDINARY).await;
    assert_in_step(&[&tablet, &eve]);
}

#[tokio::test]
async fn a_sealing_key_is_given_up_only_when_nothing_needs_it_and_none_is_none() {
    let mut lab = Lab::open(&["a.example"]).await;
    let mut alice = lab.device("a.example/d/alice/phone").await;
    assert_accepted(&alice.create_room(&room(), "strict", "Clubhouse").await.unwrap());
    let gateway = lab.gateway_mut("a.example");
    let former = key(&listed(gateway, "sealing")[0]);
    assert!(
        !gateway.operate(&["keys", "revoke", "sealing", &former, "--reason", "x"]).status.success(),
        "it is in use"
    );
    gateway.kill();
    rotate(gateway, "sealing");
    let revoke = ["keys", "revoke", "sealing", &former, "--reason", "x"];
    assert!(!gateway.operate(&revoke).status.success(), "the database is sealed under it yet");
    rewrap(gateway);
    gateway.operated(&["keys", "revoke", "sealing", &former, "--reason", "x"]);
    gateway.restart().await;
    assert_accepted(&alice.say(&room(), "as before").await.unwrap());
    // Without the key that it was sealed under, a gateway does not open; without any, nothing is written as it is.
    gateway.kill();
    let file = gateway.folder.join("keys/sealing.key");
    let hidden = gateway.folder.join("keys/hidden");
    std::fs::rename(&file, &hidden).unwrap();
    assert!(!gateway.operate(&["keys", "rotate", "data", "--reason", "x"]).status.success());
    std::fs::rename(&hidden, &file).unwrap();
    let other = gateway.folder.with_file_name("other");
    assert!(crate::harness::portcullis().arg("init").arg(&other).output().unwrap().status.success());
    std::fs::copy(other.join("keys/sealing.key"), file).unwrap();
    gateway.start();
    assert!(!gateway.ended().await.success());
}

#[tokio::test]
async fn a_running_gateway_opens_what_is_sealed_under_a_key_that_came_after_its_start() {
    let lab = Lab::open(&["a.example"]).await;
    let mut alice = lab.device("a.example/d/alice/phone").await;
    let gateway = lab.gateway("a.example");
    for which in ["sealing", "data"] {
        rotate(gateway, which);
    }
    rewrap(gateway);
    assert_accepted(&alice.create_room(&room(), "strict", "Clubhouse").await.unwrap());
    // A data key of another process, which opens only with the new key: what is said is sealed under it once this one has it.
    let data = listed(gateway, "data");
    let last = data.iter().find(|it| it["about"] == "events" && it["state"] == "current").unwrap();
    let sealed_so =
        format!("SELECT count(*) FROM events WHERE lower(hex(substr(fanout, 1, 10))) = 'ff01{}'", key(last));
    eventually("the new data key seals", async || {
        assert_accepted(&alice.say(&room(), "as before").await.unwrap());
        (gateway.database().number(&sealed_so) > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_key_that_waits_stands_on_the_card_and_does_not_give_way() {
    let lab = Lab::open(&["a.example"]).await;
    let gateway = lab.gateway("a.example");
    let pins = || {
        let card: Value = serde_json::from_str(&gateway.operated(&["peer", "card"])).unwrap();
        card["spki"].as_array().unwrap().iter().map(|pin| pin.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let before = pins();
    let told = gateway.operated(&["keys", "rotate", "tls", "--reason", "a year is over"]);
    let both = pins();
    let new: Vec<&String> = both.iter().filter(|pin| !before.contains(pin)).collect();
    assert!(both.len() == 2 && new.len() == 1 && told.contains(new[0].as_str()), "{both:?}: {told}");
    assert!(!gateway.operate(&["keys", "rotate", "tls", "--reason", "x"]).status.success());
    assert_eq!(pins(), both);
    // The same for what a crash has left of a sealing key.
    let waiting = gateway.folder.join("keys/sealing.key.next");
    std::fs::write(&waiting, "kept").unwrap();
    let refused = gateway.operate(&["keys", "rotate", "sealing", "--reason", "x"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("sealing.key.next"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&waiting).unwrap(), "kept");
}
