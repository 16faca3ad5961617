//! How many recorded decisions are asked again in a second, of the bundle that made them and of a candidate.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use portcullis::gateway::{Patience, Report, Window, policy_files, simulate};
use portcullis_core::policy::{Bundle, Engine, Membership, Question, RecordHead, RoleFacts, RoleSet, RoomFacts, Side};
use portcullis_core::room::Actor;
use portcullis_core::time::Millis;
use portcullis_core::wire::components::Capability;
use portcullis_core::wire::uri::{Domain, RoomUri, UserUri};
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::{Options, Store, Tx, bundles, role_sets};
use serde_json::json;
use uuid::Uuid;

use super::submit::cpu_us;

const ROUNDS: usize = 5;
const DECISIONS: usize = 20_000;
const NOW: Millis = Millis(1_795_257_600_000);

const CANDIDATE: &str = "@id(\"company.short\")\n@reason(\"SHORT\")\nforbid (\n  principal in Mimi::Provider::\"b.example\",\n  \
    action == Mimi::Action::\"canSendMessage\",\n  resource is Mimi::Room\n)\nwhen { context.messageBytes > 2000 };\n";

pub(super) fn run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let mut files = policy_files(&folder).unwrap();
    let bundle = Bundle::load(files.clone()).unwrap();
    let content = kept(&files);
    files.insert("ceiling/candidate.cedar".to_owned(), CANDIDATE.as_bytes().to_vec());
    let candidate = Bundle::load(files).unwrap();
    for (what, users, rooms) in [("one sender", 1, 1), ("5,000 senders in 100 rooms", 5_000, 100)] {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", home.path().join("log.db").display()), &Options::default());
        let store = store.unwrap();
        record(&store, &bundle, content.clone(), (users, rooms));
        let mut rates = Vec::new();
        for _ in 0..ROUNDS {
            let (start, cpu) = (Instant::now(), cpu_us());
            let report: Report = simulate(&store, &candidate, Window::default(), Patience::default()).unwrap();
            let (took, cost) = (start.elapsed().as_secs_f64(), (cpu_us() - cpu) / 1_000_000.0);
            assert_eq!((report.records, report.unknown()), (DECISIONS as u64, 0), "{report:#?}");
            assert!(report.changed.newly_denied > 0, "{report:#?}");
            rates.push((DECISIONS as f64 / cost, DECISIONS as f64 / took));
        }
        rates.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (a_core, wall) = rates[ROUNDS / 2];
        println!(
            "simulate, {what}: {a_core:.0} decisions/s on a core ({wall:.0}/s by the clock), {DECISIONS} decisions"
        );
    }
}

/// A bundle as the database keeps it.
fn kept(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let texts: BTreeMap<&String, &str> =
        files.iter().map(|(name, text)| (name, std::str::from_utf8(text).unwrap())).collect();
    serde_json::to_vec(&texts).unwrap()
}

/// Writes the log of messages in rooms of 50 with the roles of the template `strict`, as far as numbers go.
fn record(store: &Store, bundle: &Bundle, content: Vec<u8>, (users, rooms): (usize, usize)) {
    let (engine, digest) = (Engine::new(bundle), bundle.digest());
    let capabilities: BTreeSet<Capability> = Capability::NAMED.iter().take(60).map(|(it, _)| *it).collect();
    let role = |index| Arc::new(RoleFacts { index, name: format!("role {index}"), capabilities: capabilities.clone() });
    let roles: RoleSet = (0..6).map(role).collect();
    let (id, encoded) = (roles.id().to_owned(), roles.encode());
    store
        .write("bench", move |tx: &mut Tx<'_>| {
            role_sets::put(tx, &id, &encoded)?;
            bundles::put(tx, &digest, &content, "bench", NOW)
        })
        .unwrap();
    let source = Domain::parse("b.example").unwrap();
    let facts = |number: usize| {
        let of_room = (0..users).filter(|user| user % rooms == number);
        let user = |number: usize| UserUri::parse(&format!("mimi://b.example/u/user{number}")).unwrap();
        RoomFacts {
            room: RoomUri::parse(&format!("mimi://a.example/r/room{number}")).unwrap(),
            side: Side::Hub,
            roles: Some(Membership {
                participants: Arc::new(of_room.map(|number| (user(number), 2)).collect()),
                roles: roles.clone(),
            }),
            muted: BTreeSet::new(),
            barred: Default::default(),
            frozen: false,
            legal_hold: false,
        }
    };
    let facts: Vec<RoomFacts> = (0..rooms).map(facts).collect();
    let records: Vec<AuditRecord> = (0..DECISIONS)
        .map(|number| {
            // No order that a cache would like.
            let user = number * 7919 % users;
            let (room, uri) =
                (&facts[user % rooms], UserUri::parse(&format!("mimi://b.example/u/user{user}")).unwrap());
            let (actor, text) = (Actor::User(uri.clone()), uri.to_string());
            let question = Question {
                room,
                actor: &actor,
                capability: Capability::SEND_MESSAGE,
                target: None,
                from_role: 2,
                to_role: 2,
                transition_authorized: true,
                alternative_granted: false,
                preauthorized: false,
                external: false,
                suite: 1,
                epoch: 7,
                message_bytes: 300 + number as u64 % 2000,
                source: &source,
                now: NOW,
            };
            let verdict = engine.decide(&question);
            assert!(verdict.allow, "{verdict:?}");
            let head =
                RecordHead { room: Some(&room.room), actor: Some(&text), peer: Some(&source), epoch: Some(7), at: NOW };
            let mut action = question.recorded(&head, &BTreeSet::new());
            action.insert("verdict".to_owned(), verdict.recorded());
            let event = Uuid::now_v7();
            AuditRecord {
                decision: Some(event),
                room: Some(room.room.clone()),
                actor: Some(text),
                peer: Some(source.clone()),
                policy: verdict.determining,
                reason: verdict.reason,
                bundle: Some(digest),
                epoch: Some(7),
                exchange: Some([7; 32]),
                detail: json!({ "facts": 1, "count": 1, "actions": [action] }),
                ..AuditRecord::new(event, NOW, "decision.message", Outcome::Allow)
            }
        })
        .collect();
    for some in records.chunks(1000) {
        let some = some.to_vec();
        store.write("bench", move |tx: &mut Tx<'_>| some.iter().try_for_each(|record| tx.stage(record))).unwrap();
    }
}
