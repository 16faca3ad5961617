//! Answers that were given, so that the same request gets the same answer and takes effect once (readings D-27, D-33).

use aws_lc_rs::digest::{Context, SHA256};
use diesel::prelude::*;
use portcullis_core::time::Millis;
use uuid::Uuid;

use crate::convert::{time, uuid};
use crate::schema::answers;
use crate::{Conn, StoreError, Tx};

/// An answer as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: Vec<u8>,
    /// The decision behind it.
    pub decision: Option<Uuid>,
}

/// What makes requests the same: who asks, where, and the key or the body. Each part is hashed with its length.
pub fn scope(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Context::new(&SHA256);
    for part in parts {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut scope = [0; 32];
    scope.copy_from_slice(hash.finish().as_ref());
    scope
}

/// The answer that was given in this scope and has not expired.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn lookup(conn: &mut Conn, scope: &[u8; 32], now: Millis) -> Result<Option<StoredAnswer>, StoreError> {
    type Row = (i32, Vec<u8>, Option<Vec<u8>>);
    let query = answers::table
        .filter(answers::scope.eq(scope.as_slice()))
        .filter(answers::expires_at.gt(time(now)?))
        .select((answers::status, answers::body, answers::decision));
    let Some((status, body, decision)) = db!(conn, |c| query.first::<Row>(c).optional())? else { return Ok(None) };
    let status = u16::try_from(status).map_err(|_| StoreError::Corrupt("status"))?;
    Ok(Some(StoredAnswer { status, body, decision: decision.as_deref().map(uuid).transpose()? }))
}

/// Keeps the answer of this scope until `expires`.
///
/// # Errors
///
/// [`StoreError::AlreadyAnswered`] when another request of the scope was faster: the job must fail with it, and its
/// caller looks that answer up.
pub fn store(
    tx: &mut Tx<'_>,
    scope: &[u8; 32],
    answer: &StoredAnswer,
    now: Millis,
    expires: Millis,
) -> Result<(), StoreError> {
    let (status, decision) = (i32::from(answer.status), answer.decision.as_ref().map(|id| id.as_bytes().as_slice()));
    let row = (
        answers::scope.eq(scope.as_slice()),
        answers::status.eq(status),
        answers::body.eq(answer.body.as_slice()),
        answers::decision.eq(decision),
        answers::expires_at.eq(time(expires)?),
    );
    let stored = db!(tx, |c| diesel::insert_into(answers::table).values(row).on_conflict_do_nothing().execute(c))?;
    if stored == 1 {
        return Ok(());
    }
    let old = answers::table.filter(answers::scope.eq(scope.as_slice())).filter(answers::expires_at.le(time(now)?));
    db!(tx, |c| diesel::delete(old).execute(c))?;
    let stored = db!(tx, |c| diesel::insert_into(answers::table).values(row).on_conflict_do_nothing().execute(c))?;
    if stored == 1 { Ok(()) } else { Err(StoreError::AlreadyAnswered) }
}

/// Forgets answers that expired before `now`, at most `limit`. Gives their number.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn expire(tx: &mut Tx<'_>, now: Millis, limit: u32) -> Result<usize, StoreError> {
    let over = answers::table.filter(answers::expires_at.le(time(now)?)).limit(limit.into()).select(answers::scope);
    let over = db!(tx, |c| over.load::<Vec<u8>>(c))?;
    let old = answers::table.filter(answers::scope.eq_any(over));
    Ok(db!(tx, |c| diesel::delete(old).execute(c))?)
}
