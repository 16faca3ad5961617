//! Codes by which people join rooms of ours, without anybody who adds them. Whoever has a code may take the role that it gives, as
//! far as the room's own policy lets anybody take it by a code (reading P-10), and company policy says so.

use std::time::Duration;

use data_encoding::BASE32_NOPAD;
use portcullis_core::mls::Group;
use portcullis_core::room::RoomState;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{Domain, RoomUri};
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::join_codes::{self, JoinCode};
use portcullis_store::rooms::{self, RoomStatus};
use portcullis_store::{Conn, StoreError, Tx, answers};
use serde_json::json;
use uuid::Uuid;

use super::GatewayError;

/// Random octets of a code: nobody finds one by trying.
const OCTETS: usize = 16;

/// Longest life of a code.
pub const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Most uses of a code.
pub const MOST_USES: u32 = 100_000;

/// A code that somebody wants to give out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJoinCode {
    /// The room it is to lead into.
    pub room: RoomUri,
    /// Index of the role it is to give; `None` for the first that a code can give there.
    pub role: Option<u32>,
    /// How often it may be used, at most [`MOST_USES`].
    pub uses: u32,
    /// How long it lasts, at most [`LONGEST`].
    pub lasts: Duration,
    /// The provider whose users alone may use it.
    pub domain: Option<Domain>,
    /// Why, for the record.
    pub reason: String,
}

/// A code as it is told to whoever has made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeJoinCode {
    /// What is kept of it.
    pub kept: JoinCode,
    /// The code itself, which is kept nowhere; `None` when it is told again what was made.
    pub code: Option<String>,
}

/// Why there is no such code.
#[derive(Debug, thiserror::Error)]
pub enum JoinCodeError {
    /// The room is none of ours, or has no group yet.
    #[error("there is no such room here")]
    NoRoom,
    /// Its policy lets nobody take the role by a code.
    #[error("nobody may take this role of the room by a code")]
    Role,
    /// Nothing that a code can be.
    #[error("a code is used at least once and at most 100000 times, and lasts at least a second and at most 366 days")]
    Bounds,
    /// The system gives no randomness, or the room cannot be read.
    #[error("a code cannot be made")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<JoinCodeError> for GatewayError {
    fn from(error: JoinCodeError) -> Self {
        match error {
            JoinCodeError::NoRoom => Self::NotFound,
            JoinCodeError::Role | JoinCodeError::Bounds => Self::decode(error),
            JoinCodeError::Internal(source) => Self::Internal(source),
        }
    }
}

/// By what a code of a room is found.
pub fn hash(room: &RoomUri, code: &[u8]) -> [u8; 32] {
    answers::scope(&[b"join code", room.as_bytes(), code])
}

/// Makes a code, of which nothing is kept yet.
///
/// # Errors
///
/// [`JoinCodeError`].
pub fn make(conn: &mut Conn, new: &NewJoinCode, by: &str, now: Millis) -> Result<MadeJoinCode, JoinCodeError> {
    let internal = |error: StoreError| JoinCodeError::Internal(error.into());
    if !(1..=MOST_USES).contains(&new.uses) || new.lasts < Duration::from_secs(1) || new.lasts > LONGEST {
        return Err(JoinCodeError::Bounds);
    }
    let row = rooms::load(conn, &new.room).map_err(internal)?.ok_or(JoinCodeError::NoRoom)?;
    if row.head.status != RoomStatus::Active {
        return Err(JoinCodeError::NoRoom);
    }
    let group = Group::restore(&row.snapshot).map_err(|error| JoinCodeError::Internal(error.into()))?;
    let state = RoomState::read(group.view()).map_err(|error| JoinCodeError::Internal(error.into()))?;
    let first = || state.roles().keys().copied().find(|role| state.joins_by_code(*role));
    let role = new.role.or_else(first).filter(|role| state.joins_by_code(*role)).ok_or(JoinCodeError::Role)?;
    let mut octets = [0; OCTETS];
    aws_lc_rs::rand::fill(&mut octets).map_err(|error| JoinCodeError::Internal(error.into()))?;
    let kept = JoinCode {
        id: Uuid::now_v7(),
        room: new.room.clone(),
        role,
        uses: new.uses,
        used: 0,
        domain: new.domain.clone(),
        expires_at: now.plus(new.lasts),
        created_by: by.to_owned(),
        reason: new.reason.clone(),
        created_at: now,
        revoked_at: None,
    };
    Ok(MadeJoinCode { kept, code: Some(BASE32_NOPAD.encode(&octets).to_lowercase()) })
}

/// Keeps what there is to be kept of a code, with its record.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn keep(tx: &mut Tx<'_>, made: &MadeJoinCode) -> Result<(), StoreError> {
    let (kept, code) = (&made.kept, made.code.as_deref().unwrap_or_default());
    join_codes::create(tx, kept, &hash(&kept.room, code.as_bytes()))?;
    tx.stage(&record("join_code.created", kept, (&kept.created_by, &kept.reason), kept.created_at))
}

/// Lets nobody use a code any longer, with its record.
///
/// # Errors
///
/// [`StoreError::Missing`] when the room has no such code, or it was revoked before.
pub fn revoke(
    tx: &mut Tx<'_>,
    room: &RoomUri,
    id: Uuid,
    (by, reason): (&str, &str),
    now: Millis,
) -> Result<JoinCode, StoreError> {
    let revoked = join_codes::revoke(tx, room, id, now)?;
    tx.stage(&record("join_code.revoked", &revoked, (by, reason), now))?;
    Ok(revoked)
}

fn record(kind: &'static str, code: &JoinCode, (by, reason): (&str, &str), now: Millis) -> AuditRecord {
    AuditRecord {
        room: Some(code.room.clone()),
        actor: Some(by.to_owned()),
        reason: reason.to_owned(),
        detail: json!({
            "code": code.id, "role": code.role, "uses": code.uses, "used": code.used, "provider": code.domain,
            "expires_at": code.expires_at,
        }),
        ..AuditRecord::new(Uuid::now_v7(), now, kind, Outcome::Info)
    }
}
