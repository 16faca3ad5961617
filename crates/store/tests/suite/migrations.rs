use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use portcullis_store::Store;
use portcullis_store::audit::{AuditEntry, entries, verify};

use crate::harness::*;

/// The folders of all migrations, the last first.
fn migrations(db: &Db) -> Vec<PathBuf> {
    let backend = if db.url.starts_with("sqlite") { "sqlite" } else { "postgres" };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations").join(backend);
    let mut found: Vec<PathBuf> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found
}

/// Undoes a migration, as an operator would who goes back to an older build.
fn undo(db: &Db, migration: &Path) {
    let name = migration.file_name().unwrap().to_str().unwrap();
    let version: String = name.split('_').next().unwrap().replace('-', "");
    let down = std::fs::read_to_string(migration.join("down.sql")).unwrap();
    db.sql(&format!("{down}; DELETE FROM __diesel_schema_migrations WHERE version = '{version}'"));
}

fn log(store: &Store) -> Vec<AuditEntry> {
    store.read(|conn| entries(conn, &all())).unwrap()
}

on_both! {
    fn every_migration_can_be_undone_and_done_again(db) {
        drop(db.open());
        let tables = if db.url.starts_with("sqlite") {
            "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE '\\_\\_%' ESCAPE '\\'"
        } else {
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE '\\_\\_%'"
        };
        let before = db.number(tables);
        migrations(db).iter().for_each(|migration| undo(db, migration));
        assert_eq!(db.number(tables), 1, "but for openings that an older build does not read");
        drop(db.open());
        assert_eq!(db.number(tables), before);
    }

    fn a_log_of_wide_entries_and_json_is_the_same_log_in_lean_ones(db) {
        let store = db.open();
        for kind in ["decision.one", "decision.two"] {
            store.write("x", staging(record(kind))).unwrap();
        }
        let written = log(&store);
        // The last one is of this build.
        for entry in &written[..2] {
            let json = HEXLOWER.encode(&serde_json::to_vec(&entry.openings).unwrap());
            let octets = if db.url.starts_with("sqlite") { format!("x'{json}'") } else { format!("'\\x{json}'::bytea") };
            db.sql(&format!("UPDATE audit_entries SET openings = {octets} WHERE seq = {}", entry.seq));
        }
        db.sql("INSERT INTO sink_dead_letters (sink, seq, given_up_at, http_status, reason) VALUES ('s', 1, 2, 400, 'r')");
        drop(store);
        let lean = migrations(db).into_iter().find(|migration| migration.ends_with("2026-11-23-000000_lean_entries"));
        undo(db, &lean.unwrap());
        assert_eq!(db.number("SELECT count(*) FROM audit_openings"), 2);
        db.sql("DELETE FROM audit_openings WHERE seq = 0");

        let store = db.open();
        let again = log(&store);
        assert_eq!(again[1..], written[1..]);
        assert!(again[0].leaf == written[0].leaf && again[0].openings.0.is_empty());
        assert_eq!(db.number("SELECT seq FROM sink_dead_letters"), 1);
        let report = store.read(|conn| verify(conn, &[], &[])).unwrap();
        let wrong: u64 = report.findings.values().map(|finding| finding.wrong).sum();
        assert_eq!((report.erased, wrong), (1, 1), "{report:#?}");
    }
}
