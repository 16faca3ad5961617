use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis_store::audit::{Leaf, Sequenced, entries, sequence, size};
use portcullis_store::streams::{self, StreamItem};
use portcullis_store::{Store, StoreError};

use crate::harness::*;

fn item(body: &str) -> StreamItem {
    StreamItem { room: Some(room("clubhouse")), kind: "event".to_owned(), payload: body.as_bytes().to_vec(), at: NOW }
}

fn push(store: &Store, key: &str, devices: &[&str], body: &str) {
    let devices: Vec<_> = devices.iter().map(|name| device("bob", name)).collect();
    let item = item(body);
    store.write(key, move |tx| streams::push(tx, &devices, &item)).unwrap();
}

on_both! {
    fn several_sequencers_number_every_record_once_and_without_gaps(db) {
        let stores = [db.open(), db.open(), db.open()];
        let writing = AtomicUsize::new(4);
        let written: BTreeSet<uuid::Uuid> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4).map(|writer| {
                let (store, writing) = (&stores[writer % 3], &writing);
                scope.spawn(move || {
                    let mut mine = Vec::new();
                    for count in 0..40 {
                        let mut record = record("decision.message");
                        record.room = Some(room(&format!("room{}", count % 3)));
                        let event = record.event;
                        let outcome = store.write(&format!("key{writer}"), move |tx| {
                            tx.stage(&record)?;
                            if count % 5 == 0 { Err(StoreError::Missing) } else { Ok(()) }
                        });
                        if outcome.is_ok() {
                            mine.push(event);
                        }
                    }
                    writing.fetch_sub(1, Ordering::SeqCst);
                    mine
                })
            }).collect();
            for store in &stores {
                let writing = &writing;
                scope.spawn(move || while writing.load(Ordering::SeqCst) > 0 {
                    sequence(store, 7, NOW).unwrap();
                });
            }
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
        });
        sequence_all(&stores[0]);
        let log = stores[1].read(|conn| entries(conn, &all())).unwrap();
        assert_eq!(log.iter().map(|entry| entry.seq).collect::<Vec<_>>(), (0..log.len() as u64).collect::<Vec<_>>());
        let messages: Vec<_> = log.iter().filter(|entry| entry.record.kind == "decision.message").collect();
        assert_eq!(messages.len(), 128);
        assert_eq!(messages.iter().map(|entry| entry.record.event).collect::<BTreeSet<_>>(), written);
        assert!(log.iter().all(|entry| entry.record.kind != "audit.gap"));
        assert_eq!(stores[2].read(size).unwrap(), log.len() as u64);
    }

    fn a_record_points_back_to_those_before_it(db) {
        let store = db.open();
        for (room_name, actor) in [("x", "ann"), ("y", "ben"), ("x", "ben"), ("x", "ann")] {
            let mut record = record("decision.message");
            record.room = Some(room(room_name));
            record.actor = Some(actor.to_owned());
            store.write("x", staging(record)).unwrap();
            sequence_all(&store);
        }
        let log = store.read(|conn| entries(conn, &all())).unwrap();
        let places: Vec<_> = log[1..].iter().map(|entry| {
            let place = Leaf::decode(&entry.leaf).unwrap().place.unwrap();
            (place.seq, place.room, place.actor)
        }).collect();
        assert_eq!(places, [
            (1, Some((0, None)), None),
            (2, Some((0, None)), None),
            (3, Some((1, Some(1))), Some(2)),
            (4, Some((2, Some(3))), Some(1)),
        ]);
    }

    fn a_reader_of_a_stream_misses_nothing_while_others_write(db) {
        let stores = [db.open(), db.open()];
        let writing = AtomicUsize::new(4);
        let got = std::thread::scope(|scope| {
            for writer in 0..4 {
                let (store, writing) = (&stores[writer % 2], &writing);
                scope.spawn(move || {
                    for count in 0..25 {
                        push(store, &format!("key{writer}"), &["phone", "tablet"], &format!("{writer}.{count}"));
                    }
                    writing.fetch_sub(1, Ordering::SeqCst);
                });
            }
            let (store, writing) = (&stores[1], &writing);
            scope.spawn(move || while writing.load(Ordering::SeqCst) > 0 {
                sequence(store, 3, NOW).unwrap();
            });
            let (mut got, mut last) = (Vec::new(), 0);
            loop {
                let ended = writing.load(Ordering::SeqCst) == 0;
                if ended {
                    sequence_all(&stores[0]);
                }
                let rows = stores[0].read(|conn| streams::read(conn, &device("bob", "phone"), last, 5)).unwrap();
                if ended && rows.is_empty() {
                    return got;
                }
                for row in rows {
                    assert!(row.position > last);
                    last = row.position;
                    got.push(String::from_utf8(row.item.payload).unwrap());
                }
            }
        });
        let expected: BTreeSet<String> =
            (0..4).flat_map(|writer| (0..25).map(move |count| format!("{writer}.{count}"))).collect();
        assert_eq!(got.len(), 100);
        assert_eq!(got.into_iter().collect::<BTreeSet<_>>(), expected);
    }

    fn positions_of_streams_have_no_gaps_and_payloads_are_kept_once(db) {
        let store = db.open();
        staged(db, || {
            push(&store, "x", &["phone", "tablet"], "one");
            push(&store, "x", &["phone"], "two");
            push(&store, "x", &[], "to nobody");
        });
        assert_eq!(store.read(|conn| streams::read(conn, &device("bob", "phone"), 0, 9)).unwrap(), []);
        sequence_all(&store);
        let read = |name, after| {
            let rows = store.read(|conn| streams::read(conn, &device("bob", name), after, 9)).unwrap();
            rows.into_iter().map(|row| (row.position, row.item)).collect::<Vec<_>>()
        };
        assert_eq!(read("phone", 0), [(1, item("one")), (3, item("two"))]);
        assert_eq!(read("phone", 1), [(3, item("two"))]);
        assert_eq!(read("tablet", 0), [(2, item("one"))]);
        assert_eq!(store.read(streams::last_position).unwrap(), 3);
        assert_eq!(db.number("SELECT count(*) FROM stream_payloads"), 2);
    }

    fn a_reading_of_a_stream_ends_before_it_is_too_large_and_never_before_its_first_row(db) {
        let store = db.open();
        for body in ["four", "large", "x", "y"] {
            push(&store, "x", &["phone"], body);
        }
        push(&store, "x", &["tablet"], "z");
        sequence(&store, 100, NOW).unwrap();
        let phone = device("bob", "phone");
        let read = |after, limit, bytes| {
            let rows = store.read(|conn| streams::read_within(conn, &phone, after, limit, bytes)).unwrap();
            rows.into_iter().map(|row| row.position).collect::<Vec<_>>()
        };
        assert_eq!((read(0, 9, 8), read(0, 9, 9), read(0, 9, 100)), (vec![1], vec![1, 2], vec![1, 2, 3, 4]));
        assert_eq!((read(1, 9, 1), read(0, 2, 100), read(4, 9, 100)), (vec![2], vec![1, 2], vec![]));
        let came = |after| {
            let mut came = store.read(|conn| streams::devices_after(conn, after)).unwrap();
            came.sort();
            came
        };
        assert_eq!(came(0), [(phone.clone(), 4), (device("bob", "tablet"), 5)]);
        assert_eq!((came(4), came(5)), (vec![(device("bob", "tablet"), 5)], vec![]));
    }

    fn what_nothing_is_in_the_way_of_gets_its_position_with_its_effect(db) {
        let store = db.open();
        store.write("x", staging(record("decision.one"))).unwrap();
        push(&store, "x", &["phone", "tablet"], "one");
        let log = store.read(|conn| entries(conn, &all())).unwrap();
        assert_eq!(log.iter().map(|entry| entry.record.kind.as_str()).collect::<Vec<_>>(), ["writer.begin", "decision.one"]);
        assert_eq!(store.read(streams::last_position).unwrap(), 2);
        assert_eq!(sequence(&store, 1000, NOW).unwrap(), Sequenced::default());
    }

    fn what_was_staged_before_goes_first(db) {
        let store = db.open();
        staged(db, || {
            store.write("x", staging(record("decision.one"))).unwrap();
            push(&store, "x", &["phone"], "one");
        });
        store.write("x", staging(record("decision.two"))).unwrap();
        push(&store, "x", &["phone"], "two");
        assert_eq!(store.read(size).unwrap(), 0);
        sequence_all(&store);
        store.write("x", staging(record("decision.three"))).unwrap();
        push(&store, "x", &["phone"], "three");
        assert_eq!(kinds(&store), ["decision.one", "decision.two", "decision.three"]);
        let rows = store.read(|conn| streams::read(conn, &device("bob", "phone"), 0, 9)).unwrap();
        assert_eq!(rows.iter().map(|row| row.item.payload.as_slice()).collect::<Vec<_>>(), [&b"one"[..], b"two", b"three"]);
    }

    fn an_idle_sequencer_touches_nothing(db) {
        let store = db.open();
        staged(db, || store.write("x", staging(record("decision.message"))).unwrap());
        sequence_all(&store);
        let (audit, staged) = (store.changes(portcullis_store::Topic::Audit), store.changes(portcullis_store::Topic::Staged));
        sequence_all(&store);
        assert!(!audit.has_changed().unwrap() && !staged.has_changed().unwrap());
    }
}
