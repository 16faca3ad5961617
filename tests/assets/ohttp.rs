//! Downloads of which the hub does not know for whom, and the relay not what.

use std::io::Cursor;

use bhttp::{Message, Mode};
use ohttp::ClientRequest;
use portcullis::http::IDEMPOTENCY_KEY;
use reqwest::{Client, Response};
use uuid::Uuid;

use super::{Scene, file};
use crate::harness::Gateway;
use crate::rights::caller_of;

const BOB: &str = "mimi://b.example/u/bob";

/// Asks the relay at b.example, as Bob.
async fn relay(b: &Gateway, body: Option<Vec<u8>>) -> Response {
    let (url, client) = (format!("http://{}/v1/ohttp/a.example", b.provider), Client::new());
    let request = match body {
        Some(body) => client.post(url).header(IDEMPOTENCY_KEY, Uuid::new_v4().to_string()).body(body),
        None => client.get(url),
    };
    request.bearer_auth(b.token(&BOB.parse().unwrap())).send().await.unwrap()
}

fn asking_for(authority: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut message = Message::request(b"GET".to_vec(), b"https".to_vec(), authority.into(), path.into());
    fields.iter().for_each(|(name, value)| message.put_header(*name, *value));
    let mut bytes = Vec::new();
    message.write_bhttp(Mode::KnownLength, &mut bytes).unwrap();
    bytes
}

/// What a client of Bob's gets for a file: keys by the relay, the request sealed, the answer opened.
async fn downloaded(b: &Gateway, authority: &str, path: &str, fields: &[(&str, &str)]) -> (u16, Vec<u8>) {
    let keys = relay(b, None).await.bytes().await.unwrap();
    let client = ClientRequest::from_encoded_config_list(&keys).unwrap();
    let (request, opener) = client.encapsulate(&asking_for(authority, path, fields)).unwrap();
    let answer = relay(b, Some(request)).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"message/ohttp-res".parse().unwrap())
    );
    let inside = opener.decapsulate(&answer.bytes().await.unwrap()).unwrap();
    let inside = Message::read_bhttp(&mut Cursor::new(inside)).unwrap();
    (inside.control().status().unwrap().code(), inside.content().to_vec())
}

#[tokio::test]
async fn a_file_comes_to_a_client_whom_the_hub_does_not_know_by_a_relay_that_does_not_know_the_file() {
    let scene = Scene::open().await;
    let b = scene.lab.gateway("b.example");
    b.client(&BOB.parse().unwrap()).register_user(&BOB.parse().unwrap()).await.unwrap();
    assert_eq!(downloaded(b, "files.b.example", "/file", &[]).await, (200, file()));
    let (status, part) = downloaded(b, "files.b.example", "/in-parts", &[("range", "bytes=10-19")]).await;
    assert_eq!((status, part), (206, file()[10..20].to_vec()));
    for (authority, path, status) in [
        ("other.b.example", "/file", 403),
        ("127.0.0.1", "/file", 400),
        ("files.b.example", "/missing", 404),
        ("files.b.example", "/fails", 502),
        ("files.b.example", "/endless", 502),
    ] {
        assert_eq!(downloaded(b, authority, path, &[]).await.0, status, "{authority}{path}");
    }
    scene.lab.quiet().await;
    let of = |gateway: &Gateway| {
        let entries = gateway.database().entries().into_iter().filter(|entry| entry.record.kind == "decision.download");
        entries.map(|entry| (entry.record.actor.unwrap(), entry.record.detail.to_string())).collect::<Vec<_>>()
    };
    assert!(of(scene.hub()).iter().all(|(actor, _)| actor == "mimi://b.example"), "no user at the hub");
    let relayed = of(b);
    assert!(!relayed.is_empty() && relayed.iter().all(|(actor, detail)| actor == BOB && !detail.contains("files")));
}

#[tokio::test]
async fn keys_are_published_to_everybody_and_only_relays_of_peers_hand_requests_in() {
    let scene = Scene::open().await;
    let hub = scene.hub();
    let url = format!("https://a.example:{}/.well-known/ohttp-gateway", hub.federation.port());
    let keys = caller_of(hub, None).get(&url).send().await.unwrap();
    assert_eq!(keys.headers()["content-type"], "application/ohttp-keys");
    let client = ClientRequest::from_encoded_config_list(&keys.bytes().await.unwrap()).unwrap();
    let (request, _) = client.encapsulate(&asking_for("files.b.example", "/file", &[])).unwrap();
    let stranger = caller_of(hub, None).post(&url).body(request).send().await.unwrap();
    assert_eq!(stranger.status().as_u16(), 401);
    let directory = format!("https://a.example:{}/.well-known/mimi-protocol-directory", hub.federation.port());
    let directory: serde_json::Value = caller_of(hub, None).get(directory).send().await.unwrap().json().await.unwrap();
    assert_eq!(directory["ohttpGateway"], url);
    assert_eq!(scene.files.times("/file"), 0);
}

#[tokio::test]
async fn a_key_that_no_longer_opens_is_replaced_and_clients_are_told_to_ask_again() {
    let scene = Scene::open().await;
    let b = scene.lab.gateway("b.example");
    b.client(&BOB.parse().unwrap()).register_user(&BOB.parse().unwrap()).await.unwrap();
    let keys = relay(b, None).await.bytes().await.unwrap();
    let client = ClientRequest::from_encoded_config_list(&keys).unwrap();
    let (request, _) = client.encapsulate(&asking_for("files.b.example", "/file", &[])).unwrap();
    scene.hub().database().sql("UPDATE ohttp_keys SET sealed = x'00'");
    assert_eq!(relay(b, Some(request)).await.status().as_u16(), 400, "its key is gone");
    assert_eq!(downloaded(b, "files.b.example", "/file", &[]).await, (200, file()));
}
