//! The sequencer: gives what was staged its place, after the commit that staged it (correction C-4).
//!
//! Numbers that a database hands out before a commit become visible out of order, so that whoever reads "everything
//! after 7" loses rows. Here a row gets its number when it is moved, under a lock on the head that only one sequencer
//! holds: numbers have no gaps, nothing appears before what is there already, and a row is moved once.

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use portcullis_core::time::Millis;
use serde_json::json;
use uuid::Uuid;

use super::chain::{Chains, Finding};
use super::commitment::{Openings, hex};
use super::leaf::Leaf;
use super::record::{AuditRecord, Outcome};
use super::tails::{Names, Tails};
use crate::convert::{number, to_db};
use crate::failpoint::failpoint;
use crate::fixed::{Bind, fixed};
use crate::schema::{audit_entries, audit_openings, audit_stage};
use crate::{Conn, SEQUENCER, Store, StoreError, Topic, Tx, streams};

/// Most rows of either kind that one call moves.
pub const MAX_SEQUENCED: u32 = 1000;

/// Longest openings of a refused record that are kept in the record about it, in octets.
const MAX_KEPT_BYTES: usize = 64 * 1024;

/// How many rows were moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sequenced {
    /// Audit records that are in the log now.
    pub entries: usize,
    /// Stream rows that have their position now.
    pub stream_rows: usize,
    /// Staged audit records that were not what their writer wrote; each is named by an `audit.gap` record.
    pub refused: usize,
}

/// Moves what is staged, at most `limit` and [`MAX_SEQUENCED`] rows of each kind. Any number of sequencers may run, in
/// any number of processes. `now` stands in the records that tell of gaps. Blocks.
///
/// # Errors
///
/// As [`Store::write`].
pub fn sequence(store: &Store, limit: u32, now: Millis) -> Result<Sequenced, StoreError> {
    store.write(SEQUENCER, move |tx| run(tx, limit, now))
}

/// As [`sequence`], for async code.
///
/// # Errors
///
/// As [`Store::write`].
pub async fn sequence_async(store: &Store, limit: u32, now: Millis) -> Result<Sequenced, StoreError> {
    store.write_async(SEQUENCER, move |tx| run(tx, limit, now)).await
}

fn run(tx: &mut Tx<'_>, limit: u32, now: Millis) -> Result<Sequenced, StoreError> {
    let limit = i64::from(limit.min(MAX_SEQUENCED));
    let (entries, refused) = audit(tx, limit, now)?;
    let stream_rows = streams::sequence(tx, limit)?;
    if entries + refused + stream_rows > 0 {
        failpoint("sequence.before_commit");
    }
    Ok(Sequenced { entries, stream_rows, refused })
}

/// Holds the head until the transaction ends, and gives the number of rows before it.
pub(crate) fn lock_head(conn: &mut Conn, name: &str) -> Result<u64, StoreError> {
    let parts = &["UPDATE heads SET size = size WHERE name = ", " RETURNING size"];
    let statement = fixed::<BigInt>(parts, [Bind::Text(name)]);
    number(db!(conn, |c| statement.get_result::<i64>(c))?)
}

pub(crate) fn move_head(conn: &mut Conn, name: &str, size: u64) -> Result<(), StoreError> {
    let parts = &["UPDATE heads SET size = ", " WHERE name = ", ""];
    let statement = fixed::<()>(parts, [Bind::Number(to_db(size)?), Bind::Text(name)]);
    db!(conn, |c| statement.execute(c))?;
    Ok(())
}

struct Staged {
    id: i64,
    core: Vec<u8>,
    signature: Vec<u8>,
    openings: String,
}

fn staged(conn: &mut Conn, limit: i64) -> Result<Vec<Staged>, StoreError> {
    type Row = (i64, Vec<u8>, Vec<u8>, String);
    let query = audit_stage::table.order(audit_stage::id).limit(limit).select((
        audit_stage::id,
        audit_stage::core,
        audit_stage::signature,
        audit_stage::openings,
    ));
    let rows = db!(conn, |c| query.load::<Row>(c))?;
    Ok(rows.into_iter().map(|(id, core, signature, openings)| Staged { id, core, signature, openings }).collect())
}

/// A staged record that goes into the log.
struct Accepted<'s> {
    leaf: Leaf,
    openings: Openings,
    names: Names,
    staged: &'s Staged,
}

fn audit(tx: &mut Tx<'_>, limit: i64, now: Millis) -> Result<(usize, usize), StoreError> {
    let oldest = audit_stage::table.select(audit_stage::id).limit(1);
    if limit == 0 || db!(tx, |c| oldest.first::<i64>(c).optional())?.is_none() {
        return Ok((0, 0)); // so that an idle sequencer writes nothing
    }
    let size = lock_head(tx, "audit")?;
    let staged = staged(tx, limit)?;
    let accepted = check(tx, &staged, now)?;
    let entries = place(tx, size, &accepted)?;
    let ids = staged.iter().map(|row| row.id).collect::<Vec<_>>();
    let moved = audit_stage::table.filter(audit_stage::id.eq_any(ids));
    db!(tx, |c| diesel::delete(moved).execute(c))?;
    if entries > 0 {
        tx.touch(Topic::Audit);
    }
    Ok((entries, staged.len() - entries))
}

/// Sorts out what is not what its writer wrote, and stages a record about each gap and each stranger.
fn check<'s>(tx: &mut Tx<'_>, staged: &'s [Staged], now: Millis) -> Result<Vec<Accepted<'s>>, StoreError> {
    let mut writers: Vec<Uuid> =
        staged.iter().filter_map(|row| Leaf::decode(&row.core).ok()).map(|leaf| leaf.writer).collect();
    writers.sort_unstable();
    writers.dedup();
    let mut chains = Chains::load(tx, &writers)?;
    let mut accepted = Vec::with_capacity(staged.len());
    for row in staged {
        let own = tx.wrote(&row.core, &row.signature, &row.openings);
        let finding = chains.check(&row.core, &row.signature, own);
        let opened = serde_json::from_str::<Openings>(&row.openings).ok();
        let (leaf, gap) = match finding {
            Finding::Good(leaf) => (Some(leaf), None),
            Finding::Gap(leaf) => {
                let detail = json!({ "writer": leaf.writer, "found": leaf.writer_seq });
                (Some(leaf), Some(("missing", detail)))
            }
            Finding::Forged => {
                tx.renew_chain(); // it may be this lane's own chain that is not believed
                let openings = if row.openings.len() <= MAX_KEPT_BYTES { row.openings.as_str() } else { "too long" };
                (None, Some(("forged", json!({ "core": hex(&row.core), "openings": openings }))))
            }
        };
        let openings = match (&leaf, opened) {
            (Some(leaf), Some(openings)) if own || openings.root() == leaf.disclosure => openings,
            (Some(leaf), _) => {
                report(tx, "openings", json!({ "event": leaf.event }), now)?;
                Openings::default()
            }
            (None, _) => Openings::default(),
        };
        if let Some((reason, detail)) = gap {
            report(tx, reason, detail, now)?;
        }
        if let Some(leaf) = leaf {
            let names =
                Names { room: openings.text("room")?, actor: openings.text("actor")?, peer: openings.text("peer")? };
            accepted.push(Accepted { leaf, openings, names, staged: row });
        }
    }
    chains.store(tx)?;
    Ok(accepted)
}

fn report(tx: &mut Tx<'_>, reason: &str, detail: serde_json::Value, now: Millis) -> Result<(), StoreError> {
    tracing::error!(reason, %detail, "audit chain is broken");
    let mut record = AuditRecord::new(Uuid::now_v7(), now, "audit.gap", Outcome::Error);
    record.reason = reason.to_owned();
    record.detail = detail;
    tx.stage(&record)
}

/// Writes the accepted records from number `size` on and moves the head.
fn place(tx: &mut Tx<'_>, size: u64, accepted: &[Accepted<'_>]) -> Result<usize, StoreError> {
    let names: Vec<Names> = accepted.iter().map(|entry| entry.names.clone()).collect();
    let mut tails = Tails::load(tx, &names)?;
    let mut entries = Vec::with_capacity(accepted.len());
    let mut openings = Vec::with_capacity(accepted.len());
    for (seq, entry) in (size..).zip(accepted) {
        let mut leaf = entry.leaf.clone();
        leaf.place = Some(tails.append(seq, &entry.names));
        let encoded = leaf.encode().map_err(|_| StoreError::Corrupt("leaf"))?;
        let decision = entry.openings.text("decision")?.and_then(|id| id.parse::<Uuid>().ok());
        entries.push((
            audit_entries::seq.eq(to_db(seq)?),
            audit_entries::event.eq(leaf.event.as_bytes().to_vec()),
            audit_entries::at.eq(to_db(leaf.at.0)?),
            audit_entries::kind.eq(leaf.kind),
            audit_entries::outcome.eq(i32::from(leaf.outcome.code())),
            audit_entries::room.eq(entry.names.room.clone()),
            audit_entries::actor.eq(entry.names.actor.clone()),
            audit_entries::peer.eq(entry.names.peer.clone()),
            audit_entries::decision.eq(decision.map(|id| id.as_bytes().to_vec())),
            audit_entries::exchange.eq(leaf.exchange.map(|hash| hash.to_vec())),
            audit_entries::leaf.eq(encoded),
            audit_entries::signature.eq(entry.staged.signature.clone()),
        ));
        openings.push((audit_openings::seq.eq(to_db(seq)?), audit_openings::openings.eq(&entry.staged.openings)));
    }
    if accepted.is_empty() {
        return Ok(0);
    }
    insert_rows!(tx, audit_entries::table, entries)?;
    insert_rows!(tx, audit_openings::table, openings)?;
    tails.store(tx)?;
    move_head(tx, "audit", size + accepted.len() as u64)?;
    Ok(accepted.len())
}
