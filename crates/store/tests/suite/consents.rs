use std::time::Duration;

use portcullis_core::consent::{Decided, Standing, Verdict};
use portcullis_core::time::Millis;
use portcullis_core::wire::components::Dictionary;
use portcullis_core::wire::consent::{ConsentEntry, ConsentOperation};
use portcullis_core::wire::uri::UserUri;
use portcullis_store::consents::{self, Consent, Letter, Scope, Visibility};
use portcullis_store::standings::{self, Decided as DecidedPeer, Standing as PeerStanding};
use portcullis_store::{Store, StoreError};
use uuid::Uuid;

use crate::harness::*;

const TTL: Duration = Duration::from_secs(90);

fn scope(of_room: Option<&str>) -> Scope {
    Scope { requester: user("alice"), target: user("bob"), room: of_room.map(room) }
}

fn request(store: &Store, of_room: Option<&'static str>, visibility: Visibility) -> bool {
    store.write("x", move |tx| consents::request(tx, &scope(of_room), visibility, NOW)).unwrap_or_else(fail)
}

fn cancel(store: &Store, of_room: Option<&'static str>) -> bool {
    store.write("x", move |tx| consents::cancel(tx, &scope(of_room))).unwrap_or_else(fail)
}

fn decide(store: &Store, of_room: Option<&'static str>, verdict: Verdict) -> bool {
    store
        .write("x", move |tx| consents::decide(tx, &scope(of_room), verdict, Visibility::Shown, NOW))
        .unwrap_or_else(fail)
}

fn fail<T>(error: StoreError) -> T {
    panic!("{error:?}")
}

fn decided(store: &Store) -> Vec<Decided> {
    store.read(|conn| consents::decided(conn, &user("alice"), &user("bob"))).unwrap_or_else(fail)
}

fn page(store: &Store, of: &UserUri) -> Vec<Consent> {
    store.read(|conn| consents::page(conn, of, 0, 10)).unwrap_or_else(fail)
}

/// Scope, whether a request stands, and the decision, as a user knows them.
fn known(store: &Store, of: &str) -> Vec<(Scope, bool, Option<Verdict>)> {
    let known = page(store, &user(of)).into_iter();
    known.map(|it| (it.scope, it.requested_at.is_some(), it.decided.map(|(verdict, _)| verdict))).collect()
}

fn entry(operation: ConsentOperation, of_room: Option<&str>) -> ConsentEntry {
    let Scope { requester, target, room } = scope(of_room);
    ConsentEntry { operation, requester, target, room, key_packages: Vec::new(), extensions: Dictionary::default() }
}

fn owe(store: &Store, peer: &'static str, key: &'static str, entry: ConsentEntry) {
    store.write("x", move |tx| consents::owe(tx, &domain(peer), key, &entry, NOW)).unwrap_or_else(fail);
}

fn lease(store: &Store, now: Millis) -> Option<Letter> {
    store.write("x", move |tx| consents::lease(tx, now, "one", TTL)).unwrap_or_else(fail)
}

/// Keys and states of all letters.
fn letters(store: &Store) -> Vec<(String, u64, bool)> {
    let waiting = store.read(|conn| consents::waiting(conn, None, 10)).unwrap_or_else(fail);
    waiting.into_iter().map(|it| (it.peer.to_string(), it.position, it.parked_at.is_some())).collect()
}

on_both! {
    fn a_request_stands_once_until_it_is_taken_back(db) {
        let store = db.open();
        assert!(request(&store, None, Visibility::Shown));
        assert!(!request(&store, None, Visibility::Shown), "it stands already");
        assert!(request(&store, Some("lounge"), Visibility::Shown));
        assert!(!cancel(&store, Some("attic")), "nothing was asked for there");
        assert!(cancel(&store, None));
        assert!(!cancel(&store, None));
        let left = vec![(scope(Some("lounge")), true, None)];
        assert_eq!(known(&store, "alice"), left);
        assert_eq!(known(&store, "bob"), left);
    }

    fn a_hidden_request_stands_for_its_requester_only(db) {
        let store = db.open();
        assert!(!request(&store, None, Visibility::Hidden));
        assert_eq!(known(&store, "alice"), [(scope(None), true, None)]);
        assert_eq!(known(&store, "bob"), []);
        assert_eq!(store.read(|conn| consents::requests(conn, &user("bob"))).unwrap_or_else(fail), 0);
        assert!(!cancel(&store, None));
        assert_eq!(known(&store, "alice"), []);
    }

    fn the_latest_decision_of_a_scope_stands_and_one_for_a_room_beside_the_one_for_all(db) {
        let store = db.open();
        assert!(!decide(&store, None, Verdict::Granted));
        assert!(!decide(&store, Some("lounge"), Verdict::Granted));
        assert!(decide(&store, Some("lounge"), Verdict::Revoked));
        assert!(!decide(&store, Some("lounge"), Verdict::Revoked));
        let decided = decided(&store);
        assert_eq!(Standing::of(&decided, None), Standing::Granted);
        assert_eq!(Standing::of(&decided, Some(&room("attic"))), Standing::Granted);
        assert_eq!(Standing::of(&decided, Some(&room("lounge"))), Standing::Revoked);
    }

    fn a_revocation_for_every_room_takes_older_grants_for_rooms_with_it_and_a_later_one_stands(db) {
        let store = db.open();
        decide(&store, Some("lounge"), Verdict::Granted);
        decide(&store, Some("attic"), Verdict::Revoked);
        assert!(decide(&store, None, Verdict::Revoked), "a grant stood");
        let at = |name| Standing::of(&decided(&store), Some(&room(name)));
        assert_eq!([at("lounge"), at("attic"), at("cellar")], [Standing::Revoked; 3]);
        decide(&store, Some("lounge"), Verdict::Granted);
        assert_eq!([at("lounge"), at("attic"), at("cellar")], [Standing::Granted, Standing::Revoked, Standing::Revoked]);
    }

    fn a_refusal_of_a_request_is_not_told_and_the_end_of_a_grant_is(db) {
        let store = db.open();
        request(&store, None, Visibility::Shown);
        assert!(!decide(&store, None, Verdict::Revoked));
        assert_eq!(known(&store, "alice"), [(scope(None), true, None)], "as if nobody had seen it");
        assert_eq!(known(&store, "bob"), [(scope(None), false, Some(Verdict::Revoked))]);
        assert!(!request(&store, None, Visibility::Shown), "it stands already");
        decide(&store, None, Verdict::Granted);
        assert_eq!(known(&store, "alice"), [(scope(None), false, Some(Verdict::Granted))]);
        assert!(decide(&store, None, Verdict::Revoked));
        assert_eq!(known(&store, "alice"), [(scope(None), false, Some(Verdict::Revoked))]);
    }

    fn a_decision_for_every_room_answers_the_requests_for_single_ones(db) {
        let store = db.open();
        request(&store, Some("lounge"), Visibility::Shown);
        decide(&store, None, Verdict::Granted);
        let granted = vec![(scope(None), false, Some(Verdict::Granted))];
        assert_eq!(known(&store, "alice"), granted);
        assert_eq!(known(&store, "bob"), granted);
    }

    fn letters_of_a_lane_are_told_in_their_order_one_at_a_time(db) {
        let store = db.open();
        owe(&store, "b", "one", entry(ConsentOperation::Request, None));
        owe(&store, "b", "two", entry(ConsentOperation::Cancel, None));
        owe(&store, "c", "three", entry(ConsentOperation::Request, None));
        let mut leased = [lease(&store, NOW).unwrap(), lease(&store, NOW).unwrap()];
        assert_eq!(lease(&store, NOW), None, "each lane has one under way");
        leased.sort_by_key(|letter| letter.peer.clone());
        let [of_b, of_c] = leased;
        assert_eq!((of_b.idempotency_key.as_str(), of_c.idempotency_key.as_str()), ("one", "three"));
        let later = NOW.plus(Duration::from_secs(2));
        let postponed = of_b.clone();
        store.write("x", move |tx| consents::postpone(tx, &postponed, later, "away")).unwrap_or_else(fail);
        assert_eq!(lease(&store, NOW), None);
        assert_eq!(store.read(consents::next_due).unwrap_or_else(fail), Some(later));
        let again = lease(&store, later).unwrap();
        assert_eq!((again.idempotency_key.as_str(), again.attempts, again.first_tried), ("one", 1, NOW));
        let gone = of_b.clone();
        let lost = store.write("x", move |tx| consents::delivered(tx, &gone));
        assert!(matches!(lost, Err(StoreError::LeaseLost)));
        store.write("x", move |tx| consents::delivered(tx, &again)).unwrap_or_else(fail);
        assert_eq!(lease(&store, later).map(|letter| letter.idempotency_key), Some("two".to_owned()));
    }

    fn a_letter_that_is_refused_is_parked_and_the_lane_goes_on_until_somebody_tries_it_again(db) {
        let store = db.open();
        owe(&store, "b", "one", entry(ConsentOperation::Request, Some("lounge")));
        owe(&store, "b", "two", entry(ConsentOperation::Request, None));
        let first = lease(&store, NOW).unwrap();
        store.write("x", move |tx| consents::park(tx, &first, 404, "no such user", NOW)).unwrap_or_else(fail);
        assert_eq!(letters(&store), [("b.example".to_owned(), 1, true), ("b.example".to_owned(), 2, false)]);
        let second = lease(&store, NOW).unwrap();
        assert_eq!(second.idempotency_key, "two");
        store.write("x", move |tx| consents::delivered(tx, &second)).unwrap_or_else(fail);
        assert_eq!(lease(&store, NOW), None);
        assert_eq!(store.write("x", |tx| consents::retry(tx, &domain("b"), NOW)).unwrap_or_else(fail), 1);
        assert_eq!(lease(&store, NOW).map(|letter| letter.idempotency_key), Some("one".to_owned()));
        let never = store.write("x", |tx| consents::retry(tx, &domain("c"), NOW));
        assert!(matches!(never, Err(StoreError::Missing)));
    }

    fn a_parked_letter_is_never_told_after_one_that_overtook_it(db) {
        let store = db.open();
        owe(&store, "b", "one", entry(ConsentOperation::Grant, Some("lounge")));
        owe(&store, "b", "two", entry(ConsentOperation::Grant, Some("attic")));
        for _ in 0..2 {
            let letter = lease(&store, NOW).unwrap();
            store.write("x", move |tx| consents::park(tx, &letter, 403, "", NOW)).unwrap_or_else(fail);
        }
        owe(&store, "b", "three", entry(ConsentOperation::Revoke, Some("lounge")));
        let at_b = |position, parked| ("b.example".to_owned(), position, parked);
        assert_eq!(letters(&store), [at_b(2, true), at_b(3, false)]);
        owe(&store, "b", "four", entry(ConsentOperation::Revoke, None));
        assert_eq!(letters(&store), [at_b(3, false), at_b(4, false)]);
    }

    fn parked_letters_are_given_up_by_people_or_after_their_time(db) {
        let store = db.open();
        for key in ["one", "two"] {
            owe(&store, "b", key, entry(ConsentOperation::Request, if key == "one" { None } else { Some("lounge") }));
            let letter = lease(&store, NOW).unwrap();
            store.write("x", move |tx| consents::park(tx, &letter, 404, "", NOW)).unwrap_or_else(fail);
        }
        assert_eq!(store.write("x", |tx| consents::expire(tx, NOW.minus(TTL), 10)).unwrap_or_else(fail), 0);
        assert_eq!(store.write("x", |tx| consents::expire(tx, NOW, 1)).unwrap_or_else(fail), 1);
        assert_eq!(store.write("x", |tx| consents::drop_parked(tx, &domain("b"))).unwrap_or_else(fail), 1);
        assert_eq!(letters(&store), []);
        let none = store.write("x", |tx| consents::drop_parked(tx, &domain("b")));
        assert!(matches!(none, Err(StoreError::Missing)));
    }

    fn a_blocked_provider_is_told_nothing_until_it_is_allowed_again(db) {
        let store = db.open();
        let stand = |standing| {
            let (by, reason) = ("operator:ops".to_owned(), "CASE-7".to_owned());
            let decided = DecidedPeer { domain: domain("b"), standing, by, at: NOW, reason, decision: Uuid::nil() };
            store.write("x", move |tx| standings::decide(tx, &decided)).unwrap_or_else(fail);
        };
        stand(PeerStanding::Blocked);
        owe(&store, "b", "one", entry(ConsentOperation::Request, None));
        assert_eq!((lease(&store, NOW), store.read(consents::next_due).unwrap_or_else(fail)), (None, None));
        stand(PeerStanding::Allowed);
        assert!(lease(&store, NOW).is_some());
    }

    fn a_letter_that_cannot_be_read_holds_up_no_other(db) {
        let store = db.open();
        let mut unreadable = entry(ConsentOperation::Request, None);
        unreadable.extensions.insert(portcullis_core::wire::components::ComponentId(0x8001), vec![0; 3]);
        owe(&store, "b", "one", unreadable);
        owe(&store, "b", "two", entry(ConsentOperation::Cancel, None));
        db.sql("UPDATE consent_letters SET entry = substr(entry, 1, 3) WHERE position = 1");
        assert_eq!(lease(&store, NOW), None);
        assert_eq!(lease(&store, NOW).map(|letter| letter.idempotency_key), Some("two".to_owned()));
    }
}
