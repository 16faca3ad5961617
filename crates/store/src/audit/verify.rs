//! Whether the log is whole and as it was written, read from its tables alone: what its signed checkpoints do not cover
//! and what they cannot show is said, too.

mod report;

pub use report::{Check, Finding, Report};

use std::collections::BTreeMap;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use diesel::prelude::*;
use portcullis_tlog::{Edge, Hash, SignedCheckpoint, TILE_WIDTH, TreeHead, VerifierKey};
use uuid::Uuid;

use super::commitment::{Openings, sha256};
use super::leaf::{Leaf, Place};
use super::tails::{DIMENSIONS, Dimension, Names};
use super::tree;
use crate::convert::{number, to_db};
use crate::heads::{self, Head};
use crate::schema::{audit_entries, audit_nodes, audit_openings, audit_stage, audit_tails, audit_writers};
use crate::{Conn, StoreError};

/// Rows that are read at a time.
const PAGE: u32 = 1000;

/// Faults of one check that are told; the others are counted.
const TOLD: usize = 10;

/// Checks the whole log on one snapshot; checkpoints count if `key` has signed them. `kept` are heads that were kept
/// elsewhere: only these show that the end of the log was cut off together with its checkpoints, or all of it replaced.
///
/// # Errors
///
/// [`StoreError`] of the database. What is wrong with the log is in the report.
pub fn verify(conn: &mut Conn, key: &VerifierKey, kept: &[TreeHead]) -> Result<Report, StoreError> {
    let mut checks = Checks::new();
    checks.read_checkpoints(conn, key)?;
    checks.expect(kept);
    let mut next = 0;
    loop {
        let rows = rows(conn, next)?;
        let Some(last) = rows.last() else { break };
        next = last.seq.saturating_add(1);
        rows.iter().for_each(|row| checks.entry(row));
    }
    checks.nodes(conn)?;
    checks.ends(conn)?;
    checks.report(conn)
}

type Row = (i64, Vec<u8>, i64, String, i32);
type Named = (Option<String>, Option<String>, Option<String>, Option<Vec<u8>>, Option<Vec<u8>>);

/// An entry as the tables have it.
struct Raw {
    seq: i64,
    event: Vec<u8>,
    at: i64,
    kind: String,
    outcome: i32,
    names: Names,
    decision: Option<Vec<u8>>,
    exchange: Option<Vec<u8>>,
    leaf: Vec<u8>,
    signature: Vec<u8>,
    openings: Option<String>,
}

fn rows(conn: &mut Conn, from: i64) -> Result<Vec<Raw>, StoreError> {
    use audit_entries as e;
    let query = e::table
        .left_join(audit_openings::table.on(audit_openings::seq.eq(e::seq)))
        .filter(e::seq.ge(from))
        .order(e::seq)
        .limit(PAGE.into())
        .select((
            (e::seq, e::event, e::at, e::kind, e::outcome),
            (e::room, e::actor, e::peer, e::decision, e::exchange),
            (e::leaf, e::signature, audit_openings::openings.nullable()),
        ));
    let rows = db!(conn, |c| query.load::<(Row, Named, (Vec<u8>, Vec<u8>, Option<String>))>(c))?;
    Ok(rows
        .into_iter()
        .map(
            |(
                (seq, event, at, kind, outcome),
                (room, actor, peer, decision, exchange),
                (leaf, signature, openings),
            )| {
                let names = Names { room, actor, peer };
                Raw { seq, event, at, kind, outcome, names, decision, exchange, leaf, signature, openings }
            },
        )
        .collect())
}

struct Chain {
    public_key: [u8; 32],
    next: u64,
    last: [u8; 32],
}

/// The state of a run over the log.
struct Checks {
    findings: BTreeMap<Check, Finding>,
    edge: Edge,
    /// Hashes of the tree above the leaves.
    nodes: Vec<(u8, u64, Vec<u8>)>,
    /// Signed heads by size; of one size there may be several where somebody has forked the log.
    signed: BTreeMap<u64, Vec<TreeHead>>,
    covered: u64,
    /// Where entries stand that have no openings.
    erased: BTreeMap<u64, Place>,
    next: i64,
    chains: BTreeMap<Uuid, Chain>,
    tails: BTreeMap<(Dimension, String), (u64, u64)>,
}

impl Checks {
    fn new() -> Self {
        Self {
            findings: Check::ALL.map(|check| (check, Finding::default())).into(),
            edge: Edge::default(),
            nodes: Vec::new(),
            signed: BTreeMap::new(),
            covered: 0,
            erased: BTreeMap::new(),
            next: 0,
            chains: BTreeMap::new(),
            tails: BTreeMap::new(),
        }
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

    fn read_checkpoints(&mut self, conn: &mut Conn, key: &VerifierKey) -> Result<(), StoreError> {
        let mut after = 0;
        loop {
            let page = tree::checkpoints(conn, after, PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.size;
            for stored in page {
                let signed = SignedCheckpoint::parse(stored.note.as_bytes()).ok();
                let head = signed.and_then(|signed| signed.verify([key]).ok().map(|(checkpoint, _)| checkpoint.head()));
                match head.filter(|head| head.size == stored.size) {
                    Some(head) => self.expect(&[head]),
                    None => self.finds(Check::Checkpoints, false, || {
                        format!("what is kept as checkpoint of {} entries is not signed for this log", stored.size)
                    }),
                }
            }
        }
    }

    fn expect(&mut self, heads: &[TreeHead]) {
        for head in heads {
            self.signed.entry(head.size).or_default().push(*head);
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
        let columns = row.event == leaf.event.as_bytes()
            && i64::try_from(leaf.at.0) == Ok(row.at)
            && row.kind == leaf.kind
            && row.outcome == i32::from(leaf.outcome.code())
            && row.exchange.as_deref() == leaf.exchange.as_ref().map(<[u8; 32]>::as_slice);
        let opened = match &row.openings {
            None => {
                self.erased.insert(place.seq, place);
                self.finds(Check::Openings, false, || format!("entry {seq} has no openings"));
                None
            }
            Some(json) => {
                let opened = serde_json::from_str::<Openings>(json).ok();
                let opened = opened.filter(|openings| openings.root() == leaf.disclosure);
                self.finds(Check::Openings, opened.is_some(), || {
                    format!("the openings of entry {seq} are not its own")
                });
                opened
            }
        };
        let Some(openings) = opened else {
            return self
                .finds(Check::Columns, columns, || format!("a column of entry {seq} is not what its leaf says"));
        };
        let text = |name| openings.text(name).ok().flatten();
        let names = Names { room: text("room"), actor: text("actor"), peer: text("peer") };
        let decision = text("decision").and_then(|id| id.parse::<Uuid>().ok());
        let columns = columns
            && DIMENSIONS.into_iter().all(|dimension| names.of(dimension) == row.names.of(dimension))
            && row.decision.as_deref() == decision.as_ref().map(|id| id.as_bytes().as_slice());
        self.finds(Check::Columns, columns, || {
            format!("a column of entry {seq} is not what its leaf and openings say")
        });
        self.pointers(seq, place, &names);
    }

    /// Lets the tree grow by a leaf, and compares it with what was signed at that size.
    fn grow(&mut self, leaf: Hash) {
        for span in self.edge.append([leaf]).into_iter().filter(|span| span.level > 0) {
            let at = span.index * u64::from(TILE_WIDTH) + u64::from(span.offset);
            self.nodes.push((span.level, at, span.bytes));
        }
        let head = self.edge.head();
        for signed in self.signed.remove(&head.size).unwrap_or_default() {
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
                good &= before(place, dimension).is_none();
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
        let (mut at, mut skipped) = (before(place, dimension), 0);
        while let Some(erased) = at.and_then(|at| self.erased.get(&at)) {
            let next = before(*erased, dimension);
            if next >= at {
                break; // it never was before itself
            }
            at = next;
            skipped += 1;
        }
        (at, skipped)
    }

    /// Compares the stored tree with the one over the leaves.
    fn nodes(&mut self, conn: &mut Conn) -> Result<(), StoreError> {
        let held = heads::look(conn, Head::Audit)?;
        let head = self.edge.head();
        self.finds(Check::Numbers, held.size == head.size, || {
            format!("the head counts {} entries, and {} are there", held.size, head.size)
        });
        // A log of before there were trees gets its tree with its next entry, and was never signed.
        let none =
            held.edge.is_empty() && self.findings.get(&Check::Checkpoints).is_none_or(|found| found.checked == 0);
        self.finds(Check::Tree, none || held.edge == tree::encode(&self.edge), || {
            "the head has another tree than the leaves".to_owned()
        });
        let query = audit_nodes::table.order((audit_nodes::level, audit_nodes::number)).select((
            audit_nodes::level,
            audit_nodes::number,
            audit_nodes::hash,
        ));
        let stored = db!(conn, |c| query.load::<(i32, i64, Vec<u8>)>(c))?;
        let mut expected = std::mem::take(&mut self.nodes);
        expected.sort();
        let expected = expected.into_iter().filter(|_| !none);
        let mut stored: BTreeMap<(i32, i64), Vec<u8>> =
            stored.into_iter().map(|(level, number, hash)| ((level, number), hash)).collect();
        for (level, number, hash) in expected {
            let found = stored.remove(&(level.into(), to_db(number)?));
            self.finds(Check::Tree, found == Some(hash), || format!("hash {number} of level {level} is another one"));
        }
        for (level, number) in stored.into_keys() {
            self.finds(Check::Tree, false, || format!("hash {number} of level {level} belongs to nothing"));
        }
        let missing = std::mem::take(&mut self.signed).into_keys().filter(|size| *size > 0);
        for size in missing {
            self.finds(Check::Checkpoints, false, || format!("{size} entries were signed, and so many are not there"));
        }
        Ok(())
    }

    fn ends(&mut self, conn: &mut Conn) -> Result<(), StoreError> {
        type Writer = (Vec<u8>, Vec<u8>, i64, Vec<u8>);
        let query = audit_writers::table.select((
            audit_writers::writer,
            audit_writers::public_key,
            audit_writers::next_seq,
            audit_writers::last_hash,
        ));
        let mut writers: BTreeMap<Vec<u8>, (Vec<u8>, i64, Vec<u8>)> = db!(conn, |c| query.load::<Writer>(c))?
            .into_iter()
            .map(|(writer, key, next, last)| (writer, (key, next, last)))
            .collect();
        for (writer, chain) in std::mem::take(&mut self.chains) {
            let end = (chain.public_key.to_vec(), to_db(chain.next)?, chain.last.to_vec());
            let found = writers.remove(writer.as_bytes().as_slice());
            self.finds(Check::Ends, found == Some(end), || format!("the chain of writer {writer} ends elsewhere"));
        }
        // A writer whose first records are still staged has a row, and nothing in the log.
        for (key, (_, next, _)) in writers {
            let writer = Uuid::from_slice(&key).unwrap_or_default();
            self.finds(Check::Ends, next == 0, || {
                format!("nothing of writer {writer} is there, who wrote {next} records")
            });
        }
        if !self.erased.is_empty() {
            return Ok(()); // whose the entries without openings are is not known
        }
        let query = audit_tails::table.select((
            audit_tails::dimension,
            audit_tails::name,
            audit_tails::number,
            audit_tails::seq,
        ));
        let mut tails: BTreeMap<(i32, String), (i64, i64)> = db!(conn, |c| query.load::<(i32, String, i64, i64)>(c))?
            .into_iter()
            .map(|(dimension, name, number, seq)| ((dimension, name), (number, seq)))
            .collect();
        for ((dimension, name), (number, seq)) in std::mem::take(&mut self.tails) {
            let found = tails.remove(&(dimension.code(), name.clone()));
            let end = (to_db(number)?, to_db(seq)?);
            self.finds(Check::Ends, found == Some(end), || format!("the records of `{name}` end elsewhere"));
        }
        for (_, name) in tails.into_keys() {
            self.finds(Check::Ends, false, || format!("nothing of `{name}` is there, of which there were records"));
        }
        Ok(())
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

/// The entry before it of the same room, actor or peer.
fn before(place: Place, dimension: Dimension) -> Option<u64> {
    match dimension {
        Dimension::Room => place.room.and_then(|(_, previous)| previous),
        Dimension::Actor => place.actor,
        Dimension::Peer => place.peer,
    }
}
