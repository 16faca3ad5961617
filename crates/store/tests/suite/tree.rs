use aws_lc_rs::signature::Ed25519KeyPair;
use portcullis_core::wire::uri::Domain;
use portcullis_store::audit::{
    AuditRecord, Check, Report, StoredCheckpoint, checkpoints, consistency, entries, head_at, inclusion,
    last_checkpoint, put_checkpoint, sequence, tree_head, verify,
};
use portcullis_store::{Options, Store, StoreError};
use portcullis_tlog::{Checkpoint, Edge, Hash, SignedCheckpoint, Signer, TreeHead};

use crate::harness::*;

fn signer() -> Signer {
    Signer::new("a.example/audit".parse().unwrap(), Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap())
}

/// A record that has every field.
fn full(number: usize) -> AuditRecord {
    let mut full = record("decision.message");
    full.decision = Some(full.event);
    full.room = Some(room(&format!("room{}", number % 3)));
    full.actor = Some(format!("mimi://b.example/u/user{}", number % 2));
    full.peer = Some(Domain::parse("b.example").unwrap());
    full.exchange = Some([2; 32]);
    full.reason = "allowed".to_owned();
    full
}

fn append(store: &Store, count: usize) {
    let records: Vec<AuditRecord> = (0..count).map(full).collect();
    store.write("x", move |tx| records.iter().try_for_each(|record| tx.stage(record))).unwrap();
}

fn sign(store: &Store) {
    let head = store.read(tree_head).unwrap();
    let note = SignedCheckpoint::sign(Checkpoint::new(signer().key().name(), head), &signer()).unwrap().to_string();
    let stored = StoredCheckpoint { size: head.size, signed_at: NOW, note };
    assert!(store.write("x", move |tx| put_checkpoint(tx, &stored)).unwrap());
}

fn blob(db: &Db, hex: &str) -> String {
    if db.url.starts_with("sqlite") { format!("x'{hex}'") } else { format!("'\\x{hex}'::bytea") }
}

fn leaves(store: &Store) -> Vec<Hash> {
    let log = store.read(|conn| entries(conn, &all())).unwrap();
    log.iter().map(|entry| Hash::leaf(&entry.leaf)).collect()
}

fn over(leaves: &[Hash]) -> TreeHead {
    let mut edge = Edge::default();
    leaves.iter().for_each(|leaf| edge.push(*leaf));
    edge.head()
}

fn checked(store: &Store, kept: &[TreeHead]) -> Report {
    store.read(|conn| verify(conn, &[signer().key().clone()], kept)).unwrap()
}

/// The checks that find something wrong.
fn found(store: &Store) -> Vec<Check> {
    let report = checked(store, &[]);
    report.findings.into_iter().filter(|(_, finding)| finding.wrong > 0).map(|(check, _)| check).collect()
}

on_both! {
    fn the_tree_is_the_one_over_the_leaves_however_they_came(db) {
        let store = db.open();
        assert_eq!(store.read(tree_head).unwrap(), over(&[]));
        append(&store, 300);
        staged(db, || append(&store, 230));
        sequence_all(&store);
        append(&store, 1);
        let leaves = leaves(&store);
        assert_eq!(leaves.len(), 532);
        let head = store.read(tree_head).unwrap();
        assert_eq!(head, over(&leaves));
        for size in [1, 255, 256, 257, 511, 512, 532] {
            assert_eq!(store.read(|conn| head_at(conn, size)).unwrap(), over(&leaves[..size as usize]), "{size}");
        }
        assert_eq!(db.number("SELECT count(*) FROM audit_nodes"), 2);
    }

    fn an_entry_is_proved_to_be_in_the_log_and_a_log_to_begin_as_it_did(db) {
        let store = db.open();
        append(&store, 600);
        let (leaves, head) = (leaves(&store), store.read(tree_head).unwrap());
        for seq in [0, 1, 255, 256, 599, 600] {
            let path = store.read(|conn| inclusion(conn, seq, head.size)).unwrap();
            head.verify_inclusion(seq, &leaves[seq as usize], &path).unwrap();
        }
        for old in [1, 256, 300, 601] {
            let path = store.read(|conn| consistency(conn, old, head.size)).unwrap();
            head.verify_consistency(&over(&leaves[..old as usize]), &path).unwrap();
        }
        assert!(matches!(store.read(|conn| inclusion(conn, 601, head.size)), Err(StoreError::Missing)));
        assert!(matches!(store.read(|conn| consistency(conn, 602, head.size)), Err(StoreError::Missing)));
    }

    fn a_log_of_before_there_were_trees_gets_its_tree_with_its_next_entry(db) {
        let store = db.open();
        append(&store, 600);
        db.sql(&format!("UPDATE heads SET edge = {}; DELETE FROM audit_nodes", blob(db, "")));
        assert_eq!(found(&store), []);
        append(&store, 1);
        assert_eq!(db.number("SELECT count(*) FROM audit_stage"), 1);
        sequence_all(&store);
        assert_eq!(store.read(tree_head).unwrap(), over(&leaves(&store)));
        assert_eq!(found(&store), []);
    }

    fn a_log_that_is_shorter_than_its_head_says_takes_nothing_more(db) {
        let store = db.open();
        append(&store, 3);
        db.sql("UPDATE heads SET size = 7 WHERE name = 'audit'");
        store.write("x", staging(record("decision.message"))).unwrap();
        let moved = sequence(&store, 9, NOW);
        assert!(matches!(moved, Err(StoreError::Corrupt(_))), "{moved:?}");
        assert_eq!(db.number("SELECT count(*) FROM audit_entries"), 4);
    }

    fn a_tree_that_did_not_grow_with_its_log_is_made_anew(db) {
        let store = db.open();
        append(&store, 4);
        // As a build without trees leaves it: as many subtrees, and another size.
        let edge = store.read(tree_head).unwrap();
        db.sql("CREATE TABLE old AS SELECT * FROM heads");
        append(&store, 1);
        db.sql("UPDATE heads SET edge = (SELECT edge FROM old WHERE name = 'audit') WHERE name = 'audit'");
        append(&store, 1);
        sequence_all(&store);
        assert_ne!(store.read(tree_head).unwrap(), edge);
        assert_eq!(store.read(tree_head).unwrap(), over(&leaves(&store)));
        assert_eq!(found(&store), []);
    }

    fn checkpoints_are_kept_once_and_in_their_order(db) {
        let store = db.open();
        assert_eq!(store.read(last_checkpoint).unwrap(), None);
        for count in [2, 1] {
            append(&store, count);
            sign(&store);
        }
        let kept = store.read(|conn| checkpoints(conn, 0, 9)).unwrap();
        assert_eq!(kept.iter().map(|kept| kept.size).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(store.read(last_checkpoint).unwrap().as_ref(), kept.last());
        assert_eq!(store.read(|conn| checkpoints(conn, 3, 9)).unwrap(), kept[1..]);
        let again = StoredCheckpoint { note: "another".to_owned(), ..kept[0].clone() };
        assert!(!store.write("x", move |tx| put_checkpoint(tx, &again)).unwrap());
    }

    fn a_good_log_is_found_good_as_far_as_it_is_signed(db) {
        let stores = [db.open(), db.open()];
        for store in &stores {
            append(store, 300);
            sign(store);
            append(store, 2);
        }
        staged(db, || append(&stores[0], 1));
        let report = checked(&stores[1], &[]);
        assert!(report.is_good(), "{report:#?}");
        assert_eq!((report.head.size, report.covered, report.erased, report.staged), (606, 604, 0, 1));
        db.sql("UPDATE audit_entries SET openings = NULL WHERE seq = 5");
        let report = checked(&stores[1], &[]);
        let wrong: Vec<_> = report.findings.iter().filter(|(_, finding)| finding.wrong > 0).collect();
        assert!(matches!(wrong[..], [(Check::Openings, _)]) && report.erased == 1, "{report:#?}");
    }

    fn every_change_of_a_table_is_found_by_the_check_that_is_for_it(db) {
        use Check::{Checkpoints, Ends, Leaves, Numbers, Openings, Pointers, Tree, Writers};
        let store = db.open();
        append(&store, 260);
        sign(&store);
        append(&store, 3);
        // What somebody does, how it is undone, and what finds it; other checks may find it as well.
        let blob = |hex: &str| blob(db, hex);
        let id = blob(&"00".repeat(16));
        let cases: Vec<(String, Check)> = vec![
            ("UPDATE audit_entries SET seq = 1000 WHERE seq = 263".to_owned(), Numbers),
            ("DELETE FROM audit_entries WHERE seq = 100".to_owned(), Numbers),
            ("DELETE FROM audit_entries WHERE seq = 263".to_owned(), Numbers),
            ("UPDATE heads SET size = 263 WHERE name = 'audit'".to_owned(), Numbers),
            (format!("UPDATE audit_entries SET leaf = {} WHERE seq = 7", blob("a0")), Leaves),
            (
                "UPDATE audit_entries SET leaf = (SELECT leaf FROM audit_entries WHERE seq = 8) WHERE seq = 7".to_owned(),
                Leaves,
            ),
            (format!("UPDATE audit_entries SET signature = {} WHERE seq = 7", blob(&"01".repeat(64))), Writers),
            (format!("UPDATE audit_entries SET openings = {} WHERE seq = 7", in_openings(db, "allowed", "refused")), Openings),
            (format!("UPDATE audit_entries SET openings = {} WHERE seq = 7", blob("7b7d")), Openings),
            ("UPDATE audit_entries SET openings = NULL WHERE seq = 7".to_owned(), Openings),
            (
                "UPDATE audit_entries SET openings = (SELECT openings FROM audit_entries WHERE seq = 8) WHERE seq = 7"
                    .to_owned(),
                Openings,
            ),
            (format!("UPDATE heads SET edge = {} WHERE name = 'audit'", blob(&"02".repeat(64))), Tree),
            (format!("UPDATE audit_nodes SET hash = {}", blob(&"02".repeat(32))), Tree),
            ("UPDATE audit_nodes SET number = 5".to_owned(), Tree),
            ("UPDATE audit_nodes SET level = 2".to_owned(), Tree),
            ("DELETE FROM audit_nodes".to_owned(), Tree),
            ("UPDATE audit_checkpoints SET note = replace(note, '261', '262')".to_owned(), Checkpoints),
            ("UPDATE audit_checkpoints SET size = 262".to_owned(), Checkpoints),
            ("UPDATE audit_writers SET next_seq = next_seq + 1".to_owned(), Ends),
            (format!("UPDATE audit_writers SET last_hash = {}", blob(&"02".repeat(32))), Ends),
            (format!("UPDATE audit_writers SET public_key = {}", blob(&"02".repeat(32))), Ends),
            (format!("UPDATE audit_writers SET writer = {id}"), Ends),
            ("DELETE FROM audit_writers".to_owned(), Ends),
            ("UPDATE audit_tails SET number = number + 1 WHERE dimension = 0".to_owned(), Ends),
            ("UPDATE audit_tails SET seq = seq - 1 WHERE dimension = 1".to_owned(), Ends),
            ("UPDATE audit_tails SET name = 'c.example' WHERE dimension = 2".to_owned(), Ends),
            ("UPDATE audit_tails SET dimension = 7 WHERE dimension = 2".to_owned(), Ends),
            ("DELETE FROM audit_tails".to_owned(), Ends),
        ];
        const TABLES: [&str; 6] =
            ["audit_entries", "audit_nodes", "audit_checkpoints", "audit_writers", "audit_tails", "heads"];
        for table in TABLES {
            db.sql(&format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}"));
        }
        let restore = || {
            for table in TABLES {
                db.sql(&format!("DELETE FROM {table}"));
            }
            for table in TABLES {
                db.sql(&format!("INSERT INTO {table} SELECT * FROM kept_{table}"));
            }
        };
        assert_eq!(found(&store), []);
        for (change, check) in cases {
            db.sql(&change);
            let found = found(&store);
            assert!(found.contains(&check), "{change}: {found:?}");
            restore();
        }
        assert_eq!(found(&store), []);
        // Two entries that change their places keep every number.
        db.sql(
            "UPDATE audit_entries SET seq = -1 WHERE seq = 7; UPDATE audit_entries SET seq = 7 WHERE seq = 8; \
             UPDATE audit_entries SET seq = 8 WHERE seq = -1",
        );
        let found = found(&store);
        assert!([Leaves, Writers, Pointers, Checkpoints].iter().all(|check| found.contains(check)), "{found:?}");
    }

    fn an_end_that_is_cut_off_with_all_that_tells_of_it_is_found_by_a_checkpoint_that_was_kept_elsewhere(db) {
        let store = db.open();
        append(&store, 5);
        sign(&store);
        const TABLES: [&str; 6] =
            ["audit_entries", "audit_nodes", "audit_checkpoints", "audit_writers", "audit_tails", "heads"];
        for table in TABLES {
            db.sql(&format!("CREATE TABLE old_{table} AS SELECT * FROM {table}"));
        }
        append(&store, 5);
        sign(&store);
        let kept = store.read(tree_head).unwrap();
        assert!(checked(&store, &[kept]).is_good());
        for table in TABLES {
            db.sql(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM old_{table}"));
        }
        // The database alone cannot show it: it is as it was once.
        assert!(checked(&store, &[]).is_good());
        let report = checked(&store, &[kept]);
        assert_eq!(report.findings[&Check::Checkpoints].wrong, 1);
        // Nor can a log that goes on from there hide it.
        append(&store, 5);
        assert_eq!(checked(&store, &[kept]).findings[&Check::Checkpoints].wrong, 1);
    }

    fn what_another_key_has_signed_is_no_checkpoint(db) {
        let store = db.open();
        append(&store, 5);
        let other = Signer::new("a.example/audit".parse().unwrap(), Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap());
        let head = store.read(tree_head).unwrap();
        let note = SignedCheckpoint::sign(Checkpoint::new(other.key().name(), head), &other).unwrap().to_string();
        let stored = StoredCheckpoint { size: head.size, signed_at: NOW, note };
        store.write("x", move |tx| put_checkpoint(tx, &stored)).unwrap();
        assert_eq!(found(&store), [Check::Checkpoints]);
    }

    fn a_log_whose_key_was_changed_is_good_by_both_keys(db) {
        let store = db.open();
        append(&store, 5);
        sign(&store);
        append(&store, 5);
        let next = Signer::new("a.example/audit".parse().unwrap(), Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap());
        let head = store.read(tree_head).unwrap();
        let note = SignedCheckpoint::sign(Checkpoint::new(next.key().name(), head), &next).unwrap().to_string();
        let stored = StoredCheckpoint { size: head.size, signed_at: NOW, note };
        assert!(store.write("x", move |tx| put_checkpoint(tx, &stored)).unwrap());
        let keys = [signer().key().clone(), next.key().clone()];
        let report = store.read(|conn| verify(conn, &keys, &[])).unwrap();
        assert!(report.is_good() && report.covered == head.size, "{report:#?}");
        for key in &keys {
            let report = store.read(|conn| verify(conn, std::slice::from_ref(key), &[])).unwrap();
            assert_eq!(report.findings[&Check::Checkpoints].wrong, 1);
        }
    }

    fn a_database_is_looked_at_without_being_changed_and_only_if_it_has_the_schema_of_this_version(db) {
        let store = db.open();
        append(&store, 5);
        let look = || portcullis_store::look(&db.url, &Options::default(), |conn| verify(conn, &[], &[]));
        assert!(look().unwrap().is_good());
        assert_eq!(db.number("SELECT count(*) FROM audit_writers"), 1);
        let last = "(SELECT max(version) FROM __diesel_schema_migrations)";
        db.sql(&format!("DELETE FROM __diesel_schema_migrations WHERE version = {last}"));
        let count = db.number("SELECT count(*) FROM __diesel_schema_migrations");
        assert!(matches!(look(), Err(StoreError::Open(_))));
        assert_eq!(db.number("SELECT count(*) FROM __diesel_schema_migrations"), count);
    }

    fn several_writers_and_sequencers_make_one_tree(db) {
        let stores = [db.open(), db.open(), db.open()];
        std::thread::scope(|scope| {
            for (writer, store) in stores.iter().enumerate() {
                scope.spawn(move || for count in 0..60 {
                    store.write(&format!("key{writer}"), staging(full(count))).unwrap();
                });
                scope.spawn(move || for _ in 0..20 {
                    sequence(store, 7, NOW).unwrap();
                });
            }
        });
        sequence_all(&stores[0]);
        assert_eq!(stores[1].read(tree_head).unwrap(), over(&leaves(&stores[2])));
        let report = checked(&stores[0], &[]);
        assert!(report.is_good(), "{report:#?}");
        assert!(report.head.size >= 180);
    }
}
