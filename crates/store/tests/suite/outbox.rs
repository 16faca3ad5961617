use std::collections::BTreeSet;
use std::time::Duration;

use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{Domain, RoomUri};
use portcullis_store::audit::verify;
use portcullis_store::outbox::{self, Batch, LaneStatus};
use portcullis_store::{Store, StoreError, Tx, events, sinks};

use crate::harness::*;

const TTL: Duration = Duration::from_secs(30);

/// Accepts `body` in the room and owes it to `peer`.
fn owe(store: &Store, room: &RoomUri, peer: &str, body: &[u8]) {
    let (uri, peer, event) = (room.clone(), domain(peer), event(body));
    store
        .write(room.as_str(), move |tx| {
            let seq = events::append(tx, &uri, &event)?;
            outbox::enqueue(tx, &uri, &peer, &domain("a"), seq)
        })
        .unwrap_or_else(|error: StoreError| panic!("{error:?}"));
}

fn lease(store: &Store, now: Millis) -> Option<Batch> {
    store.write("outbox", move |tx| outbox::lease(tx, now, "sender", TTL, &[])).unwrap()
}

fn acknowledge(store: &Store, batch: &Batch) -> Result<(), StoreError> {
    let batch = batch.clone();
    store.write("outbox", move |tx| outbox::acknowledge(tx, &batch, NOW))
}

fn postpone(store: &Store, batch: &Batch, until: Millis) {
    let batch = batch.clone();
    store.write("outbox", move |tx| outbox::postpone(tx, &batch, until, "timed out")).unwrap();
}

fn park(store: &Store, batch: &Batch) {
    let batch = batch.clone();
    store.write("outbox", move |tx| outbox::park(tx, &batch, 404, "no such room")).unwrap();
}

fn retry(store: &Store, room: &RoomUri, peer: Domain) {
    let uri = room.clone();
    store.write("outbox", move |tx| outbox::retry(tx, &uri, &peer, NOW)).unwrap();
}

fn later(seconds: u64) -> Millis {
    NOW.plus(Duration::from_secs(seconds))
}

on_both! {
    fn a_lane_is_delivered_in_order_and_then_owes_nothing(db) {
        let store = db.open();
        let (room, _) = active_room(&store, "clubhouse");
        for body in [b"one ", b"two ", b"tri "] {
            owe(&store, &room, "b", body);
        }
        let batch = lease(&store, NOW).unwrap();
        assert_eq!(batch.body, b"one two tri ");
        assert_eq!((batch.attempts, batch.first_tried), (0, NOW));
        assert_eq!((&batch.peer, &batch.as_domain), (&domain("b"), &domain("a")));
        acknowledge(&store, &batch).unwrap();
        assert_eq!(lease(&store, later(3600)), None);
        assert!(store.read(|conn| outbox::lanes(conn, 10)).unwrap().is_empty());
        owe(&store, &room, "b", b"four");
        assert_eq!(lease(&store, NOW).unwrap().body, b"four");
    }

    fn a_retry_sends_the_same_bytes_whatever_was_owed_since(db) {
        let store = db.open();
        let (room, _) = active_room(&store, "clubhouse");
        owe(&store, &room, "b", b"one ");
        let first = lease(&store, NOW).unwrap();
        owe(&store, &room, "b", b"two ");
        postpone(&store, &first, later(60));
        assert_eq!(lease(&store, later(59)), None);
        assert_eq!(store.read(|conn| outbox::next_due(conn, &[])).unwrap(), Some(later(60)));
        let again = lease(&store, later(60)).unwrap();
        assert_eq!((again.body.as_slice(), again.attempts, again.first_tried), (&b"one "[..], 1, NOW));
        acknowledge(&store, &again).unwrap();
        assert_eq!(lease(&store, later(60)).unwrap().body, b"two ");
    }

    fn a_lane_is_held_by_one_sender_and_others_go_on(db) {
        let stores = [db.open(), db.open()];
        for name in 0..6 {
            let (room, _) = active_room(&stores[0], &format!("room{name}"));
            for peer in ["b", "c"] {
                owe(&stores[0], &room, peer, b"one ");
            }
        }
        let taken: Vec<(RoomUri, Domain)> = std::thread::scope(|scope| {
            let senders: Vec<_> = (0..6).map(|sender| {
                let store = &stores[sender % 2];
                scope.spawn(move || {
                    let mut mine = Vec::new();
                    let mut idle = 0;
                    while idle < 3 {
                        match lease(store, NOW) {
                            Some(batch) => mine.push((batch.room, batch.peer)),
                            None => idle += 1,
                        }
                    }
                    mine
                })
            }).collect();
            senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
        });
        assert_eq!(taken.len(), 12);
        assert_eq!(taken.into_iter().collect::<BTreeSet<_>>().len(), 12);
    }

    fn a_lease_that_ran_out_is_taken_over_and_the_first_holder_is_told(db) {
        let store = db.open();
        let (room, _) = active_room(&store, "clubhouse");
        owe(&store, &room, "b", b"one ");
        let first = lease(&store, NOW).unwrap();
        assert_eq!(lease(&store, NOW), None);
        assert_eq!(store.read(|conn| outbox::next_due(conn, &[])).unwrap(), Some(NOW.plus(TTL)));
        let second = lease(&store, NOW.plus(TTL)).unwrap();
        assert_eq!(second.body, first.body);
        assert!(matches!(acknowledge(&store, &first), Err(StoreError::LeaseLost)));
        acknowledge(&store, &second).unwrap();
    }

    fn a_batch_has_at_most_256_messages_and_a_mebibyte(db) {
        let store = db.open();
        let (many, _) = active_room(&store, "many");
        let uri = many.clone();
        store.write("x", move |tx| (0..300).try_for_each(|_| {
            let seq = events::append(tx, &uri, &event(b"m"))?;
            outbox::enqueue(tx, &uri, &domain("b"), &domain("a"), seq)
        })).unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        let batch = lease(&store, NOW).unwrap();
        assert_eq!(batch.items.len(), 256);
        acknowledge(&store, &batch).unwrap();
        let rest = lease(&store, NOW).unwrap();
        assert_eq!(rest.items.len(), 44);
        acknowledge(&store, &rest).unwrap();

        let (large, _) = active_room(&store, "large");
        for length in [1024 * 1024 + 1, 600 * 1024, 500 * 1024] {
            owe(&store, &large, "b", &vec![1; length]);
        }
        let mut lengths = Vec::new();
        while let Some(batch) = lease(&store, NOW) {
            lengths.push(batch.body.len());
            acknowledge(&store, &batch).unwrap();
        }
        assert_eq!(lengths, [1024 * 1024 + 1, 600 * 1024, 500 * 1024]);
    }

    fn nothing_overtakes_a_parked_lane(db) {
        let store = db.open();
        let (room, _) = active_room(&store, "clubhouse");
        owe(&store, &room, "b", b"one ");
        owe(&store, &room, "c", b"two ");
        let batch = lease(&store, NOW).unwrap();
        let (stuck, free) = (batch.peer.clone(), if batch.peer == domain("b") { "c" } else { "b" });
        park(&store, &batch);
        owe(&store, &room, stuck.as_str().strip_suffix(".example").unwrap(), b"tri ");
        let other = lease(&store, later(3600)).unwrap();
        assert_eq!(other.peer, domain(free));
        acknowledge(&store, &other).unwrap();
        assert_eq!(lease(&store, later(3600)), None);
        let lanes = store.read(|conn| outbox::lanes(conn, 10)).unwrap();
        assert_eq!(lanes.len(), 1);
        assert_eq!((lanes[0].status, lanes[0].http_status, lanes[0].tail), (LaneStatus::Parked, 404, 2));
        retry(&store, &room, stuck);
        assert_eq!(lease(&store, NOW).unwrap().body, batch.body);
    }

    fn a_message_that_is_singled_out_goes_alone_and_the_others_after_it(db) {
        let store = db.open();
        let (room, _) = active_room(&store, "clubhouse");
        for body in [b"one ", b"two ", b"tri "] {
            owe(&store, &room, "b", body);
        }
        let batch = lease(&store, NOW).unwrap();
        store.write("outbox", { let batch = batch.clone(); move |tx| outbox::single_out(tx, &batch, "400") }).unwrap();
        let alone = lease(&store, NOW).unwrap();
        assert_eq!(alone.body, b"one ");
        let late = store.write("outbox", move |tx| outbox::single_out(tx, &batch, "400"));
        assert!(matches!(late, Err(StoreError::LeaseLost)));
        acknowledge(&store, &alone).unwrap();
        assert_eq!(lease(&store, NOW).unwrap().body, b"two tri ");
    }

    fn messages_that_a_person_gives_up_are_named_in_the_log(db) {
        let store = db.open();
        let (room, _) = active_room(&store, "clubhouse");
        for body in [b"one ", b"two ", b"tri "] {
            owe(&store, &room, "b", body);
        }
        let skip = |through: u64| {
            let uri = room.clone();
            store.write("outbox", move |tx| {
                outbox::skip(tx, &uri, &domain("b"), through, "poison", "dora", NOW)
            })
        };
        assert!(matches!(skip(1), Err(StoreError::Missing)), "an open lane loses nothing");
        park(&store, &lease(&store, NOW).unwrap());
        assert!(matches!(skip(4), Err(StoreError::Missing)));
        skip(2).unwrap();
        assert_eq!(lease(&store, NOW).unwrap().body, b"tri ");
        sequence_all(&store);
        let log = store.read(|conn| portcullis_store::audit::entries(conn, &all())).unwrap();
        let given_up = &log.last().unwrap().record;
        assert_eq!((given_up.kind.as_str(), given_up.actor.as_deref()), ("outbox.skip", Some("dora")));
        assert_eq!(given_up.detail["events"], serde_json::json!([1, 2]));
    }

    fn however_many_messages_a_person_gives_up_the_log_can_name_them(db) {
        let store = db.open();
        let (room, _) = active_room(&store, "clubhouse");
        let uri = room.clone();
        store.write("x", move |tx| {
            for _ in 0..1200 {
                let seq = portcullis_store::events::append(tx, &uri, &event(b"m"))?;
                outbox::enqueue(tx, &uri, &domain("b"), &domain("a"), seq)?;
            }
            Ok::<_, StoreError>(())
        }).unwrap();
        park(&store, &lease(&store, NOW).unwrap());
        let uri = room.clone();
        store.write("x", move |tx| outbox::skip(tx, &uri, &domain("b"), 1200, "poison", "dora", NOW)).unwrap();
        sequence_all(&store);
        let log = store.read(|conn| portcullis_store::audit::entries(conn, &all())).unwrap();
        let detail = &log.last().unwrap().record.detail;
        assert_eq!((&detail["count"], detail["events"].as_array().unwrap().len()), (&1200.into(), 1000));
        assert_eq!(detail["sha256"].as_str().unwrap().len(), 64);
    }

    fn a_lane_that_cannot_be_read_is_parked_and_the_others_are_leased(db) {
        let store = db.open();
        let (bad, _) = active_room(&store, "bad");
        let (good, _) = active_room(&store, "good");
        owe(&store, &bad, "b", b"one ");
        owe(&store, &good, "b", b"two ");
        db.sql("DELETE FROM outbox_items WHERE room LIKE '%bad'");
        assert_eq!(lease(&store, NOW).unwrap().body, b"two ");
        assert_eq!(lease(&store, NOW), None);
        let lanes = store.read(|conn| outbox::lanes(conn, 10)).unwrap();
        let parked = lanes.iter().find(|lane| lane.room == bad).unwrap();
        assert_eq!((parked.status, parked.error.as_str()), (LaneStatus::Parked, "stored `outbox lane` is corrupt"));
    }

    fn a_peer_that_lost_data_gets_again_what_it_was_owed_and_nothing_else(db) {
        let store = db.open();
        let (room, _) = active_room(&store, "clubhouse");
        owe(&store, &room, "b", b"one ");
        owe(&store, &room, "c", b"for c");
        owe(&store, &room, "b", b"two ");
        while let Some(batch) = lease(&store, NOW) {
            acknowledge(&store, &batch).unwrap();
        }
        for _ in 0..2 {
            let uri = room.clone();
            let sent = store.write("outbox", move |tx| outbox::resend(tx, &uri, &domain("b"), 0)).unwrap();
            assert_eq!(sent, 2);
            let batch = lease(&store, NOW).unwrap();
            assert_eq!(batch.body, b"one two ");
            acknowledge(&store, &batch).unwrap();
        }
    }

    fn what_is_owed_concurrently_is_delivered_in_the_order_of_the_room(db) {
        let stores = [db.open(), db.open()];
        let (room, _) = active_room(&stores[0], "clubhouse");
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let (store, room) = (&stores[writer % 2], &room);
                scope.spawn(move || for _ in 0..10 {
                    owe(store, room, "b", b"m");
                });
            }
        });
        let batch = lease(&stores[0], NOW).unwrap();
        assert_eq!(batch.items.iter().map(|item| item.seq).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
        assert_eq!(batch.items.iter().map(|item| item.position).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
    }

    fn what_a_dead_process_had_taken_is_free_at_once_and_what_a_living_one_has_is_not(db) {
        let living = db.open();
        living.appear().unwrap();
        let (room, _) = active_room(&living, "clubhouse");
        owe(&living, &room, "b", b"one ");
        let name = living.process().to_string();
        let taken = living.write("outbox", move |tx| outbox::lease(tx, NOW, &name, TTL, &[])).unwrap().unwrap();
        let export = |store: &Store| {
            let name = store.process().to_string();
            store.write("outbox", move |tx| sinks::take(tx, "otlp", &name, NOW, TTL)).unwrap()
        };
        assert!(export(&living).is_some());
        let other = db.open();
        assert_eq!(other.free_leases().unwrap(), 0);
        assert_eq!((lease(&other, NOW), export(&other)), (None, None));
        drop(living);
        // PostgreSQL notices a little later that the session has ended, perhaps between one kind of lease and the next.
        let mut freed = 0;
        while freed < 2 {
            freed += other.free_leases().unwrap();
            std::thread::yield_now();
        }
        assert_eq!((freed, other.appear().unwrap()), (2, 0));
        assert!(export(&other).is_some());
        assert_eq!(lease(&other, NOW).unwrap().body, taken.body);
        assert!(matches!(acknowledge(&other, &taken), Err(StoreError::LeaseLost)));
    }

    fn rooms_that_always_owe_something_keep_no_other_from_its_turn(db) {
        let store = db.open();
        let rooms: Vec<RoomUri> = (0..9).map(|number| active_room(&store, &format!("room{number}")).0).collect();
        rooms.iter().for_each(|room| owe(&store, room, "b", b"one "));
        let next = |seconds| {
            let batch = lease(&store, later(seconds)).unwrap();
            owe(&store, &batch.room, "b", b"more");
            batch
        };
        // One of them does not get through at first.
        let failed = next(1);
        postpone(&store, &failed, later(12));
        for seconds in 2..12 {
            let batch = next(seconds);
            assert_ne!(batch.room, failed.room, "after {seconds} seconds");
            store.write("outbox", move |tx| outbox::acknowledge(tx, &batch, later(seconds))).unwrap();
        }
        let mut served = BTreeSet::new();
        for seconds in 12..21 {
            let batch = next(seconds);
            served.insert(batch.room.clone());
            store.write("outbox", move |tx| outbox::acknowledge(tx, &batch, later(seconds))).unwrap();
        }
        assert_eq!(served, rooms.into_iter().collect(), "each of the nine has had one of nine turns");
        // Whoever has just been served is not late because the clock has stepped back.
        assert!(lease(&store, NOW).is_some());
        assert!(store.read(|conn| outbox::next_due(conn, &[])).unwrap() <= Some(NOW));
    }

    fn one_event_is_owed_to_more_peers_than_the_runtime_polls_in_a_turn_and_is_on_the_record(db) {
        let store = db.open();
        let (room, _) = active_room(&store, "clubhouse");
        let peers: Vec<Domain> = (0..200).map(|number| domain(&format!("p{number}"))).collect();
        for body in [b"one ", b"two "] {
            let (uri, owed, event) = (room.clone(), peers.clone(), event(body));
            let all = move |tx: &mut Tx<'_>| {
                let seq = events::append(tx, &uri, &event)?;
                owed.iter().try_for_each(|peer| outbox::enqueue(tx, &uri, peer, &domain("a"), seq))?;
                tx.stage(&record("decision.message"))
            };
            store.write(room.as_str(), all).unwrap();
        }
        let mut reached = BTreeSet::new();
        while let Some(batch) = lease(&store, NOW) {
            assert_eq!(batch.body, b"one two ", "{}", batch.peer);
            acknowledge(&store, &batch).unwrap();
            reached.insert(batch.peer);
        }
        assert!(peers.iter().all(|peer| reached.contains(peer)), "{reached:?}");
        sequence_all(&store);
        let report = store.read(|conn| verify(conn, &[], &[])).unwrap();
        assert!(report.findings.values().all(|finding| finding.wrong == 0), "{report:#?}");
        assert_eq!(kinds(&store).iter().filter(|kind| *kind == "decision.message").count(), 2);
    }

    fn peers_that_are_busy_are_passed_over(db) {
        let store = db.open();
        let (room, _) = active_room(&store, "clubhouse");
        owe(&store, &room, "b", b"one ");
        owe(&store, &room, "c", b"one ");
        let busy = [domain("b")];
        let one = store.write("outbox", move |tx| outbox::lease(tx, NOW, "sender", TTL, &busy)).unwrap().unwrap();
        assert_eq!(one.peer, domain("c"));
        assert_eq!(store.read(|conn| outbox::next_due(conn, &[domain("b"), domain("c")])).unwrap(), None);
        assert_eq!(store.read(|conn| outbox::next_due(conn, &[domain("c")])).unwrap(), Some(Millis(0)));
    }
}
