//! The entries that are not in the index yet.

use std::collections::BTreeSet;
use std::ops::Range;

use diesel::prelude::*;

use super::super::{Filter, Order};
use super::index::Said;
use super::terms::{Term, wanted};
use crate::convert::{number, time, to_db};
use crate::schema::audit_entries;
use crate::{Conn, StoreError};

/// Entries of a step.
const STEP: i64 = 256;

/// An entry that is wanted.
pub(super) struct Hit {
    pub(super) seq: u64,
    pub(super) at: i64,
    pub(super) outcome: i32,
}

/// What has not been looked at.
pub(super) struct Tail {
    all: Vec<Term>,
    none: Vec<Term>,
    since: i64,
    until: i64,
    order: Order,
    left: Range<i64>,
}

impl Tail {
    /// Begins after the entries that are in the index.
    pub(super) fn new(filter: &Filter, indexed: u64) -> Result<Self, StoreError> {
        let (all, none) = wanted(filter);
        let end = filter.before.map(to_db).transpose()?.unwrap_or(i64::MAX);
        let start = to_db(filter.from.max(indexed))?;
        Ok(Self {
            all,
            none,
            since: filter.since.map(time).transpose()?.unwrap_or(0),
            until: filter.until.map(time).transpose()?.unwrap_or(i64::MAX),
            order: filter.order,
            left: start..end.max(start),
        })
    }

    pub(super) fn left(&self) -> Range<u64> {
        self.left.start.unsigned_abs()..self.left.end.unsigned_abs()
    }

    /// The next entries that are wanted, perhaps none; `None` after the last.
    pub(super) fn next(&mut self, conn: &mut Conn) -> Result<Option<Vec<Hit>>, StoreError> {
        type Row = (i64, Vec<u8>, Option<Vec<u8>>);
        if self.left.is_empty() {
            return Ok(None);
        }
        let query = audit_entries::table
            .filter(audit_entries::seq.ge(self.left.start).and(audit_entries::seq.lt(self.left.end)))
            .limit(STEP)
            .select((audit_entries::seq, audit_entries::leaf, audit_entries::openings));
        let rows = match self.order {
            Order::Oldest => db!(conn, |c| query.order(audit_entries::seq.asc()).load::<Row>(c))?,
            Order::Newest => db!(conn, |c| query.order(audit_entries::seq.desc()).load::<Row>(c))?,
        };
        let Some((last, ..)) = rows.last() else {
            self.left = 0..0;
            return Ok(None);
        };
        match self.order {
            Order::Oldest => self.left.start = last + 1,
            Order::Newest => self.left.end = *last,
        }
        let mut hits = Vec::new();
        for (seq, leaf, openings) in rows {
            let said = Said::by(&leaf, openings.as_deref()).ok_or(StoreError::Corrupt("leaf"))?;
            let Said { at, outcome, terms } = said;
            if (self.since..self.until).contains(&at) && self.wants(&terms) {
                hits.push(Hit { seq: number(seq)?, at, outcome });
            }
        }
        Ok(Some(hits))
    }

    fn wants(&self, terms: &BTreeSet<Term>) -> bool {
        self.all.iter().all(|term| terms.contains(term)) && !self.none.iter().any(|term| terms.contains(term))
    }
}
