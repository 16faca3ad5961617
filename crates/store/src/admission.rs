//! Admission tickets: what an answered groupInfo request grants to one signature key for a short while (reading D-46).

use diesel::dsl::count_star;
use diesel::prelude::*;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::RoomUri;
use uuid::Uuid;

use crate::convert::{digest, millis, number, time, uuid};
use crate::schema::admissions;
use crate::{Conn, StoreError, Tx};

/// A ticket for one external commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Its identifier.
    pub id: Uuid,
    /// The room it admits to.
    pub room: RoomUri,
    /// The signature key that must make the commit.
    pub signature_key: Vec<u8>,
    /// SHA-256 of the credential that must make the commit.
    pub credential_hash: [u8; 32],
    /// Index of the role it grants.
    pub role: u32,
    /// The joining code that it was issued for, where it was for one.
    pub code: Option<Uuid>,
    /// When it was issued.
    pub issued_at: Millis,
    /// When it ends.
    pub expires_at: Millis,
}

/// Issues a ticket.
///
/// # Errors
///
/// [`StoreError::Exists`] when its identifier is taken.
pub fn issue(tx: &mut Tx<'_>, ticket: &Ticket) -> Result<(), StoreError> {
    let row = (
        admissions::id.eq(ticket.id.as_bytes().as_slice()),
        admissions::room.eq(ticket.room.as_str()),
        admissions::signature_key.eq(ticket.signature_key.as_slice()),
        admissions::credential_hash.eq(ticket.credential_hash.as_slice()),
        admissions::role.eq(i64::from(ticket.role)),
        admissions::code.eq(ticket.code.map(|id| id.as_bytes().to_vec()).unwrap_or_default()),
        admissions::issued_at.eq(time(ticket.issued_at)?),
        admissions::expires_at.eq(time(ticket.expires_at)?),
    );
    db!(tx, |c| diesel::insert_into(admissions::table).values(row).execute(c))
        .map_err(|error| StoreError::unique(error, StoreError::Exists))?;
    Ok(())
}

/// The latest ticket of the key for the room that is still good.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn find(conn: &mut Conn, room: &RoomUri, signature_key: &[u8], now: Millis) -> Result<Option<Ticket>, StoreError> {
    type Row = (Vec<u8>, Vec<u8>, i64, i64, i64, Vec<u8>);
    let query = admissions::table
        .filter(admissions::room.eq(room.as_str()))
        .filter(admissions::signature_key.eq(signature_key))
        .filter(admissions::expires_at.gt(time(now)?))
        .order(admissions::issued_at.desc())
        .select((
            admissions::id,
            admissions::credential_hash,
            admissions::role,
            admissions::issued_at,
            admissions::expires_at,
            admissions::code,
        ));
    let Some((id, credential_hash, role, issued_at, expires_at, code)) =
        db!(conn, |c| query.first::<Row>(c).optional())?
    else {
        return Ok(None);
    };
    Ok(Some(Ticket {
        id: uuid(&id)?,
        room: room.clone(),
        signature_key: signature_key.to_vec(),
        credential_hash: digest(&credential_hash)?,
        role: u32::try_from(role).map_err(|_| StoreError::Corrupt("role"))?,
        code: if code.is_empty() { None } else { Some(uuid(&code)?) },
        issued_at: millis(issued_at)?,
        expires_at: millis(expires_at)?,
    }))
}

/// Uses a ticket up, in the transaction of the commit it admits.
///
/// # Errors
///
/// [`StoreError::Missing`] when it was used already.
pub fn spend(tx: &mut Tx<'_>, ticket: &Ticket) -> Result<(), StoreError> {
    let row = admissions::table.filter(admissions::id.eq(ticket.id.as_bytes().as_slice()));
    match db!(tx, |c| diesel::delete(row).execute(c))? {
        0 => Err(StoreError::Missing),
        _ => Ok(()),
    }
}

/// Takes back what was issued for this credential.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn take_back(tx: &mut Tx<'_>, credential_hash: &[u8; 32]) -> Result<(), StoreError> {
    let rows = admissions::table.filter(admissions::credential_hash.eq(credential_hash.as_slice()));
    db!(tx, |c| diesel::delete(rows).execute(c))?;
    Ok(())
}

/// How many tickets the key got for the room since `since` without using them.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn count_since(conn: &mut Conn, room: &RoomUri, signature_key: &[u8], since: Millis) -> Result<u64, StoreError> {
    let query = admissions::table
        .filter(admissions::room.eq(room.as_str()))
        .filter(admissions::signature_key.eq(signature_key))
        .filter(admissions::issued_at.ge(time(since)?))
        .select(count_star());
    number(db!(conn, |c| query.first::<i64>(c))?)
}

/// Forgets tickets that ended before `before`, at most `limit`. Gives their number.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn expire(tx: &mut Tx<'_>, before: Millis, limit: u32) -> Result<usize, StoreError> {
    let ended = admissions::table.filter(admissions::expires_at.lt(time(before)?));
    let over = db!(tx, |c| ended.limit(limit.into()).select(admissions::id).load::<Vec<u8>>(c))?;
    let old = admissions::table.filter(admissions::id.eq_any(over));
    Ok(db!(tx, |c| diesel::delete(old).execute(c))?)
}
