use portcullis_core::time::Millis;
use portcullis_store::hub_keys::{self, Around, StoredHubKey};
use portcullis_store::{Store, StoreError};

use crate::harness::*;

fn key(of: &str, starts_at: u64, octet: u8) -> StoredHubKey {
    StoredHubKey { domain: domain(of), starts_at: Millis(starts_at), sealed: vec![octet; 4] }
}

fn begin(store: &Store, key: &StoredHubKey) -> bool {
    let key = key.clone();
    store.write("hub keys", move |tx| hub_keys::begin(tx, &key)).unwrap_or_else(|error: StoreError| panic!("{error:?}"))
}

fn around(store: &Store, at: u64) -> (Option<u8>, Vec<u8>) {
    let Around { own, neighbours } = store.read(|conn| hub_keys::around(conn, &domain("a"), Millis(at))).unwrap();
    (own.map(|key| key.sealed[0]), neighbours.iter().map(|key| key.sealed[0]).collect())
}

on_both! {
    fn a_key_is_found_by_the_time_it_was_used_at_with_those_before_and_after_it(db) {
        let store = db.open();
        for (starts_at, octet) in [(100, 1), (200, 2), (300, 3), (400, 4)] {
            assert!(begin(&store, &key("a", starts_at, octet)));
        }
        assert!(begin(&store, &key("b", 250, 9)));
        assert_eq!(around(&store, 99), (None, vec![1]));
        assert_eq!(around(&store, 100), (Some(1), vec![2]));
        assert_eq!(around(&store, 299), (Some(2), vec![1, 3]));
        assert_eq!(around(&store, 5000), (Some(4), vec![3]));
        assert_eq!(around(&store, u64::MAX), (None, vec![]));
        assert_eq!(store.read(|conn| hub_keys::last(conn, &domain("a"))).unwrap(), Some(key("a", 400, 4)));
        assert_eq!(store.read(|conn| hub_keys::last(conn, &domain("c"))).unwrap(), None);
    }

    fn of_replicas_that_begin_a_period_at_once_one_gives_the_key(db) {
        let (one, other) = (db.open(), db.open());
        let begun: Vec<bool> = std::thread::scope(|scope| {
            let running = [(&one, 1), (&other, 2)]
                .map(|(store, octet)| scope.spawn(move || begin(store, &key("a", 100, octet))));
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(begun.iter().filter(|begun| **begun).count(), 1, "{begun:?}");
        let kept = one.read(hub_keys::all).unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept, other.read(hub_keys::all).unwrap());
    }

    fn a_key_is_forgotten_when_its_period_ended_long_ago_and_the_last_one_never(db) {
        let store = db.open();
        for (of, starts_at) in [("a", 100), ("a", 200), ("a", 300), ("b", 100)] {
            begin(&store, &key(of, starts_at, 1));
        }
        let expire = |before: u64| {
            store
                .write("upkeep", move |tx| hub_keys::expire(tx, Millis(before)))
                .unwrap_or_else(|error: StoreError| panic!("{error:?}"))
        };
        assert_eq!(expire(200), 0);
        assert_eq!(expire(201), 1);
        assert_eq!(expire(5000), 1);
        assert_eq!(store.read(hub_keys::all).unwrap(), [key("a", 300, 1), key("b", 100, 1)]);
    }
}
