//! Where the numbers of a room stand while its messages are accepted.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Integer};
use diesel::sqlite::SqliteConnection;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::RoomUri;

use crate::conn::Kind;
use crate::convert::{millis, number, time, to_db};
use crate::effects::{Effect, Effects, Part};
use crate::fixed::{Bind, fixed};
use crate::rooms::{RoomStatus, Seen, status_code};
use crate::row::{Cell, Many, Row};
use crate::turn::{Asked, Turn};
use crate::{StoreError, Tx};

/// Accepts an application message: the version stays, so that messages do not disturb each other. Its timestamp is after
/// that of everything the room accepted before (reading D-32), and its number follows theirs.
///
/// # Errors
///
/// As [`crate::rooms::advance_epoch`].
pub fn accept_message(tx: &mut Tx<'_>, room: &RoomUri, seen: Seen, now: Millis) -> Result<Accepted, StoreError> {
    let now = time(now)?;
    let locked = match tx.later.rooms.get(room.as_str()) {
        Some(cursor) => *cursor,
        None => lock(tx, room)?.ok_or(StoreError::NoRoom)?,
    };
    if (locked.epoch, locked.version) != (to_db(seen.epoch)?, to_db(seen.version)?) || !locked.runs {
        return Err(StoreError::EpochMoved { epoch: number(locked.epoch)?, version: number(locked.version)? });
    }
    let next = |last: i64| last.checked_add(1).ok_or(StoreError::OutOfRange);
    let (last_seq, last_accepted) = (next(locked.last_seq)?, now.max(next(locked.last_accepted)?));
    tx.later.rooms.insert(room.to_string(), Cursor { last_seq, last_accepted, ..locked });
    Ok(Accepted { at: millis(last_accepted)?, seq: number(last_seq)? })
}

/// A room that nobody else changes until the transaction ends, and where its numbers stand.
#[derive(Clone, Copy)]
pub(crate) struct Cursor {
    epoch: i64,
    version: i64,
    runs: bool,
    last_accepted: i64,
    last_seq: i64,
}

type Locking<'a> = Asked<'a, (BigInt, BigInt, Integer, BigInt, BigInt), (i64, i64, i32, i64, i64)>;

fn lock(tx: &mut Tx<'_>, room: &RoomUri) -> Result<Option<Cursor>, StoreError> {
    let parts: &'static [&'static str] = match &tx.kind {
        // It has its only writer.
        Kind::Sqlite(_) => &["SELECT epoch, version, status, last_accepted, last_seq FROM rooms WHERE uri = ", ""],
        Kind::Postgres(_) => {
            &["SELECT epoch, version, status, last_accepted, last_seq FROM rooms WHERE uri = ", " FOR UPDATE"]
        }
    };
    let asked: Locking<'_> = Asked::new(fixed(parts, [Bind::Text(room.as_str())]));
    let mut turn = Turn::default();
    turn.add(&asked);
    tx.ask_first(&turn)?;
    drop(turn);
    Ok(asked.answer().map(|(epoch, version, status, last_accepted, last_seq)| {
        let runs = [RoomStatus::Active, RoomStatus::Followed].map(status_code).contains(&status);
        Cursor { epoch, version, runs, last_accepted, last_seq }
    }))
}

/// Where the numbers of rooms stand, to be written.
pub(crate) struct Moved(Vec<MovedRow>);

struct MovedRow {
    room: String,
    last_seq: i64,
    last_accepted: i64,
}

/// Writes where the numbers of rooms stand.
pub(crate) fn write(effects: &mut Effects<'_>, rooms: BTreeMap<String, Cursor>) {
    let row = |(room, cursor): (String, Cursor)| MovedRow {
        room,
        last_seq: cursor.last_seq,
        last_accepted: cursor.last_accepted,
    };
    if !rooms.is_empty() {
        effects.add(Moved(rooms.into_iter().map(row).collect()));
    }
}

impl Effect for Moved {
    fn run(&self, conn: &mut SqliteConnection) -> QueryResult<()> {
        self.0.iter().try_for_each(|MovedRow { room, last_seq, last_accepted }| {
            let statement = fixed::<()>(
                &["UPDATE rooms SET last_seq = ", ", last_accepted = ", " WHERE uri = ", ""],
                [Bind::Number(*last_seq), Bind::Number(*last_accepted), Bind::Text(room)],
            );
            statement.execute(conn).map(drop)
        })
    }

    fn part(&self) -> Part<'_> {
        Box::new(Many::of(&self.0))
    }
}

impl Row for MovedRow {
    const INTO: &'static str = "UPDATE rooms SET last_seq = moved.seq, last_accepted = moved.at FROM (";
    const END: &'static str = ") AS moved (room, seq, at) WHERE uri = moved.room";
    type Name = Moved;

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![(&self.room).into(), (&self.last_seq).into(), (&self.last_accepted).into()]
    }
}

/// What a message became by being accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// When.
    pub at: Millis,
    /// The number of its event in the room, which [`crate::events::put`] is to use.
    pub seq: u64,
}
