use portcullis_core::wire::uri::RoomUri;
use portcullis_store::audit::Outcome;

use super::policies::person;
use super::{Person, ROOM, recorded};
use crate::harness::Lab;

const TWO: [&str; 2] = ["a.example", "b.example"];

#[tokio::test]
async fn the_status_names_version_bundle_and_database_and_counts_what_there_is() {
    let lab = Lab::open(&TWO).await;
    let (_alice, _bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    let hub = lab.gateway("a.example");
    let status = Person::at(hub, &["viewer"]).get("status").await.good().body;
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (&status["database"], &status["rooms"], &status["outbox_backlog"]),
        (&"sqlite".into(), &1.into(), &0.into())
    );
    assert_eq!(status["domains"], serde_json::json!(["a.example"]));
    assert_eq!(status["lanes"], serde_json::json!({ "owing": 0, "parked": 0 }));
    let entries = hub.database().entries();
    let last = entries.last().unwrap();
    assert_eq!((&status["audit"]["last_position"], &status["audit"]["unsequenced"]), (&last.seq.into(), &0.into()));
    let bundle = entries.iter().rev().find_map(|entry| entry.record.bundle).unwrap();
    let bundle: String = bundle.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(status["bundle"], bundle);
}

#[tokio::test]
async fn a_person_that_asks_too_often_waits_and_nobody_else_does() {
    let mut lab = Lab::new(&["a.example"]);
    lab.gateways[0].configure("limits: { operator: { per_minute: 1, burst: 5 } }\n");
    lab.gateways[0].restart().await;
    let gateway = lab.gateway("a.example");
    let viewer = Person::at(gateway, &["viewer"]);
    for _ in 0..5 {
        viewer.get("status").await.good();
    }
    assert_eq!(viewer.get("status").await.refusal(), (429, "too_many_requests"));
    person(gateway, "somebody", &["viewer"]).get("status").await.good();
}

#[tokio::test]
async fn rooms_come_in_pages_and_one_shows_who_is_in_it() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, bob) = lab.alice_and_bob().await;
    let second = RoomUri::parse("mimi://a.example/r/second").unwrap();
    assert!(alice.create_room(&second, "strict", "Second").await.unwrap().answer.is_ok());
    let viewer = Person::at(lab.gateway("a.example"), &["viewer"]);
    let first = viewer.get("rooms?limit=1").await.good().body;
    assert_eq!(first["items"][0]["room"], "mimi://a.example/r/clubhouse");
    let next = viewer.get(&format!("rooms?limit=1&cursor={}", first["next"].as_str().unwrap())).await.good().body;
    assert_eq!((&next["items"][0]["room"], &next["next"]), (&second.as_str().into(), &serde_json::Value::Null));
    let room = viewer.get(&format!("rooms/{ROOM}")).await.good().body;
    assert_eq!(
        (&room["epoch"], &room["state"], &room["members"]["name"]),
        (&1.into(), &"active".into(), &"Clubhouse".into())
    );
    let participants = room["members"]["participants"].as_array().unwrap();
    let bob = participants.iter().find(|participant| participant["user"] == bob.user().as_str()).unwrap();
    assert_eq!((&bob["role"], &bob["role_name"]), (&3.into(), &"group_admin".into()));
    assert_eq!(room["members"]["clients"].as_array().unwrap().len(), 2);
    assert_eq!(
        room["members"]["restrictions"],
        serde_json::json!({ "frozen": false, "legal_hold": false, "muted": [] })
    );
    assert_eq!(room["lanes"], serde_json::json!([]));
    let moderator = Person::at(lab.gateway("a.example"), &["moderator"]);
    let moderated = moderator.get(&format!("rooms/{ROOM}")).await.good().body;
    assert_eq!((&moderated["members"], moderated.get("lanes")), (&room["members"], None));
    assert_eq!(viewer.get("rooms/mimi%3A%2F%2Fa.example%2Fr%2Fnowhere").await.refusal(), (404, "not_found"));
    assert_eq!(viewer.get("rooms?cursor=invented").await.refusal(), (400, "malformed"));
    assert_eq!(viewer.get("rooms?colour=blue").await.refusal(), (400, "malformed"));
}

#[tokio::test]
async fn a_refused_look_is_on_the_record_and_only_people_are_told_which_policy_refuses() {
    let mut lab = Lab::new(&["a.example"]);
    let policy = "@id(\"company.no-rooms\") @reason(\"ROOMS_ARE_PRIVATE\")\n\
        forbid (principal is Mimi::Operator, action == Mimi::Action::\"viewRooms\", resource is Mimi::Provider)\n\
        unless { principal in Mimi::OperatorRole::\"moderator\" };\n";
    std::fs::write(lab.gateway("a.example").folder.join("policies/ceiling/rooms.cedar"), policy).unwrap();
    lab.gateway_mut("a.example").restart().await;
    let gateway = lab.gateway("a.example");
    let refused = Person::at(gateway, &["admin"]).get("rooms").await;
    assert_eq!(refused.refusal(), (403, "not_allowed"));
    assert_eq!(refused.body["policies"], serde_json::json!(["company.no-rooms"]));
    assert_eq!(refused.body["reason"], "ROOMS_ARE_PRIVATE");
    assert!(Person::at(gateway, &["admin", "moderator"]).get("rooms").await.good().decision.is_none());
    lab.quiet().await;
    let decision = refused.decision.unwrap();
    assert_eq!(refused.body["decision"], decision.to_string());
    let [entry] = &recorded(gateway, decision)[..] else { panic!("one record") };
    assert_eq!((entry.record.kind.as_str(), entry.record.outcome), ("decision.admin", Outcome::Deny));
    assert_eq!(entry.record.actor.as_deref(), Some("operator:ops"));
    assert_eq!(entry.record.policy, ["company.no-rooms"]);
}
