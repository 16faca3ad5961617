//! Ends a real process at each labelled point and looks at what it left.

use std::process::Command;
use std::time::Duration;

use portcullis_store::audit::{entries, sequence};
use portcullis_store::events;
use portcullis_store::streams::{self, StreamItem};
use portcullis_store::{Store, StoreError, outbox};

use crate::harness::*;

const URL: &str = "PORTCULLIS_TEST_CHILD_URL";
const STEP: &str = "PORTCULLIS_TEST_CHILD_STEP";

/// Does `step` in another process that ends when it reaches `point`.
fn crash(db: &Db, step: &str, point: &str) {
    let ended = Command::new(std::env::current_exe().unwrap())
        .args(["crash::child", "--exact", "--ignored"])
        .envs([(URL, db.url.as_str()), (STEP, step), ("PORTCULLIS_CRASH_AT", point)])
        .output()
        .unwrap();
    assert!(std::os::unix::process::ExitStatusExt::signal(&ended.status).is_some(), "it did not reach {point}");
}

#[test]
#[ignore = "the process that the other tests end"]
fn child() {
    let store = Store::open(&std::env::var(URL).unwrap(), &portcullis_store::Options::default()).unwrap();
    match std::env::var(STEP).unwrap().as_str() {
        "accept" => accept(&store),
        "sequence" => drop(sequence(&store, 1000, NOW).unwrap()),
        "deliver" => {
            let lease =
                |tx: &mut portcullis_store::Tx<'_>| outbox::lease(tx, NOW, "child", Duration::from_secs(30), &[]);
            let batch = store.write("outbox", lease).unwrap().unwrap();
            store.write("outbox", move |tx| outbox::acknowledge(tx, &batch, NOW)).unwrap();
        }
        other => panic!("no step {other}"),
    }
}

/// One accepted message with all its effects.
fn accept(store: &Store) {
    let uri = room("clubhouse");
    store
        .write("x", move |tx| {
            let seq = events::append(tx, &uri, &event(b"one "))?;
            outbox::enqueue(tx, &uri, &domain("b"), &domain("a"), seq)?;
            let item =
                StreamItem { room: Some(uri.clone()), kind: "event".to_owned(), payload: b"one ".to_vec(), at: NOW };
            streams::push(tx, &[device("bob", "phone")], &item)?;
            tx.stage(&record("decision.message"))
        })
        .unwrap_or_else(|error: StoreError| panic!("{error:?}"));
}

/// Events, owed messages, stream rows and decisions that there are.
fn effects(store: &Store) -> [usize; 4] {
    sequence_all(store);
    store
        .read(|conn| {
            let decisions =
                entries(conn, &all())?.iter().filter(|entry| entry.record.kind == "decision.message").count();
            Ok::<_, StoreError>([
                events::range(conn, &room("clubhouse"), 0, 9)?.len(),
                outbox::pending(conn, &room("clubhouse"), &domain("b"), 9)?.len(),
                streams::read(conn, &device("bob", "phone"), 0, 9)?.len(),
                decisions,
            ])
        })
        .unwrap()
}

on_both! {
    fn a_crash_before_the_commit_leaves_nothing(db) {
        let store = db.open();
        active_room(&store, "clubhouse");
        crash(db, "accept", "lane.before_commit");
        assert_eq!(effects(&store), [0, 0, 0, 0]);
    }

    fn a_crash_after_the_commit_leaves_everything(db) {
        let store = db.open();
        active_room(&store, "clubhouse");
        crash(db, "accept", "lane.after_commit");
        assert_eq!(effects(&store), [1, 1, 1, 1]);
    }

    fn a_crash_of_the_sequencer_loses_and_repeats_nothing(db) {
        let store = db.open();
        active_room(&store, "clubhouse");
        staged(db, || accept(&store));
        crash(db, "sequence", "sequence.before_commit");
        assert_eq!(db.number("SELECT count(*) FROM audit_entries"), 0);
        crash(db, "sequence", "lane.after_commit");
        assert_eq!(effects(&store), [1, 1, 1, 1]);
        assert!(!kinds(&store).contains(&"audit.gap".to_owned()));
    }

    fn a_message_whose_sender_crashed_is_sent_again_byte_for_byte(db) {
        let store = db.open();
        active_room(&store, "clubhouse");
        accept(&store);
        crash(db, "deliver", "outbox.before_acknowledge");
        let lease = |now| store.write("outbox", move |tx| outbox::lease(tx, now, "us", Duration::from_secs(30), &[])).unwrap();
        assert_eq!(lease(NOW), None, "the lease of the dead still runs");
        assert_eq!(lease(NOW.plus(Duration::from_secs(30))).unwrap().body, b"one ");
    }

    fn a_crash_before_the_lease_is_durable_leaves_the_lane_free(db) {
        let store = db.open();
        active_room(&store, "clubhouse");
        accept(&store);
        crash(db, "deliver", "outbox.leased");
        let batch = store.write("outbox", |tx| outbox::lease(tx, NOW, "us", Duration::from_secs(30), &[])).unwrap().unwrap();
        assert_eq!((batch.body.as_slice(), batch.attempts), (&b"one "[..], 0));
    }
}
