//! Our devices in rooms that other providers host.

use diesel::prelude::*;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{ClientUri, RoomUri};

use crate::convert::{client, room as room_uri, time};
use crate::schema::followed;
use crate::{Conn, StoreError, Tx};

/// Notes that a device is in the room; nothing changes when it is already.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn join(tx: &mut Tx<'_>, room: &RoomUri, device: &ClientUri, now: Millis) -> Result<(), StoreError> {
    let row =
        (followed::room.eq(room.as_str()), followed::device.eq(device.as_str()), followed::joined_at.eq(time(now)?));
    db!(tx, |c| diesel::insert_into(followed::table).values(row).on_conflict_do_nothing().execute(c))?;
    Ok(())
}

/// Notes that a device is no longer in the room.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn leave(tx: &mut Tx<'_>, room: &RoomUri, device: &ClientUri) -> Result<(), StoreError> {
    let row = followed::table.filter(followed::room.eq(room.as_str())).filter(followed::device.eq(device.as_str()));
    db!(tx, |c| diesel::delete(row).execute(c))?;
    Ok(())
}

/// Our devices in the room, in the order of their names; none when the room is unknown here.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn devices(conn: &mut Conn, room: &RoomUri) -> Result<Vec<ClientUri>, StoreError> {
    let query =
        followed::table.filter(followed::room.eq(room.as_str())).order(followed::device).select(followed::device);
    db!(conn, |c| query.load::<String>(c))?.iter().map(|device| client(device)).collect()
}

/// The rooms of other providers that a device is in, in the order of their names.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn rooms(conn: &mut Conn, device: &ClientUri) -> Result<Vec<RoomUri>, StoreError> {
    let query =
        followed::table.filter(followed::device.eq(device.as_str())).order(followed::room).select(followed::room);
    db!(conn, |c| query.load::<String>(c))?.iter().map(|room| room_uri(room)).collect()
}
