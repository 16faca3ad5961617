use std::collections::BTreeSet;

use portcullis_core::time::Millis;
use portcullis_core::wire::uri::ClientUri;
use portcullis_store::audit::{
    AuditEntry, AuditRecord, Check, Filter, Order, Outcome, counts, entries, index, search, verify,
};
use portcullis_store::{Store, StoreError};
use serde_json::json;
use uuid::Uuid;

use crate::harness::*;

/// Entries of a block of the index.
const BLOCK: u64 = 1024;

const PHONE: &str = "mimi://a.example/d/alice/phone";

/// A record whose fields follow from its number.
fn varied(number: u64) -> AuditRecord {
    let kind = ["decision.message", "decision.commit", "access.query", "outbox.retry"][(number % 7 / 2) as usize];
    let mut varied = record(kind);
    varied.at = Millis(NOW.0 + number * 1000 - number % 3 * 1500);
    varied.outcome = Outcome::ALL[(number % 11 / 3) as usize];
    varied.decision = (!number.is_multiple_of(5)).then(|| Uuid::from_u128(number.into()));
    varied.room = (!number.is_multiple_of(3)).then(|| room(&format!("room{}", number % 400)));
    varied.actor = Some(if number % 90 == 5 { PHONE.to_owned() } else { format!("user{}", number % 13) });
    varied.peer = Some(domain(if number % 1500 == 3 { "rare" } else { "b" }));
    varied.policy = vec!["first".to_owned(), format!("policy{}", number % 4)];
    varied.reason = if number == 700 { "ONCE" } else { "OFTEN" }.to_owned();
    varied.exchange = Some([(number % 251) as u8; 32]);
    varied.bundle = Some([(number / 1000) as u8; 32]);
    varied.trace = Some(format!("trace{}", number / 2));
    varied.detail = if number % 200 == 9 { json!({ "device": PHONE }) } else { json!({ "note": "no client" }) };
    varied
}

fn append(store: &Store, numbers: std::ops::Range<u64>) {
    let records: Vec<AuditRecord> = numbers.map(varied).collect();
    store.write("x", move |tx| records.iter().try_for_each(|record| tx.stage(record))).unwrap();
}

/// A question, and what it is to find.
type Case = (Filter, Box<dyn Fn(&AuditRecord) -> bool>);

fn cases() -> Vec<Case> {
    fn case(filter: Filter, wants: impl Fn(&AuditRecord) -> bool + 'static) -> Case {
        (filter, Box::new(wants))
    }
    let (since, until) = (Millis(NOW.0 + 1_100_000), Millis(NOW.0 + 1_900_500));
    let timed = move |record: &AuditRecord| (since..until).contains(&record.at);
    let phone: ClientUri = PHONE.parse().unwrap();
    let none = Filter::default;
    let text = |text: &str| Some(text.to_owned());
    vec![
        case(none(), |_| true),
        case(Filter { kind: text("decision.commit"), ..none() }, |it| it.kind == "decision.commit"),
        case(Filter { kind: text("decision.*"), ..none() }, |it| it.kind.starts_with("decision.")),
        case(Filter { but: text("access"), ..none() }, |it| !it.kind.starts_with("access.")),
        case(Filter { outcome: Some(Outcome::Deny), ..none() }, |it| it.outcome == Outcome::Deny),
        case(Filter { decisions: true, ..none() }, |it| it.decision.is_some()),
        case(Filter { decision: Some(Uuid::from_u128(1007)), ..none() }, |it| {
            it.decision == Some(Uuid::from_u128(1007))
        }),
        case(Filter { room: Some(room("room7")), ..none() }, |it| it.room == Some(room("room7"))),
        case(Filter { actor: text("user3"), ..none() }, |it| it.actor.as_deref() == Some("user3")),
        case(Filter { client: Some(phone), ..none() }, |it| {
            it.actor.as_deref() == Some(PHONE) || it.detail["device"] == PHONE
        }),
        case(Filter { peer: Some(domain("rare")), ..none() }, |it| it.peer == Some(domain("rare"))),
        case(Filter { policy: text("policy2"), ..none() }, |it| it.policy.contains(&"policy2".to_owned())),
        case(Filter { reason: text("ONCE"), ..none() }, |it| it.reason == "ONCE"),
        case(Filter { exchange: Some([4; 32]), ..none() }, |it| it.exchange == Some([4; 32])),
        case(Filter { bundle: Some([1; 32]), ..none() }, |it| it.bundle == Some([1; 32])),
        case(Filter { trace: text("trace600"), ..none() }, |it| it.trace.as_deref() == Some("trace600")),
        case(Filter { since: Some(since), until: Some(until), ..none() }, timed),
        case(Filter { until: Some(since), peer: Some(domain("rare")), ..none() }, move |it| {
            it.at < since && it.peer == Some(domain("rare"))
        }),
        case(
            Filter { since: Some(since), until: Some(until), policy: text("policy1"), but: text("access"), ..none() },
            move |it| timed(it) && it.policy.contains(&"policy1".to_owned()) && !it.kind.starts_with("access."),
        ),
        case(
            Filter { room: Some(room("room8")), outcome: Some(Outcome::Allow), peer: Some(domain("b")), ..none() },
            |it| it.room == Some(room("room8")) && it.outcome == Outcome::Allow && it.peer == Some(domain("b")),
        ),
        case(Filter { from: 1000, before: Some(1100), policy: text("first"), ..none() }, |it| !it.policy.is_empty()),
        case(Filter { policy: text("unheard of"), ..none() }, |_| false),
    ]
}

/// The positions that a filter wants, found by looking at everything.
fn looked_for(log: &[AuditEntry], (filter, wants): &Case) -> Vec<u64> {
    let place = filter.from..filter.before.unwrap_or(u64::MAX);
    // What a chain begins with is not one of ours.
    let found = log.iter().filter(|entry| place.contains(&entry.seq) && wants(&entry.record));
    found.map(|entry| entry.seq).collect()
}

fn seqs(entries: &[AuditEntry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.seq).collect()
}

/// Asserts that every question is answered as if everything had been looked at, at once and page by page.
fn assert_found(store: &Store) {
    let log = store.read(|conn| entries(conn, &all())).unwrap();
    for case in cases() {
        let oldest = looked_for(&log, &case);
        let newest: Vec<u64> = oldest.iter().rev().copied().collect();
        for (order, expected) in [(Order::Oldest, &oldest), (Order::Newest, &newest)] {
            let filter = Filter { order, limit: 100_000, ..case.0.clone() };
            let found = store.read(|conn| entries(conn, &filter)).unwrap();
            assert_eq!(seqs(&found), *expected, "{filter:?}");
            let mut paged = Vec::new();
            let mut filter = Filter { limit: 430, ..filter };
            loop {
                let page = store.read(|conn| search(conn, &filter)).unwrap();
                assert!(page.entries.len() <= 430);
                paged.extend(seqs(&page.entries));
                match (page.next, order) {
                    (None, _) => break,
                    (Some(next), Order::Oldest) => filter.from = next,
                    (Some(next), Order::Newest) => filter.before = Some(next),
                }
            }
            assert_eq!(paged, *expected, "page by page: {filter:?}");
        }
    }
}

on_both! {
    fn what_is_looked_for_is_found_before_it_is_in_the_index_and_after_that(db) {
        let store = db.open();
        append(&store, 0..300);
        assert_found(&store);
        append(&store, 300..2100);
        assert_eq!([(); 4].map(|()| index(&store).unwrap()), [true, true, false, false]);
        assert_found(&store);
        assert_eq!(db.number("SELECT count(*) FROM audit_blocks"), 2);
    }

    fn counts_are_those_of_what_is_found_by_outcome_and_span_of_time(db) {
        let store = db.open();
        append(&store, 0..300);
        let starts: Vec<Millis> = (0..40).map(|hour| Millis(NOW.0 + 100_000 + hour * 60_000)).collect();
        let check = || {
            let log = store.read(|conn| entries(conn, &all())).unwrap();
            for case in cases() {
                let wanted: BTreeSet<u64> = looked_for(&log, &case).into_iter().collect();
                let found: Vec<&AuditEntry> = log.iter().filter(|entry| wanted.contains(&entry.seq)).collect();
                let counted = store.read(|conn| counts(conn, &case.0, &starts)).unwrap();
                for (at, bucket) in counted.iter().enumerate() {
                    let end = starts.get(at + 1).map_or(u64::MAX, |end| end.0);
                    let inside = found.iter().filter(|entry| (bucket.start.0..end).contains(&entry.record.at.0));
                    let inside: Vec<_> = inside.collect();
                    for (outcome, count) in bucket.counts {
                        let of = inside.iter().filter(|entry| entry.record.outcome == outcome).count();
                        assert_eq!(count, of as u64, "{:?} {outcome:?} from {:?}", case.0, bucket.start);
                    }
                }
                let everything = store.read(|conn| counts(conn, &case.0, &[Millis(0)])).unwrap();
                assert_eq!(everything[0].total(), wanted.len() as u64, "{:?}", case.0);
            }
        };
        check();
        append(&store, 300..1500);
        while index(&store).unwrap() {}
        check();
    }

    fn replicas_that_index_at_once_write_each_block_once(db) {
        let stores = [db.open(), db.open(), db.open()];
        append(&stores[0], 0..2 * BLOCK);
        std::thread::scope(|scope| {
            for store in &stores {
                scope.spawn(|| while index(store).unwrap() {});
            }
        });
        assert_eq!(db.number("SELECT count(*) FROM audit_blocks"), 2);
        let report = stores[1].read(|conn| verify(conn, &[], &[])).unwrap();
        assert!(report.is_good(), "{report:#?}");
        assert_eq!(report.findings[&Check::Index].checked, 2);
    }

    fn a_log_in_which_an_entry_is_missing_is_not_indexed(db) {
        let store = db.open();
        append(&store, 0..BLOCK);
        db.sql("DELETE FROM audit_entries WHERE seq = 5");
        assert!(matches!(index(&store), Err(StoreError::Corrupt("seq"))));
    }

    fn every_change_of_the_index_is_found_and_says_which_entries_it_is_about(db) {
        let store = db.open();
        append(&store, 0..BLOCK);
        while index(&store).unwrap() {}
        let bad = || {
            let report = store.read(|conn| verify(conn, &[], &[])).unwrap();
            let wrong = report.findings.into_iter().filter(|(_, finding)| finding.wrong > 0);
            wrong.map(|(check, finding)| (check, finding.faults)).collect::<Vec<_>>()
        };
        assert_eq!(bad(), []);
        for table in ["audit_blocks", "audit_index"] {
            db.sql(&format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}"));
        }
        let hex = |hex: &str| if db.url.starts_with("sqlite") { format!("x'{hex}'") } else { format!("'\\x{hex}'::bytea") };
        let one = "term = (SELECT term FROM audit_index WHERE block = 0 ORDER BY term DESC LIMIT 1) AND block = 0";
        let changes = [
            format!("DELETE FROM audit_index WHERE {one}"),
            format!("UPDATE audit_index SET entries = {} WHERE {one}", hex("0000")),
            format!("UPDATE audit_index SET entries = {} WHERE {one}", hex("01")),
            format!("UPDATE audit_index SET term = {} WHERE {one}", hex(&"07".repeat(16))),
            format!("INSERT INTO audit_index (term, block, entries) VALUES ({}, 0, {})", hex(&"07".repeat(16)), hex("0000")),
            "UPDATE audit_blocks SET first_at = first_at + 1 WHERE block = 0".to_owned(),
            "UPDATE audit_blocks SET last_at = last_at - 1 WHERE block = 0".to_owned(),
            format!("UPDATE audit_blocks SET times = {} WHERE block = 0", hex("00")),
            "DELETE FROM audit_blocks WHERE block = 0".to_owned(),
        ];
        for change in changes {
            db.sql(&change);
            let bad = bad();
            let [(Check::Index, faults)] = &bad[..] else { panic!("{change}: {bad:?}") };
            assert!(faults.len() == 1 && faults[0].contains("entries 0 to 1023"), "{change}: {faults:?}");
            for table in ["audit_blocks", "audit_index"] {
                db.sql(&format!("DELETE FROM {table}"));
                db.sql(&format!("INSERT INTO {table} SELECT * FROM kept_{table}"));
            }
        }
        assert_eq!(bad(), []);
    }

    fn what_was_erased_is_not_missed_in_the_index_but_all_else_is(db) {
        let store = db.open();
        append(&store, 0..BLOCK);
        assert!(!index(&store).unwrap() || !index(&store).unwrap());
        db.sql("UPDATE audit_entries SET openings = NULL WHERE seq IN (5, 6)");
        let wrong = || store.read(|conn| verify(conn, &[], &[])).unwrap().findings[&Check::Index].wrong;
        assert_eq!(wrong(), 0);
        db.sql("DELETE FROM audit_index WHERE term = (SELECT term FROM audit_index ORDER BY term DESC LIMIT 1)");
        assert_eq!(wrong(), 1);
    }
}
