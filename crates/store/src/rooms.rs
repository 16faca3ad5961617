//! Rooms whose group stands here: those this gateway is hub of, and those of other hubs that it tracks. The database
//! decides who of several writers was first.

use diesel::dsl::case_when;
use diesel::prelude::*;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{GroupUri, RoomUri, UserUri};

use crate::convert::{group, millis, number, room, time, to_db, user};
pub use crate::cursor::{Accepted, accept_message};
use crate::schema::{proposals, room_states, rooms};
use crate::vault::Purpose;
use crate::{Conn, StoreError, Tx};

/// What the two parts of a group state are sealed as.
const SNAPSHOT: &[u8] = b"snapshot";
const GROUP_INFO: &[u8] = b"group_info";

/// How far a room is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomStatus {
    /// Created; its first GroupInfo has not come yet.
    Waiting,
    /// It has a group.
    Active,
    /// Another provider is its hub, and its group is tracked.
    Followed,
    /// Another provider is its hub, and its group was tracked once.
    Lost,
    /// It was destroyed: its name stays taken.
    Destroyed,
}

/// A room to be created.
#[derive(Clone, Debug)]
pub struct NewRoom {
    /// Its identifier.
    pub room: RoomUri,
    /// The MLS group that it is to have.
    pub group: GroupUri,
    /// Name of its template.
    pub template: String,
    /// Who creates it.
    pub creator: UserUri,
}

/// A room without its group state: small, for checking a cached one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomHead {
    /// Its identifier.
    pub room: RoomUri,
    /// Its MLS group.
    pub group: GroupUri,
    /// How far it is.
    pub status: RoomStatus,
    /// Current MLS epoch; 0 while waiting.
    pub epoch: u64,
    /// Moves with everything that a decision depends on: commits, proposals and restrictions, but not messages.
    pub version: u64,
    /// Accepted timestamp of the latest message, proposal or commit (reading D-32).
    pub last_accepted: Millis,
    /// Number of its latest event.
    pub last_seq: u64,
    /// Name of its template; empty for a room of another hub.
    pub template: String,
    /// Who created it; for a room of another hub, whose client uploaded its group.
    pub creator: UserUri,
}

/// A room with the group state of its epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomRow {
    /// All but the group.
    pub head: RoomHead,
    /// Snapshot of the public group.
    pub snapshot: Vec<u8>,
    /// Full GroupInfo.
    pub group_info: Vec<u8>,
}

/// The group state of an epoch.
#[derive(Clone, Debug)]
pub struct GroupState {
    /// The epoch.
    pub epoch: u64,
    /// Snapshot of the public group.
    pub snapshot: Vec<u8>,
    /// Full GroupInfo; empty where a follower does not have it.
    pub group_info: Vec<u8>,
}

/// The state of a room that a decision was made on; a write goes through only while it is still so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Epoch.
    pub epoch: u64,
    /// Version.
    pub version: u64,
}

impl RoomHead {
    /// What a decision made on this row was made on.
    pub fn seen(&self) -> Seen {
        Seen { epoch: self.epoch, version: self.version }
    }
}

/// Creates a room that waits for its group.
///
/// # Errors
///
/// [`StoreError::Exists`] when there is one of that name.
pub fn create(tx: &mut Tx<'_>, new: &NewRoom, now: Millis) -> Result<(), StoreError> {
    let row = (
        rooms::uri.eq(new.room.as_str()),
        rooms::group_uri.eq(new.group.as_str()),
        rooms::status.eq(status_code(RoomStatus::Waiting)),
        rooms::epoch.eq(0_i64),
        rooms::version.eq(0_i64),
        rooms::last_accepted.eq(0_i64),
        rooms::last_seq.eq(0_i64),
        rooms::template.eq(new.template.as_str()),
        rooms::creator.eq(new.creator.as_str()),
        rooms::created_at.eq(time(now)?),
    );
    db!(tx, |c| diesel::insert_into(rooms::table).values(row).execute(c))
        .map_err(|error| StoreError::unique(error, StoreError::Exists))?;
    Ok(())
}

/// Gives a waiting room its first group.
///
/// # Errors
///
/// [`StoreError::Missing`] when no room of that name waits for one, or something was imposed on it since `version`.
pub fn start_group(
    tx: &mut Tx<'_>,
    room: &RoomUri,
    version: u64,
    first: &GroupState,
    now: Millis,
) -> Result<(), StoreError> {
    let target = rooms::table
        .filter(rooms::uri.eq(room.as_str()))
        .filter(rooms::version.eq(to_db(version)?))
        .filter(rooms::status.eq(status_code(RoomStatus::Waiting)));
    let changes = (
        rooms::status.eq(status_code(RoomStatus::Active)),
        rooms::epoch.eq(to_db(first.epoch)?),
        rooms::version.eq(rooms::version + 1),
        rooms::last_accepted.eq(time(now)?),
    );
    match db!(tx, |c| diesel::update(target).set(changes).execute(c))? {
        0 => Err(StoreError::Missing),
        _ => keep_state(tx, room, first),
    }
}

/// Tracks the group of another hub's room from now on, whatever was known of it before.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn follow(
    tx: &mut Tx<'_>,
    room: &RoomUri,
    group: &GroupUri,
    state: &GroupState,
    by: &UserUri,
    now: Millis,
) -> Result<(), StoreError> {
    let (followed, epoch) = (rooms::status.eq(status_code(RoomStatus::Followed)), rooms::epoch.eq(to_db(state.epoch)?));
    let row = (
        rooms::uri.eq(room.as_str()),
        rooms::group_uri.eq(group.as_str()),
        followed,
        epoch,
        rooms::version.eq(0_i64),
        rooms::last_accepted.eq(0_i64),
        rooms::last_seq.eq(0_i64),
        rooms::template.eq(""),
        rooms::creator.eq(by.as_str()),
        rooms::created_at.eq(time(now)?),
    );
    let known = (rooms::group_uri.eq(group.as_str()), followed, epoch, rooms::version.eq(rooms::version + 1));
    db!(tx, |c| {
        diesel::insert_into(rooms::table).values(row).on_conflict(rooms::uri).do_update().set(known).execute(c)
    })?;
    forget_group(tx, room)?;
    keep_state(tx, room, state)
}

/// No longer tracks the group of another hub's room. Restrictions stay.
///
/// # Errors
///
/// As [`advance_epoch`].
pub fn lose(tx: &mut Tx<'_>, room: &RoomUri, seen: Seen) -> Result<(), StoreError> {
    let changes = (rooms::status.eq(status_code(RoomStatus::Lost)), rooms::version.eq(rooms::version + 1));
    let target = as_seen(room.as_str(), to_db(seen.epoch)?, to_db(seen.version)?);
    match db!(tx, |c| diesel::update(target).set(changes).execute(c))? {
        0 => Err(moved(tx, room)?),
        _ => forget_group(tx, room),
    }
}

pub(crate) fn forget_group(tx: &mut Tx<'_>, room: &RoomUri) -> Result<(), StoreError> {
    let states = room_states::table.filter(room_states::room.eq(room.as_str()));
    db!(tx, |c| diesel::delete(states).execute(c))?;
    let pending = proposals::table.filter(proposals::room.eq(room.as_str()));
    db!(tx, |c| diesel::delete(pending).execute(c))?;
    Ok(())
}

/// The room without its group; `None` when there is no such room.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn head(conn: &mut Conn, room: &RoomUri) -> Result<Option<RoomHead>, StoreError> {
    let query = rooms::table.filter(rooms::uri.eq(room.as_str())).select(HEAD);
    db!(conn, |c| query.first::<HeadRow>(c).optional())?.map(read_head).transpose()
}

/// The room with its current group; `None` when there is no such room or it waits for its group.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn load(conn: &mut Conn, room: &RoomUri) -> Result<Option<RoomRow>, StoreError> {
    let Some(head) = head(conn, room)? else { return Ok(None) };
    let query = room_states::table
        .filter(room_states::room.eq(room.as_str()))
        .filter(room_states::epoch.eq(to_db(head.epoch)?))
        .select((room_states::snapshot, room_states::group_info));
    let Some(state) = db!(conn, |c| query.first::<(Vec<u8>, Vec<u8>)>(c).optional())? else { return Ok(None) };
    let GroupState { snapshot, group_info, .. } = unsealed(conn, room, head.epoch, state)?;
    Ok(Some(RoomRow { head, snapshot, group_info }))
}

/// The state of an epoch as it was before it was kept.
fn unsealed(
    conn: &mut Conn,
    room: &RoomUri,
    epoch: u64,
    (snapshot, group_info): (Vec<u8>, Vec<u8>),
) -> Result<GroupState, StoreError> {
    let at = epoch.to_be_bytes();
    let mut part = |name: &[u8], stored| conn.unseal(Purpose::Groups, &[room.as_bytes(), &at, name], stored);
    Ok(GroupState { epoch, snapshot: part(SNAPSHOT, snapshot)?, group_info: part(GROUP_INFO, group_info)? })
}

/// Group states that are kept, newest first: the current epoch's and the one before it.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn states(conn: &mut Conn, room: &RoomUri) -> Result<Vec<GroupState>, StoreError> {
    let query = room_states::table
        .filter(room_states::room.eq(room.as_str()))
        .order(room_states::epoch.desc())
        .select((room_states::epoch, room_states::snapshot, room_states::group_info));
    db!(conn, |c| query.load::<(i64, Vec<u8>, Vec<u8>)>(c))?
        .into_iter()
        .map(|(epoch, snapshot, group_info)| unsealed(conn, room, number(epoch)?, (snapshot, group_info)))
        .collect()
}

/// All rooms of ours in the order of their names, after `after`, at most `limit`.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn list(conn: &mut Conn, after: Option<&RoomUri>, limit: u32) -> Result<Vec<RoomHead>, StoreError> {
    let ours = [RoomStatus::Waiting, RoomStatus::Active].map(status_code);
    let query = rooms::table
        .filter(rooms::status.eq_any(ours))
        .filter(rooms::uri.gt(after.map_or("", RoomUri::as_str)))
        .order(rooms::uri)
        .limit(limit.into())
        .select(HEAD);
    db!(conn, |c| query.load::<HeadRow>(c))?.into_iter().map(read_head).collect()
}

/// Accepts a commit: the room is in the epoch of `next` afterwards. The state of the epoch before is kept, proposals
/// that were pending in it are gone. In a room of ours [`crate::leaves::follow`] belongs to it. Gives the accepted
/// timestamp.
///
/// # Errors
///
/// [`StoreError::EpochMoved`] when the room is no longer as `seen`, [`StoreError::NoRoom`] when there is none.
pub fn advance_epoch(
    tx: &mut Tx<'_>,
    room: &RoomUri,
    seen: Seen,
    next: &GroupState,
    now: Millis,
) -> Result<Millis, StoreError> {
    let changes = (
        rooms::epoch.eq(to_db(next.epoch)?),
        rooms::version.eq(rooms::version + 1),
        rooms::last_accepted.eq(after_the_last(time(now)?)),
        // Where the leaves stood as the group had them, they follow.
        rooms::leaves_epoch
            .eq(case_when(rooms::leaves_epoch.ne(rooms::epoch), rooms::leaves_epoch).otherwise(to_db(next.epoch)?)),
    );
    let target = as_seen(room.as_str(), to_db(seen.epoch)?, to_db(seen.version)?);
    let accepted = db!(tx, |c| {
        diesel::update(target).set(changes).returning(rooms::last_accepted).get_result::<i64>(c).optional()
    })?;
    let Some(accepted) = accepted else { return Err(moved(tx, room)?) };
    keep_state(tx, room, next)?;
    let old = room_states::table
        .filter(room_states::room.eq(room.as_str()))
        .filter(room_states::epoch.ne_all([to_db(seen.epoch)?, to_db(next.epoch)?]));
    db!(tx, |c| diesel::delete(old).execute(c))?;
    let pending = proposals::table.filter(proposals::room.eq(room.as_str()));
    db!(tx, |c| diesel::delete(pending).execute(c))?;
    millis(accepted)
}

/// Accepts proposals: moves the version. Gives the accepted timestamp.
///
/// # Errors
///
/// As [`advance_epoch`].
pub fn accept_proposals(tx: &mut Tx<'_>, room: &RoomUri, seen: Seen, now: Millis) -> Result<Millis, StoreError> {
    let changes = (rooms::version.eq(rooms::version + 1), rooms::last_accepted.eq(after_the_last(time(now)?)));
    let target = as_seen(room.as_str(), to_db(seen.epoch)?, to_db(seen.version)?);
    let accepted = db!(tx, |c| {
        diesel::update(target).set(changes).returning(rooms::last_accepted).get_result::<i64>(c).optional()
    })?;
    match accepted {
        Some(accepted) => millis(accepted),
        None => Err(moved(tx, room)?),
    }
}

/// Moves the version, so that decisions that are being made on the room as it was do not go through.
pub(crate) fn disturb(tx: &mut Tx<'_>, room: &RoomUri) -> Result<(), StoreError> {
    let target = rooms::table.filter(rooms::uri.eq(room.as_str()));
    match db!(tx, |c| diesel::update(target).set(rooms::version.eq(rooms::version + 1)).execute(c))? {
        0 => Err(StoreError::NoRoom),
        _ => Ok(()),
    }
}

/// The same for every room.
pub(crate) fn disturb_all(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    db!(tx, |c| diesel::update(rooms::table).set(rooms::version.eq(rooms::version + 1)).execute(c))?;
    Ok(())
}

pub(crate) fn keep_state(tx: &mut Tx<'_>, room: &RoomUri, state: &GroupState) -> Result<(), StoreError> {
    let at = state.epoch.to_be_bytes();
    let part = |name: &[u8], plain| tx.seal(Purpose::Groups, &[room.as_bytes(), &at, name], plain);
    let row = (
        room_states::room.eq(room.as_str()),
        room_states::epoch.eq(to_db(state.epoch)?),
        room_states::snapshot.eq(part(SNAPSHOT, &state.snapshot)?),
        room_states::group_info.eq(part(GROUP_INFO, &state.group_info)?),
    );
    db!(tx, |c| diesel::insert_into(room_states::table).values(row).execute(c))?;
    Ok(())
}

#[diesel::dsl::auto_type(no_type_alias)]
pub(crate) fn as_seen<'a>(room: &'a str, epoch: i64, version: i64) -> _ {
    let (active, followed): (i32, i32) = (status_code(RoomStatus::Active), status_code(RoomStatus::Followed));
    rooms::table
        .filter(rooms::uri.eq(room))
        .filter(rooms::epoch.eq(epoch))
        .filter(rooms::version.eq(version))
        .filter(rooms::status.eq(active).or(rooms::status.eq(followed)))
}

/// `now`, or a millisecond after what was accepted before when that is not earlier.
#[diesel::dsl::auto_type(no_type_alias)]
fn after_the_last(now: i64) -> _ {
    let one: i64 = 1;
    case_when(rooms::last_accepted.ge(now), rooms::last_accepted + one).otherwise(now)
}

pub(crate) fn moved(tx: &mut Tx<'_>, room: &RoomUri) -> Result<StoreError, StoreError> {
    Ok(match head(tx, room)? {
        Some(head) => StoreError::EpochMoved { epoch: head.epoch, version: head.version },
        None => StoreError::NoRoom,
    })
}

pub(crate) fn status_code(status: RoomStatus) -> i32 {
    match status {
        RoomStatus::Waiting => 0,
        RoomStatus::Active => 1,
        RoomStatus::Followed => 2,
        RoomStatus::Lost => 3,
        RoomStatus::Destroyed => 4,
    }
}

type HeadRow = (String, String, i32, i64, i64, i64, i64, String, String);

const HEAD: (
    rooms::uri,
    rooms::group_uri,
    rooms::status,
    rooms::epoch,
    rooms::version,
    rooms::last_accepted,
    rooms::last_seq,
    rooms::template,
    rooms::creator,
) = (
    rooms::uri,
    rooms::group_uri,
    rooms::status,
    rooms::epoch,
    rooms::version,
    rooms::last_accepted,
    rooms::last_seq,
    rooms::template,
    rooms::creator,
);

fn read_head(row: HeadRow) -> Result<RoomHead, StoreError> {
    let (uri, group_uri, status, epoch, version, last_accepted, last_seq, template, creator) = row;
    Ok(RoomHead {
        room: room(&uri)?,
        group: group(&group_uri)?,
        status: match status {
            0 => RoomStatus::Waiting,
            1 => RoomStatus::Active,
            2 => RoomStatus::Followed,
            3 => RoomStatus::Lost,
            4 => RoomStatus::Destroyed,
            _ => return Err(StoreError::Corrupt("room status")),
        },
        epoch: number(epoch)?,
        version: number(version)?,
        last_accepted: millis(last_accepted)?,
        last_seq: number(last_seq)?,
        template,
        creator: user(&creator)?,
    })
}
