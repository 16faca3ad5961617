use std::collections::BTreeSet;

use futures_util::future::join_all;
use portcullis_core::wire::Wire;
use portcullis_core::wire::key_material::ClientKeyMaterial;

use crate::harness::{Lab, room};

const PACKAGES: usize = 6;
const REQUESTS: usize = 16;

#[tokio::test]
async fn of_sixteen_concurrent_claims_directly_and_through_the_hub_no_two_get_the_same_key_package() {
    let lab = Lab::open(&["a.example", "b.example", "c.example"]).await;
    let alice = lab.device("a.example/d/alice/phone").await;
    let cathy = lab.device("c.example/d/cathy/phone").await;
    let mut bob = lab.device("b.example/d/bob/phone").await;
    let mut host = lab.device("a.example/d/host/phone").await;
    assert!(host.create_room(&room(), "strict", "Clubhouse").await.unwrap().answer.is_ok());
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
    let endpoint = portcullis::peer::Endpoint::KeyMaterial(bob.user().clone());
    let answer = lab.gateway("a.example").post("b.example", endpoint, request).await.unwrap();
    let answer = portcullis_core::wire::key_material::KeyMaterialResponse::decode(&answer.body).unwrap();
    assert_eq!(answer.status, portcullis_core::wire::key_material::KeyMaterialUserCode::NoConsent);
    assert!(answer.clients.is_empty());
}
