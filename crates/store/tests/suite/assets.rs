use portcullis_store::{Store, StoreError, asset_hosts, ohttp_keys, rooms, ties};

use crate::harness::*;

fn providers(store: &Store, host: &str) -> Vec<String> {
    let found = store.read(|conn| asset_hosts::providers(conn, &domain(host)));
    let found = found.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
    found.into_iter().map(String::from).collect()
}

fn names(store: &Store, room: &str, hosts: &[(&str, &str)]) {
    let (uri, hosts) = (self::room(room), hosts.iter().map(|(of, at)| (domain(of), domain(at))).collect());
    let written = store.write("x", move |tx| asset_hosts::replace(tx, &uri, &hosts));
    written.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
}

on_both! {
    fn a_host_is_named_as_long_as_any_room_names_it(db) {
        let store = db.open();
        let (club, attic) = (active_room(&store, "club").0, active_room(&store, "attic"));
        names(&store, "club", &[("a", "files"), ("b", "files"), ("b", "media")]);
        names(&store, "attic", &[("b", "files"), ("b", "attic")]);
        assert_eq!(providers(&store, "files"), ["a.example", "b.example"]);
        assert_eq!(providers(&store, "elsewhere"), [""; 0]);
        names(&store, "club", &[("b", "media")]);
        assert_eq!((providers(&store, "files"), providers(&store, "media")), (vec!["b.example".to_owned()], vec!["b.example".to_owned()]));
        let (uri, _) = attic;
        let seen = store.read(|conn| rooms::head(conn, &uri)).unwrap_or_else(|error: StoreError| panic!("{error:?}")).unwrap().seen();
        let destroyed = store.write("x", move |tx| ties::destroy(tx, &uri, seen, NOW));
        destroyed.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert_eq!((providers(&store, "files"), providers(&store, "attic")), (vec![], vec![]), "{club}");
    }

    fn a_period_has_one_key_and_those_long_before_are_forgotten(db) {
        let store = db.open();
        let instead = |period: u64, key: u8, former: Option<u8>| {
            let former = former.map(|key| vec![key]);
            let begun = store.write("x", move |tx| {
                ohttp_keys::begin(tx, period, &[key], former.as_deref(), period.saturating_sub(1))
            });
            begun.unwrap_or_else(|error: StoreError| panic!("{error:?}"))
        };
        let begin = |period, key| instead(period, key, None);
        let find = |period| store.read(|conn| ohttp_keys::find(conn, period)).unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert!(begin(7, 1) && !begin(7, 2) && begin(8, 3));
        assert_eq!((find(7), find(8)), (Some(vec![1]), Some(vec![3])));
        assert!(!instead(8, 5, Some(4)) && instead(8, 6, Some(3)));
        assert!(begin(9, 4));
        assert_eq!((find(7), find(8), find(9)), (None, Some(vec![6]), Some(vec![4])));
        let resealed = store.write("x", |tx| ohttp_keys::seal(tx, 8, &[60]));
        resealed.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        let all = || store.read(ohttp_keys::all).unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert_eq!(all(), [(8, vec![60]), (9, vec![4])]);
        let expire = |oldest, most| store.write("x", move |tx| ohttp_keys::expire(tx, oldest, most));
        let expire = |oldest, most| expire(oldest, most).unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert_eq!((expire(8, 9), expire(20, 1), all()), (0, 1, vec![(9, vec![4])]), "nobody begins one any more");
    }
}
