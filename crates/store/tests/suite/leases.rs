//! Lanes of the outbox and exports to sinks between two processes: who has them, and what the one may still write that
//! had them before.

use std::sync::Barrier;
use std::time::Duration;

use portcullis_core::time::Millis;
use portcullis_store::outbox::{self, Batch, LaneRow};
use portcullis_store::sinks::{self, DeadLetter, SinkLease};
use portcullis_store::{Store, StoreError, Tx, events};

use crate::harness::*;

const TTL: Duration = Duration::from_secs(30);
const RACERS: usize = 8;
const ROUNDS: u64 = 12;
const SINK: &str = "otlp";

/// Owes b.example one more message of the room.
fn owe(store: &Store, body: &[u8]) {
    let event = event(body);
    let owed = store.write("x", move |tx| {
        let seq = events::append(tx, &room("clubhouse"), &event)?;
        outbox::enqueue(tx, &room("clubhouse"), &domain("b"), &domain("a"), seq)
    });
    owed.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
}

/// All processes give their leases the same name here, so that the number alone keeps them apart.
fn lease(store: &Store, now: Millis) -> Option<Batch> {
    store.write("outbox", move |tx| outbox::lease(tx, now, "sender", TTL, &[])).unwrap()
}

fn take(store: &Store, owner: &str, now: Millis) -> Option<SinkLease> {
    let owner = owner.to_owned();
    store.write("sink", move |tx| sinks::take(tx, SINK, &owner, now, TTL)).unwrap()
}

fn written(store: &Store, job: impl FnMut(&mut Tx<'_>) -> Result<(), StoreError> + Send + 'static) {
    store.write("x", job).unwrap();
}

/// What each of the racers gets who start at once, half of them in each process.
fn race<T: Send>(stores: &[Store; 2], run: impl Fn(&Store, usize) -> Option<T> + Sync) -> Vec<T> {
    let (barrier, run) = (Barrier::new(RACERS), &run);
    std::thread::scope(|scope| {
        let racers: Vec<_> = (0..RACERS)
            .map(|number| {
                let (barrier, store) = (&barrier, &stores[number % 2]);
                scope.spawn(move || {
                    barrier.wait();
                    run(store, number)
                })
            })
            .collect();
        racers.into_iter().filter_map(|racer| racer.join().unwrap()).collect()
    })
}

fn lane(store: &Store) -> LaneRow {
    store.read(|conn| outbox::find(conn, &room("clubhouse"), &domain("b"))).unwrap().unwrap()
}

fn letter(seq: u64, reason: &str) -> DeadLetter {
    DeadLetter { seq, given_up_at: NOW, http_status: 400, reason: reason.to_owned() }
}

/// Everything that is known of the export.
#[derive(Debug, PartialEq, Eq)]
struct Export {
    cursor: u64,
    holder: Option<(String, Millis)>,
    dead_letters: Vec<DeadLetter>,
    wanted_again: Option<u64>,
}

fn export(store: &Store) -> Export {
    let read = store.read(|conn| {
        Ok::<_, StoreError>(Export {
            cursor: sinks::cursor(conn, SINK)?,
            holder: sinks::holder(conn, SINK)?,
            dead_letters: sinks::dead_letters(conn, SINK, 0, 10)?,
            wanted_again: sinks::wanted_again(conn, SINK)?,
        })
    });
    read.unwrap()
}

on_both! {
    fn of_all_that_race_for_one_lane_one_gets_it_also_when_its_last_holder_is_gone(db) {
        let stores = [db.open(), db.open()];
        active_room(&stores[0], "clubhouse");
        let mut now = NOW;
        for round in 0..ROUNDS {
            owe(&stores[0], format!("{round} ").as_bytes());
            let got = race(&stores, |store, _| lease(store, now));
            assert_eq!(got.len(), 1, "round {round}");
            // Whoever got it is never heard of again.
            now = now.plus(TTL);
            let got = race(&stores, |store, _| lease(store, now));
            assert_eq!(got.len(), 1, "round {round}, taken over");
            let batch = got[0].clone();
            assert_eq!(batch.body, format!("{round} ").into_bytes());
            written(&stores[1], move |tx| outbox::acknowledge(tx, &batch, NOW));
        }
        assert_eq!((lane(&stores[0]).head, lane(&stores[0]).tail), (ROUNDS, ROUNDS));
    }

    fn what_the_former_holder_of_a_lane_says_late_changes_nothing(db) {
        let stores = [db.open(), db.open()];
        active_room(&stores[0], "clubhouse");
        for body in [b"one ", b"two "] {
            owe(&stores[0], body);
        }
        let former = lease(&stores[0], NOW).unwrap();
        let late = NOW.plus(TTL);
        let holder = lease(&stores[1], late).unwrap();
        assert_eq!(holder.body, former.body);
        let assert_deaf = || {
            let before = lane(&stores[1]);
            type Write = fn(&mut Tx<'_>, &Batch) -> Result<(), StoreError>;
            let writes: [(&str, Write); 4] = [
                ("acknowledge", |tx, batch| outbox::acknowledge(tx, batch, NOW)),
                ("postpone", |tx, batch| outbox::postpone(tx, batch, Millis(1), "late")),
                ("single_out", |tx, batch| outbox::single_out(tx, batch, "late")),
                ("park", |tx, batch| outbox::park(tx, batch, 404, "late")),
            ];
            for (name, write) in writes {
                let former = former.clone();
                let told = stores[0].write("x", move |tx| write(tx, &former));
                assert!(matches!(told, Err(StoreError::LeaseLost)), "{name}: {told:?}");
                assert_eq!(lane(&stores[1]), before, "{name}");
                assert_eq!(lease(&stores[0], late), None, "{name} has freed the lane");
            }
        };
        assert_deaf();
        written(&stores[1], move |tx| outbox::acknowledge(tx, &holder, NOW));
        owe(&stores[1], b"tri ");
        let next = lease(&stores[1], late).unwrap();
        assert_eq!(next.body, b"tri ");
        assert_deaf();
        written(&stores[1], move |tx| outbox::acknowledge(tx, &next, NOW));
        assert_eq!(lane(&stores[0]).head, 3);
    }

    fn of_all_that_race_for_a_sink_one_exports_also_when_the_last_one_is_gone(db) {
        let stores = [db.open(), db.open()];
        let mut now = NOW;
        for number in 1..=ROUNDS {
            let got = race(&stores, |store, racer| take(store, &format!("racer {racer} of {number}"), now));
            assert_eq!(got.iter().map(|lease| lease.number).collect::<Vec<_>>(), [number]);
            now = now.plus(TTL);
        }
    }

    fn what_the_former_exporter_to_a_sink_says_late_changes_nothing(db) {
        let stores = [db.open(), db.open()];
        (0..10).for_each(|_| written(&stores[0], staging(record("decision.commit"))));
        sequence_all(&stores[0]);
        let first = take(&stores[0], "former", NOW).unwrap();
        let former = first.clone();
        written(&stores[0], move |tx| sinks::advance(tx, &former, 0, 5, NOW));
        let former = first.clone();
        written(&stores[0], move |tx| sinks::give_up(tx, &former, &letter(5, "poison")));
        written(&stores[0], |tx| sinks::want_again(tx, SINK, 5, 5).map(drop));
        assert_eq!(take(&stores[1], "holder", NOW), None);
        let late = NOW.plus(TTL);
        let holder = take(&stores[1], "holder", late).unwrap();

        let before = export(&stores[1]);
        assert_eq!((before.cursor, before.dead_letters.len(), before.wanted_again), (6, 1, Some(5)));
        type Write = fn(&mut Tx<'_>, &SinkLease) -> Result<(), StoreError>;
        let writes: [(&str, Write); 5] = [
            ("advance", |tx, lease| sinks::advance(tx, lease, 6, 9, NOW)),
            ("give_up", |tx, lease| sinks::give_up(tx, lease, &letter(6, "late"))),
            ("redelivered", |tx, lease| sinks::redelivered(tx, lease, 5, NOW)),
            ("refused_again", |tx, lease| sinks::refused_again(tx, lease, &letter(5, "late"))),
            ("release", sinks::release),
        ];
        for (name, write) in writes {
            let former = first.clone();
            let told = stores[0].write("x", move |tx| write(tx, &former));
            assert!(matches!(told, Err(StoreError::LeaseLost)), "{name}: {told:?}");
            assert_eq!(export(&stores[1]), before, "{name}");
            assert_eq!(take(&stores[0], "former", late), None, "{name} has freed the sink");
        }
        written(&stores[1], move |tx| sinks::advance(tx, &holder, 6, 9, late));
        assert_eq!(export(&stores[0]).cursor, 9);
    }
}
