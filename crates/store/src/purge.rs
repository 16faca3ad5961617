//! What has served its time and is purged, with its record: nothing of a room under legal hold.

use diesel::dsl::{exists, not};
use diesel::prelude::*;
use portcullis_core::time::Millis;

use crate::convert::time;
use crate::reports::ReportState;
use crate::restrictions::Restriction;
use crate::schema::{report_messages, reports, room_restrictions, stream_payloads, stream_rows, stream_stage};
use crate::{StoreError, Tx};

/// Purges reports that were closed before `before`, with what was reported in them: at most `most`. Gives their number.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn closed_reports(tx: &mut Tx<'_>, before: Millis, most: u32) -> Result<usize, StoreError> {
    let (hold, _) = Restriction::LegalHold.key();
    let held = room_restrictions::table
        .filter(room_restrictions::room.eq(reports::room))
        .filter(room_restrictions::kind.eq(hold))
        .filter(room_restrictions::ended_at.eq(0_i64));
    let over = reports::table
        .filter(reports::state.eq_any([ReportState::Upheld, ReportState::Dismissed].map(ReportState::code)))
        .filter(reports::decided_at.lt(time(before)?))
        .filter(not(exists(held)))
        .order(reports::decided_at)
        .limit(most.into())
        .select((reports::id, reports::version));
    let mut purged = 0;
    for (report, version) in db!(tx, |c| over.load::<(Vec<u8>, i64)>(c))? {
        // Unless somebody has opened it again.
        let row = reports::table.filter(reports::id.eq(&report)).filter(reports::version.eq(version));
        let gone = db!(tx, |c| diesel::delete(row).execute(c))?;
        if gone == 1 {
            let messages = report_messages::table.filter(report_messages::report.eq(&report));
            db!(tx, |c| diesel::delete(messages).execute(c))?;
        }
        purged += gone;
    }
    Ok(purged)
}

/// Purges what was to be sent before `before` to devices that are all gone: at most `most` items. Gives their number.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn payloads(tx: &mut Tx<'_>, before: Millis, most: u32) -> Result<usize, StoreError> {
    let (hold, _) = Restriction::LegalHold.key();
    let held = room_restrictions::table
        .filter(room_restrictions::room.eq(stream_payloads::room))
        .filter(room_restrictions::kind.eq(hold))
        .filter(room_restrictions::ended_at.eq(0_i64));
    let sent = stream_rows::table.filter(stream_rows::payload.eq(stream_payloads::id.nullable()));
    let staged = stream_stage::table.filter(stream_stage::payload.eq(stream_payloads::id.nullable()));
    let over = stream_payloads::table
        .filter(stream_payloads::at.lt(time(before)?))
        .filter(not(exists(sent)))
        .filter(not(exists(staged)))
        .filter(not(exists(held)))
        .limit(most.into())
        .select(stream_payloads::id);
    let over = db!(tx, |c| over.load::<Vec<u8>>(c))?;
    let rows = stream_payloads::table.filter(stream_payloads::id.eq_any(over));
    Ok(db!(tx, |c| diesel::delete(rows).execute(c))?)
}
