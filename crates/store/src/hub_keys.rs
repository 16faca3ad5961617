//! The keys with which a hub franks the messages it accepts: one for each of our domains and each period (reading D-34).

use diesel::prelude::*;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::Domain;

use crate::convert::{domain, millis, time};
use crate::schema::hub_keys;
use crate::{Conn, StoreError, Tx};

/// A key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredHubKey {
    /// Whose key it is.
    pub domain: Domain,
    /// When it is first used; it ends when the next one starts.
    pub starts_at: Millis,
    /// The key, sealed.
    pub sealed: Vec<u8>,
}

/// The keys that may have been in use at one time: clocks of replicas differ, and a period may be made shorter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// The key of that time.
    pub own: Option<StoredHubKey>,
    /// Those before and after it.
    pub neighbours: Vec<StoredHubKey>,
}

type Row = (i64, Vec<u8>);

/// The key that starts last.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn last(conn: &mut Conn, of: &Domain) -> Result<Option<StoredHubKey>, StoreError> {
    let query = hub_keys::table
        .filter(hub_keys::domain.eq(of.as_str()))
        .order(hub_keys::starts_at.desc())
        .select((hub_keys::starts_at, hub_keys::sealed));
    db!(conn, |c| query.first::<Row>(c).optional())?.map(|row| key(of, row)).transpose()
}

/// The key of the time `at`, and its neighbours.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn around(conn: &mut Conn, of: &Domain, at: Millis) -> Result<Around, StoreError> {
    // A time beyond what the database can count is one that nobody has accepted anything at.
    let Ok(at) = time(at) else { return Ok(Around::default()) };
    let columns = (hub_keys::starts_at, hub_keys::sealed);
    let until = hub_keys::table
        .filter(hub_keys::domain.eq(of.as_str()))
        .filter(hub_keys::starts_at.le(at))
        .order(hub_keys::starts_at.desc())
        .limit(2)
        .select(columns);
    let after = hub_keys::table
        .filter(hub_keys::domain.eq(of.as_str()))
        .filter(hub_keys::starts_at.gt(at))
        .order(hub_keys::starts_at)
        .limit(1)
        .select(columns);
    let mut until = db!(conn, |c| until.load::<Row>(c))?.into_iter().map(|row| key(of, row));
    let own = until.next().transpose()?;
    let after = db!(conn, |c| after.load::<Row>(c))?.into_iter().map(|row| key(of, row));
    Ok(Around { own, neighbours: until.chain(after).collect::<Result<_, _>>()? })
}

/// Keeps a key unless its domain has one with the same start. Tells whether it was kept: of replicas that begin a period
/// at once, one has its key taken by all.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn begin(tx: &mut Tx<'_>, key: &StoredHubKey) -> Result<bool, StoreError> {
    let row = (
        hub_keys::domain.eq(key.domain.as_str()),
        hub_keys::starts_at.eq(time(key.starts_at)?),
        hub_keys::sealed.eq(key.sealed.as_slice()),
    );
    let insert = diesel::insert_into(hub_keys::table).values(row).on_conflict_do_nothing();
    Ok(db!(tx, |c| insert.execute(c))? == 1)
}

/// Has the key that starts then stand there sealed like this.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn seal(tx: &mut Tx<'_>, key: &StoredHubKey) -> Result<(), StoreError> {
    let row = hub_keys::table
        .filter(hub_keys::domain.eq(key.domain.as_str()))
        .filter(hub_keys::starts_at.eq(time(key.starts_at)?));
    db!(tx, |c| diesel::update(row).set(hub_keys::sealed.eq(key.sealed.as_slice())).execute(c))?;
    Ok(())
}

/// Forgets the key that starts then: what was franked with it can no longer be proven.
///
/// # Errors
///
/// [`StoreError::Missing`] when there is none.
pub fn forget(tx: &mut Tx<'_>, of: &Domain, starts_at: Millis) -> Result<(), StoreError> {
    let row = hub_keys::table.filter(hub_keys::domain.eq(of.as_str())).filter(hub_keys::starts_at.eq(time(starts_at)?));
    match db!(tx, |c| diesel::delete(row).execute(c))? {
        0 => Err(StoreError::Missing),
        _ => Ok(()),
    }
}

/// Every key, by domain and start.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn all(conn: &mut Conn) -> Result<Vec<StoredHubKey>, StoreError> {
    let query = hub_keys::table.order((hub_keys::domain, hub_keys::starts_at)).select((
        hub_keys::domain,
        hub_keys::starts_at,
        hub_keys::sealed,
    ));
    let rows = db!(conn, |c| query.load::<(String, i64, Vec<u8>)>(c))?;
    rows.into_iter().map(|(of, starts_at, sealed)| key(&domain(&of)?, (starts_at, sealed))).collect()
}

/// Forgets the keys whose period ended before `before`: what was franked with them can no longer be proven. Gives their
/// number.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn expire(tx: &mut Tx<'_>, before: Millis) -> Result<usize, StoreError> {
    let keys = all(tx)?;
    let over = keys.iter().zip(keys.iter().skip(1)).filter(|(key, next)| {
        // The last of a domain has not ended.
        key.domain == next.domain && next.starts_at < before
    });
    over.map(|(key, _)| {
        let row = hub_keys::table
            .filter(hub_keys::domain.eq(key.domain.as_str()))
            .filter(hub_keys::starts_at.eq(time(key.starts_at)?));
        Ok(db!(tx, |c| diesel::delete(row).execute(c))?)
    })
    .sum()
}

fn key(of: &Domain, (starts_at, sealed): Row) -> Result<StoredHubKey, StoreError> {
    Ok(StoredHubKey { domain: of.clone(), starts_at: millis(starts_at)?, sealed })
}
