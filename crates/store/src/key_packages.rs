//! KeyPackages of our devices: each is given out once.

use std::collections::BTreeMap;

use diesel::dsl::count_star;
use diesel::prelude::*;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{ClientUri, UserUri};

use crate::convert::{client, millis, number, time};
use crate::schema::key_packages;
use crate::vault::Purpose;
use crate::{Conn, StoreError, Tx, devices};

/// A KeyPackage as its device uploaded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKeyPackage {
    /// Its KeyPackageRef.
    pub reference: Vec<u8>,
    /// The device.
    pub client: ClientUri,
    /// Whose device it is.
    pub user: UserUri,
    /// MLS ciphersuite.
    pub suite: u16,
    /// End of its lifetime.
    pub not_after: Millis,
    /// The KeyPackage.
    pub key_package: Vec<u8>,
}

/// A KeyPackage that may be claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The KeyPackage.
    pub package: StoredKeyPackage,
    /// When it came.
    pub uploaded_at: Millis,
}

/// Keeps a KeyPackage of a registered device.
///
/// # Errors
///
/// [`StoreError::Exists`] when it was uploaded before.
pub fn add(tx: &mut Tx<'_>, package: &StoredKeyPackage, now: Millis) -> Result<(), StoreError> {
    let row = (
        key_packages::reference.eq(package.reference.as_slice()),
        key_packages::client.eq(package.client.as_str()),
        key_packages::user_uri.eq(package.user.as_str()),
        key_packages::suite.eq(i32::from(package.suite)),
        key_packages::not_after.eq(time(package.not_after)?),
        key_packages::uploaded_at.eq(time(now)?),
        key_packages::key_package.eq(tx.seal(Purpose::KeyPackages, &[&package.reference], &package.key_package)?),
    );
    db!(tx, |c| diesel::insert_into(key_packages::table).values(row).execute(c))
        .map_err(|error| StoreError::unique(error, StoreError::Exists))?;
    Ok(())
}

/// How many KeyPackages of a device are unclaimed and still valid after `now`.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn count(conn: &mut Conn, device: &ClientUri, now: Millis) -> Result<u64, StoreError> {
    let query = key_packages::table
        .filter(key_packages::client.eq(device.as_str()))
        .filter(key_packages::claimed_by.is_null())
        .filter(key_packages::not_after.gt(time(now)?))
        .select(count_star());
    number(db!(conn, |c| query.first::<i64>(c))?)
}

/// Unclaimed KeyPackages of one device of a user that are valid after `valid_after`, the oldest first; at most `limit`,
/// from behind `last` on. A device that is taken for lost has none until it is there again.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn candidates(
    conn: &mut Conn,
    user: &UserUri,
    device: &ClientUri,
    valid_after: Millis,
    last: Option<&Candidate>,
    limit: u32,
) -> Result<Vec<Candidate>, StoreError> {
    type Row = (Vec<u8>, i64, i32, i64, Vec<u8>);
    if !devices::lost(conn, std::slice::from_ref(device))?.is_empty() {
        return Ok(Vec::new());
    }
    let (at, reference) = match last {
        Some(Candidate { package, uploaded_at }) => (time(*uploaded_at)?, package.reference.as_slice()),
        None => (-1, [].as_slice()),
    };
    let behind = key_packages::uploaded_at
        .gt(at)
        .or(key_packages::uploaded_at.eq(at).and(key_packages::reference.gt(reference)));
    let query = key_packages::table
        .filter(key_packages::user_uri.eq(user.as_str()))
        .filter(key_packages::client.eq(device.as_str()))
        .filter(key_packages::claimed_by.is_null())
        .filter(key_packages::not_after.gt(time(valid_after)?))
        .filter(behind)
        .order((key_packages::uploaded_at, key_packages::reference))
        .limit(limit.into())
        .select((
            key_packages::reference,
            key_packages::uploaded_at,
            key_packages::suite,
            key_packages::not_after,
            key_packages::key_package,
        ));
    let rows = db!(conn, |c| query.load::<Row>(c))?;
    rows.into_iter()
        .map(|(reference, uploaded_at, suite, not_after, key_package)| {
            let key_package = conn.unseal(Purpose::KeyPackages, &[&reference], key_package)?;
            let package = StoredKeyPackage {
                reference,
                client: device.clone(),
                user: user.clone(),
                suite: u16::try_from(suite).map_err(|_| StoreError::Corrupt("ciphersuite"))?,
                not_after: millis(not_after)?,
                key_package,
            };
            Ok(Candidate { package, uploaded_at: millis(uploaded_at)? })
        })
        .collect()
}

/// Whether this request is the one that gets the KeyPackage: true once for each, whoever asks at the same time.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn claim(tx: &mut Tx<'_>, reference: &[u8], request_hash: &[u8; 32]) -> Result<bool, StoreError> {
    let free =
        key_packages::table.filter(key_packages::reference.eq(reference)).filter(key_packages::claimed_by.is_null());
    let claimed = key_packages::claimed_by.eq(request_hash.as_slice());
    Ok(db!(tx, |c| diesel::update(free).set(claimed).execute(c))? == 1)
}

/// The devices whose KeyPackages these references name; references of others are left out.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn owners(conn: &mut Conn, references: &[Vec<u8>]) -> Result<Vec<ClientUri>, StoreError> {
    let query = key_packages::table
        .filter(key_packages::reference.eq_any(references))
        .order(key_packages::client)
        .select(key_packages::client)
        .distinct();
    db!(conn, |c| query.load::<String>(c))?.iter().map(|device| client(device)).collect()
}

/// Whether a KeyPackage with this reference was ever uploaded and is still kept.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn exists(conn: &mut Conn, reference: &[u8]) -> Result<bool, StoreError> {
    let query = key_packages::table.filter(key_packages::reference.eq(reference)).select(key_packages::client);
    Ok(db!(conn, |c| query.first::<String>(c).optional())?.is_some())
}

/// The devices of those of `references` that were given out.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn claimed(conn: &mut Conn, references: &[Vec<u8>]) -> Result<BTreeMap<Vec<u8>, ClientUri>, StoreError> {
    let query = key_packages::table
        .filter(key_packages::reference.eq_any(references))
        .filter(key_packages::claimed_by.is_not_null())
        .select((key_packages::reference, key_packages::client));
    db!(conn, |c| query.load::<(Vec<u8>, String)>(c))?
        .into_iter()
        .map(|(reference, device)| Ok((reference, client(&device)?)))
        .collect()
}

/// Forgets KeyPackages whose lifetime ended before `before`, those that were claimed before `claimed_before`: a Welcome
/// for them may still be under way. At most `limit`; gives their number.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn expire(tx: &mut Tx<'_>, before: Millis, claimed_before: Millis, limit: u32) -> Result<usize, StoreError> {
    let free = key_packages::claimed_by.is_null().and(key_packages::not_after.lt(time(before)?));
    let over = key_packages::table
        .filter(free.or(key_packages::not_after.lt(time(claimed_before)?)))
        .limit(limit.into())
        .select(key_packages::reference);
    let over = db!(tx, |c| over.load::<Vec<u8>>(c))?;
    let old = key_packages::table.filter(key_packages::reference.eq_any(over));
    Ok(db!(tx, |c| diesel::delete(old).execute(c))?)
}
