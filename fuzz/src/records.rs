//! What a database gives back long after it was written: by then something may have spoilt it, or another version have
//! written it.

use std::collections::BTreeMap;
use std::error::Error;

use portcullis::gateway::{Purpose, Report, Sealer, policy_files};
use portcullis::provider::{
    ChangeConsent, Consents, CreateRoom, Event, FirstGroup, KeyPackageCount, KeyPackages, ProblemDetails, Profile,
    RoomCreated,
};
use portcullis_core::policy::{Bundle, Engine, Recalled, RecordHead, RoleSet, Told};
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{Domain, RoomUri};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Decoder;
use super::edits::edited;
use super::gate::{ALICE, policies};

pub(super) const RECORDS: &[Decoder] = &[
    Decoder { name: "roles of a room", run: roles },
    Decoder { name: "recorded question", run: question },
    Decoder { name: "report of a shadow", run: report },
    Decoder { name: "sealed bytes", run: sealed },
    Decoder { name: "edited sealed bytes", run: edited_seal },
    Decoder { name: "event of a device", run: again::<Event> },
    Decoder { name: "answer to a client", run: answer },
];

/// What the room of recorded questions is.
const ROOM: &str = "mimi://a.example/r/lobby";

type Mishap = Box<dyn Error>;

thread_local! {
    static SHELF: Shelf = Shelf::filled().unwrap_or_else(|error| panic!("nothing is kept: {error}"));
}

/// What is asked again, and of whom.
struct Shelf {
    engine: Engine,
    roles: RoleSet,
    room: RoomUri,
    peer: Domain,
    sealer: Sealer,
    sealed: Vec<u8>,
}

impl Shelf {
    fn filled() -> Result<Self, Mishap> {
        let Ok(bundle) = Bundle::load(policy_files(&policies()?)?) else { return Err("the bundle is not good".into()) };
        let capabilities: Vec<u16> = (0..100).collect();
        let roles = json!([[0, "nobody", []], [2, "ordinary", [1, 2, 3]], [3, "everybody", capabilities]]);
        let roles = RoleSet::decode(roles.to_string().as_bytes()).ok_or("no roles")?;
        let folder = TempDir::new()?;
        let file = folder.path().join("sealing.key");
        // 32 octets of zero in base64.
        std::fs::write(&file, format!("{}=", "A".repeat(43)))?;
        let sealer = Sealer::read(&[file])?;
        let sealed = sealer.seal(Purpose::Report, b"report", b"what was said")?;
        let (room, peer) = (RoomUri::parse(ROOM)?, Domain::parse("b.example")?);
        Ok(Self { engine: Engine::new(&bundle), roles, room, peer, sealer, sealed })
    }
}

/// What has a form in JSON has the same again after it was read.
fn again<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> bool {
    let Ok(taken) = serde_json::from_slice::<T>(bytes) else { return false };
    let Ok(written) = serde_json::to_value(&taken) else { panic!("what was read cannot be written") };
    let read = serde_json::from_value::<T>(written.clone()).ok().and_then(|read| serde_json::to_value(read).ok());
    assert!(read == Some(written), "what was read is another thing when it is read again");
    true
}

fn roles(bytes: &[u8]) -> bool {
    let Some(roles) = RoleSet::decode(bytes) else { return false };
    assert!(RoleSet::decode(&roles.encode()) == Some(roles), "roles have another name when they are read again");
    true
}

/// What the record says beside it, a bit each, then the question in JSON.
fn question(bytes: &[u8]) -> bool {
    let Some((&beside, question)) = bytes.split_first() else { return false };
    let Ok(recorded) = serde_json::from_slice::<Value>(question) else { return false };
    SHELF.with(|shelf| {
        let head = RecordHead {
            room: (beside & 1 != 0).then_some(&shelf.room),
            actor: (beside & 2 != 0).then_some("operator:ann"),
            peer: (beside & 4 != 0).then_some(&shelf.peer),
            epoch: (beside & 8 != 0).then_some(7),
            at: Millis(1_700_000_000_000),
        };
        let kept = beside & 16 == 0;
        let Ok(recalled) = Recalled::read(&head, &recorded, |_| kept.then(|| shelf.roles.clone())) else {
            return false;
        };
        let suspended = shelf.engine.with_suspended(recalled.suspended().clone());
        let verdict = Told::from(recalled.ask(&suspended));
        assert!(verdict == Told::from(recalled.ask(&suspended)), "the same question has two answers");
        assert!(!verdict.allow || !verdict.policy.is_empty(), "something is allowed by no policy");
        let written = json!({ "verdict": verdict });
        assert!(Told::of(&written) == Some(verdict), "a verdict is another one when it is read again");
        true
    })
}

fn report(bytes: &[u8]) -> bool {
    let Ok(report) = serde_json::from_slice::<Report>(bytes) else { return false };
    let written = serde_json::to_vec(&report).unwrap_or_default();
    let read = serde_json::from_slice::<Report>(&written).ok();
    assert!(read.is_some_and(|read| read.summary() == report.summary() && read.unknown() == report.unknown()));
    let mut whole = Report::default();
    whole.add(report.clone());
    assert!(whole.changed == report.changed && whole.samples.len() <= report.samples.len());
    true
}

/// Nobody who has not the key seals anything.
fn sealed(bytes: &[u8]) -> bool {
    SHELF.with(|shelf| {
        for purpose in [Purpose::HubKey, Purpose::Report] {
            assert!(shelf.sealer.open(purpose, b"report", bytes).is_err(), "what nobody has sealed was opened");
        }
    });
    // Whether it was refused for more than its form: that is all an input can get to.
    bytes.len() > 33 && bytes.first() == Some(&1)
}

fn edited_seal(bytes: &[u8]) -> bool {
    SHELF.with(|shelf| {
        let edited = edited(&shelf.sealed, bytes);
        let opened = shelf.sealer.open(Purpose::Report, b"report", &edited);
        assert!(opened.is_ok() == (edited == shelf.sealed), "other bytes open as well");
        assert!(shelf.sealer.open(Purpose::HubKey, b"report", &edited).is_err(), "a report is taken for a key");
        opened.is_ok_and(|plain| plain == b"what was said")
    })
}

/// What the doors answer, and what clients send, as whoever writes a client reads it: any of them.
fn answer(bytes: &[u8]) -> bool {
    let all: [fn(&[u8]) -> bool; 9] = [
        again::<ProblemDetails>,
        again::<Consents>,
        again::<Profile>,
        again::<RoomCreated>,
        again::<KeyPackageCount>,
        again::<KeyPackages>,
        again::<ChangeConsent>,
        again::<CreateRoom>,
        again::<FirstGroup>,
    ];
    all.into_iter().fold(false, |taken, read| read(bytes) | taken)
}

/// Inputs for each decoder of this target.
pub(super) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let verdict = json!({ "allow": false, "policy": ["company.rule"], "reason": "NOT_PERMITTED" });
    let told = |fields: Value| {
        let mut fields = fields;
        fields["verdict"] = verdict.clone();
        fields.to_string().into_bytes()
    };
    let bob = "mimi://b.example/u/bob";
    let of_room = |more: Value| {
        let mut fields = json!({
            "capability": "canSendMessage", "actor": ALICE, "from_role": 2, "to_role": 2, "source": "a.example",
            "transition_authorized": true, "message_bytes": 100, "suite": 1, "roles": "0123",
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            fields[name] = value.clone();
        }
        told(fields)
    };
    let questions = [
        of_room(json!({})),
        of_room(json!({ "capability": "canAddParticipant", "target": bob, "actor_role": 3, "side": "follower" })),
        of_room(json!({ "actor": "a.example", "imposed": ["frozen", "target_muted"], "room": ROOM, "epoch": 9 })),
        of_room(json!({ "capability": "capability 0xf001", "now": 1, "suspended": ["a.example"], "external": true })),
        told(json!({ "act": "findUser", "actor": bob, "about": ALICE, "detail": null })),
        told(json!({ "act": "claimKeyMaterial", "actor": bob, "about": ALICE, "detail": "granted", "room": null })),
        told(json!({ "act": "requestConsent", "actor": bob, "about": ALICE, "detail": "request", "room": ROOM })),
        told(json!({ "act": "search", "actor": bob, "door": "a.example", "source": "b.example" })),
        told(json!({
            "act": "managePeers", "operation": "block", "about": "b.example", "roles": ["admin"], "operator": "ann"
        })),
    ];
    let changes = json!({ "newly_allowed": 1, "newly_denied": 0, "by_others": 2 });
    let sample = json!({
        "change": "newly_allowed", "seq": 7, "at": 1, "decision": "0197a3f4-0000-7000-8000-000000000000",
        "kind": "decision.message", "room": ROOM, "peer": "b.example", "question": { "capability": "canSendMessage" },
        "recorded": verdict, "candidate": { "allow": true, "policy": ["mimi.role"], "reason": "ROLE_GRANTS" },
    });
    let named = |name: &str| BTreeMap::from([(name.to_owned(), changes.clone())]);
    let report = json!({
        "records": 9, "questions": 9, "same": 6, "changed": changes, "not_replayable": { "erased": 1 },
        "by_policy": named("mimi.role"), "by_room": named(ROOM), "by_peer": named("b.example"), "samples": [sample],
    });
    let event = json!({ "room": ROOM, "kind": "commit", "at": 7, "payload": "AAEC" });
    let answers = [
        json!({
            "type": "urn:portcullis:problem:not_allowed", "title": "Forbidden", "status": 403, "code": "not_allowed",
            "detail": "no", "reason": "MUTED", "policies": ["p"], "decision": "0197a3f4-0000-7000-8000-000000000000",
        }),
        json!({ "items": [{ "requester": ALICE, "target": bob, "room": ROOM, "decision": "grant" }], "next": 7 }),
        json!({ "fields": [{ "source": "oidc_std_claim", "name": "name", "value": "Alice", "searchable": true }] }),
        json!({
            "room": ROOM, "group": "mimi://a.example/g/lobby", "suite": 1, "extensions": "AAE=",
            "decision": "0197a3f4-0000-7000-8000-000000000000",
        }),
        json!({ "unclaimed": 7 }),
        json!({ "key_packages": ["AAEAAQ=="] }),
        json!({ "operation": "grant", "user": bob, "room": ROOM, "key_packages": ["AAEAAQ=="] }),
        json!({ "room": ROOM, "template": "strict", "name": "Lobby" }),
        json!({ "group_info": "AAEAAQ==", "ratchet_tree": "AAE=" }),
    ];
    let text = |value: &Value| value.to_string().into_bytes();
    let mut seeds = vec![
        ("roles of a room", br#"[[0,"guest",[1,61441]],[2,"member",[1,2]]]"#.to_vec()),
        ("report of a shadow", text(&report)),
        ("sealed bytes", [&[1][..], &[7; 48]].concat()),
        ("edited sealed bytes", Vec::new()),
        ("edited sealed bytes", vec![1, 0, 20, 1]),
        ("event of a device", text(&event)),
    ];
    seeds.extend(
        (8u8..)
            .zip(&questions)
            .map(|(beside, question)| ("recorded question", [&[beside | 7], question.as_slice()].concat())),
    );
    seeds.extend(answers.iter().map(|answer| ("answer to a client", text(answer))));
    seeds
}
