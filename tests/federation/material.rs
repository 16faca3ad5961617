//! What a provider answers that has nothing to give, or not for every client, and what a hub takes for no message.

use portcullis::member::{Device, KEY_PACKAGE_LIFETIME};
use portcullis::peer::Endpoint;
use portcullis_core::wire::key_material::{
    ClientKeyMaterial, KeyMaterialRequest, KeyMaterialResponse, KeyMaterialUserCode,
};
use portcullis_core::wire::mls::MlsMessage;
use portcullis_core::wire::submit::{SubmitMessageRequest, SubmitMessageResponse, SubmitOutcome};
use portcullis_core::wire::update::UpdateRequest;
use portcullis_core::wire::uri::UserUri;
use portcullis_core::wire::{Protocol, Wire};

use crate::harness::{Lab, room};

async fn claimed(lab: &Lab, target: &UserUri) -> KeyMaterialResponse {
    let alice = portcullis_core::member::Member::new(crate::harness::client("a.example/d/alice/phone")).unwrap();
    let request = alice.key_material_request(target, None).unwrap().encode();
    lab.gateway("a.example").client(alice.user()).key_material(target, request).await.unwrap().value
}

fn exhausted(answer: &KeyMaterialResponse) -> usize {
    answer.clients.iter().filter(|client| matches!(client, ClientKeyMaterial::Exhausted { .. })).count()
}

#[tokio::test]
async fn the_answer_says_whether_all_clients_of_a_user_have_something_some_or_none() {
    let lab = Lab::open(&["a.example", "b.example"]).await;
    lab.device("a.example/d/alice/phone").await;
    let mut phone = lab.device("b.example/d/bob/phone").await;
    let _laptop = lab.device("b.example/d/bob/laptop").await;
    phone.publish_key_packages(1).await.unwrap();
    let first = claimed(&lab, phone.user()).await;
    assert_eq!((first.status, first.clients.len(), exhausted(&first)), (KeyMaterialUserCode::PartialSuccess, 2, 1));
    let second = claimed(&lab, phone.user()).await;
    assert_eq!((second.status, exhausted(&second)), (KeyMaterialUserCode::NoCompatibleMaterial, 2));
}

#[tokio::test]
async fn a_user_who_is_not_there_is_unknown() {
    let lab = Lab::open(&["a.example", "b.example"]).await;
    lab.device("a.example/d/alice/phone").await;
    let answer = claimed(&lab, &UserUri::parse("mimi://b.example/u/nobody").unwrap()).await;
    assert_eq!((answer.status, answer.clients.len()), (KeyMaterialUserCode::UserUnknown, 0));
}

/// Asks for what `change` makes of a usual request.
async fn asked(
    lab: &Lab,
    alice: &Device,
    target: &UserUri,
    change: impl FnOnce(&mut KeyMaterialRequest),
) -> KeyMaterialResponse {
    let mut request = alice.member().key_material_request(target, None).unwrap();
    change(&mut request);
    alice.member().sign_key_material_request(&mut request).unwrap();
    lab.gateway("a.example").client(alice.user()).key_material(target, request.encode()).await.unwrap().value
}

#[tokio::test]
async fn a_client_none_of_whose_key_packages_fits_has_nothing_compatible_and_keeps_them() {
    let lab = Lab::open(&["a.example", "b.example"]).await;
    let alice = lab.device("a.example/d/alice/phone").await;
    let mut bob = lab.device("b.example/d/bob/phone").await;
    bob.publish_key_packages(1).await.unwrap();
    let is = |answer: KeyMaterialResponse| {
        let none = matches!(answer.clients[..], [ClientKeyMaterial::NothingCompatible { .. }]);
        (answer.status, none)
    };
    let nothing = (KeyMaterialUserCode::NoCompatibleMaterial, true);
    let strange = asked(&lab, &alice, bob.user(), |it| it.required_capabilities.extension_types.push(0xabcd)).await;
    assert_eq!(is(strange), nothing, "an extension that its client does not know");
    let other = asked(&lab, &alice, bob.user(), |it| it.acceptable_suites = vec![3]).await;
    assert_eq!(is(other), nothing, "another suite");
    let door = lab.gateway("b.example").client(bob.user());
    assert_eq!(door.count_key_packages(bob.client()).await.unwrap(), 1);
    assert!(matches!(claimed(&lab, bob.user()).await.clients[..], [ClientKeyMaterial::Success { .. }]));
}

#[tokio::test]
async fn a_request_is_signed_by_the_scheme_of_any_suite_that_it_accepts() {
    let lab = Lab::open(&["a.example", "b.example"]).await;
    let alice = lab.device("a.example/d/alice/phone").await;
    let mut bob = lab.device("b.example/d/bob/phone").await;
    bob.publish_key_packages(1).await.unwrap();
    // Suite 2 signs with ECDSA, and Alice with Ed25519.
    let only = asked(&lab, &alice, bob.user(), |it| it.acceptable_suites = vec![2]).await;
    assert_eq!(
        (only.status, only.clients.len()),
        (KeyMaterialUserCode::NoConsent, 0),
        "nothing that it accepts signs so"
    );
    let second = asked(&lab, &alice, bob.user(), |it| it.acceptable_suites = vec![2, 1]).await;
    assert!(matches!(second.clients[..], [ClientKeyMaterial::Success { .. }]), "{second:?}");
}

#[tokio::test]
async fn a_key_package_of_last_resort_is_taken_in_and_given_to_nobody() {
    let lab = Lab::open(&["a.example", "b.example"]).await;
    lab.device("a.example/d/alice/phone").await;
    let mut bob = lab.device("b.example/d/bob/phone").await;
    let last = bob.member_mut().last_resort(KEY_PACKAGE_LIFETIME).unwrap();
    let door = lab.gateway("b.example").client(bob.user());
    door.upload_key_packages(bob.client(), vec![last.as_bytes().to_vec()]).await.unwrap();
    let answer = claimed(&lab, bob.user()).await;
    assert_eq!((answer.status, exhausted(&answer)), (KeyMaterialUserCode::NoCompatibleMaterial, 1));
    bob.publish_key_packages(1).await.unwrap();
    let ClientKeyMaterial::Success { key_package, .. } = &claimed(&lab, bob.user()).await.clients[0] else {
        panic!("there is one that may be given out")
    };
    assert_ne!(key_package.as_bytes(), last.as_bytes());
}

async fn submitted(lab: &Lab, message: MlsMessage, sender: &UserUri) -> SubmitOutcome {
    let request = SubmitMessageRequest { protocol: Protocol::Mls10, message, sender: sender.clone() };
    let answer = lab.gateway("b.example").post("a.example", Endpoint::SubmitMessage(room()), request.encode()).await;
    SubmitMessageResponse::decode(&answer.unwrap().body).unwrap().outcome
}

#[tokio::test]
async fn a_handshake_and_a_message_of_an_epoch_that_has_not_come_are_no_messages() {
    let lab = Lab::open(&["a.example", "b.example"]).await;
    let (_alice, mut bob) = lab.alice_and_bob().await;
    let UpdateRequest::Commit(bundle) = bob.member_mut().commit_pending(&room()).unwrap() else { panic!("no commit") };
    let user = bob.user().clone();
    assert_eq!(submitted(&lab, bundle.commit, &user).await, SubmitOutcome::NotAllowed);
    bob.member_mut().accepted(&room()).unwrap();
    let early = bob.member_mut().text(&room(), "from the future").unwrap();
    assert_eq!(submitted(&lab, early.message, &user).await, SubmitOutcome::NotAllowed);
    let reasons: Vec<String> = lab
        .gateway("a.example")
        .database()
        .entries()
        .into_iter()
        .filter(|entry| entry.record.kind == "decision.message")
        .map(|entry| entry.record.reason)
        .collect();
    assert_eq!(reasons, ["not_an_application_message", "epoch_is_in_the_future"]);
}
