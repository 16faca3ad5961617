//! What comes to the doors with bearer tokens, the configuration that opens them, and what a collector answers.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis::audit::{self, ExportError};
use portcullis::config::{Config, Source};
use portcullis::http::token::{AUDIENCE, TokenKey};
use portcullis::{admin, provider};
use portcullis_core::member::Member;
use portcullis_core::wire::Wire as _;
use portcullis_core::wire::identifier_query::{IdentifierRequest, QueryElement};
use portcullis_core::wire::uri::{ClientUri, UserUri};
use serde_json::{Value, json};

use super::Decoder;
use super::edits::edited;
use super::endpoints::part;
use super::gate::{ALICE, CONFIG, Door, Gate, PHONE, Request, escaped};
use super::people;
use super::seeds::Named;

pub(super) const DOORS: &[Decoder] = &[
    Decoder { name: "token", run: token },
    Decoder { name: "edited token", run: edited_token },
    Decoder { name: "claims", run: claims },
    Decoder { name: "claims of a person", run: claims_of_a_person },
    Decoder { name: "header of a token", run: header },
    Decoder { name: "key set", run: key_set },
    Decoder { name: "request", run: request },
    Decoder { name: "gateway.yaml", run: configuration },
    Decoder { name: "collector's answer", run: collector },
    Decoder { name: "head of a request", run: head },
    Decoder { name: "stream of events", run: stream },
    Decoder { name: "key of tokens", run: token_key },
    Decoder { name: "filter of people", run: people::filter },
    Decoder { name: "change of people", run: people::change },
];

/// The keys are new in every process, so no input holds a token that they have signed.
fn token(bytes: &[u8]) -> bool {
    Gate::with(|gate| assert!(gate.user(bytes, &[]).is_err(), "a token of nobody was taken"));
    // Whether it was refused for more than its form: that is all an input can get to.
    std::str::from_utf8(bytes).is_ok_and(|text| text.split('.').count() == 3)
}

fn edited_token(bytes: &[u8]) -> bool {
    Gate::with(|gate| {
        let token = edited(gate.token().as_bytes(), bytes);
        let taken = gate.user(&token, &[]).is_ok();
        assert!(!taken || token.trim_ascii() == gate.token().as_bytes(), "one token is as good as another");
        taken
    })
}

/// The user to act for, then the claims.
fn claims(mut bytes: &[u8]) -> bool {
    let Some(acting) = part(&mut bytes) else { return false };
    Gate::with(|gate| {
        let token = gate.signed(gate.header().as_bytes(), bytes);
        let Ok(user) = gate.user(token.as_bytes(), acting) else { return false };
        assert!(user.uri.domain().as_str() == "a.example", "a user of another company");
        let claims: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let for_us = |audience: &Value| audience.as_str() == Some(AUDIENCE);
        let audience = &claims["aud"];
        assert!(for_us(audience) || audience.as_array().is_some_and(|list| list.iter().any(for_us)));
        let acts = claims["scope"].as_str().is_some_and(|scope| scope.split(' ').any(|word| word == "act"));
        assert!(acts || claims["sub"].as_str() == Some(user.uri.as_str()), "nobody may act for others unasked");
        true
    })
}

fn claims_of_a_person(bytes: &[u8]) -> bool {
    Gate::with(|gate| {
        let token = gate.signed(gate.header().as_bytes(), bytes);
        let asked = Request { token: Some(&token), ..Request::of(Door::Admin, "GET", "/v1/status") };
        let status = gate.send(&asked);
        assert!(matches!(status, 200 | 400 | 401 | 403), "status {status}");
        status == 200
    })
}

/// What stands before good claims.
fn header(bytes: &[u8]) -> bool {
    Gate::with(|gate| {
        let token = gate.signed(bytes, good_claims().to_string().as_bytes());
        let taken = gate.user(token.as_bytes(), &[]).is_ok();
        if taken {
            let header: Value = serde_json::from_slice(bytes).unwrap_or_default();
            assert_eq!(header["alg"], "EdDSA", "a signature of another kind");
        }
        taken
    })
}

/// An algorithm, then a key set that is to check a signature of nobody.
fn key_set(bytes: &[u8]) -> bool {
    let Some((&which, key_set)) = bytes.split_first() else { return false };
    let algorithm = ["EdDSA", "ES256", "RS256"][usize::from(which) % 3];
    Gate::with(|gate| {
        let header = format!(r#"{{"alg":"{algorithm}"}}"#);
        let token = gate.signed(header.as_bytes(), good_claims().to_string().as_bytes());
        match gate.by_key_set(key_set, &token) {
            Ok(opened) => opened,
            Err(error) => panic!("the key set cannot be written: {error}"),
        }
    })
}

/// Which route, then what stands in its path, its query and its body.
fn request(bytes: &[u8]) -> bool {
    answered(bytes).is_some_and(|(_, status)| status < 300)
}

/// The route that an input asks, and the status that it is answered with.
fn answered(bytes: &[u8]) -> Option<(String, u16)> {
    let (&which, mut bytes) = bytes.split_first()?;
    let (segments, query) = (part(&mut bytes)?, part(&mut bytes)?);
    let (door, method, path) = routes().into_iter().nth(usize::from(which))?;
    let mut target = filled(path, segments);
    if !query.is_empty() {
        let graphic = query.iter().filter(|byte| byte.is_ascii_graphic() && **byte != b'#');
        target = format!("{target}?{}", graphic.map(|byte| char::from(*byte)).collect::<String>());
    }
    let status = Gate::with(|gate| gate.send(&Request { body: bytes, ..Request::of(door, &method, &target) }));
    assert!(status != 500 && status != 401, "`{method} {target}` is answered with {status}");
    Some((format!("{method} {target}"), status))
}

/// A path with these lines in the places of its identifiers.
fn filled(path: &str, segments: &[u8]) -> String {
    let mut segments = segments.split(|byte| *byte == b'\n');
    let mut target = String::new();
    for (number, piece) in path.split(['{', '}']).enumerate() {
        if number % 2 == 0 {
            target.push_str(piece);
        } else {
            target.push_str(&escaped(&String::from_utf8_lossy(segments.next().unwrap_or_default())));
        }
    }
    target
}

/// What doors, and what they are made of, may read in the head of a request.
const HEADERS: [&str; 10] = [
    "Idempotency-Key",
    "Portcullis-User",
    "Last-Event-ID",
    "Accept",
    "Accept-Encoding",
    "Content-Type",
    "Content-Encoding",
    "Expect",
    "Traceparent",
    "X-Forwarded-For",
];

/// Which route, then lines of its head, each with the number of its name before it, then the body.
fn head(bytes: &[u8]) -> bool {
    let Some((&which, mut bytes)) = bytes.split_first() else { return false };
    let (Some(lines), Some((door, method, path))) = (part(&mut bytes), routes().into_iter().nth(usize::from(which)))
    else {
        return false;
    };
    let mut headers = Vec::new();
    for (name, value) in lines.split(|byte| *byte == b'\n').filter_map(<[u8]>::split_first) {
        let name = HEADERS[usize::from(*name) % HEADERS.len()];
        headers.extend_from_slice(name.as_bytes());
        headers.extend_from_slice(b": ");
        headers.extend(value.iter().filter(|byte| !matches!(byte, b'\r' | 0)));
        headers.extend_from_slice(b"\r\n");
    }
    let target = filled(path, names(path).as_bytes());
    let asked = Request { headers: &headers, body: bytes, ..Request::of(door, &method, &target) };
    let status = Gate::with(|gate| gate.send(&asked));
    assert!(status != 500 && status != 401, "`{method} {target}` is answered with {status}");
    status < 300
}

/// What a client reads from a stream of events.
fn stream(bytes: &[u8]) -> bool {
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
    let events = Gate::with(|gate| gate.stream(bytes)).unwrap_or_else(|error| panic!("no stream: {error}"));
    assert!(events <= lines + 2, "{events} events in {lines} lines");
    events > 0
}

fn token_key(bytes: &[u8]) -> bool {
    let Some(key) = std::str::from_utf8(bytes).ok().and_then(|pem| TokenKey::from_pem(pem).ok()) else { return false };
    assert!(key.jwks().keys.len() == 1);
    true
}

/// The routes of both doors; what only they know of a request comes after the same checks.
fn routes() -> Vec<(Door, String, &'static str)> {
    let provider = provider::routes().into_iter().map(|(method, path)| (Door::Provider, method.to_string(), path));
    let admin = admin::routes().into_iter().map(|(method, path)| (Door::Admin, method.to_string(), path));
    provider.chain(admin).collect()
}

fn configuration(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let source = Source::new(PathBuf::from("/etc/portcullis/gateway.yaml"), text.to_owned());
    match Config::parse(&source) {
        Ok(config) => {
            assert!(
                !config.domains.is_empty() && config.policies.folder.is_absolute() && config.keys.hub.is_absolute()
            );
            true
        }
        Err(error) => {
            // As YAML breaks lines.
            let breaks = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
            let (place, lines) = (error.position(), text.split(breaks).count());
            assert!(place.is_none_or(|(line, _)| (1..=lines + 1).contains(&line)), "{place:?} of {lines} lines");
            assert!(!error.to_string().is_empty(), "a configuration is refused without a word");
            assert!(!format!("{:?}", miette::Report::new(error)).is_empty());
            false
        }
    }
}

/// The status, then the body.
fn collector(bytes: &[u8]) -> bool {
    let Some((status, body)) = bytes.split_first_chunk() else { return false };
    match audit::collected(u16::from_be_bytes(*status), body) {
        Ok(()) => true,
        Err(ExportError::Refused { reason, .. }) => {
            assert!(reason.len() <= 1000 && !reason.chars().any(char::is_control), "{reason:?}");
            false
        }
        Err(_) => false,
    }
}

fn good_claims() -> Value {
    // In the year 2100.
    json!({ "sub": ALICE, "aud": AUDIENCE, "exp": 4_102_444_800_u64 })
}

/// Inputs for each decoder of this target.
pub(super) fn seeds(named: &Named) -> Vec<(&'static str, Vec<u8>)> {
    let over = |changes: Value| {
        let mut claims = good_claims();
        for (name, value) in changes.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        claims.to_string().into_bytes()
    };
    let service = over(json!({ "sub": "chat", "scope": "read act", "nbf": 1, "iat": 1 }));
    let people = [json!(["auditor", 7]), json!("auditor viewer"), json!({ "of": ["auditor"] })];
    let alike = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let mut seeds = vec![
        ("token", b"eyJhbGciOiJFZERTQSJ9.e30.AAAA".to_vec()),
        ("edited token", Vec::new()),
        ("edited token", vec![1, 0, 40, 1]),
        ("claims", [&[0, 0], &over(json!({}))[..]].concat()),
        ("claims", [&[0, 0], &over(json!({ "aud": ["x", AUDIENCE], "nbf": 1.5 }))[..]].concat()),
        ("claims", [sized(ALICE), service].concat()),
        ("header of a token", br#"{"alg":"EdDSA"}"#.to_vec()),
        ("header of a token", br#"{"alg":"HS256","typ":"JWT","jwk":{"kty":"oct","k":"AA"},"crit":["b64"]}"#.to_vec()),
        ("key set", format!("\0{{\"keys\":[{alike}]}}").into_bytes()),
        ("key set", b"\x01{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}".to_vec()),
        ("key set", b"\x02{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\",\"alg\":\"RS256\"}]}".to_vec()),
        ("gateway.yaml", CONFIG.as_bytes().to_vec()),
        ("gateway.yaml", CONFIG.replace("user: {", "users: {").into_bytes()),
        ("collector's answer", [&200_u16.to_be_bytes()[..], &[]].concat()),
        // A partial success: one record is rejected, for the reason `no`.
        ("collector's answer", [&200_u16.to_be_bytes()[..], &[10, 6, 8, 1, 18, 2], b"no"].concat()),
        ("collector's answer", [&400_u16.to_be_bytes()[..], &[18, 2], b"no"].concat()),
    ];
    let person = |roles: Value| over(json!({ "sub": "ops", "aud": "portcullis-admin", "roles": roles }));
    seeds.extend(people.map(|roles| ("claims of a person", person(roles))));
    seeds.extend(requests(named).into_iter().map(|input| ("request", input)));
    let lines = "\0a-key\n\x06gzip\n\x0800-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    seeds.push(("head of a request", [vec![0], sized(lines)].concat()));
    let events = |(_, _, path): (Door, String, &str)| path.ends_with("/events");
    let events = routes().into_iter().position(events).and_then(|which| u8::try_from(which).ok());
    seeds.extend(events.map(|which| ("head of a request", [vec![which], sized("\x027")].concat())));
    let event = r#"{"room":"mimi://a.example/r/lobby","kind":"commit","at":7,"payload":"AAEC"}"#;
    seeds.push((
        "stream of events",
        format!("retry: 1000\n\n:\n\nid: 7\nevent: commit\ndata: {event}\n\n").into_bytes(),
    ));
    // An Ed25519 key whose seed is 32 octets of 7 (RFC 8410).
    let key = [&[48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32][..], &[7; 32]].concat();
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(key));
    seeds.push(("key of tokens", key.into_bytes()));
    seeds.extend(people::seeds());
    seeds
}

const MAIL: &str = "alice@a.example";
const DIGEST: &str = "3f1c09aa3f1c09aa3f1c09aa3f1c09aa3f1c09aa3f1c09aa3f1c09aa3f1c09aa";

/// Lines that stand for the identifiers in a path.
fn names(path: &str) -> String {
    let names = path.split(['{', '}']).skip(1).step_by(2).map(|name| match name {
        "user" => ALICE,
        "device" => PHONE,
        "room" => "mimi://a.example/r/lobby",
        "sink" => "otlp",
        "url" => "https://files.b.example/a?c=d",
        "decision" | "report" | "code" => "0197a3f4-0000-7000-8000-000000000000",
        "digest" => DIGEST,
        "position" => "0",
        "address" => MAIL,
        _ => "b.example",
    });
    names.collect::<Vec<_>>().join("\n")
}

/// The routes that do not understand their seed: what stands in its query or body is not what they take.
pub fn misunderstood() -> Vec<String> {
    let answers = requests(&Named::all()).into_iter().filter_map(|input| answered(&input));
    // A bundle that does not prove is no bundle, and one that does would make each input of the route as slow.
    let answers = answers.filter(|(route, _)| route != "POST /v1/policies");
    answers.filter(|(_, status)| matches!(status, 400 | 413 | 422)).map(|(route, _)| route).collect()
}

/// A request to each route.
fn requests(named: &Named) -> Vec<Vec<u8>> {
    let routes = (0u8..).zip(routes());
    let requests = routes.map(|(which, (door, method, path))| {
        let (query, body) = asked(door, &method, path, named);
        [vec![which], sized(&names(path)), sized(query), body].concat()
    });
    requests.collect()
}

fn sized(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap_or_default().to_be_bytes(), text.as_bytes()].concat()
}

/// A KeyPackage of Alice's device, and what it asks for hers.
fn of_alice() -> Option<(Vec<u8>, Vec<u8>)> {
    let mut alice = Member::new(ClientUri::parse(PHONE).ok()?).ok()?;
    let package = alice.key_packages(1, Duration::from_secs(60 * 24 * 3600)).ok()?.pop()?;
    let request = alice.key_material_request(&UserUri::parse(ALICE).ok()?, None).ok()?;
    Some((package.as_bytes().to_vec(), request.encode()))
}

/// Who has an e-mail address.
fn by_mail() -> Vec<u8> {
    let elements = vec![QueryElement::Email { value: MAIL.to_owned() }];
    IdentifierRequest { elements, ..IdentifierRequest::default() }.encode()
}

/// Query and body that a route would take.
fn asked(door: Door, method: &str, path: &str, named: &Named) -> (&'static str, Vec<u8>) {
    let reason = "a test of it";
    let room = "mimi://a.example/r/lobby";
    let of = |name: &str| STANDARD.encode(named.first(name));
    let (key_package, request) = of_alice().unwrap_or_default();
    let (query, body) = match (method, path.rsplit('/').next().unwrap_or_default()) {
        ("GET", "events") => ("cursor=7", Value::Null),
        ("GET", "consent") => ("after=7", Value::Null),
        ("GET", "rooms" | "peers") => ("limit=2&cursor=bWltaTovL2EuZXhhbXBsZS9yL2xvYmJ5", Value::Null),
        ("GET", "lanes") => ("state=parked&room=mimi%3A%2F%2Fa.example%2Fr%2Flobby&peer=b.example", Value::Null),
        ("GET", "decisions") => ("since=1&until=4102444800000&outcome=deny&kind=decision.commit", Value::Null),
        ("GET", "audit") => {
            ("since=2026-01-01&zone=Europe%2FBerlin&kind=decision.*&order=oldest&access=true&limit=3", Value::Null)
        }
        ("GET", "counts") => ("since=2026-11-01&until=2026-11-22T09%3A30%2B01%3A00&by=day&outcome=deny", Value::Null),
        ("GET", "reports") => ("state=in_review&alleged=mimi%3A%2F%2Fb.example%2Fu%2Fbob&limit=2", Value::Null),
        ("GET", "policies" | "codes" | "letters" | "restrictions") => ("limit=2", Value::Null),
        ("PUT", "profile") => {
            let field = json!({ "source": "oidc_std_claim", "name": "name", "value": "Alice", "searchable": true });
            ("", json!({ "hidden": false, "fields": [field] }))
        }
        ("POST", "consent") => ("", json!({ "operation": "request", "user": "mimi://a.example/u/bob", "room": room })),
        ("POST", "rooms") => ("", json!({ "room": room, "template": "strict", "name": "Lobby" })),
        ("POST", "key-packages") => ("", json!({ "key_packages": [STANDARD.encode(key_package)] })),
        ("PUT", "group" | "group-info") => {
            ("", json!({ "group_info": of("GroupInfo"), "ratchet_tree": of("RatchetTree") }))
        }
        ("POST", "codes") => {
            let wanted =
                json!({ "reason": reason, "role": 2, "uses": 3, "lasts_seconds": 60, "provider": "b.example" });
            ("", wanted)
        }
        ("POST", "skip") if path.contains("lanes") => ("", json!({ "reason": reason, "through": 3 })),
        ("POST", "resend") => ("", json!({ "reason": reason, "from": 3 })),
        ("GET", "dead-letters") => ("limit=2&cursor=Nw", Value::Null),
        ("POST", "redeliver") => ("", json!({ "reason": reason, "from": 3, "to": 7 })),
        ("POST", "review" | "uphold" | "dismiss") => ("", json!({ "reason": reason, "version": 1, "case": "CASE-7" })),
        ("POST", "rollback") => ("", json!({ "reason": reason, "digest": DIGEST })),
        ("POST", "check" | "format" | "test" | "prove" | "simulate") if path.contains("policies") => {
            ("", json!({ "bundle": { "digest": DIGEST } }))
        }
        ("POST", "why" | "who-can" | "what-can" | "where-can") => {
            ("", json!({ "bundle": { "digest": DIGEST }, "cases": "tests/company.yaml", "it": "muted" }))
        }
        ("POST", "diff") => ("", json!({ "old": { "digest": DIGEST }, "new": { "digest": DIGEST } })),
        ("POST", "policies") => ("", json!({ "reason": reason, "files": { "settings.yaml": "{}" } })),
        ("POST", "messages") => return ("", named.first("SubmitMessageRequest")),
        ("POST", "update") => return ("", named.first("UpdateRequest")),
        ("POST", "reports") => return ("", named.first("AbuseReport")),
        ("POST", "group-info") => return ("", named.first("GroupInfoRequest")),
        // A key, DHKEM(X25519), HKDF-SHA256, AES-128-GCM, and as much as there is at least.
        ("POST", "{domain}") if path.contains("ohttp") => {
            return ("", [&[0, 0, 0x20, 0, 1, 0, 1], [0; 57].as_slice()].concat());
        }
        ("POST", "{domain}") => return ("", named.first("IdentifierRequest")),
        ("POST", "{user}") => return ("", request),
        ("POST", "search") => return ("", by_mail()),
        ("POST", "group") => ("", Value::Null),
        ("POST", "destroy") if door == Door::Provider => ("", Value::Null),
        ("POST", _) => ("", json!({ "reason": reason })),
        _ => ("", Value::Null),
    };
    (query, if body.is_null() { Vec::new() } else { body.to_string().into_bytes() })
}
