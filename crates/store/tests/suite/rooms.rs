use portcullis_core::time::Millis;
use portcullis_store::proposals::{self, PendingProposal};
use portcullis_store::restrictions::{Grounds, Place, Restriction, impose, lift, restrictions};
use portcullis_store::rooms::{self, RoomStatus, Seen};
use portcullis_store::{StoreError, events, ties};
use uuid::Uuid;

use crate::harness::*;

fn proposal(reference: u8) -> PendingProposal {
    PendingProposal {
        reference: vec![reference; 32],
        message: vec![reference, 1],
        proposer: "mimi://a.example/u/bob".to_owned(),
        kind: "remove".to_owned(),
        accepted_at: NOW,
        decision: Uuid::now_v7(),
        bundle: [3; 32],
    }
}

on_both! {
    fn of_many_racing_commits_one_wins_and_the_others_write_nothing(db) {
        let stores = [db.open(), db.open(), db.open()];
        let (room, seen) = active_room(&stores[0], "clubhouse");
        let accepted: Vec<bool> = std::thread::scope(|scope| {
            let racing: Vec<_> = (0..12).map(|racer: u8| {
                let (store, room) = (stores[usize::from(racer) % 3].clone(), room.clone());
                scope.spawn(move || store.write(room.clone().as_str(), move |tx| {
                    events::append(tx, &room, &event(&[racer]))?;
                    tx.stage(&record("decision.commit"))?;
                    rooms::advance_epoch(tx, &room, seen, &state(2), NOW)
                }))
            }).collect();
            racing.into_iter().map(|racer| match racer.join().unwrap() {
                Ok(_) => true,
                Err(StoreError::EpochMoved { epoch: 2, version: 2 }) => false,
                Err(other) => panic!("{other:?}"),
            }).collect()
        });
        assert_eq!(accepted.iter().filter(|won| **won).count(), 1);
        sequence_all(&stores[1]);
        assert_eq!(stores[2].read(|conn| events::range(conn, &room, 0, 100)).unwrap().len(), 1);
        assert_eq!(kinds(&stores[2]), ["decision.commit"]);
    }

    fn each_epoch_of_a_contended_room_is_entered_once(db) {
        let stores = [db.open(), db.open()];
        let (room, _) = active_room(&stores[0], "clubhouse");
        let entered: Vec<u64> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..6).map(|writer| {
                let (store, room) = (stores[writer % 2].clone(), room.clone());
                scope.spawn(move || {
                    let mut mine = Vec::new();
                    while let Some(head) = store.read(|conn| rooms::head(conn, &room)).unwrap() {
                        if head.epoch >= 30 {
                            break;
                        }
                        let (next, uri, seen) = (state(head.epoch + 1), room.clone(), head.seen());
                        match store.write(room.as_str(), move |tx| rooms::advance_epoch(tx, &uri, seen, &next, NOW)) {
                            Ok(_) => mine.push(head.epoch + 1),
                            Err(StoreError::EpochMoved { .. }) => {}
                            Err(other) => panic!("{other:?}"),
                        }
                    }
                    mine
                })
            }).collect();
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
        });
        let mut sorted = entered;
        sorted.sort_unstable();
        assert_eq!(sorted, (2..=30).collect::<Vec<u64>>());
    }

    fn a_room_is_created_once_and_its_group_starts_once(db) {
        let store = db.open();
        let (uri, seen) = active_room(&store, "clubhouse");
        assert_eq!(seen, Seen { epoch: 1, version: 1 });
        let again = rooms::NewRoom {
            room: uri.clone(),
            group: portcullis_core::wire::uri::GroupUri::parse("mimi://a.example/g/other").unwrap(),
            template: "strict".to_owned(),
            creator: user("bob"),
        };
        let created = store.write("x", move |tx| rooms::create(tx, &again, NOW));
        assert!(matches!(created, Err(StoreError::Exists)));
        let restarted = uri.clone();
        let started = store.write("x", move |tx| rooms::start_group(tx, &restarted, 0, &state(9), NOW));
        assert!(matches!(started, Err(StoreError::Missing)));
        let row = store.read(|conn| rooms::load(conn, &uri)).unwrap().unwrap();
        assert_eq!((row.snapshot.as_slice(), row.group_info.as_slice()), (&b"snapshot 1"[..], &b"info 1"[..]));
        assert_eq!((row.head.status, row.head.creator), (RoomStatus::Active, user("alice")));
        assert_eq!(store.read(|conn| rooms::list(conn, None, 10)).unwrap().len(), 1);
    }

    fn accepted_timestamps_of_a_room_only_grow(db) {
        let store = db.open();
        let (room, mut seen) = active_room(&store, "clubhouse");
        let mut times = Vec::new();
        for now in [Millis(NOW.0 + 5), NOW, Millis(NOW.0 + 5), Millis(0), Millis(NOW.0 + 100)] {
            let uri = room.clone();
            times.push(store.write("x", move |tx| rooms::accept_message(tx, &uri, seen, now)).unwrap().at.0 - NOW.0);
        }
        let uri = room.clone();
        times.push(store.write("x", move |tx| rooms::accept_proposals(tx, &uri, seen, NOW)).unwrap().0 - NOW.0);
        seen.version += 1;
        let uri = room.clone();
        times.push(
            store.write("x", move |tx| rooms::advance_epoch(tx, &uri, seen, &state(2), NOW)).unwrap().0 - NOW.0,
        );
        assert_eq!(times, [5, 6, 7, 8, 100, 101, 102]);
    }

    fn a_message_does_not_disturb_a_decision_but_a_proposal_does(db) {
        let store = db.open();
        let (room, seen) = active_room(&store, "clubhouse");
        for _ in 0..2 {
            let uri = room.clone();
            store.write("x", move |tx| rooms::accept_message(tx, &uri, seen, NOW)).unwrap();
        }
        let uri = room.clone();
        store.write("x", move |tx| rooms::accept_proposals(tx, &uri, seen, NOW)).unwrap();
        let uri = room.clone();
        let late = store.write("x", move |tx| rooms::accept_message(tx, &uri, seen, NOW));
        assert!(matches!(late, Err(StoreError::EpochMoved { epoch: 1, version: 2 })));
    }

    fn a_restriction_stops_decisions_that_were_made_before_it(db) {
        let store = db.open();
        let (room, seen) = active_room(&store, "clubhouse");
        let uri = room.clone();
        store.write("x", move |tx| {
            impose(tx, &Place::from(&uri), &Restriction::Freeze, &Grounds::default(), NOW)?;
            impose(tx, &Place::from(&uri), &Restriction::Mute(user("bob")), &Grounds::default(), NOW)?;
            impose(tx, &Place::from(&uri), &Restriction::Mute(user("bob")), &Grounds::default(), NOW)
        }).unwrap();
        let uri = room.clone();
        let late = store.write("x", move |tx| rooms::accept_message(tx, &uri, seen, NOW));
        assert!(matches!(late, Err(StoreError::EpochMoved { .. })));
        let imposed = store.read(|conn| restrictions(conn, &room)).unwrap();
        assert_eq!((imposed.frozen, imposed.legal_hold), (true, false));
        assert_eq!(imposed.muted.into_iter().collect::<Vec<_>>(), [user("bob")]);
        let uri = room.clone();
        store.write("x", move |tx| lift(tx, &Place::from(&uri), &Restriction::Freeze, NOW)).unwrap();
        assert!(!store.read(|conn| restrictions(conn, &room)).unwrap().frozen);
    }

    fn proposals_stay_in_order_until_a_commit_or_a_withdrawal(db) {
        let store = db.open();
        let (room, seen) = active_room(&store, "clubhouse");
        let uri = room.clone();
        store.write("x", move |tx| {
            (1..=3).try_for_each(|reference| proposals::add(tx, &uri, 1, &proposal(reference)))
        }).unwrap();
        let pending = || store.read(|conn| proposals::pending(conn, &room, 1)).unwrap();
        assert_eq!(pending().iter().map(|found| found.reference[0]).collect::<Vec<_>>(), [1, 2, 3]);
        let uri = room.clone();
        let twice = store.write("x", move |tx| proposals::add(tx, &uri, 1, &proposal(2)));
        assert!(matches!(twice, Err(StoreError::Exists)));
        let uri = room.clone();
        store.write("x", move |tx| proposals::withdraw(tx, &uri, 1, &[2; 32])).unwrap();
        assert_eq!(pending().len(), 2);
        let (uri, seen) = (room.clone(), Seen { version: seen.version + 1, ..seen });
        store.write("x", move |tx| rooms::advance_epoch(tx, &uri, seen, &state(2), NOW)).unwrap();
        assert!(pending().is_empty());
    }

    fn the_state_of_the_epoch_before_is_kept_and_older_ones_are_not(db) {
        let store = db.open();
        let (room, mut seen) = active_room(&store, "clubhouse");
        for epoch in 2..=4 {
            let uri = room.clone();
            store.write("x", move |tx| rooms::advance_epoch(tx, &uri, seen, &state(epoch), NOW)).unwrap();
            seen = Seen { epoch, version: seen.version + 1 };
        }
        let kept = store.read(|conn| rooms::states(conn, &room)).unwrap();
        assert_eq!(kept.iter().map(|state| state.epoch).collect::<Vec<_>>(), [4, 3]);
    }

    fn a_room_that_something_comes_to_depend_on_is_not_destroyed_as_it_was_before(db) {
        let store = db.open();
        let ((parent, seen), (room, _)) = (active_room(&store, "clubhouse"), active_room(&store, "board"));
        let (below, above) = (room.clone(), parent.clone());
        store.write("x", move |tx| ties::depend(tx, &below, &above)).unwrap();
        let gone = parent.clone();
        let destroyed = store.write("x", move |tx| ties::destroy(tx, &gone, seen, NOW));
        assert!(matches!(destroyed, Err(StoreError::EpochMoved { .. })), "{destroyed:?}");
        assert_eq!(store.read(|conn| ties::dependents(conn, &parent)).unwrap(), [room]);
    }

    fn an_epoch_that_does_not_fit_is_refused_and_not_bent(db) {
        let store = db.open();
        let (room, seen) = active_room(&store, "clubhouse");
        let uri = room.clone();
        let too_far = store.write("x", move |tx| rooms::advance_epoch(tx, &uri, seen, &state(1 << 63), NOW));
        assert!(matches!(too_far, Err(StoreError::OutOfRange)));
        assert_eq!(store.read(|conn| rooms::head(conn, &room)).unwrap().unwrap().seen(), seen);
    }

    fn events_of_a_room_are_numbered_without_gaps_under_concurrency(db) {
        let stores = [db.open(), db.open()];
        let (room, _) = active_room(&stores[0], "clubhouse");
        std::thread::scope(|scope| {
            for writer in 0..4_u8 {
                let (store, room) = (&stores[usize::from(writer) % 2], &room);
                scope.spawn(move || for count in 0..10_u8 {
                    let uri = room.clone();
                    let outcome = store.write(room.as_str(), move |tx| {
                        events::append(tx, &uri, &event(&[writer, count]))?;
                        if count % 3 == 0 { Err(StoreError::Missing) } else { Ok(()) }
                    });
                    assert_eq!(outcome.is_ok(), count % 3 != 0);
                });
            }
        });
        let found = stores[0].read(|conn| events::range(conn, &room, 0, 100)).unwrap();
        assert_eq!(found.iter().map(|event| event.seq).collect::<Vec<_>>(), (1..=24).collect::<Vec<_>>());
        assert_eq!(stores[0].read(|conn| events::range(conn, &room, 20, 2)).unwrap(), found[19..21]);
    }
}
