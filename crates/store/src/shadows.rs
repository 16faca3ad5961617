//! Bundles that are asked beside the one that decides, and what has come of it. One is at a time; what others have given
//! stays.

use diesel::prelude::*;
use portcullis_core::time::Millis;

use crate::audit;
use crate::convert::{digest, millis, number, time, to_db};
use crate::schema::{bundles, policy_shadows};
use crate::{Conn, StoreError, Topic, Tx};

/// A bundle that is asked beside the one that decides, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// Its number; later ones have higher numbers.
    pub run: u64,
    /// Digest of the bundle.
    pub digest: [u8; 32],
    /// Who began.
    pub started_by: String,
    /// When.
    pub started_at: Millis,
    /// Number of the first entry of the log that it is asked about.
    pub from: u64,
    /// Number of the first entry that it was not asked about yet.
    pub position: u64,
    /// How it ended; `None` while it goes on.
    pub stopped: Option<Stopped>,
    /// What has come of it, as JSON; empty for nothing yet.
    pub report: String,
}

/// The end of a shadow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Who ended it.
    pub by: String,
    /// When.
    pub at: Millis,
    /// How many entries the log had.
    pub size: u64,
}

type Row = (i64, Vec<u8>, String, i64, i64, i64, Option<String>, Option<i64>, Option<i64>, String);

type Columns = (
    policy_shadows::run,
    policy_shadows::digest,
    policy_shadows::started_by,
    policy_shadows::started_at,
    policy_shadows::first_entry,
    policy_shadows::position,
    policy_shadows::stopped_by,
    policy_shadows::stopped_at,
    policy_shadows::stopped_size,
    policy_shadows::report,
);

const COLUMNS: Columns = (
    policy_shadows::run,
    policy_shadows::digest,
    policy_shadows::started_by,
    policy_shadows::started_at,
    policy_shadows::first_entry,
    policy_shadows::position,
    policy_shadows::stopped_by,
    policy_shadows::stopped_at,
    policy_shadows::stopped_size,
    policy_shadows::report,
);

/// Begins to ask a kept bundle from the end of the log on.
///
/// # Errors
///
/// [`StoreError::Missing`] when no bundle of that digest is kept, and an error of the database while another is asked.
pub fn start(tx: &mut Tx<'_>, of: &[u8; 32], by: &str, now: Millis) -> Result<(), StoreError> {
    let kept = bundles::table.filter(bundles::digest.eq(of.as_slice())).select(bundles::stored_at);
    if db!(tx, |c| kept.first::<i64>(c).optional())?.is_none() {
        return Err(StoreError::Missing);
    }
    let from = to_db(audit::size(tx)?)?;
    let row = (
        policy_shadows::digest.eq(of.as_slice()),
        policy_shadows::started_by.eq(by),
        policy_shadows::started_at.eq(time(now)?),
        policy_shadows::first_entry.eq(from),
        policy_shadows::position.eq(from),
        policy_shadows::running.eq(Some(1_i32)),
        policy_shadows::report.eq(""),
    );
    db!(tx, |c| diesel::insert_into(policy_shadows::table).values(row).execute(c))?;
    tx.touch(Topic::Policy);
    Ok(())
}

/// Ends the one that goes on.
///
/// # Errors
///
/// [`StoreError::Missing`] when it has ended.
pub fn stop(tx: &mut Tx<'_>, run: u64, by: &str, now: Millis) -> Result<(), StoreError> {
    let size = to_db(audit::size(tx)?)?;
    let of = policy_shadows::table
        .filter(policy_shadows::run.eq(to_db(run)?))
        .filter(policy_shadows::running.eq(Some(1_i32)));
    let values = (
        policy_shadows::running.eq(None::<i32>),
        policy_shadows::stopped_by.eq(Some(by)),
        policy_shadows::stopped_at.eq(Some(time(now)?)),
        policy_shadows::stopped_size.eq(Some(size)),
    );
    tx.touch(Topic::Policy);
    if db!(tx, |c| diesel::update(of).set(values).execute(c))? == 1 { Ok(()) } else { Err(StoreError::Missing) }
}

/// Notes what has come of asking about the entries from `from` up to but without `to`.
///
/// # Errors
///
/// [`StoreError::Missing`] when somebody else has asked about them, or it has ended.
pub fn advance(tx: &mut Tx<'_>, run: u64, (from, to): (u64, u64), report: &str) -> Result<(), StoreError> {
    let of = policy_shadows::table
        .filter(policy_shadows::run.eq(to_db(run)?))
        .filter(policy_shadows::running.eq(Some(1_i32)))
        .filter(policy_shadows::position.eq(to_db(from)?));
    let values = (policy_shadows::position.eq(to_db(to)?), policy_shadows::report.eq(report));
    if db!(tx, |c| diesel::update(of).set(values).execute(c))? == 1 { Ok(()) } else { Err(StoreError::Missing) }
}

/// The one that goes on.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn running(conn: &mut Conn) -> Result<Option<Shadow>, StoreError> {
    let query = policy_shadows::table.filter(policy_shadows::running.eq(Some(1_i32))).select(COLUMNS);
    db!(conn, |c| query.first::<Row>(c).optional())?.map(read).transpose()
}

/// The latest: of all, or of one bundle.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn latest(conn: &mut Conn, of: Option<&[u8; 32]>) -> Result<Option<Shadow>, StoreError> {
    let found = db!(conn, |c| {
        let mut query = policy_shadows::table.order(policy_shadows::run.desc()).select(COLUMNS).into_boxed();
        if let Some(of) = of {
            query = query.filter(policy_shadows::digest.eq(of.as_slice()));
        }
        query.first::<Row>(c).optional()
    })?;
    found.map(read).transpose()
}

fn read(row: Row) -> Result<Shadow, StoreError> {
    let (run, of, started_by, started_at, from, position, by, at, size, report) = row;
    let stopped = match (by, at, size) {
        (Some(by), Some(at), Some(size)) => Some(Stopped { by, at: millis(at)?, size: number(size)? }),
        _ => None,
    };
    Ok(Shadow {
        run: number(run)?,
        digest: digest(&of)?,
        started_by,
        started_at: millis(started_at)?,
        from: number(from)?,
        position: number(position)?,
        stopped,
        report,
    })
}
