//! What a provider answers that has nothing to give, or not for every client, and what a hub takes for no message.

use portcullis::peer::Endpoint;
use portcullis_core::wire::key_material::{ClientKeyMaterial, KeyMaterialResponse, KeyMaterialUserCode};
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
