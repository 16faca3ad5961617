//! How much waits, for people and their gauges.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::convert::number;
use crate::outbox::LaneStatus;
use crate::schema::{audit_stage, outbox_lanes, stream_stage};
use crate::{Conn, StoreError, audit, consents, restrictions, sinks};

/// What waits for the workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Messages that are owed to other providers.
    pub owed: u64,
    /// Lanes of the outbox that stand still until a person looks at them.
    pub parked_lanes: u64,
    /// Audit records without a position.
    pub staged_records: u64,
    /// Rows of event streams without a position.
    pub staged_stream_rows: u64,
    /// Entries of the audit log that the sink has not taken.
    pub not_exported: u64,
    /// Entries that the sink refused for good.
    pub dead_letters: u64,
    /// Restrictions for which a commit is owed that takes clients out of a group.
    pub owed_expulsions: u64,
    /// Those of them whose commit is too long in coming.
    pub overdue_expulsions: u64,
    /// Letters about consent that wait for a person.
    pub parked_letters: u64,
}

/// Counts what waits, and how far `sink` is behind.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn backlog(conn: &mut Conn, sink: &str) -> Result<Backlog, StoreError> {
    let open = outbox_lanes::table.filter(outbox_lanes::head.lt(outbox_lanes::tail));
    let owed = open.select(sql::<BigInt>("CAST(COALESCE(SUM(tail - head), 0) AS BIGINT)"));
    let parked = open.filter(outbox_lanes::status.eq(LaneStatus::Parked.code())).count();
    let (owed_expulsions, overdue_expulsions) = restrictions::count_owed(conn)?;
    Ok(Backlog {
        owed: number(db!(conn, |c| owed.first::<i64>(c))?)?,
        parked_lanes: number(db!(conn, |c| parked.get_result::<i64>(c))?)?,
        staged_records: number(db!(conn, |c| audit_stage::table.count().get_result::<i64>(c))?)?,
        staged_stream_rows: number(db!(conn, |c| stream_stage::table.count().get_result::<i64>(c))?)?,
        not_exported: audit::size(conn)?.saturating_sub(sinks::cursor(conn, sink)?),
        dead_letters: sinks::count_dead_letters(conn, sink)?,
        owed_expulsions,
        overdue_expulsions,
        parked_letters: consents::count_letters(conn)?.1,
    })
}
