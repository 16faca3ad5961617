use portcullis::http::token::{AUDIENCE, Grant, TokenKey};
use portcullis::member::Device;
use portcullis::provider::client::Client;
use portcullis_core::wire::uri::RoomUri;

use super::{open_door, recorded};
use crate::federation::assert_accepted;
use crate::harness::{ADMIN, Gateway, Lab, ORDINARY, bring_into, client, edit, eventually, room, user};

/// A client of a user whose own token says this of its devices, or nothing.
fn door(gateway: &Gateway, name: &str, devices: Option<&str>) -> Client {
    let pem = std::fs::read_to_string(gateway.folder.join("keys/token.key")).unwrap();
    let values = [devices.unwrap_or_default().to_owned()];
    let subject = user(name);
    let grant = Grant {
        subject: subject.as_str(),
        audience: AUDIENCE,
        issuer: None,
        scope: "",
        roles: devices.map(|_| ("devices", &values[..])),
        lifetime_seconds: 3600,
    };
    gateway.client_with(TokenKey::from_pem(&pem).unwrap().sign(&grant).unwrap())
}

#[tokio::test]
async fn what_a_token_says_at_registration_decides_who_comes_into_rooms_here_and_elsewhere() {
    let mut lab = Lab::new(&["a.example", "b.example"]);
    let gateway = lab.gateway("a.example");
    open_door(gateway);
    edit(&gateway.config_file(), "  provider:\n", "  provider:\n    claims: [devices]\n");
    let folder = gateway.folder.join("policies");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/policies/examples/managed-devices/ceiling/managed.cedar");
    std::fs::copy(example, folder.join("ceiling/managed.cedar")).unwrap();
    let settings = folder.join("settings.yaml");
    edit(&settings, "rules: []\n\n", "rules:\n- { claims: { devices: managed }, managed: true }\n\n");
    edit(&settings, "providers: []", "providers:\n- { domain: b.example, users: { managed: true } }");
    let labels = "rooms:\n- { uri: 'mimi://a.example/r/clubhouse', labels: [managed] }\n\
                  - { uri: 'mimi://b.example/r/elsewhere', labels: [managed] }\n";
    edit(&settings, "rooms: []", labels);
    lab.start().await;
    let a = lab.gateway("a.example");
    let device = async |name: &str, devices: Option<&str>| {
        let phone = client(&format!("a.example/d/{name}/phone"));
        Device::register(door(a, &format!("a.example/u/{name}"), devices), phone).await.unwrap()
    };
    let mut alice = device("alice", Some("managed")).await;
    let mut bob = lab.device("b.example/d/bob/phone").await;
    assert_accepted(&alice.create_room(&room(), "strict", "Clubhouse").await.unwrap());
    lab.bring_in(&mut alice, &mut bob, ADMIN).await;
    // At the hub: whose token says nothing, or something else, is not let in until it says so.
    let mut dora = device("dora", Some("own")).await;
    dora.publish_key_packages(3).await.unwrap();
    let (_, packages) = alice.claim(dora.user(), &room()).await.unwrap();
    let refused = alice.add(&room(), packages, (dora.user().clone(), ORDINARY)).await.unwrap();
    assert_eq!(refused.answer.unwrap_err().code, "not_allowed");
    door(a, "a.example/u/dora", Some("managed")).register_user(dora.user()).await.unwrap();
    lab.bring_in(&mut alice, &mut dora, ORDINARY).await;
    assert_accepted(&dora.say(&room(), "managed").await.unwrap());
    // What her own token says counts as it was said last.
    a.client(dora.user()).register_user(dora.user()).await.unwrap();
    assert!(dora.say(&room(), "no longer").await.unwrap().answer.is_err());
    door(a, "a.example/u/dora", Some("managed")).register_user(dora.user()).await.unwrap();
    // As a follower: the Welcome of another hub is kept from whose devices are not managed.
    let elsewhere = RoomUri::parse("mimi://b.example/r/elsewhere").unwrap();
    assert_accepted(&bob.create_room(&elsewhere, "strict", "Elsewhere").await.unwrap());
    bring_into(&elsewhere, &mut bob, &mut dora, ORDINARY).await;
    let mut eve = device("eve", None).await;
    eve.publish_key_packages(1).await.unwrap();
    let (_, packages) = bob.claim(eve.user(), &elsewhere).await.unwrap();
    assert_accepted(&bob.add(&elsewhere, packages, (eve.user().clone(), ORDINARY)).await.unwrap());
    eventually("the Welcome is kept from her", async || {
        let told = recorded(a, "arrival.welcome");
        told.iter().any(|entry| entry.record.reason == "DEVICES_NOT_MANAGED").then_some(())
    })
    .await;
    assert!(a.database().stream(eve.client()).iter().all(|row| row.item.kind != "welcome"));
    // Each decision shows who says so.
    lab.quiet().await;
    let mut said = recorded(a, "decision.message").into_iter();
    let said = said.find(|entry| entry.record.actor.as_deref() == Some(dora.user().as_str())).unwrap();
    let person = crate::admin::Person::at(a, &["auditor"]);
    let told = person.get(&format!("decisions/{}", said.record.decision.unwrap())).await.body;
    let attributes = told["concerned"][0]["attributes"].as_array().unwrap();
    let managed = attributes.iter().find(|attribute| attribute["name"] == "managed").unwrap();
    assert_eq!((managed["value"].as_str(), managed["source"].as_str()), (Some("true"), Some("rules[0]")));
    // The identity provider names her: what it says stands beside what her token says.
    let idp = super::Idp::of(a);
    idp.user(serde_json::json!({ "userName": "dora" })).await;
    assert_accepted(&dora.say(&elsewhere, "still managed").await.unwrap());
    let kept = "SELECT count(*) FROM people WHERE facts NOT IN (SELECT CAST(content AS TEXT) FROM person_facts)";
    assert_eq!(a.database().number(kept), 0);
}
