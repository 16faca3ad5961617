//! How far each export of the audit log has come, who carries it out, and what its sink refused for good.

use std::time::Duration;

use diesel::prelude::*;
use portcullis_core::time::Millis;

use crate::convert::{millis, number, time, to_db};
use crate::schema::{sink_cursors, sink_dead_letters, sink_leases};
use crate::{Conn, StoreError, Tx};

/// The right to export to a sink. Holders that come later have a higher number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkLease {
    /// The sink.
    pub sink: String,
    /// The number.
    pub number: u64,
    /// How long it lasts after each step.
    pub ttl: Duration,
}

/// An entry that a sink refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its number in the log.
    pub seq: u64,
    /// When it was given up.
    pub given_up_at: Millis,
    /// HTTP status of the refusal.
    pub http_status: u16,
    /// What the sink said.
    pub reason: String,
}

/// Number of the first entry that the sink has not taken yet.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn cursor(conn: &mut Conn, sink: &str) -> Result<u64, StoreError> {
    let query = sink_cursors::table.filter(sink_cursors::name.eq(sink)).select(sink_cursors::seq);
    db!(conn, |c| query.first::<i64>(c).optional())?.map_or(Ok(0), number)
}

/// Who exports to the sink, and until when nobody else may.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn holder(conn: &mut Conn, sink: &str) -> Result<Option<(String, Millis)>, StoreError> {
    let query = sink_leases::table
        .filter(sink_leases::name.eq(sink))
        .select((sink_leases::lease_owner, sink_leases::lease_until));
    let row = db!(conn, |c| query.first::<(String, i64)>(c).optional())?;
    row.map(|(owner, until)| Ok((owner, millis(until)?))).transpose()
}

/// Lets `owner` export to the sink for `ttl`; `None` while somebody else may. An owner that may already goes on under
/// its number.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn take(
    tx: &mut Tx<'_>,
    sink: &str,
    owner: &str,
    now: Millis,
    ttl: Duration,
) -> Result<Option<SinkLease>, StoreError> {
    let query = sink_leases::table.filter(sink_leases::name.eq(sink)).select((
        sink_leases::lease,
        sink_leases::lease_owner,
        sink_leases::lease_until,
    ));
    let held = db!(tx, |c| query.first::<(i64, String, i64)>(c).optional())?;
    let until = time(now.plus(ttl))?;
    let (next, changed) = match held {
        None => {
            let row = (
                sink_leases::name.eq(sink),
                sink_leases::lease.eq(1_i64),
                sink_leases::lease_owner.eq(owner),
                sink_leases::lease_until.eq(until),
            );
            let insert = diesel::insert_into(sink_leases::table).values(row).on_conflict_do_nothing();
            (1, db!(tx, |c| insert.execute(c))?)
        }
        Some((_, other, expires)) if other != owner && expires > time(now)? => return Ok(None),
        Some((lease, other, expires)) => {
            let next = if other == owner { lease } else { lease + 1 };
            let row = sink_leases::table
                .filter(sink_leases::name.eq(sink))
                .filter(sink_leases::lease.eq(lease))
                .filter(sink_leases::lease_until.eq(expires));
            let held =
                (sink_leases::lease.eq(next), sink_leases::lease_owner.eq(owner), sink_leases::lease_until.eq(until));
            (next, db!(tx, |c| diesel::update(row).set(held).execute(c))?)
        }
    };
    Ok(if changed == 1 { Some(SinkLease { sink: sink.to_owned(), number: number(next)?, ttl }) } else { None })
}

/// Notes that the sink took the entries from `from` up to but without `to`, and prolongs the lease.
///
/// # Errors
///
/// [`StoreError::LeaseLost`] when somebody else exports to the sink by now, and [`StoreError::Missing`] when its cursor
/// is not at `from`. What the sink took is sent to it again then.
pub fn advance(tx: &mut Tx<'_>, lease: &SinkLease, from: u64, to: u64, now: Millis) -> Result<(), StoreError> {
    prolong(tx, lease, now.plus(lease.ttl))?;
    let at = (sink_cursors::seq.eq(to_db(to)?), sink_cursors::moved_at.eq(time(now)?));
    let changed = if from == 0 {
        let row = (sink_cursors::name.eq(&lease.sink), at);
        db!(tx, |c| diesel::insert_into(sink_cursors::table).values(row).on_conflict_do_nothing().execute(c))?
    } else {
        let row =
            sink_cursors::table.filter(sink_cursors::name.eq(&lease.sink)).filter(sink_cursors::seq.eq(to_db(from)?));
        db!(tx, |c| diesel::update(row).set(at).execute(c))?
    };
    if changed == 1 { Ok(()) } else { Err(StoreError::Missing) }
}

/// Keeps the entry at the cursor as a dead letter and moves the cursor past it, both or neither.
///
/// # Errors
///
/// As [`advance`].
pub fn give_up(tx: &mut Tx<'_>, lease: &SinkLease, letter: &DeadLetter) -> Result<(), StoreError> {
    advance(tx, lease, letter.seq, letter.seq + 1, letter.given_up_at)?;
    let row = (
        sink_dead_letters::sink.eq(&lease.sink),
        sink_dead_letters::seq.eq(to_db(letter.seq)?),
        sink_dead_letters::given_up_at.eq(time(letter.given_up_at)?),
        sink_dead_letters::http_status.eq(i32::from(letter.http_status)),
        sink_dead_letters::reason.eq(&letter.reason),
        sink_dead_letters::again.eq(0_i32),
    );
    db!(tx, |c| diesel::insert_into(sink_dead_letters::table).values(row).execute(c))?;
    Ok(())
}

/// Has what the sink refused for good, from number `from` to number `to`, be sent to it once more. Gives how much that is.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn want_again(tx: &mut Tx<'_>, sink: &str, from: u64, to: u64) -> Result<usize, StoreError> {
    let letters = sink_dead_letters::table
        .filter(sink_dead_letters::sink.eq(sink))
        .filter(sink_dead_letters::seq.between(to_db(from)?, to_db(to)?));
    Ok(db!(tx, |c| diesel::update(letters).set(sink_dead_letters::again.eq(1_i32)).execute(c))?)
}

/// Number of the first entry that is to be sent once more.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn wanted_again(conn: &mut Conn, sink: &str) -> Result<Option<u64>, StoreError> {
    let query = sink_dead_letters::table
        .filter(sink_dead_letters::sink.eq(sink))
        .filter(sink_dead_letters::again.eq(1_i32))
        .order(sink_dead_letters::seq)
        .select(sink_dead_letters::seq);
    db!(conn, |c| query.first::<i64>(c).optional())?.map(number).transpose()
}

/// The sink took an entry that was sent once more: it is a dead letter no longer. Prolongs the lease.
///
/// # Errors
///
/// [`StoreError::LeaseLost`] when somebody else exports to the sink by now.
pub fn redelivered(tx: &mut Tx<'_>, lease: &SinkLease, seq: u64, now: Millis) -> Result<(), StoreError> {
    prolong(tx, lease, now.plus(lease.ttl))?;
    let letter = letter(&lease.sink, to_db(seq)?);
    db!(tx, |c| diesel::delete(letter).execute(c))?;
    Ok(())
}

/// The sink refused an entry that was sent once more: it stays a dead letter. Prolongs the lease.
///
/// # Errors
///
/// [`StoreError::LeaseLost`] when somebody else exports to the sink by now.
pub fn refused_again(tx: &mut Tx<'_>, lease: &SinkLease, again: &DeadLetter) -> Result<(), StoreError> {
    prolong(tx, lease, again.given_up_at.plus(lease.ttl))?;
    let changes = (
        sink_dead_letters::given_up_at.eq(time(again.given_up_at)?),
        sink_dead_letters::http_status.eq(i32::from(again.http_status)),
        sink_dead_letters::reason.eq(&again.reason),
        sink_dead_letters::again.eq(0_i32),
    );
    let letter = letter(&lease.sink, to_db(again.seq)?);
    db!(tx, |c| diesel::update(letter).set(changes).execute(c))?;
    Ok(())
}

/// Ends the lease, so that another process may go on at once.
///
/// # Errors
///
/// [`StoreError::LeaseLost`] when somebody else has it by now.
pub fn release(tx: &mut Tx<'_>, lease: &SinkLease) -> Result<(), StoreError> {
    prolong(tx, lease, Millis(0))
}

/// What the sink refused for good, from number `from` on.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn dead_letters(conn: &mut Conn, sink: &str, from: u64, limit: u32) -> Result<Vec<DeadLetter>, StoreError> {
    type Row = (i64, i64, i32, String);
    let query = sink_dead_letters::table
        .filter(sink_dead_letters::sink.eq(sink))
        .filter(sink_dead_letters::seq.ge(to_db(from)?))
        .order(sink_dead_letters::seq)
        .limit(limit.into())
        .select((
            sink_dead_letters::seq,
            sink_dead_letters::given_up_at,
            sink_dead_letters::http_status,
            sink_dead_letters::reason,
        ));
    let rows = db!(conn, |c| query.load::<Row>(c))?;
    let letters = rows.into_iter().map(|(seq, given_up_at, http_status, reason)| {
        Ok(DeadLetter {
            seq: number(seq)?,
            given_up_at: millis(given_up_at)?,
            http_status: u16::try_from(http_status).map_err(|_| StoreError::Corrupt("status"))?,
            reason,
        })
    });
    letters.collect()
}

/// How many entries the sink refused for good.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn count_dead_letters(conn: &mut Conn, sink: &str) -> Result<u64, StoreError> {
    let query = sink_dead_letters::table.filter(sink_dead_letters::sink.eq(sink)).count();
    number(db!(conn, |c| query.get_result::<i64>(c))?)
}

#[diesel::dsl::auto_type(no_type_alias)]
fn letter<'a>(sink: &'a str, seq: i64) -> _ {
    sink_dead_letters::table.filter(sink_dead_letters::sink.eq(sink)).filter(sink_dead_letters::seq.eq(seq))
}

fn prolong(tx: &mut Tx<'_>, lease: &SinkLease, until: Millis) -> Result<(), StoreError> {
    let row = sink_leases::table
        .filter(sink_leases::name.eq(&lease.sink))
        .filter(sink_leases::lease.eq(to_db(lease.number)?));
    let until = sink_leases::lease_until.eq(time(until)?);
    if db!(tx, |c| diesel::update(row).set(until).execute(c))? == 1 { Ok(()) } else { Err(StoreError::LeaseLost) }
}
