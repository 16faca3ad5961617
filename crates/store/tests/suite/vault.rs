use std::sync::Arc;

use portcullis_core::time::Millis;
use portcullis_store::vault::{self, KEY_BYTES, Purpose, Unwrapped, Wrapping};
use portcullis_store::{Options, Store, StoreError, Tx, events, rooms};

use crate::harness::*;

/// Wraps by adding a number to each octet: it is the store that is tried here.
struct Shift(u8);

impl Wrapping for Shift {
    fn wrap(&self, id: &[u8], key: &[u8; KEY_BYTES]) -> Result<Vec<u8>, Unwrapped> {
        let shifted = key.iter().map(|octet| octet.wrapping_add(self.0));
        Ok([self.0].into_iter().chain(id.iter().copied()).chain(shifted).collect())
    }

    fn unwrap(&self, id: &[u8], wrapped: &[u8]) -> Result<[u8; KEY_BYTES], Unwrapped> {
        let (by, rest) = wrapped.split_first().ok_or(Unwrapped)?;
        // One knows those before it.
        let key = rest.strip_prefix(id).filter(|_| *by <= self.0).ok_or(Unwrapped)?;
        let key: Vec<u8> = key.iter().map(|octet| octet.wrapping_sub(*by)).collect();
        key.try_into().map_err(|_| Unwrapped)
    }
}

fn open(url: &str, wrapping: Option<u8>) -> Store {
    let wrapping = wrapping.map(|by| Arc::new(Shift(by)) as Arc<dyn Wrapping>);
    Store::open(url, &Options { wrapping, ..Options::default() }).unwrap()
}

fn begin(store: &Store, at: u64) {
    let begun =
        move |tx: &mut Tx<'_>| Purpose::ALL.into_iter().try_for_each(|of| vault::begin(tx, of, Millis(at)).map(drop));
    store.write("keys", begun).unwrap_or_else(|error: StoreError| panic!("{error:?}"));
    for purpose in Purpose::ALL {
        assert!(store.read(|conn| vault::current(conn, purpose)).unwrap().is_some());
    }
}

fn append(store: &Store, name: &str, text: &str) {
    let (of, event) = (room(name), event(text.as_bytes()));
    let appended = store.write(name, move |tx: &mut Tx<'_>| events::append(tx, &of, &event).map(drop));
    appended.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
}

fn said(store: &Store, name: &str) -> Result<Vec<String>, StoreError> {
    let events = store.read(|conn| events::range(conn, &room(name), 1, 100))?;
    Ok(events.into_iter().map(|event| String::from_utf8(event.event.fanout).unwrap()).collect())
}

on_both! {
    fn what_is_sealed_is_read_by_who_has_the_key_and_by_nobody_else(db) {
        let store = open(&db.url, Some(1));
        begin(&store, 10);
        active_room(&store, "one");
        append(&store, "one", "a secret");
        assert_eq!(said(&store, "one").unwrap(), ["a secret"]);
        let kept = store.read(|conn| rooms::load(conn, &room("one"))).unwrap().unwrap();
        assert_eq!(store.read(|conn| rooms::states(conn, &room("one"))).unwrap()[0].snapshot, kept.snapshot);
        // Without the keys there is nothing to read.
        assert!(matches!(said(&open(&db.url, None), "one"), Err(StoreError::Sealed)));
        assert!(matches!(said(&open(&db.url, Some(0)), "one"), Err(StoreError::Sealed)));
    }

    fn another_replica_reads_what_was_sealed_under_a_key_that_it_has_not_seen_and_takes_it(db) {
        let (store, other) = (open(&db.url, Some(1)), open(&db.url, Some(1)));
        begin(&store, 10);
        active_room(&store, "one");
        append(&store, "one", "first");
        assert_eq!(said(&other, "one").unwrap(), ["first"]);
        begin(&store, 20);
        append(&store, "one", "second");
        assert_eq!(said(&other, "one").unwrap(), ["first", "second"]);
        // Of two that begin at once, one is everybody's.
        let again: Result<bool, StoreError> =
            other.write("keys", |tx: &mut Tx<'_>| vault::begin(tx, Purpose::Events, Millis(20)));
        assert!(!again.unwrap());
        let last = other.read(|conn| vault::current(conn, Purpose::Events)).unwrap();
        assert_eq!(last, Some(Millis(20)));
    }

    fn what_was_written_before_there_were_keys_is_read_and_nothing_is_written_while_there_is_none(db) {
        let plain = open(&db.url, None);
        active_room(&plain, "one");
        append(&plain, "one", "\0in the clear");
        let store = open(&db.url, Some(1));
        assert_eq!(said(&store, "one").unwrap(), ["\0in the clear"]);
        let (of, event) = (room("one"), event(b"never"));
        let written = store.write("one", move |tx: &mut Tx<'_>| events::append(tx, &of, &event).map(drop));
        assert!(matches!(written, Err(StoreError::Sealed)), "{written:?}");
        begin(&store, 10);
        append(&store, "one", "sealed");
        assert_eq!(said(&store, "one").unwrap(), ["\0in the clear", "sealed"]);
    }

    fn data_keys_are_wrapped_anew_and_open_the_same(db) {
        let store = open(&db.url, Some(1));
        begin(&store, 10);
        active_room(&store, "one");
        append(&store, "one", "stays");
        let newer = open(&db.url, Some(2));
        assert_eq!(newer.write("keys", vault::rewrap).unwrap(), Purpose::ALL.len());
        let wrapped = newer.read(vault::all).unwrap();
        assert!(wrapped.iter().all(|key| key.wrapped.first() == Some(&2)));
        assert_eq!(said(&open(&db.url, Some(2)), "one").unwrap(), ["stays"]);
        assert!(matches!(said(&open(&db.url, Some(1)), "one"), Err(StoreError::Sealed)));
    }

    fn a_row_opens_in_its_own_place_only(db) {
        let store = open(&db.url, Some(1));
        begin(&store, 10);
        for name in ["one", "two"] {
            active_room(&store, name);
            append(&store, name, name);
        }
        // Whoever can write to the database swaps two rows.
        db.sql("UPDATE events SET fanout = (SELECT fanout FROM events WHERE room LIKE '%two') WHERE room LIKE '%one'");
        assert!(matches!(said(&store, "one"), Err(StoreError::Corrupt("sealed"))));
        assert_eq!(said(&store, "two").unwrap(), ["two"]);
    }
}
