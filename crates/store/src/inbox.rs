//! What hubs have notified us of already (reading D-40): whole batches, and single messages that came in other batches.

use diesel::prelude::*;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::RoomUri;

use crate::convert::time;
use crate::schema::{inbox_batches, inbox_messages};
use crate::{StoreError, Tx};

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

/// Notes a message of a room by its SHA-256.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn see_message(tx: &mut Tx<'_>, room: &RoomUri, hash: &[u8; 32], now: Millis) -> Result<Seen, StoreError> {
    let row = (
        inbox_messages::room.eq(room.as_str()),
        inbox_messages::message_hash.eq(hash.as_slice()),
        inbox_messages::seen_at.eq(time(now)?),
    );
    let noted =
        db!(tx, |c| diesel::insert_into(inbox_messages::table).values(row).on_conflict_do_nothing().execute(c))?;
    Ok(Seen::of(noted))
}

/// Forgets what came before `before`.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn expire(tx: &mut Tx<'_>, before: Millis) -> Result<(), StoreError> {
    let before = time(before)?;
    let batches = inbox_batches::table.filter(inbox_batches::seen_at.lt(before));
    db!(tx, |c| diesel::delete(batches).execute(c))?;
    let messages = inbox_messages::table.filter(inbox_messages::seen_at.lt(before));
    db!(tx, |c| diesel::delete(messages).execute(c))?;
    Ok(())
}
