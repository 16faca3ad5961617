//! Whether the index is the one of these entries. Of each block a sum is made over what its rows should be, and one over
//! what they are, so that both tables are read once and in their own order.

use std::collections::BTreeMap;

use aws_lc_rs::rand;
use diesel::prelude::*;

use super::super::commitment::sha256;
use super::super::search::{BLOCK, Bits, Said, Term, indexed};
use super::{Check, Checks, Raw};
use crate::schema::{audit_blocks, audit_index};
use crate::{Conn, StoreError};

/// Rows that are read at a time.
const PAGE: i64 = 5000;

pub(super) struct Indexed {
    /// Nobody can make rows whose sum is the one of others.
    salt: [u8; 16],
    /// Blocks that are in the index.
    blocks: u64,
    /// The block that is being read.
    times: Vec<i64>,
    terms: BTreeMap<Term, Bits>,
    /// Entries without openings, by block: whether these are found by what they said is not known.
    erased: BTreeMap<u64, Bits>,
    sums: BTreeMap<u64, u128>,
}

impl Indexed {
    pub(super) fn new(conn: &mut Conn) -> Result<Self, StoreError> {
        let mut salt = [0; 16];
        rand::fill(&mut salt).map_err(|_| StoreError::AuditUnavailable("no random numbers".into()))?;
        let (times, terms) = (Vec::new(), BTreeMap::new());
        Ok(Self { salt, blocks: indexed(conn)?, times, terms, erased: BTreeMap::new(), sums: BTreeMap::new() })
    }

    fn add(&mut self, block: u64, parts: [&[u8]; 2]) {
        let [first, second] = parts;
        let hash = sha256(&[&self.salt, &block.to_be_bytes(), first, second]);
        let number = hash.first_chunk().map_or(0, |octets| u128::from_be_bytes(*octets));
        let sum = self.sums.entry(block).or_default();
        *sum = sum.wrapping_add(number);
    }

    fn rows(&mut self, block: u64, term: &[u8], bits: Bits) {
        let bits = bits.without(&self.erased.get(&block).copied().unwrap_or_default());
        if !bits.is_empty() {
            self.add(block, [term, &bits.encode()]);
        }
    }
}

/// What a row about the times of a block begins with; no term is as long.
const TIMES: &[u8] = b"times";

fn times(first: i64, last: i64, each: &[u8]) -> Vec<u8> {
    [&first.to_be_bytes(), &last.to_be_bytes(), each].concat()
}

impl Checks<'_> {
    /// Takes an entry for its block.
    pub(super) fn indexed(&mut self, row: &Raw) {
        let it = &mut self.indexed;
        let Ok(seq) = u64::try_from(row.seq) else { return };
        let (block, place) = (seq / BLOCK, seq % BLOCK);
        if block >= it.blocks {
            return;
        }
        if row.openings.is_none() {
            it.erased.entry(block).or_default().add(place);
        }
        // One that cannot be read has its own finding, and its block cannot have been indexed as it is now.
        if let Some(Said { at, terms, .. }) = Said::by(&row.leaf, row.openings.as_deref()) {
            it.times.push(at);
            terms.into_iter().for_each(|term| it.terms.entry(term).or_default().add(place));
        }
        if place == BLOCK - 1 {
            let (terms, at) = (std::mem::take(&mut it.terms), std::mem::take(&mut it.times));
            terms.into_iter().for_each(|(term, bits)| it.rows(block, &term.0, bits));
            let (first, last) = (at.iter().min().copied(), at.iter().max().copied());
            let each: Vec<u8> = at.iter().flat_map(|at| at.to_be_bytes()).collect();
            let times = times(first.unwrap_or_default(), last.unwrap_or_default(), &each);
            it.add(block, [TIMES, &times]);
        }
    }

    /// Compares the sums with those over the rows that are there.
    pub(super) fn index(&mut self, conn: &mut Conn) -> Result<(), StoreError> {
        let mut expected = std::mem::take(&mut self.indexed.sums);
        self.read_blocks(conn)?;
        self.read_index(conn)?;
        for (block, sum) in std::mem::take(&mut self.indexed.sums) {
            let same = expected.remove(&block) == Some(sum);
            self.finds(Check::Index, same, || fault(block));
        }
        for block in expected.into_keys() {
            self.finds(Check::Index, false, || fault(block));
        }
        Ok(())
    }

    fn read_blocks(&mut self, conn: &mut Conn) -> Result<(), StoreError> {
        let mut after = -1;
        loop {
            let rows =
                audit_blocks::table.filter(audit_blocks::block.gt(after)).order(audit_blocks::block).limit(PAGE / 10);
            let rows =
                rows.select((audit_blocks::block, audit_blocks::first_at, audit_blocks::last_at, audit_blocks::times));
            let rows = db!(conn, |c| rows.load::<(i64, i64, i64, Vec<u8>)>(c))?;
            let Some((last, ..)) = rows.last() else { return Ok(()) };
            after = *last;
            for (block, first, last, each) in rows {
                self.indexed.add(block.unsigned_abs(), [TIMES, &times(first, last, &each)]);
            }
        }
    }

    fn read_index(&mut self, conn: &mut Conn) -> Result<(), StoreError> {
        let mut after = (Vec::new(), -1);
        loop {
            let (term, block) = &after;
            let same = audit_index::term.eq(term.as_slice()).and(audit_index::block.gt(*block));
            let rows = audit_index::table
                .filter(audit_index::term.ge(term.as_slice()).and(audit_index::term.gt(term.as_slice()).or(same)))
                .order((audit_index::term, audit_index::block))
                .limit(PAGE)
                .select((audit_index::term, audit_index::block, audit_index::entries));
            let rows = db!(conn, |c| rows.load::<(Vec<u8>, i64, Vec<u8>)>(c))?;
            let Some((term, block, _)) = rows.last() else { return Ok(()) };
            after = (term.clone(), *block);
            for (term, block, entries) in rows {
                match Bits::decode(&entries) {
                    Some(bits) => self.indexed.rows(block.unsigned_abs(), &term, bits),
                    None => self.indexed.add(block.unsigned_abs(), [&term, &entries]),
                }
            }
        }
    }
}

fn fault(block: u64) -> String {
    let first = block.saturating_mul(BLOCK);
    format!("the index of entries {first} to {} is not what these say", first.saturating_add(BLOCK - 1))
}
