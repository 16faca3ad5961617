//! Our own users and their devices.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{ClientUri, UserUri};

use crate::convert::{client, millis, time, user};
use crate::schema::{device_watch, devices, key_packages, profile_fields, profiles, users};
use crate::{Conn, StoreError, Tx, follower, streams};

/// Most names of one statement.
const MOST_NAMES: usize = 500;

/// Registers a user; nothing changes when it is registered already.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn register_user(tx: &mut Tx<'_>, user: &UserUri, now: Millis) -> Result<(), StoreError> {
    let folded = user.folded();
    let row = (users::uri.eq(user.as_str()), users::registered_at.eq(time(now)?), users::folded.eq(folded.as_str()));
    db!(tx, |c| diesel::insert_into(users::table).values(row).on_conflict_do_nothing().execute(c))?;
    Ok(())
}

/// Whether the user is registered.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn user_exists(conn: &mut Conn, user: &UserUri) -> Result<bool, StoreError> {
    let query = users::table.filter(users::uri.eq(user.as_str())).select(users::uri);
    Ok(db!(conn, |c| query.first::<String>(c).optional())?.is_some())
}

/// Registered users whose name is this one in small letters.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn alike(conn: &mut Conn, folded: &UserUri) -> Result<Vec<UserUri>, StoreError> {
    // Of some it does not stand there.
    let rows = users::table.filter(users::folded.eq(folded.as_str()).or(users::folded.eq("")));
    let found = db!(conn, |c| rows.select(users::uri).load::<String>(c))?;
    let found: Vec<UserUri> = found.iter().map(|uri| user(uri)).collect::<Result<_, _>>()?;
    Ok(found.into_iter().filter(|user| user.folded() == *folded).collect())
}

/// As [`user_exists`], and lets nobody register or delete the user's devices before the transaction has ended.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn hold_user(tx: &mut Tx<'_>, user: &UserUri) -> Result<bool, StoreError> {
    let row = users::table.filter(users::uri.eq(user.as_str()));
    let same = users::registered_at.eq(users::registered_at);
    Ok(db!(tx, |c| diesel::update(row).set(same).execute(c))? > 0)
}

/// Registers a device of a registered user; nothing changes when that user has it already.
///
/// # Errors
///
/// [`StoreError::Missing`] when the user is not registered, [`StoreError::Exists`] when another user has the device.
pub fn register_device(tx: &mut Tx<'_>, device: &ClientUri, user: &UserUri, now: Millis) -> Result<(), StoreError> {
    if !hold_user(tx, user)? {
        return Err(StoreError::Missing);
    }
    let row = (
        devices::client.eq(device.as_str()),
        devices::user_uri.eq(user.as_str()),
        devices::registered_at.eq(time(now)?),
        devices::seen_at.eq(time(now)?),
        devices::stale.eq(0),
        devices::retired.eq(0),
    );
    db!(tx, |c| diesel::insert_into(devices::table).values(row).on_conflict_do_nothing().execute(c))?;
    match device_user(tx, device)? {
        Some(owner) if owner == *user => Ok(()),
        Some(_) | None => Err(StoreError::Exists),
    }
}

/// Forgets a device: nobody gets its KeyPackages any longer, it gets nothing of rooms of other hubs, and what stands in its
/// stream is for nobody to read.
///
/// # Errors
///
/// [`StoreError::Missing`] when it is not registered.
pub fn forget_device(tx: &mut Tx<'_>, device: &ClientUri) -> Result<(), StoreError> {
    let packages = key_packages::table.filter(key_packages::client.eq(device.as_str()));
    db!(tx, |c| diesel::delete(packages).execute(c))?;
    for room in follower::rooms(tx, device)? {
        follower::leave(tx, &room, device)?;
    }
    streams::forget_later(tx, device);
    let row = devices::table.filter(devices::client.eq(device.as_str()));
    match db!(tx, |c| diesel::delete(row).execute(c))? {
        0 => Err(StoreError::Missing),
        _ => Ok(()),
    }
}

/// Leaves of a device as much as it takes to leave rooms of other hubs: nobody brings it in any more.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn retire(tx: &mut Tx<'_>, device: &ClientUri) -> Result<(), StoreError> {
    let packages = key_packages::table.filter(key_packages::client.eq(device.as_str()));
    db!(tx, |c| diesel::delete(packages).execute(c))?;
    let row = devices::table.filter(devices::client.eq(device.as_str()));
    db!(tx, |c| diesel::update(row).set(devices::retired.eq(1)).execute(c))?;
    Ok(())
}

/// Whose device it is, since when, and whether it is there only to leave; `None` when it is not registered.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn standing(conn: &mut Conn, device: &ClientUri) -> Result<Option<(UserUri, Millis, bool)>, StoreError> {
    let row = devices::table.filter(devices::client.eq(device.as_str()));
    let query = row.select((devices::user_uri, devices::registered_at, devices::retired));
    let found = db!(conn, |c| query.first::<(String, i64, i32)>(c).optional())?;
    found.map(|(owner, at, retired)| Ok((user(&owner)?, millis(at)?, retired != 0))).transpose()
}

/// Forgets what a user wants to be found by.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn forget_profile(tx: &mut Tx<'_>, user: &UserUri) -> Result<(), StoreError> {
    let fields = profile_fields::table.filter(profile_fields::user_uri.eq(user.as_str()));
    db!(tx, |c| diesel::delete(fields).execute(c))?;
    let profile = profiles::table.filter(profiles::user_uri.eq(user.as_str()));
    db!(tx, |c| diesel::delete(profile).execute(c))?;
    Ok(())
}

/// Forgets a user with its devices and its profile. A device that somebody else has deleted meanwhile is gone already.
///
/// # Errors
///
/// [`StoreError::Missing`] when it is not registered.
pub fn forget_user(tx: &mut Tx<'_>, user: &UserUri) -> Result<(), StoreError> {
    if !hold_user(tx, user)? {
        return Err(StoreError::Missing);
    }
    for device in devices_of(tx, user)? {
        match forget_device(tx, &device) {
            Ok(()) | Err(StoreError::Missing) => {}
            Err(error) => return Err(error),
        }
    }
    forget_profile(tx, user)?;
    let row = users::table.filter(users::uri.eq(user.as_str()));
    match db!(tx, |c| diesel::delete(row).execute(c))? {
        0 => Err(StoreError::Missing),
        _ => Ok(()),
    }
}

/// Whose device it is, unless it is there only to leave; and lets nobody else who asks this way go on before the transaction has ended: what is counted
/// of a device then stays counted, whichever replica adds to it.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn hold(tx: &mut Tx<'_>, device: &ClientUri) -> Result<Option<UserUri>, StoreError> {
    let row = devices::table.filter(devices::client.eq(device.as_str()));
    let same = devices::registered_at.eq(devices::registered_at);
    db!(tx, |c| diesel::update(row).set(same).execute(c))?;
    Ok(registration(tx, device)?.map(|(owner, _)| owner))
}

/// Those of `wanted` that are registered, each with its user, as [`hold`] has them.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn hold_all(tx: &mut Tx<'_>, wanted: &[ClientUri]) -> Result<BTreeMap<ClientUri, UserUri>, StoreError> {
    let mut held = BTreeMap::new();
    for some in wanted.chunks(MOST_NAMES) {
        let names: Vec<&str> = some.iter().map(ClientUri::as_str).collect();
        let same = devices::registered_at.eq(devices::registered_at);
        let rows = devices::table.filter(devices::client.eq_any(names.clone()));
        db!(tx, |c| diesel::update(rows).set(same).execute(c))?;
        let rows = devices::table.filter(devices::client.eq_any(names)).filter(devices::retired.eq(0));
        let rows = rows.select((devices::client, devices::user_uri));
        for (device, owner) in db!(tx, |c| rows.load::<(String, String)>(c))? {
            held.insert(client(&device)?, user(&owner)?);
        }
    }
    Ok(held)
}

/// Notes that it is watched whether devices are there, and gives since when it has been, by any process, without a break longer
/// than `longest`. Devices that nothing is known of yet are there from now on.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn watch(tx: &mut Tx<'_>, longest: Duration, now: Millis) -> Result<Millis, StoreError> {
    let row = (device_watch::id.eq(0), device_watch::since.eq(time(now)?), device_watch::noted_at.eq(time(now)?));
    db!(tx, |c| diesel::insert_into(device_watch::table).values(row).on_conflict_do_nothing().execute(c))?;
    // A clock that was wrong may have noted a time to come.
    let (from, to) = (time(now.minus(longest))?, time(now.plus(longest))?);
    let broken = device_watch::table.filter(device_watch::noted_at.not_between(from, to));
    db!(tx, |c| diesel::update(broken).set(device_watch::since.eq(time(now)?)).execute(c))?;
    db!(tx, |c| diesel::update(device_watch::table).set(device_watch::noted_at.eq(time(now)?)).execute(c))?;
    // Another build has registered them.
    let unknown = devices::table.filter(sql::<Bool>("stale = 0")).filter(devices::seen_at.eq(0_i64));
    db!(tx, |c| diesel::update(unknown).set(devices::seen_at.eq(time(now)?)).execute(c))?;
    millis(db!(tx, |c| device_watch::table.select(device_watch::since).first::<i64>(c))?)
}

/// When [`watch`] was noted last, and since when there was no break; `None` for never.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn watched(conn: &mut Conn) -> Result<Option<(Millis, Millis)>, StoreError> {
    let query = device_watch::table.select((device_watch::noted_at, device_watch::since));
    let found = db!(conn, |c| query.first::<(i64, i64)>(c).optional())?;
    found.map(|(noted_at, since)| Ok((millis(noted_at)?, millis(since)?))).transpose()
}

/// Whether a device was last there before `before`, or was taken for lost since.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn is_unseen(conn: &mut Conn, device: &ClientUri, before: Millis) -> Result<bool, StoreError> {
    let since = devices::seen_at.lt(time(before)?).or(devices::stale.eq(1));
    let query = devices::table.filter(devices::client.eq(device.as_str())).filter(since).select(devices::client);
    Ok(db!(conn, |c| query.first::<String>(c).optional())?.is_some())
}

/// The device is there.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn see(tx: &mut Tx<'_>, device: &ClientUri, now: Millis) -> Result<(), StoreError> {
    let row = devices::table.filter(devices::client.eq(device.as_str()));
    let seen = (devices::seen_at.eq(time(now)?), devices::stale.eq(0));
    db!(tx, |c| diesel::update(row).set(seen).execute(c))?;
    Ok(())
}

/// Devices that were last there before `before` and have not been taken for lost since; at most `limit`.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn unseen(conn: &mut Conn, before: Millis, limit: u32) -> Result<Vec<ClientUri>, StoreError> {
    // Written out, for only then do the databases use the index of just these devices.
    let fresh = sql::<Bool>("stale = 0");
    let query = devices::table
        .filter(fresh)
        .filter(devices::seen_at.lt(time(before)?))
        .order(devices::seen_at)
        .limit(limit.into())
        .select(devices::client);
    db!(conn, |c| query.load::<String>(c))?.iter().map(|device| client(device)).collect()
}

/// Takes a device for lost that was last there before `before`, until it is there again. Tells whether it did.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn take_for_lost(tx: &mut Tx<'_>, device: &ClientUri, before: Millis) -> Result<bool, StoreError> {
    let row = devices::table
        .filter(devices::client.eq(device.as_str()))
        .filter(devices::stale.eq(0))
        .filter(devices::seen_at.lt(time(before)?));
    Ok(db!(tx, |c| diesel::update(row).set(devices::stale.eq(1)).execute(c))? > 0)
}

/// Those of `wanted` that are taken for lost.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn lost(conn: &mut Conn, wanted: &[ClientUri]) -> Result<BTreeSet<ClientUri>, StoreError> {
    let mut lost = BTreeSet::new();
    for some in wanted.chunks(MOST_NAMES) {
        let names: Vec<&str> = some.iter().map(ClientUri::as_str).collect();
        let rows = devices::table.filter(devices::client.eq_any(names)).filter(devices::stale.eq(1));
        for device in db!(conn, |c| rows.select(devices::client).load::<String>(c))? {
            lost.insert(client(&device)?);
        }
    }
    Ok(lost)
}

/// Whose device it is, and since when; `None` when it is not registered, or there only to leave.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn registration(conn: &mut Conn, device: &ClientUri) -> Result<Option<(UserUri, Millis)>, StoreError> {
    let found = standing(conn, device)?.filter(|(.., retired)| !retired);
    Ok(found.map(|(owner, at, _)| (owner, at)))
}

/// Whose device it is; `None` when it is not registered.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn device_user(conn: &mut Conn, device: &ClientUri) -> Result<Option<UserUri>, StoreError> {
    let query = devices::table.filter(devices::client.eq(device.as_str())).select(devices::user_uri);
    db!(conn, |c| query.first::<String>(c).optional())?.map(|owner| user(&owner)).transpose()
}

/// The devices of a user in the order of their names.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn devices_of(conn: &mut Conn, user: &UserUri) -> Result<Vec<ClientUri>, StoreError> {
    let query =
        devices::table.filter(devices::user_uri.eq(user.as_str())).order(devices::client).select(devices::client);
    db!(conn, |c| query.load::<String>(c))?.iter().map(|device| client(device)).collect()
}
