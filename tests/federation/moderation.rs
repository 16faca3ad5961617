use portcullis::member::Device;
use portcullis_core::member::Draft;
use portcullis_core::wire::uri::{RoomUri, UserUri};
use portcullis_store::audit::Outcome;
use serde_json::{Value, json};

use super::{assert_accepted, assert_in_step, refusal};
use crate::admin::{Person, Told};
use crate::harness::{ADMIN, Cluster, Gateway, Lab, ORDINARY, bring_into, eventually, room};
use crate::rights::encoded;

const TWO: [&str; 2] = ["a.example", "b.example"];

/// Alice, Bob of b.example, and Dora. The room is in epoch 2.
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

fn moderator(lab: &Lab) -> Person {
    moderator_of(lab.gateway("a.example"))
}

fn moderator_of(gateway: &Gateway) -> Person {
    Person::at(gateway, &["moderator"])
}

/// Does something to a user of the room, with reason and case.
async fn moderate(person: &Person, user: &UserUri, change: &str) -> Told {
    let path = format!("rooms/{}/users/{}/{change}", encoded(room().as_str()), encoded(user.as_str()));
    person.post(&path, json!({ "reason": "threats", "case": "CASE-7" })).await
}

async fn good(person: &Person, user: &UserUri, change: &str) -> Value {
    let told = moderate(person, user, change).await;
    assert_eq!(told.status, 200, "{told:?}");
    told.body
}

/// What is imposed on a room about somebody.
async fn imposed(person: &Person, of: &RoomUri, restriction: &str, subject: &str) -> Value {
    let told = person.get(&format!("rooms/{}/restrictions", encoded(of.as_str()))).await;
    let items = told.body["items"].as_array().unwrap().clone();
    let found = |item: &Value| item["restriction"] == restriction && item["subject"] == subject;
    items.into_iter().find(found).unwrap_or_default()
}

fn is_here(device: &Device, user: &UserUri) -> bool {
    device.member().clients(&room()).unwrap().iter().any(|client| client.user().as_ref() == Some(user))
}

/// Proposals that wait for a commit at a gateway.
fn pending(gateway: &Gateway) -> i64 {
    gateway.database().number("SELECT count(*) FROM proposals")
}

#[tokio::test]
async fn a_banned_user_has_no_rights_at_once_and_is_out_with_the_next_commit() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob, _dora) = company(&lab).await;
    let person = moderator(&lab);
    let message = alice.member_mut().text(&room(), "for us alone").unwrap();
    let banned = good(&person, bob.user(), "ban").await;
    assert_eq!(
        (&banned["restriction"], &banned["case"], &banned["cryptographic"]),
        (&"ban".into(), &"CASE-7".into(), &"owed".into())
    );
    assert_eq!(banned["policies"], json!(["admin.moderate-room"]));
    assert!(banned["effective_since"].as_u64().unwrap() > 0 && banned.get("cryptographic_since").is_none());
    assert_eq!(refusal(bob.say(&room(), "you cannot").await.unwrap()), "not_allowed");
    assert_eq!(refusal(bob.commit_pending(&room()).await.unwrap()), "not_allowed");
    bob.until_proposed(&room(), 1).await.unwrap();
    alice.until_proposed(&room(), 1).await.unwrap();
    assert_accepted(&alice.submit(&room(), &message).await.unwrap());
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    bob.until_removed(&room()).await.unwrap();
    assert!(!is_here(&alice, bob.user()));
    let after = imposed(&person, &room(), "ban", bob.user().as_str()).await;
    assert_eq!(after["cryptographic"], "done");
    assert!(after["cryptographic_since"].as_u64() >= banned["effective_since"].as_u64());
    lab.quiet().await;
    let stream = lab.gateway("b.example").database().stream(bob.client());
    assert!(!stream.iter().any(|row| row.item.kind == "application"), "he was sent what was not for him");
    let entries = lab.gateway("a.example").database().entries();
    let record = entries.iter().find(|entry| entry.record.kind == "moderation.ban").unwrap();
    assert_eq!((record.record.reason.as_str(), &record.record.detail["case"]), ("threats", &json!("CASE-7")));
    assert_eq!(record.record.policy, ["admin.moderate-room"]);
}

#[tokio::test]
async fn a_banned_user_comes_back_in_no_way_until_it_is_unbanned() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob, _dora) = company(&lab).await;
    let person = moderator(&lab);
    let mut laptop = lab.device("b.example/d/bob/laptop").await;
    let (_, early) = laptop.ask_group_info(&room()).await.unwrap();
    good(&person, bob.user(), "ban").await;
    assert_eq!(refusal(laptop.external_join(&room(), &early.unwrap(), None).await.unwrap()), "not_allowed");
    alice.until_proposed(&room(), 1).await.unwrap();
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    assert!(laptop.ask_group_info(&room()).await.unwrap().1.is_none());
    // A member takes him off the list, and adds him again.
    let unlisted = Draft::default().without_participant(bob.user().clone());
    let commit = alice.member_mut().commit(&room(), &unlisted).unwrap();
    assert_accepted(&alice.update(&room(), &commit).await.unwrap());
    bob.publish_key_packages(2).await.unwrap();
    let (_, packages) = alice.claim(bob.user(), &room()).await.unwrap();
    let again = alice.add(&room(), packages, (bob.user().clone(), ORDINARY)).await.unwrap();
    assert_eq!(refusal(again), "not_allowed");
    good(&person, bob.user(), "unban").await;
    let (_, packages) = alice.claim(bob.user(), &room()).await.unwrap();
    assert_accepted(&alice.add(&room(), packages, (bob.user().clone(), ORDINARY)).await.unwrap());
    bob.until_epoch(&room(), 5).await.unwrap();
    assert_accepted(&bob.say(&room(), "I will behave").await.unwrap());
    assert_eq!(moderate(&person, bob.user(), "unban").await.refusal(), (409, "conflict"));
}

#[tokio::test]
async fn what_the_hub_has_proposed_is_proposed_again_after_an_external_commit() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, bob, _dora) = company(&lab).await;
    good(&moderator(&lab), bob.user(), "ban").await;
    let tablet = joins(&lab, "a.example/d/alice/tablet").await;
    alice.until_epoch(&room(), 3).await.unwrap();
    assert_eq!(pending(lab.gateway("a.example")), 1);
    assert!(is_here(&alice, bob.user()));
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    assert!(!is_here(&alice, bob.user()));
    drop(tablet);
}

#[tokio::test]
async fn a_kicked_user_is_out_and_may_come_back() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob, _dora) = company(&lab).await;
    let person = moderator(&lab);
    good(&person, bob.user(), "kick").await;
    assert_eq!(refusal(bob.say(&room(), "why?").await.unwrap()), "not_allowed");
    alice.until_proposed(&room(), 1).await.unwrap();
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    let kicked = imposed(&person, &room(), "kick", bob.user().as_str()).await;
    assert!(kicked["ended_at"].as_u64().is_some() && kicked["cryptographic"] == "done", "{kicked}");
    let mut back = joins(&lab, "b.example/d/bob/laptop").await;
    assert_accepted(&back.say(&room(), "back").await.unwrap());
    // Once more, although it was done before.
    assert!(good(&person, bob.user(), "kick").await.get("ended_at").is_none());
    assert_eq!(refusal(back.say(&room(), "again?").await.unwrap()), "not_allowed");
}

#[tokio::test]
async fn a_removed_user_stays_out_until_a_member_has_taken_it_off_the_list() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob, _dora) = company(&lab).await;
    let person = moderator(&lab);
    good(&person, bob.user(), "remove").await;
    alice.until_proposed(&room(), 1).await.unwrap();
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    let mut laptop = lab.device("b.example/d/bob/laptop").await;
    assert!(laptop.ask_group_info(&room()).await.unwrap().1.is_none());
    let unlisted = Draft::default().without_participant(bob.user().clone());
    let commit = alice.member_mut().commit(&room(), &unlisted).unwrap();
    assert_accepted(&alice.update(&room(), &commit).await.unwrap());
    assert!(imposed(&person, &room(), "removal", bob.user().as_str()).await["ended_at"].as_u64().is_some());
    bob.publish_key_packages(1).await.unwrap();
    let (_, packages) = alice.claim(bob.user(), &room()).await.unwrap();
    assert_accepted(&alice.add(&room(), packages, (bob.user().clone(), ORDINARY)).await.unwrap());
}

#[tokio::test]
async fn a_frozen_room_takes_nothing_but_leaving_and_moderation() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob, mut dora) = company(&lab).await;
    let mut cathy = lab.device("b.example/d/cathy/phone").await;
    lab.bring_in(&mut alice, &mut cathy, ORDINARY).await;
    for device in [&mut bob, &mut dora] {
        device.until_epoch(&room(), 3).await.unwrap();
    }
    let person = moderator(&lab);
    let freeze = async |change: &str| {
        let path = format!("rooms/{}/{change}", encoded(room().as_str()));
        let told = person.post(&path, json!({ "reason": "quarrel" })).await;
        assert_eq!(told.status, 200, "{told:?}");
    };
    freeze("freeze").await;
    assert_eq!(refusal(alice.say(&room(), "hello?").await.unwrap()), "not_allowed");
    assert_accepted(&cathy.leave(&room()).await.unwrap());
    good(&person, bob.user(), "ban").await;
    alice.until_proposed(&room(), 3).await.unwrap();
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    assert!(!is_here(&alice, bob.user()) && !is_here(&alice, cathy.user()));
    // A moderator of the room itself goes on, too.
    dora.until_epoch(&room(), 4).await.unwrap();
    assert_accepted(&dora.remove(&room(), bob.user()).await.unwrap());
    freeze("unfreeze").await;
    assert_accepted(&dora.say(&room(), "at last").await.unwrap());
}

#[tokio::test]
async fn a_muted_user_is_heard_again_when_it_is_unmuted() {
    let lab = Lab::open(&TWO).await;
    let (_alice, mut bob, _dora) = company(&lab).await;
    let person = moderator(&lab);
    assert_eq!(good(&person, bob.user(), "mute").await["cryptographic"], "never");
    assert_eq!(refusal(bob.say(&room(), "mm").await.unwrap()), "not_allowed");
    assert_accepted(&bob.commit_pending(&room()).await.unwrap());
    good(&person, bob.user(), "unmute").await;
    assert_accepted(&bob.say(&room(), "thanks").await.unwrap());
}

#[tokio::test]
async fn all_users_of_a_provider_are_out_of_every_room_at_once_and_with_the_next_commits() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob, _dora) = company(&lab).await;
    let second = RoomUri::parse("mimi://a.example/r/second").unwrap();
    assert_accepted(&alice.create_room(&second, "strict", "Second").await.unwrap());
    bring_into(&second, &mut alice, &mut bob, ADMIN).await;
    let compliance = Person::at(lab.gateway("a.example"), &["compliance"]);
    let told = compliance.post("peers/b.example/remove", json!({ "reason": "keys leaked", "case": "CASE-8" })).await;
    assert_eq!(told.status, 200, "{told:?}");
    assert!(told.body.get("room").is_none());
    for of in [&room(), &second] {
        assert_eq!(refusal(bob.say(of, "in every room?").await.unwrap()), "not_allowed");
        alice.until_proposed(of, 1).await.unwrap();
        assert_accepted(&alice.commit_pending(of).await.unwrap());
        assert!(alice.member().clients(of).unwrap().iter().all(|client| client.domain().as_str() == "a.example"));
        assert_eq!(imposed(&compliance, of, "provider", "b.example").await["cryptographic"], "done");
    }
    // Rooms to come, too.
    let third = RoomUri::parse("mimi://a.example/r/third").unwrap();
    assert_accepted(&alice.create_room(&third, "strict", "Third").await.unwrap());
    bob.publish_key_packages(2).await.unwrap();
    let (_, packages) = alice.claim(bob.user(), &third).await.unwrap();
    assert_eq!(refusal(alice.add(&third, packages, (bob.user().clone(), ADMIN)).await.unwrap()), "not_allowed");
    let told = compliance.post("peers/b.example/readmit", json!({ "reason": "new keys" })).await;
    assert_eq!(told.status, 200, "{told:?}");
    let (_, packages) = alice.claim(bob.user(), &third).await.unwrap();
    assert_accepted(&alice.add(&third, packages, (bob.user().clone(), ADMIN)).await.unwrap());
}

#[tokio::test]
async fn what_is_imposed_while_no_process_runs_is_proposed_when_one_does() {
    let mut lab = Lab::open(&TWO).await;
    let (mut alice, bob, _dora) = company(&lab).await;
    lab.quiet().await;
    let a = lab.gateway_mut("a.example");
    a.kill();
    let (of, user) = (room().to_string(), bob.user().to_string());
    let noted = a.operated(&["room", "ban", &of, &user, "--reason", "threats", "--case", "CASE-7"]);
    assert!(noted.contains("until a member commits"), "{noted}");
    a.restart().await;
    alice.until_proposed(&room(), 1).await.unwrap();
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    assert!(!is_here(&alice, bob.user()));
    let a = lab.gateway("a.example");
    let listed: Value = serde_json::from_str(&a.operated(&["room", "restrictions", &of, "--json"])).unwrap();
    assert_eq!(
        (&listed["restriction"], &listed["owed"], &listed["case"]),
        (&"ban".into(), &false.into(), &"CASE-7".into())
    );
    assert!(listed["cryptographic_since"].as_u64() >= listed["effective_since"].as_u64());
    assert!(a.operated(&["room", "restrictions", &of]).contains("CASE-7"));
    assert_eq!(a.operate(&["room", "unban", &of, &alice.user().to_string(), "--reason", "x"]).status.code(), Some(2));
}

#[tokio::test]
async fn a_ban_is_carried_out_once_wherever_the_hub_ends() {
    for point in ["lane.before_commit", "lane.after_commit", "lane.before_commit:2", "lane.after_commit:2"] {
        let mut lab = Lab::new(&TWO);
        let armed = lab.gateway("a.example").folder.join("armed");
        let ends = [("PORTCULLIS_CRASH_AT", point.as_ref()), ("PORTCULLIS_CRASH_ARMED", armed.as_os_str())];
        lab.gateway_mut("a.example").start_with(&ends);
        lab.gateway_mut("b.example").start();
        for gateway in &mut lab.gateways {
            gateway.ready().await;
        }
        let (mut alice, bob, _dora) = company(&lab).await;
        lab.quiet().await;
        let path = format!("rooms/{}/users/{}/ban", encoded(room().as_str()), encoded(bob.user().as_str()));
        let ban = async |person: Person| person.try_post("the ban", &path, json!({ "reason": "threats" })).await;
        std::fs::write(&armed, "").unwrap();
        assert!(ban(moderator(&lab)).await.is_none(), "{point}");
        lab.gateway_mut("a.example").crashed().await;
        std::fs::remove_file(&armed).unwrap();
        lab.gateway_mut("a.example").restart().await;
        let told = ban(moderator(&lab)).await.unwrap();
        assert_eq!(told.status, 200, "{point}: {told:?}");
        alice.until_proposed(&room(), 1).await.unwrap();
        assert_eq!(pending(lab.gateway("a.example")), 1, "{point}");
        assert_accepted(&alice.commit_pending(&room()).await.unwrap());
        assert!(!is_here(&alice, bob.user()), "{point}");
        lab.quiet().await;
        let entries = lab.gateway("a.example").database().entries();
        assert_eq!(entries.iter().filter(|entry| entry.record.kind == "moderation.ban").count(), 1, "{point}");
        let proposed = lab.gateway("a.example").database().number("SELECT count(*) FROM events WHERE kind = 2");
        assert_eq!(proposed, 1, "{point}");
    }
}

#[tokio::test]
async fn an_operator_moderates_on_the_command_line() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob, _dora) = company(&lab).await;
    let a = lab.gateway("a.example");
    let (of, user) = (room().to_string(), bob.user().to_string());
    let because = ["--reason", "quarrel", "--case", "CASE-9"];
    let room_command = |words: &[&str]| a.operated(&[&["room"], words, &because].concat());
    room_command(&["freeze", &of]);
    assert_eq!(refusal(alice.say(&room(), "hm").await.unwrap()), "not_allowed");
    room_command(&["unfreeze", &of]);
    room_command(&["remove-user", &user]);
    assert_eq!(refusal(bob.say(&room(), "hm").await.unwrap()), "not_allowed");
    alice.until_proposed(&room(), 1).await.unwrap();
    assert!(a.operated(&["room", "restrictions"]).contains(&user));
    room_command(&["readmit-user", &user]);
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    let mut back = joins(&lab, "b.example/d/bob/laptop").await;
    assert_accepted(&back.say(&room(), "back").await.unwrap());
    for wrong in [["remove-provider", "a.example"], ["remove-user", "mimi://b.example"]] {
        assert_eq!(a.operate(&[&["room"], &wrong[..], &because].concat()).status.code(), Some(2), "{wrong:?}");
    }
    let own = Person::at(a, &["compliance"]).post("peers/a.example/remove", json!({ "reason": "x" })).await;
    assert_eq!(own.refusal(), (400, "malformed"));
    assert_eq!(Person::at(a, &["viewer"]).get("restrictions").await.refusal(), (403, "not_allowed"));
}

#[tokio::test]
async fn a_commit_that_does_not_come_raises_the_alarm_once() {
    let lab = {
        let mut lab = Lab::new(&TWO);
        lab.gateway("a.example").configure("moderation: { alarm_after_seconds: 1 }\n");
        lab.start().await;
        lab
    };
    let (_alice, bob, _dora) = company(&lab).await;
    let person = moderator(&lab);
    good(&person, bob.user(), "ban").await;
    let overdue = async || imposed(&person, &room(), "ban", bob.user().as_str()).await["overdue"] == true;
    eventually("the alarm", async || overdue().await.then_some(())).await;
    let status = person.get("status").await.body;
    assert_eq!(status["moderation"], json!({ "owed": 1, "overdue": 1 }));
    good(&person, bob.user(), "mute").await;
    lab.quiet().await;
    let entries = lab.gateway("a.example").database().entries();
    let alarms: Vec<_> = entries.iter().filter(|entry| entry.record.kind == "moderation.overdue").collect();
    let [alarm] = &alarms[..] else { panic!("{alarms:?}") };
    assert_eq!((alarm.record.outcome, &alarm.record.detail["subject"]), (Outcome::Alarm, &bob.user().as_str().into()));
}

#[tokio::test]
async fn whom_the_room_cannot_do_without_is_barred_all_the_same_and_the_obstacle_is_told() {
    let lab = Lab::open(&["a.example"]).await;
    let mut alice = lab.device("a.example/d/alice/phone").await;
    assert_accepted(&alice.create_room(&room(), "multi-org", "Council").await.unwrap());
    let person = moderator(&lab);
    good(&person, alice.user(), "ban").await;
    assert_eq!(refusal(alice.say(&room(), "I am the last").await.unwrap()), "not_allowed");
    let banned = imposed(&person, &room(), "ban", alice.user().as_str()).await;
    assert_eq!((&banned["cryptographic"], &banned["obstacle"]), (&"owed".into(), &"room.min_active".into()));
    assert_eq!(pending(lab.gateway("a.example")), 0);
    lab.quiet().await;
    let entries = lab.gateway("a.example").database().entries();
    assert_eq!(entries.iter().filter(|entry| entry.record.kind == "moderation.obstructed").count(), 1);
}

#[tokio::test]
async fn two_replicas_make_one_proposal() {
    let cluster = Cluster::start();
    let mut lab = Lab::new(&TWO);
    let replicas = lab.replicas("a.example", cluster.url()).await;
    lab.gateway_mut("b.example").restart().await;
    let (mut alice, bob, _dora) = company(&lab).await;
    let (of, user) = (room().to_string(), bob.user().to_string());
    replicas.gateways[0].operated(&["room", "ban", &of, &user, "--reason", "threats"]);
    alice.until_proposed(&room(), 1).await.unwrap();
    let both = [moderator_of(&replicas.gateways[0]), moderator_of(&replicas.gateways[1])];
    let (one, other) = tokio::join!(moderate(&both[0], bob.user(), "kick"), moderate(&both[1], bob.user(), "remove"));
    assert_eq!((one.status, other.status), (200, 200), "{one:?} {other:?}");
    assert_eq!(pending(&replicas.gateways[0]), 1);
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    assert_in_step(&[&alice]);
    for restriction in ["ban", "kick", "removal"] {
        assert_eq!(imposed(&both[1], &room(), restriction, &user).await["cryptographic"], "done", "{restriction}");
    }
    let proposed = replicas.gateways[0].database().number("SELECT count(*) FROM events WHERE kind = 2");
    assert_eq!(proposed, 1);
}
