use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use portcullis_store::audit::{AuditEntry, Filter, Leaf, Outcome, entries, sequence};
use portcullis_store::{Store, StoreError};
use uuid::Uuid;

use crate::harness::*;

fn log(store: &Store) -> Vec<AuditEntry> {
    store.read(|conn| entries(conn, &all())).unwrap()
}

/// Checks every chain of the log as somebody without the database would.
fn chains_are_whole(log: &[AuditEntry]) {
    let mut chains: BTreeMap<Uuid, (Vec<u8>, u64, Vec<u8>)> = BTreeMap::new();
    for entry in log {
        let leaf = Leaf::decode(&entry.leaf).unwrap();
        let core = leaf.core().unwrap();
        if let Some(key) = leaf.public_key {
            chains.insert(leaf.writer, (key.to_vec(), 0, vec![0; 32]));
        }
        let (key, next, last) = chains.get_mut(&leaf.writer).unwrap();
        assert_eq!((leaf.writer_seq, leaf.previous.as_slice()), (*next, last.as_slice()));
        UnparsedPublicKey::new(&ED25519, key).verify(&core, &entry.signature).unwrap();
        assert_eq!(entry.openings.root(), leaf.disclosure);
        *next += 1;
        *last = digest(&SHA256, &core).as_ref().to_vec();
    }
}

fn stage_three(store: &Store) {
    for kind in ["decision.one", "decision.two", "decision.three"] {
        store.write("x", staging(record(kind))).unwrap();
    }
}

fn reasons(store: &Store) -> Vec<String> {
    log(store).into_iter().filter(|entry| entry.record.kind == "audit.gap").map(|entry| entry.record.reason).collect()
}

on_both! {
    fn a_record_reads_back_as_it_was_staged(db) {
        let store = db.open();
        let mut full = record("decision.commit");
        full.outcome = Outcome::Deny;
        full.decision = Some(Uuid::now_v7());
        full.room = Some(room("clubhouse"));
        full.actor = Some("mimi://b.example/u/bob".to_owned());
        full.peer = Some(domain("b"));
        full.policy = vec!["ceiling/suspended".to_owned(), "platform/roles".to_owned()];
        full.reason = "suspended".to_owned();
        full.bundle = Some([1; 32]);
        full.epoch = Some(7);
        full.exchange = Some([2; 32]);
        full.trace = Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned());
        full.detail = serde_json::json!({ "size": 17, "nested": { "b": 1.5, "a": [null, "ü"] } });
        let bare = record("decision.commit");
        for record in [&full, &bare] {
            store.write("x", staging(record.clone())).unwrap();
        }
        sequence_all(&store);
        let log = log(&store);
        assert_eq!(log[0].record.kind, "writer.begin");
        assert_eq!([&log[1].record, &log[2].record], [&full, &bare]);
        chains_are_whole(&log);
    }

    fn a_job_that_was_rolled_back_leaves_no_hole_in_the_chain(db) {
        let store = db.open();
        for count in 0..9 {
            let outcome = store.write("x", move |tx| {
                tx.stage(&record("decision.commit"))?;
                tx.stage(&record("decision.commit"))?;
                if count % 2 == 0 { Err(StoreError::Missing) } else { Ok(()) }
            });
            assert_eq!(outcome.is_ok(), count % 2 == 1);
        }
        sequence_all(&store);
        let log = log(&store);
        assert_eq!(log.len(), 9);
        chains_are_whole(&log);
    }

    fn chains_of_several_processes_and_lanes_are_whole(db) {
        let stores = [db.open(), db.open()];
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let store = &stores[writer % 2];
                scope.spawn(move || for _ in 0..10 {
                    store.write(&format!("key{writer}"), staging(record("decision.message"))).unwrap();
                });
            }
        });
        sequence_all(&stores[0]);
        let log = log(&stores[1]);
        chains_are_whole(&log);
        assert_eq!(log.iter().filter(|entry| entry.record.kind == "decision.message").count(), 80);
    }

    fn a_staged_record_that_somebody_deletes_is_missed(db) {
        let store = db.open();
        staged(db, || stage_three(&store));
        db.sql("DELETE FROM audit_stage WHERE id = (SELECT max(id) - 1 FROM audit_stage)");
        sequence_all(&store);
        assert_eq!(kinds(&store), ["decision.one", "decision.three", "audit.gap"]);
        assert_eq!(reasons(&store), ["missing"]);
    }

    fn a_chain_whose_beginning_somebody_deletes_is_still_checked(db) {
        let store = db.open();
        staged(db, || stage_three(&store));
        db.sql("DELETE FROM audit_stage WHERE id = (SELECT min(id) FROM audit_stage)");
        sequence_all(&store);
        stage_three(&store);
        sequence_all(&store);
        assert_eq!(reasons(&store), ["missing"]);
        assert_eq!(log(&store).iter().filter(|entry| entry.record.kind.starts_with("decision.")).count(), 6);
    }

    fn a_chain_that_nobody_believes_is_reported_record_by_record_and_not_for_ever(db) {
        let store = db.open();
        staged(db, || stage_three(&store));
        db.sql("DELETE FROM audit_writers");
        sequence_all(&store);
        assert_eq!(reasons(&store), ["forged"; 4]);
    }

    fn a_record_of_the_past_that_somebody_puts_in_again_is_refused(db) {
        let store = db.open();
        staged(db, || stage_three(&store));
        db.sql("CREATE TABLE kept AS SELECT * FROM audit_stage");
        sequence_all(&store);
        db.sql("INSERT INTO audit_stage (core, signature, openings) SELECT core, signature, openings FROM kept");
        sequence_all(&store);
        assert_eq!(reasons(&store), ["forged"; 4]);
        assert_eq!(log(&store).iter().filter(|entry| entry.record.kind.starts_with("decision.")).count(), 3);
    }

    fn a_staged_record_that_its_writer_did_not_sign_is_refused_and_reported(db) {
        let store = db.open();
        staged(db, || stage_three(&store));
        db.sql(
            "UPDATE audit_stage SET signature = (SELECT signature FROM audit_stage ORDER BY id LIMIT 1) \
             WHERE id = (SELECT max(id) FROM audit_stage)",
        );
        let first = sequence(&store, 1000, NOW).unwrap();
        assert_eq!((first.entries, first.refused), (3, 1));
        sequence_all(&store);
        assert_eq!(reasons(&store), ["forged"]);
    }

    fn openings_that_somebody_edits_are_reported_and_do_not_count(db) {
        let store = db.open();
        let mut edited = record("decision.commit");
        edited.reason = "suspended".to_owned();
        staged(db, || store.write("x", staging(edited)).unwrap());
        db.sql(&format!("UPDATE audit_stage SET openings = {}", in_openings(db, "suspended", "permitted")));
        sequence_all(&store);
        assert_eq!(reasons(&store), ["openings"]);
    }

    fn a_leaf_shows_no_names_and_the_same_record_never_looks_the_same(db) {
        let store = db.open();
        let mut named = record("decision.commit");
        named.room = Some(room("clubhouse"));
        named.actor = Some("mimi://b.example/u/bob".to_owned());
        for _ in 0..2 {
            store.write("x", staging(named.clone())).unwrap();
        }
        sequence_all(&store);
        let log = log(&store);
        for name in ["clubhouse", "bob"] {
            assert!(log.iter().all(|entry| !entry.leaf.windows(name.len()).any(|part| part == name.as_bytes())));
        }
        let root = |entry: &AuditEntry| Leaf::decode(&entry.leaf).unwrap().disclosure;
        assert_ne!(root(&log[1]), root(&log[2]));
    }

    fn each_filter_finds_its_records(db) {
        let store = db.open();
        let mut wanted = record("decision.commit");
        wanted.outcome = Outcome::Deny;
        wanted.decision = Some(Uuid::now_v7());
        wanted.room = Some(room("clubhouse"));
        wanted.actor = Some("bob".to_owned());
        wanted.peer = Some(domain("b"));
        wanted.exchange = Some([2; 32]);
        let mut other = record("decision.message");
        other.decision = Some(Uuid::now_v7());
        other.room = Some(room("lobby"));
        other.actor = Some("cathy".to_owned());
        other.peer = Some(domain("c"));
        other.exchange = Some([3; 32]);
        for record in [&other, &wanted, &other] {
            store.write("x", staging(record.clone())).unwrap();
        }
        sequence_all(&store);
        let filters = [
            Filter { kind: Some("decision.commit".to_owned()), ..all() },
            Filter { outcome: Some(Outcome::Deny), ..all() },
            Filter { decision: wanted.decision, ..all() },
            Filter { room: wanted.room.clone(), ..all() },
            Filter { actor: wanted.actor.clone(), ..all() },
            Filter { peer: wanted.peer.clone(), ..all() },
            Filter { exchange: wanted.exchange, ..all() },
            Filter { from: 2, limit: 1, ..Filter::default() },
        ];
        for filter in filters {
            let found = store.read(|conn| entries(conn, &filter)).unwrap();
            assert_eq!(found.iter().map(|entry| &entry.record).collect::<Vec<_>>(), [&wanted], "{filter:?}");
        }
    }

    fn an_entry_stays_when_its_openings_are_erased(db) {
        let store = db.open();
        let mut named = record("decision.commit");
        named.actor = Some("bob".to_owned());
        store.write("x", staging(named)).unwrap();
        sequence_all(&store);
        db.sql("UPDATE audit_entries SET openings = NULL");
        let log = log(&store);
        assert_eq!((log[1].record.kind.as_str(), log[1].record.actor.as_deref()), ("decision.commit", None));
    }
}
