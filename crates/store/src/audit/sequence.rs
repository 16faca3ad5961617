//! The sequencer: gives what was staged its place, after the commit that staged it (correction C-4). Any number of them
//! may run: a row is moved once, under the lock on the head.

use data_encoding::HEXLOWER;
use diesel::prelude::*;
use portcullis_core::time::Millis;
use serde_json::json;
use uuid::Uuid;

use super::chain::{Chains, Finding};
use super::commitment::Openings;
use super::leaf::Leaf;
use super::place::{Entry, place};
use super::record::{AuditRecord, Outcome};
use super::tails::{Names, Searching, Tails};
use crate::effects::Effects;
use crate::failpoint::failpoint;
use crate::heads::{self, Head};
use crate::schema::audit_stage;
use crate::turn::Turn;
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

struct Staged {
    id: i64,
    core: Vec<u8>,
    signature: Vec<u8>,
    openings: Vec<u8>,
}

fn staged(conn: &mut Conn, limit: i64) -> Result<Vec<Staged>, StoreError> {
    type Row = (i64, Vec<u8>, Vec<u8>, Vec<u8>);
    let query = audit_stage::table.order(audit_stage::id).limit(limit).select((
        audit_stage::id,
        audit_stage::core,
        audit_stage::signature,
        audit_stage::openings,
    ));
    let rows = db!(conn, |c| query.load::<Row>(c))?;
    Ok(rows.into_iter().map(|(id, core, signature, openings)| Staged { id, core, signature, openings }).collect())
}

fn audit(tx: &mut Tx<'_>, limit: i64, now: Millis) -> Result<(usize, usize), StoreError> {
    let oldest = audit_stage::table.select(audit_stage::id).limit(1);
    if limit == 0 || db!(tx, |c| oldest.first::<i64>(c).optional())?.is_none() {
        return Ok((0, 0)); // so that an idle sequencer writes nothing
    }
    let held = heads::lock(tx, Head::Audit)?;
    let staged = staged(tx, limit)?;
    let accepted = check(tx, &staged, now)?;
    let entries = accepted.len();
    if entries > 0 {
        let names = Searching::of(accepted.iter().map(|entry| &entry.names));
        let mut turn = Turn::default();
        turn.add(&names);
        tx.send(&turn).map_err(|(_, error)| error)?;
        drop(turn);
        let mut effects = Effects::default();
        place(tx, &mut effects, held, Tails::found(names)?, accepted.into_iter())?;
        tx.write(effects)?;
    }
    let ids = staged.iter().map(|row| row.id).collect::<Vec<_>>();
    let moved = audit_stage::table.filter(audit_stage::id.eq_any(ids));
    db!(tx, |c| diesel::delete(moved).execute(c))?;
    if entries > 0 {
        tx.touch(Topic::Audit);
    }
    Ok((entries, staged.len() - entries))
}

/// Sorts out what is not what its writer wrote, and stages a record about each gap and each stranger.
fn check<'s>(tx: &mut Tx<'_>, staged: &'s [Staged], now: Millis) -> Result<Vec<Entry<'s>>, StoreError> {
    let mut writers: Vec<Uuid> =
        staged.iter().filter_map(|row| Leaf::decode(&row.core).ok()).map(|leaf| leaf.writer).collect();
    writers.sort_unstable();
    writers.dedup();
    let mut chains = Chains::load(tx, &writers)?;
    let mut accepted = Vec::with_capacity(staged.len());
    for row in staged {
        let own = tx.wrote(&row.core, &row.signature, &row.openings);
        let finding = chains.check(&row.core, &row.signature, own);
        let opened = Openings::decode(&row.openings).ok();
        let (leaf, gap) = match finding {
            Finding::Good(leaf) => (Some(leaf), None),
            Finding::Gap(leaf) => {
                let detail = json!({ "writer": leaf.writer, "found": leaf.writer_seq });
                (Some(leaf), Some(("missing", detail)))
            }
            Finding::Forged => {
                tx.renew_chain(); // it may be this lane's own chain that is not believed
                let openings = Some(&row.openings).filter(|openings| openings.len() <= MAX_KEPT_BYTES);
                let openings = openings.map_or_else(|| "too long".to_owned(), |openings| HEXLOWER.encode(openings));
                (None, Some(("forged", json!({ "core": HEXLOWER.encode(&row.core), "openings": openings }))))
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
            accepted.push(Entry { leaf, signature: &row.signature, openings: &row.openings, names });
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
