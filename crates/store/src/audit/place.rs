//! How records get into the log: with the transaction that they come from where nothing is in the way, else by the
//! sequencer, from the stage.

use diesel::prelude::*;
use portcullis_tlog::Hash;
use uuid::Uuid;

use super::chain;
use super::known::Known;
use super::leaf::Leaf;
use super::tails::{Names, Tails};
use super::tree;
use crate::convert::to_db;
use crate::heads::{self, Head, Held};
use crate::schema::{audit_entries, audit_openings, audit_stage};
use crate::{Conn, StoreError, Topic};

/// A record that its writer has chained, and signs when it is written.
pub(crate) struct Written {
    pub(crate) leaf: Leaf,
    pub(crate) core: Vec<u8>,
    pub(crate) openings: String,
    pub(crate) names: Names,
    pub(crate) decision: Option<Uuid>,
}

#[derive(Insertable)]
#[diesel(table_name = audit_stage)]
struct StageRow {
    core: Vec<u8>,
    signature: Vec<u8>,
    openings: String,
}

/// A record on its way into the log.
pub(super) struct Entry<'s> {
    pub(super) leaf: Leaf,
    pub(super) signature: &'s [u8],
    pub(super) openings: &'s str,
    pub(super) names: Names,
    pub(super) decision: Option<Uuid>,
}

/// Puts what a lane has written, each with its signature, into the log at once, or on the stage.
pub(crate) fn write(
    conn: &mut Conn,
    known: &Known,
    records: Vec<(Written, Vec<u8>)>,
    last: bool,
) -> Result<Option<Topic>, StoreError> {
    if records.is_empty() {
        return Ok(None);
    }
    if let Some(held) = head_for(conn, &records, last)? {
        let entries: Vec<Entry<'_>> = records.iter().map(Entry::from).collect();
        place(conn, &held, entries)?;
        return Ok(Some(Topic::Audit));
    }
    let row = |(Written { core, openings, .. }, signature)| StageRow { core, signature, openings };
    let rows: Vec<StageRow> = records.into_iter().map(row).collect();
    for row in &rows {
        known.add(&row.core, &row.signature, &row.openings);
    }
    insert_rows!(conn, audit_stage::table, rows)?;
    Ok(Some(Topic::Staged))
}

/// The head of the log, if the records may go there: they continue a chain whose records before them are there.
fn head_for(conn: &mut Conn, records: &[(Written, Vec<u8>)], before_commit: bool) -> Result<Option<Held>, StoreError> {
    let (Some((first, _)), Some((last, _))) = (records.first(), records.last()) else { return Ok(None) };
    if first.leaf.writer != last.leaf.writer {
        return Ok(None);
    }
    let Some(held) = heads::seize(conn, Head::Audit, before_commit)? else { return Ok(None) };
    if !tree::is_current(&held) {
        return Ok(None); // making it anew takes time, and rooms are held here
    }
    Ok(chain::extend(conn, &first.leaf, (&last.leaf, &last.core))?.then_some(held))
}

impl<'s> From<&'s (Written, Vec<u8>)> for Entry<'s> {
    fn from((Written { leaf, core: _, openings, names, decision }, signature): &'s (Written, Vec<u8>)) -> Self {
        Self { leaf: leaf.clone(), signature, openings, names: names.clone(), decision: *decision }
    }
}

/// What is not there is written as NULL, so that the statement is the same for all rows and prepared once.
#[derive(Insertable)]
#[diesel(table_name = audit_entries, treat_none_as_default_value = false)]
struct EntryRow<'s> {
    seq: i64,
    event: Vec<u8>,
    at: i64,
    kind: String,
    outcome: i32,
    room: Option<String>,
    actor: Option<String>,
    peer: Option<String>,
    decision: Option<Vec<u8>>,
    exchange: Option<Vec<u8>>,
    leaf: Vec<u8>,
    signature: &'s [u8],
}

#[derive(Insertable)]
#[diesel(table_name = audit_openings)]
struct OpeningsRow<'s> {
    seq: i64,
    openings: &'s str,
}

/// Writes the entries from the head on, lets the tree grow by them, and moves the head.
pub(super) fn place(conn: &mut Conn, held: &Held, entries: Vec<Entry<'_>>) -> Result<(), StoreError> {
    let mut tails = Tails::load(conn, entries.iter().map(|entry| &entry.names))?;
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
            outcome: i32::from(leaf.outcome.code()),
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
    insert_rows!(conn, audit_entries::table, rows)?;
    insert_rows!(conn, audit_openings::table, openings)?;
    tails.store(conn)?;
    let size = held.size + rows.len() as u64;
    let edge = tree::append(conn, held, rows.iter().map(|row| Hash::leaf(&row.leaf)))?;
    heads::advance(conn, Head::Audit, &Held { size, edge })
}
