use diesel::prelude::*;
use portcullis_core::time::Millis;

use super::{EVERYWHERE, Grounds, Imposed, Place, Restriction};
use crate::convert::{millis, room as room_uri, time, uuid};
use crate::schema::room_restrictions::{self, dsl};
use crate::{StoreError, Tx};

/// A restriction as it stands in the database.
pub(super) type Row =
    (String, i32, String, String, i64, String, String, String, Vec<u8>, i32, i64, i64, i64, String, i32);

pub(super) type Columns = (
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
    dsl::spread,
);

pub(super) const COLUMNS: Columns = (
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
    dsl::spread,
);

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
    spread: i32,
}

/// Where what is imposed comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// It is imposed there.
    Own,
    /// It is imposed everywhere, and so there.
    Everywhere,
}

/// Writes it as in force from `now` on, whatever stood there.
pub(super) fn put(
    tx: &mut Tx<'_>,
    place: &Place,
    restriction: &Restriction,
    (grounds, origin): (&Grounds, Origin),
    owed: bool,
    now: Millis,
) -> Result<(), StoreError> {
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
        owed: i32::from(owed),
        committed_at: 0,
        ended_at: 0,
        alarmed_at: 0,
        obstacle: "",
        spread: i32::from(origin == Origin::Everywhere),
    };
    db!(tx, |c| {
        diesel::insert_into(room_restrictions::table)
            .values(&row)
            .on_conflict((dsl::room, dsl::kind, dsl::subject))
            .do_update()
            .set(&row)
            .execute(c)
    })?;
    Ok(())
}

pub(super) fn imposed(row: Row) -> Result<Imposed, StoreError> {
    let (
        room,
        kind,
        subject,
        by,
        at,
        reason,
        case,
        policies,
        decision,
        owed,
        committed,
        ended,
        alarmed,
        obstacle,
        spread,
    ) = row;
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
        spread: spread != 0,
    })
}

pub(super) fn place(stored: &str) -> Result<Place, StoreError> {
    if stored == EVERYWHERE { Ok(Place::Everywhere) } else { room_uri(stored).map(Place::Room) }
}
