//! Where Welcomes go: which provider a KeyPackage was given out by (reading D-42).

use std::collections::BTreeMap;

use diesel::prelude::*;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::Domain;

use crate::convert::{domain, time};
use crate::schema::welcome_routes;
use crate::{Conn, StoreError, Tx};

/// Notes that `provider` gave out the KeyPackage, until `expires`. One that another provider gave out before stays
/// where it is: nobody draws the Welcomes of others to itself.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn add(tx: &mut Tx<'_>, reference: &[u8], provider: &Domain, expires: Millis) -> Result<(), StoreError> {
    let expiry = welcome_routes::expires_at.eq(time(expires)?);
    let row = (welcome_routes::reference.eq(reference), welcome_routes::provider.eq(provider.as_str()), expiry);
    let new = db!(tx, |c| diesel::insert_into(welcome_routes::table).values(row).on_conflict_do_nothing().execute(c))?;
    if new == 0 {
        let own = welcome_routes::table
            .filter(welcome_routes::reference.eq(reference))
            .filter(welcome_routes::provider.eq(provider.as_str()));
        db!(tx, |c| diesel::update(own).set(expiry).execute(c))?;
    }
    Ok(())
}

/// The providers of those of `references` that are known.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn lookup(conn: &mut Conn, references: &[Vec<u8>]) -> Result<BTreeMap<Vec<u8>, Domain>, StoreError> {
    let query = welcome_routes::table
        .filter(welcome_routes::reference.eq_any(references))
        .select((welcome_routes::reference, welcome_routes::provider));
    db!(conn, |c| query.load::<(Vec<u8>, String)>(c))?
        .into_iter()
        .map(|(reference, provider)| Ok((reference, domain(&provider)?)))
        .collect()
}

/// Forgets routes that expired, at most `limit`. Gives their number.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn expire(tx: &mut Tx<'_>, now: Millis, limit: u32) -> Result<usize, StoreError> {
    let expired = welcome_routes::table.filter(welcome_routes::expires_at.le(time(now)?));
    let over = db!(tx, |c| expired.limit(limit.into()).select(welcome_routes::reference).load::<Vec<u8>>(c))?;
    let old = welcome_routes::table.filter(welcome_routes::reference.eq_any(over));
    Ok(db!(tx, |c| diesel::delete(old).execute(c))?)
}
