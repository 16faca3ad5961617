use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use portcullis_core::time::Millis;
use portcullis_store::audit::AuditRecord;
use portcullis_store::devices::{register_user, user_exists};
use portcullis_store::rooms::Seen;
use portcullis_store::{Options, Store, StoreError, Topic, Tx, rooms};

use crate::harness::*;

fn registering(name: &'static str) -> impl FnMut(&mut Tx<'_>) -> Result<(), StoreError> {
    move |tx| register_user(tx, &user(name), NOW)
}

fn exists(store: &Store, name: &str) -> bool {
    store.read(|conn| user_exists(conn, &user(name))).unwrap()
}

/// Starts a job and returns once it is in the queue of its lane.
fn queued<T: Send + 'static>(
    store: &Store,
    runtime: &tokio::runtime::Runtime,
    job: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
) -> tokio::task::JoinHandle<Result<T, StoreError>> {
    let store = store.clone();
    let (polled, once) = channel();
    let task = runtime.spawn(async move {
        let mut write = Box::pin(store.write_async("x", job));
        let first = std::future::poll_fn(|cx| std::task::Poll::Ready(write.as_mut().poll(cx))).await;
        polled.send(()).unwrap();
        match first {
            std::task::Poll::Ready(answer) => answer,
            std::task::Poll::Pending => write.await,
        }
    });
    once.recv().unwrap();
    task
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap()
}

on_both! {
    fn what_was_written_is_read_after_a_restart(db) {
        db.open().write("x", registering("alice")).unwrap();
        assert!(exists(&db.open(), "alice"));
    }

    fn a_job_that_fails_in_a_group_undoes_itself_alone(db) {
        let (store, runtime) = (db.open(), runtime());
        let (release, waiting) = block(&store, "x");
        let alice = queued(&store, &runtime, registering("alice"));
        let bob = queued(&store, &runtime, |tx| {
            register_user(tx, &user("bob"), NOW)?;
            Err::<(), _>(StoreError::Missing)
        });
        let cathy = queued(&store, &runtime, registering("cathy"));
        drop(release);
        waiting.join().unwrap().unwrap();
        runtime.block_on(async {
            alice.await.unwrap().unwrap();
            assert!(matches!(bob.await.unwrap(), Err(StoreError::Missing)));
            cathy.await.unwrap().unwrap();
        });
        assert_eq!([exists(&store, "alice"), exists(&store, "bob"), exists(&store, "cathy")], [true, false, true]);
    }

    fn what_comes_while_a_job_runs_goes_into_its_transaction(db) {
        let (store, runtime) = (db.open(), runtime());
        let ((begun, begins), (release, released)) = (channel(), channel());
        let first = queued(&store, &runtime, move |tx| {
            register_user(tx, &user("alice"), NOW)?;
            begun.send(()).unwrap();
            released.recv().unwrap();
            Ok(())
        });
        begins.recv().unwrap();
        let outside = store.clone();
        let second = queued(&store, &runtime, move |tx| Ok((user_exists(tx, &user("alice"))?, exists(&outside, "alice"))));
        release.send(()).unwrap();
        runtime.block_on(async {
            first.await.unwrap().unwrap();
            assert_eq!(second.await.unwrap().unwrap(), (true, false));
        });
    }

    fn a_job_that_breaks_its_transaction_leaves_the_others_of_its_group_alone(db) {
        let (store, runtime) = (db.open(), runtime());
        db.sql("ALTER TABLE inbox_batches RENAME TO elsewhere");
        let (release, waiting) = block(&store, "x");
        let alice = queued(&store, &runtime, registering("alice"));
        let broken = queued(&store, &runtime, |tx| portcullis_store::inbox::see_batch(tx, &[0; 32], NOW));
        drop(release);
        waiting.join().unwrap().unwrap();
        runtime.block_on(async {
            alice.await.unwrap().unwrap();
            assert!(matches!(broken.await.unwrap(), Err(StoreError::Database(_))));
        });
        assert!(exists(&store, "alice"));
    }

    fn a_value_that_the_database_does_not_take_is_not_tried_again(db) {
        let store = db.open();
        let (uri, seen) = active_room(&store, "one");
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let outcome = store.write("x", move |tx| {
            counted.fetch_add(1, Ordering::Relaxed);
            let end = Millis(u64::MAX / 2);
            rooms::accept_proposals(tx, &uri, seen, end)?;
            rooms::accept_proposals(tx, &uri, Seen { version: seen.version + 1, ..seen }, end)
        });
        assert!(matches!(outcome, Err(StoreError::Database(_))), "{outcome:?}");
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }

    fn a_job_that_panics_is_undone_and_the_lane_goes_on(db) {
        let store = db.open();
        let panicking: Result<(), StoreError> = store.write("x", |tx| {
            register_user(tx, &user("alice"), NOW)?;
            panic!("as the test wants")
        });
        assert!(matches!(panicking, Err(StoreError::Panicked)));
        store.write("x", registering("bob")).unwrap();
        assert_eq!([exists(&store, "alice"), exists(&store, "bob")], [false, true]);
    }

    fn a_full_queue_answers_busy(db) {
        let options = Options { queue: 1, batch: NonZeroUsize::MIN, ..Options::default() };
        let (store, runtime) = (Store::open(&db.url, &options).unwrap(), runtime());
        let (release, waiting) = block(&store, "x");
        let waits = queued(&store, &runtime, registering("alice"));
        assert!(matches!(store.write("x", registering("bob")), Err(StoreError::Busy)));
        drop(release);
        waiting.join().unwrap().unwrap();
        runtime.block_on(waits).unwrap().unwrap();
        store.write("x", registering("bob")).unwrap();
    }

    fn nothing_is_written_when_the_audit_record_can_neither_be_placed_nor_staged(db) {
        let store = db.open();
        let register = || store.write("x", |tx| {
            register_user(tx, &user("alice"), NOW)?;
            tx.stage(&AuditRecord { actor: Some("bob".to_owned()), ..record("decision.commit") })
        });
        for table in ["audit_entries", "audit_tails", "audit_writers", "heads"] {
            db.sql(&format!("ALTER TABLE {table} RENAME TO elsewhere"));
            assert!(matches!(register(), Err(StoreError::AuditUnavailable(_))), "{table}");
            db.sql(&format!("ALTER TABLE elsewhere RENAME TO {table}"));
        }
        staged(db, || {
            db.sql("ALTER TABLE audit_stage RENAME TO elsewhere");
            assert!(matches!(register(), Err(StoreError::AuditUnavailable(_))));
            db.sql("ALTER TABLE elsewhere RENAME TO audit_stage");
        });
        assert!(!exists(&store, "alice"));
        register().unwrap();
        assert!(exists(&store, "alice"));
    }

    fn a_job_that_goes_on_without_its_audit_record_fails_all_the_same(db) {
        let store = db.open();
        let answer: Result<(), StoreError> = store.write("x", |tx| {
            register_user(tx, &user("alice"), NOW)?;
            let mut too_large = record("decision.commit");
            too_large.detail = "x".repeat(1024 * 1024).into();
            assert!(tx.stage(&too_large).is_err());
            Ok(())
        });
        assert!(matches!(answer, Err(StoreError::AuditUnavailable(_))));
        assert!(!exists(&store, "alice"));
    }

    fn a_commit_signals_what_it_touched_and_a_rollback_signals_nothing(db) {
        let store = db.open();
        let (mut audit, stage, outbox) =
            (store.changes(Topic::Audit), store.changes(Topic::Staged), store.changes(Topic::Outbox));
        store.write("x", |tx| {
            tx.stage(&record("decision.commit"))?;
            Err::<(), _>(StoreError::Missing)
        }).unwrap_err();
        assert!(!audit.has_changed().unwrap());
        store.write("x", staging(record("decision.commit"))).unwrap();
        assert_eq!((audit.has_changed().unwrap(), stage.has_changed().unwrap()), (true, false));
        audit.mark_unchanged();
        staged(db, || store.write("x", staging(record("decision.commit"))).unwrap());
        assert_eq!((audit.has_changed().unwrap(), stage.has_changed().unwrap()), (false, true));
        assert!(!outbox.has_changed().unwrap());
    }

    fn async_code_writes_and_reads_and_lets_go(db) {
        let (store, runtime) = (db.open(), runtime());
        runtime.block_on(async move {
            store.write_async("x", registering("alice")).await.unwrap();
            let reader = store.clone();
            assert!(tokio::task::spawn_blocking(move || exists(&reader, "alice")).await.unwrap());
            drop(store);
        });
        assert!(exists(&db.open(), "alice"));
    }

    fn what_a_job_holds_is_given_back_before_its_answer(db) {
        let (store, place) = (db.open(), Arc::new(()));
        for _ in 0..32 {
            let held = Arc::clone(&place);
            let holding = move |tx: &mut Tx<'_>| {
                let _held = &held;
                register_user(tx, &user("alice"), NOW)
            };
            store.write("x", holding).unwrap();
            assert_eq!(Arc::strong_count(&place), 1);
        }
    }

    fn a_read_sees_one_snapshot(db) {
        let store = db.open();
        store.read(|conn| {
            assert!(!user_exists(conn, &user("alice"))?);
            store.write("x", registering("alice"))?;
            assert!(!user_exists(conn, &user("alice"))?);
            Ok::<_, StoreError>(())
        }).unwrap();
        assert!(exists(&store, "alice"));
    }

    fn replicas_that_start_together_all_find_the_schema(db) {
        std::thread::scope(|scope| {
            let opened: Vec<_> = (0..8).map(|_| scope.spawn(|| db.open())).collect();
            for store in opened {
                assert!(!exists(&store.join().unwrap(), "alice"));
            }
        });
    }
}
