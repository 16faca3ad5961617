//! Codes by which people join rooms of ours. A code itself is known to whoever was given it; here is its hash.

use diesel::prelude::*;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{Domain, RoomUri};
use uuid::Uuid;

use crate::convert::{domain, millis, room as room_uri, time, uuid};
use crate::schema::join_codes::{self, dsl};
use crate::{Conn, StoreError, Tx};

/// A code, and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinCode {
    /// Its identifier, which opens nothing.
    pub id: Uuid,
    /// The room it leads into.
    pub room: RoomUri,
    /// Index of the role it gives.
    pub role: u32,
    /// How often it may be used.
    pub uses: u32,
    /// How often it was used.
    pub used: u32,
    /// The provider whose users alone may use it; `None` for everybody.
    pub domain: Option<Domain>,
    /// When it ends.
    pub expires_at: Millis,
    /// Who made it.
    pub created_by: String,
    /// Why, in that person's words.
    pub reason: String,
    /// When it was made.
    pub created_at: Millis,
    /// When it was revoked; `None` when it was not.
    pub revoked_at: Option<Millis>,
}

impl JoinCode {
    /// Whether a user of `provider` may use it at `now`.
    pub fn is_good(&self, provider: &Domain, now: Millis) -> bool {
        self.revoked_at.is_none()
            && self.used < self.uses
            && now < self.expires_at
            && self.domain.as_ref().is_none_or(|domain| domain == provider)
    }
}

/// Keeps a new code by its hash.
///
/// # Errors
///
/// [`StoreError::Exists`] when there is one of that identifier or hash.
pub fn create(tx: &mut Tx<'_>, code: &JoinCode, hash: &[u8; 32]) -> Result<(), StoreError> {
    let row = (
        dsl::id.eq(code.id.as_bytes().as_slice()),
        dsl::room.eq(code.room.as_str()),
        dsl::code_hash.eq(hash.as_slice()),
        dsl::role.eq(i64::from(code.role)),
        dsl::uses.eq(i64::from(code.uses)),
        dsl::used.eq(i64::from(code.used)),
        dsl::domain.eq(code.domain.as_ref().map_or("", Domain::as_str)),
        dsl::expires_at.eq(time(code.expires_at)?),
        dsl::created_by.eq(code.created_by.as_str()),
        dsl::reason.eq(code.reason.as_str()),
        dsl::created_at.eq(time(code.created_at)?),
        dsl::revoked_at.eq(0_i64),
    );
    db!(tx, |c| diesel::insert_into(join_codes::table).values(row).execute(c))
        .map_err(|error| StoreError::unique(error, StoreError::Exists))?;
    Ok(())
}

/// The code with this hash, good or not; `None` when the room has none such.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn find(conn: &mut Conn, room: &RoomUri, hash: &[u8; 32]) -> Result<Option<JoinCode>, StoreError> {
    let query = join_codes::table
        .filter(dsl::code_hash.eq(hash.as_slice()))
        .filter(dsl::room.eq(room.as_str()))
        .select(COLUMNS);
    db!(conn, |c| query.first::<Row>(c).optional())?.map(join_code).transpose()
}

/// The code of this identifier.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn load(conn: &mut Conn, id: Uuid) -> Result<Option<JoinCode>, StoreError> {
    let query = join_codes::table.filter(dsl::id.eq(id.as_bytes().as_slice())).select(COLUMNS);
    db!(conn, |c| query.first::<Row>(c).optional())?.map(join_code).transpose()
}

/// Codes of a room, the oldest first, behind `after`, at most `limit`.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn of_room(conn: &mut Conn, room: &RoomUri, after: Option<Uuid>, limit: u32) -> Result<Vec<JoinCode>, StoreError> {
    let after = after.map(|id| id.as_bytes().to_vec()).unwrap_or_default();
    let query = join_codes::table
        .filter(dsl::room.eq(room.as_str()))
        .filter(dsl::id.gt(after))
        .order(dsl::id)
        .limit(limit.into())
        .select(COLUMNS);
    db!(conn, |c| query.load::<Row>(c))?.into_iter().map(join_code).collect()
}

/// Uses a code once, in the transaction of the commit that it lets in.
///
/// # Errors
///
/// [`StoreError::Missing`] when it is not good any longer.
pub fn spend(tx: &mut Tx<'_>, id: Uuid, now: Millis) -> Result<(), StoreError> {
    let good = join_codes::table
        .filter(dsl::id.eq(id.as_bytes().as_slice()))
        .filter(dsl::revoked_at.eq(0_i64))
        .filter(dsl::used.lt(dsl::uses))
        .filter(dsl::expires_at.gt(time(now)?));
    match db!(tx, |c| diesel::update(good).set(dsl::used.eq(dsl::used + 1)).execute(c))? {
        0 => Err(StoreError::Missing),
        _ => Ok(()),
    }
}

/// Lets nobody use a code of the room any longer. Whoever has used it stays.
///
/// # Errors
///
/// [`StoreError::Missing`] when the room has no such code, or it was revoked before.
pub fn revoke(tx: &mut Tx<'_>, room: &RoomUri, id: Uuid, now: Millis) -> Result<JoinCode, StoreError> {
    let row = join_codes::table
        .filter(dsl::id.eq(id.as_bytes().as_slice()))
        .filter(dsl::room.eq(room.as_str()))
        .filter(dsl::revoked_at.eq(0_i64));
    if db!(tx, |c| diesel::update(row).set(dsl::revoked_at.eq(time(now)?)).execute(c))? == 0 {
        return Err(StoreError::Missing);
    }
    load(tx, id)?.ok_or(StoreError::Missing)
}

type Row = (Vec<u8>, String, i64, i64, i64, String, i64, String, String, i64, i64);

type Columns = (
    dsl::id,
    dsl::room,
    dsl::role,
    dsl::uses,
    dsl::used,
    dsl::domain,
    dsl::expires_at,
    dsl::created_by,
    dsl::reason,
    dsl::created_at,
    dsl::revoked_at,
);

const COLUMNS: Columns = (
    dsl::id,
    dsl::room,
    dsl::role,
    dsl::uses,
    dsl::used,
    dsl::domain,
    dsl::expires_at,
    dsl::created_by,
    dsl::reason,
    dsl::created_at,
    dsl::revoked_at,
);

fn join_code(row: Row) -> Result<JoinCode, StoreError> {
    let (id, room, role, uses, used, only, expires_at, created_by, reason, created_at, revoked_at) = row;
    let count = |stored: i64| u32::try_from(stored).map_err(|_| StoreError::Corrupt("join code"));
    Ok(JoinCode {
        id: uuid(&id)?,
        room: room_uri(&room)?,
        role: count(role)?,
        uses: count(uses)?,
        used: count(used)?,
        domain: if only.is_empty() { None } else { Some(domain(&only)?) },
        expires_at: millis(expires_at)?,
        created_by,
        reason,
        created_at: millis(created_at)?,
        revoked_at: if revoked_at == 0 { None } else { Some(millis(revoked_at)?) },
    })
}
