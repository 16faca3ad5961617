//! The index: written for a block of entries once the block is full, and never changed. Entries after the last block in it
//! are looked at one by one, so that it decides nothing and saves reading only.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;

use super::super::commitment::Openings;
use super::super::leaf::Leaf;
use super::bits::{BLOCK, Bits};
use super::terms::{Term, terms};
use crate::convert::{number, to_db};
use crate::effects::Effects;
use crate::heads::{self, Head};
use crate::schema::{audit_blocks, audit_entries};
use crate::{Conn, Store, StoreError};

/// The write lane of the index.
const LANE: &str = "audit index";

#[derive(Insertable)]
#[diesel(table_name = audit_blocks)]
struct BlockRow {
    block: i64,
    first_at: i64,
    last_at: i64,
    times: Vec<u8>,
}

struct TermRow {
    term: Vec<u8>,
    block: i64,
    entries: Vec<u8>,
}

row!(TermRow => audit_index (term, block, entries));

/// Puts the next block of the log into its index. Any number of replicas may do this. `false` if no further block is full.
/// Blocks.
///
/// # Errors
///
/// [`StoreError`] of the database; [`StoreError::Corrupt`] for a log in which an entry is missing or cannot be read.
pub fn index(store: &Store) -> Result<bool, StoreError> {
    let block = store.read(|conn| {
        let next = indexed(conn)?;
        if heads::look(conn, Head::Audit)?.size / BLOCK <= next {
            return Ok(None);
        }
        read(conn, next).map(Some)
    })?;
    let Some(block) = block else { return Ok(false) };
    let number = to_db(block.number)?;
    let terms = block.terms.iter().map(|(term, bits)| (term.0.to_vec(), bits.encode())).collect::<Vec<_>>();
    store.write(LANE, move |tx| {
        let row = BlockRow {
            block: number,
            first_at: block.times.iter().min().copied().unwrap_or_default(),
            last_at: block.times.iter().max().copied().unwrap_or_default(),
            times: block.times.iter().flat_map(|at| at.to_be_bytes()).collect(),
        };
        let insert = diesel::insert_into(audit_blocks::table).values(row).on_conflict_do_nothing();
        if db!(tx, |c| insert.execute(c))? == 0 {
            return Ok(()); // another replica was faster
        }
        let mut all = Effects::default();
        all.insert(terms.iter().cloned().map(|(term, entries)| TermRow { term, block: number, entries }).collect());
        Ok::<_, StoreError>(tx.write(all)?)
    })?;
    Ok(true)
}

/// How many blocks are in the index.
pub(crate) fn indexed(conn: &mut Conn) -> Result<u64, StoreError> {
    let last = audit_blocks::table.select(diesel::dsl::max(audit_blocks::block));
    let last = db!(conn, |c| last.first::<Option<i64>>(c))?;
    last.map_or(Ok(0), |last| Ok(number(last)? + 1))
}

struct Block {
    number: u64,
    times: Vec<i64>,
    terms: BTreeMap<Term, Bits>,
}

fn read(conn: &mut Conn, block: u64) -> Result<Block, StoreError> {
    type Row = (i64, Vec<u8>, Option<Vec<u8>>);
    let first = block * BLOCK;
    let query = audit_entries::table
        .filter(audit_entries::seq.ge(to_db(first)?).and(audit_entries::seq.lt(to_db(first + BLOCK)?)))
        .order(audit_entries::seq)
        .select((audit_entries::seq, audit_entries::leaf, audit_entries::openings));
    let rows = db!(conn, |c| query.load::<Row>(c))?;
    if rows.len() as u64 != BLOCK {
        return Err(StoreError::Corrupt("seq"));
    }
    let mut times = Vec::with_capacity(rows.len());
    let mut found = BTreeMap::<Term, Bits>::new();
    for (place, (_, leaf, openings)) in (0..).zip(rows) {
        let Said { at, terms, .. } = Said::by(&leaf, openings.as_deref()).ok_or(StoreError::Corrupt("leaf"))?;
        times.push(at);
        for term in terms {
            found.entry(term).or_default().add(place);
        }
    }
    Ok(Block { number: block, times, terms: found })
}

/// What an entry says to whoever searches.
pub(crate) struct Said {
    pub(crate) at: i64,
    pub(crate) outcome: i32,
    pub(crate) terms: BTreeSet<Term>,
}

impl Said {
    /// By an entry as it is stored; `None` by one that cannot be read.
    pub(crate) fn by(leaf: &[u8], openings: Option<&[u8]>) -> Option<Self> {
        let openings = openings.and_then(|openings| Openings::decode(openings).ok()).unwrap_or_default();
        let leaf = Leaf::decode(leaf).ok()?;
        let at = to_db(leaf.at.0).unwrap_or(i64::MAX);
        Some(Self { at, outcome: leaf.outcome.code().into(), terms: terms(&leaf, &openings) })
    }
}
