//! Every route of every door, asked by those who have no right to it. The route tables are the doors' own: one that is
//! neither public nor has its cases here fails.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use actix_web::http::Method;
use portcullis::gateway::Clock;
use portcullis::http::IDEMPOTENCY_KEY;
use portcullis::http::token::{ADMIN_AUDIENCE, AUDIENCE, Grant};
use portcullis::member::{Device, KEY_PACKAGE_LIFETIME};
use portcullis::provider::Base64;
use portcullis::{admin, federation, provider, scim};
use portcullis_core::wire::Wire;
use portcullis_core::wire::group_info::{GroupInfoOutcome, GroupInfoResponse};
use portcullis_core::wire::key_material::{KeyMaterialResponse, KeyMaterialUserCode};
use portcullis_core::wire::report_abuse::{AbuseReport, AbuseType};
use portcullis_core::wire::uri::UserUri;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
use reqwest::{Certificate, Client, Identity, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::admin::{Person, address, sign};
use crate::directory::{Idp, open_door};
use crate::harness::{Gateway, Lab, portcullis, room};

const TWO: [&str; 2] = ["a.example", "b.example"];

/// Routes that everybody may read: they tell what doors are made of, and nothing of what happens there.
const PUBLIC: [&str; 2] = ["/v1/openapi.json", "/.well-known/mimi-protocol-directory"];

/// What peers read without sending anything.
const READ_BY_PEERS: &str = "/.well-known/portcullis-envelope";

const MALLORY: &str = "mimi://a.example/u/mallory";

pub(crate) fn encoded(uri: &str) -> String {
    uri.replace('%', "%25").replace(':', "%3A").replace('/', "%2F")
}

/// A path with something of Alice's in its place.
pub(crate) fn filled(path: &str, alice: &Device) -> String {
    let room = encoded(room().as_str());
    path.replace("{user}", &encoded(alice.user().as_str()))
        .replace("{device}", &encoded(alice.client().as_str()))
        .replace("{room}", &room)
        .replace("{tail:.*}", &room)
        .replace("{domain}", "b.example")
        .replace("{peer}", "b.example")
        .replace("{address}", "bob@b.example")
        .replace("{sink}", "otlp")
        .replace("{decision}", &Uuid::nil().to_string())
        .replace("{report}", &Uuid::nil().to_string())
        .replace("{code}", &Uuid::nil().to_string())
        .replace("{url}", &encoded("https://files.b.example/a"))
        .replace("{position}", "0")
        .replace("{digest}", &"0".repeat(64))
}

async fn refusal(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    (status, body["code"].as_str().unwrap().to_owned())
}

fn grant<'a>(subject: &'a str, audience: &'a str, roles: Option<(&'a str, &'a [String])>) -> Grant<'a> {
    Grant { subject, audience, issuer: None, scope: "", roles, lifetime_seconds: 3600 }
}

/// Good claims of a token whose time is over, signed with the gateway's key.
fn expired(gateway: &Gateway, subject: &str, audience: &str) -> String {
    let pem = std::fs::read_to_string(gateway.folder.join("keys/token.key")).unwrap();
    let jwks = std::fs::read_to_string(gateway.folder.join("keys/jwks.json")).unwrap();
    let jwks: Value = serde_json::from_str(&jwks).unwrap();
    let header = jsonwebtoken::Header {
        kid: jwks["keys"][0]["kid"].as_str().map(str::to_owned),
        ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA)
    };
    let ended = Clock::default().now().0 / 1000 - 3600;
    let claims = json!({ "sub": subject, "aud": audience, "roles": ["admin"], "exp": ended });
    let key = jsonwebtoken::EncodingKey::from_ed_pem(pem.as_bytes()).unwrap();
    jsonwebtoken::encode(&header, &claims, &key).unwrap()
}

/// Tokens that open nothing at a door with this audience.
fn bad_tokens(gateway: &Gateway, subject: &str, audience: &str, other_audience: &str) -> [(&'static str, String); 4] {
    let admin = ["admin".to_owned()];
    let another = sign(gateway, &grant(subject, other_audience, Some(("roles", &admin))));
    let stranger = portcullis::http::token::TokenKey::from_pem(
        &KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem(),
    );
    let forged = stranger.unwrap().sign(&grant(subject, audience, Some(("roles", &admin)))).unwrap();
    [
        ("another door's", another),
        ("expired", expired(gateway, subject, audience)),
        ("signed by a stranger", forged),
        ("no", "token".to_owned()),
    ]
}

/// Asserts that a route of a door with tokens is closed to whoever has no good one.
async fn assert_closed(origin: &str, (method, path): (&Method, &str), bad: &[(&'static str, String)], public: bool) {
    let send = |token: Option<&str>| {
        let request = Client::new().request(method.as_str().parse().unwrap(), format!("{origin}{path}"));
        let request = request.header(IDEMPOTENCY_KEY, Uuid::new_v4().to_string()).body("{}");
        match token {
            Some(token) => request.bearer_auth(token).send(),
            None => request.send(),
        }
    };
    if public {
        assert_eq!(send(None).await.unwrap().status().as_u16(), 200, "{path}");
        return;
    }
    assert_eq!(refusal(send(None).await.unwrap()).await, (401, "token_missing".to_owned()), "{method} {path}");
    for (what, token) in bad {
        let refused = refusal(send(Some(token)).await.unwrap()).await;
        assert_eq!(refused, (401, "token_invalid".to_owned()), "{method} {path} with a token that is {what}");
    }
}

#[tokio::test]
async fn every_route_of_the_admin_door_is_closed_to_whoever_has_no_right_to_it() {
    let lab = Lab::open(&TWO).await;
    let (alice, _bob) = lab.alice_and_bob().await;
    let gateway = lab.gateway("a.example");
    let origin = format!("http://{}", address(&gateway.log()));
    let bad = bad_tokens(gateway, "ops", ADMIN_AUDIENCE, AUDIENCE);
    let nobody = Person::at(gateway, &["nobody"]);
    let before = gateway.database().number("SELECT count(*) FROM peer_standings");
    let mut refused = 0;
    for (method, path) in admin::routes() {
        let public = PUBLIC.contains(&path);
        let path = filled(path, &alice);
        assert!(!path.contains('{'), "the route `{path}` has no case");
        assert_closed(&origin, (&method, &path), &bad, public).await;
        if public {
            continue;
        }
        let short = path.strip_prefix("/v1/").unwrap();
        let told = match method {
            Method::GET => nobody.get(short).await,
            Method::POST => nobody.post(short, json!({ "reason": "why not", "from": 1 })).await,
            _ => panic!("the route `{method} {path}` has no case"),
        };
        // Of the changes some take a number, and each its own; what does not fit is refused first.
        let told = match told.refusal() {
            (400, "malformed") if short.starts_with("reports/") => {
                nobody.post(short, json!({ "reason": "why not", "version": 1 })).await
            }
            (400, "malformed") => nobody.post(short, json!({ "reason": "why not" })).await,
            _ => told,
        };
        // What is only asked needs no reason.
        let told = match told.refusal() {
            (400, "malformed") => nobody.post(short, json!({})).await,
            _ => told,
        };
        assert_eq!(told.refusal(), (403, "not_allowed"), "{method} {path}");
        assert!(told.decision.is_some(), "{method} {path}");
        refused += 1;
    }
    lab.quiet().await;
    let entries = gateway.database().entries();
    assert_eq!(entries.iter().filter(|entry| entry.record.kind == "decision.admin").count(), refused);
    assert_eq!(gateway.database().number("SELECT count(*) FROM peer_standings"), before);
}

/// What a user of the same company asks for in the place of Alice, and how it is refused.
struct Instead {
    body: Vec<u8>,
    refused: fn(u16, &[u8]) -> bool,
}

/// A report without a message.
pub(crate) fn complaint(by: &UserUri, about: &UserUri) -> AbuseReport {
    AbuseReport {
        reporter: Some(by.clone()),
        alleged: about.clone(),
        reason: AbuseType(0),
        note: Vec::new(),
        messages: Vec::new(),
        extensions: Default::default(),
    }
}

/// The case of one route, made of what Alice herself would send.
fn in_the_place_of_alice(method: &Method, path: &str, alice: &mut Device) -> Instead {
    let plain =
        |body: Value| Instead { body: body.to_string().into_bytes(), refused: |status, _| matches!(status, 403 | 404) };
    match (method.as_str(), path) {
        // A step of Mallory's own, with a key package of Alice's; and the list is Mallory's.
        ("POST", "/v1/consent") => {
            let packages = alice.member_mut().key_packages(1, KEY_PACKAGE_LIFETIME).unwrap();
            let packages: Vec<Base64> = packages.iter().map(|package| Base64(package.as_bytes().to_vec())).collect();
            let grant = json!({ "operation": "grant", "user": "mimi://b.example/u/bob", "key_packages": packages });
            Instead { body: grant.to_string().into_bytes(), refused: |status, _| status == 400 }
        }
        ("GET", "/v1/consent") => {
            Instead { body: Vec::new(), refused: |status, body| (status, body) == (200, br#"{"items":[]}"#) }
        }
        // A query is Mallory's own and about nobody; what is none is refused.
        // Whoever joins rooms may know which ones are accepted.
        ("GET", "/v1/envelope") => Instead { body: Vec::new(), refused: |status, _| status == 200 },
        // Keys are for everybody; a request is Mallory's own, and sealed.
        ("GET", "/v1/ohttp/{domain}") => Instead { body: Vec::new(), refused: |status, _| status == 200 },
        ("POST", "/v1/ohttp/{domain}") => Instead { body: b"{}".to_vec(), refused: |status, _| status == 400 },
        ("POST", "/v1/search/{domain}" | "/v1/search") => {
            Instead { body: b"{}".to_vec(), refused: |status, _| status == 400 }
        }
        ("PUT" | "GET", "/v1/users/{user}/profile") => plain(json!({})),
        ("PUT" | "DELETE", "/v1/users/{user}" | "/v1/devices/{device}")
        | ("GET", "/v1/devices/{device}/key-packages" | "/v1/devices/{device}/events") => plain(json!({})),
        ("POST", "/v1/devices/{device}/key-packages") => plain(json!({ "key_packages": [] })),
        ("POST", "/v1/rooms") => plain(json!({ "room": "mimi://b.example/r/x", "template": "strict", "name": "x" })),
        ("POST", "/v1/rooms/{room}/group" | "/v1/rooms/{room}/destroy") => {
            Instead { body: Vec::new(), refused: |status, _| status == 404 }
        }
        ("PUT", "/v1/rooms/{room}/group") => plain(json!({ "group_info": "", "ratchet_tree": "" })),
        // Nobody takes up the group of a room whose hub is here.
        ("PUT", "/v1/rooms/{room}/group-info") => Instead {
            body: json!({ "group_info": "", "ratchet_tree": "" }).to_string().into_bytes(),
            refused: |status, _| status == 409,
        },
        ("POST", "/v1/key-material/{user}") => Instead {
            body: alice.member().key_material_request(alice.user(), None).unwrap().encode(),
            refused: |status, body| {
                let answer = KeyMaterialResponse::decode(body).map(|answer| (answer.status, answer.clients.len()));
                (status, answer.unwrap()) == (200, (KeyMaterialUserCode::NoConsent, 0))
            },
        },
        ("POST", "/v1/rooms/{room}/update") => Instead {
            body: alice.member_mut().commit_pending(&room()).unwrap().encode(),
            refused: |status, _| status == 404,
        },
        ("POST", "/v1/rooms/{room}/messages") => Instead {
            body: alice.member_mut().text(&room(), "in her name").unwrap().encode(),
            refused: |status, _| status == 404,
        },
        ("GET", "/v1/rooms/{room}/assets/{url}") => Instead { body: Vec::new(), refused: |status, _| status == 404 },
        ("POST", "/v1/rooms/{room}/reports") => {
            Instead { body: complaint(alice.user(), alice.user()).encode(), refused: |status, _| status == 404 }
        }
        ("POST", "/v1/rooms/{room}/group-info") => Instead {
            body: alice.member_mut().group_info_request(&room(), None).unwrap().encode(),
            refused: |_, body| {
                !matches!(GroupInfoResponse::decode(body).unwrap().outcome, GroupInfoOutcome::Success { .. })
            },
        },
        _ => panic!("the route `{method} {path}` has no case"),
    }
}

#[tokio::test]
async fn every_route_of_the_provider_door_is_closed_to_whoever_has_no_right_to_it() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, _bob) = lab.alice_and_bob().await;
    let gateway = lab.gateway("a.example");
    gateway.client(&MALLORY.parse().unwrap()).register_user(&MALLORY.parse().unwrap()).await.unwrap();
    lab.quiet().await;
    let origin = format!("http://{}", gateway.provider);
    let bad = bad_tokens(gateway, alice.user().as_str(), AUDIENCE, ADMIN_AUDIENCE);
    let mallory = gateway.token(&MALLORY.parse().unwrap());
    let before = gateway.database().events();
    for (method, path) in provider::routes() {
        let public = PUBLIC.contains(&path);
        assert_closed(&origin, (&method, &filled(path, &alice)), &bad, public).await;
        if public {
            continue;
        }
        let Instead { body, refused } = in_the_place_of_alice(&method, path, &mut alice);
        let request = Client::new()
            .request(method.as_str().parse().unwrap(), format!("{origin}{}", filled(path, &alice)))
            .header(IDEMPOTENCY_KEY, Uuid::new_v4().to_string())
            .bearer_auth(&mallory);
        let response = request.body(body).send().await.unwrap();
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap();
        assert!(refused(status, &body), "{method} {path}: {status} {}", String::from_utf8_lossy(&body));
    }
    assert_eq!(gateway.database().events(), before);
    assert!(alice.say(&room(), "I am still here").await.unwrap().answer.is_ok());
}

/// A certificate and key of the lab's authority in PEM, which is good for so long.
pub(crate) fn certificate_until(authority: &Path, domain: &str, lasts: Duration) -> String {
    let now = Duration::from_millis(Clock::default().now().0);
    issued(authority, domain, |wanted| wanted.not_after = rcgen::date_time_ymd(1970, 1, 1) + now + lasts)
}

/// The same, whose last day is in this year.
fn certificate(authority: &Path, domain: &str, last_year: i32) -> String {
    issued(authority, domain, |wanted| wanted.not_after = rcgen::date_time_ymd(last_year, 12, 31))
}

fn issued(authority: &Path, domain: &str, end: impl FnOnce(&mut CertificateParams)) -> String {
    let text = |name: &str| std::fs::read_to_string(authority.join(name)).unwrap();
    let mut of_authority = CertificateParams::default();
    of_authority.distinguished_name = DistinguishedName::new();
    of_authority.distinguished_name.push(DnType::CommonName, "Portcullis development CA");
    of_authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let issuer = Issuer::new(of_authority, KeyPair::from_pem(&text("ca.key")).unwrap());
    let key = KeyPair::generate().unwrap();
    let mut wanted = CertificateParams::new(vec![domain.to_owned()]).unwrap();
    wanted.not_before = rcgen::date_time_ymd(2020, 1, 1);
    end(&mut wanted);
    wanted.use_authority_key_identifier_extension = true;
    let certificate = wanted.signed_by(&key, &issuer).unwrap().pem();
    format!("{certificate}{}", key.serialize_pem())
}

/// Calls a.example with a certificate, or without one.
fn caller(lab: &Lab, identity: Option<&str>) -> Client {
    caller_of(lab.gateway("a.example"), identity)
}

pub(crate) fn caller_of(called: &Gateway, identity: Option<&str>) -> Client {
    let trust = Certificate::from_pem(&std::fs::read(called.folder.join("keys/ca.pem")).unwrap()).unwrap();
    let builder = Client::builder().tls_certs_only([trust]).no_proxy();
    let builder = builder.resolve(called.domain.as_str(), called.federation);
    match identity {
        Some(pem) => builder.identity(Identity::from_pem(pem.as_bytes()).unwrap()).build().unwrap(),
        None => builder.build().unwrap(),
    }
}

#[tokio::test]
async fn every_endpoint_of_the_federation_door_is_closed_to_whoever_is_no_peer() {
    let lab = Lab::open(&TWO).await;
    let (alice, _bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    let a = lab.gateway("a.example");
    let authority = a.folder.with_file_name("ca");
    let of_b = certificate(&authority, "b.example", 2099);
    let of_stranger = certificate(&authority, "z.example", 2099);
    let ended = certificate(&authority, "b.example", 2021);
    let another = lab.gateway("b.example").folder.with_file_name("another");
    assert!(portcullis().arg("init").arg(&another).args(["--domain", "b.example"]).output().unwrap().status.success());
    let unknown_authority = certificate(&another.join("keys"), "b.example", 2099);
    let ops = Person::at(a, &["operator"]);
    let before = (a.database().events(), a.database().entries().len());
    for (method, path) in federation::routes() {
        // A hub notifies of rooms of its own.
        let filled = match path.strip_suffix("notify/{tail:.*}") {
            Some(start) => format!("{start}notify/{}", encoded("mimi://b.example/r/clubhouse")),
            None => filled(path, &alice),
        };
        let url = format!("https://a.example:{}{filled}", a.federation.port());
        let send = async |identity: Option<&str>, from: Option<&str>| {
            let request = caller(&lab, identity).request(method.as_str().parse().unwrap(), &url).body("no message");
            match from {
                Some(from) => request.header("from", from).send().await,
                None => request.send().await,
            }
        };
        if PUBLIC.contains(&path) || (method == Method::GET && path == portcullis::peer::OHTTP_PATH) {
            assert_eq!(send(None, None).await.unwrap().status().as_u16(), 200, "{path}");
            continue;
        }
        let told =
            async |identity: Option<&str>, from: Option<&str>| refusal(send(identity, from).await.unwrap()).await;
        let (b, z) = (Some("mimi@b.example"), Some("mimi@z.example"));
        if path == READ_BY_PEERS {
            assert_eq!(send(Some(&of_b), b).await.unwrap().status().as_u16(), 200, "{path}");
        } else {
            assert_eq!(told(Some(&of_b), b).await, (400, "malformed".to_owned()), "a peer is let in: {path}");
        }
        assert_eq!(told(None, b).await, (401, "certificate_missing".to_owned()), "{path}");
        assert_eq!(told(Some(&of_b), z).await, (403, "wrong_identity".to_owned()), "{path}");
        assert_eq!(told(Some(&of_stranger), z).await, (403, "wrong_identity".to_owned()), "{path}");
        assert_eq!(told(Some(&of_stranger), b).await, (403, "wrong_identity".to_owned()), "{path}");
        assert_eq!(told(Some(&of_b), None).await, (400, "malformed".to_owned()), "{path}");
        assert!(send(Some(&ended), b).await.is_err(), "an expired certificate: {path}");
        assert!(send(Some(&unknown_authority), b).await.is_err(), "a certificate of another authority: {path}");
        let decided = ops.post("peers/b.example/block", json!({ "reason": "a test" })).await;
        assert_eq!(decided.status, 200, "{decided:?}");
        assert_eq!(told(Some(&of_b), b).await, (403, "wrong_identity".to_owned()), "{path}");
        assert_eq!(ops.post("peers/b.example/allow", json!({ "reason": "a test" })).await.status, 200);
    }
    lab.quiet().await;
    // The keys of oblivious requests are for everybody whose certificate holds, and begun when they are asked for first.
    let decided = |(method, path): &&(Method, &'static str)| {
        !PUBLIC.contains(path) && (method, *path) != (&Method::GET, portcullis::peer::OHTTP_PATH)
    };
    let recorded = 2 * federation::routes().iter().filter(decided).count() + 1;
    assert_eq!((a.database().events(), a.database().entries().len()), (before.0, before.1 + recorded));
}

#[tokio::test]
async fn no_door_is_reached_through_another() {
    let mut lab = Lab::new(&TWO);
    open_door(lab.gateway("a.example"));
    lab.start().await;
    let (alice, _bob) = lab.alice_and_bob().await;
    let gateway = lab.gateway("a.example");
    let idp = Idp::of(gateway);
    let people = sign(gateway, &grant("ops", ADMIN_AUDIENCE, Some(("roles", &["admin".to_owned()]))));
    let user = gateway.token(alice.user());
    // Each with its routes, and what opens them there; at the last of them it is the certificate of a peer.
    let doors = [
        (format!("http://{}", address(&gateway.log())), admin::routes(), people),
        (format!("http://{}", gateway.provider), provider::routes(), user.clone()),
        (idp.origin.clone(), scim::routes(), idp.token.clone()),
        (format!("https://a.example:{}", gateway.federation.port()), federation::routes(), user),
    ];
    let client = caller(&lab, Some(&certificate(&gateway.folder.with_file_name("ca"), "b.example", 2099)));
    let at = |path: &str| {
        let path = path.replace("{id}", &Uuid::nil().to_string()).replace("{name}", "User").replace("{urn}", "x");
        let path = filled(&path, &alice);
        assert!(!path.contains('{'), "the route `{path}` has no case");
        path
    };
    let decided = || {
        let entries = gateway.database().entries();
        entries.iter().filter(|entry| entry.record.kind.starts_with("decision.")).count()
    };
    lab.quiet().await;
    let (before, mut of_both) = (decided(), BTreeSet::new());
    for (origin, own, _) in &doors {
        let own: Vec<(&Method, String)> = own.iter().map(|(method, path)| (method, at(path))).collect();
        for (_, routes, token) in doors.iter().filter(|(other, ..)| other != origin) {
            for (method, route) in routes {
                let path = at(route);
                if own.contains(&(method, path.clone())) {
                    of_both.insert(*route);
                    continue;
                }
                let request = client.request(method.as_str().parse().unwrap(), format!("{origin}{path}"));
                let request = request.header("from", "mimi@b.example").bearer_auth(token);
                let request = request.header(IDEMPOTENCY_KEY, Uuid::new_v4().to_string());
                let (status, code) = refusal(request.send().await.unwrap()).await;
                let nowhere = [(404, "not_found"), (405, "method_not_allowed")].contains(&(status, code.as_str()));
                assert!(nowhere, "{method} {origin}{path}: {status} {code}");
            }
        }
    }
    // All else was asked for at all the others.
    assert_eq!(of_both.into_iter().collect::<Vec<_>>(), ["/v1/openapi.json", "/v1/rooms/{room}/destroy"]);
    lab.quiet().await;
    assert_eq!(decided(), before);
}

#[tokio::test]
async fn what_a_hub_notifies_of_is_answered_201_without_a_body() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, _bob) = lab.alice_and_bob().await;
    assert!(alice.say(&room(), "told").await.unwrap().answer.is_ok());
    lab.quiet().await;
    let (a, b) = (lab.gateway("a.example"), lab.gateway("b.example"));
    let of_a = certificate(&a.folder.with_file_name("ca"), "a.example", 2099);
    let event = a.database().events().pop().unwrap().event.fanout;
    let url = format!("https://b.example:{}/v1/notify/{}", b.federation.port(), encoded(room().as_str()));
    let told = caller_of(b, Some(&of_a)).post(url).header("from", "mimi@a.example").body(event).send().await.unwrap();
    assert_eq!(told.status().as_u16(), 201);
    assert!(told.bytes().await.unwrap().is_empty());
}
