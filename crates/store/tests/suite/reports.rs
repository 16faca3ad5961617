use portcullis_core::franking::{Flaw, Proof};
use portcullis_core::time::Millis;
use portcullis_store::reports::{self, Filed, Handled, NewMessage, NewReport, ReportState, Wanted};
use portcullis_store::restrictions::{self, Grounds, Place, Restriction};
use portcullis_store::{Store, StoreError, purge};
use uuid::Uuid;

use crate::harness::*;

fn message(position: u64, octet: u8, proven: bool) -> NewMessage {
    let verdict = if proven { Ok(Proof { message: [octet; 32] }) } else { Err(Flaw::Frank) };
    NewMessage { position, digest: [octet; 32], accepted_at: NOW, verdict, content: vec![octet; 4] }
}

fn report(by: &str, at: u64, messages: Vec<NewMessage>) -> NewReport {
    NewReport {
        id: Uuid::now_v7(),
        room: room("lobby"),
        reporter: user(by),
        alleged: user("mallory"),
        reason: 0,
        received_at: Millis(at),
        note: vec![9],
        decision: Uuid::now_v7(),
        messages,
    }
}

fn try_file(store: &Store, report: &NewReport) -> Result<Filed, StoreError> {
    let report = report.clone();
    store.write("reports", move |tx| reports::file(tx, &report))
}

fn file(store: &Store, report: &NewReport) -> Filed {
    try_file(store, report).unwrap()
}

fn handle(store: &Store, id: Uuid, version: u64, state: ReportState) -> Result<u64, StoreError> {
    let handled = Handled { case: "CASE-7".into(), by: "operator:ops".into(), at: NOW, why: "seen".into() };
    store.write("admin", move |tx| reports::handle(tx, id, version, state, &handled))
}

on_both! {
    fn a_report_is_read_back_as_it_was_filed(db) {
        let store = db.open();
        let mut late = message(1, 2, false);
        late.accepted_at = Millis(u64::MAX);
        let new = report("bob", 5, vec![message(0, 1, true), late]);
        assert_eq!(file(&store, &new), Filed { queued: true, repeated: 0 });
        let found = store.read(|conn| reports::find(conn, new.id)).unwrap().unwrap();
        assert_eq!((found.messages, found.proven, found.repeats, found.version), (2, 1, 0, 1));
        assert_eq!((&found.reporter, &found.alleged, found.state), (&new.reporter, &new.alleged, ReportState::New));
        assert_eq!((found.handled, found.note), (None, vec![9]));
        let messages = store.read(|conn| reports::messages(conn, new.id)).unwrap();
        assert_eq!(messages[0].verdict, Ok(Proof { message: [1; 32] }));
        assert_eq!((messages[1].verdict, messages[1].accepted_at), (Err(Flaw::Frank), None));
        assert_eq!(store.read(|conn| reports::find(conn, Uuid::nil())).unwrap(), None);
    }

    fn what_a_reporter_reports_again_is_counted_and_only_what_is_new_is_queued(db) {
        let store = db.open();
        let first = report("bob", 1, vec![message(0, 1, true), message(1, 1, true)]);
        assert_eq!(file(&store, &first), Filed { queued: true, repeated: 1 });
        let again = report("bob", 2, vec![message(0, 1, true)]);
        assert_eq!(file(&store, &again), Filed { queued: false, repeated: 1 });
        let more = report("bob", 3, vec![message(0, 1, true), message(1, 2, true)]);
        assert_eq!(file(&store, &more), Filed { queued: true, repeated: 1 });
        assert_eq!(file(&store, &report("carol", 4, vec![message(0, 1, true)])), Filed { queued: true, repeated: 0 });
        let found = store.read(|conn| reports::find(conn, first.id)).unwrap().unwrap();
        assert_eq!((found.messages, found.repeats), (1, 2));
        assert_eq!(store.read(|conn| reports::find(conn, again.id)).unwrap(), None);
        let of_more = store.read(|conn| reports::messages(conn, more.id)).unwrap();
        assert_eq!(of_more.iter().map(|message| message.position).collect::<Vec<_>>(), [1]);
    }

    fn of_two_stores_that_file_the_same_message_at_once_one_queues_it(db) {
        let (one, other) = (db.open(), db.open());
        let filed: Vec<_> = std::thread::scope(|scope| {
            let running = [&one, &other].map(|store| {
                scope.spawn(move || {
                    let new = report("bob", 1, vec![message(0, 1, true)]);
                    // Whoever meets the other looks again.
                    match try_file(store, &new) {
                        Err(StoreError::Exists) => file(store, &new),
                        filed => filed.unwrap(),
                    }
                })
            });
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(filed.iter().filter(|filed| filed.queued).count(), 1, "{filed:?}");
        let all = one.read(|conn| reports::page(conn, &Wanted::default(), 9)).unwrap();
        assert_eq!(all.iter().map(|report| report.repeats).collect::<Vec<_>>(), [1]);
    }

    fn what_was_not_proven_is_counted_by_reporter_and_time(db) {
        let store = db.open();
        file(&store, &report("bob", 10, vec![message(0, 1, false), message(1, 2, false), message(2, 3, true)]));
        file(&store, &report("bob", 20, vec![message(0, 4, false)]));
        file(&store, &report("carol", 20, vec![message(0, 4, false)]));
        let since = |by: &str, at: u64| store.read(|conn| reports::unproven_since(conn, &user(by), Millis(at))).unwrap();
        assert_eq!((since("bob", 0), since("bob", 11), since("bob", 21), since("carol", 0)), (3, 1, 0, 1));
    }

    fn a_page_follows_the_one_before_it_and_holds_what_is_wanted(db) {
        let store = db.open();
        let filed: Vec<NewReport> =
            [5, 5, 3, 9].iter().zip(1..).map(|(at, octet)| report("bob", *at, vec![message(0, octet, true)])).collect();
        for report in &filed {
            assert!(file(&store, report).queued);
        }
        let mut expected: Vec<_> = filed.iter().map(|report| (report.received_at, report.id)).collect();
        expected.sort();
        let mut wanted = Wanted::default();
        let mut read = Vec::new();
        loop {
            let page = store.read(|conn| reports::page(conn, &wanted, 3)).unwrap();
            read.extend(page.iter().map(|report| (report.received_at, report.id)));
            wanted.after = read.last().copied();
            if page.len() < 3 {
                break;
            }
        }
        assert_eq!(read, expected);
        let count = |wanted: Wanted| store.read(|conn| reports::page(conn, &wanted, 9)).unwrap().len();
        assert_eq!(count(Wanted { room: Some(room("lobby")), ..Wanted::default() }), 4);
        assert_eq!(count(Wanted { room: Some(room("attic")), ..Wanted::default() }), 0);
        assert_eq!(count(Wanted { alleged: Some(user("bob")), ..Wanted::default() }), 0);
        handle(&store, filed[0].id, 1, ReportState::InReview).unwrap();
        assert_eq!(count(Wanted { state: Some(ReportState::InReview), ..Wanted::default() }), 1);
    }

    fn a_report_goes_its_way_version_by_version(db) {
        let store = db.open();
        let new = report("bob", 1, vec![message(0, 1, true)]);
        file(&store, &new);
        let step = |version, state| handle(&store, new.id, version, state);
        let missing = |outcome: Result<u64, StoreError>| assert!(matches!(outcome, Err(StoreError::Missing)), "{outcome:?}");
        missing(step(1, ReportState::Upheld));
        missing(step(2, ReportState::InReview));
        assert_eq!(step(1, ReportState::InReview).unwrap(), 2);
        missing(step(1, ReportState::Upheld));
        missing(step(2, ReportState::New));
        assert_eq!(step(2, ReportState::Dismissed).unwrap(), 3);
        missing(step(3, ReportState::Upheld));
        assert_eq!(step(3, ReportState::InReview).unwrap(), 4);
        let found = store.read(|conn| reports::find(conn, new.id)).unwrap().unwrap();
        assert_eq!((found.state, found.handled.unwrap().case.as_str()), (ReportState::InReview, "CASE-7"));
        missing(handle(&store, Uuid::nil(), 1, ReportState::InReview));
    }

    fn of_two_moderators_who_decide_at_once_one_is_told_to_look_again(db) {
        let (one, other) = (db.open(), db.open());
        let new = report("bob", 1, vec![message(0, 1, true)]);
        file(&one, &new);
        handle(&one, new.id, 1, ReportState::InReview).unwrap();
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let running = [(&one, ReportState::Upheld), (&other, ReportState::Dismissed)]
                .map(|(store, state)| scope.spawn(move || handle(store, new.id, 2, state)));
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    }

    fn closed_reports_are_purged_step_by_step_but_for_rooms_under_legal_hold(db) {
        let store = db.open();
        active_room(&store, "lobby");
        let closed = |by: &str, octet| {
            let new = report(by, 1, vec![message(0, octet, true)]);
            file(&store, &new);
            handle(&store, new.id, 1, ReportState::InReview).unwrap();
            handle(&store, new.id, 2, ReportState::Upheld).unwrap();
            new.id
        };
        let all = [closed("bob", 1), closed("carol", 2), closed("dave", 3)];
        let open = report("erin", 1, vec![message(0, 4, true)]);
        file(&store, &open);
        let there = |id| store.read(|conn| reports::find(conn, id)).unwrap().is_some();
        let purge = |before, most| store.write("upkeep", move |tx| purge::closed_reports(tx, before, most));
        let purge = |before, most| purge(before, most).unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        let later = NOW.plus(std::time::Duration::from_millis(1));
        assert_eq!(purge(NOW, 9), 0, "not before their time");
        assert_eq!(purge(later, 1), 1);
        let (place, hold) = (Place::Room(room("lobby")), Restriction::LegalHold);
        let held = store.write("x", move |tx| restrictions::impose(tx, &place, &hold, &Grounds::default(), NOW));
        held.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert_eq!(purge(later, 9), 0);
        let (place, hold) = (Place::Room(room("lobby")), Restriction::LegalHold);
        store.write("x", move |tx| restrictions::lift(tx, &place, &hold, NOW)).unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert_eq!((purge(later, 9), all.map(there), there(open.id)), (2, [false; 3], true));
        // Nothing of them is left, so that the same may be reported again.
        assert_eq!(file(&store, &report("bob", 9, vec![message(0, 1, true)])), Filed { queued: true, repeated: 0 });
    }
}
