//! Policy bundles by their digest, and which one decides.

use diesel::prelude::*;
use portcullis_core::time::Millis;

use crate::convert::{digest, millis, time};
use crate::schema::{bundle_activations, bundles};
use crate::{Conn, StoreError, Tx};

/// A bundle and who made it the one that decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation {
    /// Digest of the bundle.
    pub digest: [u8; 32],
    /// Who activated it.
    pub by: String,
    /// When.
    pub at: Millis,
}

/// Keeps a bundle; nothing changes when it is there already.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn put(tx: &mut Tx<'_>, digest: &[u8; 32], content: &[u8], now: Millis) -> Result<(), StoreError> {
    let row = (bundles::digest.eq(digest.as_slice()), bundles::content.eq(content), bundles::stored_at.eq(time(now)?));
    db!(tx, |c| diesel::insert_into(bundles::table).values(row).on_conflict_do_nothing().execute(c))?;
    Ok(())
}

/// The bundle of that digest.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn load(conn: &mut Conn, digest: &[u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
    let query = bundles::table.filter(bundles::digest.eq(digest.as_slice())).select(bundles::content);
    Ok(db!(conn, |c| query.first::<Vec<u8>>(c).optional())?)
}

/// Makes a kept bundle the one that decides.
///
/// # Errors
///
/// [`StoreError::Missing`] when no bundle of that digest is kept.
pub fn activate(tx: &mut Tx<'_>, activation: &Activation) -> Result<(), StoreError> {
    let kept = bundles::table.filter(bundles::digest.eq(activation.digest.as_slice())).select(bundles::stored_at);
    if db!(tx, |c| kept.first::<i64>(c).optional())?.is_none() {
        return Err(StoreError::Missing);
    }
    let row = (
        bundle_activations::digest.eq(activation.digest.as_slice()),
        bundle_activations::activated_by.eq(activation.by.as_str()),
        bundle_activations::activated_at.eq(time(activation.at)?),
    );
    db!(tx, |c| diesel::insert_into(bundle_activations::table).values(row).execute(c))?;
    Ok(())
}

/// Activations, the latest first: the first one decides.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn activations(conn: &mut Conn, limit: u32) -> Result<Vec<Activation>, StoreError> {
    let query = bundle_activations::table.order(bundle_activations::ordinal.desc()).limit(limit.into()).select((
        bundle_activations::digest,
        bundle_activations::activated_by,
        bundle_activations::activated_at,
    ));
    db!(conn, |c| query.load::<(Vec<u8>, String, i64)>(c))?
        .into_iter()
        .map(|(of, by, at)| Ok(Activation { digest: digest(&of)?, by, at: millis(at)? }))
        .collect()
}
