//! Where the last entries of rooms, actors and peers stand, so that a new entry can point back to them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use diesel::result::QueryResult;
use diesel::sqlite::SqliteConnection;
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};

use super::leaf::Place;
use crate::StoreError;
use crate::convert::{number, to_db};
use crate::schema::audit_tails;
use crate::turn::Statement;

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

    fn of_code(code: i32) -> Result<Self, StoreError> {
        DIMENSIONS.into_iter().find(|dimension| dimension.code() == code).ok_or(StoreError::Corrupt("dimension"))
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

pub(super) type Found = (i32, String, i64, i64);

pub(super) const COLUMNS: (audit_tails::dimension, audit_tails::name, audit_tails::number, audit_tails::seq) =
    (audit_tails::dimension, audit_tails::name, audit_tails::number, audit_tails::seq);

/// The question for the tails of names.
pub(super) struct Searching<'n> {
    names: BTreeSet<(Dimension, &'n String)>,
    found: RefCell<Vec<Found>>,
}

impl<'n> Searching<'n> {
    pub(super) fn of(batch: impl Iterator<Item = &'n Names>) -> Self {
        let names = batch
            .flat_map(|names| DIMENSIONS.into_iter().filter_map(move |of| names.of(of).map(|name| (of, name))))
            .collect();
        Self { names, found: RefCell::default() }
    }
}

impl<'n> Searching<'n> {
    /// Where they stand, and others with them.
    pub(super) fn wanted(&self) -> Wanted<'n> {
        let (of, called): (BTreeSet<i32>, BTreeSet<&String>) =
            self.names.iter().map(|(dimension, name)| (dimension.code(), *name)).unzip();
        wanted(of.into_iter().collect(), called.into_iter().collect())
    }

    pub(super) fn keep(&self, found: Found) {
        self.found.borrow_mut().push(found);
    }
}

#[diesel::dsl::auto_type(type_case = "PascalCase")]
fn wanted<'n>(of: Vec<i32>, called: Vec<&'n String>) -> _ {
    audit_tails::table.filter(audit_tails::dimension.eq_any(of)).filter(audit_tails::name.eq_any(called))
}

/// SQLite is asked name by name, with a statement that it has prepared before; PostgreSQL for all at once.
impl Statement for Searching<'_> {
    fn run(&self, conn: &mut SqliteConnection) -> QueryResult<()> {
        for (dimension, name) in &self.names {
            let tail = audit_tails::table.find((dimension.code(), name)).select(COLUMNS);
            self.found.borrow_mut().extend(diesel::RunQueryDsl::first(tail, conn).optional()?);
        }
        Ok(())
    }

    fn send<'c>(&'c self, mut conn: &'c AsyncPgConnection) -> LocalBoxFuture<'c, QueryResult<()>> {
        let found = diesel_async::RunQueryDsl::load(self.wanted().select(COLUMNS), &mut conn);
        found.map(|found| found.map(|found| drop(self.found.replace(found)))).boxed_local()
    }
}

/// The tails of all names of a batch.
pub(super) struct Tails(BTreeMap<(Dimension, String), Tail>);

impl Tails {
    pub(super) fn found(asked: Searching<'_>) -> Result<Self, StoreError> {
        let mut tails = BTreeMap::new();
        for (dimension, name, count, seq) in asked.found.into_inner() {
            let dimension = Dimension::of_code(dimension)?;
            if asked.names.contains(&(dimension, &name)) {
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

    /// The rows that keep them.
    pub(super) fn into_rows(self) -> Result<Vec<TailRow>, StoreError> {
        self.0
            .into_iter()
            .map(|((dimension, name), tail)| {
                Ok(TailRow {
                    dimension: dimension.code().into(),
                    name,
                    number: to_db(tail.number)?,
                    seq: to_db(tail.seq)?,
                })
            })
            .collect()
    }
}

/// A tail as it is kept.
pub(super) struct TailRow {
    dimension: i64,
    name: String,
    number: i64,
    seq: i64,
}

row!(
    TailRow => audit_tails (dimension, name, number, seq)
    " ON CONFLICT (dimension, name) DO UPDATE SET number = excluded.number, seq = excluded.seq"
);
