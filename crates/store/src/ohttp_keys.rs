//! The keys that requests of Oblivious HTTP are encapsulated to (RFC 9458): one for each period.

use diesel::prelude::*;

use crate::convert::to_db;
use crate::schema::ohttp_keys;
use crate::{Conn, StoreError, Tx};

/// The key of a period, sealed.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn find(conn: &mut Conn, period: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let query = ohttp_keys::table.filter(ohttp_keys::period.eq(to_db(period)?)).select(ohttp_keys::sealed);
    Ok(db!(conn, |c| query.first::<Vec<u8>>(c).optional())?)
}

/// Keeps a key unless its period has one that is not `former`, and forgets those before `oldest`: nobody opens then what was encapsulated to them.
/// Tells whether it was kept: of replicas that begin a period at once, one has its key taken by all.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn begin(
    tx: &mut Tx<'_>,
    period: u64,
    sealed: &[u8],
    former: Option<&[u8]>,
    oldest: u64,
) -> Result<bool, StoreError> {
    if let Some(former) = former {
        let former =
            ohttp_keys::table.filter(ohttp_keys::period.eq(to_db(period)?)).filter(ohttp_keys::sealed.eq(former));
        db!(tx, |c| diesel::delete(former).execute(c))?;
    }
    let row = (ohttp_keys::period.eq(to_db(period)?), ohttp_keys::sealed.eq(sealed));
    let insert = diesel::insert_into(ohttp_keys::table).values(row).on_conflict_do_nothing();
    let kept = db!(tx, |c| insert.execute(c))? == 1;
    let over = ohttp_keys::table.filter(ohttp_keys::period.lt(to_db(oldest)?));
    db!(tx, |c| diesel::delete(over).execute(c))?;
    Ok(kept)
}
