//! Messages that share a transaction: what one of them comes to never depends on the others.

use portcullis_core::time::Millis;
use portcullis_core::wire::uri::RoomUri;
use portcullis_store::answers::{self, Recognised, StoredAnswer, scope};
use portcullis_store::rooms::Seen;
use portcullis_store::{Store, StoreError, Tx, events, outbox, rooms};

use crate::harness::*;

const LATER: Millis = Millis(NOW.0 + 1000);

/// A message to a room, as a hub accepts it. Gives its number.
struct Message {
    uri: RoomUri,
    seen: Seen,
    name: &'static str,
}

impl Message {
    fn accept(&self, tx: &mut Tx<'_>) -> Result<u64, StoreError> {
        let accepted = rooms::accept_message(tx, &self.uri, self.seen, NOW)?;
        let put = events::put(tx, &self.uri, accepted.seq, &event(self.name.as_bytes()))?;
        outbox::enqueue(tx, &self.uri, &domain("b"), &domain("a"), put)?;
        tx.stage(&record("decision.message"))?;
        let answer = StoredAnswer { status: 200, body: self.name.into(), decision: None };
        answers::store(tx, Recognised::ByBody, &scope(&[self.name.as_bytes()]), &answer, NOW, LATER)?;
        Ok(accepted.seq)
    }
}

/// Accepts the messages in one transaction, in this order.
fn together(store: &Store, messages: Vec<Message>) -> Vec<Result<u64, StoreError>> {
    let (release, first) = block(store, "x");
    let accepting: Vec<_> = messages
        .into_iter()
        .enumerate()
        .map(|(before, message)| {
            let of = store.clone();
            let accepting = std::thread::spawn(move || of.append("x", move |tx| message.accept(tx)));
            while store.waiting() < before + 2 {
                std::thread::yield_now();
            }
            accepting
        })
        .collect();
    drop(release);
    first.join().unwrap().unwrap();
    accepting.into_iter().map(|accepting| accepting.join().unwrap()).collect()
}

on_both! {
    fn a_message_that_is_refused_among_others_leaves_no_gap_and_no_trace(db) {
        let store = db.open();
        let (uri, seen) = active_room(&store, "one");
        let stale = Seen { version: seen.version + 1, ..seen };
        let message = |name, seen| Message { uri: uri.clone(), seen, name };
        let ended = together(&store, vec![
            message("first", seen), message("stale", stale), message("second", seen),
            message("second", seen), message("third", seen),
        ]);
        assert!(
            matches!(ended.as_slice(), [
                Ok(1), Err(StoreError::EpochMoved { .. }), Ok(2), Err(StoreError::AlreadyAnswered), Ok(3),
            ]),
            "{ended:?}"
        );
        // One that was answered in another transaction: each of this one is then tried alone.
        let ended = together(&store, vec![message("fourth", seen), message("first", seen), message("fifth", seen)]);
        assert!(matches!(ended.as_slice(), [Ok(4), Err(StoreError::AlreadyAnswered), Ok(5)]), "{ended:?}");

        let kept = store.read(|conn| events::range(conn, &uri, 0, 10)).unwrap();
        let names: Vec<_> = kept.iter().map(|event| (event.seq, event.event.fanout.clone())).collect();
        let expected = ["first", "second", "third", "fourth", "fifth"];
        assert_eq!(names, (1..).zip(expected.map(|name| name.as_bytes().to_vec())).collect::<Vec<_>>());
        assert_eq!(db.number("SELECT last_seq FROM rooms"), 5);
        assert_eq!(db.number("SELECT count(*) FROM answers"), 5);
        assert_eq!(db.number("SELECT tail FROM outbox_lanes"), 5);
        assert_eq!(db.number("SELECT count(*) FROM outbox_items WHERE position = seq"), 5);
        sequence_all(&store);
        assert_eq!(kinds(&store).iter().filter(|kind| *kind == "decision.message").count(), 5);
        assert_eq!(kinds(&store).iter().filter(|kind| *kind == "audit.gap").count(), 0);
    }

    fn an_answer_that_has_expired_gives_way_to_that_of_a_message_among_others(db) {
        let store = db.open();
        let (uri, seen) = active_room(&store, "one");
        let (key, old) = (scope(&[b"second"]), StoredAnswer { status: 200, body: b"old".into(), decision: None });
        let kept = old.clone();
        store.write("x", move |tx| answers::store(tx, Recognised::ByBody, &key, &kept, Millis(NOW.0 - 1), NOW)).unwrap();
        let message = |name| Message { uri: uri.clone(), seen, name };
        let ended = together(&store, vec![message("first"), message("second"), message("third")]);
        assert!(matches!(ended.as_slice(), [Ok(1), Ok(2), Ok(3)]), "{ended:?}");
        let found = store.read(|conn| answers::lookup(conn, &key, NOW)).unwrap();
        assert_eq!(found, Some(StoredAnswer { body: b"second".into(), ..old }));
    }
}
