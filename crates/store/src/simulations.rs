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

/// Keeps the latest for a bundle that is kept.
///
/// # Errors
///
/// [`StoreError`] of the database, such as that the bundle is not kept.
pub fn put(tx: &mut Tx<'_>, digest: &[u8; 32], simulation: &Simulation) -> Result<(), StoreError> {
    let values = (
        bundle_simulations::made_by.eq(simulation.by.as_str()),
        bundle_simulations::made_at.eq(time(simulation.at)?),
        bundle_simulations::report.eq(simulation.report.as_str()),
    );
    let row = (bundle_simulations::digest.eq(digest.as_slice()), values);
    db!(tx, |c| {
        diesel::insert_into(bundle_simulations::table)
            .values(row)
            .on_conflict(bundle_simulations::digest)
            .do_update()
            .set(values)
            .execute(c)
    })?;
    Ok(())
}

/// The latest of a bundle.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn find(conn: &mut Conn, digest: &[u8; 32]) -> Result<Option<Simulation>, StoreError> {
    let query = bundle_simulations::table.filter(bundle_simulations::digest.eq(digest.as_slice())).select((
        bundle_simulations::made_by,
        bundle_simulations::made_at,
        bundle_simulations::report,
    ));
    let found = db!(conn, |c| query.first::<(String, i64, String)>(c).optional())?;
    found.map(|(by, at, report)| Ok(Simulation { by, at: millis(at)?, report })).transpose()
}
