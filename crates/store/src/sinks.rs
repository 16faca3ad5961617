//! How far each export of the audit log has come.

use diesel::prelude::*;
use portcullis_core::time::Millis;

use crate::convert::{number, time, to_db};
use crate::schema::sink_cursors;
use crate::{Conn, StoreError, Tx};

/// Number of the first entry that the sink has not taken yet.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn cursor(conn: &mut Conn, sink: &str) -> Result<u64, StoreError> {
    let query = sink_cursors::table.filter(sink_cursors::name.eq(sink)).select(sink_cursors::seq);
    db!(conn, |c| query.first::<i64>(c).optional())?.map_or(Ok(0), number)
}

/// Notes that the sink took the entries from `from` up to but without `to`.
///
/// # Errors
///
/// [`StoreError::Missing`] when its cursor is not at `from`: another exporter works for the same sink.
pub fn advance(tx: &mut Tx<'_>, sink: &str, from: u64, to: u64, now: Millis) -> Result<(), StoreError> {
    let at = (sink_cursors::seq.eq(to_db(to)?), sink_cursors::moved_at.eq(time(now)?));
    let changed = if from == 0 {
        let row = (sink_cursors::name.eq(sink), at);
        db!(tx, |c| diesel::insert_into(sink_cursors::table).values(row).on_conflict_do_nothing().execute(c))?
    } else {
        let row = sink_cursors::table.filter(sink_cursors::name.eq(sink)).filter(sink_cursors::seq.eq(to_db(from)?));
        db!(tx, |c| diesel::update(row).set(at).execute(c))?
    };
    if changed == 1 { Ok(()) } else { Err(StoreError::Missing) }
}
