use std::time::Duration;

use portcullis_core::time::Millis;
use portcullis_store::devices::{
    device_user, devices_of, forget_device, forget_user, lost, register_device, register_user, see, take_for_lost,
    unseen, user_exists, watch, watched,
};
use portcullis_store::key_packages::{self, Candidate, StoredKeyPackage};
use portcullis_store::profiles::{self, Profile};
use portcullis_store::streams::{self, StreamItem};
use portcullis_store::{Conn, Store, StoreError, follower, purge};

use crate::harness::*;

fn register(store: &Store, name: &'static str, devices: &'static [&'static str]) {
    store
        .write("x", move |tx| {
            register_user(tx, &user(name), NOW)?;
            devices.iter().try_for_each(|of| register_device(tx, &device(name, of), &user(name), NOW))
        })
        .unwrap();
}

fn package(reference: u8, of: &str, not_after: Millis) -> StoredKeyPackage {
    StoredKeyPackage {
        reference: vec![reference; 32],
        client: device("bob", of),
        user: user("bob"),
        suite: 2,
        not_after,
        key_package: vec![reference, 0, 1],
    }
}

fn add(store: &Store, package: StoredKeyPackage, at: u64) -> Result<(), StoreError> {
    store.write("x", move |tx| key_packages::add(tx, &package, Millis(at)))
}

on_both! {
    fn a_device_belongs_to_one_user(db) {
        let store = db.open();
        register(&store, "bob", &["phone", "tablet"]);
        register(&store, "bob", &["phone"]);
        register(&store, "eve", &[]);
        let stolen = store.write("x", |tx| register_device(tx, &device("bob", "phone"), &user("eve"), NOW));
        assert!(matches!(stolen, Err(StoreError::Exists)));
        let nobody = store.write("x", |tx| register_device(tx, &device("zoe", "phone"), &user("zoe"), NOW));
        assert!(matches!(nobody, Err(StoreError::Missing)));
        store.read(|conn| {
            assert_eq!(devices_of(conn, &user("bob"))?, [device("bob", "phone"), device("bob", "tablet")]);
            assert_eq!(device_user(conn, &device("bob", "phone"))?, Some(user("bob")));
            assert_eq!(device_user(conn, &device("zoe", "phone"))?, None);
            Ok::<_, StoreError>(())
        }).unwrap();
    }

    fn of_a_device_that_is_forgotten_and_of_a_user_nothing_is_left_but_streams(db) {
        let store = db.open();
        register(&store, "bob", &["phone", "tablet"]);
        add(&store, package(1, "phone", later()), 0).unwrap();
        add(&store, package(2, "tablet", later()), 0).unwrap();
        let away = room("away");
        store.write("x", move |tx| {
            ["phone", "tablet"].iter().try_for_each(|of| follower::join(tx, &away, &device("bob", of), NOW))
        }).unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        let forget = || store.write("x", |tx| forget_device(tx, &device("bob", "phone")));
        forget().unwrap();
        assert!(matches!(forget(), Err(StoreError::Missing)));
        let left = || store.read(|conn| {
            let packages = [1, 2].map(|reference| key_packages::exists(conn, &[reference; 32]));
            let followed: Vec<_> = follower::devices(conn, &room("away"))?.into_keys().collect();
            Ok::<_, StoreError>((devices_of(conn, &user("bob"))?, packages.map(Result::unwrap), followed))
        }).unwrap();
        let tablet = device("bob", "tablet");
        assert_eq!(left(), (vec![tablet.clone()], [false, true], vec![tablet]));
        let profile = Profile { hidden: false, fields: Vec::new() };
        store.write("x", move |tx| profiles::put(tx, &user("bob"), &profile, NOW)).unwrap();
        store.write("x", |tx| forget_user(tx, &user("bob"))).unwrap();
        assert_eq!(left(), (Vec::new(), [false, false], Vec::new()));
        assert!(!store.read(|conn| user_exists(conn, &user("bob"))).unwrap());
        register(&store, "bob", &["phone"]);
    }

    fn devices_are_watched_since_the_last_break_and_unknown_ones_are_there_from_then_on(db) {
        const BREAK: Duration = Duration::from_secs(60);
        let store = db.open();
        register(&store, "bob", &["phone", "tablet"]);
        assert_eq!(store.read(watched).unwrap(), None);
        let watch = |at: u64| store.write("x", move |tx| watch(tx, BREAK, Millis(at))).unwrap();
        let start = NOW.0;
        assert_eq!([watch(start), watch(start + 60_000), watch(start + 120_000)], [Millis(start); 3]);
        assert_eq!(store.read(watched).unwrap(), Some((Millis(start + 120_000), Millis(start))));
        let resumed = Millis(start + 180_001);
        assert_eq!([watch(resumed.0), watch(resumed.0 + 1)], [resumed; 2]);
        // A clock that was wrong for a while.
        let wrong = Millis(start * 2);
        assert_eq!((watch(wrong.0), watch(resumed.0)), (wrong, resumed));
        db.sql("UPDATE devices SET seen_at = 0 WHERE client LIKE '%tablet'");
        watch(resumed.0 + 7);
        let unseen = |before| store.read(|conn| unseen(conn, Millis(before), 10)).unwrap();
        assert_eq!(unseen(resumed.0 + 7), [device("bob", "phone")]);
        assert_eq!(unseen(resumed.0 + 8), [device("bob", "phone"), device("bob", "tablet")]);
    }

    fn who_is_taken_for_lost_has_nothing_to_be_claimed_until_it_is_there_again(db) {
        let store = db.open();
        register(&store, "bob", &["phone", "tablet"]);
        add(&store, package(1, "phone", later()), 0).unwrap();
        let both = [device("bob", "phone"), device("bob", "tablet")];
        let lost = || store.read(|conn| lost(conn, &both)).unwrap();
        let free = || store.read(|conn| {
            key_packages::candidates(conn, &user("bob"), &device("bob", "phone"), NOW, None, 9)
        }).unwrap().len();
        let take = |before: u64| store.write("x", move |tx| take_for_lost(tx, &device("bob", "phone"), Millis(before))).unwrap();
        assert!(!take(NOW.0));
        assert_eq!((free(), lost().len()), (1, 0));
        assert!(take(NOW.0 + 1));
        assert_eq!((free(), lost()), (0, [device("bob", "phone")].into()));
        store.write("x", |tx| see(tx, &device("bob", "phone"), NOW)).unwrap();
        assert_eq!((free(), lost().len()), (1, 0));
    }

    fn a_key_package_is_claimed_once_whoever_asks_at_the_same_time(db) {
        let stores = [db.open(), db.open(), db.open()];
        register(&stores[0], "bob", &["phone"]);
        for reference in 0..5 {
            add(&stores[0], package(reference, "phone", later()), 0).unwrap();
        }
        let claimed: usize = std::thread::scope(|scope| {
            let claimants: Vec<_> = (0..9_u8).map(|claimant| {
                let store = &stores[usize::from(claimant) % 3];
                scope.spawn(move || (0..5).filter(|reference| {
                    let reference = vec![*reference; 32];
                    store.write(&format!("key{claimant}"), move |tx| {
                        key_packages::claim(tx, &reference, &[claimant; 32])
                    }).unwrap()
                }).count())
            }).collect();
            claimants.into_iter().map(|claimant| claimant.join().unwrap()).sum()
        });
        assert_eq!(claimed, 5);
        assert_eq!(stores[0].read(|conn| key_packages::count(conn, &device("bob", "phone"), NOW)).unwrap(), 0);
    }

    fn candidates_are_free_valid_the_user_s_own_and_come_from_the_oldest_on(db) {
        let store = db.open();
        register(&store, "bob", &["phone", "tablet"]);
        for (reference, of, not_after, at) in [
            (1, "tablet", later(), 10),
            (2, "phone", later(), 30),
            (3, "phone", later(), 20),
            (4, "phone", NOW, 5),
            (5, "phone", later(), 1),
        ] {
            add(&store, package(reference, of, not_after), at).unwrap();
        }
        assert!(matches!(add(&store, package(5, "phone", later()), 50), Err(StoreError::Exists)));
        store.write("x", |tx| key_packages::claim(tx, &[5; 32], &[0; 32])).unwrap();
        let theirs = StoredKeyPackage { user: user("eve"), ..package(6, "phone", later()) };
        add(&store, theirs, 2).unwrap();
        add(&store, package(7, "phone", later()), 30).unwrap();
        let page = |last: Option<&Candidate>, limit| {
            let device = device("bob", "phone");
            let read = |conn: &mut Conn| key_packages::candidates(conn, &user("bob"), &device, NOW, last, limit);
            store.read(read).unwrap()
        };
        let found = page(None, 10);
        assert_eq!(found.iter().map(|found| found.package.reference[0]).collect::<Vec<_>>(), [3, 2, 7]);
        assert_eq!(found[0].package, package(3, "phone", later()));
        assert_eq!((page(None, 2), page(Some(&found[1]), 2)), (found[..2].to_vec(), found[2..].to_vec()));
        assert!(page(found.last(), 2).is_empty());
        assert_eq!(store.read(|conn| key_packages::count(conn, &device("bob", "phone"), NOW)).unwrap(), 4);
        let expire = |before: Millis, claimed| store.write("x", move |tx| key_packages::expire(tx, before, claimed, 10));
        assert_eq!(expire(later(), later()).unwrap(), 1);
        let after = Millis(later().0 + 1);
        assert_eq!(expire(after, later()).unwrap(), 5, "a Welcome for the claimed one may be under way");
        assert_eq!(store.read(|conn| key_packages::owners(conn, &[vec![5; 32]])).unwrap(), [device("bob", "phone")]);
        assert_eq!(expire(after, after).unwrap(), 1);
    }

    fn what_only_devices_were_to_get_that_are_gone_is_purged_after_its_time_and_nothing_else(db) {
        let store = db.open();
        register(&store, "bob", &["phone", "tablet"]);
        let item = |kind: &str| StreamItem { room: None, kind: kind.to_owned(), payload: vec![1], at: NOW };
        store.write("x", move |tx| {
            streams::push(tx, &[device("bob", "phone")], &item("for one"))?;
            streams::push(tx, &[device("bob", "phone"), device("bob", "tablet")], &item("for both"))
        }).unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        let purge = |before, most| store.write("upkeep", move |tx| purge::payloads(tx, before, most));
        let purge = |before, most| purge(before, most).unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        let later = NOW.plus(Duration::from_millis(1));
        assert_eq!(purge(later, 9), 0, "it is owed");
        store.write("x", |tx| forget_device(tx, &device("bob", "phone"))).unwrap();
        assert_eq!((purge(NOW, 9), purge(later, 9), purge(later, 9)), (0, 1, 0));
        store.write("x", |tx| forget_device(tx, &device("bob", "tablet"))).unwrap();
        assert_eq!((purge(later, 9), purge(later, 9)), (1, 0));
    }
}

fn later() -> Millis {
    Millis(NOW.0 + 1_000_000)
}
