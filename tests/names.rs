//! Every route of the provider door that is told a client, in its path or in what is sent to it, asked by somebody who
//! is not that client's user, or with a credential of another client. The route table is the door's own: a route that is
//! new has to have its cases here, or be said to name no client.

use actix_web::http::Method;
use portcullis::http::IDEMPOTENCY_KEY;
use portcullis::member::Device;
use portcullis::provider::{self, Base64, CreateRoom, FirstGroup, KeyPackages, RoomCreated};
use portcullis_core::member::Member;
use portcullis_core::wire::Wire;
use portcullis_core::wire::group_info::{GroupInfoOutcome, GroupInfoResponse};
use portcullis_core::wire::key_material::{KeyMaterialResponse, KeyMaterialUserCode};
use portcullis_core::wire::submit::{SubmitMessageResponse, SubmitOutcome};
use portcullis_core::wire::update::UpdateResponse;
use portcullis_core::wire::uri::RoomUri;
use reqwest::Client;
use serde::Serialize;
use uuid::Uuid;

use crate::harness::{Lab, ORDINARY, client, room};

const PHONE: &str = "a.example/d/alice/phone";
const TABLET: &str = "a.example/d/alice/tablet";
const CAROLS: &str = "a.example/d/carol/phone";

/// What changes when a request is refused: the log, and the answer that a repetition gets.
const OF_A_REFUSAL: [&str; 4] = ["audit_", "answers", "heads", "sqlite_sequence"];

/// A request that speaks for a client that is not the caller's, or not the one it is about.
struct Case {
    what: &'static str,
    by: Who,
    /// What stands in the place of the path.
    named: String,
    body: Vec<u8>,
    refused: fn(u16, &[u8]) -> bool,
}

/// Who asks: Carol is in the room with Alice, and Eve is at Bob's provider and not in it.
#[derive(Clone, Copy)]
enum Who {
    Alice,
    Carol,
    Eve,
}

/// The people, and a room of Alice's whose group has not been started.
struct World {
    lab: Lab,
    alice: Device,
    bob: Device,
    carol: Device,
    eve: Device,
    waiting: RoomCreated,
}

impl World {
    async fn new() -> Self {
        let lab = Lab::open(&["a.example", "b.example"]).await;
        let (mut alice, mut bob) = lab.alice_and_bob().await;
        let mut carol = lab.device(CAROLS).await;
        lab.bring_in(&mut alice, &mut carol, ORDINARY).await;
        bob.until_epoch(&room(), 2).await.unwrap();
        let _tablet = lab.device(TABLET).await;
        let eve = lab.device("b.example/d/eve/phone").await;
        let attic = RoomUri::parse("mimi://a.example/r/attic").unwrap();
        let attic = CreateRoom::new(attic, "strict", "Attic");
        let waiting = lab.gateway("a.example").client(alice.user()).create_room(&attic).await.unwrap().value;
        lab.quiet().await;
        Self { lab, alice, bob, carol, eve, waiting }
    }

    fn device(&self, who: Who) -> &Device {
        match who {
            Who::Alice => &self.alice,
            Who::Carol => &self.carol,
            Who::Eve => &self.eve,
        }
    }

    /// The cases of a route; none of one that names no client.
    fn cases(&mut self, method: &Method, path: &str) -> Vec<Case> {
        let phone = format!("mimi://{PHONE}");
        match (method.as_str(), path) {
            (
                "GET",
                "/v1/openapi.json"
                | "/v1/envelope"
                | "/v1/consent"
                | "/v1/users/{user}/profile"
                | "/v1/rooms/{room}/assets/{url}"
                | "/v1/ohttp/{domain}",
            )
            | ("PUT", "/v1/users/{user}" | "/v1/users/{user}/profile")
            | (
                "POST",
                "/v1/ohttp/{domain}"
                | "/v1/search"
                | "/v1/search/{domain}"
                | "/v1/rooms"
                | "/v1/rooms/{room}/group"
                | "/v1/rooms/{room}/destroy",
            ) => Vec::new(),
            ("POST", "/v1/consent") => {
                let with = |of| {
                    let packages = serde_json::from_slice::<serde_json::Value>(&key_package(of)).unwrap();
                    let (user, packages) = (self.bob.user(), &packages["key_packages"]);
                    json(&serde_json::json!({ "operation": "grant", "user": user, "key_packages": packages }))
                };
                let malformed = |status, _: &[u8]| status == 400;
                vec![
                    case("a credential of another user", Who::Carol, "", &with(PHONE), malformed),
                    case(
                        "a client that is not registered",
                        Who::Carol,
                        "",
                        &with("a.example/d/carol/watch"),
                        forbidden,
                    ),
                ]
            }
            ("PUT", "/v1/devices/{device}") => vec![
                case("another user's client", Who::Carol, "mimi://a.example/d/alice/watch", &[], forbidden),
                case("another company's client", Who::Carol, "mimi://b.example/d/carol/phone", &[], forbidden),
                case("a client that is registered", Who::Carol, &phone, &[], forbidden),
            ],
            ("DELETE", "/v1/users/{user}") => vec![
                case("another user", Who::Carol, self.alice.user().as_str(), &[], forbidden),
                case("a user of another company", Who::Carol, self.bob.user().as_str(), &[], forbidden),
            ],
            ("DELETE", "/v1/devices/{device}") => vec![
                case("another user's client", Who::Carol, &phone, &[], forbidden),
                case("another company's client", Who::Carol, "mimi://b.example/d/carol/phone", &[], forbidden),
            ],
            ("GET", "/v1/devices/{device}/key-packages" | "/v1/devices/{device}/events") => {
                vec![case("another user's client", Who::Carol, &phone, &[], forbidden)]
            }
            ("POST", "/v1/devices/{device}/key-packages") => {
                let own = format!("mimi://{CAROLS}");
                vec![
                    case("another user's client", Who::Carol, &phone, &key_package(PHONE), forbidden),
                    case("another user's client, with one's own", Who::Carol, &phone, &key_package(CAROLS), forbidden),
                    case("a credential of another user", Who::Carol, &own, &key_package(PHONE), forbidden),
                    case("a credential of another client", Who::Alice, &phone, &key_package(TABLET), forbidden),
                ]
            }
            ("PUT", "/v1/rooms/{room}/group") => {
                let room = self.waiting.room.to_string();
                vec![
                    case("another user's room", Who::Carol, &room, &self.first_group(PHONE), forbidden),
                    case(
                        "another user's room, with one's own group",
                        Who::Carol,
                        &room,
                        &self.first_group(CAROLS),
                        forbidden,
                    ),
                    case("a group of another user", Who::Alice, &room, &self.first_group(CAROLS), forbidden),
                ]
            }
            ("PUT", "/v1/rooms/{room}/group-info") => {
                let group = self.bob.member().group_info(&room()).unwrap();
                let group = first(group.group_info.as_bytes(), group.tree.as_bytes());
                vec![case("a GroupInfo of another user", Who::Eve, room().as_str(), &group, forbidden)]
            }
            ("POST", "/v1/key-material/{user}") => {
                let carol = self.carol.user().clone();
                let claim = self.alice.member().key_material_request(&carol, None).unwrap().encode();
                vec![case("a requester that is another user", Who::Carol, carol.as_str(), &claim, |status, body| {
                    let answer = KeyMaterialResponse::decode(body).unwrap();
                    (status, answer.status, answer.clients.len()) == (200, KeyMaterialUserCode::NoConsent, 0)
                })]
            }
            ("POST", "/v1/rooms/{room}/update") => {
                let member = self.alice.member_mut();
                let commit = member.commit_pending(&room()).unwrap().encode();
                member.rejected(&room()).unwrap();
                let leave = member.leave(&room()).unwrap().encode();
                member.rejected(&room()).unwrap();
                let refused = |status, body: &[u8]| {
                    status == 200 && matches!(UpdateResponse::decode(body), Ok(UpdateResponse::NotAllowed { .. }))
                };
                vec![
                    case("a commit of another user", Who::Carol, room().as_str(), &commit, refused),
                    case("proposals of another user", Who::Carol, room().as_str(), &leave, refused),
                ]
            }
            ("POST", "/v1/rooms/{room}/messages") => {
                let said = self.alice.member_mut().text(&room(), "in her name").unwrap().encode();
                vec![case("a message of another user", Who::Carol, room().as_str(), &said, |status, body| {
                    let outcome = SubmitMessageResponse::decode(body).unwrap().outcome;
                    status == 200 && matches!(outcome, SubmitOutcome::NotAllowed)
                })]
            }
            ("POST", "/v1/rooms/{room}/reports") => {
                let complaint = crate::rights::complaint(self.alice.user(), self.bob.user()).encode();
                vec![case("a reporter that is another user", Who::Carol, room().as_str(), &complaint, forbidden)]
            }
            ("POST", "/v1/rooms/{room}/group-info") => {
                let asked = self.alice.member_mut().group_info_request(&room(), None).unwrap().encode();
                vec![case("a requester that is another user", Who::Carol, room().as_str(), &asked, |status, body| {
                    let outcome = GroupInfoResponse::decode(body).unwrap().outcome;
                    status == 200 && matches!(outcome, GroupInfoOutcome::NotAuthorized)
                })]
            }
            _ => panic!("the route `{method} {path}` has no case"),
        }
    }

    /// The group that the waiting room asks for, made by a client.
    fn first_group(&self, of: &str) -> Vec<u8> {
        let RoomCreated { room, group, extensions, .. } = &self.waiting;
        let group = Member::new(client(of)).unwrap().create_room(room, group, &extensions.0).unwrap();
        first(group.group_info.as_bytes(), group.tree.as_bytes())
    }

    async fn send(&self, method: &Method, path: &str, case: &Case) -> (u16, Vec<u8>) {
        let caller = self.device(case.by);
        let gateway = self.lab.gateway(caller.client().domain().as_str());
        let named = case.named.replace(':', "%3A").replace('/', "%2F");
        let path = match path.split_once('{') {
            Some((before, after)) => format!("{before}{named}{}", after.split_once('}').unwrap().1),
            None => path.to_owned(),
        };
        let response = Client::new()
            .request(method.as_str().parse().unwrap(), format!("http://{}{path}", gateway.provider))
            .header(IDEMPOTENCY_KEY, Uuid::new_v4().to_string())
            .bearer_auth(gateway.token(caller.user()))
            .body(case.body.clone());
        let response = response.send().await.unwrap();
        (response.status().as_u16(), response.bytes().await.unwrap().to_vec())
    }
}

fn case(what: &'static str, by: Who, named: &str, body: &[u8], refused: fn(u16, &[u8]) -> bool) -> Case {
    Case { what, by, named: named.to_owned(), body: body.to_vec(), refused }
}

fn forbidden(status: u16, _: &[u8]) -> bool {
    matches!(status, 403 | 404)
}

fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).unwrap()
}

fn first(group_info: &[u8], ratchet_tree: &[u8]) -> Vec<u8> {
    json(&FirstGroup { group_info: Base64(group_info.to_vec()), ratchet_tree: Base64(ratchet_tree.to_vec()) })
}

/// An upload of a good KeyPackage that somebody has made in the name of a client.
fn key_package(of: &str) -> Vec<u8> {
    let lifetime = std::time::Duration::from_secs(60 * 24 * 3600);
    let packages = Member::new(client(of)).unwrap().key_packages(1, lifetime).unwrap();
    json(&KeyPackages { key_packages: packages.iter().map(|package| Base64(package.as_bytes().to_vec())).collect() })
}

#[tokio::test]
async fn nobody_speaks_for_a_client_of_somebody_else_at_any_route_and_nothing_is_written() {
    let mut world = World::new().await;
    let contents = |world: &World| -> Vec<(String, Vec<String>)> {
        let databases = world.lab.gateways.iter().map(|gateway| gateway.database());
        databases.flat_map(|database| database.contents(&OF_A_REFUSAL)).collect()
    };
    let before = contents(&world);
    for (method, path) in provider::routes() {
        for case in world.cases(&method, path) {
            let (status, body) = world.send(&method, path, &case).await;
            let said = String::from_utf8_lossy(&body).into_owned();
            assert!((case.refused)(status, &body), "{method} {path}, {}: {status} {said}", case.what);
            world.lab.quiet().await;
            let written: Vec<_> = contents(&world).into_iter().filter(|table| !before.contains(table)).collect();
            let written: Vec<&str> = written.iter().map(|(table, _)| table.as_str()).collect();
            assert!(written.is_empty(), "{method} {path}, {}: {written:?}", case.what);
        }
    }
    // What was refused was refused for its name alone.
    let own = world.first_group(PHONE);
    let good = case("her own group", Who::Alice, world.waiting.room.as_str(), &own, forbidden);
    assert_eq!(world.send(&Method::PUT, "/v1/rooms/{room}/group", &good).await.0, 204);
    let good = case("her own client", Who::Carol, &format!("mimi://{CAROLS}"), &key_package(CAROLS), forbidden);
    assert_eq!(world.send(&Method::POST, "/v1/devices/{device}/key-packages", &good).await.0, 200);
}
