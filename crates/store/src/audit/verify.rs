//! Whether the log is whole and as it was written, read from its tables alone: what its signed checkpoints do not cover
//! and what they cannot show is said, too.

mod ends;
mod index;
mod report;
mod signed;

pub use report::{Check, Finding, Report};

use std::collections::BTreeMap;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use diesel::prelude::*;
use portcullis_tlog::{Edge, Hash, TILE_WIDTH, TreeHead, VerifierKey};
use uuid::Uuid;

use super::commitment::{Openings, sha256};
use super::leaf::{Leaf, Place};
use super::tails::{DIMENSIONS, Dimension, Names};
use crate::convert::number;
use crate::heads::{self, Head, Held};
use crate::schema::{audit_entries, audit_stage};
use crate::{Conn, StoreError};
use index::Indexed;
use signed::Signed;

/// Rows that are read at a time.
const PAGE: u32 = 1000;

/// Faults of one check that are told; the others are counted.
const TOLD: usize = 10;

/// Checks the whole log on one snapshot, in memory that does not grow with it but by its names; checkpoints count if one
/// of `keys` has signed them: a log may have had several. `kept` are heads that were kept elsewhere: only these show that
/// the end of the log was cut off together with its checkpoints, or all of it replaced.
///
/// # Errors
///
/// [`StoreError`] of the database. What is wrong with the log is in the report.
pub fn verify(conn: &mut Conn, keys: &[VerifierKey], kept: &[TreeHead]) -> Result<Report, StoreError> {
    let held = heads::look(conn, Head::Audit)?;
    let mut checks = Checks::new(conn, held, keys, kept)?;
    let mut next = 0;
    loop {
        let rows = rows(conn, next)?;
        let Some(last) = rows.last() else { break };
        next = last.seq.saturating_add(1);
        checks.read_checkpoints(conn, checks.edge.head().size + rows.len() as u64)?;
        for row in &rows {
            checks.entry(row);
            checks.indexed(row);
        }
        checks.nodes(conn)?;
    }
    checks.read_checkpoints(conn, u64::MAX)?;
    checks.tree(conn)?;
    checks.index(conn)?;
    checks.ends(conn)?;
    checks.report(conn)
}

/// An entry as it is stored.
#[derive(Queryable)]
struct Raw {
    seq: i64,
    leaf: Vec<u8>,
    signature: Vec<u8>,
    openings: Option<Vec<u8>>,
}

fn rows(conn: &mut Conn, from: i64) -> Result<Vec<Raw>, StoreError> {
    use audit_entries as e;
    let columns = (e::seq, e::leaf, e::signature, e::openings);
    let query = e::table.filter(e::seq.ge(from)).order(e::seq).limit(PAGE.into()).select(columns);
    Ok(db!(conn, |c| query.load::<Raw>(c))?)
}

struct Chain {
    public_key: [u8; 32],
    next: u64,
    last: [u8; 32],
}

/// The state of a run over the log.
struct Checks<'k> {
    findings: BTreeMap<Check, Finding>,
    /// The head as it is stored.
    held: Held,
    edge: Edge,
    /// Hashes of the tree above the leaves that were not compared yet, and how many there are of each level.
    nodes: Vec<(u8, u64, Vec<u8>)>,
    levels: BTreeMap<u8, u64>,
    signed: Signed<'k>,
    indexed: Indexed,
    covered: u64,
    /// Where entries stand that have no openings.
    erased: BTreeMap<u64, Place>,
    next: i64,
    chains: BTreeMap<Uuid, Chain>,
    tails: BTreeMap<(Dimension, String), (u64, u64)>,
}

impl<'k> Checks<'k> {
    fn new(conn: &mut Conn, held: Held, keys: &'k [VerifierKey], kept: &[TreeHead]) -> Result<Self, StoreError> {
        Ok(Self {
            findings: Check::ALL.map(|check| (check, Finding::default())).into(),
            held,
            edge: Edge::default(),
            nodes: Vec::new(),
            levels: BTreeMap::new(),
            signed: Signed::new(conn, keys, kept)?,
            indexed: Indexed::new(conn)?,
            covered: 0,
            erased: BTreeMap::new(),
            next: 0,
            chains: BTreeMap::new(),
            tails: BTreeMap::new(),
        })
    }

    fn finds(&mut self, check: Check, holds: bool, fault: impl FnOnce() -> String) {
        let finding = self.findings.entry(check).or_default();
        finding.checked += 1;
        if !holds {
            finding.wrong += 1;
            if finding.faults.len() < TOLD {
                finding.faults.push(fault());
            }
        }
    }

    fn entry(&mut self, row: &Raw) {
        let seq = row.seq;
        let expected = std::mem::replace(&mut self.next, seq.saturating_add(1));
        self.finds(Check::Numbers, seq == expected, || format!("entry {seq} stands where {expected} is expected"));
        self.grow(Hash::leaf(&row.leaf));
        let leaf = Leaf::decode(&row.leaf).ok();
        let placed = leaf.as_ref().and_then(|leaf| leaf.place).is_some_and(|place| i64::try_from(place.seq) == Ok(seq));
        self.finds(Check::Leaves, placed, || format!("the leaf of entry {seq} is not one, or of another place"));
        let Some(leaf) = leaf else { return };
        let Some(place) = leaf.place else { return };
        self.writer(seq, &leaf, row);
        let Some(stored) = &row.openings else {
            self.erased.insert(place.seq, place);
            return self.finds(Check::Openings, false, || format!("entry {seq} has no openings"));
        };
        let opened = Openings::decode(stored).ok().filter(|openings| openings.root() == leaf.disclosure);
        self.finds(Check::Openings, opened.is_some(), || format!("the openings of entry {seq} are not its own"));
        let Some(openings) = opened else { return };
        let text = |name| openings.text(name).ok().flatten();
        let names = Names { room: text("room"), actor: text("actor"), peer: text("peer") };
        self.pointers(seq, place, &names);
    }

    /// Lets the tree grow by a leaf, and compares it with what was signed at that size.
    fn grow(&mut self, leaf: Hash) {
        for span in self.edge.append([leaf]).into_iter().filter(|span| span.level > 0) {
            let at = span.index * u64::from(TILE_WIDTH) + u64::from(span.offset);
            self.nodes.push((span.level, at, span.bytes));
            *self.levels.entry(span.level).or_default() += 1;
        }
        let head = self.edge.head();
        for signed in self.signed.take(head.size) {
            let same = signed == head;
            if same {
                self.covered = head.size;
            }
            self.finds(Check::Checkpoints, same, || {
                format!("the first {} entries have another root than was signed", head.size)
            });
        }
    }

    fn writer(&mut self, seq: i64, leaf: &Leaf, row: &Raw) {
        if let (0, Some(public_key)) = (leaf.writer_seq, leaf.public_key) {
            self.chains.entry(leaf.writer).or_insert(Chain { public_key, next: 0, last: [0; 32] });
        }
        let core = leaf.core().unwrap_or_default();
        let good = match self.chains.get_mut(&leaf.writer) {
            None => false,
            Some(chain) => {
                let continues = (chain.next, chain.last) == (leaf.writer_seq, leaf.previous);
                chain.next = leaf.writer_seq.saturating_add(1);
                chain.last = sha256(&[&core]);
                let named = leaf.public_key.is_none_or(|key| key == chain.public_key);
                let key = UnparsedPublicKey::new(&ED25519, chain.public_key);
                continues && named && key.verify(&core, &row.signature).is_ok()
            }
        };
        self.finds(Check::Writers, good, || {
            format!("entry {seq} does not continue the chain of its writer, or is not signed")
        });
    }

    fn pointers(&mut self, seq: i64, place: Place, names: &Names) {
        let mut good = true;
        for dimension in DIMENSIONS {
            let Some(name) = names.of(dimension) else {
                good &= dimension.before(place).is_none();
                continue;
            };
            let last = self.tails.get(&(dimension, name.clone())).copied();
            let (reached, skipped) = self.past_erased(place, dimension);
            let number = last.map_or(0, |(number, _)| number + 1) + skipped;
            good &= reached == last.map(|(_, seq)| seq);
            good &= dimension != Dimension::Room || place.room.map(|(number, _)| number) == Some(number);
            self.tails.insert((dimension, name.clone()), (number, place.seq));
        }
        self.finds(Check::Pointers, good, || format!("entry {seq} does not point back to what was before it"));
    }

    /// Where the pointer of an entry leads, past those of which nobody knows any more whose they are, and how many that
    /// are.
    fn past_erased(&self, place: Place, dimension: Dimension) -> (Option<u64>, u64) {
        let (mut at, mut skipped) = (dimension.before(place), 0);
        while let Some(erased) = at.and_then(|at| self.erased.get(&at)) {
            let next = dimension.before(*erased);
            if next >= at {
                break; // it never was before itself
            }
            at = next;
            skipped += 1;
        }
        (at, skipped)
    }

    fn report(self, conn: &mut Conn) -> Result<Report, StoreError> {
        let staged = db!(conn, |c| audit_stage::table.count().get_result::<i64>(c))?;
        Ok(Report {
            findings: self.findings,
            head: self.edge.head(),
            covered: self.covered,
            erased: self.erased.len() as u64,
            staged: number(staged)?,
        })
    }
}
