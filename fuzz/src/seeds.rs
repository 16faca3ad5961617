//! Inputs that start a corpus: the published vectors, the shipped bundle, and what real members make.

use portcullis_core::content::Content;
use portcullis_core::time::Millis;
use portcullis_core::wire::Wire;
use portcullis_core::wire::components::{
    AppComponents, ApplicationFraming, ComponentId, ContentMediaTypes, Dictionary, JoinLinks, JoinLinksUpdate,
    MediaType, Participant, ParticipantList, ParticipantListUpdate, PreauthList, RolesList, SafeAadComponents,
};
use portcullis_core::wire::frank::{Frank, SafeAad};
use portcullis_core::wire::key_material::RequiredCapabilities;
use portcullis_core::wire::report_abuse::AbusiveMessage;
use serde_json::Value;

use super::{TARGETS, documents, doors, export, federation, identity, log, records, rooms};

const VECTORS: &str = include_str!("../../crates/core/tests/vectors/mimi-vectors.json");

/// The name of a target and an input for it. Every decoder has at least one, and most have one that they take.
///
/// # Panics
///
/// When no room can be made to take inputs from.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut named = Named::all();
    let more = [
        documents::seeds(),
        doors::seeds(&named),
        federation::seeds(&named),
        log::seeds(),
        export::seeds(),
        records::seeds(),
    ];
    named.extend(more.concat());
    let inputs = named.0.iter().flat_map(|(name, bytes)| {
        TARGETS.iter().filter_map(move |target| Some((target.name, target.input(name, bytes)?)))
    });
    inputs.collect()
}

/// Inputs by the name of their decoder.
pub(super) struct Named(Vec<(String, Vec<u8>)>);

impl Named {
    /// Those of the protocol: the published vectors, what is made by hand, and what real members make.
    pub(super) fn all() -> Self {
        let mut named = Self(vectors());
        named.extend(by_hand());
        named.extend(rooms::seeds().unwrap_or_else(|error| panic!("no room can be made: {error}")));
        named
    }

    fn extend(&mut self, more: Vec<(&str, Vec<u8>)>) {
        self.0.extend(more.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)));
    }

    /// The first of a decoder; empty where there is none.
    pub(super) fn first(&self, name: &str) -> Vec<u8> {
        self.0.iter().find(|(of, _)| of == name).map(|(_, bytes)| bytes.clone()).unwrap_or_default()
    }
}

/// The vectors by the name of their decoder.
fn vectors() -> Vec<(String, Vec<u8>)> {
    let file: Value = serde_json::from_str(VECTORS).unwrap_or_default();
    let vectors = file["vectors"].as_array().cloned().unwrap_or_default();
    let mut named = Vec::new();
    for vector in &vectors {
        let text = |key: &str| vector[key].as_str().unwrap_or_default();
        let name = match text("struct").split(" (").next().unwrap_or_default() {
            "RoleData" => "RolesList",
            "ParticipantListData" => "ParticipantList",
            "JoinLinksData" => "JoinLinks",
            "MessageExpiration" => "MessageExpirationPolicy",
            "PreAuthData" => "PreauthList",
            "RoomMetaData" => "RoomMetadata",
            "UpdateRoomResponse" => "UpdateResponse",
            "FanoutMessage x2 concatenated" => "batch of FanoutMessages",
            "AppDataDictionary" => "Dictionary",
            other => other,
        };
        let bytes = unhex(text("hex"));
        let also = match name {
            "Dictionary" => Some("room"),
            "GroupInfoResponse" => Some("groupInfo answer"),
            _ => None,
        };
        named.extend(also.map(|also| (also.to_owned(), bytes.clone())));
        named.push((name.to_owned(), bytes));
        for (key, name) in [
            ("context_hex", "FrankingContext"),
            ("tbs_hex", "FrankingTbs"),
            ("agent_data_hex", "FrankingAgent"),
            ("welcome_hex", "MlsMessage"),
            ("message_hex", "MlsMessage"),
            ("commit_hex", "MlsMessage"),
            ("proposal_hex", "MlsMessage"),
            ("key_package_hex", "KeyPackage"),
        ] {
            if vector.get(key).is_some() {
                named.push((name.to_owned(), unhex(text(key))));
            }
        }
    }
    named
}

/// What no vector is about.
fn by_hand() -> Vec<(&'static str, Vec<u8>)> {
    let sized = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap_or_default().to_be_bytes(), bytes].concat();
    let plain = MediaType { media_type: "text/plain".to_owned(), parameters: Vec::new() };
    let lists = Dictionary::from_iter([
        (ComponentId::PARTICIPANT_LIST, list().encode()),
        (ComponentId::JOIN_LINKS, JoinLinks { links: vec![vec![1], vec![2]] }.encode()),
    ]);
    let participants = ParticipantListUpdate { removed: vec![1], ..ParticipantListUpdate::default() }.encode();
    let links = JoinLinksUpdate { removed: vec![0], added: vec![vec![3]] };
    let [high, low] = ComponentId::PARTICIPANT_LIST.0.to_be_bytes();
    let update = [sized(&lists.encode()).as_slice(), &[high, low, 0], &sized(&participants)].concat();
    let preauth = [sized(&RolesList::default().encode()), PreauthList::default().encode()].concat();
    let (user, room) = ("mimi://a.example/u/alice", "mimi://a.example/r/lobby");
    let text = match (user.parse(), room.parse()) {
        (Ok(user), Ok(room)) => Content::text(&user, &room, "hello", [7; 16]).encode(),
        _ => Vec::new(),
    };
    let frank = Frank { server_frank: [1; 32], signature_suite: 1, signature: vec![2; 64] };
    let names = [user, "mimi://a.example", "mimi://a.example/d/alice/phone", room, "mimi://b.example/g/b%2Fb"];
    let sender = |identity: &str| [&[1, 7, 0, 1][..], &opaque(identity.as_bytes())].concat();
    let certificate = [sized(b"mimi@A.example").as_slice(), include_bytes!("../seeds/certificate.der")].concat();
    // A PKCS#8 document of version 1 with an Ed25519 seed (RFC 8410).
    let key = [&unhex("302e020100300506032b657004220420")[..], &[7; 32]].concat();
    let mut seeds = vec![
        ("AppComponents", AppComponents { components: vec![ComponentId::ROLES_LIST] }.encode()),
        ("SafeAadComponents", SafeAadComponents { components: vec![ComponentId::FRANK_AAD] }.encode()),
        ("ContentMediaTypes", ContentMediaTypes { media_types: vec![plain.clone()] }.encode()),
        ("JoinLinksUpdate", links.encode()),
        ("preauth_list beside roles_list", preauth),
        ("updates of components", update),
        ("RequiredCapabilities", RequiredCapabilities { proposal_types: vec![8, 10], ..Default::default() }.encode()),
        ("SafeAad", SafeAad::with_frank(&[9; 32]).encode()),
        ("AbusiveMessage", AbusiveMessage { content: text.clone(), frank, accepted_at: Millis(1) }.encode()),
        ("ApplicationFraming", ApplicationFraming { media_type: plain.clone(), content: text.clone() }.encode()),
        ("ExternalSender", sender("mimi://a.example")),
        ("credential", sender("mimi://a.example")),
        ("credential", sender("mimi://a.example/d/alice/phone")),
        ("certificate", certificate),
        ("Host", b"mimi.a.example:8443".to_vec()),
        ("Host", b"B.example".to_vec()),
        ("signing key", key),
        ("content", text),
        ("directory", br#"{"update": "https://a.example/v1/update/{roomId}", "x": 1}"#.to_vec()),
        ("path", b"/v1/update/mimi%3A%2F%2Fa.example%2Fr%2Fclubhouse".to_vec()),
        ("path", b"/v1/keyMaterial/b.example/u/b%2Fb".to_vec()),
        ("Cache-Control", b"public, Max-Age=60, no-store".to_vec()),
        ("card", identity::CARD.as_bytes().to_vec()),
        ("card", identity::CARD.replace("b.example", "c.example").into_bytes()),
        ("card", identity::CARD.replace("https://", "http://").into_bytes()),
    ];
    seeds.extend(names.map(|name| ("identifiers", name.as_bytes().to_vec())));
    seeds
}

fn list() -> ParticipantList {
    let participant = |name: &str| {
        let user = format!("mimi://a.example/u/{name}").parse().ok()?;
        Some(Participant { user, role_index: 2 })
    };
    ParticipantList { participants: ["alice", "bob"].into_iter().filter_map(participant).collect() }
}

/// `opaque<V>` of less than 64 bytes.
fn opaque(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap_or_default()], bytes].concat()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).filter_map(digit).collect()
}
