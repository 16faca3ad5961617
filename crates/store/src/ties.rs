//! What ties rooms of ours to people and to each other: the one fixed room of the same users, rooms that depend on others, and
//! the groups that a room has had one after the other.

use std::collections::BTreeSet;

use diesel::prelude::*;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{GroupUri, RoomUri, UserUri};

use crate::asset_hosts;
use crate::convert::{group, room as room_uri, time, to_db, user};
use crate::leaves::{self, Whose};
use crate::restrictions::{self, Grounds, Place, Restriction};
use crate::rooms::{GroupState, RoomStatus, Seen, as_seen, disturb, forget_group, keep_state, moved, status_code};
use crate::schema::{fixed_rooms, next_groups, room_leaves, room_parents, room_restrictions, rooms};
use crate::{Conn, StoreError, Tx};

/// The group that a room is to have after its present one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextGroup {
    /// Its identifier.
    pub group: GroupUri,
    /// Who starts it.
    pub starter: UserUri,
}

/// The room of fixed membership that the users of this digest have.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn fixed_room(conn: &mut Conn, members: &[u8; 32]) -> Result<Option<RoomUri>, StoreError> {
    let query = fixed_rooms::table.filter(fixed_rooms::members.eq(members.as_slice())).select(fixed_rooms::room);
    db!(conn, |c| query.first::<String>(c).optional())?.map(|room| room_uri(&room)).transpose()
}

/// Has `room` be the fixed room of the users of this digest, and of no others; with `None`, no fixed room.
///
/// # Errors
///
/// [`StoreError::Exists`] when these users have another one.
pub fn fix(tx: &mut Tx<'_>, room: &RoomUri, members: Option<&[u8; 32]>) -> Result<(), StoreError> {
    let former = fixed_rooms::table.filter(fixed_rooms::room.eq(room.as_str()));
    db!(tx, |c| diesel::delete(former).execute(c))?;
    let Some(members) = members else { return Ok(()) };
    let row = (fixed_rooms::members.eq(members.as_slice()), fixed_rooms::room.eq(room.as_str()));
    db!(tx, |c| diesel::insert_into(fixed_rooms::table).values(row).execute(c))
        .map_err(|error| StoreError::unique(error, StoreError::Exists))?;
    Ok(())
}

/// The room that `room` depends on.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn parent(conn: &mut Conn, room: &RoomUri) -> Result<Option<RoomUri>, StoreError> {
    let query = room_parents::table.filter(room_parents::room.eq(room.as_str())).select(room_parents::parent);
    db!(conn, |c| query.first::<String>(c).optional())?.map(|parent| room_uri(&parent)).transpose()
}

/// The rooms that depend on `parent`, by their names.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn dependents(conn: &mut Conn, parent: &RoomUri) -> Result<Vec<RoomUri>, StoreError> {
    let query = room_parents::table
        .filter(room_parents::parent.eq(parent.as_str()))
        .order(room_parents::room)
        .select(room_parents::room);
    db!(conn, |c| query.load::<String>(c))?.iter().map(|room| room_uri(room)).collect()
}

/// Has a new room depend on `parent`, which moves the parent's version: who is about to destroy that looks again for what depends
/// on it.
///
/// # Errors
///
/// [`StoreError::NoRoom`] when there is no such parent.
pub fn depend(tx: &mut Tx<'_>, room: &RoomUri, parent: &RoomUri) -> Result<(), StoreError> {
    disturb(tx, parent)?;
    let row = (room_parents::room.eq(room.as_str()), room_parents::parent.eq(parent.as_str()));
    db!(tx, |c| diesel::insert_into(room_parents::table).values(row).execute(c))?;
    Ok(())
}

/// Ends the rights of `user`, who takes part in `parent` no longer, in the rooms that depend on it and have a client of it, and
/// gives those. Who is listed there without a client comes in no more.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn cascade(
    tx: &mut Tx<'_>,
    parent: &RoomUri,
    user: &UserUri,
    grounds: &Grounds,
    now: Millis,
) -> Result<BTreeSet<RoomUri>, StoreError> {
    let dependents = dependents(tx, parent)?;
    if dependents.is_empty() {
        return Ok(BTreeSet::new());
    }
    let leaves = leaves::find(tx, Whose::User(user))?.into_iter();
    let concerned: BTreeSet<RoomUri> = leaves.map(|(room, _)| room).filter(|room| dependents.contains(room)).collect();
    for room in &concerned {
        restrictions::impose(tx, &Place::from(room), &Restriction::Removal(user.clone()), grounds, now)?;
    }
    Ok(concerned)
}

/// Lets nobody move the room on before the transaction has ended.
///
/// # Errors
///
/// [`StoreError::EpochMoved`] when it is no longer as `seen`, [`StoreError::NoRoom`] when there is none.
pub fn hold(tx: &mut Tx<'_>, room: &RoomUri, seen: Seen) -> Result<(), StoreError> {
    let target = as_seen(room.as_str(), to_db(seen.epoch)?, to_db(seen.version)?);
    match db!(tx, |c| diesel::update(target).set(rooms::version.eq(rooms::version)).execute(c))? {
        0 => Err(moved(tx, room)?),
        _ => Ok(()),
    }
}

/// Which group the room is to have next, if somebody has asked for one.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn next_group(conn: &mut Conn, room: &RoomUri) -> Result<Option<NextGroup>, StoreError> {
    let query = next_groups::table
        .filter(next_groups::room.eq(room.as_str()))
        .select((next_groups::group_uri, next_groups::starter));
    let found = db!(conn, |c| query.first::<(String, String)>(c).optional())?;
    found.map(|(group_uri, starter)| Ok(NextGroup { group: group(&group_uri)?, starter: user(&starter)? })).transpose()
}

/// Notes which group the room is to have next; whoever asks last may start it.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn await_group(tx: &mut Tx<'_>, room: &RoomUri, next: &NextGroup, now: Millis) -> Result<(), StoreError> {
    forget_next(tx, room)?;
    let row = (
        next_groups::room.eq(room.as_str()),
        next_groups::group_uri.eq(next.group.as_str()),
        next_groups::starter.eq(next.starter.as_str()),
        next_groups::asked_at.eq(time(now)?),
    );
    db!(tx, |c| diesel::insert_into(next_groups::table).values(row).execute(c))?;
    Ok(())
}

/// Gives the room its next group, in whose epochs it is from then on; of the former one nothing is left but its events.
/// [`crate::leaves::record`] belongs to it.
///
/// # Errors
///
/// [`StoreError::EpochMoved`] when the room is no longer as `seen`, [`StoreError::NoRoom`] when there is none.
pub fn replace_group(
    tx: &mut Tx<'_>,
    room: &RoomUri,
    seen: Seen,
    (group, first): (&GroupUri, &GroupState),
) -> Result<(), StoreError> {
    let changes = (
        rooms::group_uri.eq(group.as_str()),
        rooms::epoch.eq(to_db(first.epoch)?),
        rooms::version.eq(rooms::version + 1),
    );
    let target = as_seen(room.as_str(), to_db(seen.epoch)?, to_db(seen.version)?);
    if db!(tx, |c| diesel::update(target).set(changes).execute(c))? == 0 {
        return Err(moved(tx, room)?);
    }
    forget_next(tx, room)?;
    forget_group(tx, room)?;
    keep_state(tx, room, first)
}

/// Destroys a room of ours: of its group nothing is left but its events, nothing is imposed on it any longer, and its name stays
/// taken.
///
/// # Errors
///
/// As [`replace_group`].
pub fn destroy(tx: &mut Tx<'_>, room: &RoomUri, seen: Seen, now: Millis) -> Result<(), StoreError> {
    let ours = [RoomStatus::Waiting, RoomStatus::Active].map(status_code);
    let target = rooms::table
        .filter(rooms::uri.eq(room.as_str()))
        .filter(rooms::epoch.eq(to_db(seen.epoch)?))
        .filter(rooms::version.eq(to_db(seen.version)?))
        .filter(rooms::status.eq_any(ours));
    let changes = (rooms::status.eq(status_code(RoomStatus::Destroyed)), rooms::version.eq(rooms::version + 1));
    if db!(tx, |c| diesel::update(target).set(changes).execute(c))? == 0 {
        return Err(moved(tx, room)?);
    }
    fix(tx, room, None)?;
    asset_hosts::forget(tx, room)?;
    forget_next(tx, room)?;
    forget_group(tx, room)?;
    let tied = room_parents::table.filter(room_parents::room.eq(room.as_str()));
    db!(tx, |c| diesel::delete(tied).execute(c))?;
    let leaves = room_leaves::table.filter(room_leaves::room.eq(room.as_str()));
    db!(tx, |c| diesel::delete(leaves).execute(c))?;
    let imposed = room_restrictions::table
        .filter(room_restrictions::room.eq(room.as_str()))
        .filter(room_restrictions::ended_at.eq(0_i64));
    let ended = (room_restrictions::ended_at.eq(time(now)?), room_restrictions::owed.eq(0));
    db!(tx, |c| diesel::update(imposed).set(ended).execute(c))?;
    Ok(())
}

fn forget_next(tx: &mut Tx<'_>, room: &RoomUri) -> Result<(), StoreError> {
    let asked = next_groups::table.filter(next_groups::room.eq(room.as_str()));
    db!(tx, |c| diesel::delete(asked).execute(c))?;
    Ok(())
}
