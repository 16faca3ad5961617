//! What comes to the doors with bearer tokens, the configuration that opens them, and what a collector answers.

use std::path::PathBuf;

use portcullis::audit::{self, ExportError};
use portcullis::config::{Config, Source};
use portcullis::http::token::AUDIENCE;
use portcullis::{admin, provider};
use serde_json::{Value, json};

use super::Decoder;
use super::edits::edited;
use super::endpoints::part;
use super::gate::{ALICE, CONFIG, Door, Gate, PHONE, Request, escaped};

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
        let asked = Request { door: Door::Admin, method: "GET", target: "/v1/status", token: Some(&token), body: &[] };
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
    let Some((&which, mut bytes)) = bytes.split_first() else { return false };
    let (Some(segments), Some(query)) = (part(&mut bytes), part(&mut bytes)) else { return false };
    let Some((door, method, path)) = routes().into_iter().nth(usize::from(which)) else { return false };
    let mut target = String::new();
    let mut segments = segments.split(|byte| *byte == b'\n');
    for (number, piece) in path.split(['{', '}']).enumerate() {
        if number % 2 == 0 {
            target.push_str(piece);
        } else {
            target.push_str(&escaped(&String::from_utf8_lossy(segments.next().unwrap_or_default())));
        }
    }
    if !query.is_empty() {
        let graphic = query.iter().filter(|byte| byte.is_ascii_graphic() && **byte != b'#');
        target = format!("{target}?{}", graphic.map(|byte| char::from(*byte)).collect::<String>());
    }
    let status =
        Gate::with(|gate| gate.send(&Request { door, method: &method, target: &target, token: None, body: bytes }));
    assert!(status != 500 && status != 401, "`{method} {target}` is answered with {status}");
    status < 300
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
pub(super) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let sized = |text: &str| [&u16::try_from(text.len()).unwrap_or_default().to_be_bytes(), text.as_bytes()].concat();
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
    for (which, (_, method, path)) in (0u8..).zip(routes()) {
        let (query, body) = asked(&method, path);
        let names = path.split(['{', '}']).skip(1).step_by(2).map(|name| match name {
            "user" => ALICE,
            "device" => PHONE,
            "room" => "mimi://a.example/r/lobby",
            "sink" => "otlp",
            "decision" => "0197a3f4-0000-7000-8000-000000000000",
            _ => "b.example",
        });
        let names = names.collect::<Vec<_>>().join("\n");
        seeds.push(("request", [vec![which], sized(&names), sized(query), body.into_bytes()].concat()));
    }
    seeds
}

/// Query and body that a route would take.
fn asked(method: &str, path: &str) -> (&'static str, String) {
    let reason = "a test of it";
    match (method, path.rsplit('/').next().unwrap_or_default()) {
        ("GET", "events") => ("cursor=7", String::new()),
        ("GET", "rooms" | "peers") => ("limit=2&cursor=bWltaTovL2EuZXhhbXBsZS9yL2xvYmJ5", String::new()),
        ("GET", "lanes") => ("state=parked&room=mimi%3A%2F%2Fa.example%2Fr%2Flobby&peer=b.example", String::new()),
        ("GET", "decisions") => ("since=1&until=4102444800000&outcome=deny&kind=decision.commit", String::new()),
        ("POST", "rooms") => {
            let room = json!({ "room": "mimi://a.example/r/lobby", "template": "strict", "name": "Lobby" });
            ("", room.to_string())
        }
        ("POST", "key-packages") => ("", json!({ "key_packages": ["AAEAAQ=="] }).to_string()),
        ("PUT", "group" | "group-info") => {
            ("", json!({ "group_info": "AAEAAQ==", "ratchet_tree": "AAE=" }).to_string())
        }
        ("POST", "skip") => ("", json!({ "reason": reason, "through": 3 }).to_string()),
        ("POST", "resend") => ("", json!({ "reason": reason, "from": 3 }).to_string()),
        ("GET", "dead-letters") => ("limit=2&cursor=Nw", String::new()),
        ("POST", "redeliver") => ("", json!({ "reason": reason, "from": 3, "to": 7 }).to_string()),
        ("POST", "retry" | "allow" | "suspend" | "block") => ("", json!({ "reason": reason }).to_string()),
        _ => ("", String::new()),
    }
}
