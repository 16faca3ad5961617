//! Policy bundles by their digest, who stands behind them, and which one decides: one row that all processes follow.

use std::collections::HashMap;

use diesel::connection::SimpleConnection;
use diesel::dsl::max;
use diesel::prelude::*;
use portcullis_core::time::Millis;

use crate::conn::Kind;
use crate::convert::{digest, millis, number, time};
use crate::schema::{bundle_activations, bundles, policy_pointer};
use crate::{Conn, StoreError, Topic, Tx};

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

/// How it came that another bundle decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The folder of a configuration held it.
    Files,
    /// Somebody has activated it.
    Activated,
    /// Somebody went back to it.
    RolledBack,
    /// Somebody went back to it from the host, past the admin door.
    BreakGlass,
}

impl How {
    fn code(self) -> i32 {
        match self {
            Self::Files => 1,
            Self::Activated => 2,
            Self::RolledBack => 3,
            Self::BreakGlass => 4,
        }
    }

    fn from_code(code: i32) -> Result<Self, StoreError> {
        let all = [Self::Files, Self::Activated, Self::RolledBack, Self::BreakGlass];
        all.into_iter().find(|how| how.code() == code).ok_or(StoreError::Corrupt("policy pointer"))
    }
}

/// Which bundle decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// How often it has been moved.
    pub version: u64,
    /// Digest of the bundle.
    pub active: [u8; 32],
    /// Digest of what the folder of a configuration held last, as far as one was read.
    pub files: Option<[u8; 32]>,
    /// Who moved it.
    pub by: String,
    /// When.
    pub at: Millis,
    /// How.
    pub how: How,
}

/// A bundle that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptBundle {
    /// Its digest.
    pub digest: [u8; 32],
    /// Who brought it.
    pub pushed_by: String,
    /// When.
    pub pushed_at: Millis,
    /// Who else agreed with it, and when.
    pub approved: Option<(String, Millis)>,
    /// When it was last made the one that decides.
    pub activated_at: Option<Millis>,
}

/// Keeps a bundle; nothing changes when it is there already. Says whether it is new.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn put(tx: &mut Tx<'_>, digest: &[u8; 32], content: &[u8], by: &str, now: Millis) -> Result<bool, StoreError> {
    let row = (
        bundles::digest.eq(digest.as_slice()),
        bundles::content.eq(content),
        bundles::stored_at.eq(time(now)?),
        bundles::pushed_by.eq(by),
    );
    let put = db!(tx, |c| diesel::insert_into(bundles::table).values(row).on_conflict_do_nothing().execute(c))?;
    Ok(put > 0)
}

/// Keeps other files of a bundle that is kept, for those beside the ones that its digest names, such as signatures, may change.
/// Says whether they are others.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn replace(tx: &mut Tx<'_>, digest: &[u8; 32], content: &[u8]) -> Result<bool, StoreError> {
    let other = bundles::table.filter(bundles::digest.eq(digest.as_slice())).filter(bundles::content.ne(content));
    let replaced = db!(tx, |c| diesel::update(other).set(bundles::content.eq(content)).execute(c))?;
    if replaced > 0 {
        // Where it could not decide, it perhaps can now.
        tx.touch(Topic::Policy);
    }
    Ok(replaced > 0)
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

/// Notes who else agrees with a bundle; of several, the last.
///
/// # Errors
///
/// [`StoreError::Missing`] when it is not kept, or was brought by this person.
pub fn approve(tx: &mut Tx<'_>, digest: &[u8; 32], by: &str, now: Millis) -> Result<(), StoreError> {
    let kept = bundles::table.filter(bundles::digest.eq(digest.as_slice())).filter(bundles::pushed_by.ne(by));
    let values = (bundles::approved_by.eq(Some(by)), bundles::approved_at.eq(Some(time(now)?)));
    let approved = db!(tx, |c| diesel::update(kept).set(values).execute(c))?;
    if approved == 0 { Err(StoreError::Missing) } else { Ok(()) }
}

/// Whoever else would move the pointer, or make the first one, waits from here on until this transaction ends.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn hold(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let held = match &mut tx.kind {
        Kind::Sqlite(_) => Ok(()), // has one writer
        // There may be no row yet to be locked. Those who only read are not in the way.
        Kind::Postgres(conn) => conn.batch_execute("LOCK TABLE policy_pointer IN SHARE ROW EXCLUSIVE MODE"),
    };
    Ok(tx.note(held)?)
}

/// Makes a kept bundle the one that decides, and gives the one that did before.
///
/// # Errors
///
/// [`StoreError::Missing`] when no bundle of that digest is kept.
pub fn activate(tx: &mut Tx<'_>, activation: &Activation, how: How) -> Result<Option<Pointer>, StoreError> {
    let Activation { digest, by, at } = activation;
    let kept = bundles::table.filter(bundles::digest.eq(digest.as_slice())).select(bundles::stored_at);
    if db!(tx, |c| kept.first::<i64>(c).optional())?.is_none() {
        return Err(StoreError::Missing);
    }
    // Whoever else moves it waits here, so that what decided before is what the other has left.
    let moving = diesel::update(policy_pointer::table).set(policy_pointer::version.eq(policy_pointer::version + 1));
    db!(tx, |c| moving.execute(c))?;
    let before = pointer(tx)?;
    let values = (
        policy_pointer::active.eq(digest.as_slice()),
        policy_pointer::moved_by.eq(by.as_str()),
        policy_pointer::moved_at.eq(time(*at)?),
        policy_pointer::how.eq(how.code()),
    );
    let row = (policy_pointer::id.eq(0), policy_pointer::version.eq(1_i64), values);
    // Of processes that find none at once, the later one moves what the other has left.
    db!(tx, |c| {
        diesel::insert_into(policy_pointer::table)
            .values(row)
            .on_conflict(policy_pointer::id)
            .do_update()
            .set(values)
            .execute(c)
    })?;
    let row = (
        bundle_activations::digest.eq(digest.as_slice()),
        bundle_activations::activated_by.eq(by.as_str()),
        bundle_activations::activated_at.eq(time(*at)?),
    );
    db!(tx, |c| diesel::insert_into(bundle_activations::table).values(row).execute(c))?;
    tx.touch(Topic::Policy);
    Ok(before)
}

/// Notes what the folder of a configuration holds. Nothing is noted before a bundle decides.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn note_files(tx: &mut Tx<'_>, digest: &[u8; 32]) -> Result<(), StoreError> {
    let noted = diesel::update(policy_pointer::table).set(policy_pointer::files.eq(Some(digest.as_slice())));
    db!(tx, |c| noted.execute(c))?;
    Ok(())
}

/// Which bundle decides; `None` in a database that has seen none.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn pointer(conn: &mut Conn) -> Result<Option<Pointer>, StoreError> {
    type Row = (i64, Vec<u8>, Option<Vec<u8>>, String, i64, i32);
    let query = policy_pointer::table.select((
        policy_pointer::version,
        policy_pointer::active,
        policy_pointer::files,
        policy_pointer::moved_by,
        policy_pointer::moved_at,
        policy_pointer::how,
    ));
    let found: Option<Row> = db!(conn, |c| query.first(c).optional())?;
    let pointer = found.map(|(version, active, files, by, at, how)| {
        let files = files.map(|files| digest(&files)).transpose()?;
        let (version, at, how) = (number(version)?, millis(at)?, How::from_code(how)?);
        Ok(Pointer { version, active: digest(&active)?, files, by, at, how })
    });
    pointer.transpose()
}

/// Activations, the latest first.
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

/// How a bundle stands in its row.
type Row = (Vec<u8>, String, i64, Option<String>, Option<i64>);

fn kept_bundle(row: Row, activated_at: Option<i64>) -> Result<KeptBundle, StoreError> {
    let (of, pushed_by, pushed_at, approved_by, approved_at) = row;
    let approved = approved_by.zip(approved_at).map(|(by, at)| Ok::<_, StoreError>((by, millis(at)?)));
    let (digest, pushed_at) = (digest(&of)?, millis(pushed_at)?);
    let activated_at = activated_at.map(millis).transpose()?;
    Ok(KeptBundle { digest, pushed_by, pushed_at, approved: approved.transpose()?, activated_at })
}

/// The bundles that are kept, the latest first.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn list(conn: &mut Conn, limit: u32) -> Result<Vec<KeptBundle>, StoreError> {
    let query = bundles::table.order((bundles::stored_at.desc(), bundles::digest)).limit(limit.into()).select((
        bundles::digest,
        bundles::pushed_by,
        bundles::stored_at,
        bundles::approved_by,
        bundles::approved_at,
    ));
    let rows: Vec<Row> = db!(conn, |c| query.load(c))?;
    let latest = bundle_activations::table
        .group_by(bundle_activations::digest)
        .select((bundle_activations::digest, max(bundle_activations::activated_at)));
    let latest: Vec<(Vec<u8>, Option<i64>)> = db!(conn, |c| latest.load(c))?;
    let latest: HashMap<Vec<u8>, Option<i64>> = latest.into_iter().collect();
    rows.into_iter()
        .map(|row| {
            let activated_at = latest.get(&row.0).copied().flatten();
            kept_bundle(row, activated_at)
        })
        .collect()
}

/// One bundle that is kept.
///
/// # Errors
///
/// [`StoreError::Missing`] when it is not.
pub fn find(conn: &mut Conn, digest: &[u8; 32]) -> Result<KeptBundle, StoreError> {
    let query = bundles::table.filter(bundles::digest.eq(digest.as_slice())).select((
        bundles::digest,
        bundles::pushed_by,
        bundles::stored_at,
        bundles::approved_by,
        bundles::approved_at,
    ));
    let row: Option<Row> = db!(conn, |c| query.first(c).optional())?;
    let activations = bundle_activations::table.filter(bundle_activations::digest.eq(digest.as_slice()));
    let latest: Option<i64> = db!(conn, |c| activations.select(max(bundle_activations::activated_at)).first(c))?;
    kept_bundle(row.ok_or(StoreError::Missing)?, latest)
}
