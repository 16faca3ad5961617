use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use data_encoding::HEXLOWER;
use portcullis_core::mls::Leaf;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{ClientUri, Domain, GroupUri, RoomUri, UserUri};
use portcullis_store::audit::{AuditRecord, Filter, Outcome, entries, sequence};
use portcullis_store::events::{EventKind, NewEvent};
use portcullis_store::rooms::{GroupState, NewRoom, Seen};
use portcullis_store::{Store, StoreError, Tx, rooms};
use uuid::Uuid;

use super::Db;

pub(crate) const NOW: Millis = Millis(1_800_000_000_000);

pub(crate) fn room(name: &str) -> RoomUri {
    RoomUri::parse(&format!("mimi://a.example/r/{name}")).unwrap()
}

pub(crate) fn user(name: &str) -> UserUri {
    UserUri::parse(&format!("mimi://a.example/u/{name}")).unwrap()
}

pub(crate) fn device(user: &str, device: &str) -> ClientUri {
    ClientUri::parse(&format!("mimi://a.example/d/{user}/{device}")).unwrap()
}

/// A leaf of a client, with a key that says whose it is.
pub(crate) fn leaf(index: u32, of: &str, name: &str) -> Leaf {
    Leaf {
        index,
        client: device(of, name),
        user: user(of),
        signature_key: format!("{of}/{name}").into(),
        says: std::sync::Arc::default(),
    }
}

pub(crate) fn domain(name: &str) -> Domain {
    Domain::parse(&format!("{name}.example")).unwrap()
}

pub(crate) fn state(epoch: u64) -> GroupState {
    GroupState { epoch, snapshot: format!("snapshot {epoch}").into(), group_info: format!("info {epoch}").into() }
}

/// A room in epoch 1 that nothing happened in.
pub(crate) fn active_room(store: &Store, name: &str) -> (RoomUri, Seen) {
    let uri = room(name);
    let new = NewRoom {
        room: uri.clone(),
        group: GroupUri::parse(&format!("mimi://a.example/g/{name}")).unwrap(),
        template: "strict".to_owned(),
        creator: user("alice"),
    };
    let started = uri.clone();
    store
        .write(uri.as_str(), move |tx| {
            rooms::create(tx, &new, NOW)?;
            rooms::start_group(tx, &started, 0, &state(1), NOW)
        })
        .unwrap_or_else(|error: StoreError| panic!("{error:?}"));
    let head = store.read(|conn| rooms::head(conn, &uri)).unwrap().unwrap();
    (uri, head.seen())
}

pub(crate) fn event(body: &[u8]) -> NewEvent {
    NewEvent { kind: EventKind::Message, epoch: 1, accepted_at: NOW, message_hash: [7; 32], fanout: body.to_vec() }
}

pub(crate) fn record(kind: &str) -> AuditRecord {
    AuditRecord::new(Uuid::now_v7(), NOW, kind, Outcome::Allow)
}

/// A job that stages `record` and nothing else.
pub(crate) fn staging(record: AuditRecord) -> impl FnMut(&mut Tx<'_>) -> Result<(), StoreError> {
    move |tx| tx.stage(&record)
}

/// Does `work` while the heads are out of reach, as if another process held them, so that what it writes is staged.
pub(crate) fn staged<T>(db: &Db, work: impl FnOnce() -> T) -> T {
    db.sql("UPDATE heads SET name = 'held ' || name");
    let done = work();
    db.sql("UPDATE heads SET name = replace(name, 'held ', '')");
    done
}

/// Sequences until nothing is staged.
pub(crate) fn sequence_all(store: &Store) {
    loop {
        let moved = sequence(store, 1000, NOW).unwrap();
        if moved.entries + moved.stream_rows + moved.refused == 0 {
            return;
        }
    }
}

pub(crate) fn all() -> Filter {
    Filter { limit: 100_000, ..Filter::default() }
}

/// The kinds of all entries of the log, but for the beginnings of chains.
pub(crate) fn kinds(store: &Store) -> Vec<String> {
    let log = store.read(|conn| entries(conn, &all())).unwrap();
    log.into_iter().map(|entry| entry.record.kind).filter(|kind| kind != "writer.begin").collect()
}

/// Keeps the lane of `key` busy; the jobs that come meanwhile are grouped once the sender is dropped.
pub(crate) fn block(store: &Store, key: &'static str) -> (Sender<()>, JoinHandle<Result<(), StoreError>>) {
    let (entered, busy) = channel();
    let (release, released) = channel::<()>();
    let store = store.clone();
    let waiting = std::thread::spawn(move || {
        store.write(key, move |_| {
            // It may run again with what it kept waiting, when nobody listens any more.
            let _ = entered.send(());
            let _ = released.recv();
            Ok(())
        })
    });
    busy.recv().unwrap();
    (release, waiting)
}

/// What SQL makes of a column of openings by putting `instead`, which is as long, for every `what`.
pub(crate) fn in_openings(db: &Db, what: &str, instead: &str) -> String {
    assert_eq!(what.len(), instead.len(), "their lengths stand before them");
    let [what, instead] = [what, instead].map(|text| HEXLOWER.encode(text.as_bytes()));
    if db.url.starts_with("sqlite") {
        format!("unhex(replace(lower(hex(openings)), '{what}', '{instead}'))")
    } else {
        format!("decode(replace(encode(openings, 'hex'), '{what}', '{instead}'), 'hex')")
    }
}
