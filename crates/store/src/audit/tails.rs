//! Where the last entries of rooms, actors and peers stand, so that a new entry can point back to them.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use diesel::upsert::excluded;
use serde::{Deserialize, Serialize};

use super::leaf::Place;
use crate::conn::Kind;
use crate::convert::{number, to_db};
use crate::fixed::{Bind, Fixed, fixed};
use crate::later::ROWS;
use crate::schema::audit_tails;
use crate::{Conn, StoreError};

/// What entries are linked by: each points back to the one before it of the same room, actor and peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dimension {
    /// Rooms.
    Room,
    /// Users, clients, providers and people who act.
    Actor,
    /// Providers that something came from or went to.
    Peer,
}

pub(super) const DIMENSIONS: [Dimension; 3] = [Dimension::Room, Dimension::Actor, Dimension::Peer];

impl Dimension {
    /// The field that it is about.
    pub fn name(self) -> &'static str {
        match self {
            Self::Room => "room",
            Self::Actor => "actor",
            Self::Peer => "peer",
        }
    }

    /// Where the entry before it stands.
    pub fn before(self, place: Place) -> Option<u64> {
        match self {
            Self::Room => place.room.and_then(|(_, previous)| previous),
            Self::Actor => place.actor,
            Self::Peer => place.peer,
        }
    }

    pub(super) fn code(self) -> i32 {
        match self {
            Self::Room => 0,
            Self::Actor => 1,
            Self::Peer => 2,
        }
    }
}

/// The names by which one entry is linked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(crate) room: Option<String>,
    pub(crate) actor: Option<String>,
    pub(crate) peer: Option<String>,
}

impl Names {
    pub(super) fn of(&self, dimension: Dimension) -> Option<&String> {
        match dimension {
            Dimension::Room => self.room.as_ref(),
            Dimension::Actor => self.actor.as_ref(),
            Dimension::Peer => self.peer.as_ref(),
        }
    }
}

/// The last entry of a name, and how many it has.
#[derive(Clone, Copy)]
struct Tail {
    number: u64,
    seq: u64,
}

/// The tails of all names of a batch.
pub(super) struct Tails(BTreeMap<(Dimension, String), Tail>);

impl Tails {
    pub(super) fn load<'n>(
        conn: &mut Conn,
        batch: impl Iterator<Item = &'n Names> + Clone,
    ) -> Result<Self, StoreError> {
        let mut tails = BTreeMap::new();
        for dimension in DIMENSIONS {
            let names: BTreeSet<&String> = batch.clone().filter_map(|names| names.of(dimension)).collect();
            for (name, count, seq) in find(conn, dimension, &names)? {
                tails.insert((dimension, name), Tail { number: number(count)?, seq: number(seq)? });
            }
        }
        Ok(Self(tails))
    }

    /// The place of the entry `seq` of these names, whose tail it becomes.
    pub(super) fn append(&mut self, seq: u64, names: &Names) -> Place {
        let mut step = |dimension| {
            let name = names.of(dimension)?;
            let last = self.0.get(&(dimension, name.clone())).copied();
            let number = last.map_or(0, |tail| tail.number + 1);
            self.0.insert((dimension, name.clone()), Tail { number, seq });
            Some((number, last.map(|tail| tail.seq)))
        };
        Place {
            seq,
            room: step(Dimension::Room),
            actor: step(Dimension::Actor).and_then(|(_, previous)| previous),
            peer: step(Dimension::Peer).and_then(|(_, previous)| previous),
        }
    }

    pub(super) fn store(&self, conn: &mut Conn) -> Result<(), StoreError> {
        let rows = self
            .0
            .iter()
            .map(|((dimension, name), tail)| {
                Ok(TailRow { dimension: dimension.code(), name, number: to_db(tail.number)?, seq: to_db(tail.seq)? })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        let answer = match &mut conn.kind {
            Kind::Sqlite(conn) => rows.iter().try_for_each(|row| row.upsert().execute(conn).map(drop)),
            Kind::Postgres(conn) => rows.chunks(ROWS).try_for_each(|rows| {
                let moved = (
                    audit_tails::number.eq(excluded(audit_tails::number)),
                    audit_tails::seq.eq(excluded(audit_tails::seq)),
                );
                let rows = diesel::insert_into(audit_tails::table).values(rows);
                let rows = rows.on_conflict((audit_tails::dimension, audit_tails::name)).do_update().set(moved);
                rows.execute(&mut **conn).map(drop)
            }),
        };
        Ok(conn.note(answer)?)
    }
}

#[derive(Insertable)]
#[diesel(table_name = audit_tails)]
struct TailRow<'n> {
    dimension: i32,
    name: &'n str,
    number: i64,
    seq: i64,
}

impl TailRow<'_> {
    fn upsert(&self) -> Fixed<'_, ()> {
        fixed(
            &[
                "INSERT INTO audit_tails (dimension, name, number, seq) VALUES (",
                ", ",
                ", ",
                ", ",
                ") ON CONFLICT (dimension, name) DO UPDATE SET number = excluded.number, seq = excluded.seq",
            ],
            [
                Bind::Number(self.dimension.into()),
                Bind::Text(self.name),
                Bind::Number(self.number),
                Bind::Number(self.seq),
            ],
        )
    }
}

/// SQLite is asked name by name, with a statement that it has prepared before; PostgreSQL for all at once, in one turn.
fn find(
    conn: &mut Conn,
    dimension: Dimension,
    names: &BTreeSet<&String>,
) -> Result<Vec<(String, i64, i64)>, StoreError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let tails = audit_tails::table.filter(audit_tails::dimension.eq(dimension.code())).select((
        audit_tails::name,
        audit_tails::number,
        audit_tails::seq,
    ));
    let found = match &mut conn.kind {
        Kind::Sqlite(conn) => names
            .iter()
            .map(|name| tails.filter(audit_tails::name.eq(name)).first(conn).optional())
            .filter_map(Result::transpose)
            .collect(),
        Kind::Postgres(conn) => tails.filter(audit_tails::name.eq_any(names)).load(&mut **conn),
    };
    Ok(conn.note(found)?)
}
