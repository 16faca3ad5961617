//! The endpoints of a real gateway, put together from a configuration file.

use std::fs;
use std::path::Path;

use portcullis_core::member::Member;
use portcullis_core::wire::Wire;
use portcullis_core::wire::key_material::{KeyMaterialResponse, KeyMaterialUserCode};
use portcullis_core::wire::uri::{ClientUri, UserUri};
use portcullis_store::{Options, Store};
use rcgen::{KeyPair, PKCS_ED25519};

use super::*;
use crate::addresses::Resolver;
use crate::assets::Fetcher;
use crate::config::Config;
use crate::gateway::{Claims, Clock, HubKeys, Once, Parts, Policy, Reporters};
use crate::peer::Peers;

/// Of a KeyPackage: well above the month that must remain when it is claimed.
const LIFETIME: Duration = Duration::from_secs(60 * 24 * 60 * 60);

const ROOM: &str = "mimi%3A%2F%2Fa.example%2Fr%2Fclubhouse";
const ROOM_OF_THE_PEER: &str = "mimi%3A%2F%2Fb.example%2Fr%2Flounge";
const ALICE: &str = "mimi%3A%2F%2Fa.example%2Fu%2Falice";

/// A running gateway of a.example, and b.example's way to it.
struct Running {
    _folder: tempfile::TempDir,
    gateway: Gateway,
    peer: reqwest::Client,
    server: ServerHandle,
}

fn configuration(folder: &Path, authority: &Authority) -> Config {
    authority.write(folder, "a.example");
    for name in ["hub.key", "franking.key", "log.key"] {
        fs::write(folder.join(name), KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem()).unwrap();
    }
    // 32 octets of zero in base64.
    std::fs::write(folder.join("sealing.key"), format!("{}=", "A".repeat(43))).unwrap();
    let text = format!(
        "domains: [a.example]\n\
         database: sqlite:portcullis.db\n\
         listeners:\n  \
           federation: {{ bind: '127.0.0.1:0', url: 'https://a.example:8443' }}\n  \
           provider: {{ bind: '127.0.0.1:0', jwks: jwks.json }}\n\
         peers: [{{ domain: b.example }}]\n\
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
    let path = folder.join("gateway.yaml");
    fs::write(&path, text).unwrap();
    Config::load(&path).unwrap()
}

impl Running {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let config = configuration(folder.path(), &authority);
        let database = config.database.clone();
        let store = tokio::task::spawn_blocking(move || Store::open(&database, &Options::default())).await.unwrap();
        let gateway = Gateway::new(Parts {
            domains: config.domains.clone(),
            store: store.unwrap(),
            policy: Policy::open(&config.policies).unwrap(),
            peers: Peers::new(&config).unwrap(),
            keys: HubKeys::read(&config.keys).unwrap(),
            clock: Clock::default(),
            claims: Claims::new(&config.limits),
            reporters: Reporters::new(&config.limits),
            assets: Fetcher::new(&config.assets, &[]).unwrap(),
            addresses: Resolver::new(&config).unwrap(),
        });
        let listener = TcpListener::bind(config.listeners.federation.bind).unwrap();
        let address = listener.local_addr().unwrap();
        let server = super::super::open(gateway.clone(), &config, listener).unwrap();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        let material = authority.material(vec![authority.identity(&["b.example"])]);
        let peer = client(&material, Some("b.example"), address);
        Self { _folder: folder, gateway, peer, server: handle }
    }

    async fn post(&self, endpoint: &str, target: &str, key: Option<&str>, body: Vec<u8>) -> (u16, Vec<u8>) {
        let url = format!("https://a.example/v1/{endpoint}/{target}");
        let mut post = self.peer.post(url).header("from", "mimi@b.example").body(body);
        if let Some(key) = key {
            post = post.header("idempotency-key", key);
        }
        let response = post.send().await.unwrap();
        (response.status().as_u16(), response.bytes().await.unwrap().to_vec())
    }

    /// Alice with three KeyPackages, and bob's request for one.
    async fn alice_and_a_request(&self) -> Vec<u8> {
        let device = ClientUri::parse("mimi://a.example/d/alice/phone").unwrap();
        let alice = UserUri::parse("mimi://a.example/u/alice").unwrap();
        let packages = Member::new(device.clone()).unwrap().key_packages(3, LIFETIME).unwrap();
        let packages = packages.iter().map(Wire::encode).collect();
        self.gateway.register_user(alice.clone(), None).await.unwrap();
        self.gateway.register_device(alice.clone(), device.clone()).await.unwrap();
        self.gateway.upload_key_packages(Once::unnamed(), alice.clone(), device, packages).await.unwrap();
        let bob = Member::new(ClientUri::parse("mimi://b.example/d/bob/phone").unwrap()).unwrap();
        bob.key_material_request(&alice, None).unwrap().encode()
    }
}

#[actix_web::test]
async fn what_is_relayed_for_somebody_unknown_is_for_its_gateway_alone() {
    let running = Running::open().await;
    let request = running.alice_and_a_request().await;
    let url = format!("https://a.example/v1/keyMaterial/{ALICE}");
    let sent = async |kind: &str| {
        let post = running.peer.post(&url).header("from", "mimi@b.example").header("content-type", kind);
        post.body(request.clone()).send().await.unwrap().status().as_u16()
    };
    for kind in ["message/ohttp-req", "Message/OHTTP-Req; x=1"] {
        assert_eq!(sent(kind).await, 400, "{kind}");
    }
    assert_eq!(sent("application/octet-stream").await, 200);
    running.server.stop(false).await;
}

#[actix_web::test]
async fn what_does_not_decode_to_the_last_byte_is_malformed_everywhere() {
    let running = Running::open().await;
    let mut trailing = running.alice_and_a_request().await;
    trailing.push(0);
    assert_eq!(running.post("keyMaterial", ALICE, None, trailing).await.0, 400);
    for (endpoint, target) in [
        ("keyMaterial", ALICE),
        ("update", ROOM),
        ("submitMessage", ROOM),
        ("groupInfo", ROOM),
        ("notify", ROOM_OF_THE_PEER),
        ("requestConsent", "a.example"),
        ("requestConsent", ALICE),
        ("updateConsent", "a.example"),
        ("identifierQuery", "a.example"),
        ("updateConsent", "a.example/u/alice"),
    ] {
        for body in [vec![], vec![0xff; 64]] {
            let (status, answer) = running.post(endpoint, target, None, body).await;
            assert_eq!(status, 400, "{endpoint} {}", String::from_utf8_lossy(&answer));
        }
    }
    running.server.stop(false).await;
}

#[actix_web::test]
async fn a_repeated_key_gets_the_same_answer_and_another_key_another() {
    let running = Running::open().await;
    let request = running.alice_and_a_request().await;
    let mut answers = Vec::new();
    for key in [Some("one"), Some("one"), Some("two"), None] {
        let (status, answer) = running.post("keyMaterial", ALICE, key, request.clone()).await;
        assert_eq!(status, 200);
        answers.push(answer);
    }
    let response = KeyMaterialResponse::decode(&answers[0]).unwrap();
    assert_eq!(response.status, KeyMaterialUserCode::Success, "{:?}", response.clients);
    assert_eq!(answers[0], answers[1]);
    assert_ne!(answers[1], answers[2]);
    assert_ne!(answers[2], answers[3]);
    running.server.stop(false).await;
}
