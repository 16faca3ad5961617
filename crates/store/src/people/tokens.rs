use diesel::prelude::*;
use portcullis_core::time::Millis;
use uuid::Uuid;

use crate::convert::{millis, time, uuid};
use crate::schema::people_tokens::{self as table, dsl};
use crate::{Conn, StoreError, Tx};

/// A token of an identity provider. The token itself is known to whoever was given it; here is its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its identifier, which opens nothing.
    pub id: Uuid,
    /// What the log calls whoever comes with it.
    pub name: String,
    /// Who made it.
    pub created_by: String,
    /// Why.
    pub reason: String,
    /// When it was made.
    pub created_at: Millis,
    /// When it ends.
    pub expires_at: Millis,
    /// When it was revoked; `None` when it was not.
    pub revoked_at: Option<Millis>,
}

type Row = (Vec<u8>, String, String, String, i64, i64, i64);

type Columns = (dsl::id, dsl::name, dsl::created_by, dsl::reason, dsl::created_at, dsl::expires_at, dsl::revoked_at);

const COLUMNS: Columns =
    (dsl::id, dsl::name, dsl::created_by, dsl::reason, dsl::created_at, dsl::expires_at, dsl::revoked_at);

fn token(row: Row) -> Result<Token, StoreError> {
    let (id, name, created_by, reason, created_at, expires_at, revoked_at) = row;
    Ok(Token {
        id: uuid(&id)?,
        name,
        created_by,
        reason,
        created_at: millis(created_at)?,
        expires_at: millis(expires_at)?,
        revoked_at: if revoked_at == 0 { None } else { Some(millis(revoked_at)?) },
    })
}

/// Keeps a new token by its hash.
///
/// # Errors
///
/// [`StoreError::Exists`] when there is one of that hash.
pub fn create(tx: &mut Tx<'_>, token: &Token, hash: &[u8; 32]) -> Result<(), StoreError> {
    let row = (
        dsl::id.eq(token.id.as_bytes().to_vec()),
        dsl::token_hash.eq(hash.as_slice()),
        dsl::name.eq(token.name.as_str()),
        dsl::created_by.eq(token.created_by.as_str()),
        dsl::reason.eq(token.reason.as_str()),
        dsl::created_at.eq(time(token.created_at)?),
        dsl::expires_at.eq(time(token.expires_at)?),
        dsl::revoked_at.eq(0_i64),
    );
    db!(tx, |c| diesel::insert_into(table::table).values(row).execute(c))
        .map_err(|error| StoreError::unique(error, StoreError::Exists))?;
    Ok(())
}

/// The token with this hash, if it is good at `now`.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn find(conn: &mut Conn, hash: &[u8; 32], now: Millis) -> Result<Option<Token>, StoreError> {
    let query = table::table
        .filter(dsl::token_hash.eq(hash.as_slice()))
        .filter(dsl::revoked_at.eq(0_i64))
        .filter(dsl::expires_at.gt(time(now)?))
        .select(COLUMNS);
    db!(conn, |c| query.first::<Row>(c).optional())?.map(token).transpose()
}

/// All tokens, good or not, the oldest first.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn tokens(conn: &mut Conn) -> Result<Vec<Token>, StoreError> {
    let query = table::table.order(dsl::id).select(COLUMNS);
    db!(conn, |c| query.load::<Row>(c))?.into_iter().map(token).collect()
}

/// Lets nobody in by a token any longer.
///
/// # Errors
///
/// [`StoreError::Missing`] when there is none, or it was revoked before.
pub fn revoke(tx: &mut Tx<'_>, id: Uuid, now: Millis) -> Result<Token, StoreError> {
    let row = table::table.filter(dsl::id.eq(id.as_bytes().to_vec())).filter(dsl::revoked_at.eq(0_i64));
    if db!(tx, |c| diesel::update(row).set(dsl::revoked_at.eq(time(now)?)).execute(c))? == 0 {
        return Err(StoreError::Missing);
    }
    let query = table::table.filter(dsl::id.eq(id.as_bytes().to_vec())).select(COLUMNS);
    token(db!(tx, |c| query.first::<Row>(c))?)
}
