//! Rooms that other providers host: our devices in them, how far their hub has got with us, and what is kept of it.

use std::collections::BTreeMap;

use diesel::dsl::{count_star, max};
use diesel::prelude::*;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{ClientUri, RoomUri};
use uuid::Uuid;

use crate::convert::{client, millis, number, room as room_uri, time, to_db};
use crate::schema::{followed, followed_rooms, kept_events};
use crate::streams::{self, StreamItem};
use crate::{Conn, StoreError, Topic, Tx};

/// Rows that are read at once.
const PAGE: u32 = 64;

/// Stands in the row of a device that is in the room for certain.
const NO_ATTEMPT: &[u8] = &[];

/// What our devices get of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Everything that is not denied.
    Open,
    /// Nothing; it is kept.
    Withheld,
    /// What they need in order to leave it.
    Leaving,
}

/// How far the hub of a room has got with us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The epoch that the latest commit of the hub leads to; 0 before any.
    pub seen_epoch: u64,
    /// The epoch in which the group was last taken up.
    pub taken_up: u64,
    /// When that was.
    pub taken_up_at: Millis,
    /// What our devices get.
    pub standing: Standing,
}

/// A room of another provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowedRoom {
    /// Moves with everything that comes from its hub.
    pub version: u64,
    /// How far the hub has got.
    pub progress: Progress,
}

/// Why something is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It belongs to a later epoch than the tracked one. It is not decided yet.
    Early,
    /// The room is withheld.
    Withheld,
    /// A proposal that was passed on while the group was not tracked: whoever takes the group up needs it.
    Proposal,
}

/// What the hub says of an attempt to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// The device is in the room.
    Yes,
    /// It is not.
    No,
}

/// Something that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Why.
    pub why: Why,
    /// MLS epoch it belongs to.
    pub epoch: u64,
    /// The event, as streams have it.
    pub item: StreamItem,
    /// When it came.
    pub kept_at: Millis,
    /// Who gets it once it is released; empty where that is not decided yet.
    pub devices: Vec<ClientUri>,
}

/// Something that is kept, with its place among what its room keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRow {
    /// Its place; rises in the order of arrival.
    pub ordinal: u64,
    /// What is kept.
    pub kept: Kept,
}

/// Notes that something of the room has come, or that a client of ours joins it; nothing changes when it is known.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn know(tx: &mut Tx<'_>, room: &RoomUri, now: Millis) -> Result<(), StoreError> {
    let row = (
        followed_rooms::room.eq(room.as_str()),
        followed_rooms::version.eq(0_i64),
        followed_rooms::seen_epoch.eq(0_i64),
        followed_rooms::taken_up.eq(0_i64),
        followed_rooms::taken_up_at.eq(0_i64),
        followed_rooms::standing.eq(standing_code(Standing::Open)),
        followed_rooms::known_at.eq(time(now)?),
    );
    db!(tx, |c| diesel::insert_into(followed_rooms::table).values(row).on_conflict_do_nothing().execute(c))?;
    Ok(())
}

/// The room; `None` when nothing of it has come here.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn room(conn: &mut Conn, room: &RoomUri) -> Result<Option<FollowedRoom>, StoreError> {
    let query = followed_rooms::table.filter(followed_rooms::room.eq(room.as_str())).select((
        followed_rooms::version,
        followed_rooms::seen_epoch,
        followed_rooms::taken_up,
        followed_rooms::taken_up_at,
        followed_rooms::standing,
    ));
    let row = db!(conn, |c| query.first::<(i64, i64, i64, i64, i32)>(c).optional())?;
    row.map(|(version, seen_epoch, taken_up, taken_up_at, standing)| {
        let progress = Progress {
            seen_epoch: number(seen_epoch)?,
            taken_up: number(taken_up)?,
            taken_up_at: millis(taken_up_at)?,
            standing: standing_of(standing)?,
        };
        Ok(FollowedRoom { version: number(version)?, progress })
    })
    .transpose()
}

/// Moves the room on from `version`, which a decision was made on.
///
/// # Errors
///
/// [`StoreError::EpochMoved`] when it has moved on already, [`StoreError::NoRoom`] when it is not known.
pub fn advance(tx: &mut Tx<'_>, room: &RoomUri, version: u64, to: &Progress) -> Result<(), StoreError> {
    let target = followed_rooms::table
        .filter(followed_rooms::room.eq(room.as_str()))
        .filter(followed_rooms::version.eq(to_db(version)?));
    let changes = (
        followed_rooms::version.eq(followed_rooms::version + 1),
        followed_rooms::seen_epoch.eq(to_db(to.seen_epoch)?),
        followed_rooms::taken_up.eq(to_db(to.taken_up)?),
        followed_rooms::taken_up_at.eq(time(to.taken_up_at)?),
        followed_rooms::standing.eq(standing_code(to.standing)),
    );
    match db!(tx, |c| diesel::update(target).set(changes).execute(c))? {
        0 => match self::room(tx, room)? {
            Some(now) => Err(StoreError::EpochMoved { epoch: now.progress.seen_epoch, version: now.version }),
            None => Err(StoreError::NoRoom),
        },
        _ => {
            tx.touch(Topic::Followed);
            Ok(())
        }
    }
}

/// Notes that a device is in the room; nothing changes when it is already. A join of it that the hub has not answered
/// yet can no longer take it out again.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn join(tx: &mut Tx<'_>, room: &RoomUri, device: &ClientUri, now: Millis) -> Result<(), StoreError> {
    if !enter(tx, room, device, &[], now)? {
        let open = device_of(room.as_str(), device.as_str()).filter(followed::attempt.ne(NO_ATTEMPT));
        db!(tx, |c| diesel::update(open).set(followed::attempt.eq(NO_ATTEMPT)).execute(c))?;
    }
    Ok(())
}

/// Has what the hub fans out go to a device that asks it to join, before the hub has answered. Gives whether the device
/// is there by this attempt alone: then [`end_attempt`] follows, with the hub's answer. Of several attempts that is the
/// latest.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn attempt_join(
    tx: &mut Tx<'_>,
    room: &RoomUri,
    device: &ClientUri,
    attempt: Uuid,
    now: Millis,
) -> Result<bool, StoreError> {
    let attempt = attempt.as_bytes().as_slice();
    if enter(tx, room, device, attempt, now)? {
        return Ok(true);
    }
    let open = device_of(room.as_str(), device.as_str()).filter(followed::attempt.ne(NO_ATTEMPT));
    Ok(db!(tx, |c| diesel::update(open).set(followed::attempt.eq(attempt)).execute(c))? > 0)
}

/// The hub has answered an attempt to join: the device stays, or is no longer in the room. Nothing changes when it is
/// there by something else meanwhile.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn end_attempt(
    tx: &mut Tx<'_>,
    room: &RoomUri,
    device: &ClientUri,
    attempt: Uuid,
    answer: Joined,
) -> Result<(), StoreError> {
    let mine = device_of(room.as_str(), device.as_str()).filter(followed::attempt.eq(attempt.as_bytes().as_slice()));
    match answer {
        Joined::Yes => {
            db!(tx, |c| diesel::update(mine).set(followed::attempt.eq(NO_ATTEMPT)).execute(c))?;
            Ok(())
        }
        Joined::No => match db!(tx, |c| diesel::delete(mine).execute(c))? {
            0 => Ok(()),
            _ => disturb(tx, room),
        },
    }
}

/// Notes that a device is no longer in the room.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn leave(tx: &mut Tx<'_>, room: &RoomUri, device: &ClientUri) -> Result<(), StoreError> {
    match db!(tx, |c| diesel::delete(device_of(room.as_str(), device.as_str())).execute(c))? {
        0 => Ok(()),
        _ => disturb(tx, room),
    }
}

/// The version of the room, which moves with everything that is written about it.
///
/// # Errors
///
/// [`StoreError::NoRoom`] when nothing of it has come here.
pub fn version(conn: &mut Conn, room: &RoomUri) -> Result<u64, StoreError> {
    Ok(self::room(conn, room)?.ok_or(StoreError::NoRoom)?.version)
}

/// Our devices in the room, in the order of their names, each with the version of the room at which it joined; none when
/// the room is unknown here.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn devices(conn: &mut Conn, room: &RoomUri) -> Result<BTreeMap<ClientUri, u64>, StoreError> {
    let query = followed::table.filter(followed::room.eq(room.as_str())).select((followed::device, followed::joined));
    let rows = db!(conn, |c| query.load::<(String, i64)>(c))?;
    rows.iter().map(|(device, joined)| Ok((client(device)?, number(*joined)?))).collect()
}

/// The rooms of other providers that a device is in, in the order of their names.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn rooms(conn: &mut Conn, device: &ClientUri) -> Result<Vec<RoomUri>, StoreError> {
    let query =
        followed::table.filter(followed::device.eq(device.as_str())).order(followed::room).select(followed::room);
    db!(conn, |c| query.load::<String>(c))?.iter().map(|room| room_uri(room)).collect()
}

/// Keeps something after everything else that the room keeps.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn keep(tx: &mut Tx<'_>, kept: &Kept) -> Result<(), StoreError> {
    let Kept { why, epoch, item, kept_at, devices } = kept;
    let last = of_room(item.room_name()).select(max(kept_events::ordinal));
    let last = db!(tx, |c| last.first::<Option<i64>>(c))?;
    let devices: Vec<&str> = devices.iter().map(ClientUri::as_str).collect();
    let row = (
        kept_events::room.eq(item.room_name()),
        kept_events::ordinal.eq(last.map_or(0, |last| last + 1)),
        kept_events::why.eq(why_code(*why)),
        kept_events::epoch.eq(to_db(*epoch)?),
        kept_events::kind.eq(item.kind.as_str()),
        kept_events::fanout.eq(item.payload.as_slice()),
        kept_events::accepted_at.eq(time(item.at)?),
        kept_events::kept_at.eq(time(*kept_at)?),
        kept_events::devices.eq(devices.join("\n")),
    );
    db!(tx, |c| diesel::insert_into(kept_events::table).values(row).execute(c))?;
    Ok(())
}

/// Keeps a proposal as [`keep`] does, unless the room keeps so many, or so many octets of them, already. Gives whether it
/// is kept.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn keep_proposal(tx: &mut Tx<'_>, kept: &Kept, most: u64, most_bytes: u64) -> Result<bool, StoreError> {
    let there = of_room(kept.item.room_name()).filter(kept_events::why.eq(why_code(Why::Proposal)));
    let bytes = diesel::dsl::sql::<diesel::sql_types::BigInt>("CAST(coalesce(sum(length(fanout)), 0) AS BIGINT)");
    let (count, bytes) = db!(tx, |c| there.select((count_star(), bytes)).first::<(i64, i64)>(c))?;
    let bytes = number(bytes)?.saturating_add(kept.item.payload.len() as u64);
    if number(count)? >= most || bytes > most_bytes {
        return Ok(false);
    }
    keep(tx, kept)?;
    Ok(true)
}

/// What the room keeps for one reason, in the order of arrival, at most `limit`.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn kept(conn: &mut Conn, room: &RoomUri, why: Why, limit: u32) -> Result<Vec<KeptRow>, StoreError> {
    type Row = (i64, i64, String, Vec<u8>, i64, i64, String);
    let query = of_room(room.as_str()).filter(kept_events::why.eq(why_code(why))).order(kept_events::ordinal).select((
        kept_events::ordinal,
        kept_events::epoch,
        kept_events::kind,
        kept_events::fanout,
        kept_events::accepted_at,
        kept_events::kept_at,
        kept_events::devices,
    ));
    let rows = db!(conn, |c| query.limit(limit.into()).load::<Row>(c))?;
    rows.into_iter()
        .map(|(ordinal, epoch, kind, payload, at, kept_at, devices)| {
            let item = StreamItem { room: Some(room.clone()), kind, payload, at: millis(at)? };
            let devices = devices.lines().map(client).collect::<Result<_, _>>()?;
            let (epoch, kept_at) = (number(epoch)?, millis(kept_at)?);
            Ok(KeptRow { ordinal: number(ordinal)?, kept: Kept { why, epoch, item, kept_at, devices } })
        })
        .collect()
}

/// Whom the first thing is for that is withheld of the room; `None` when nothing is.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn withheld_from(conn: &mut Conn, room: &RoomUri) -> Result<Option<Vec<ClientUri>>, StoreError> {
    let first = of_room(room.as_str())
        .filter(kept_events::why.eq(why_code(Why::Withheld)))
        .order(kept_events::ordinal)
        .select(kept_events::devices);
    let devices = db!(conn, |c| first.first::<String>(c).optional())?;
    devices.map(|devices| devices.lines().map(client).collect()).transpose()
}

/// Keeps no longer the proposals of epochs before `epoch`; none at all where that is `None`.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn forget_proposals(tx: &mut Tx<'_>, room: &RoomUri, epoch: Option<u64>) -> Result<(), StoreError> {
    let before = epoch.map_or(Ok(i64::MAX), to_db)?;
    let over = of_room(room.as_str())
        .filter(kept_events::why.eq(why_code(Why::Proposal)))
        .filter(kept_events::epoch.lt(before));
    db!(tx, |c| diesel::delete(over).execute(c))?;
    Ok(())
}

/// Keeps something no longer.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn let_go(tx: &mut Tx<'_>, room: &RoomUri, ordinal: u64) -> Result<(), StoreError> {
    let row = of_room(room.as_str()).filter(kept_events::ordinal.eq(to_db(ordinal)?));
    db!(tx, |c| diesel::delete(row).execute(c))?;
    Ok(())
}

/// Rooms that have waited since before `before` for what comes before something they keep.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn overdue(conn: &mut Conn, before: Millis) -> Result<Vec<RoomUri>, StoreError> {
    let query = kept_events::table
        .filter(kept_events::why.eq(why_code(Why::Early)))
        .filter(kept_events::kept_at.lt(time(before)?))
        .select(kept_events::room)
        .distinct();
    db!(conn, |c| query.load::<String>(c))?.iter().map(|room| room_uri(room)).collect()
}

/// Opens the room again: what was withheld goes to those who were to get it, in the order of arrival. Gives its number.
///
/// # Errors
///
/// [`StoreError::Missing`] for a room that is not known here, or is open.
pub fn release(tx: &mut Tx<'_>, room: &RoomUri) -> Result<usize, StoreError> {
    let known = self::room(tx, room)?.filter(|known| known.progress.standing != Standing::Open);
    let known = known.ok_or(StoreError::Missing)?;
    advance(tx, room, known.version, &Progress { standing: Standing::Open, ..known.progress })?;
    flush(tx, room)
}

/// Lets what was withheld go to those who were to get it, in the order of arrival. Gives its number.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn flush(tx: &mut Tx<'_>, room: &RoomUri) -> Result<usize, StoreError> {
    let mut released = 0;
    loop {
        let page = self::kept(tx, room, Why::Withheld, PAGE)?;
        if page.is_empty() {
            return Ok(released);
        }
        for KeptRow { ordinal, kept } in page {
            streams::push(tx, &kept.devices, &kept.item)?;
            let_go(tx, room, ordinal)?;
            released += 1;
        }
    }
}

/// The device in the room by `attempt`; gives whether it was not there before.
fn enter(tx: &mut Tx<'_>, room: &RoomUri, device: &ClientUri, attempt: &[u8], now: Millis) -> Result<bool, StoreError> {
    know(tx, room, now)?;
    let row = (
        followed::room.eq(room.as_str()),
        followed::device.eq(device.as_str()),
        followed::joined_at.eq(time(now)?),
        followed::attempt.eq(attempt),
    );
    match db!(tx, |c| diesel::insert_into(followed::table).values(row).on_conflict_do_nothing().execute(c))? {
        0 => Ok(false),
        _ => {
            disturb(tx, room)?;
            let joined = followed::joined.eq(to_db(version(tx, room)?)?);
            let row = device_of(room.as_str(), device.as_str());
            db!(tx, |c| diesel::update(row).set(joined).execute(c))?;
            Ok(true)
        }
    }
}

/// Moves the version, so that what is being decided on the room as it was does not go through.
pub(crate) fn disturb(tx: &mut Tx<'_>, room: &RoomUri) -> Result<(), StoreError> {
    let target = followed_rooms::table.filter(followed_rooms::room.eq(room.as_str()));
    let moved = followed_rooms::version.eq(followed_rooms::version + 1);
    db!(tx, |c| diesel::update(target).set(moved).execute(c))?;
    Ok(())
}

/// The same for every room.
pub(crate) fn disturb_all(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let moved = followed_rooms::version.eq(followed_rooms::version + 1);
    db!(tx, |c| diesel::update(followed_rooms::table).set(moved).execute(c))?;
    Ok(())
}

#[diesel::dsl::auto_type(no_type_alias)]
fn device_of<'a>(room: &'a str, device: &'a str) -> _ {
    followed::table.filter(followed::room.eq(room)).filter(followed::device.eq(device))
}

#[diesel::dsl::auto_type(no_type_alias)]
fn of_room<'a>(room: &'a str) -> _ {
    kept_events::table.filter(kept_events::room.eq(room))
}

fn standing_code(standing: Standing) -> i32 {
    match standing {
        Standing::Open => 0,
        Standing::Withheld => 1,
        Standing::Leaving => 2,
    }
}

fn standing_of(code: i32) -> Result<Standing, StoreError> {
    let all = [Standing::Open, Standing::Withheld, Standing::Leaving];
    all.into_iter().find(|standing| standing_code(*standing) == code).ok_or(StoreError::Corrupt("standing of a room"))
}

fn why_code(why: Why) -> i32 {
    match why {
        Why::Early => 0,
        Why::Withheld => 1,
        Why::Proposal => 2,
    }
}
