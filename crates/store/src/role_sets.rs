//! The roles of rooms, each set of them once for all rooms that have it: records of decisions name them.

use diesel::prelude::*;

use crate::schema::role_sets;
use crate::{Conn, StoreError, Tx};

/// Keeps roles under their name; nothing changes when they are there already.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn put(tx: &mut Tx<'_>, id: &str, content: &[u8]) -> Result<(), StoreError> {
    let row = (role_sets::id.eq(id), role_sets::content.eq(content));
    db!(tx, |c| diesel::insert_into(role_sets::table).values(row).on_conflict_do_nothing().execute(c))?;
    Ok(())
}

/// The roles of that name.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn load(conn: &mut Conn, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let query = role_sets::table.filter(role_sets::id.eq(id)).select(role_sets::content);
    Ok(db!(conn, |c| query.first::<Vec<u8>>(c).optional())?)
}
