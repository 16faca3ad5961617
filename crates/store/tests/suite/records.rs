use std::time::Duration;

use portcullis_core::time::Millis;
use portcullis_store::admission::{self, Ticket};
use portcullis_store::answers::{self, Recognised, StoredAnswer, scope};
use portcullis_store::audit::sequence;
use portcullis_store::bundles::{self, Activation, How};
use portcullis_store::inbox::{self, Seen};
use portcullis_store::simulations::{self, Simulation};
use portcullis_store::sinks::{DeadLetter, SinkLease};
use portcullis_store::{Store, StoreError, follower, role_sets, routes, shadows, sinks};
use uuid::Uuid;

use crate::harness::*;

const LATER: Millis = Millis(NOW.0 + 1000);

fn answer(body: &str) -> StoredAnswer {
    StoredAnswer { status: 200, body: body.into(), decision: Some(Uuid::from_u128(7)) }
}

const TTL: Duration = Duration::from_secs(30);

fn take(store: &Store, owner: &str, now: Millis) -> Option<SinkLease> {
    let owner = owner.to_owned();
    store.write("x", move |tx| sinks::take(tx, "otlp", &owner, now, TTL)).unwrap()
}

on_both! {
    fn of_identical_requests_one_is_answered_and_the_others_find_its_answer(db) {
        let stores = [db.open(), db.open()];
        let key = scope(&[b"b.example", b"/update/x", b"body"]);
        let first = std::thread::scope(|scope| {
            let racing: Vec<_> = (0..8_u8).map(|racer| {
                let store = &stores[usize::from(racer) % 2];
                scope.spawn(move || {
                    let mine = answer(&racer.to_string());
                    store.write(&format!("key{racer}"), move |tx| answers::store(tx, Recognised::ByBody, &key, &mine, NOW, LATER).map(|()| racer))
                })
            }).collect();
            let ended: Vec<_> = racing.into_iter().map(|racer| racer.join().unwrap()).collect();
            assert!(ended.iter().all(|end| matches!(end, Ok(_) | Err(StoreError::AlreadyAnswered))));
            let won: Vec<u8> = ended.into_iter().flatten().collect();
            assert_eq!(won.len(), 1);
            won[0].to_string()
        });
        let found = stores[0].read(|conn| answers::lookup(conn, &key, NOW)).unwrap();
        assert_eq!(found, Some(answer(&first)));
    }

    fn an_answer_is_forgotten_when_it_expires(db) {
        let store = db.open();
        let key = scope(&[b"x"]);
        store.write("x", move |tx| answers::store(tx, Recognised::ByBody, &key, &answer("old"), NOW, LATER)).unwrap();
        assert_eq!(store.read(|conn| answers::lookup(conn, &key, LATER)).unwrap(), None);
        store.write("x", move |tx| answers::store(tx, Recognised::ByBody, &key, &answer("new"), LATER, Millis(LATER.0 + 1))).unwrap();
        assert_eq!(store.read(|conn| answers::lookup(conn, &key, LATER)).unwrap(), Some(answer("new")));
        assert_eq!(store.write("x", |tx| answers::expire(tx, Millis(LATER.0 + 1), 10)).unwrap(), 1);
    }

    fn a_batch_and_a_message_are_new_once(db) {
        let store = db.open();
        let see = || store.write("x", |tx| {
            Ok::<_, StoreError>([
                inbox::see_batch(tx, &[1; 32], NOW)?,
                inbox::see_message(tx, &room("a"), &[1; 32], 1, NOW)?,
                inbox::see_message(tx, &room("b"), &[1; 32], 1, NOW)?,
            ])
        }).unwrap();
        assert_eq!(see(), [Seen::First; 3]);
        assert_eq!(see(), [Seen::Again; 3]);
        let expire = |before, limit| store.write("x", move |tx| {
            Ok::<_, StoreError>([inbox::expire_batches(tx, before, limit)?, inbox::expire_messages(tx, before, limit)?])
        }).unwrap();
        assert_eq!(expire(NOW, 10), [0, 0]);
        assert_eq!(expire(LATER, 10), [1, 2]);
        assert_eq!(see(), [Seen::First; 3]);
    }

    fn what_came_is_forgotten_step_by_step_the_oldest_first(db) {
        let store = db.open();
        store.write("x", |tx| (0..10_u8).try_for_each(|number| {
            let at = Millis(NOW.0 + u64::from(number));
            inbox::see_batch(tx, &[number; 32], at)?;
            inbox::see_message(tx, &room("a"), &[number; 32], 1, at).map(drop)
        })).unwrap();
        let step = || store.write("x", |tx| {
            Ok::<_, StoreError>([inbox::expire_batches(tx, Millis(NOW.0 + 6), 4)?, inbox::expire_messages(tx, Millis(NOW.0 + 6), 4)?])
        }).unwrap();
        assert_eq!([step(), step(), step()], [[4, 4], [2, 2], [0, 0]]);
        let left = store.read(|conn| inbox::seen(conn, &room("a"), &[[5; 32], [6; 32]])).unwrap();
        assert!(left.into_keys().eq([[6; 32]]));
    }

    fn a_ticket_is_good_once_for_its_key_and_its_time(db) {
        let store = db.open();
        let (room, _) = active_room(&store, "clubhouse");
        let ticket = Ticket {
            id: Uuid::now_v7(),
            room: room.clone(),
            signature_key: vec![1; 32],
            credential_hash: [2; 32],
            role: 4,
            code: Some(Uuid::from_u128(4)),
            issued_at: NOW,
            expires_at: LATER,
        };
        let issued = ticket.clone();
        store.write("x", move |tx| admission::issue(tx, &issued)).unwrap();
        let find = |key: &[u8], now| store.read(|conn| admission::find(conn, &room, key, now)).unwrap();
        assert_eq!(find(&[1; 32], NOW), Some(ticket.clone()));
        assert_eq!(find(&[9; 32], NOW), None);
        assert_eq!(find(&[1; 32], LATER), None);
        assert_eq!(store.read(|conn| admission::count_since(conn, &room, &[1; 32], NOW)).unwrap(), 1);
        let spent = ticket.clone();
        store.write("x", move |tx| admission::spend(tx, &spent)).unwrap();
        assert!(matches!(store.write("x", move |tx| admission::spend(tx, &ticket)), Err(StoreError::Missing)));
        assert_eq!(find(&[1; 32], NOW), None);
    }

    fn a_welcome_goes_where_its_key_package_first_came_from(db) {
        let store = db.open();
        store.write("x", |tx| {
            routes::add(tx, &[1], &domain("b"), NOW)?;
            routes::add(tx, &[1], &domain("b"), LATER)?;
            routes::add(tx, &[2], &domain("d"), NOW)?;
            routes::add(tx, &[2], &domain("c"), LATER)
        }).unwrap();
        let found = store.read(|conn| routes::lookup(conn, &[vec![1], vec![2], vec![3]])).unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [(vec![1], domain("b")), (vec![2], domain("d"))]);
        assert_eq!(store.write("x", |tx| routes::expire(tx, NOW, 10)).unwrap(), 1);
    }

    fn devices_in_rooms_of_others_are_known_until_they_leave(db) {
        let store = db.open();
        store.write("x", |tx| {
            follower::join(tx, &room("one"), &device("bob", "phone"), NOW)?;
            follower::join(tx, &room("one"), &device("bob", "phone"), NOW)?;
            follower::join(tx, &room("one"), &device("bob", "tablet"), NOW)?;
            follower::join(tx, &room("two"), &device("bob", "phone"), NOW)
        }).unwrap();
        store.read(|conn| {
            assert!(follower::devices(conn, &room("one"))?.into_keys().eq([device("bob", "phone"), device("bob", "tablet")]));
            assert_eq!(follower::rooms(conn, &device("bob", "phone"))?, [room("one"), room("two")]);
            Ok::<_, StoreError>(())
        }).unwrap();
        store.write("x", |tx| follower::leave(tx, &room("one"), &device("bob", "phone"))).unwrap();
        let left = store.read(|conn| follower::devices(conn, &room("one"))).unwrap();
        assert!(left.into_keys().eq([device("bob", "tablet")]));
    }

    fn the_bundle_that_was_activated_last_decides(db) {
        let store = db.open();
        let activation = |digest: u8| Activation { digest: [digest; 32], by: "ann".to_owned(), at: NOW };
        let unknown = store.write("x", move |tx| bundles::activate(tx, &activation(9), How::Activated));
        assert!(matches!(unknown, Err(StoreError::Missing)));
        assert_eq!(store.read(bundles::pointer).unwrap(), None);
        let before = store.write("x", move |tx| {
            assert!(bundles::put(tx, &[1; 32], b"one", "ann", NOW)?);
            assert!(!bundles::put(tx, &[1; 32], b"one", "bob", NOW)?);
            bundles::put(tx, &[2; 32], b"two", "ann", NOW)?;
            let before = [1, 2, 1].map(|digest| bundles::activate(tx, &activation(digest), How::Activated));
            bundles::note_files(tx, &[2; 32])?;
            before.into_iter().collect::<Result<Vec<_>, StoreError>>()
        }).unwrap();
        let before: Vec<_> = before.into_iter().map(|before| before.map(|before| (before.version, before.active))).collect();
        assert_eq!(before, [None, Some((2, [1; 32])), Some((3, [2; 32]))]);
        let pointer = store.read(bundles::pointer).unwrap().unwrap();
        assert_eq!((pointer.version, pointer.active, pointer.files), (3, [1; 32], Some([2; 32])));
        assert_eq!((pointer.by.as_str(), pointer.how), ("ann", How::Activated));
        let found = store.read(|conn| bundles::activations(conn, 2)).unwrap();
        assert_eq!(found, [activation(1), activation(2)]);
        assert_eq!(store.read(|conn| bundles::load(conn, &[2; 32])).unwrap().as_deref(), Some(&b"two"[..]));
    }

    fn one_bundle_is_the_shadow_at_a_time_and_each_part_of_the_log_counts_once(db) {
        let stores = [db.open(), db.open()];
        let store = &stores[0];
        let start = |digest: u8| store.write("x", move |tx| shadows::start(tx, &[digest; 32], "ann", NOW));
        assert!(matches!(start(9), Err(StoreError::Missing)));
        store.write("x", |tx| {
            bundles::put(tx, &[1; 32], b"one", "ann", NOW)?;
            bundles::put(tx, &[2; 32], b"two", "ann", NOW)
        }).unwrap();
        assert_eq!(store.read(shadows::running).unwrap(), None);
        start(1).unwrap();
        assert!(start(2).is_err());
        let shadow = stores[1].read(shadows::running).unwrap().unwrap();
        assert_eq!((shadow.digest, shadow.from, shadow.position, shadow.stopped), ([1; 32], 0, 0, None));
        let advance = |store: &Store, from, to, report: &'static str| {
            store.write("x", move |tx| shadows::advance(tx, shadow.run, (from, to), report))
        };
        advance(store, 0, 5, "{}").unwrap();
        assert!(matches!(advance(&stores[1], 0, 7, "lost"), Err(StoreError::Missing)));
        advance(&stores[1], 5, 7, "{\"same\":1}").unwrap();
        store.write("x", move |tx| shadows::stop(tx, shadow.run, "bob", LATER)).unwrap();
        assert!(matches!(store.write("x", move |tx| shadows::stop(tx, shadow.run, "eve", LATER)), Err(StoreError::Missing)));
        assert!(matches!(advance(store, 7, 9, "late"), Err(StoreError::Missing)));
        start(2).unwrap();
        let found = store.read(|conn| shadows::latest(conn, Some(&[1; 32]))).unwrap().unwrap();
        assert_eq!((found.position, found.report.as_str()), (7, "{\"same\":1}"));
        assert_eq!(found.stopped.map(|stopped| (stopped.by, stopped.at)), Some(("bob".to_owned(), LATER)));
        assert_eq!(store.read(|conn| shadows::latest(conn, None)).unwrap().unwrap().digest, [2; 32]);
        let simulation = |report: &str| Simulation { by: "ann".to_owned(), at: NOW, report: report.to_owned() };
        for report in ["one", "two"] {
            store.write("x", move |tx| simulations::put(tx, &[1; 32], &simulation(report))).unwrap();
        }
        let kept = |of: u8| {
            let kept = store.read(|conn| simulations::latest(conn, &[of; 32], 9)).unwrap();
            kept.into_iter().map(|it| it.report).collect::<Vec<_>>()
        };
        assert_eq!(kept(1), ["two", "one"]);
        assert_eq!(kept(2), Vec::<String>::new());
        for _ in 0..simulations::MOST {
            store.write("x", move |tx| simulations::put(tx, &[1; 32], &simulation("more"))).unwrap();
        }
        let all = store.read(|conn| simulations::latest(conn, &[1; 32], 99)).unwrap();
        assert_eq!(all.len(), simulations::MOST as usize);
        assert!(all.iter().all(|it| it.report == "more"), "the oldest go");
        store.write("x", |tx| role_sets::put(tx, "name", b"roles")).unwrap();
        store.write("x", |tx| role_sets::put(tx, "name", b"others")).unwrap();
        assert_eq!(store.read(|conn| role_sets::load(conn, "name")).unwrap().as_deref(), Some(&b"roles"[..]));
    }

    fn a_bundle_is_approved_by_somebody_else_and_of_several_by_the_last(db) {
        let store = db.open();
        store.write("x", |tx| bundles::put(tx, &[1; 32], b"one", "ann", NOW)).unwrap();
        let approve = |digest: u8, by: &'static str| store.write("x", move |tx| bundles::approve(tx, &[digest; 32], by, NOW));
        assert!(matches!(approve(1, "ann"), Err(StoreError::Missing)));
        assert!(matches!(approve(9, "bob"), Err(StoreError::Missing)));
        assert_eq!(store.read(|conn| bundles::find(conn, &[1; 32])).unwrap().approved, None);
        approve(1, "bob").unwrap();
        approve(1, "eve").unwrap();
        let kept = store.read(|conn| bundles::find(conn, &[1; 32])).unwrap();
        assert_eq!((kept.approved, kept.activated_at), (Some(("eve".to_owned(), NOW)), None));
        assert!(matches!(store.read(|conn| bundles::find(conn, &[9; 32])), Err(StoreError::Missing)));
    }

    fn other_files_beside_a_bundle_are_kept_and_who_brought_it_stays(db) {
        let store = db.open();
        store.write("x", |tx| {
            bundles::put(tx, &[1; 32], b"one", "ann", NOW)?;
            bundles::approve(tx, &[1; 32], "bob", NOW)?;
            bundles::activate(tx, &Activation { digest: [1; 32], by: "ann".to_owned(), at: LATER }, How::Activated)
        }).unwrap();
        let before = store.read(|conn| bundles::find(conn, &[1; 32])).unwrap();
        assert_eq!(before.activated_at, Some(LATER));
        let replace = |digest: u8, with: &'static [u8]| store.write("x", move |tx| bundles::replace(tx, &[digest; 32], with)).unwrap();
        assert!(!replace(1, b"one"));
        assert!(replace(1, b"one, signed"));
        assert!(!replace(9, b"nine"));
        assert_eq!(store.read(|conn| bundles::load(conn, &[1; 32])).unwrap().as_deref(), Some(&b"one, signed"[..]));
        assert_eq!(store.read(|conn| bundles::find(conn, &[1; 32])).unwrap(), before);
        assert_eq!(store.read(|conn| bundles::list(conn, 9)).unwrap(), [before]);
    }

    fn a_cursor_is_moved_by_one_exporter_at_a_time(db) {
        let store = db.open();
        let lease = take(&store, "one", NOW).unwrap();
        let advance = |from, to| {
            let lease = lease.clone();
            store.write("x", move |tx| sinks::advance(tx, &lease, from, to, NOW))
        };
        assert_eq!(store.read(|conn| sinks::cursor(conn, "otlp")).unwrap(), 0);
        advance(0, 5).unwrap();
        assert!(matches!(advance(0, 9), Err(StoreError::Missing)));
        advance(5, 9).unwrap();
        assert!(matches!(advance(5, 7), Err(StoreError::Missing)));
        assert_eq!(store.read(|conn| sinks::cursor(conn, "otlp")).unwrap(), 9);
    }

    fn one_process_exports_to_a_sink_at_a_time_and_an_overtaken_one_moves_nothing(db) {
        let stores = [db.open(), db.open()];
        let first = take(&stores[0], "one", NOW).unwrap();
        assert_eq!(take(&stores[1], "two", NOW), None);
        assert_eq!(take(&stores[0], "one", NOW), Some(first.clone()));
        let holder = stores[1].read(|conn| sinks::holder(conn, "otlp")).unwrap();
        assert_eq!(holder, Some(("one".to_owned(), NOW.plus(TTL))));
        let second = take(&stores[1], "two", NOW.plus(TTL)).unwrap();
        let advance = |lease: &SinkLease| {
            let lease = lease.clone();
            stores[0].write("x", move |tx| sinks::advance(tx, &lease, 0, 5, NOW))
        };
        assert!(matches!(advance(&first), Err(StoreError::LeaseLost)));
        advance(&second).unwrap();
        let released = second.clone();
        stores[1].write("x", move |tx| sinks::release(tx, &released)).unwrap();
        assert!(take(&stores[0], "one", NOW).is_some_and(|third| third.number > second.number));
    }

    fn of_processes_that_race_for_a_sink_one_gets_it(db) {
        let stores = [db.open(), db.open()];
        let got = std::thread::scope(|scope| {
            let racing: Vec<_> = (0..8_usize).map(|racer| {
                let store = &stores[racer % 2];
                scope.spawn(move || take(store, &racer.to_string(), NOW).is_some())
            }).collect();
            racing.into_iter().map(|racer| racer.join().unwrap()).filter(|got| *got).count()
        });
        assert_eq!(got, 1);
    }

    fn a_dead_letter_stands_where_the_cursor_has_passed_an_entry(db) {
        let store = db.open();
        store.write("x", staging(record("decision.one"))).unwrap();
        sequence(&store, 10, NOW).unwrap();
        let lease = take(&store, "one", NOW).unwrap();
        let letter = DeadLetter { seq: 0, given_up_at: NOW, http_status: 200, reason: "too odd".to_owned() };
        let (kept, again) = (letter.clone(), lease.clone());
        store.write("x", move |tx| sinks::give_up(tx, &lease, &kept)).unwrap();
        assert_eq!(store.read(|conn| sinks::cursor(conn, "otlp")).unwrap(), 1);
        assert_eq!(store.read(|conn| sinks::dead_letters(conn, "otlp", 0, 9)).unwrap(), std::slice::from_ref(&letter));
        assert_eq!(store.read(|conn| sinks::count_dead_letters(conn, "otlp")).unwrap(), 1);
        let twice = store.write("x", move |tx| sinks::give_up(tx, &again, &letter));
        assert!(matches!(twice, Err(StoreError::Missing)), "{twice:?}");
    }
}
