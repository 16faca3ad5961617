//! Where the last entries of rooms, actors and peers stand, so that a new entry can point back to them.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;

use super::leaf::Place;
use crate::convert::{number, to_db};
use crate::schema::audit_tails;
use crate::{Conn, StoreError};

/// What entries are linked by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Dimension {
    Room,
    Actor,
    Peer,
}

const DIMENSIONS: [Dimension; 3] = [Dimension::Room, Dimension::Actor, Dimension::Peer];

impl Dimension {
    fn code(self) -> i32 {
        match self {
            Self::Room => 0,
            Self::Actor => 1,
            Self::Peer => 2,
        }
    }
}

/// The names by which one entry is linked.
#[derive(Clone, Default)]
pub(super) struct Names {
    pub(super) room: Option<String>,
    pub(super) actor: Option<String>,
    pub(super) peer: Option<String>,
}

impl Names {
    fn of(&self, dimension: Dimension) -> Option<&String> {
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
    pub(super) fn load(conn: &mut Conn, batch: &[Names]) -> Result<Self, StoreError> {
        let mut tails = BTreeMap::new();
        for dimension in DIMENSIONS {
            let names: BTreeSet<&String> = batch.iter().filter_map(|names| names.of(dimension)).collect();
            let query = audit_tails::table
                .filter(audit_tails::dimension.eq(dimension.code()))
                .filter(audit_tails::name.eq_any(names))
                .select((audit_tails::name, audit_tails::number, audit_tails::seq));
            for (name, count, seq) in db!(conn, |c| query.load::<(String, i64, i64)>(c))? {
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
        for dimension in DIMENSIONS {
            let names = self.0.keys().filter(|(of, _)| *of == dimension).map(|(_, name)| name);
            let old = audit_tails::table
                .filter(audit_tails::dimension.eq(dimension.code()))
                .filter(audit_tails::name.eq_any(names.collect::<Vec<_>>()));
            db!(conn, |c| diesel::delete(old).execute(c))?;
        }
        let rows = self
            .0
            .iter()
            .map(|((dimension, name), tail)| {
                Ok((
                    audit_tails::dimension.eq(dimension.code()),
                    audit_tails::name.eq(name),
                    audit_tails::number.eq(to_db(tail.number)?),
                    audit_tails::seq.eq(to_db(tail.seq)?),
                ))
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        insert_rows!(conn, audit_tails::table, rows)?;
        Ok(())
    }
}
