//! Input that is not what it should be: refused in time, by the documented status, and without any other effect.

use std::process::Output;

use portcullis::peer::{Endpoint, PeerError};
use portcullis::provider::client::ClientError;
use portcullis_core::wire::Wire;
use portcullis_core::wire::update::UpdateResponse;

use crate::harness::{Gateway, Lab, edit, portcullis, room, user};

const TWO: [&str; 2] = ["a.example", "b.example"];

/// Endpoints of a.example that b.example calls, and the longest body that each takes, in bytes.
fn endpoints() -> [(Endpoint, usize); 5] {
    [
        (Endpoint::KeyMaterial(user("a.example/u/alice")), 256 << 10),
        (Endpoint::Update(room()), 16 << 20),
        (Endpoint::SubmitMessage(room()), 1 << 20),
        (Endpoint::GroupInfo(room()), 256 << 10),
        (Endpoint::ReportAbuse(room()), 5 << 20),
    ]
}

async fn refused(by: &Gateway, to: &str, endpoint: Endpoint, body: Vec<u8>) -> u16 {
    match by.post(to, endpoint.clone(), body).await {
        Err(PeerError::Permanent { status }) => status,
        other => panic!("{endpoint:?}: {other:?}"),
    }
}

#[tokio::test]
async fn peers_get_400_for_what_does_not_decode_and_413_for_what_is_too_long() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let (a, b) = (lab.gateway("a.example"), lab.gateway("b.example"));
    for (endpoint, longest) in endpoints() {
        assert_eq!(refused(b, "a.example", endpoint.clone(), b"no TLS".to_vec()).await, 400, "{endpoint:?}");
        assert_eq!(refused(b, "a.example", endpoint.clone(), vec![]).await, 400, "{endpoint:?}");
        assert_eq!(refused(b, "a.example", endpoint.clone(), vec![0; longest + 1]).await, 413, "{endpoint:?}");
    }
    let notify = || Endpoint::Notify(room());
    assert_eq!(refused(a, "b.example", notify(), b"no TLS".to_vec()).await, 400);
    assert_eq!(refused(a, "b.example", notify(), vec![]).await, 400);
    assert_eq!(refused(a, "b.example", notify(), vec![0; (24 << 20) + 1]).await, 413);

    let trailing = |mut body: Vec<u8>| {
        body.push(0);
        body
    };
    let claim = bob.member().key_material_request(alice.user(), None).unwrap().encode();
    let ask = bob.member_mut().group_info_request(&room(), None).unwrap().encode();
    let message = bob.member_mut().text(&room(), "hello").unwrap().encode();
    let commit = bob.member_mut().commit_pending(&room()).unwrap().encode();
    let complaint = crate::rights::complaint(bob.user(), alice.user()).encode();
    for ((endpoint, _), body) in endpoints().into_iter().zip([claim, commit, message, ask, complaint]) {
        assert_eq!(refused(b, "a.example", endpoint, trailing(body)).await, 400);
    }
    let event = a.database().events().pop().unwrap().event.fanout;
    assert_eq!(refused(a, "b.example", notify(), trailing(event)).await, 400);
    assert!(alice.say(&room(), "all is well").await.unwrap().answer.is_ok());
    bob.until_text(&room(), "all is well").await.unwrap();
}

#[tokio::test]
async fn a_commit_that_is_cut_or_changed_anywhere_never_panics_and_never_takes_effect() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    let b = lab.gateway("b.example");
    let request = bob.member_mut().commit_pending(&room()).unwrap();
    let whole = request.encode();
    let before = lab.gateway("a.example").database().events();
    for cut in (1..whole.len()).step_by(41) {
        assert_eq!(refused(b, "a.example", Endpoint::Update(room()), whole[..cut].to_vec()).await, 400, "cut at {cut}");
    }
    let commit = {
        let portcullis_core::wire::update::UpdateRequest::Commit(bundle) = &request else { panic!("it is a commit") };
        bundle.commit.as_bytes().to_vec()
    };
    let start = whole.windows(commit.len()).position(|window| window == commit).unwrap();
    // The membership tag at its end is for members; no hub has the key to it (RFC 9420, section 6.2).
    for at in (start..start + commit.len() - 33).step_by(17) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        match b.post("a.example", Endpoint::Update(room()), changed).await {
            Ok(answer) => {
                let answer = UpdateResponse::decode(&answer.body).unwrap();
                assert!(!matches!(answer, UpdateResponse::Success { .. }), "changed at {at}");
            }
            Err(error) => assert_eq!(error.status(), Some(400), "changed at {at}"),
        }
    }
    lab.quiet().await;
    assert_eq!(lab.gateway("a.example").database().events(), before);
    assert!(!lab.gateway("a.example").log().contains("panicked"));
    assert!(bob.update(&room(), &request).await.unwrap().answer.is_ok());
    alice.until_epoch(&room(), 2).await.unwrap();
}

#[tokio::test]
async fn a_room_that_is_not_there_is_not_found() {
    let lab = Lab::open(&TWO).await;
    let (_, mut bob) = lab.alice_and_bob().await;
    let message = bob.member_mut().text(&room(), "hello").unwrap().encode();
    let nowhere = portcullis_core::wire::uri::RoomUri::parse("mimi://a.example/r/nowhere").unwrap();
    let b = lab.gateway("b.example");
    assert_eq!(refused(b, "a.example", Endpoint::SubmitMessage(nowhere), message).await, 404);
}

#[tokio::test]
async fn users_get_documented_codes_for_what_does_not_decode_and_what_is_too_long() {
    let lab = Lab::open(&TWO).await;
    let (_alice, bob) = lab.alice_and_bob().await;
    let door = lab.gateway("b.example").client(bob.user());
    let refused = |error: ClientError| error.problem().map(|problem| (problem.status, problem.code.clone())).unwrap();
    let malformed = (400, "malformed".to_owned());
    assert_eq!(refused(door.update(&room(), b"no TLS".to_vec()).await.unwrap_err()), malformed);
    assert_eq!(refused(door.submit(&room(), b"no TLS".to_vec()).await.unwrap_err()), malformed);
    assert_eq!(refused(door.report(&room(), b"no TLS".to_vec()).await.unwrap_err()), malformed);
    assert_eq!(refused(door.group_info(&room(), b"no TLS".to_vec()).await.unwrap_err()), malformed);
    assert_eq!(refused(door.key_material(bob.user(), vec![]).await.unwrap_err()), malformed);
    let too_long = door.submit(&room(), vec![0; (16 << 20) + 1]).await.unwrap_err();
    assert_eq!(refused(too_long), (413, "oversize".to_owned()));
}

fn exit(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// What both commands that read the configuration say of it.
fn invalid(gateway: &Gateway) -> String {
    exit(&gateway.operate(&["serve"]), 3);
    exit(&gateway.operate(&["check"]), 3)
}

#[test]
fn an_error_in_the_configuration_is_shown_with_file_line_and_column() {
    let lab = Lab::new(&["a.example"]);
    let gateway = lab.gateway("a.example");
    let text = std::fs::read_to_string(gateway.config_file()).unwrap();
    let line = text.lines().position(|line| line.starts_with("policies:")).unwrap() + 1;
    edit(&gateway.config_file(), "policies: policies", "polices: policies");
    let said = invalid(gateway);
    assert!(said.contains(&format!("gateway.yaml:{line}:1")), "{said}");
    assert!(said.contains("polices"), "{said}");
}

#[test]
fn a_value_of_the_wrong_kind_in_the_configuration_is_shown_where_it_stands() {
    let lab = Lab::new(&["a.example"]);
    let gateway = lab.gateway("a.example");
    edit(&gateway.config_file(), "url: 'https://", "url: 'gopher://");
    let text = std::fs::read_to_string(gateway.config_file()).unwrap();
    let line = text.lines().position(|line| line.contains("gopher:")).unwrap() + 1;
    let said = invalid(gateway);
    assert!(said.contains(&format!("gateway.yaml:{line}:")) && said.contains("https://"), "{said}");
}

#[test]
fn every_error_in_the_policies_is_shown_with_file_line_and_column() {
    let lab = Lab::new(&["a.example"]);
    let gateway = lab.gateway("a.example");
    let policies = gateway.folder.join("policies");
    let misspelt =
        "// Two lines\n// above it.\n@id(\"x\")\n@reason(\"X\")\nforbid (principal, action, resource) wen { true };\n";
    std::fs::write(policies.join("ceiling/misspelt.cedar"), misspelt).unwrap();
    edit(&policies.join("settings.yaml"), "clearance: 0", "clearance: none");
    let settings = std::fs::read_to_string(policies.join("settings.yaml")).unwrap();
    let line = settings.lines().position(|line| line.contains("clearance: none")).unwrap() + 1;
    let said = invalid(gateway);
    assert!(said.contains("misspelt.cedar:5:"), "{said}");
    assert!(said.contains(&format!("settings.yaml:{line}:")), "{said}");
}

#[test]
fn every_file_that_cannot_be_used_is_shown_where_the_configuration_names_it() {
    let lab = Lab::new(&["a.example"]);
    let gateway = lab.gateway("a.example");
    std::fs::write(gateway.folder.join("keys/hub.key"), "no PEM").unwrap();
    std::fs::write(gateway.folder.join("keys/ca.pem"), "no PEM either").unwrap();
    edit(&gateway.config_file(), "jwks: keys/jwks.json", "jwks: keys/nowhere.json");
    edit(&gateway.config_file(), "policies: policies", "policies: polices");
    gateway.configure("telemetry: { otlp: 'http://127.0.0.1:1', headers: { authorization: { env: NO_SUCH } } }\n");
    let text = std::fs::read_to_string(gateway.config_file()).unwrap();
    let said = invalid(gateway);
    for key in ["hub: ", "trust: ", "jwks: keys/nowhere", "policies: ", "telemetry: "] {
        let line = text.lines().position(|line| line.trim_start().starts_with(key)).unwrap() + 1;
        assert!(said.contains(&format!("gateway.yaml:{line}:")), "{key} {line}: {said}");
    }
}

#[test]
fn an_unknown_kind_of_database_is_shown_where_it_stands() {
    let lab = Lab::new(&["a.example"]);
    let gateway = lab.gateway("a.example");
    edit(&gateway.config_file(), "database: sqlite:", "database: mysql:");
    assert!(invalid(gateway).contains("`sqlite:PATH` or `postgres://…`"));
}

#[test]
fn wrong_arguments_are_a_usage_error() {
    for arguments in [
        &["serv"][..],
        &["serve", "--confg", "x"],
        &["outbox", "skip"],
        &["room", "mute", "no-uri", "mimi://a.example/u/alice", "--reason", "x"],
        &["audit", "list", "--exchange", "xyz"],
        &["init", "--peer", "b.example"],
    ] {
        exit(&portcullis().args(arguments).output().unwrap(), 64);
    }
    assert_eq!(portcullis().arg("--help").output().unwrap().status.code(), Some(0));
}
