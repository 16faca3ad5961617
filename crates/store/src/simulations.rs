//! What came of asking the log again before a bundle decides, for the record of its activation.

use diesel::prelude::*;
use portcullis_core::time::Millis;

use crate::convert::{millis, time};
use crate::schema::bundle_simulations;
use crate::{Conn, StoreError, Tx};

/// What came of asking the log again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulation {
    /// Who did.
    pub by: String,
    /// When.
    pub at: Millis,
    /// What came of it, as JSON.
    pub report: String,
}

/// Most that are kept of a bundle; the latest.
pub const MOST: u32 = 32;

/// Keeps it beside those that are kept of the same bundle, which must be kept itself. Two in the same millisecond follow each
/// other.
///
/// # Errors
///
/// [`StoreError`] of the database, such as that the bundle is not kept.
pub fn put(tx: &mut Tx<'_>, digest: &[u8; 32], simulation: &Simulation) -> Result<(), StoreError> {
    use bundle_simulations as of;
    let kept = latest(tx, digest, MOST)?;
    let at = kept.first().map_or(simulation.at, |last| simulation.at.max(Millis(last.at.0 + 1)));
    let row = (
        of::digest.eq(digest.as_slice()),
        of::made_by.eq(simulation.by.as_str()),
        of::made_at.eq(time(at)?),
        of::report.eq(simulation.report.as_str()),
    );
    db!(tx, |c| diesel::insert_into(of::table).values(row).execute(c))?;
    if let Some(oldest) = kept.get(MOST as usize - 1) {
        let old = of::table.filter(of::digest.eq(digest.as_slice())).filter(of::made_at.le(time(oldest.at)?));
        db!(tx, |c| diesel::delete(old).execute(c))?;
    }
    Ok(())
}

/// The latest of a bundle, at most `limit`, the last one first.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn latest(conn: &mut Conn, digest: &[u8; 32], limit: u32) -> Result<Vec<Simulation>, StoreError> {
    use bundle_simulations as of;
    let query = of::table
        .filter(of::digest.eq(digest.as_slice()))
        .order(of::made_at.desc())
        .limit(limit.into())
        .select((of::made_by, of::made_at, of::report));
    let found = db!(conn, |c| query.load::<(String, i64, String)>(c))?;
    found.into_iter().map(|(by, at, report)| Ok(Simulation { by, at: millis(at)?, report })).collect()
}
