//! Devices and users that are deleted: by no way that was open before do they come in again.

use portcullis::member::Device;
use portcullis::provider::CreateRoom;
use portcullis_core::member::Draft;
use portcullis_core::wire::Wire;
use portcullis_core::wire::uri::RoomUri;
use serde_json::{Value, json};

use super::{assert_accepted, assert_in_step, refusal};
use crate::admin::Person;
use crate::harness::{ADMIN, Cluster, Lab, ORDINARY, bring_into, eventually, room, user};
use crate::rights::encoded;

pub(super) const TWO: [&str; 2] = ["a.example", "b.example"];
/// Position of the role of who creates a room by the template `multi-org`.
const SUPER_ADMIN: u32 = 8;
pub(super) const TABLET: &str = "a.example/d/alice/tablet";

pub(super) fn clients(of: &Device, name: &str) -> usize {
    let clients = of.member().clients(&room()).unwrap();
    clients.iter().filter(|client| client.as_str() == format!("mimi://{name}")).count()
}

pub(super) async fn joins(lab: &Lab, name: &str) -> Device {
    let mut device = lab.device(name).await;
    let (_, material) = device.ask_group_info(&room()).await.unwrap();
    assert_accepted(&device.external_join(&room(), &material.unwrap(), None).await.unwrap());
    device
}

/// Alice, Bob, and Cathy of b.example.
pub(super) async fn three(lab: &Lab) -> (Device, Device, Device) {
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut cathy = lab.device("b.example/d/cathy/phone").await;
    lab.bring_in(&mut alice, &mut cathy, ADMIN).await;
    bob.until_epoch(&room(), 2).await.unwrap();
    (alice, bob, cathy)
}

async fn deletes(lab: &Lab, device: &Device) {
    lab.gateway("a.example").client(device.user()).deregister_device(device.client()).await.unwrap();
}

pub(super) async fn restrictions(lab: &Lab, path: &str) -> Vec<Value> {
    let told = Person::at(lab.gateway("a.example"), &["auditor"]).get(path).await;
    told.body["items"].as_array().unwrap_or_else(|| panic!("{told:?}")).clone()
}

pub(super) fn of_room() -> String {
    format!("rooms/{}/restrictions", encoded(room().as_str()))
}

#[tokio::test]
async fn a_device_that_is_deleted_does_not_join_by_a_ticket_from_before() {
    let lab = Lab::open(&TWO).await;
    let (_alice, mut bob) = lab.alice_and_bob().await;
    let mut tablet = lab.device(TABLET).await;
    let (_, material) = tablet.ask_group_info(&room()).await.unwrap();
    deletes(&lab, &tablet).await;
    // Not even when another one of its name is registered.
    lab.device(TABLET).await;
    assert_eq!(refusal(tablet.external_join(&room(), &material.unwrap(), None).await.unwrap()), "not_allowed");
    assert_accepted(&bob.commit_pending(&room()).await.unwrap());
    assert_eq!(clients(&bob, TABLET), 0);
}

#[tokio::test]
async fn a_device_that_is_deleted_is_not_brought_in_by_an_add_that_was_pending() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob, mut cathy) = three(&lab).await;
    let mut dora = lab.device("a.example/d/dora/phone").await;
    dora.publish_key_packages(1).await.unwrap();
    let (_, packages) = alice.claim(dora.user(), &room()).await.unwrap();
    let draft = Draft::default().clients(packages).participant(dora.user().clone(), ORDINARY);
    let proposed = alice.member_mut().propose(&room(), &draft).unwrap();
    assert_accepted(&alice.update(&room(), &proposed).await.unwrap());
    bob.until_proposed(&room(), 2).await.unwrap();
    deletes(&lab, &dora).await;
    lab.device("a.example/d/dora/phone").await;
    assert_eq!(refusal(bob.commit_pending(&room()).await.unwrap()), "invalid_proposal");
    let a = lab.gateway("a.example").database();
    assert_eq!(a.number("SELECT count(*) FROM proposals"), 0, "what was accepted with it has gone with it");
    // Who has not heard of it goes on.
    assert_accepted(&cathy.commit_pending(&room()).await.unwrap());
    assert_eq!(clients(&cathy, "a.example/d/dora/phone"), 0);
}

#[tokio::test]
async fn who_is_registered_again_at_once_has_no_part_in_the_rights_of_its_former_leaf() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut lost = joins(&lab, TABLET).await;
    bob.until_epoch(&room(), 2).await.unwrap();
    deletes(&lab, &lost).await;
    lab.device(TABLET).await;
    assert_eq!(refusal(lost.commit_pending(&room()).await.unwrap()), "not_allowed");
    let unlisted = Draft::default().without_participant(bob.user().clone());
    let proposed = lost.member_mut().propose(&room(), &unlisted).unwrap();
    assert_eq!(refusal(lost.update(&room(), &proposed).await.unwrap()), "not_allowed");
    // Whoever has found the tablet has no say about the phone.
    let others = Draft::default().without_clients(alice.user().clone());
    let proposed = lost.member_mut().propose(&room(), &others).unwrap();
    assert_eq!(refusal(lost.update(&room(), &proposed).await.unwrap()), "not_allowed");
    lab.quiet().await;
    let said = lab.gateway("a.example").database().entries();
    let gone = said.iter().filter(|entry| entry.record.reason == "device_is_gone").count();
    let reasons: Vec<_> = said.iter().map(|entry| (&entry.record.kind, &entry.record.reason)).collect();
    assert_eq!(gone, 3, "the commit, and either proposal: {reasons:?}");
    bob.until_proposed(&room(), 1).await.unwrap();
    assert_accepted(&bob.commit_pending(&room()).await.unwrap());
    assert_eq!(clients(&bob, TABLET), 0);
    alice.until_epoch(&room(), 3).await.unwrap();
    assert_in_step(&[&alice, &bob]);
    // Likewise a user with all of its devices.
    let mut dora = lab.device("a.example/d/dora/phone").await;
    lab.bring_in(&mut alice, &mut dora, ADMIN).await;
    let a = lab.gateway("a.example");
    a.client(dora.user()).deregister_user(dora.user()).await.unwrap();
    lab.device("a.example/d/dora/phone").await;
    assert_eq!(refusal(dora.commit_pending(&room()).await.unwrap()), "not_allowed");
    alice.until_proposed(&room(), 2).await.unwrap();
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    assert_eq!(clients(&alice, "a.example/d/dora/phone"), 0);
    let found = restrictions(&lab, &of_room()).await;
    let left = found.iter().filter(|item| item["restriction"] == "leaf" && item["cryptographic"] == "done").count();
    let in_force = found.iter().filter(|item| item.get("ended_at").is_none()).count();
    assert_eq!((left, in_force), (2, 0), "{found:?}");
}

#[tokio::test]
async fn a_device_that_has_lost_its_keys_comes_back_and_its_former_leaf_goes() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let _lost = joins(&lab, "b.example/d/bob/laptop").await;
    let mut back = joins(&lab, "b.example/d/bob/laptop").await;
    alice.until_proposed(&room(), 1).await.unwrap();
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    assert_eq!(clients(&alice, "b.example/d/bob/laptop"), 1);
    for device in [&mut bob, &mut back] {
        device.until_epoch(&room(), 4).await.unwrap();
    }
    assert_in_step(&[&alice, &bob, &back]);
    assert_accepted(&back.say(&room(), "new keys").await.unwrap());
}

#[tokio::test]
async fn a_device_that_was_registered_while_another_replica_deleted_it_is_as_new() {
    let lab = Lab::open(&["a.example"]).await;
    let tablet = lab.device(TABLET).await;
    deletes(&lab, &tablet).await;
    let in_force = async || {
        let found = restrictions(&lab, "restrictions").await;
        found.iter().filter(|item| item["restriction"] == "device" && item.get("ended_at").is_none()).count()
    };
    assert_eq!(in_force().await, 1);
    // As the other one leaves it, which has found the row when it looked and none when it wrote.
    let a = lab.gateway("a.example");
    a.database().sql(&format!(
        "INSERT INTO devices (client, user_uri, registered_at, seen_at, stale) \
         VALUES ('mimi://{TABLET}', 'mimi://a.example/u/alice', 1, 1, 0)"
    ));
    a.client(tablet.user()).register_device(tablet.client()).await.unwrap();
    assert_eq!(in_force().await, 0);
}

#[tokio::test]
async fn who_deletes_and_registers_itself_all_the_time_disturbs_nobody_and_is_told_to_wait() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, _bob) = lab.alice_and_bob().await;
    let a = lab.gateway("a.example");
    let door = a.client(&user("a.example/u/dora"));
    let version = || a.database().number("SELECT version FROM rooms");
    let before = version();
    let mut told = None;
    for _ in 0..=20 {
        door.register_user(&user("a.example/u/dora")).await.unwrap();
        told = door.deregister_user(&user("a.example/u/dora")).await.err();
    }
    assert_eq!(told.unwrap().problem().unwrap().status, 429);
    assert_eq!(version(), before);
    assert_accepted(&alice.say(&room(), "undisturbed").await.unwrap());
    // They are listed page by page, the user once.
    let listed = restrictions(&lab, "restrictions?limit=1").await;
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (&listed[0]["restriction"], &listed[0]["subject"]),
        (&"deprovisioned".into(), &"mimi://a.example/u/dora".into())
    );
}

#[tokio::test]
async fn what_is_imposed_everywhere_is_listed_page_by_page() {
    let lab = Lab::open(&["a.example"]).await;
    let a = lab.gateway("a.example");
    for name in ["mimi://b.example/u/bob", "mimi://b.example/u/cathy", "mimi://c.example/u/dora"] {
        a.operated(&["room", "remove-user", name, "--reason", "x"]);
    }
    let person = Person::at(a, &["auditor"]);
    let mut seen = Vec::new();
    let mut path = "restrictions?limit=2".to_owned();
    loop {
        let page = person.get(&path).await.body;
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["subject"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("restrictions?limit=2&cursor={next}");
    }
    assert_eq!(seen, ["mimi://b.example/u/bob", "mimi://b.example/u/cathy", "mimi://c.example/u/dora"]);
    assert_eq!(person.get("restrictions?cursor=bm9uZQ").await.refusal(), (400, "malformed"));
}

#[tokio::test]
async fn a_room_that_another_build_has_moved_on_is_found_when_its_users_are_removed_from_everywhere() {
    let mut lab = Lab::open(&TWO).await;
    let (mut alice, bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    let a = lab.gateway_mut("a.example");
    a.kill();
    a.database().sql("DELETE FROM room_leaves; UPDATE rooms SET leaves_epoch = -1");
    a.operated(&["room", "remove-user", bob.user().as_str(), "--reason", "gone"]);
    a.restart().await;
    alice.until_proposed(&room(), 1).await.unwrap();
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    assert_eq!(clients(&alice, "b.example/d/bob/phone"), 0);
    let of_alice = "SELECT count(*) FROM room_leaves WHERE client = 'mimi://a.example/d/alice/phone'";
    let database = lab.gateway("a.example").database();
    assert_eq!((database.number(of_alice), database.number("SELECT count(*) FROM room_leaves")), (1, 1));
}

#[tokio::test]
async fn the_stream_of_a_device_that_is_deleted_at_another_replica_ends_and_tells_nothing_of_its_successor() {
    let cluster = Cluster::start();
    let mut lab = Lab::new(&TWO);
    let replicas = lab.replicas("a.example", cluster.url()).await;
    lab.gateway_mut("b.example").restart().await;
    let (mut alice, _bob) = lab.alice_and_bob().await;
    let [one, other] = &replicas.gateways[..] else { panic!("there are two") };
    let name = crate::harness::client("a.example/d/dora/phone");
    let dora = one.device(name.clone()).await;
    let url = format!("http://{}/v1/devices/{}/events", other.provider, encoded(name.as_str()));
    let old = reqwest::Client::new().get(url).bearer_auth(other.token(dora.user())).send().await.unwrap();
    assert!(old.status().is_success());
    one.client(dora.user()).deregister_device(&name).await.unwrap();
    let mut again = one.device(name).await;
    lab.bring_in(&mut alice, &mut again, ORDINARY).await;
    // It ends, for else this does not.
    assert!(!old.text().await.unwrap().contains("event: "), "the Welcome is for the other one alone");
}

#[tokio::test]
async fn a_pending_add_of_a_banned_user_holds_up_no_room_whatever_the_policies_are() {
    let mut lab = Lab::new(&TWO);
    let policies = lab.gateway("a.example").folder.join("policies");
    let company = policies.join("ceiling/moderation.cedar");
    let shipped = std::fs::read_to_string(&company).unwrap();
    let (before, dropped) = shipped.split_once("// Nobody in the room brings back").unwrap();
    let (_, after) = dropped.split_once("@id(\"company.muted\")").unwrap();
    std::fs::write(&company, format!("{before}@id(\"company.muted\"){after}")).unwrap();
    std::fs::remove_dir_all(policies.join("tests")).unwrap();
    lab.start().await;
    let (mut alice, mut bob, mut cathy) = three(&lab).await;
    let mut dora = lab.device("a.example/d/dora/phone").await;
    dora.publish_key_packages(1).await.unwrap();
    let (_, packages) = alice.claim(dora.user(), &room()).await.unwrap();
    let draft = Draft::default().clients(packages).participant(dora.user().clone(), ORDINARY);
    let proposed = alice.member_mut().propose(&room(), &draft).unwrap();
    assert_accepted(&alice.update(&room(), &proposed).await.unwrap());
    bob.until_proposed(&room(), 2).await.unwrap();
    let path = format!("rooms/{}/users/{}/ban", encoded(room().as_str()), encoded(dora.user().as_str()));
    let told = Person::at(lab.gateway("a.example"), &["moderator"]).post(&path, json!({ "reason": "threats" })).await;
    assert_eq!(told.status, 200, "{told:?}");
    assert_eq!(refusal(bob.commit_pending(&room()).await.unwrap()), "invalid_proposal");
    // Who has not heard of it goes on.
    assert_accepted(&cathy.commit_pending(&room()).await.unwrap());
    assert_eq!(clients(&cathy, "a.example/d/dora/phone"), 0);
}

#[tokio::test]
async fn readmitting_a_user_everywhere_lifts_no_removal_of_a_single_room() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let second = RoomUri::parse("mimi://a.example/r/second").unwrap();
    assert_accepted(&alice.create_room(&second, "strict", "Second").await.unwrap());
    bring_into(&second, &mut alice, &mut bob, ADMIN).await;
    let a = lab.gateway("a.example");
    let (of, bobs) = (room().to_string(), bob.user().to_string());
    a.operated(&["room", "remove", &of, &bobs, "--reason", "here"]);
    a.operated(&["room", "remove-user", &bobs, "--reason", "everywhere"]);
    assert_eq!(refusal(bob.say(&second, "hm").await.unwrap()), "not_allowed");
    alice.until_proposed(&second, 1).await.unwrap();
    a.operated(&["room", "readmit-user", &bobs, "--reason", "everywhere"]);
    assert_eq!(refusal(bob.say(&room(), "hm").await.unwrap()), "not_allowed");
    let found = restrictions(&lab, &of_room()).await;
    assert_eq!((&found[0]["reason"], found[0].get("ended_at")), (&"here".into(), None), "{found:?}");
}

#[tokio::test]
async fn who_is_removed_from_everywhere_starts_no_group_of_a_room_it_had_created() {
    let lab = Lab::open(&["a.example"]).await;
    let a = lab.gateway("a.example");
    let mut alice = lab.device("a.example/d/alice/phone").await;
    let door = a.client(alice.user());
    let new = CreateRoom::new(room(), "strict", "Clubhouse");
    let created = door.create_room(&new).await.unwrap().value;
    let first = alice.member_mut().create_room(&room(), &created.group, &created.extensions.0).unwrap();
    let start = async || door.start_group(&room(), first.group_info.encode(), first.tree.encode()).await;
    a.operated(&["room", "remove-user", alice.user().as_str(), "--reason", "gone"]);
    assert_eq!(start().await.unwrap_err().problem().unwrap().status, 403);
    a.operated(&["room", "readmit-user", alice.user().as_str(), "--reason", "back"]);
    // Nor does a device that was deleted meanwhile.
    deletes(&lab, &alice).await;
    assert_eq!(start().await.unwrap_err().problem().unwrap().code, "not_the_created_room");
    door.register_device(alice.client()).await.unwrap();
    start().await.unwrap();
}

#[tokio::test]
async fn that_the_hub_is_no_external_sender_of_a_room_is_an_obstacle_until_it_is_one() {
    let mut lab = Lab::open(&TWO).await;
    let (mut alice, bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    let a = lab.gateway_mut("a.example");
    a.kill();
    let (hub, kept) = (a.folder.join("keys/hub.key"), a.folder.join("kept"));
    std::fs::rename(&hub, &kept).unwrap();
    std::fs::copy(a.folder.join("keys/franking.key"), &hub).unwrap();
    a.restart().await;
    a.operated(&["room", "ban", room().as_str(), bob.user().as_str(), "--reason", "threats"]);
    let obstacle = async |lab: &Lab| restrictions(lab, &of_room()).await[0].get("obstacle").cloned();
    let missing = Some(Value::from("hub_is_no_external_sender"));
    eventually("the obstacle", async || (obstacle(&lab).await == missing).then_some(())).await;
    let a = lab.gateway_mut("a.example");
    a.kill();
    std::fs::rename(&kept, &hub).unwrap();
    a.restart().await;
    alice.until_proposed(&room(), 1).await.unwrap();
    assert_eq!(obstacle(&lab).await, None);
}

#[tokio::test]
async fn an_obstacle_is_over_when_somebody_else_has_proposed_that_the_user_goes() {
    let lab = Lab::open(&["a.example"]).await;
    let mut alice = lab.device("a.example/d/alice/phone").await;
    assert_accepted(&alice.create_room(&room(), "multi-org", "Council").await.unwrap());
    let a = lab.gateway("a.example");
    a.operated(&["room", "ban", room().as_str(), alice.user().as_str(), "--reason", "threats"]);
    let obstacle = async || restrictions(&lab, &of_room()).await[0].get("obstacle").cloned();
    let last = Some(Value::from("room.min_active"));
    eventually("the obstacle", async || (obstacle().await == last).then_some(())).await;
    a.operated(&["room", "unban", room().as_str(), alice.user().as_str(), "--reason", "over"]);
    let mut dora = lab.device("a.example/d/dora/phone").await;
    lab.bring_in(&mut alice, &mut dora, SUPER_ADMIN).await;
    a.operated(&["room", "ban", room().as_str(), alice.user().as_str(), "--reason", "again"]);
    dora.until_proposed(&room(), 1).await.unwrap();
    assert_eq!(obstacle().await, None);
}
