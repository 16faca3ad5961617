//! What moderators and compliance impose on a room; data of the room, not policy. Each change moves the room's version,
//! so that no decision made before it goes through after it.

use std::collections::BTreeSet;

use diesel::prelude::*;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{RoomUri, UserUri};

use crate::convert::{time, user};
use crate::rooms::disturb;
use crate::schema::room_restrictions;
use crate::{Conn, StoreError, Tx};

/// One thing that can be imposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restriction {
    /// Nobody may change or write, only leave.
    Freeze,
    /// Nothing of the room may be purged.
    LegalHold,
    /// This user may not write.
    Mute(UserUri),
}

/// Everything that is imposed on a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restrictions {
    /// Whether the room is frozen.
    pub frozen: bool,
    /// Whether it is under legal hold.
    pub legal_hold: bool,
    /// Users who may not write.
    pub muted: BTreeSet<UserUri>,
}

impl Restriction {
    fn key(&self) -> (i32, &str) {
        match self {
            Self::Freeze => (0, ""),
            Self::LegalHold => (1, ""),
            Self::Mute(user) => (2, user.as_str()),
        }
    }
}

/// Imposes it; nothing changes when it is imposed already.
///
/// # Errors
///
/// [`StoreError::NoRoom`].
pub fn impose(
    tx: &mut Tx<'_>,
    room: &RoomUri,
    restriction: &Restriction,
    by: &str,
    now: Millis,
) -> Result<(), StoreError> {
    disturb(tx, room)?;
    let (kind, subject) = restriction.key();
    let row = (
        room_restrictions::room.eq(room.as_str()),
        room_restrictions::kind.eq(kind),
        room_restrictions::subject.eq(subject),
        room_restrictions::imposed_by.eq(by),
        room_restrictions::imposed_at.eq(time(now)?),
    );
    db!(tx, |c| diesel::insert_into(room_restrictions::table).values(row).on_conflict_do_nothing().execute(c))?;
    Ok(())
}

/// Lifts it; nothing changes when it is not imposed.
///
/// # Errors
///
/// [`StoreError::NoRoom`].
pub fn lift(tx: &mut Tx<'_>, room: &RoomUri, restriction: &Restriction) -> Result<(), StoreError> {
    disturb(tx, room)?;
    let (kind, subject) = restriction.key();
    let row = room_restrictions::table
        .filter(room_restrictions::room.eq(room.as_str()))
        .filter(room_restrictions::kind.eq(kind))
        .filter(room_restrictions::subject.eq(subject));
    db!(tx, |c| diesel::delete(row).execute(c))?;
    Ok(())
}

/// What is imposed on a room.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn restrictions(conn: &mut Conn, room: &RoomUri) -> Result<Restrictions, StoreError> {
    let query = room_restrictions::table
        .filter(room_restrictions::room.eq(room.as_str()))
        .select((room_restrictions::kind, room_restrictions::subject));
    let mut all = Restrictions::default();
    for (kind, subject) in db!(conn, |c| query.load::<(i32, String)>(c))? {
        match kind {
            0 => all.frozen = true,
            1 => all.legal_hold = true,
            2 => drop(all.muted.insert(user(&subject)?)),
            _ => return Err(StoreError::Corrupt("restriction")),
        }
    }
    Ok(all)
}
