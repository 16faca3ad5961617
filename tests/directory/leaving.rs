use portcullis::member::{Device, DeviceError};
use portcullis_core::franking::Franking;
use portcullis_core::wire::Wire;
use portcullis_core::wire::report_abuse::{AbuseReport, AbuseType};
use portcullis_core::wire::uri::RoomUri;
use serde_json::json;

use super::{Idp, lab, open_door, recorded};
use crate::federation::assert_accepted;
use crate::harness::{ADMIN, Cluster, Gateway, Lab, ORDINARY, bring_into, eventually, room};

/// How the provider door refuses something: status and code.
fn refusal<T: std::fmt::Debug>(refused: Result<T, DeviceError>) -> (u16, String) {
    let DeviceError::Door(error) = refused.unwrap_err() else { panic!("not by the door") };
    let problem = error.problem().unwrap_or_else(|| panic!("{error:?}"));
    (problem.status, problem.code.clone())
}

fn clients(of: &Device, room: &RoomUri) -> Vec<String> {
    of.member().clients(room).unwrap().iter().map(ToString::to_string).collect()
}

/// A room that the second provider hosts, with Bob in it.
async fn room_of_b(bob: &mut Device) -> RoomUri {
    let elsewhere = RoomUri::parse("mimi://b.example/r/elsewhere").unwrap();
    assert_accepted(&bob.create_room(&elsewhere, "strict", "Elsewhere").await.unwrap());
    elsewhere
}

async fn deactivate(idp: &Idp, name: &str) {
    let id = idp.found("Users", &format!("userName eq \"{name}\"")).await.remove(0);
    let off = json!([{ "op": "replace", "path": "active", "value": false }]);
    idp.patch(&format!("Users/{id}"), off).await.good();
}

#[tokio::test]
async fn whoever_is_deactivated_leaves_and_reports_and_everything_else_is_refused_and_on_the_record() {
    let lab = lab(&["a.example", "b.example"]).await;
    let (mut alice, _bob) = lab.alice_and_bob().await;
    let a = lab.gateway("a.example");
    let idp = Idp::of(a);
    let mut dora = lab.device("a.example/d/dora/phone").await;
    lab.bring_in(&mut alice, &mut dora, ORDINARY).await;
    idp.user(json!({ "userName": "dora" })).await;
    assert_accepted(&alice.say(&room(), "something bad").await.unwrap());
    let Franking::Verified(evidence) = dora.until_text(&room(), "something bad").await.unwrap().franking else {
        panic!("not franked")
    };
    deactivate(&idp, "dora").await;
    let door = a.client(dora.user());
    assert_eq!(dora.say(&room(), "my last words").await.unwrap().answer.unwrap_err().code, "user_deactivated");
    assert_eq!(refusal(dora.publish_key_packages(1).await), (403, "user_deactivated".to_owned()));
    let report = AbuseReport {
        reporter: Some(dora.user().clone()),
        alleged: alice.user().clone(),
        reason: AbuseType::default(),
        note: b"she said so".to_vec(),
        messages: vec![evidence.message()],
        extensions: Default::default(),
    };
    assert!(door.report(&room(), report.encode()).await.unwrap().is_some(), "it names the decision");
    // The door lets her ask to go, which the hub has proposed already; nothing else is taken from her.
    alice.until_proposed(&room(), 1).await.unwrap();
    assert_eq!(dora.leave(&room()).await.unwrap().answer.unwrap_err().code, "not_allowed");
    assert_eq!(dora.commit_pending(&room()).await.unwrap().answer.unwrap_err().code, "not_allowed");
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    assert!(!clients(&alice, &room()).contains(&dora.client().to_string()));
    // Her device is gone with her rights.
    let gone = door.deregister_device(dora.client()).await.unwrap_err();
    assert_eq!(gone.problem().unwrap().status, 404);
    lab.quiet().await;
    assert_eq!(recorded(a, "decision.proposal").pop().unwrap().record.reason, "device_is_gone");
    let told = recorded(a, "decision.deactivated");
    let asked: Vec<&str> = told.iter().map(|entry| entry.record.detail["asked"].as_str().unwrap()).collect();
    assert_eq!(asked, ["POST /v1/rooms/{room}/messages", "POST /v1/devices/{device}/key-packages"]);
    assert!(told.iter().all(|entry| entry.record.actor.as_deref() == Some("mimi://a.example/u/dora")));
}

/// Whose rights end while it is in a room of its own provider, and in one of another.
async fn goes_from_everywhere(lab: &Lab, (here, there): (&Gateway, &Gateway)) {
    let idp = Idp::of(here);
    let mut alice = here.device(crate::harness::client("a.example/d/alice/phone")).await;
    let mut bob = lab.device("b.example/d/bob/phone").await;
    assert_accepted(&alice.create_room(&room(), "strict", "Clubhouse").await.unwrap());
    lab.bring_in(&mut alice, &mut bob, ADMIN).await;
    let elsewhere = room_of_b(&mut bob).await;
    // She is where she is not told.
    let mut dora = there.device(crate::harness::client("a.example/d/dora/phone")).await;
    lab.bring_in(&mut alice, &mut dora, ORDINARY).await;
    bring_into(&elsewhere, &mut bob, &mut dora, ORDINARY).await;
    idp.user(json!({ "userName": "dora" })).await;
    assert_accepted(&dora.say(&elsewhere, "hello").await.unwrap());
    bob.until_text(&elsewhere, "hello").await.unwrap();
    deactivate(&idp, "dora").await;
    for room in [&room(), &elsewhere] {
        let refused = dora.say(room, "my last words").await.unwrap().answer.unwrap_err();
        assert!(["user_deactivated", "not_allowed"].contains(&refused.code.as_str()), "{refused:?}");
    }
    // Ours: the hub proposes it, and a member commits.
    bob.until_proposed(&room(), 1).await.unwrap();
    assert_accepted(&bob.commit_pending(&room()).await.unwrap());
    assert!(!clients(&bob, &room()).contains(&dora.client().to_string()));
    // Of another hub: her device is told, reads what it needs for that and nothing else, and proposes it itself.
    assert_accepted(&bob.say(&elsewhere, "not for dora").await.unwrap());
    dora.until_leaving(&elsewhere).await.unwrap();
    bob.until_proposed(&elsewhere, 1).await.unwrap();
    assert_accepted(&bob.commit_pending(&elsewhere).await.unwrap());
    assert!(!clients(&bob, &elsewhere).contains(&dora.client().to_string()));
    assert!(dora.heard(&elsewhere).all(|heard| !format!("{heard:?}").contains("not for dora")));
    eventually("nothing is left of her device", async || {
        (here.database().number("SELECT count(*) FROM devices WHERE client LIKE '%dora%'") == 0).then_some(())
    })
    .await;
    assert_eq!(here.database().number("SELECT count(*) FROM users WHERE uri LIKE '%dora'"), 0);
}

#[tokio::test]
async fn whoever_is_deactivated_goes_from_every_room_here_and_elsewhere() {
    let lab = lab(&["a.example", "b.example"]).await;
    let a = lab.gateway("a.example");
    goes_from_everywhere(&lab, (a, a)).await;
}

#[tokio::test]
async fn whoever_is_deactivated_at_one_replica_goes_from_every_room_at_all_of_them() {
    let cluster = Cluster::start();
    let mut lab = Lab::new(&["a.example", "b.example"]);
    open_door(lab.gateway("a.example"));
    let b = lab.gateway_mut("b.example");
    b.start();
    b.ready().await;
    let replicas = lab.replicas("a.example", cluster.url()).await;
    let [one, other] = &replicas.gateways[..] else { panic!("two") };
    goes_from_everywhere(&lab, (one, other)).await;
}

#[tokio::test]
async fn a_device_that_has_a_room_of_another_hub_to_leave_does_nothing_else_and_can_be_deleted() {
    let lab = lab(&["a.example", "b.example"]).await;
    let (_alice, mut bob) = lab.alice_and_bob().await;
    let a = lab.gateway("a.example");
    let idp = Idp::of(a);
    let elsewhere = room_of_b(&mut bob).await;
    let mut dora = lab.device("a.example/d/dora/phone").await;
    bring_into(&elsewhere, &mut bob, &mut dora, ORDINARY).await;
    dora.publish_key_packages(2).await.unwrap();
    idp.user(json!({ "userName": "dora" })).await;
    deactivate(&idp, "dora").await;
    let number = |query: &str| a.database().number(query);
    assert_eq!(number("SELECT count(*) FROM key_packages WHERE client LIKE '%dora%'"), 0);
    assert_eq!(number("SELECT count(*) FROM devices WHERE client LIKE '%dora%' AND retired = 1"), 1);
    assert_eq!(refusal(dora.publish_key_packages(1).await), (403, "user_deactivated".to_owned()));
    let renewed = dora.commit_pending(&elsewhere).await.unwrap().answer.unwrap_err();
    assert_eq!(renewed.code, "not_allowed");
    a.client(dora.user()).deregister_device(dora.client()).await.unwrap();
    assert_eq!(number("SELECT count(*) FROM devices WHERE client LIKE '%dora%'"), 0);
    // Whoever is active again comes as new.
    let mut laptop = lab.device("a.example/d/alice/laptop").await;
    bring_into(&elsewhere, &mut bob, &mut laptop, ORDINARY).await;
    idp.user(json!({ "userName": "alice" })).await;
    deactivate(&idp, "alice").await;
    assert_eq!(number("SELECT count(*) FROM devices WHERE client LIKE '%alice%' AND retired = 1"), 1);
    let id = idp.found("Users", "userName eq \"alice\"").await.remove(0);
    idp.patch(&format!("Users/{id}"), json!([{ "op": "add", "value": { "active": true } }])).await.good();
    assert_eq!(number("SELECT count(*) FROM devices WHERE client LIKE '%alice%'"), 0);
    lab.device("a.example/d/alice/tablet").await;
}
