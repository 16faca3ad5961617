//! How records get into the log: with the transaction that they come from where nothing is in the way, else by the
//! sequencer, from the stage.

use portcullis_tlog::Hash;
use uuid::Uuid;

use super::chain::{self, Looking};
use super::known::Known;
use super::leaf::Leaf;
use super::tails::{Names, Searching, Tails};
use super::tree;
use crate::convert::to_db;
use crate::effects::Effects;
use crate::heads::{self, Head, Held, Seizing};
use crate::later::WriterRow;
use crate::turn::Turn;
use crate::{Conn, StoreError, Topic};

/// A record that its writer has chained, and signs when it is written.
pub(crate) struct Written {
    pub(crate) leaf: Leaf,
    pub(crate) core: Vec<u8>,
    pub(crate) openings: String,
    pub(crate) names: Names,
    pub(crate) decision: Option<Uuid>,
}

struct StageRow<'a> {
    core: &'a [u8],
    signature: &'a [u8],
    openings: &'a str,
}

row!(StageRow<'_> => audit_stage (core, signature, openings));

/// A record on its way into the log.
pub(super) struct Entry<'s> {
    pub(super) leaf: Leaf,
    pub(super) signature: &'s [u8],
    pub(super) openings: &'s str,
    pub(super) names: Names,
    pub(super) decision: Option<Uuid>,
}

/// What must be known of the log so that records can be put there at once.
pub(crate) struct Asking<'a> {
    first: &'a Leaf,
    head: Seizing,
    chain: Looking<'a>,
    tails: Searching<'a>,
}

impl<'a> Asking<'a> {
    /// `None` where the records must be staged: also where they are of more than one chain.
    pub(crate) fn new(conn: &Conn, records: &'a [Written], last: bool) -> Option<Self> {
        let (first, end) = (&records.first()?.leaf, &records.last()?.leaf);
        if first.writer != end.writer {
            return None;
        }
        let head = heads::seize(conn, Head::Audit, last)?;
        let tails = Searching::of(records.iter().map(|record| &record.names));
        Some(Self { first, head, chain: chain::look(&first.writer), tails })
    }

    pub(crate) fn ask(&'a self, turn: &mut Turn<'a>) {
        turn.add(&self.head);
        turn.add(&self.chain);
        turn.add(&self.tails);
    }

    /// Where the records go, if they may go there: they continue a chain whose records before them are there.
    pub(crate) fn answer(self) -> Result<Option<End>, StoreError> {
        let Some(held) = heads::seized(self.head)? else { return Ok(None) };
        // Making a tree anew takes time, and rooms are held here.
        if !tree::is_current(&held) || !chain::is_continued(self.chain.answer(), self.first)? {
            return Ok(None);
        }
        Ok(Some(End { held, tails: Tails::found(self.tails)? }))
    }
}

/// The end of the log, held.
pub(crate) struct End {
    held: Held,
    tails: Tails,
}

/// Puts what a lane has written, each with its signature, into the log where its end is held, or on the stage; with it the
/// writers that begin.
pub(crate) fn write<'a>(
    conn: &mut Conn,
    effects: &mut Effects<'a>,
    known: &Known,
    (mut begun, records): (Vec<WriterRow>, &'a [(Written, Vec<u8>)]),
    end: Option<End>,
) -> Result<Option<Topic>, StoreError> {
    let Some((last, _)) = records.last() else { return Ok(None) };
    if let Some(End { held, tails }) = end {
        chain::extend(effects, &mut begun, &last.leaf, &last.core)?;
        effects.insert(begun);
        place(conn, effects, held, tails, records.iter().map(Entry::from))?;
        return Ok(Some(Topic::Audit));
    }
    let row =
        |(Written { core, openings, .. }, signature): &'a (Written, Vec<u8>)| StageRow { core, signature, openings };
    let rows: Vec<StageRow<'a>> = records.iter().map(row).collect();
    for row in &rows {
        known.add(row.core, row.signature, row.openings);
    }
    effects.insert(begun);
    effects.insert(rows);
    Ok(Some(Topic::Staged))
}

impl<'s> From<&'s (Written, Vec<u8>)> for Entry<'s> {
    fn from((Written { leaf, core: _, openings, names, decision }, signature): &'s (Written, Vec<u8>)) -> Self {
        Self { leaf: leaf.clone(), signature, openings, names: names.clone(), decision: *decision }
    }
}

struct EntryRow<'s> {
    seq: i64,
    event: Vec<u8>,
    at: i64,
    kind: String,
    outcome: i64,
    room: Option<String>,
    actor: Option<String>,
    peer: Option<String>,
    decision: Option<Vec<u8>>,
    exchange: Option<Vec<u8>>,
    leaf: Vec<u8>,
    signature: &'s [u8],
}

row!(
    EntryRow<'_> => audit_entries
    (seq, event, at, kind, outcome, room, actor, peer, decision, exchange, leaf, signature)
);

struct OpeningsRow<'s> {
    seq: i64,
    openings: &'s str,
}

row!(OpeningsRow<'_> => audit_openings (seq, openings));

/// Writes the entries from the head on, lets the tree grow by them, and moves the head.
pub(super) fn place<'a>(
    conn: &mut Conn,
    effects: &mut Effects<'a>,
    held: Held,
    mut tails: Tails,
    entries: impl ExactSizeIterator<Item = Entry<'a>>,
) -> Result<(), StoreError> {
    let mut rows = Vec::with_capacity(entries.len());
    let mut openings = Vec::with_capacity(entries.len());
    for (seq, entry) in (held.size..).zip(entries) {
        let leaf = Leaf { place: Some(tails.append(seq, &entry.names)), ..entry.leaf };
        let encoded = leaf.encode().map_err(|_| StoreError::Corrupt("leaf"))?;
        rows.push(EntryRow {
            seq: to_db(seq)?,
            event: leaf.event.as_bytes().to_vec(),
            at: to_db(leaf.at.0)?,
            kind: leaf.kind,
            outcome: leaf.outcome.code().into(),
            room: entry.names.room,
            actor: entry.names.actor,
            peer: entry.names.peer,
            decision: entry.decision.map(|id| id.as_bytes().to_vec()),
            exchange: leaf.exchange.map(|hash| hash.to_vec()),
            leaf: encoded,
            signature: entry.signature,
        });
        openings.push(OpeningsRow { seq: to_db(seq)?, openings: entry.openings });
    }
    let size = held.size + rows.len() as u64;
    let (nodes, edge) = tree::append(conn, &held, rows.iter().map(|row| Hash::leaf(&row.leaf)))?;
    effects.insert(rows);
    effects.insert(openings);
    effects.insert(tails.into_rows()?);
    effects.insert(nodes);
    heads::advance(effects, Head::Audit, Held { size, edge })
}
