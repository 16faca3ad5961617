use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{GroupUri, RoomUri};
use portcullis_store::follower::{self, Joined, Kept, Progress, Standing, Why};
use portcullis_store::restrictions::{Grounds, Place, Restriction, impose};
use portcullis_store::rooms::{self, RoomStatus, Seen};
use portcullis_store::streams::{self, StreamItem};
use portcullis_store::{Store, StoreError, proposals};

use crate::harness::*;

const OPEN: Progress = Progress { seen_epoch: 0, taken_up: 0, taken_up_at: Millis(0), standing: Standing::Open };

fn known(store: &Store, name: &str) -> RoomUri {
    let uri = room(name);
    let joined = uri.clone();
    store.write(uri.as_str(), move |tx| follower::join(tx, &joined, &device("bob", "phone"), NOW)).unwrap();
    uri
}

fn version(store: &Store, uri: &RoomUri) -> u64 {
    store.read(|conn| follower::room(conn, uri)).unwrap().unwrap().version
}

fn kept(uri: &RoomUri, why: Why, text: &str) -> Kept {
    let item = StreamItem { room: Some(uri.clone()), kind: "application".to_owned(), payload: text.into(), at: NOW };
    Kept { why, epoch: 4, item, kept_at: NOW, devices: vec![device("bob", "phone"), device("bob", "tablet")] }
}

on_both! {
    fn of_racing_plans_for_a_followed_room_one_is_written(db) {
        let stores = [db.open(), db.open()];
        let uri = known(&stores[0], "away");
        let seen = version(&stores[0], &uri);
        let written = std::thread::scope(|scope| {
            let racing: Vec<_> = (0..8_u8).map(|racer| {
                let (store, uri) = (stores[usize::from(racer) % 2].clone(), uri.clone());
                scope.spawn(move || store.write(uri.clone().as_str(), move |tx| {
                    follower::advance(tx, &uri, seen, &Progress { seen_epoch: u64::from(racer), ..OPEN })
                }))
            }).collect();
            let outcome = |racer: std::thread::ScopedJoinHandle<'_, Result<(), StoreError>>| racer.join().unwrap();
            racing.into_iter().map(outcome).filter(|written| match written {
                Ok(()) => true,
                Err(StoreError::EpochMoved { .. }) => false,
                Err(other) => panic!("{other:?}"),
            }).count()
        });
        assert_eq!((written, version(&stores[1], &uri)), (1, seen + 1));
    }

    fn who_joins_or_leaves_moves_the_room_on_once(db) {
        let store = db.open();
        let uri = known(&store, "away");
        let before = version(&store, &uri);
        known(&store, "away");
        assert_eq!(version(&store, &uri), before);
        for _ in 0..2 {
            let left = uri.clone();
            store.write("x", move |tx| follower::leave(tx, &left, &device("bob", "phone"))).unwrap();
        }
        assert_eq!(version(&store, &uri), before + 1);
        assert!(store.read(|conn| follower::devices(conn, &uri)).unwrap().is_empty());
        let missing = store.write("x", move |tx| follower::advance(tx, &room("nowhere"), 0, &OPEN));
        assert!(matches!(missing, Err(StoreError::NoRoom)));
    }

    fn what_is_withheld_is_released_once_in_its_order_to_those_it_is_for(db) {
        let store = db.open();
        let uri = known(&store, "away");
        let (seen, held) = (version(&store, &uri), uri.clone());
        store.write("x", move |tx| {
            follower::advance(tx, &held, seen, &Progress { standing: Standing::Withheld, ..OPEN })?;
            follower::keep(tx, &kept(&held, Why::Withheld, "one"))?;
            follower::keep(tx, &kept(&held, Why::Early, "early"))?;
            follower::keep(tx, &kept(&held, Why::Withheld, "two"))
        }).unwrap();
        let rows = store.read(|conn| follower::kept(conn, &uri, Why::Withheld, 10)).unwrap();
        assert_eq!(rows.iter().map(|row| row.ordinal).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(rows[0].kept, kept(&uri, Why::Withheld, "one"));
        let opened = uri.clone();
        assert_eq!(store.write("x", move |tx| follower::release(tx, &opened)).unwrap(), 2);
        sequence_all(&store);
        for of in ["phone", "tablet"] {
            let stream = store.read(|conn| streams::read(conn, &device("bob", of), 0, 10)).unwrap();
            assert_eq!(stream.into_iter().map(|row| row.item.payload).collect::<Vec<_>>(), [b"one", b"two"]);
        }
        let left = |why| store.read(|conn| follower::kept(conn, &uri, why, 10)).unwrap().len();
        assert_eq!([left(Why::Withheld), left(Why::Early)], [0, 1]);
        let again = uri.clone();
        assert!(matches!(store.write("x", move |tx| follower::release(tx, &again)), Err(StoreError::Missing)));
    }

    fn what_is_withheld_is_released_in_its_order_however_much_it_is(db) {
        let store = db.open();
        let (uri, held) = (known(&store, "away"), known(&store, "away"));
        let texts: Vec<String> = (0..150).map(|number| format!("{number:03}")).collect();
        let all = texts.clone();
        store.write("x", move |tx| {
            all.iter().try_for_each(|text| follower::keep(tx, &kept(&held, Why::Withheld, text)))
        }).unwrap();
        let first = store.read(|conn| follower::withheld_from(conn, &uri)).unwrap();
        assert_eq!(first, Some(vec![device("bob", "phone"), device("bob", "tablet")]));
        let flushed = uri.clone();
        assert_eq!(store.write("x", move |tx| follower::flush(tx, &flushed)).unwrap(), 150);
        sequence_all(&store);
        let stream = store.read(|conn| streams::read(conn, &device("bob", "phone"), 0, 1000)).unwrap();
        assert_eq!(stream.into_iter().map(|row| row.item.payload).collect::<Vec<_>>(), texts.iter().map(|text| text.as_bytes()).collect::<Vec<_>>());
        assert_eq!(store.read(|conn| follower::withheld_from(conn, &uri)).unwrap(), None);
    }

    fn proposals_are_kept_up_to_a_number_and_a_length_and_until_their_epoch_is_over(db) {
        let store = db.open();
        let uri = known(&store, "away");
        let keep = |most, most_bytes| {
            let uri = uri.clone();
            store.write("x", move |tx| {
                follower::keep_proposal(tx, &kept(&uri, Why::Proposal, "12345"), most, most_bytes)
            }).unwrap()
        };
        assert_eq!([keep(2, 100), keep(9, 9), keep(2, 100), keep(2, 100)], [true, false, true, false]);
        let forget = |before| {
            let forgotten = uri.clone();
            store.write("x", move |tx| follower::forget_proposals(tx, &forgotten, before)).unwrap();
            store.read(|conn| follower::kept(conn, &uri, Why::Proposal, 10)).unwrap().len()
        };
        assert_eq!([forget(Some(4)), forget(Some(5))], [2, 0]);
        assert!(keep(1, 5));
        assert_eq!(forget(None), 0);
    }

    fn a_join_that_the_hub_refuses_does_not_take_out_who_is_there_by_something_else(db) {
        let store = db.open();
        let (uri, phone) = (room("away"), device("bob", "phone"));
        let [first, second] = [1, 2].map(uuid::Uuid::from_u128);
        let attempt = |id| {
            let (uri, phone) = (uri.clone(), phone.clone());
            store.write("x", move |tx| follower::attempt_join(tx, &uri, &phone, id, NOW)).unwrap()
        };
        let welcome = || {
            let (uri, phone) = (uri.clone(), phone.clone());
            store.write("x", move |tx| follower::join(tx, &uri, &phone, NOW)).unwrap();
        };
        let answered = |id, answer| {
            let (of, phone) = (uri.clone(), phone.clone());
            store.write("x", move |tx| follower::end_attempt(tx, &of, &phone, id, answer)).unwrap();
            store.read(|conn| follower::devices(conn, &uri)).unwrap().len()
        };
        assert!(attempt(first));
        assert_eq!(answered(first, Joined::No), 0);
        assert!(attempt(first) && attempt(second), "the later of two takes over");
        assert_eq!([answered(first, Joined::No), answered(second, Joined::No)], [1, 0]);
        assert!(attempt(first));
        welcome();
        assert_eq!(answered(first, Joined::No), 1, "a Welcome came in between");
        assert!(!attempt(second), "it is there for certain");
        assert_eq!(answered(second, Joined::No), 1);
        let (gone, of) = (uri.clone(), phone.clone());
        store.write("x", move |tx| follower::leave(tx, &gone, &of)).unwrap();
        assert!(attempt(first));
        assert_eq!([answered(first, Joined::Yes), answered(first, Joined::No)], [1, 1]);
    }

    fn only_what_waits_for_its_predecessor_becomes_overdue(db) {
        let store = db.open();
        let (uri, other) = (known(&store, "away"), known(&store, "elsewhere"));
        let early = uri.clone();
        store.write("x", move |tx| {
            follower::keep(tx, &kept(&early, Why::Early, "early"))?;
            follower::keep(tx, &kept(&other, Why::Proposal, "proposal"))
        }).unwrap();
        let overdue = |before| store.read(move |conn| follower::overdue(conn, before)).unwrap();
        assert_eq!(overdue(NOW), []);
        assert_eq!(overdue(Millis(NOW.0 + 1)), std::slice::from_ref(&uri));
        store.write("x", move |tx| follower::let_go(tx, &uri, 0)).unwrap();
        assert_eq!(overdue(Millis(NOW.0 + 1)), []);
    }

    fn a_followed_group_is_taken_up_moved_on_and_lost_as_those_of_our_own_rooms_are(db) {
        let store = db.open();
        let group = GroupUri::parse("mimi://a.example/g/away").unwrap();
        let uri = room("away");
        let follow = |epoch| {
            let (uri, group) = (uri.clone(), group.clone());
            store.write("x", move |tx| rooms::follow(tx, &uri, &group, &state(epoch), &user("bob"), NOW)).unwrap();
            store.read(|conn| rooms::head(conn, &room("away"))).unwrap().unwrap()
        };
        let head = follow(3);
        assert_eq!((head.status, head.seen()), (RoomStatus::Followed, Seen { epoch: 3, version: 0 }));
        assert_eq!(store.read(|conn| rooms::list(conn, None, 10)).unwrap(), []);
        let (moved, seen) = (uri.clone(), head.seen());
        store.write("x", move |tx| rooms::advance_epoch(tx, &moved, seen, &state(4), NOW)).unwrap();
        let muted = uri.clone();
        store.write("x", move |tx| impose(tx, &Place::from(&muted), &Restriction::Mute(user("eve")), &Grounds::default(), NOW)).unwrap();
        let (stale, lost) = (uri.clone(), uri.clone());
        let refused = store.write("x", move |tx| rooms::lose(tx, &stale, Seen { epoch: 4, version: 1 }));
        assert!(matches!(refused, Err(StoreError::EpochMoved { epoch: 4, version: 2 })));
        store.write("x", move |tx| rooms::lose(tx, &lost, Seen { epoch: 4, version: 2 })).unwrap();
        store.read(|conn| {
            assert_eq!(rooms::head(conn, &uri)?.unwrap().status, RoomStatus::Lost);
            assert_eq!(rooms::load(conn, &uri)?, None);
            assert_eq!(rooms::states(conn, &uri)?.len() + proposals::pending(conn, &uri, 4)?.len(), 0);
            Ok::<_, StoreError>(())
        }).unwrap();
        let again = follow(9);
        assert_eq!(again.seen(), Seen { epoch: 9, version: 4 });
        assert_eq!(store.read(|conn| rooms::load(conn, &uri)).unwrap().unwrap().snapshot, state(9).snapshot);
    }
}
