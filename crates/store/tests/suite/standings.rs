use std::time::Duration;

use portcullis_core::time::Millis;
use portcullis_store::outbox;
use portcullis_store::standings::{self, Decided, Standing};
use portcullis_store::{Store, StoreError, Topic, events, overview};
use uuid::Uuid;

use crate::harness::*;

const TTL: Duration = Duration::from_secs(30);

fn decided(standing: Standing, at: Millis) -> Decided {
    let (by, reason) = ("operator:ops".to_owned(), "CASE-7".to_owned());
    Decided { domain: domain("b"), standing, by, at, reason, decision: Uuid::now_v7() }
}

fn decide(store: &Store, decided: &Decided) {
    let decided = decided.clone();
    store
        .write("admin", move |tx| standings::decide(tx, &decided))
        .unwrap_or_else(|error: StoreError| panic!("{error:?}"));
}

fn leased(store: &Store, now: Millis) -> Option<outbox::Batch> {
    store
        .write("outbox", move |tx| outbox::lease(tx, now, "sender", TTL, &[]))
        .unwrap_or_else(|error: StoreError| panic!("{error:?}"))
}

fn owe(store: &Store, peer: &str) {
    let (room, _) = active_room(store, peer);
    let (peer, event) = (domain(peer), event(b"one "));
    let owe = move |tx: &mut portcullis_store::Tx<'_>| {
        let seq = events::append(tx, &room, &event)?;
        outbox::enqueue(tx, &room, &peer, &domain("a"), seq)
    };
    store.write("rooms", owe).unwrap_or_else(|error: StoreError| panic!("{error:?}"));
}

on_both! {
    fn the_last_word_on_a_provider_stands(db) {
        let store = db.open();
        let peers = store.changes(Topic::Peers);
        assert_eq!(store.read(standings::all).unwrap(), []);
        let (first, last) = (decided(Standing::Blocked, NOW), decided(Standing::Suspended, Millis(NOW.0 + 1)));
        decide(&store, &first);
        assert_eq!(store.read(standings::all).unwrap(), [first]);
        decide(&store, &last);
        assert_eq!(store.read(standings::all).unwrap(), [last]);
        assert!(peers.has_changed().unwrap());
    }

    fn what_a_blocked_provider_is_owed_waits_and_holds_nobody_else_up(db) {
        let store = db.open();
        owe(&store, "b");
        owe(&store, "c");
        decide(&store, &decided(Standing::Blocked, NOW));
        assert_eq!(leased(&store, NOW).unwrap().peer, domain("c"));
        assert_eq!(leased(&store, NOW), None);
        let waiting = store.read(|conn| outbox::find(conn, &room("b"), &domain("b"))).unwrap().unwrap();
        assert_eq!((waiting.tail - waiting.head, waiting.attempts), (1, 0));
        decide(&store, &decided(Standing::Allowed, NOW));
        assert_eq!(leased(&store, NOW).unwrap().body, b"one ");
    }

    fn a_lane_that_was_postponed_before_a_block_is_due_at_once_after_it(db) {
        let store = db.open();
        owe(&store, "b");
        let batch = leased(&store, NOW).unwrap();
        let late = NOW.plus(Duration::from_secs(3600));
        let postponed = batch.clone();
        store.write("outbox", move |tx| outbox::postpone(tx, &postponed, late, "timed out")).unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        decide(&store, &decided(Standing::Blocked, NOW));
        assert_eq!(leased(&store, late), None);
        let end = NOW.plus(Duration::from_secs(60));
        decide(&store, &decided(Standing::Suspended, end));
        let again = leased(&store, end).unwrap();
        assert_eq!((again.body, again.attempts, again.first_tried), (batch.body, 0, end));
    }

    fn lanes_come_in_pages_and_the_overview_counts_them(db) {
        let store = db.open();
        for peer in ["b", "c", "d"] {
            owe(&store, peer);
        }
        let parked = leased(&store, NOW).unwrap();
        let peer = parked.peer.clone();
        store.write("outbox", move |tx| outbox::park(tx, &parked, 404, "no such room")).unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        let page = |wanted: outbox::Wanted, limit| store.read(|conn| outbox::page(conn, &wanted, limit)).unwrap();
        let first = page(outbox::Wanted::default(), 2);
        let after = first.last().map(|last| (last.room.clone(), last.peer.clone()));
        let second = page(outbox::Wanted { after, ..outbox::Wanted::default() }, 2);
        let peers: Vec<_> = first.iter().chain(&second).map(|lane| lane.peer.clone()).collect();
        assert_eq!(peers, [domain("b"), domain("c"), domain("d")]);
        let wanted = outbox::Wanted { status: Some(outbox::LaneStatus::Parked), ..outbox::Wanted::default() };
        assert_eq!(page(wanted, 9).into_iter().map(|lane| lane.peer).collect::<Vec<_>>(), [peer]);
        let all = store.read(overview::overview).unwrap();
        assert_eq!((all.rooms, all.lanes_owing, all.lanes_parked, all.backlog), (3, 3, 1, 3));
    }
}
