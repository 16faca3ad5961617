//! What moderators and compliance impose on a room; data of the room, not policy. Each change moves the room's version,
//! so that no decision made before it goes through after it.
//!
//! What ends a user's rights holds at once, for everybody here. That its clients leave the group takes a commit, which is
//! owed until it comes.

mod elsewhere;
mod kind;
mod rows;

pub use elsewhere::expelled;
pub use kind::{GoneLeaf, Restriction};

use std::collections::{BTreeMap, BTreeSet};

use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use portcullis_core::mls::Leaf;
use portcullis_core::room::Barred;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{ClientUri, RoomUri, UserUri};
use uuid::Uuid;

use crate::convert::{number, time};
use crate::leaves::{self, Whose};
use crate::schema::room_restrictions::{self, dsl};
use crate::{Conn, StoreError, Tx, follower, rooms};
use rows::{COLUMNS, Origin, Row, imposed, place, put};

/// Stands for every room in the column of rooms.
const EVERYWHERE: &str = "";

/// What is imposed everywhere and read with every room, by its number: removals of users and of providers. There are as many
/// devices and users who were deleted as there ever were; they stand in the rooms that they are in.
const READ_EVERYWHERE: [i32; 2] = [4, 7];

/// Where something is imposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In one room.
    Room(RoomUri),
    /// In every room, those to come included.
    Everywhere,
}

/// Why something is imposed, and by whose leave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grounds {
    /// Who imposes it.
    pub by: String,
    /// Why, in that person's words.
    pub reason: String,
    /// Number of the case; empty for none.
    pub case: String,
    /// The policies that allowed it; none where no policy was asked.
    pub policies: Vec<String>,
    /// The decision in the audit log that allowed it.
    pub decision: Option<Uuid>,
}

/// Something that is imposed, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imposed {
    /// Where.
    pub place: Place,
    /// What.
    pub restriction: Restriction,
    /// Why.
    pub grounds: Grounds,
    /// Since when it is in force.
    pub at: Millis,
    /// Whether a commit is owed that takes clients out of the group.
    pub owed: bool,
    /// Since when no client that is to go is in the group; `None` before, and for what needs no commit.
    pub committed_at: Option<Millis>,
    /// When it was lifted, or had served its purpose; `None` while it is in force.
    pub ended_at: Option<Millis>,
    /// When the alarm was raised because the commit is too long in coming.
    pub alarmed_at: Option<Millis>,
    /// Why the hub cannot propose that the clients go; empty when nothing is in the way.
    pub obstacle: String,
    /// Whether it stands in a room because it is imposed everywhere, and goes when it is lifted there.
    pub spread: bool,
}

/// Everything that is in force in a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restrictions {
    /// Whether the room is frozen.
    pub frozen: bool,
    /// Whether it is under legal hold.
    pub legal_hold: bool,
    /// Users who may not write.
    pub muted: BTreeSet<UserUri>,
    /// Whose rights have ended: who is banned, removed, or kicked and not out yet.
    pub barred: Barred,
    /// Leaves of clients that are gone, by their signature keys, whatever the group still says.
    pub gone: BTreeMap<Vec<u8>, ClientUri>,
    /// What of it is imposed on this very room and takes users or clients out of the group.
    pub here: BTreeSet<Restriction>,
    /// Of that, what a commit is owed for, each with what keeps the hub from proposing it; empty for nothing.
    pub owed: BTreeMap<Restriction, String>,
}

impl Place {
    fn as_str(&self) -> &str {
        match self {
            Self::Room(room) => room.as_str(),
            Self::Everywhere => EVERYWHERE,
        }
    }
}

impl From<&RoomUri> for Place {
    fn from(room: &RoomUri) -> Self {
        Self::Room(room.clone())
    }
}

impl Restrictions {
    /// Whether the client in `leaf` is gone.
    pub fn is_gone(&self, leaf: &Leaf) -> bool {
        !self.gone.is_empty() && self.gone.get(&leaf.signature_key) == Some(&leaf.client)
    }
}

/// Imposes it; nothing changes when it is in force already, but that what stood in a room for all rooms is then the room's
/// own. Gives what is in force then. A commit is owed for what takes clients out of a room that we are hub of, until
/// [`settle`]; for what is imposed everywhere, until every such room was looked at.
///
/// # Errors
///
/// [`StoreError::NoRoom`] for a room of which nothing is known here.
pub fn impose(
    tx: &mut Tx<'_>,
    place: &Place,
    restriction: &Restriction,
    grounds: &Grounds,
    now: Millis,
) -> Result<Imposed, StoreError> {
    if *place != Place::Everywhere || !restriction.stands_in_rooms() {
        disturb(tx, place)?;
    }
    enforce(tx, place, restriction, (grounds, Origin::Own), now)?;
    find(tx, place, restriction)?.ok_or(StoreError::Missing)
}

/// As [`impose`] in a room, for what is imposed everywhere: it goes when it is lifted there.
///
/// # Errors
///
/// As [`impose`].
pub fn spread(
    tx: &mut Tx<'_>,
    room: &RoomUri,
    restriction: &Restriction,
    grounds: &Grounds,
    now: Millis,
) -> Result<(), StoreError> {
    let place = Place::from(room);
    hold(tx, restriction)?;
    disturb(tx, &place)?;
    enforce(tx, &place, restriction, (grounds, Origin::Everywhere), now)
}

/// Lets nobody lift what is imposed everywhere, or spread it, before the transaction has ended: who lifts it finds each room to
/// which it has come.
fn hold(tx: &mut Tx<'_>, restriction: &Restriction) -> Result<(), StoreError> {
    let (kind, subject) = restriction.key();
    let same = dsl::ended_at.eq(dsl::ended_at);
    db!(tx, |c| diesel::update(one(EVERYWHERE, kind, subject)).set(same).execute(c))?;
    Ok(())
}

/// Takes out of our rooms what `whose` has in them by now, leaf by leaf, so that it goes even if it is registered again;
/// with `user`, that user's rights end in them, until it is.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn take_out(
    tx: &mut Tx<'_>,
    whose: Whose<'_>,
    user: Option<&UserUri>,
    grounds: &Grounds,
    now: Millis,
) -> Result<(), StoreError> {
    let concerned: BTreeSet<RoomUri> = leaves::find(tx, whose)?.into_iter().map(|(room, _)| room).collect();
    for room in &concerned {
        let place = Place::from(room);
        disturb(tx, &place)?;
        if let Some(user) = user {
            let deprovisioned = Restriction::Deprovisioned(user.clone());
            enforce(tx, &place, &deprovisioned, (grounds, Origin::Everywhere), now)?;
        }
    }
    // Only now nobody else changes them: a commit may have given a leaf another key.
    for (room, leaf) in leaves::find(tx, whose)?.into_iter().filter(|(room, _)| concerned.contains(room)) {
        enforce(tx, &Place::Room(room), &Restriction::Leaf(leaf), (grounds, Origin::Own), now)?;
    }
    Ok(())
}

fn enforce(
    tx: &mut Tx<'_>,
    place: &Place,
    restriction: &Restriction,
    (grounds, origin): (&Grounds, Origin),
    now: Millis,
) -> Result<(), StoreError> {
    if let Some(known) = find(tx, place, restriction)?.filter(|known| known.ended_at.is_none()) {
        if known.spread && origin == Origin::Own {
            let (kind, subject) = restriction.key();
            let row = one(place.as_str(), kind, subject);
            let own = (
                dsl::spread.eq(0),
                dsl::imposed_by.eq(&grounds.by),
                dsl::reason.eq(&grounds.reason),
                dsl::case_number.eq(&grounds.case),
                dsl::policies.eq(grounds.policies.join("\n")),
                dsl::decision.eq(grounds.decision.map(|id| id.as_bytes().to_vec()).unwrap_or_default()),
            );
            db!(tx, |c| diesel::update(row).set(own).execute(c))?;
        }
        return Ok(());
    }
    let hosted = match place {
        Place::Room(room) => rooms::head(tx, room)?.is_some_and(|head| head.status == rooms::RoomStatus::Active),
        Place::Everywhere => true,
    };
    put(tx, place, restriction, (grounds, origin), hosted && restriction.expels(), now)
}

/// Lifts it, what is lifted everywhere in the rooms, too, in which it stands for that; and gives whether it was in force
/// there.
///
/// # Errors
///
/// [`StoreError::NoRoom`] for a room of which nothing is known here.
pub fn lift(tx: &mut Tx<'_>, place: &Place, restriction: &Restriction, now: Millis) -> Result<bool, StoreError> {
    if *place == Place::Everywhere {
        hold(tx, restriction)?;
        let (kind, subject) = restriction.key();
        let rows = room_restrictions::table
            .filter(dsl::kind.eq(kind))
            .filter(dsl::subject.eq(subject))
            .filter(dsl::spread.eq(1))
            .filter(dsl::ended_at.eq(0_i64));
        if restriction.stands_in_rooms() {
            let concerned = rows.order(dsl::room).select(dsl::room);
            for stored in db!(tx, |c| concerned.load::<String>(c))? {
                disturb(tx, &self::place(&stored)?)?;
            }
        } else {
            disturb(tx, place)?;
        }
        let ended = (dsl::ended_at.eq(time(now)?), dsl::owed.eq(0));
        db!(tx, |c| diesel::update(rows).set(ended).execute(c))?;
    } else {
        disturb(tx, place)?;
    }
    end(tx, place, restriction, now)
}

/// It has served its purpose, or is lifted in the transaction that moves its room on. Gives whether it was in force.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn end(tx: &mut Tx<'_>, place: &Place, restriction: &Restriction, now: Millis) -> Result<bool, StoreError> {
    let (kind, subject) = restriction.key();
    let row = one(place.as_str(), kind, subject).filter(dsl::ended_at.eq(0_i64));
    let ended = (dsl::ended_at.eq(time(now)?), dsl::owed.eq(0));
    Ok(db!(tx, |c| diesel::update(row).set(ended).execute(c))? > 0)
}

/// No client that was to go is in the group any longer. A kick has served its purpose then.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn settle(tx: &mut Tx<'_>, place: &Place, restriction: &Restriction, now: Millis) -> Result<(), StoreError> {
    let (kind, subject) = restriction.key();
    let row = one(place.as_str(), kind, subject).filter(dsl::ended_at.eq(0_i64)).filter(dsl::committed_at.eq(0_i64));
    let ended = if restriction.ends_with_commit() { time(now)? } else { 0 };
    let done = (dsl::committed_at.eq(time(now)?), dsl::ended_at.eq(ended), dsl::owed.eq(0), dsl::obstacle.eq(""));
    db!(tx, |c| diesel::update(row).set(done).execute(c))?;
    Ok(())
}

/// Notes why the hub cannot propose that clients go, and gives whether that is new.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn obstruct(tx: &mut Tx<'_>, place: &Place, restriction: &Restriction, obstacle: &str) -> Result<bool, StoreError> {
    let (kind, subject) = restriction.key();
    let row = one(place.as_str(), kind, subject).filter(dsl::obstacle.ne(obstacle));
    let new = db!(tx, |c| diesel::update(row).set(dsl::obstacle.eq(obstacle)).execute(c))? > 0;
    if new {
        disturb(tx, place)?;
    }
    Ok(new)
}

/// Notes that the alarm was raised, and gives whether that is new: one of several replicas raises it.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn alarm(tx: &mut Tx<'_>, place: &Place, restriction: &Restriction, now: Millis) -> Result<bool, StoreError> {
    let (kind, subject) = restriction.key();
    let row = one(place.as_str(), kind, subject).filter(owed()).filter(dsl::alarmed_at.eq(0_i64));
    Ok(db!(tx, |c| diesel::update(row).set(dsl::alarmed_at.eq(time(now)?)).execute(c))? > 0)
}

/// What is in force in a room.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn restrictions(conn: &mut Conn, room: &RoomUri) -> Result<Restrictions, StoreError> {
    let everywhere = dsl::room.eq(EVERYWHERE).and(dsl::kind.eq_any(READ_EVERYWHERE));
    let query = room_restrictions::table
        .filter(dsl::room.eq(room.as_str()).or(everywhere))
        .filter(dsl::ended_at.eq(0_i64))
        .select((dsl::room, dsl::kind, dsl::subject, dsl::owed, dsl::obstacle));
    let mut all = Restrictions::default();
    for (place, kind, subject, owed, obstacle) in db!(conn, |c| query.load::<(String, i32, String, i32, String)>(c))? {
        let restriction = Restriction::from_key(kind, &subject)?;
        match &restriction {
            Restriction::Freeze => all.frozen = true,
            Restriction::LegalHold => all.legal_hold = true,
            Restriction::Mute(user) => drop(all.muted.insert(user.clone())),
            Restriction::Ban(user)
            | Restriction::Removal(user)
            | Restriction::Kick(user)
            | Restriction::Deprovisioned(user) => drop(all.barred.users.insert(user.clone())),
            Restriction::Provider(domain) => drop(all.barred.providers.insert(domain.clone())),
            Restriction::Leaf(leaf) => drop(all.gone.insert(leaf.key().to_vec(), leaf.client().clone())),
            Restriction::Device(_) => {}
        }
        if restriction.expels() && place != EVERYWHERE {
            if owed != 0 {
                all.owed.insert(restriction.clone(), obstacle);
            }
            all.here.insert(restriction);
        }
    }
    Ok(all)
}

/// Everything that was ever imposed there, as it stands; of what was imposed again the last. By kinds and subjects, at most
/// `limit` behind `after`.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn at(conn: &mut Conn, place: &Place, after: Option<&Restriction>, limit: u32) -> Result<Vec<Imposed>, StoreError> {
    let (kind, subject) = after.map_or((-1, ""), Restriction::key);
    let query = room_restrictions::table
        .filter(dsl::room.eq(place.as_str()))
        .filter(dsl::kind.gt(kind).or(dsl::kind.eq(kind).and(dsl::subject.gt(subject))))
        .order((dsl::kind, dsl::subject))
        .limit(limit.into())
        .select(COLUMNS);
    db!(conn, |c| query.load::<Row>(c))?.into_iter().map(imposed).collect()
}

/// What is imposed everywhere and has not come to every room yet.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn owed_everywhere(conn: &mut Conn) -> Result<Vec<Imposed>, StoreError> {
    let query = room_restrictions::table.filter(owed()).filter(dsl::room.eq(EVERYWHERE)).select(COLUMNS);
    db!(conn, |c| query.load::<Row>(c))?.into_iter().map(imposed).collect()
}

/// Where commits are owed.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn owing(conn: &mut Conn) -> Result<Vec<Place>, StoreError> {
    let query = room_restrictions::table.filter(owed()).select(dsl::room).distinct().order(dsl::room);
    db!(conn, |c| query.load::<String>(c))?.iter().map(|room| place(room)).collect()
}

/// What has waited for its commit since before `before`, and has raised no alarm.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn overdue(conn: &mut Conn, before: Millis) -> Result<Vec<Imposed>, StoreError> {
    let query = room_restrictions::table
        .filter(owed())
        .filter(dsl::alarmed_at.eq(0_i64))
        .filter(dsl::imposed_at.lt(time(before)?))
        .order((dsl::imposed_at, dsl::room))
        .select(COLUMNS);
    db!(conn, |c| query.load::<Row>(c))?.into_iter().map(imposed).collect()
}

/// How many commits are owed, and of how many the alarm was raised.
pub(crate) fn count_owed(conn: &mut Conn) -> Result<(u64, u64), StoreError> {
    let all = || room_restrictions::table.filter(owed());
    let overdue = all().filter(dsl::alarmed_at.gt(0_i64));
    Ok((
        number(db!(conn, |c| all().count().get_result::<i64>(c))?)?,
        number(db!(conn, |c| overdue.count().get_result::<i64>(c))?)?,
    ))
}

/// Whether it is in force there.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn is_in_force(conn: &mut Conn, place: &Place, restriction: &Restriction) -> Result<bool, StoreError> {
    Ok(find(conn, place, restriction)?.is_some_and(|known| known.ended_at.is_none()))
}

/// The last that was imposed of it there, in force or not.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn find(conn: &mut Conn, place: &Place, restriction: &Restriction) -> Result<Option<Imposed>, StoreError> {
    let (kind, subject) = restriction.key();
    let query = one(place.as_str(), kind, subject).select(COLUMNS);
    db!(conn, |c| query.first::<Row>(c).optional())?.map(imposed).transpose()
}

/// Moves the versions of the rooms concerned, so that decisions that are being made on them as they were do not go
/// through.
fn disturb(tx: &mut Tx<'_>, place: &Place) -> Result<(), StoreError> {
    let Place::Room(room) = place else {
        follower::disturb_all(tx)?;
        return rooms::disturb_all(tx);
    };
    follower::disturb(tx, room)?;
    match rooms::disturb(tx, room) {
        Err(StoreError::NoRoom) if follower::room(tx, room)?.is_some() => Ok(()),
        moved => moved,
    }
}

/// Written out, for only then do the databases use the index of what is owed.
fn owed() -> SqlLiteral<Bool> {
    sql("owed = 1")
}

#[diesel::dsl::auto_type(no_type_alias)]
fn one<'a>(room: &'a str, kind: i32, subject: &'a str) -> _ {
    room_restrictions::table.filter(dsl::room.eq(room)).filter(dsl::kind.eq(kind)).filter(dsl::subject.eq(subject))
}
