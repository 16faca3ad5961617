//! The whole door before a real gateway, as a chat backend and its clients use it.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use openmls::prelude::{Capabilities, Credential, CredentialType, CredentialWithKey, KeyPackage, Lifetime};
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::OpenMlsRustCrypto;
use openmls_traits::types::{Ciphersuite, SignatureScheme};
use portcullis_core::member::{Member, Received};
use portcullis_core::wire::Wire;
use portcullis_core::wire::key_material::ClientKeyMaterial;
use portcullis_core::wire::notify::FanoutMessage;
use portcullis_core::wire::submit::SubmitOutcome;
use portcullis_core::wire::update::UpdateResponse;
use portcullis_core::wire::uri::{ClientUri, RoomUri, UserUri};
use portcullis_store::audit::AuditRecord;
use portcullis_store::{Options, Store, audit};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, SanType};
use reqwest::{Method, Response};
use tempfile::TempDir;
use tls_codec::{Serialize as _, VLBytes};
use tokio::sync::watch;
use uuid::Uuid;

use super::super::client::{Client, ClientError, EventStream};
use super::super::{ACTING_USER, CreateRoom, IDEMPOTENCY_KEY, MEDIA_TYPE, ProblemDetails};
use super::{ALICE, BOB, token_key};
use crate::addresses::Resolver;
use crate::assets::Fetcher;
use crate::config::Config;
use crate::gateway::{Claims, Clock, Gateway, HubKeys, Parts, Policy, Reporters};
use crate::peer::Peers;
use crate::peer::testing::Authority;
use crate::provider::token::{ACT, AUDIENCE, Grant, TokenKey};

const LIFETIME: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// The role of ordinary users in the template `strict`.
const ORDINARY: u32 = 2;

struct Lab {
    _dir: TempDir,
    gateway: Gateway,
    key: TokenKey,
    origin: String,
    server: ServerHandle,
    _closing: watch::Sender<bool>,
}

pub(super) fn configuration(folder: &Path) -> Config {
    Authority::new().write(folder, "a.example");
    for name in ["hub.key", "franking.key", "log.key"] {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        std::fs::write(folder.join(name), key.serialize_pem()).unwrap();
    }
    // 32 octets of zero in base64.
    std::fs::write(folder.join("sealing.key"), format!("{}=", "A".repeat(43))).unwrap();
    let text = format!(
        "domains: [a.example]\n\
         database: sqlite:portcullis.db\n\
         listeners:\n  \
           federation: {{ bind: '127.0.0.1:0', url: 'https://a.example:8443' }}\n  \
           provider: {{ bind: '127.0.0.1:0', jwks: jwks.json }}\n\
         policies: {}/policies\n\
         keys:\n  \
           trust: ca.pem\n  \
           tls: [{{ domain: a.example, certificate: a.example.crt, key: a.example.key }}]\n  \
           hub: hub.key\n  \
           franking: franking.key\n  \
           log: log.key\n  \
           sealing: [sealing.key]\n",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::write(folder.join("gateway.yaml"), text).unwrap();
    Config::load(&folder.join("gateway.yaml")).unwrap()
}

impl Lab {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = token_key(dir.path());
        let config = configuration(dir.path());
        let gateway = Gateway::new(Parts {
            domains: config.domains.clone(),
            store: Store::open(&config.database, &Options::default()).unwrap(),
            policy: Policy::open(&config.policies).unwrap(),
            peers: Peers::new(&config).unwrap(),
            keys: HubKeys::read(&config.keys).unwrap(),
            clock: Clock::default(),
            claims: Claims::new(&config.limits),
            reporters: Reporters::new(&config.limits),
            assets: Fetcher::new(&config.assets, &[]).unwrap(),
            addresses: Resolver::new(&config).unwrap(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let (closing, closed) = watch::channel(false);
        let server = super::super::open(gateway.clone(), &config, listener, closed).await.unwrap();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self { _dir: dir, gateway, key, origin, server: handle, _closing: closing }
    }

    fn token(&self, subject: &str, scope: &str) -> String {
        let grant = Grant { subject, audience: AUDIENCE, issuer: None, scope, roles: None, lifetime_seconds: 600 };
        self.key.sign(&grant).unwrap()
    }

    /// A user's own client.
    fn client(&self, user: &str) -> Client {
        Client::new(&self.origin, self.token(user, "")).unwrap()
    }

    /// Registers a user with one device and five KeyPackages, and opens the device's stream.
    async fn join(&self, client: &Client, device: &str) -> (Member, EventStream) {
        let device: ClientUri = device.parse().unwrap();
        let mut member = Member::new(device.clone()).unwrap();
        client.register_user(member.user()).await.unwrap();
        client.register_device(&device).await.unwrap();
        let packages = member.key_packages(5, LIFETIME).unwrap().iter().map(Wire::encode).collect();
        assert_eq!(client.upload_key_packages(&device, packages).await.unwrap(), 5);
        let events = client.events(&device, 0);
        (member, events)
    }

    /// The next event of a device, taken in by its member.
    async fn receive(&self, member: &mut Member, events: &mut EventStream) -> Vec<Received> {
        let now = self.gateway.clock().now();
        audit::sequence_async(self.gateway.store(), 1000, now).await.unwrap();
        let event = events.next().await.unwrap().event;
        member.receive(&event.room.unwrap(), &FanoutMessage::decode(&event.payload.0).unwrap()).unwrap()
    }

    /// What the audit log has of a decision.
    async fn record(&self, decision: Option<Uuid>) -> AuditRecord {
        audit::sequence_async(self.gateway.store(), 1000, self.gateway.clock().now()).await.unwrap();
        assert!(decision.is_some());
        let filter = audit::Filter { decision, limit: 2, ..audit::Filter::default() };
        let entries = self.gateway.store().read(|conn| audit::entries(conn, &filter)).unwrap();
        let [entry] = &entries[..] else { panic!("{entries:?}") };
        entry.record.clone()
    }

    async fn raw(&self, method: Method, path: &str, body: Vec<u8>) -> Response {
        let request = reqwest::Client::new().request(method, format!("{}{path}", self.origin)).body(body);
        request
            .bearer_auth(self.token(ALICE, ""))
            .header(IDEMPOTENCY_KEY, Uuid::new_v4().to_string())
            .send()
            .await
            .unwrap()
    }

    async fn code(&self, method: Method, path: &str, body: Vec<u8>) -> (u16, String) {
        let response = self.raw(method, path, body).await;
        assert_eq!(response.headers()["content-type"], MEDIA_TYPE, "{path}");
        let status = response.status().as_u16();
        (status, response.json::<ProblemDetails>().await.unwrap().code)
    }
}

fn room() -> RoomUri {
    "mimi://a.example/r/clubhouse".parse().unwrap()
}

async fn create(client: &Client, member: &mut Member) {
    let wanted = CreateRoom::new(room(), "strict", "Clubhouse");
    let created = client.create_room(&wanted).await.unwrap().value;
    let first = member.create_room(&created.room, &created.group, &created.extensions.0).unwrap();
    client.start_group(&room(), first.group_info.encode(), first.tree.encode()).await.unwrap().unwrap();
}

#[actix_web::test]
async fn two_users_of_one_company_talk_through_the_door() {
    let lab = Lab::open().await;
    let service = Client::new(&lab.origin, lab.token("chat", ACT)).unwrap();
    let (alice, bob) = (lab.client(ALICE), service.acting_for(BOB.parse().unwrap()));
    let (mut phone, _) = lab.join(&alice, "mimi://a.example/d/alice/phone").await;
    let (mut tablet, mut events) = lab.join(&bob, "mimi://a.example/d/bob/tablet").await;
    create(&alice, &mut phone).await;

    let target: UserUri = BOB.parse().unwrap();
    let request = phone.key_material_request(&target, Some(&room())).unwrap().encode();
    let material = alice.key_material(&target, request).await.unwrap().value;
    let packages = material.clients.into_iter().map(|client| match client {
        ClientKeyMaterial::Success { key_package, .. } => key_package,
        other => panic!("{other:?}"),
    });
    let update = phone.add(&room(), packages.collect::<Vec<_>>(), [(target.clone(), ORDINARY)]).unwrap().encode();
    let accepted = alice.update(&room(), update).await.unwrap();
    assert!(matches!(accepted.value, UpdateResponse::Success { .. }), "{:?}", accepted.value);
    phone.accepted(&room()).unwrap();
    assert_eq!(bob.count_key_packages(tablet.client()).await.unwrap(), 4);
    lab.receive(&mut tablet, &mut events).await;
    assert_eq!(tablet.epoch_authenticator(&room()).unwrap(), phone.epoch_authenticator(&room()).unwrap());

    let message = phone.text(&room(), "hello").unwrap().encode();
    let submitted = alice.submit(&room(), message).await.unwrap();
    assert!(matches!(submitted.value.outcome, SubmitOutcome::Accepted { .. }), "{:?}", submitted.value);
    let received = lab.receive(&mut tablet, &mut events).await;
    assert!(matches!(received.as_slice(), [Received::Message(_)]), "{received:?}");
    for decision in [accepted.decision, submitted.decision] {
        let filter = audit::Filter { decision, limit: 10, ..audit::Filter::default() };
        let entries = lab.gateway.store().read(|conn| audit::entries(conn, &filter)).unwrap();
        assert_eq!(entries.len(), 1, "{decision:?}");
    }
    lab.server.stop(false).await;
}

#[actix_web::test]
async fn the_description_is_served_to_all_and_names_every_code() {
    let lab = Lab::open().await;
    let document: serde_json::Value =
        reqwest::get(format!("{}/v1/openapi.json", lab.origin)).await.unwrap().json().await.unwrap();
    assert_eq!(document, lab.client(ALICE).openapi().await.unwrap());
    let refusals = document["paths"]["/v1/rooms"]["post"]["responses"]["default"]["description"].as_str().unwrap();
    assert!(super::super::CODES.iter().all(|(code, _, _)| refusals.contains(&format!("`{code}`"))));
    lab.server.stop(false).await;
}

#[actix_web::test]
async fn what_does_not_fit_a_route_is_refused_with_its_code() {
    let lab = Lab::open().await;
    let (get, put, post) = (Method::GET, Method::PUT, Method::POST);
    let alice = "/v1/users/mimi%3A%2F%2Fa.example%2Fu%2Falice";
    let bob = "/v1/users/mimi%3A%2F%2Fa.example%2Fu%2Fbob";
    let device = "/v1/devices/mimi%3A%2F%2Fa.example%2Fu%2Falice";
    let messages = "/v1/rooms/mimi%3A%2F%2Fa.example%2Fr%2Fnowhere/messages";
    let rooms = "/v1/rooms";
    for (method, path, body, expected) in [
        (get.clone(), "/v1/nothing", "", (404, "not_found")),
        (get, alice, "", (405, "method_not_allowed")),
        (put.clone(), "/v1/users/alice", "", (400, "malformed")),
        (put.clone(), device, "", (400, "malformed")),
        (put, bob, "", (403, "wrong_identity")),
        (post.clone(), rooms, r#"{"room":"mimi://a.example/r/x"}"#, (400, "malformed")),
        (
            post.clone(),
            rooms,
            r#"{"room":"mimi://a.example/r/x","template":"strict","name":"x","y":1}"#,
            (400, "malformed"),
        ),
        (
            post.clone(),
            rooms,
            r#"{"room":"mimi://a.example/r/x","template":"loose","name":"x"}"#,
            (403, "unknown_template"),
        ),
        (
            post.clone(),
            rooms,
            r#"{"room":"mimi://b.example/r/x","template":"strict","name":"x"}"#,
            (403, "wrong_identity"),
        ),
    ] {
        let code = lab.code(method, path, body.as_bytes().to_vec()).await;
        assert_eq!(code, (expected.0, expected.1.to_owned()), "{path} {body}");
    }
    assert_eq!(lab.code(post.clone(), messages, vec![0]).await, (400, "malformed".to_owned()));
    let long = vec![0; (1 << 20) + 1];
    assert_eq!(lab.code(post, messages, long).await, (413, "oversize".to_owned()));
    lab.server.stop(false).await;
}

#[actix_web::test]
async fn a_user_cannot_use_the_device_of_another() {
    let lab = Lab::open().await;
    let (alice, bob) = (lab.client(ALICE), lab.client(BOB));
    let (mut phone, _) = lab.join(&alice, "mimi://a.example/d/alice/phone").await;
    bob.register_user(&BOB.parse().unwrap()).await.unwrap();
    let packages: Vec<Vec<u8>> = phone.key_packages(1, LIFETIME).unwrap().iter().map(Wire::encode).collect();
    let refused = [
        bob.register_device(phone.client()).await.err(),
        bob.upload_key_packages(phone.client(), packages).await.err(),
        bob.count_key_packages(phone.client()).await.err(),
        bob.events(phone.client(), 0).next().await.err(),
    ];
    for refused in refused {
        let status = refused.as_ref().and_then(ClientError::problem).map(|problem| problem.status);
        assert!(matches!(status, Some(403 | 404)), "{refused:?}");
    }
    assert_eq!(alice.count_key_packages(phone.client()).await.unwrap(), 5);
    lab.server.stop(false).await;
}

/// Raw KeyPackages of a device whose certificate says that it is `user`'s.
fn certified(device: &str, user: &str) -> Vec<u8> {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = [device, user].map(|name| SanType::URI(name.try_into().unwrap())).to_vec();
    let certificate = params.self_signed(&key).unwrap();
    let chain = VLBytes::new(certificate.der().to_vec()).tls_serialize_detached().unwrap();
    // An Ed25519 key in PKCS#8 has its seed after 16 octets (RFC 8410, section 7).
    let seed = key.serialize_der()[16..48].to_vec();
    let signer = SignatureKeyPair::from_raw(SignatureScheme::ED25519, seed, key.public_key_raw().to_vec());
    let credential = CredentialWithKey {
        credential: Credential::new(CredentialType::X509, chain),
        signature_key: signer.public().into(),
    };
    let suite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;
    let bundle = KeyPackage::builder()
        .key_package_lifetime(Lifetime::new(LIFETIME.as_secs()))
        .leaf_node_capabilities(Capabilities::new(None, None, None, None, Some(&[CredentialType::X509])))
        .build(suite, &OpenMlsRustCrypto::default(), &signer, credential)
        .unwrap();
    bundle.key_package().tls_serialize_detached().unwrap()
}

#[actix_web::test]
async fn a_key_package_is_its_device_s_and_its_user_s_and_one_of_another_device_is_refused_on_the_record() {
    let lab = Lab::open().await;
    let device = "mimi://a.example/d/bob/phone";
    let bob = lab.client(BOB);
    lab.join(&bob, device).await;
    let device = device.parse().unwrap();
    assert_eq!(bob.upload_key_packages(&device, vec![certified(device.as_str(), BOB)]).await.unwrap(), 6);
    let theirs = bob.upload_key_packages(&device, vec![certified(device.as_str(), ALICE)]).await.unwrap_err();
    assert!(matches!(theirs.problem().unwrap().status, 400 | 403), "{theirs:?}");
    let tablet = certified("mimi://a.example/d/bob/tablet", BOB);
    let refused = bob.upload_key_packages(&device, vec![tablet]).await.unwrap_err();
    let problem = refused.problem().unwrap();
    assert_eq!((problem.status, problem.code.as_str()), (403, "wrong_identity"));
    let other = bob.register_device(&"mimi://a.example/d/alice/phone".parse().unwrap()).await.unwrap_err();
    let first = lab.record(problem.decision).await;
    let second = lab.record(other.problem().unwrap().decision).await;
    assert_eq!(
        (first.kind.as_str(), first.reason.as_str()),
        ("decision.key_packages", "credential_is_another_client_s")
    );
    assert_eq!((second.kind.as_str(), second.reason.as_str()), ("decision.device", "device_is_another_user_s"));
    lab.server.stop(false).await;
}

#[actix_web::test]
async fn key_packages_uploaded_side_by_side_stay_within_what_a_device_may_keep() {
    let lab = Lab::open().await;
    let alice = lab.client(ALICE);
    let (mut phone, _) = lab.join(&alice, "mimi://a.example/d/alice/phone").await;
    let uploads: Vec<Vec<Vec<u8>>> =
        (0..6).map(|_| phone.key_packages(60, LIFETIME).unwrap().iter().map(Wire::encode).collect()).collect();
    let uploads = uploads.into_iter().map(|packages| alice.upload_key_packages(phone.client(), packages));
    let (taken, refused): (Vec<_>, Vec<_>) =
        futures_util::future::join_all(uploads).await.into_iter().partition(Result::is_ok);
    assert_eq!((taken.len(), refused.len()), (3, 3));
    assert!(refused.iter().all(|refused| refused.as_ref().unwrap_err().problem().unwrap().status == 409));
    assert_eq!(alice.count_key_packages(phone.client()).await.unwrap(), 185);
    lab.server.stop(false).await;
}

#[actix_web::test]
async fn a_room_that_is_refused_before_policy_is_asked_is_on_the_record() {
    let lab = Lab::open().await;
    let alice = lab.client(ALICE);
    for (room, template, reason) in [
        ("mimi://a.example/r/x", "loose", "unknown_template"),
        ("mimi://b.example/r/x", "strict", "room_is_not_of_the_creator_s_provider"),
    ] {
        let wanted = CreateRoom::new(room.parse().unwrap(), template, "x");
        let refused = alice.create_room(&wanted).await.unwrap_err();
        let record = lab.record(refused.problem().unwrap().decision).await;
        assert_eq!((record.kind.as_str(), record.reason.as_str()), ("decision.room", reason));
    }
    lab.server.stop(false).await;
}

#[actix_web::test]
async fn an_acting_user_of_another_company_is_refused_before_the_body_is_read() {
    let lab = Lab::open().await;
    let request = reqwest::Client::new()
        .post(format!("{}/v1/rooms", lab.origin))
        .bearer_auth(lab.token("chat", ACT))
        .header(ACTING_USER, "mimi://b.example/u/bob")
        .body(vec![0; 1 << 20]);
    let problem: ProblemDetails = request.send().await.unwrap().json().await.unwrap();
    assert_eq!((problem.status, problem.code.as_str()), (403, "acting_user_refused"));
    lab.server.stop(false).await;
}
