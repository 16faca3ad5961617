//! What hubs have notified us of already (reading D-40): whole batches, and single messages that came in other batches.

use std::collections::BTreeMap;

use diesel::prelude::*;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::RoomUri;

use crate::convert::{digest, number, time, to_db};
use crate::schema::{inbox_batches, inbox_messages};
use crate::{Conn, StoreError, Tx};

/// Whether something came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is new, and is noted now.
    First,
    /// It came before.
    Again,
}

impl Seen {
    fn of(inserted: usize) -> Self {
        if inserted == 0 { Self::Again } else { Self::First }
    }
}

/// Notes a batch by its key: [`crate::answers::scope`] of sender, room and body.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn see_batch(tx: &mut Tx<'_>, key: &[u8; 32], now: Millis) -> Result<Seen, StoreError> {
    let row = (inbox_batches::key.eq(key.as_slice()), inbox_batches::seen_at.eq(time(now)?));
    let noted = db!(tx, |c| diesel::insert_into(inbox_batches::table).values(row).on_conflict_do_nothing().execute(c))?;
    Ok(Seen::of(noted))
}

/// Notes a message of a room by its SHA-256, with the version of the room at which it is put before devices.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn see_message(
    tx: &mut Tx<'_>,
    room: &RoomUri,
    hash: &[u8; 32],
    version: u64,
    now: Millis,
) -> Result<Seen, StoreError> {
    let row = (
        inbox_messages::version.eq(to_db(version)?),
        inbox_messages::room.eq(room.as_str()),
        inbox_messages::message_hash.eq(hash.as_slice()),
        inbox_messages::seen_at.eq(time(now)?),
    );
    let noted =
        db!(tx, |c| diesel::insert_into(inbox_messages::table).values(row).on_conflict_do_nothing().execute(c))?;
    Ok(Seen::of(noted))
}

/// Notes the version of the room at which a message that came before is put before devices that have joined since.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn see_again(tx: &mut Tx<'_>, room: &RoomUri, hash: &[u8; 32], version: u64) -> Result<(), StoreError> {
    let target = inbox_messages::table
        .filter(inbox_messages::room.eq(room.as_str()))
        .filter(inbox_messages::message_hash.eq(hash.as_slice()));
    let changes = inbox_messages::version.eq(to_db(version)?);
    db!(tx, |c| diesel::update(target).set(changes).execute(c))?;
    Ok(())
}

/// Which of these messages of a room came before, each with the version of the room at which it was last put before
/// devices.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn seen(conn: &mut Conn, room: &RoomUri, hashes: &[[u8; 32]]) -> Result<BTreeMap<[u8; 32], u64>, StoreError> {
    let hashes: Vec<&[u8]> = hashes.iter().map(<[u8; 32]>::as_slice).collect();
    let query = inbox_messages::table
        .filter(inbox_messages::room.eq(room.as_str()))
        .filter(inbox_messages::message_hash.eq_any(hashes))
        .select((inbox_messages::message_hash, inbox_messages::version));
    let rows = db!(conn, |c| query.load::<(Vec<u8>, i64)>(c))?;
    rows.iter().map(|(hash, version)| Ok((digest(hash)?, number(*version)?))).collect()
}

/// Forgets batches that came before `before`, the oldest first, at most `limit`. Gives their number.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn expire_batches(tx: &mut Tx<'_>, before: Millis, limit: u32) -> Result<usize, StoreError> {
    let came = inbox_batches::table.filter(inbox_batches::seen_at.lt(time(before)?)).order(inbox_batches::seen_at);
    let over = db!(tx, |c| came.limit(limit.into()).select(inbox_batches::key).load::<Vec<u8>>(c))?;
    let old = inbox_batches::table.filter(inbox_batches::key.eq_any(over));
    Ok(db!(tx, |c| diesel::delete(old).execute(c))?)
}

/// Forgets messages that came before `before`, the oldest first, at most `limit` and those that came with the last of
/// them. Gives their number.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn expire_messages(tx: &mut Tx<'_>, before: Millis, limit: u32) -> Result<usize, StoreError> {
    let before = time(before)?;
    let came = inbox_messages::table.filter(inbox_messages::seen_at.lt(before)).order(inbox_messages::seen_at);
    let last = came.offset(i64::from(limit) - 1).limit(1).select(inbox_messages::seen_at);
    let last = db!(tx, |c| last.first::<i64>(c).optional())?.unwrap_or(before - 1);
    let old = inbox_messages::table.filter(inbox_messages::seen_at.le(last));
    Ok(db!(tx, |c| diesel::delete(old).execute(c))?)
}
