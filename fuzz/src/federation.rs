//! What other providers send to the federation door, with all that stands around a body, before a running gateway.

use portcullis::federation;
use portcullis_core::member::Member;
use portcullis_core::wire::Wire;
use portcullis_core::wire::components::Dictionary;
use portcullis_core::wire::consent::{ConsentEntry, ConsentOperation};
use portcullis_core::wire::group_info::GroupInfoResponse;
use portcullis_core::wire::identifier_query::IdentifierResponse;
use portcullis_core::wire::key_material::KeyMaterialResponse;
use portcullis_core::wire::submit::SubmitMessageResponse;
use portcullis_core::wire::update::UpdateResponse;
use portcullis_core::wire::uri::{ClientUri, RoomUri, UserUri};

use super::Decoder;
use super::endpoints::{part, through};
use super::gate::{ALICE, Call, Gate, escaped};
use super::seeds::Named;

pub(super) const FEDERATION: &[Decoder] = &[
    Decoder { name: "request of a peer", run: request },
    Decoder { name: "head of a peer's request", run: head },
    Decoder { name: "inside of an oblivious request", run: portcullis::assets::reads },
];

/// A user of the provider that calls.
const CAROL: &str = "mimi://c.example/u/carol";

/// The endpoints by their names in the path, and whether an answer is one that the endpoint gives.
const ENDPOINTS: [Decoder; 10] = [
    Decoder { name: "keyMaterial", run: through::<KeyMaterialResponse> },
    Decoder { name: "update", run: through::<UpdateResponse> },
    Decoder { name: "submitMessage", run: through::<SubmitMessageResponse> },
    Decoder { name: "groupInfo", run: through::<GroupInfoResponse> },
    Decoder { name: "notify", run: <[u8]>::is_empty },
    Decoder { name: "requestConsent", run: <[u8]>::is_empty },
    Decoder { name: "updateConsent", run: <[u8]>::is_empty },
    Decoder { name: "reportAbuse", run: <[u8]>::is_empty },
    Decoder { name: "identifierQuery", run: through::<IdentifierResponse> },
    // Nothing can be fetched here.
    Decoder { name: "proxyDownload", run: |_| false },
];

fn answered(which: u8, identifier: &[u8], call: Call<'_>) -> bool {
    let Some(endpoint) = ENDPOINTS.get(usize::from(which)) else { return false };
    let path = format!("/v1/{}/{}", endpoint.name, escaped(&String::from_utf8_lossy(identifier)));
    let Some((status, answer)) = Gate::with(|gate| gate.call(&Call { path: &path, ..call })) else { return false };
    assert!(status != 500, "`{path}` is answered with {status}");
    let taken = matches!(status, 200 | 201);
    assert!(!taken || (endpoint.run)(&answer), "`{path}` is answered with something else");
    taken
}

/// Which endpoint, then the identifier in its path, and the body.
fn request(bytes: &[u8]) -> bool {
    let Some((&which, mut bytes)) = bytes.split_first() else { return false };
    let Some(identifier) = part(&mut bytes) else { return false };
    answered(which, identifier, Call { body: bytes, ..Call::default() })
}

/// Which endpoint, then `From`, `Host`, `Idempotency-Key`, the identifier in the path, and the body.
fn head(bytes: &[u8]) -> bool {
    let Some((&which, mut bytes)) = bytes.split_first() else { return false };
    let mut next = || part(&mut bytes);
    let (Some(from), Some(host), Some(key), Some(identifier)) = (next(), next(), next(), next()) else { return false };
    answered(which, identifier, Call { from, host, key, body: bytes, ..Call::default() })
}

/// Inputs for each decoder of this target.
pub(super) fn seeds(named: &Named) -> Vec<(&'static str, Vec<u8>)> {
    let sized = |text: &[u8]| [&u16::try_from(text.len()).unwrap_or_default().to_be_bytes(), text].concat();
    let room = "mimi://a.example/r/lobby";
    let consent = |operation, requester: &str, target: &str| {
        let (Ok(requester), Ok(target)) = (requester.parse(), target.parse()) else { return Vec::new() };
        let (key_packages, extensions) = (Vec::new(), Dictionary::default());
        ConsentEntry { operation, requester, target, room: None, key_packages, extensions }.encode()
    };
    let query = named.first("IdentifierRequest");
    let of = [
        (ALICE, key_material().unwrap_or_default()),
        (room, named.first("UpdateRequest")),
        (room, named.first("SubmitMessageRequest")),
        (room, named.first("GroupInfoRequest")),
        ("mimi://c.example/r/lobby", named.first("FanoutMessage")),
        ("a.example", consent(ConsentOperation::Request, CAROL, ALICE)),
        ("a.example", consent(ConsentOperation::Grant, ALICE, CAROL)),
        (room, named.first("AbuseReport")),
        ("a.example", query.clone()),
        ("https://files.c.example/a?c=d", Vec::new()),
    ];
    let requests = (0u8..).zip(of).map(|(which, (identifier, body))| {
        ("request of a peer", [vec![which], sized(identifier.as_bytes()), body].concat())
    });
    let heads = [["mimi@c.example", "a.example", "a-key", "a.example"], ["mimi@C.example", "", "", ALICE]];
    let heads = heads.map(|lines| {
        let lines = lines.map(|line| sized(line.as_bytes())).concat();
        ("head of a peer's request", [vec![8], lines, query.clone()].concat())
    });
    // GET https://files.c.example/a, of known length (RFC 9292, section 3.1).
    let inside = b"\0\x03GET\x05https\x0ffiles.c.example\x02/a\0\0\0".to_vec();
    requests.chain(heads).chain([("inside of an oblivious request", inside)]).collect()
}

/// What carol asks for alice's clients.
fn key_material() -> Option<Vec<u8>> {
    let carol = Member::new(ClientUri::parse("mimi://c.example/d/carol/phone").ok()?).ok()?;
    let room = RoomUri::parse("mimi://c.example/r/lobby").ok()?;
    Some(carol.key_material_request(&UserUri::parse(ALICE).ok()?, Some(&room)).ok()?.encode())
}

/// The endpoints that have no input here.
pub fn unasked() -> Vec<&'static str> {
    let routes = federation::routes().into_iter().map(|(_, path)| path).filter(|path| path.contains("{tail"));
    routes
        .filter(|path| !ENDPOINTS.iter().any(|endpoint| path.starts_with(&format!("/v1/{}/", endpoint.name))))
        .collect()
}
