//! What a room accepted, in the hub's order: exactly the bytes that every provider and device is sent.

use diesel::prelude::*;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::RoomUri;

use crate::convert::{digest, millis, number, time, to_db};
use crate::later::EventRow;
use crate::schema::{events, rooms};
use crate::vault::Purpose;
use crate::{Conn, StoreError, Tx};

/// Which body a FanoutMessage has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// An application message.
    Message,
    /// A Welcome.
    Welcome,
    /// Proposals.
    Proposal,
    /// A commit.
    Commit,
}

impl EventKind {
    fn code(self) -> i32 {
        match self {
            Self::Message => 0,
            Self::Welcome => 1,
            Self::Proposal => 2,
            Self::Commit => 3,
        }
    }

    /// What a device is told an event is.
    pub fn name(self) -> &'static str {
        match self {
            Self::Message => "application",
            Self::Welcome => "welcome",
            Self::Proposal => "proposal",
            Self::Commit => "commit",
        }
    }

    pub(crate) fn from_code(code: i32) -> Result<Self, StoreError> {
        [Self::Message, Self::Welcome, Self::Proposal, Self::Commit]
            .into_iter()
            .find(|kind| kind.code() == code)
            .ok_or(StoreError::Corrupt("event kind"))
    }
}

/// An accepted event to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Which body it has.
    pub kind: EventKind,
    /// MLS epoch it belongs to.
    pub epoch: u64,
    /// When the hub accepted it.
    pub accepted_at: Millis,
    /// SHA-256 of the MLSMessage.
    pub message_hash: [u8; 32],
    /// The encoded FanoutMessage.
    pub fanout: Vec<u8>,
}

/// An event of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number in the room; the first is 1.
    pub seq: u64,
    /// What was appended.
    pub event: NewEvent,
}

/// An event that was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its number in the room.
    pub seq: u64,
    /// Length of its FanoutMessage.
    pub bytes: u64,
}

/// Appends `event` with the number in the room that follows that of the event before it.
///
/// # Errors
///
/// [`StoreError::NoRoom`].
pub fn append(tx: &mut Tx<'_>, room: &RoomUri, event: &NewEvent) -> Result<Appended, StoreError> {
    let target = rooms::table.filter(rooms::uri.eq(room.as_str()));
    let seq = db!(tx, |c| {
        diesel::update(target)
            .set(rooms::last_seq.eq(rooms::last_seq + 1))
            .returning(rooms::last_seq)
            .get_result::<i64>(c)
            .optional()
    })?;
    put(tx, room, number(seq.ok_or(StoreError::NoRoom)?)?, event)
}

/// Appends `event` with a number that the room has given already ([`crate::rooms::accept_message`]).
///
/// # Errors
///
/// [`StoreError::OutOfRange`].
pub fn put(tx: &mut Tx<'_>, room: &RoomUri, seq: u64, event: &NewEvent) -> Result<Appended, StoreError> {
    let row = EventRow {
        room: room.to_string(),
        seq: to_db(seq)?,
        kind: event.kind.code().into(),
        epoch: to_db(event.epoch)?,
        accepted_at: time(event.accepted_at)?,
        message_hash: event.message_hash.to_vec(),
        fanout: tx.seal(Purpose::Events, &[room.as_bytes(), &seq.to_be_bytes()], &event.fanout)?,
    };
    tx.later.events.push(row);
    Ok(Appended { seq, bytes: event.fanout.len() as u64 })
}

/// Events of a room from number `from` on, in order, at most `limit`.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn range(conn: &mut Conn, room: &RoomUri, from: u64, limit: u32) -> Result<Vec<Event>, StoreError> {
    type Row = (i64, i32, i64, i64, Vec<u8>, Vec<u8>);
    let query = events::table
        .filter(events::room.eq(room.as_str()))
        .filter(events::seq.ge(to_db(from)?))
        .order(events::seq)
        .limit(limit.into())
        .select((events::seq, events::kind, events::epoch, events::accepted_at, events::message_hash, events::fanout));
    let rows = db!(conn, |c| query.load::<Row>(c))?;
    rows.into_iter()
        .map(|(seq, kind, epoch, accepted_at, message_hash, fanout)| {
            let event = NewEvent {
                kind: EventKind::from_code(kind)?,
                epoch: number(epoch)?,
                accepted_at: millis(accepted_at)?,
                message_hash: digest(&message_hash)?,
                fanout: unsealed(conn, room.as_str(), number(seq)?, fanout)?,
            };
            Ok(Event { seq: number(seq)?, event })
        })
        .collect()
}

/// The FanoutMessage of an event as it was before it was appended.
pub(crate) fn unsealed(conn: &mut Conn, room: &str, seq: u64, fanout: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    conn.unseal(Purpose::Events, &[room.as_bytes(), &seq.to_be_bytes()], fanout)
}
