//! The way through the index, block by block.

use std::collections::BTreeMap;
use std::ops::Range;

use diesel::prelude::*;

use super::super::{Filter, Order};
use super::bits::{BLOCK, Bits};
use super::index;
use super::terms::{Term, wanted};
use crate::convert::{number, time, to_db};
use crate::schema::{audit_blocks, audit_index};
use crate::{Conn, StoreError};

/// Blocks of the first step; each further one takes twice as many, up to the most.
const FIRST_STEP: u64 = 16;
const LONGEST_STEP: u64 = 512;

/// Blocks of the log that hold what is wanted, in the order that is wanted.
pub(super) struct Walk {
    all: Vec<Term>,
    none: Vec<Term>,
    /// The entries among which is looked.
    span: Range<u64>,
    since: Option<i64>,
    until: Option<i64>,
    order: Order,
    /// The blocks that have not been looked at.
    left: Range<u64>,
    step: u64,
}

/// When the entries of a block happened.
pub(super) struct Times {
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Walk {
    /// Begins at the first block, or at the last.
    pub(super) fn new(conn: &mut Conn, filter: &Filter) -> Result<Self, StoreError> {
        let (all, none) = wanted(filter);
        let (since, until) = (filter.since.map(time).transpose()?, filter.until.map(time).transpose()?);
        let span = filter.from..filter.before.unwrap_or(u64::MAX);
        let (mut first, mut end) = (span.start / BLOCK, index::indexed(conn)?.min(span.end.div_ceil(BLOCK)));
        if let Some(since) = since {
            let from = audit_blocks::table.filter(audit_blocks::last_at.ge(since));
            let from = from.select(diesel::dsl::min(audit_blocks::block));
            first = match db!(conn, |c| from.first::<Option<i64>>(c))? {
                Some(from) => first.max(number(from)?),
                None => end,
            };
        }
        if let Some(until) = until {
            let to = audit_blocks::table.filter(audit_blocks::first_at.lt(until));
            let to = to.select(diesel::dsl::max(audit_blocks::block));
            end = match db!(conn, |c| to.first::<Option<i64>>(c))? {
                Some(to) => end.min(number(to)? + 1),
                None => first,
            };
        }
        let left = first..end.max(first);
        Ok(Self { all, none, span, since, until, order: filter.order, left, step: FIRST_STEP })
    }

    /// Blocks that have not been looked at.
    pub(super) fn left(&self) -> Range<u64> {
        self.left.clone()
    }

    /// The next blocks that hold something, with what they hold; perhaps none of those it has looked at. `None` after the
    /// last.
    pub(super) fn next(&mut self, conn: &mut Conn) -> Result<Option<Vec<(u64, Bits)>>, StoreError> {
        if self.left.is_empty() {
            return Ok(None);
        }
        let step = self.step;
        self.step = (2 * step).min(LONGEST_STEP);
        let mut blocks = self.rarest(conn, step)?;
        for term in &self.all {
            let with = of_blocks(conn, term, blocks.keys().copied())?;
            blocks.iter_mut().for_each(|(block, bits)| *bits = bits.and(&with.get(block).copied().unwrap_or_default()));
            blocks.retain(|_, bits| !bits.is_empty());
        }
        for term in &self.none {
            let with = of_blocks(conn, term, blocks.keys().copied())?;
            blocks
                .iter_mut()
                .for_each(|(block, bits)| *bits = bits.without(&with.get(block).copied().unwrap_or_default()));
        }
        let span = self.span.clone();
        for (block, bits) in &mut blocks {
            let first = block * BLOCK;
            if first < span.start || span.end < first + BLOCK {
                let inside = span.start.saturating_sub(first)..span.end.saturating_sub(first);
                *bits = bits.and(&Bits::between(inside.start, inside.end));
            }
        }
        if self.since.is_some() || self.until.is_some() {
            self.in_time(conn, &mut blocks)?;
        }
        blocks.retain(|_, bits| !bits.is_empty());
        let blocks = blocks.into_iter();
        Ok(Some(match self.order {
            Order::Oldest => blocks.collect(),
            Order::Newest => blocks.rev().collect(),
        }))
    }

    /// The next blocks of the term that is in fewest of them, at most `step`; and these are looked at then.
    fn rarest(&mut self, conn: &mut Conn, step: u64) -> Result<BTreeMap<u64, Bits>, StoreError> {
        let Range { start, end } = self.left;
        let mut best = match self.order {
            Order::Oldest => start..end.min(start + step),
            Order::Newest => start.max(end.saturating_sub(step))..end,
        };
        let mut blocks: BTreeMap<u64, Bits> = best.clone().map(|block| (block, Bits::FULL)).collect();
        for term in &self.all {
            let found = next_blocks(conn, term, &self.left, self.order, step)?;
            // One that has no more blocks reaches to the end.
            let reaches = match (self.order, found.len() as u64 == step) {
                (Order::Oldest, true) => start..found.last_key_value().map_or(end, |(block, _)| block + 1),
                (Order::Newest, true) => found.first_key_value().map_or(start, |(block, _)| *block)..end,
                (_, false) => start..end,
            };
            if reaches.end - reaches.start > best.end - best.start || (reaches == best && found.len() < blocks.len()) {
                (best, blocks) = (reaches, found);
            }
        }
        self.left = match self.order {
            Order::Oldest => best.end..end,
            Order::Newest => start..best.start,
        };
        Ok(blocks)
    }

    /// Leaves out what happened at other times.
    fn in_time(&self, conn: &mut Conn, blocks: &mut BTreeMap<u64, Bits>) -> Result<(), StoreError> {
        let (since, until) = (self.since.unwrap_or(i64::MIN), self.until.unwrap_or(i64::MAX));
        let times = times(conn, blocks.keys().copied())?;
        for (block, bits) in blocks {
            let Some(Times { first, last }) = times.get(block) else { continue };
            if *last < since || *first >= until {
                *bits = Bits::default();
            } else if *first < since || *last >= until {
                let mut inside = Bits::default();
                let each = (0..).zip(each_time(conn, *block)?);
                each.filter(|(_, at)| (since..until).contains(at)).for_each(|(place, _)| inside.add(place));
                *bits = bits.and(&inside);
            }
        }
        Ok(())
    }
}

type Row = (i64, Vec<u8>);

fn read(rows: Vec<Row>) -> Result<BTreeMap<u64, Bits>, StoreError> {
    let read = |(block, entries): Row| {
        let bits = Bits::decode(&entries).ok_or(StoreError::Corrupt("index"))?;
        Ok((number(block)?, bits))
    };
    rows.into_iter().map(read).collect()
}

/// The first or last blocks in which a term is.
fn next_blocks(
    conn: &mut Conn,
    term: &Term,
    among: &Range<u64>,
    order: Order,
    most: u64,
) -> Result<BTreeMap<u64, Bits>, StoreError> {
    let blocks = audit_index::table
        .filter(audit_index::term.eq(term.0.as_slice()))
        .filter(audit_index::block.ge(to_db(among.start)?).and(audit_index::block.lt(to_db(among.end)?)))
        .limit(to_db(most)?)
        .select((audit_index::block, audit_index::entries));
    read(match order {
        Order::Oldest => db!(conn, |c| blocks.order(audit_index::block.asc()).load::<Row>(c))?,
        Order::Newest => db!(conn, |c| blocks.order(audit_index::block.desc()).load::<Row>(c))?,
    })
}

/// Where a term is in these blocks.
pub(super) fn of_blocks(
    conn: &mut Conn,
    term: &Term,
    blocks: impl Iterator<Item = u64>,
) -> Result<BTreeMap<u64, Bits>, StoreError> {
    let blocks = blocks.map(to_db).collect::<Result<Vec<_>, _>>()?;
    let rows = audit_index::table
        .filter(audit_index::term.eq(term.0.as_slice()))
        .filter(audit_index::block.eq_any(blocks))
        .select((audit_index::block, audit_index::entries));
    read(db!(conn, |c| rows.load::<Row>(c))?)
}

/// When the entries of these blocks happened.
pub(super) fn times(conn: &mut Conn, blocks: impl Iterator<Item = u64>) -> Result<BTreeMap<u64, Times>, StoreError> {
    let blocks = blocks.map(to_db).collect::<Result<Vec<_>, _>>()?;
    let rows = audit_blocks::table.filter(audit_blocks::block.eq_any(blocks)).select((
        audit_blocks::block,
        audit_blocks::first_at,
        audit_blocks::last_at,
    ));
    let rows = db!(conn, |c| rows.load::<(i64, i64, i64)>(c))?;
    rows.into_iter().map(|(block, first, last)| Ok((number(block)?, Times { first, last }))).collect()
}

/// When each entry of a block happened.
pub(super) fn each_time(conn: &mut Conn, block: u64) -> Result<Vec<i64>, StoreError> {
    let row = audit_blocks::table.filter(audit_blocks::block.eq(to_db(block)?)).select(audit_blocks::times);
    let times = db!(conn, |c| row.first::<Vec<u8>>(c))?;
    Ok(times.as_chunks().0.iter().map(|at| i64::from_be_bytes(*at)).collect())
}
