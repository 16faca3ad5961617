//! What only PostgreSQL can do.

use std::num::NonZeroUsize;
use std::time::Duration;

use portcullis_store::bundles::{self, Activation, How};
use portcullis_store::devices::{forget_device, forget_user, register_device, register_user, user_exists};
use portcullis_store::people;
use portcullis_store::restrictions::{self, Grounds, Place, Restriction};
use portcullis_store::streams::{self, StreamItem};
use portcullis_store::{Options, Store, StoreError, Topic, Tx, rooms};

use crate::harness::*;

/// Waits until a session of this database waits for another one.
fn until_one_waits<T>(db: &Db, other: &std::thread::ScopedJoinHandle<'_, T>) {
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while db.number(waiting) == 0 {
        assert!(!other.is_finished(), "nobody has waited");
        std::thread::yield_now();
    }
}

fn with_roots() -> Options {
    Options { postgres_roots: Some(Cluster::shared().root()), ..Options::default() }
}

#[test]
fn a_connection_that_requires_tls_is_encrypted() {
    let db = Db::postgres();
    let store = Store::open(&format!("{}?sslmode=require", db.url), &with_roots()).unwrap();
    store.write("x", |tx| register_user(tx, &user("alice"), NOW)).unwrap();
    assert!(store.read(|conn| user_exists(conn, &user("alice"))).unwrap());
    let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE ssl AND datname = current_database()";
    assert!(db.number(encrypted) > 1);
}

#[test]
fn tls_is_not_required_without_something_to_check_it_with() {
    let db = Db::postgres();
    let opened = Store::open(&format!("{}?sslmode=require", db.url), &Options::default());
    assert!(matches!(opened, Err(StoreError::Open(_))));
}

#[test]
fn a_server_with_a_certificate_of_somebody_else_is_refused() {
    let db = Db::postgres();
    let dir = tempfile::TempDir::new().unwrap();
    let other = dir.path().join("other.crt");
    let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&other, pair.cert.pem()).unwrap();
    let options = Options { postgres_roots: Some(other), ..Options::default() };
    let opened = Store::open(&format!("{}?sslmode=require", db.url), &options);
    assert!(matches!(opened, Err(StoreError::Open(_))));
}

#[test]
fn a_lane_goes_on_after_the_server_dropped_its_connection() {
    let db = Db::postgres();
    let store = db.open();
    store.write("x", |tx| register_user(tx, &user("alice"), NOW)).unwrap();
    db.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()");
    store.write("x", |tx| register_user(tx, &user("bob"), NOW)).unwrap();
    assert!(store.read(|conn| user_exists(conn, &user("bob"))).unwrap());
}

#[test]
fn a_replica_is_woken_by_the_commits_of_another() {
    let db = Db::postgres();
    let (ours, theirs) = (db.open(), db.open());
    let mut audit = ours.changes(Topic::Audit);
    let outbox = ours.changes(Topic::Outbox);
    theirs.write("x", staging(record("decision.commit"))).unwrap();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(audit.changed()).unwrap();
    assert!(!outbox.has_changed().unwrap());
}

#[test]
fn a_replica_is_woken_by_what_another_only_appends() {
    let db = Db::postgres();
    let (ours, theirs) = (db.open(), db.open());
    let mut audit = ours.changes(Topic::Audit);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for kind in ["decision.one", "decision.two"] {
        audit.mark_unchanged();
        runtime.block_on(theirs.queue_append("x", staging(record(kind))).unwrap().done()).unwrap();
        runtime.block_on(audit.changed()).unwrap();
        assert!(kinds(&ours).contains(&kind.to_owned()));
    }
}

#[test]
fn nobody_goes_without_the_head_because_of_one_who_waits_for_a_room() {
    let db = Db::postgres();
    let (store, other) = (db.open(), db.open());
    let (release, blocking) = block(&store, "x");
    let (entered, inside) = std::sync::mpsc::channel();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let queued = |jobs| {
            while store.waiting() < jobs {
                std::thread::yield_now();
            }
        };
        scope.spawn(|| store.write("x", staging(record("decision.one"))).unwrap());
        queued(2);
        scope.spawn(|| {
            let waits = move |_: &mut portcullis_store::Tx<'_>| {
                entered.send(()).unwrap();
                let _ = wait.recv();
                Ok::<_, StoreError>(())
            };
            store.write("x", waits).unwrap();
        });
        queued(3);
        drop(release);
        inside.recv().unwrap();
        other.write("y", staging(record("decision.two"))).unwrap();
        assert_eq!(kinds(&other), ["decision.two"]);
        drop(go);
    });
    blocking.join().unwrap().unwrap();
    sequence_all(&other);
    assert_eq!(kinds(&store), ["decision.two", "decision.one"]);
}

#[test]
fn what_somebody_holds_for_long_holds_up_nobody_who_shares_the_lane_and_keeps_its_order() {
    let db = Db::postgres();
    let store = Store::open(&db.url, &Options { lanes: NonZeroUsize::MIN, ..Options::default() }).unwrap();
    let accept = |name| {
        let (uri, seen) = active_room(&store, name);
        move || {
            let uri = uri.clone();
            move |tx: &mut Tx<'_>| rooms::accept_message(tx, &uri, seen, NOW).map(|accepted| accepted.seq)
        }
    };
    let (one, two) = (accept("one"), accept("two"));
    let (release, holding) = hold(&db, &format!("SELECT 1 FROM rooms WHERE uri = '{}' FOR UPDATE", room("one")));
    let held: Vec<_> = (0..5).map(|_| store.queue_append("one", one()).unwrap()).collect();
    let first = store.append("two", two()).unwrap();
    assert_eq!(store.write("two", two()).unwrap(), first + 1);
    assert_eq!(store.waiting(), held.len());
    drop(release);
    holding.join().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let seqs: Vec<u64> = held.into_iter().map(|queued| runtime.block_on(queued.done()).unwrap()).collect();
    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seqs:?}");
    assert_eq!(store.write("one", one()).unwrap(), seqs[4] + 1);
}

#[test]
fn of_two_rooms_that_are_held_the_one_that_is_free_again_waits_for_no_other() {
    let db = Db::postgres();
    let store = Store::open(&db.url, &Options { lanes: NonZeroUsize::MIN, ..Options::default() }).unwrap();
    let accept = |name: &'static str| {
        let (uri, seen) = active_room(&store, name);
        let job = move |tx: &mut Tx<'_>| rooms::accept_message(tx, &uri, seen, NOW).map(drop);
        let (release, holding) = hold(&db, &format!("SELECT 1 FROM rooms WHERE uri = '{}' FOR UPDATE", room(name)));
        (store.queue_append(name, job).unwrap(), release, holding)
    };
    let [(one, free_one, holding_one), (two, free_two, holding_two)] = ["one", "two"].map(accept);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    drop(free_two);
    runtime.block_on(two.done()).unwrap();
    drop(free_one);
    runtime.block_on(one.done()).unwrap();
    [holding_one, holding_two].into_iter().for_each(|holding| holding.join().unwrap());
}

#[test]
fn what_a_process_that_is_gone_has_held_is_free_soon() {
    let db = Db::postgres();
    let silent = Options { abandoned_after: Duration::from_millis(500), ..Options::default() };
    let (gone, other) = (Store::open(&db.url, &silent).unwrap(), db.open());
    let (uri, seen) = active_room(&other, "clubhouse");
    let accept = move |tx: &mut Tx<'_>| rooms::accept_message(tx, &uri, seen, NOW).map(|accepted| accepted.seq);
    let (entered, inside) = std::sync::mpsc::channel();
    let (wakes, woken) = std::sync::mpsc::channel::<()>();
    let held = accept.clone();
    // The process stands still in the middle of its transaction, and says no more to the server.
    let standing = std::thread::spawn(move || {
        gone.write("clubhouse", move |tx| {
            let seq = held(tx)?;
            let _ = entered.send(());
            let _ = woken.recv();
            Ok::<_, StoreError>(seq)
        })
    });
    inside.recv().unwrap();
    let first = other.write("clubhouse", accept).unwrap();
    drop(wakes);
    assert_eq!(standing.join().unwrap().unwrap(), first + 1, "it goes on as if it had come later");
}

#[test]
fn whoever_forgets_a_device_holds_up_no_stream_while_it_waits_for_a_room() {
    let db = Db::postgres();
    let (store, other) = (db.open(), db.open());
    let devices = ["phone", "tablet"].map(|of| device("bob", of));
    let own = devices.clone();
    store
        .write("x", move |tx| {
            register_user(tx, &user("bob"), NOW)?;
            own.iter().try_for_each(|device| register_device(tx, device, &user("bob"), NOW))
        })
        .unwrap();
    let (uri, seen) = active_room(&store, "clubhouse");
    let (release, holding) = hold(&db, &format!("SELECT 1 FROM rooms WHERE uri = '{uri}' FOR UPDATE"));
    let [phone, tablet] = devices;
    let gone = phone.clone();
    let forgetting = std::thread::spawn(move || {
        store.write("bob", move |tx| {
            forget_device(tx, &gone)?;
            rooms::accept_message(tx, &uri, seen, NOW).map(drop)
        })
    });
    let item = StreamItem { room: None, kind: "leave".to_owned(), payload: b"x".into(), at: NOW };
    let to = tablet.clone();
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while db.number(waiting) == 0 {
        assert!(!forgetting.is_finished(), "nobody has waited");
        std::thread::yield_now();
    }
    other.write("x", move |tx| streams::push(tx, &[phone.clone(), to.clone()], &item)).unwrap();
    sequence_all(&other);
    assert_eq!(other.read(|conn| streams::read(conn, &tablet, 0, 9)).unwrap().len(), 1);
    drop(release);
    holding.join().unwrap();
    forgetting.join().unwrap().unwrap();
    assert_eq!(other.read(|conn| streams::read(conn, &device("bob", "phone"), 0, 9)).unwrap(), []);
}

#[test]
fn jobs_that_deadlock_with_another_replica_are_tried_again() {
    let db = Db::postgres();
    let stores = [db.open(), db.open()];
    active_room(&stores[0], "one");
    active_room(&stores[0], "two");
    std::thread::scope(|scope| {
        for (store, order) in stores.iter().zip([["one", "two"], ["two", "one"]]) {
            scope.spawn(move || {
                for _ in 0..40 {
                    store
                        .write("x", move |tx| {
                            order.iter().try_for_each(|name| {
                                portcullis_store::events::append(tx, &room(name), &event(b"m")).map(drop)
                            })
                        })
                        .unwrap();
                }
            });
        }
    });
    let last =
        |name| stores[0].read(|conn| portcullis_store::rooms::head(conn, &room(name))).unwrap().unwrap().last_seq;
    assert_eq!([last("one"), last("two")], [80, 80]);
}

#[test]
fn of_two_replicas_that_find_no_pointer_the_second_sees_what_the_first_has_made() {
    let db = Db::postgres();
    let stores = [db.open(), db.open()];
    let first_start = |digest: u8, held: std::sync::mpsc::Sender<()>, go: std::sync::mpsc::Receiver<()>| {
        move |tx: &mut portcullis_store::Tx<'_>| {
            bundles::hold(tx)?;
            let before = bundles::pointer(tx)?.map(|pointer| pointer.active);
            let _ = held.send(());
            let _ = go.recv();
            bundles::put(tx, &[digest; 32], b"x", "files", NOW)?;
            bundles::activate(tx, &Activation { digest: [digest; 32], by: "files".into(), at: NOW }, How::Files)?;
            Ok::<_, StoreError>(before)
        }
    };
    std::thread::scope(|scope| {
        let (held, holds) = std::sync::mpsc::channel();
        let (go, wait) = std::sync::mpsc::channel();
        let one = scope.spawn(|| stores[0].write("x", first_start(1, held, wait)).unwrap());
        holds.recv().unwrap();
        let (other_held, _other_holds) = std::sync::mpsc::channel();
        let (_, no_wait) = std::sync::mpsc::channel();
        let other = scope.spawn(|| stores[1].write("x", first_start(2, other_held, no_wait)).unwrap());
        until_one_waits(&db, &other);
        drop(go);
        assert_eq!(one.join().unwrap(), None);
        assert_eq!(other.join().unwrap(), Some([1; 32]));
    });
}

#[test]
fn what_is_lifted_everywhere_is_lifted_in_a_room_to_which_it_is_just_coming() {
    let db = Db::postgres();
    let stores = [db.open(), db.open()];
    let (room, _) = active_room(&stores[0], "clubhouse");
    let gone = Restriction::Deprovisioned(user("bob"));
    let imposed = gone.clone();
    let everywhere = move |tx: &mut portcullis_store::Tx<'_>| {
        restrictions::impose(tx, &Place::Everywhere, &imposed, &Grounds::default(), NOW)
    };
    stores[0].write("x", everywhere).unwrap();
    std::thread::scope(|scope| {
        let (spread, is_spread) = std::sync::mpsc::channel();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (to, comes) = (room.clone(), gone.clone());
        let coming = scope.spawn(|| {
            let come = move |tx: &mut portcullis_store::Tx<'_>| {
                restrictions::spread(tx, &to, &comes, &Grounds::default(), NOW)?;
                let _ = spread.send(());
                let _ = wait.recv();
                Ok::<_, StoreError>(())
            };
            stores[0].write("x", come).unwrap();
        });
        is_spread.recv().unwrap();
        let lifted = gone.clone();
        let lift = move |tx: &mut portcullis_store::Tx<'_>| restrictions::lift(tx, &Place::Everywhere, &lifted, NOW);
        let lifting = scope.spawn(|| stores[1].write("x", lift).unwrap());
        until_one_waits(&db, &lifting);
        drop(go);
        coming.join().unwrap();
        assert!(lifting.join().unwrap());
    });
    let left = |place: &Place| stores[0].read(|conn| restrictions::is_in_force(conn, place, &gone)).unwrap();
    assert_eq!([left(&Place::Everywhere), left(&Place::from(&room))], [false; 2]);
}

#[test]
fn nothing_comes_into_the_stream_of_a_device_that_is_forgotten_meanwhile() {
    let db = Db::postgres();
    let (store, other) = (db.open(), db.open());
    let bob = || (user("bob"), device("bob", "phone"));
    store
        .write("x", move |tx| {
            register_user(tx, &bob().0, NOW)?;
            register_device(tx, &bob().1, &bob().0, NOW)
        })
        .unwrap();
    staged(&db, || {
        let item = StreamItem { room: None, kind: "leave".to_owned(), payload: b"x".into(), at: NOW };
        store.write("x", move |tx| streams::push(tx, &[bob().1], &item)).unwrap();
    });
    // As the sequencer holds it while it gives what is staged its positions.
    let (release, held) = hold(&db, "UPDATE heads SET size = size");
    std::thread::scope(|scope| {
        let forgetting = scope.spawn(|| other.write("x", move |tx| forget_device(tx, &bob().1)).unwrap());
        until_one_waits(&db, &forgetting);
        drop(release);
        held.join().unwrap();
        forgetting.join().unwrap();
    });
    sequence_all(&store);
    assert_eq!(store.read(|conn| streams::read(conn, &bob().1, 0, 9)).unwrap(), []);
}

/// Does one thing in a transaction that stays open until the other one waits for it.
fn one_before_the_other<T: Send + 'static>(
    one: impl Fn(&mut Tx<'_>) -> Result<(), StoreError> + Send + Sync + 'static,
    other: impl Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + Sync + 'static,
    start: impl FnOnce(&Store),
) -> Result<T, StoreError> {
    let db = Db::postgres();
    let stores = [db.open(), db.open()];
    start(&stores[0]);
    std::thread::scope(|scope| {
        let (done, is_done) = std::sync::mpsc::channel();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let first = scope.spawn(|| {
            let first = move |tx: &mut Tx<'_>| {
                one(tx)?;
                let _ = done.send(());
                let _ = wait.recv();
                Ok::<_, StoreError>(())
            };
            stores[0].write("x", first).unwrap();
        });
        is_done.recv().unwrap();
        let second = scope.spawn(|| stores[1].write("x", other));
        until_one_waits(&db, &second);
        drop(go);
        first.join().unwrap();
        second.join().unwrap()
    })
}

#[test]
fn a_user_is_forgotten_although_its_device_is_deleted_meanwhile() {
    let bob = || (user("bob"), device("bob", "phone"));
    let forgotten = one_before_the_other(
        move |tx| forget_device(tx, &bob().1),
        move |tx| forget_user(tx, &bob().0),
        |store| {
            let start = move |tx: &mut Tx<'_>| {
                register_user(tx, &bob().0, NOW)?;
                register_device(tx, &bob().1, &bob().0, NOW)
            };
            store.write("x", start).unwrap();
        },
    );
    assert!(forgotten.is_ok(), "{forgotten:?}");
}

#[test]
fn no_device_comes_to_a_user_who_is_forgotten_meanwhile() {
    let bob = || (user("bob"), device("bob", "phone"));
    let registered = one_before_the_other(
        move |tx| forget_user(tx, &bob().0),
        move |tx| register_device(tx, &bob().1, &bob().0, NOW),
        |store| store.write("x", move |tx| register_user(tx, &bob().0, NOW)).unwrap(),
    );
    assert!(matches!(registered, Err(StoreError::Missing)), "{registered:?}");
}

#[test]
fn whoever_holds_a_name_that_nobody_has_yet_sees_what_another_has_made_of_it() {
    let seen = one_before_the_other(
        |tx| {
            people::hold_name(tx, &user("bob"))?;
            register_user(tx, &user("bob"), NOW)
        },
        |tx| {
            people::hold_name(tx, &user("bob"))?;
            user_exists(tx, &user("bob"))
        },
        |_| {},
    );
    assert!(seen.unwrap());
}
