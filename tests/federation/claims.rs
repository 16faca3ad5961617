use std::collections::BTreeSet;

use futures_util::future::join_all;
use portcullis::peer::{Endpoint, PeerError};
use portcullis_core::member::Member;
use portcullis_core::wire::Wire;
use portcullis_core::wire::key_material::{
    ClientKeyMaterial, KeyMaterialRequest, KeyMaterialResponse, KeyMaterialUserCode,
};
use portcullis_core::wire::uri::{RoomUri, UserUri};
use portcullis_store::audit::{AuditEntry, Outcome};

use crate::admin::Person;
use crate::harness::{Gateway, Lab, ORDINARY, client, eventually, room, user};

const PACKAGES: usize = 6;
const REQUESTS: usize = 16;

#[tokio::test]
async fn of_sixteen_concurrent_claims_directly_and_through_the_hub_no_two_get_the_same_key_package() {
    let lab = Lab::open(&["a.example", "b.example", "c.example"]).await;
    let alice = lab.device("a.example/d/alice/phone").await;
    let mut cathy = lab.device("c.example/d/cathy/phone").await;
    let mut bob = lab.device("b.example/d/bob/phone").await;
    let mut host = lab.device("a.example/d/host/phone").await;
    assert!(host.create_room(&room(), "strict", "Clubhouse").await.unwrap().answer.is_ok());
    lab.bring_in(&mut host, &mut cathy, ORDINARY).await;
    bob.publish_key_packages(PACKAGES).await.unwrap();

    let direct = alice.member().key_material_request(bob.user(), None).unwrap().encode();
    let through_hub = cathy.member().key_material_request(bob.user(), Some(&room())).unwrap().encode();
    let (of_alice, of_cathy) =
        (lab.gateway("a.example").client(alice.user()), lab.gateway("c.example").client(cathy.user()));
    let claims = (0..REQUESTS).map(|number| {
        let (door, body) = if number % 2 == 0 { (&of_alice, &direct) } else { (&of_cathy, &through_hub) };
        door.key_material(bob.user(), body.clone())
    });
    let mut given = Vec::new();
    let mut exhausted = 0;
    for answered in join_all(claims).await {
        for client in answered.unwrap().value.clients {
            match client {
                ClientKeyMaterial::Success { key_package, .. } => given.push(key_package.as_bytes().to_vec()),
                ClientKeyMaterial::Exhausted { .. } => exhausted += 1,
                ClientKeyMaterial::NothingCompatible { .. } => panic!("all of them are compatible"),
            }
        }
    }
    assert_eq!((given.len(), exhausted), (PACKAGES, REQUESTS - PACKAGES));
    assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), PACKAGES, "one was given out twice");
}

#[tokio::test]
async fn a_requester_that_asks_again_and_again_is_stopped_before_it_has_everything() {
    let lab = Lab::open(&["a.example", "b.example"]).await;
    let mut bob = lab.device("b.example/d/bob/phone").await;
    let (alice, host) = (lab.device("a.example/d/alice/phone").await, lab.device("a.example/d/host/phone").await);
    bob.publish_key_packages(40).await.unwrap();
    let mut given = 0;
    let request = alice.member().key_material_request(bob.user(), None).unwrap().encode();
    let door = lab.gateway("a.example").client(alice.user());
    let refused = loop {
        match door.key_material(bob.user(), request.clone()).await {
            Ok(answer) if matches!(answer.value.clients[..], [ClientKeyMaterial::Success { .. }]) => given += 1,
            Ok(answer) => panic!("{answer:?} after {given}"),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.problem().map(|problem| problem.status), Some(429), "{refused:?}");
    assert!((20..30).contains(&given), "{given}");
    let request = host.member().key_material_request(bob.user(), None).unwrap().encode();
    let answer = lab.gateway("a.example").client(host.user()).key_material(bob.user(), request).await.unwrap();
    assert!(matches!(answer.value.clients[..], [ClientKeyMaterial::Success { .. }]));
}

#[tokio::test]
async fn a_claim_for_a_user_of_another_provider_than_the_requester_s_own_gets_nothing() {
    let lab = Lab::open(&["a.example", "b.example", "c.example"]).await;
    let mut bob = lab.device("b.example/d/bob/phone").await;
    let cathy = lab.device("c.example/d/cathy/phone").await;
    bob.publish_key_packages(1).await.unwrap();
    let request = cathy.member().key_material_request(bob.user(), None).unwrap().encode();
    assert_nothing(&claim(lab.gateway("a.example"), "b.example", &request).await.unwrap());
}

/// Claims of somebody at c.example, who needs no account there, for a room that b.example is to be the hub of.
fn of_strangers(target: &UserUri, count: usize) -> Vec<Vec<u8>> {
    let room = RoomUri::parse("mimi://b.example/r/lounge").unwrap();
    let stranger = |number| Member::new(client(&format!("c.example/d/stranger-{number}/phone"))).unwrap();
    let request = |number| stranger(number).key_material_request(target, Some(&room)).unwrap().encode();
    (0..count).map(request).collect()
}

async fn claim(by: &Gateway, to: &str, request: &[u8]) -> Result<KeyMaterialResponse, PeerError> {
    let target = KeyMaterialRequest::decode(request).unwrap().target_user;
    let answer = by.post(to, Endpoint::KeyMaterial(target), request.to_vec()).await?;
    Ok(KeyMaterialResponse::decode(&answer.body).unwrap())
}

fn assert_nothing(answer: &KeyMaterialResponse) {
    assert_eq!((answer.status, answer.clients.len()), (KeyMaterialUserCode::NoConsent, 0));
}

/// The refusals of claims that the gateway has on record, once there are so many.
async fn refused(gateway: &Gateway, count: usize) -> Vec<AuditEntry> {
    eventually("refusals are on record", async || {
        let mut entries = gateway.database().entries();
        entries.retain(|entry| entry.record.kind == "decision.key_material" && entry.record.outcome == Outcome::Deny);
        (entries.len() >= count).then_some(entries)
    })
    .await
}

#[tokio::test]
async fn a_peer_that_is_a_hub_of_many_requesters_is_stopped_before_it_has_everything() {
    let lab = Lab::open(&["a.example", "b.example"]).await;
    let mut alice = lab.device("a.example/d/alice/phone").await;
    alice.publish_key_packages(100).await.unwrap();
    let mut given = 0;
    let mut status = None;
    for request in of_strangers(alice.user(), 100) {
        match claim(lab.gateway("b.example"), "a.example", &request).await {
            Ok(answer) => given += answer.clients.len(),
            Err(error) => {
                status = error.status();
                break;
            }
        }
    }
    assert_eq!(status, Some(429));
    assert!((60..90).contains(&given), "{given}");
    let entries = refused(lab.gateway("a.example"), 1).await;
    assert_eq!((entries.len(), entries[0].record.reason.as_str()), (1, "too_many_claims"));
}

#[tokio::test]
async fn a_suspended_peer_takes_no_key_packages_in_the_name_of_others() {
    let lab = Lab::open(&["a.example", "b.example"]).await;
    let mut alice = lab.device("a.example/d/alice/phone").await;
    alice.publish_key_packages(2).await.unwrap();
    let ops = Person::at(lab.gateway("a.example"), &["operator"]);
    let requests = of_strangers(alice.user(), 2);
    let before = claim(lab.gateway("b.example"), "a.example", &requests[0]).await.unwrap();
    assert_eq!(before.status, KeyMaterialUserCode::Success);
    assert_eq!(ops.decide("b.example", "suspend").await.status, 200);
    assert_nothing(&claim(lab.gateway("b.example"), "a.example", &requests[1]).await.unwrap());
    let entries = refused(lab.gateway("a.example"), 1).await;
    assert_eq!(entries[0].record.policy, ["company.suspended-source"]);
}

#[tokio::test]
async fn a_hub_claims_elsewhere_only_for_who_is_in_the_room_that_is_named() {
    let lab = Lab::open(&["a.example", "b.example", "c.example"]).await;
    let mut cathy = lab.device("c.example/d/cathy/phone").await;
    let mut host = lab.device("a.example/d/host/phone").await;
    cathy.publish_key_packages(3).await.unwrap();
    host.publish_key_packages(3).await.unwrap();
    assert!(host.create_room(&room(), "strict", "Clubhouse").await.unwrap().answer.is_ok());
    let bob = Member::new(client("b.example/d/bob/phone")).unwrap();
    let nowhere = RoomUri::parse("mimi://a.example/r/nowhere").unwrap();
    for target in [cathy.user(), host.user()] {
        for room in [&nowhere, &room()] {
            let request = bob.key_material_request(target, Some(room)).unwrap().encode();
            assert_nothing(&claim(lab.gateway("b.example"), "a.example", &request).await.unwrap());
        }
    }
    let reasons: Vec<String> =
        refused(lab.gateway("a.example"), 4).await.into_iter().map(|entry| entry.record.reason).collect();
    let expected = ["no_such_room", "requester_is_not_in_the_room"];
    assert_eq!(reasons, [expected, expected].concat());
    for device in [&cathy, &host] {
        let door = lab.gateway(device.client().domain().as_str()).client(device.user());
        assert_eq!(door.count_key_packages(device.client()).await.unwrap(), 3);
    }
}

#[tokio::test]
async fn a_user_that_asks_too_often_waits_and_nobody_else_does() {
    let mut lab = Lab::new(&["a.example"]);
    lab.gateways[0].configure("limits: { user: { per_minute: 1, burst: 5 } }\n");
    lab.gateways[0].restart().await;
    let gateway = lab.gateway("a.example");
    let (alice, bob) = (user("a.example/u/alice"), user("a.example/u/bob"));
    let door = gateway.client(&alice);
    for _ in 0..5 {
        door.register_user(&alice).await.unwrap();
    }
    let refused = door.register_user(&alice).await.unwrap_err();
    assert_eq!(refused.problem().map(|problem| problem.status), Some(429), "{refused:?}");
    gateway.client(&bob).register_user(&bob).await.unwrap();
}
