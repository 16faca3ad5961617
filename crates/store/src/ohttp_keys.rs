//! The keys that requests of Oblivious HTTP are encapsulated to (RFC 9458): one for each period.

use diesel::prelude::*;

use crate::convert::{number, to_db};
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

/// Forgets the keys of periods before `oldest`, at most `most` of them; gives their number.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn expire(tx: &mut Tx<'_>, oldest: u64, most: u32) -> Result<usize, StoreError> {
    let over = ohttp_keys::table.filter(ohttp_keys::period.lt(to_db(oldest)?)).select(ohttp_keys::period);
    let over = over.order(ohttp_keys::period).limit(most.into());
    let over = db!(tx, |c| over.load::<i64>(c))?;
    let rows = ohttp_keys::table.filter(ohttp_keys::period.eq_any(over));
    Ok(db!(tx, |c| diesel::delete(rows).execute(c))?)
}

/// Every key with its period, sealed, in the order of the periods.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn all(conn: &mut Conn) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
    let query = ohttp_keys::table.order(ohttp_keys::period).select((ohttp_keys::period, ohttp_keys::sealed));
    let rows = db!(conn, |c| query.load::<(i64, Vec<u8>)>(c))?;
    rows.into_iter().map(|(period, sealed)| Ok((number(period)?, sealed))).collect()
}

/// Puts the key of a period under another seal.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn seal(tx: &mut Tx<'_>, period: u64, sealed: &[u8]) -> Result<(), StoreError> {
    let row = ohttp_keys::table.filter(ohttp_keys::period.eq(to_db(period)?));
    db!(tx, |c| diesel::update(row).set(ohttp_keys::sealed.eq(sealed)).execute(c))?;
    Ok(())
}
