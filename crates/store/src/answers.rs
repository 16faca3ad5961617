//! Answers that were given, so that the same request gets the same answer and takes effect once (readings D-27, D-33).

use std::cell::RefCell;

use aws_lc_rs::digest::{Context, SHA256};
use diesel::prelude::*;
use diesel::result::QueryResult;
use diesel::sql_types::Binary;
use diesel::sqlite::SqliteConnection;
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use portcullis_core::time::Millis;
use uuid::Uuid;

use crate::convert::{time, uuid};
use crate::row::{Many, One};
use crate::schema::answers;
use crate::turn::{Statement, Turn};
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

pub(crate) struct AnswerRow {
    recognised: Recognised,
    scope: Vec<u8>,
    status: i64,
    body: Vec<u8>,
    decision: Option<Vec<u8>>,
    expires_at: i64,
    stored_at: i64,
}

row!(AnswerRow => answers (scope, status, body, decision, expires_at) " ON CONFLICT DO NOTHING");

/// Writes answers where there is none yet.
pub(crate) struct Writing<'a> {
    rows: &'a [AnswerRow],
    /// The scopes of those that were written.
    new: RefCell<Vec<Vec<u8>>>,
}

impl<'a> Writing<'a> {
    pub(crate) fn new(rows: &'a [AnswerRow]) -> Self {
        Self { rows, new: RefCell::default() }
    }

    pub(crate) fn ask(&'a self, turn: &mut Turn<'a>) {
        if !self.rows.is_empty() {
            turn.add(self);
        }
    }

    /// Whether there was none for any of them, once they are written.
    pub(crate) fn are_new(&self) -> bool {
        self.new.borrow().len() == self.rows.len()
    }

    fn write(&self, conn: &mut Conn) -> Result<(), StoreError> {
        let mut turn = Turn::default();
        self.ask(&mut turn);
        conn.send(&turn).map_err(|(_, error)| error.into())
    }

    /// Writes them, where that must be in the place of one that has expired.
    pub(crate) fn finish(self, conn: &mut Conn) -> Result<(), StoreError> {
        self.write(conn)?;
        let new = self.new.into_inner();
        for row in self.rows.iter().filter(|row| !new.contains(&row.scope)) {
            let old = answers::table.filter(answers::scope.eq(&row.scope));
            let expired = old.filter(answers::expires_at.le(row.stored_at));
            db!(conn, |c| diesel::delete(expired).execute(c))?;
            let again = Writing::new(std::slice::from_ref(row));
            again.write(conn)?;
            if !again.are_new() {
                return Err(row.recognised.error());
            }
        }
        Ok(())
    }
}

impl Statement for Writing<'_> {
    fn run(&self, conn: &mut SqliteConnection) -> QueryResult<()> {
        for row in self.rows {
            if One::of(row).execute(conn)? == 1 {
                self.new.borrow_mut().push(row.scope.clone());
            }
        }
        Ok(())
    }

    fn send<'c>(&'c self, mut conn: &'c AsyncPgConnection) -> LocalBoxFuture<'c, QueryResult<()>> {
        let rows = Many::<_, Binary>::returning(self.rows, " RETURNING scope");
        let new = diesel_async::RunQueryDsl::load(rows, &mut conn);
        new.map(|new| new.map(|new| drop(self.new.replace(new)))).boxed_local()
    }
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
