//! How much there is of everything, for whoever watches a gateway.

use diesel::dsl::{count_star, max};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use portcullis_core::time::Millis;

use crate::convert::{millis, number};
use crate::outbox::LaneStatus;
use crate::rooms::{RoomStatus, status_code};
use crate::schema::{audit_entries, audit_stage, outbox_lanes, rooms, sink_cursors};
use crate::{Conn, StoreError, consents, restrictions};

/// What a gateway holds, seen at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// Rooms it is hub of.
    pub rooms: u64,
    /// Lanes of the outbox that owe something.
    pub lanes_owing: u64,
    /// Those of them that wait for a person.
    pub lanes_parked: u64,
    /// Messages that are owed to other providers.
    pub backlog: u64,
    /// Letters about consent that other providers have not taken.
    pub letters: u64,
    /// Those of them that wait for a person.
    pub letters_parked: u64,
    /// Restrictions for which a commit is owed that takes clients out of a group.
    pub expulsions_owed: u64,
    /// Those of them whose commit is too long in coming.
    pub expulsions_overdue: u64,
    /// Audit records without a position.
    pub unsequenced: u64,
    /// Position of the last audit record; `None` for an empty log.
    pub last_position: Option<u64>,
    /// How far each export of the audit log has come.
    pub exports: Vec<Export>,
}

/// One export of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Its name.
    pub name: String,
    /// Position of the first record that it has not taken.
    pub next: u64,
    /// When it came so far.
    pub moved_at: Millis,
}

/// Counts everything.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn overview(conn: &mut Conn) -> Result<Overview, StoreError> {
    let owing = || outbox_lanes::table.filter(outbox_lanes::head.lt(outbox_lanes::tail));
    let parked = owing().filter(outbox_lanes::status.eq(LaneStatus::Parked.code()));
    let backlog = owing().select(diesel::dsl::sql::<BigInt>("CAST(coalesce(sum(tail - head), 0) AS BIGINT)"));
    let ours = [RoomStatus::Waiting, RoomStatus::Active].map(status_code);
    let hosted = rooms::table.filter(rooms::status.eq_any(ours));
    let exports = sink_cursors::table.order(sink_cursors::name).select((
        sink_cursors::name,
        sink_cursors::seq,
        sink_cursors::moved_at,
    ));
    let last = audit_entries::table.select(max(audit_entries::seq));
    let (letters, letters_parked) = consents::count_letters(conn)?;
    let (expulsions_owed, expulsions_overdue) = restrictions::count_owed(conn)?;
    Ok(Overview {
        rooms: number(db!(conn, |c| hosted.select(count_star()).first::<i64>(c))?)?,
        lanes_owing: number(db!(conn, |c| owing().select(count_star()).first::<i64>(c))?)?,
        lanes_parked: number(db!(conn, |c| parked.select(count_star()).first::<i64>(c))?)?,
        backlog: number(db!(conn, |c| backlog.first::<i64>(c))?)?,
        letters,
        letters_parked,
        expulsions_owed,
        expulsions_overdue,
        unsequenced: number(db!(conn, |c| audit_stage::table.select(count_star()).first::<i64>(c))?)?,
        last_position: db!(conn, |c| last.first::<Option<i64>>(c))?.map(number).transpose()?,
        exports: db!(conn, |c| exports.load::<(String, i64, i64)>(c))?
            .into_iter()
            .map(|(name, next, at)| Ok(Export { name, next: number(next)?, moved_at: millis(at)? }))
            .collect::<Result<_, StoreError>>()?,
    })
}
