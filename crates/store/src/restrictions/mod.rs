//! What moderators and compliance impose on a room; data of the room, not policy. Each change moves the room's version,
//! so that no decision made before it goes through after it.
//!
//! What ends a user's rights holds at once, for everybody here. That its clients leave the group takes a commit, which is
//! owed until it comes.

mod elsewhere;
mod kind;

pub use elsewhere::expelled;
pub use kind::Restriction;

use std::collections::{BTreeMap, BTreeSet};

use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use portcullis_core::room::Barred;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{ClientUri, RoomUri, UserUri};
use uuid::Uuid;

use crate::convert::{millis, number, room as room_uri, time, uuid};
use crate::schema::room_restrictions::{self, dsl};
use crate::{Conn, StoreError, Tx, follower, rooms};

/// Stands for every room in the column of rooms.
const EVERYWHERE: &str = "";

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
    /// Clients that are gone, whatever the group still says.
    pub deleted: BTreeSet<ClientUri>,
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

#[derive(Insertable, AsChangeset)]
#[diesel(table_name = room_restrictions)]
struct NewRow<'a> {
    room: &'a str,
    kind: i32,
    subject: &'a str,
    imposed_by: &'a str,
    imposed_at: i64,
    reason: &'a str,
    case_number: &'a str,
    policies: String,
    decision: Vec<u8>,
    owed: i32,
    committed_at: i64,
    ended_at: i64,
    alarmed_at: i64,
    obstacle: &'a str,
}

/// Imposes it; nothing changes when it is in force already. Gives what is in force then. A commit is owed for what takes
/// clients out of a room that we are hub of, until [`settle`]; for what is imposed everywhere, until every such room was
/// looked at.
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
    // A client that is gone from everywhere changes nothing in a room before it is taken out of that one.
    if *place != Place::Everywhere || !matches!(restriction, Restriction::Device(_)) {
        disturb(tx, place)?;
    }
    if let Some(known) = find(tx, place, restriction)?.filter(|known| known.ended_at.is_none()) {
        return Ok(known);
    }
    let hosted = match place {
        Place::Room(room) => rooms::head(tx, room)?.is_some_and(|head| head.status == rooms::RoomStatus::Active),
        Place::Everywhere => true,
    };
    let (kind, subject) = restriction.key();
    let row = NewRow {
        room: place.as_str(),
        kind,
        subject,
        imposed_by: &grounds.by,
        imposed_at: time(now)?,
        reason: &grounds.reason,
        case_number: &grounds.case,
        policies: grounds.policies.join("\n"),
        decision: grounds.decision.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
        owed: i32::from(hosted && restriction.expels()),
        committed_at: 0,
        ended_at: 0,
        alarmed_at: 0,
        obstacle: "",
    };
    db!(tx, |c| {
        diesel::insert_into(room_restrictions::table)
            .values(&row)
            .on_conflict((dsl::room, dsl::kind, dsl::subject))
            .do_update()
            .set(&row)
            .execute(c)
    })?;
    find(tx, place, restriction)?.ok_or(StoreError::Missing)
}

/// Lifts it, what is lifted everywhere in every single room, too; and gives whether it was in force there.
///
/// # Errors
///
/// [`StoreError::NoRoom`] for a room of which nothing is known here.
pub fn lift(tx: &mut Tx<'_>, place: &Place, restriction: &Restriction, now: Millis) -> Result<bool, StoreError> {
    disturb(tx, place)?;
    if *place == Place::Everywhere {
        let (kind, subject) = restriction.key();
        let rows = room_restrictions::table
            .filter(dsl::kind.eq(kind))
            .filter(dsl::subject.eq(subject))
            .filter(dsl::room.ne(EVERYWHERE))
            .filter(dsl::ended_at.eq(0_i64));
        let ended = (dsl::ended_at.eq(time(now)?), dsl::owed.eq(0));
        db!(tx, |c| diesel::update(rows).set(ended).execute(c))?;
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
    let query = room_restrictions::table
        .filter(dsl::room.eq_any([room.as_str(), EVERYWHERE]))
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
            Restriction::Device(device) => drop(all.deleted.insert(device.clone())),
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

/// Everything that was ever imposed there, as it stands; of what was imposed again the last.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn at(conn: &mut Conn, place: &Place) -> Result<Vec<Imposed>, StoreError> {
    let query = room_restrictions::table
        .filter(dsl::room.eq(place.as_str()))
        .order((dsl::imposed_at, dsl::kind, dsl::subject))
        .select(COLUMNS);
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

/// Whether it is in force anywhere.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn is_in_force(conn: &mut Conn, restriction: &Restriction) -> Result<bool, StoreError> {
    let (kind, subject) = restriction.key();
    let rows = room_restrictions::table
        .filter(dsl::kind.eq(kind))
        .filter(dsl::subject.eq(subject))
        .filter(dsl::ended_at.eq(0_i64))
        .select(dsl::room);
    Ok(db!(conn, |c| rows.first::<String>(c).optional())?.is_some())
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

type Row = (String, i32, String, String, i64, String, String, String, Vec<u8>, i32, i64, i64, i64, String);

type Columns = (
    dsl::room,
    dsl::kind,
    dsl::subject,
    dsl::imposed_by,
    dsl::imposed_at,
    dsl::reason,
    dsl::case_number,
    dsl::policies,
    dsl::decision,
    dsl::owed,
    dsl::committed_at,
    dsl::ended_at,
    dsl::alarmed_at,
    dsl::obstacle,
);

const COLUMNS: Columns = (
    dsl::room,
    dsl::kind,
    dsl::subject,
    dsl::imposed_by,
    dsl::imposed_at,
    dsl::reason,
    dsl::case_number,
    dsl::policies,
    dsl::decision,
    dsl::owed,
    dsl::committed_at,
    dsl::ended_at,
    dsl::alarmed_at,
    dsl::obstacle,
);

fn imposed(row: Row) -> Result<Imposed, StoreError> {
    let (room, kind, subject, by, at, reason, case, policies, decision, owed, committed, ended, alarmed, obstacle) =
        row;
    let moment = |at: i64| if at == 0 { Ok(None) } else { millis(at).map(Some) };
    Ok(Imposed {
        place: place(&room)?,
        restriction: Restriction::from_key(kind, &subject)?,
        grounds: Grounds {
            by,
            reason,
            case,
            policies: policies.lines().map(str::to_owned).collect(),
            decision: if decision.is_empty() { None } else { Some(uuid(&decision)?) },
        },
        at: millis(at)?,
        owed: owed != 0,
        committed_at: moment(committed)?,
        ended_at: moment(ended)?,
        alarmed_at: moment(alarmed)?,
        obstacle,
    })
}

fn place(stored: &str) -> Result<Place, StoreError> {
    if stored == EVERYWHERE { Ok(Place::Everywhere) } else { room_uri(stored).map(Place::Room) }
}
