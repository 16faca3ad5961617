//! Which room policies a company accepts, at the hub and at a follower, and what it says of them.

use std::time::Duration;

use portcullis::provider::{CreateRoom, RoomCreated};
use portcullis_core::member::Draft;
use portcullis_core::wire::Wire;
use portcullis_core::wire::components::{Component, RoomMetadata};
use portcullis_core::wire::uri::RoomUri;
use portcullis_store::audit::{AuditEntry, Outcome};
use reqwest::{Certificate, Client};
use serde_json::json;

use super::{assert_accepted, refusal};
use crate::harness::{ADMIN, Gateway, Lab, ORDINARY, edit, eventually, portcullis, room};
use crate::rights::{caller_of, certificate_until};

const TWO: [&str; 2] = ["a.example", "b.example"];

/// Has the company accept these rooms only.
async fn accept(gateway: &Gateway, envelope: &str) {
    let file = gateway.folder.join("policies/settings.yaml");
    edit(&file, "providers: []", &format!("envelope: {envelope}\nproviders: []"));
    let before = gateway.log().matches("policies are reloaded").count();
    gateway.signal("HUP");
    eventually("the envelope counts", async || {
        (gateway.log().matches("policies are reloaded").count() > before).then_some(())
    })
    .await;
}

fn outside(gateway: &Gateway, kind: &str) -> Vec<AuditEntry> {
    let mut entries = gateway.database().entries();
    entries.retain(|entry| entry.record.kind == kind && entry.record.reason == "room.outside_envelope");
    entries
}

#[tokio::test]
async fn a_hub_lets_no_room_of_its_own_leave_the_envelope() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let a = lab.gateway("a.example");
    accept(a, "{ metadata: [name], roles: { ordinary_user: [a.example] }, never: [open_join] }").await;
    assert_accepted(&bob.say(&room(), "what was so already may stay").await.unwrap());
    let mut carol = lab.device("b.example/d/carol/phone").await;
    carol.publish_key_packages(1).await.unwrap();
    let (_, packages) = alice.claim(carol.user(), &room()).await.unwrap();
    let added = alice.add(&room(), packages, (carol.user().clone(), ORDINARY)).await.unwrap();
    assert_eq!(refusal(added), "not_allowed");
    let mut dave = lab.device("a.example/d/dave/phone").await;
    lab.bring_in(&mut alice, &mut dave, ORDINARY).await;
    let unnamed = RoomUri::parse("mimi://a.example/r/unnamed").unwrap();
    assert_eq!(refusal(alice.create_room(&unnamed, "strict", "").await.unwrap()), "not_allowed");
    lab.quiet().await;
    let [commit] = &outside(a, "decision.commit")[..] else { panic!("one record") };
    let said = commit.record.detail["outside"][0].as_str().unwrap();
    assert_eq!(said, "`mimi://b.example/u/carol` has the role `ordinary_user`");
    assert_eq!(outside(a, "decision.room").len(), 1);
}

#[tokio::test]
async fn users_of_a_follower_do_nothing_but_leave_in_a_room_outside_of_its_envelope() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, _bob) = lab.alice_and_bob().await;
    let mut carol = lab.device("b.example/d/carol/phone").await;
    lab.bring_in(&mut alice, &mut carol, ORDINARY).await;
    let (a, b) = (lab.gateway("a.example"), lab.gateway("b.example"));
    assert_accepted(&carol.say(&room(), "hello").await.unwrap());
    accept(b, "{ max_users: 9 }").await;
    assert_eq!(refusal(carol.say(&room(), "hello?").await.unwrap()), "not_allowed");
    assert_accepted(&alice.say(&room(), "I may").await.unwrap());
    carol.until_text(&room(), "I may").await.unwrap();
    assert_accepted(&carol.leave(&room()).await.unwrap());
    lab.quiet().await;
    let [said] = &outside(b, "decision.message")[..] else { panic!("one record") };
    assert_eq!(said.record.detail["outside"], json!(["the room takes more than 9 users"]));
    assert!(outside(a, "decision.message").is_empty());
}

#[tokio::test]
async fn users_of_a_follower_take_out_who_leaves_a_room_outside_and_come_back_and_nobody_else_comes() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut carol = lab.device("b.example/d/carol/phone").await;
    lab.bring_in(&mut alice, &mut carol, ORDINARY).await;
    lab.quiet().await;
    let b = lab.gateway("b.example");
    accept(b, "{ max_users: 9 }").await;
    assert_accepted(&carol.leave(&room()).await.unwrap());
    lab.quiet().await;
    bob.until_proposed(&room(), 2).await.unwrap();
    assert_accepted(&bob.commit_pending(&room()).await.unwrap());
    let mut tablet = lab.device("b.example/d/bob/tablet").await;
    let (told, material) = tablet.ask_group_info(&room()).await.unwrap();
    assert!(told.answer.is_ok() && material.is_some(), "who is in it may come back: {told:?}");
    let mut dave = lab.device("b.example/d/dave/phone").await;
    assert!(dave.ask_group_info(&room()).await.unwrap().0.answer.is_err());
    lab.quiet().await;
    assert!(outside(b, "decision.commit").is_empty());
}

#[tokio::test]
async fn a_commit_of_another_hub_that_leads_a_room_out_of_the_envelope_raises_the_alarm() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, _bob) = lab.alice_and_bob().await;
    let b = lab.gateway("b.example");
    accept(b, "{ roles: { ordinary_user: [b.example] } }").await;
    let mut dave = lab.device("a.example/d/dave/phone").await;
    lab.bring_in(&mut alice, &mut dave, ORDINARY).await;
    lab.quiet().await;
    let [arrived] = &outside(b, "arrival.commit")[..] else { panic!("one record") };
    assert_eq!(arrived.record.outcome, Outcome::Alarm);
    assert_eq!(arrived.record.detail["answer"], "deliver_with_alarm");
}

#[tokio::test]
async fn what_changes_in_a_room_that_is_not_tracked_is_held_against_the_envelope_by_itself() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let b = lab.gateway("b.example");
    accept(b, "{ metadata: [subject] }").await;
    lab.quiet().await;
    b.database().sql("UPDATE rooms SET status = 3, version = version + 1; DELETE FROM room_states");
    let metadata = |subject: &str| {
        let [name, subject] = ["Clubhouse", subject].map(str::to_owned);
        let [avatar, mood] = [const { String::new() }; 2];
        let metadata = RoomMetadata { room: room(), name, descriptions: Vec::new(), avatar, subject, mood };
        Draft::default().component(RoomMetadata::ID, Some(metadata.encode()))
    };
    let renamed = bob.member_mut().commit(&room(), &metadata(" ")).unwrap();
    assert_eq!(refusal(bob.update(&room(), &renamed).await.unwrap()), "not_allowed");
    lab.quiet().await;
    let [denied] = &outside(b, "decision.commit")[..] else { panic!("one record") };
    assert_eq!(denied.record.detail["outside"], json!(["the room lacks a subject"]));
    let renamed = alice.member_mut().commit(&room(), &metadata("")).unwrap();
    assert_accepted(&alice.update(&room(), &renamed).await.unwrap());
    lab.quiet().await;
    let [arrived] = &outside(b, "arrival.commit")[..] else { panic!("one record") };
    assert_eq!(arrived.record.outcome, Outcome::Alarm);
}

#[tokio::test]
async fn a_room_that_waits_for_its_group_is_asked_again_and_says_what_a_room_must_have() {
    let lab = Lab::open(&TWO).await;
    let a = lab.gateway("a.example");
    let mut alice = lab.device("a.example/d/alice/phone").await;
    let room_of = |name: &str| RoomUri::parse(&format!("mimi://a.example/r/{name}")).unwrap();
    let door = a.client(alice.user());
    let created = door.create_room(&CreateRoom::new(room_of("early"), "strict", "Early")).await.unwrap().value;
    accept(a, "{ metadata: [name, description, avatar, subject], never: [pseudonyms] }").await;
    let first = alice.member_mut().create_room(&created.room, &created.group, &created.extensions.0).unwrap();
    let (info, tree) = (first.group_info.as_bytes().to_vec(), first.tree.as_bytes().to_vec());
    assert!(door.start_group(&created.room, info, tree).await.is_err(), "it has no description");
    assert_eq!(refusal(alice.create_room(&room_of("bare"), "strict", "Bare").await.unwrap()), "not_allowed");
    let told = CreateRoom {
        description: "what it is for".to_owned(),
        avatar: "https://a.example/avatar".to_owned(),
        subject: "now".to_owned(),
        ..CreateRoom::new(room_of("told"), "strict", "Told")
    };
    assert_accepted(&alice.found_room(&told).await.unwrap());
    lab.quiet().await;
    let [group] = &outside(a, "decision.group")[..] else { panic!("one record") };
    let lacks = ["the room lacks a description", "the room lacks an avatar", "the room lacks a subject"];
    assert_eq!(group.record.detail["outside"], json!(lacks));
    assert_eq!(outside(a, "decision.room").len(), 1);
}

#[tokio::test]
async fn a_proposal_that_leads_out_by_the_time_it_is_committed_is_withdrawn_and_the_room_goes_on() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut carol = lab.device("b.example/d/carol/phone").await;
    lab.bring_in(&mut alice, &mut carol, ORDINARY).await;
    bob.until_epoch(&room(), 2).await.unwrap();
    let raise = Draft::default().role(carol.user().clone(), ADMIN);
    let proposals = alice.member_mut().propose(&room(), &raise).unwrap();
    assert_accepted(&alice.update(&room(), &proposals).await.unwrap());
    bob.until_proposed(&room(), 1).await.unwrap();
    let a = lab.gateway("a.example");
    accept(a, "{ roles: { group_admin: [a.example] } }").await;
    assert_eq!(refusal(bob.commit_pending(&room()).await.unwrap()), "invalid_proposal");
    lab.quiet().await;
    let [withdrawn] = &outside(a, "decision.pending")[..] else { panic!("one record") };
    let said = ["`mimi://b.example/u/carol` has the role `group_admin`"];
    assert_eq!(withdrawn.record.detail["outside"], json!(said), "and not that of Bob, who had it before");
    assert_eq!(withdrawn.record.actor.as_deref(), Some(alice.user().as_str()));
    assert_accepted(&carol.say(&room(), "I am what I was").await.unwrap());
}

#[tokio::test]
async fn peers_and_users_read_the_envelope_and_verify_it_and_strangers_and_forgeries_are_refused() {
    let lab = Lab::open(&TWO).await;
    let a = lab.gateway("a.example");
    let ceiling = "@id(\"company.no-calls\")\n@reason(\"NO_CALLS\")\n@advisory\nforbid (\n  principal,\n  \
        action == Mimi::Action::\"canStartCall\",\n  resource is Mimi::Room\n);\n";
    let alice = lab.device("a.example/d/alice/phone").await;
    let asked = || Client::new().get(format!("http://{}/v1/envelope", a.provider));
    let own = async || asked().bearer_auth(a.token(alice.user())).send().await.unwrap().text().await.unwrap();
    assert_eq!(asked().send().await.unwrap().status().as_u16(), 401);
    let before = own().await;
    assert!(before.contains("# - every room policy\n"));
    assert_eq!(own().await, before, "it is made once");
    std::fs::write(a.folder.join("policies/ceiling/calls.cedar"), ceiling).unwrap();
    accept(a, "{ metadata: [name], never_granted: [canCopyMessage] }").await;
    let trust = Certificate::from_pem(&std::fs::read(a.folder.join("keys/ca.pem")).unwrap()).unwrap();
    let outside = Client::builder().tls_certs_only([trust]).no_proxy().resolve("a.example", a.federation);
    let url = format!("https://a.example:{}/.well-known/portcullis-envelope", a.federation.port());
    let stranger = outside.build().unwrap().get(&url).header("from", "mimi@b.example").send().await.unwrap();
    assert!(stranger.status().is_client_error() && !stranger.text().await.unwrap().contains("a room has a name"));
    let of_b = certificate_until(&a.folder.with_file_name("ca"), "b.example", Duration::from_secs(3600));
    let note =
        caller_of(a, Some(&of_b)).get(url).header("from", "mimi@b.example").send().await.unwrap().text().await.unwrap();
    for said in [
        "# - a room has a name\n",
        "# - no role has canCopyMessage\n",
        "# - whatever a role grants, nobody is allowed canStartCall\n",
        "envelope: {\"metadata\":[\"name\"],\"never_granted\":[\"canCopyMessage\"]}\n",
        "domains: [\"a.example\"]\n",
        "messageBytes",
    ] {
        assert!(note.contains(said), "`{said}` is not in {note}");
    }
    assert!(!note.contains("company."), "a policy is named: {note}");
    assert_eq!(own().await, note);
    assert!(note.contains("a.example/envelope"));

    let key = a.operated(&["policy", "envelope", "key"]);
    let other = lab.gateway("b.example").operated(&["policy", "envelope", "key"]);
    let file = a.folder.join("a.note");
    let verify = |note: &str, key: &str| {
        std::fs::write(&file, note).unwrap();
        let file = file.to_str().unwrap();
        portcullis().args(["policy", "envelope", "verify", file, "--key", key.trim()]).output().unwrap()
    };
    let good = verify(&note, &key);
    assert!(good.status.success(), "{good:?}");
    assert!(note.starts_with(String::from_utf8(good.stdout).unwrap().trim_end()));
    let whose = String::from_utf8(good.stderr).unwrap();
    assert!(whose.starts_with("of a.example, signed by a.example/envelope+"), "{whose}");
    let of = |domain: &str| {
        let arguments =
            ["policy", "envelope", "verify", file.to_str().unwrap(), "--key", key.trim(), "--domain", domain];
        portcullis().args(arguments).output().unwrap().status.code()
    };
    assert_eq!((of("a.example"), of("b.example")), (Some(0), Some(2)));
    let forged = verify(&note.replace("no role has", "any role has"), &key);
    assert_eq!((forged.status.code(), forged.stdout.as_slice()), (Some(2), &b""[..]));
    assert_eq!(verify(&note, &other).status.code(), Some(2));
    let shown = a.operated(&["policy", "envelope", "show"]);
    assert!(verify(&shown, &key).status.success());
}

#[tokio::test]
async fn whoever_creates_a_room_is_told_what_its_roles_grant_in_vain() {
    let lab = Lab::open(&TWO).await;
    let a = lab.gateway("a.example");
    let ceiling = "@id(\"company.no-end\")\n@reason(\"NO_END\")\nforbid (\n  principal,\n  \
        action == Mimi::Action::\"canDestroyRoom\",\n  resource is Mimi::Room\n);\n";
    std::fs::write(a.folder.join("policies/ceiling/end.cedar"), ceiling).unwrap();
    accept(a, "{}").await;
    let alice = lab.device("a.example/d/alice/phone").await;
    let request = Client::new().post(format!("http://{}/v1/rooms", a.provider)).bearer_auth(a.token(alice.user()));
    let request = request.header(portcullis::http::IDEMPOTENCY_KEY, "one");
    let new = json!({ "room": "mimi://a.example/r/new", "template": "strict", "name": "New" });
    let answer = request.body(new.to_string()).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 201);
    let created: RoomCreated = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    let told: Vec<(&str, &str)> =
        created.granted_in_vain.iter().map(|it| (it.role.as_str(), it.capability.as_str())).collect();
    assert_eq!(told, [("super_admin", "canDestroyRoom"), ("policy_enforcer", "canDestroyRoom")]);
    lab.quiet().await;
    let entries = a.database().entries();
    let record = &entries.iter().find(|entry| entry.record.decision == Some(created.decision)).unwrap().record;
    assert_eq!(record.detail["granted_in_vain"][0]["policy"], "company.no-end");
}
