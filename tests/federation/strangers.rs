//! To who has nothing to do with a room it is as if it were not there.

use portcullis::http::IDEMPOTENCY_KEY;
use portcullis::member::Device;
use portcullis::peer::{Endpoint, PeerError};
use portcullis_core::member::Draft;
use portcullis_core::wire::Wire;
use portcullis_core::wire::components::{Claim, ComponentId, PreauthEntry, PreauthList};
use portcullis_core::wire::update::UpdateRequest;
use portcullis_core::wire::uri::RoomUri;
use reqwest::Client;
use uuid::Uuid;

use super::{assert_accepted, refusal};
use crate::harness::{Lab, ORDINARY, room};

fn absent() -> RoomUri {
    RoomUri::parse("mimi://a.example/r/nowhere").unwrap()
}

fn hidden(lab: &Lab) -> usize {
    let entries = lab.gateway("a.example").database().entries();
    entries.iter().filter(|entry| entry.record.reason == "caller_has_nothing_to_do_with_the_room").count()
}

/// Lets all users of a provider join as ordinary users.
async fn preauthorize(by: &mut Device, provider: &str) {
    let value = format!("mimi://{provider}/*").into_bytes();
    let claim = Claim { credential_type: 1, id: b"host".to_vec(), value };
    let list = PreauthList { entries: vec![PreauthEntry { claims: vec![claim], target_role_index: ORDINARY }] };
    let draft = Draft::default().component(ComponentId::PREAUTH_LIST, Some(list.encode()));
    let commit = by.member_mut().commit(&room(), &draft).unwrap();
    assert_accepted(&by.update(&room(), &commit).await.unwrap());
}

#[tokio::test]
async fn a_provider_without_a_user_in_a_room_cannot_tell_it_from_one_that_is_not_there() {
    let lab = Lab::open(&["a.example", "b.example", "c.example"]).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    // The epoch of the one is over, that of the other has not come.
    let over = bob.member_mut().commit_pending(&room()).unwrap();
    bob.member_mut().rejected(&room()).unwrap();
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    let current = alice.member_mut().commit_pending(&room()).unwrap();
    alice.member_mut().rejected(&room()).unwrap();
    let proposed = UpdateRequest::Proposals(match bob.member_mut().leave(&room()).unwrap() {
        UpdateRequest::Proposals(proposals) => proposals,
        UpdateRequest::Commit(_) => panic!("a leave is proposed"),
    });
    let said = alice.member_mut().text(&room(), "hello").unwrap();
    let stranger = lab.gateway("c.example");
    for body in [over.encode(), current.encode(), proposed.encode()] {
        for room in [room(), absent()] {
            let told = stranger.post("a.example", Endpoint::Update(room.clone()), body.clone()).await;
            assert!(matches!(told, Err(PeerError::Permanent { status: 404 })), "{room}: {told:?}");
        }
    }
    for room in [room(), absent()] {
        let told = stranger.post("a.example", Endpoint::SubmitMessage(room.clone()), said.encode()).await;
        assert!(matches!(told, Err(PeerError::Permanent { status: 404 })), "{room}: {told:?}");
    }
    lab.quiet().await;
    assert_eq!(hidden(&lab), 4);
    assert_accepted(&alice.say(&room(), "among ourselves").await.unwrap());
}

#[tokio::test]
async fn a_colleague_who_is_not_in_a_room_cannot_tell_it_from_one_that_is_not_there() {
    let lab = Lab::open(&["a.example", "b.example"]).await;
    let (mut alice, _bob) = lab.alice_and_bob().await;
    let mallory = lab.device("a.example/d/mallory/phone").await;
    let gateway = lab.gateway("a.example");
    let update = alice.member_mut().commit_pending(&room()).unwrap().encode();
    alice.member_mut().rejected(&room()).unwrap();
    let message = alice.member_mut().text(&room(), "in her name").unwrap().encode();
    let group = br#"{"group_info":"","ratchet_tree":""}"#.to_vec();
    for (method, what, body) in [("POST", "update", update), ("POST", "messages", message), ("PUT", "group", group)] {
        let mut answers = Vec::new();
        for room in [room(), absent()] {
            let room = room.as_str().replace(':', "%3A").replace('/', "%2F");
            let url = format!("http://{}/v1/rooms/{room}/{what}", gateway.provider);
            let request =
                Client::new().request(method.parse().unwrap(), url).bearer_auth(gateway.token(mallory.user()));
            let request = request.header(IDEMPOTENCY_KEY, Uuid::new_v4().to_string());
            let answer = request.body(body.clone()).send().await.unwrap();
            let mut headers: Vec<String> = answer.headers().keys().map(|name| name.as_str().to_owned()).collect();
            headers.sort();
            answers.push((answer.status().as_u16(), headers, answer.text().await.unwrap()));
        }
        assert_eq!(answers[0].0, 404, "{what}: {answers:?}");
        assert_eq!(answers[0], answers[1], "{what}");
    }
    lab.quiet().await;
    assert_eq!(hidden(&lab), 3);
}

#[tokio::test]
async fn a_stranger_who_asks_for_the_group_of_a_room_cannot_tell_it_from_one_that_is_not_there() {
    let lab = Lab::open(&["a.example", "b.example", "c.example"]).await;
    let _room = lab.alice_and_bob().await;
    let mut cathy = lab.device("c.example/d/cathy/phone").await;
    for room in [room(), absent()] {
        let (asked, material) = cathy.ask_group_info(&room).await.unwrap();
        assert_eq!((refusal(asked).as_str(), material.is_none()), ("not_authorized", true), "{room}");
    }
}

#[tokio::test]
async fn who_may_join_and_has_a_ticket_is_no_stranger() {
    let lab = Lab::open(&["a.example", "b.example", "c.example"]).await;
    let (mut alice, _bob) = lab.alice_and_bob().await;
    let mut cathy = lab.device("c.example/d/cathy/phone").await;
    let (asked, _) = cathy.ask_group_info(&room()).await.unwrap();
    assert_eq!(refusal(asked), "not_authorized");
    preauthorize(&mut alice, "c.example").await;
    let (asked, material) = cathy.ask_group_info(&room()).await.unwrap();
    assert_accepted(&asked);
    let material = material.unwrap();
    // Too late by an epoch: the ticket lets it be told so.
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    let late = cathy.external_join(&room(), &material, Some(ORDINARY)).await.unwrap();
    assert_eq!(refusal(late), "wrong_epoch");
    let (_, material) = cathy.ask_group_info(&room()).await.unwrap();
    let joined = cathy.external_join(&room(), &material.unwrap(), Some(ORDINARY)).await.unwrap();
    assert_accepted(&joined);
}
