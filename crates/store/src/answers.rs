//! Answers that were given, so that the same request gets the same answer and takes effect once (readings D-27, D-33).

use aws_lc_rs::digest::{Context, SHA256};
use diesel::prelude::*;
use portcullis_core::time::Millis;
use uuid::Uuid;

use crate::conn::Kind;
use crate::convert::{time, uuid};
use crate::fixed::Named;
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

/// By what a request is recognised that comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognised {
    /// By its body.
    ByBody,
    /// By the key that it carries.
    ByKey,
}

impl Recognised {
    fn error(self) -> StoreError {
        match self {
            Self::ByBody => StoreError::AlreadyAnswered,
            Self::ByKey => StoreError::KeyTaken,
        }
    }
}

/// Keeps the answer of this scope until `expires`.
///
/// # Errors
///
/// [`StoreError::AlreadyAnswered`] or [`StoreError::KeyTaken`] when another request of the scope was faster, at the latest
/// where the job ends: its caller looks that answer up.
pub fn store(
    tx: &mut Tx<'_>,
    recognised: Recognised,
    scope: &[u8; 32],
    answer: &StoredAnswer,
    now: Millis,
    expires: Millis,
) -> Result<(), StoreError> {
    if tx.later.answers.iter().any(|other| other.scope == scope) {
        return Err(recognised.error());
    }
    tx.later.answers.push(AnswerRow {
        recognised,
        scope: scope.to_vec(),
        status: answer.status.into(),
        body: answer.body.clone(),
        decision: answer.decision.map(|id| id.as_bytes().to_vec()),
        expires_at: time(expires)?,
        stored_at: time(now)?,
    });
    Ok(())
}

#[derive(Insertable)]
#[diesel(table_name = answers, treat_none_as_default_value = false)]
pub(crate) struct AnswerRow {
    #[diesel(skip_insertion)]
    recognised: Recognised,
    scope: Vec<u8>,
    status: i32,
    body: Vec<u8>,
    decision: Option<Vec<u8>>,
    expires_at: i64,
    #[diesel(skip_insertion)]
    stored_at: i64,
}

/// Writes answers, each in the place of one that has expired.
pub(crate) fn write(conn: &mut Conn, rows: &[AnswerRow]) -> Result<(), StoreError> {
    let new = insert(conn, rows)?;
    for row in rows.iter().filter(|row| !new.contains(&row.scope)) {
        let old = answers::table.filter(answers::scope.eq(&row.scope)).filter(answers::expires_at.le(row.stored_at));
        db!(conn, |c| diesel::delete(old).execute(c))?;
        if insert(conn, std::slice::from_ref(row))?.is_empty() {
            return Err(row.recognised.error());
        }
    }
    Ok(())
}

/// Gives the scopes for which there was no answer yet.
fn insert(conn: &mut Conn, rows: &[AnswerRow]) -> Result<Vec<Vec<u8>>, StoreError> {
    let inserted = match &mut conn.kind {
        Kind::Sqlite(conn) => rows
            .iter()
            .map(|row| {
                struct Here;
                let statement = diesel::insert_into(answers::table).values(row).on_conflict_do_nothing();
                Named::<_, Here>::new(statement).execute(conn).map(|new| (new == 1).then(|| row.scope.clone()))
            })
            .filter_map(Result::transpose)
            .collect(),
        Kind::Postgres(_) if rows.is_empty() => Ok(Vec::new()),
        Kind::Postgres(conn) => {
            let statement = diesel::insert_into(answers::table).values(rows).on_conflict_do_nothing();
            statement.returning(answers::scope).load(&mut **conn)
        }
    };
    Ok(conn.note(inserted)?)
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
