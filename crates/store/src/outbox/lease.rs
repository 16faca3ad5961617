use std::time::Duration;

use diesel::dsl::min;
use diesel::prelude::*;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{Domain, RoomUri};

use super::lane::{COLUMNS, LaneStatus, Owed, Row, lane, read};
use crate::convert::{millis, number, time, to_db};
use crate::events::unsealed;
use crate::failpoint::failpoint;
use crate::schema::{events, outbox_items, outbox_lanes};
use crate::standings::blocked;
use crate::{Conn, StoreError, Topic, Tx};

/// Most messages of a batch (reading D-38).
pub const MAX_BATCH_MESSAGES: u32 = 256;
/// Most octets of a batch, unless its first message alone is longer (reading D-38).
pub const MAX_BATCH_BYTES: u64 = 1024 * 1024;

/// Lanes that are looked at before a lease gives up for now: others may be taking the same ones.
const CANDIDATES: i64 = 16;

/// The next messages of a lane, held by one sender. However often they are tried, `body` stays the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The room.
    pub room: RoomUri,
    /// Who is owed them.
    pub peer: Domain,
    /// The provider of ours that sends.
    pub as_domain: Domain,
    /// How often they were tried before.
    pub attempts: u64,
    /// When they were tried first; this time when not before.
    pub first_tried: Millis,
    /// The messages.
    pub items: Vec<Owed>,
    /// Their FanoutMessages, one after the other.
    pub body: Vec<u8>,
    lease: u64,
}

/// Takes the lane that has been due for longest, for `ttl`, and freezes its next batch; `None` when none is due. While it is held, nobody
/// else gets this lane. Lanes to the peers in `passed_over` are left for later, and lanes to blocked providers are never
/// due. A lane that cannot be read is parked.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn lease(
    tx: &mut Tx<'_>,
    now: Millis,
    owner: &str,
    ttl: Duration,
    passed_over: &[Domain],
) -> Result<Option<Batch>, StoreError> {
    let due = outbox_lanes::table
        .filter(outbox_lanes::head.lt(outbox_lanes::tail))
        .filter(outbox_lanes::status.eq(LaneStatus::Open.code()))
        .filter(outbox_lanes::attempts.eq(0_i64).or(outbox_lanes::next_at.le(time(now)?)))
        .filter(outbox_lanes::lease_until.le(time(now)?))
        .filter(outbox_lanes::peer.ne_all(passed_over.iter().map(Domain::as_str)))
        .filter(outbox_lanes::peer.ne_all(blocked()))
        .order(outbox_lanes::next_at)
        .limit(CANDIDATES)
        .select((outbox_lanes::room, outbox_lanes::peer, outbox_lanes::lease));
    for (room, peer, last) in db!(tx, |c| due.load::<(String, String, i64)>(c))? {
        let free = lane(room.as_str(), peer.as_str())
            .filter(outbox_lanes::lease.eq(last))
            .filter(outbox_lanes::status.eq(LaneStatus::Open.code()));
        let held = (
            outbox_lanes::lease.eq(last + 1),
            outbox_lanes::lease_owner.eq(owner),
            outbox_lanes::lease_until.eq(time(now.plus(ttl))?),
        );
        if db!(tx, |c| diesel::update(free).set(held).execute(c))? == 1 {
            match freeze(tx, &room, &peer, number(last + 1)?, now) {
                Ok(batch) => {
                    failpoint("outbox.leased");
                    return Ok(Some(batch));
                }
                Err(StoreError::Corrupt(what)) => set_aside(tx, &room, &peer, what)?,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(None)
}

/// When a lane is due next, as far as is known; `None` when nothing is owed to anybody but those `passed_over`. For
/// sleeping until then.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn next_due(conn: &mut Conn, passed_over: &[Domain]) -> Result<Option<Millis>, StoreError> {
    let open = || {
        outbox_lanes::table
            .filter(outbox_lanes::head.lt(outbox_lanes::tail))
            .filter(outbox_lanes::status.eq(LaneStatus::Open.code()))
            .filter(outbox_lanes::peer.ne_all(passed_over.iter().map(Domain::as_str)))
            .filter(outbox_lanes::peer.ne_all(blocked()))
    };
    let waits = || outbox_lanes::attempts.gt(0_i64).and(outbox_lanes::next_at.ge(outbox_lanes::lease_until));
    let retried = open().filter(waits()).select(min(outbox_lanes::next_at));
    let held = open().filter(diesel::dsl::not(waits())).select(min(outbox_lanes::lease_until));
    let retried = db!(conn, |c| retried.first::<Option<i64>>(c))?;
    let held = db!(conn, |c| held.first::<Option<i64>>(c))?;
    retried.into_iter().chain(held).min().map(millis).transpose()
}

/// The peer took the batch: it is owed no more, and the lane is free for the next one, behind all that have waited longer.
///
/// # Errors
///
/// [`StoreError::LeaseLost`] when the lease ran out and somebody else took the lane; the batch is sent again then, and
/// the peer drops what it has seen.
pub fn acknowledge(tx: &mut Tx<'_>, batch: &Batch, now: Millis) -> Result<(), StoreError> {
    failpoint("outbox.before_acknowledge");
    let last = to_db(batch.items.last().map_or(0, |item| item.position))?;
    let held = lane(batch.room.as_str(), batch.peer.as_str()).filter(outbox_lanes::lease.eq(to_db(batch.lease)?));
    let changes = (
        outbox_lanes::head.eq(last),
        outbox_lanes::attempts.eq(0_i64),
        outbox_lanes::first_tried.eq(0_i64),
        outbox_lanes::next_at.eq(time(now)?),
        outbox_lanes::lease_until.eq(0_i64),
        outbox_lanes::http_status.eq(0_i32),
        outbox_lanes::error.eq(""),
    );
    if db!(tx, |c| diesel::update(held).set(changes).execute(c))? == 0 {
        return Err(StoreError::LeaseLost);
    }
    tx.touch(Topic::Outbox);
    Ok(())
}

/// The batch did not get through for now: it is due again at `next_at`.
///
/// # Errors
///
/// [`StoreError::LeaseLost`].
pub fn postpone(tx: &mut Tx<'_>, batch: &Batch, next_at: Millis, error: &str) -> Result<(), StoreError> {
    let changes = (
        outbox_lanes::attempts.eq(outbox_lanes::attempts + 1),
        outbox_lanes::next_at.eq(time(next_at)?),
        outbox_lanes::lease_until.eq(0_i64),
        outbox_lanes::error.eq(error),
    );
    let held = lane(batch.room.as_str(), batch.peer.as_str()).filter(outbox_lanes::lease.eq(to_db(batch.lease)?));
    if db!(tx, |c| diesel::update(held).set(changes).execute(c))? == 0 {
        return Err(StoreError::LeaseLost);
    }
    tx.touch(Topic::Outbox);
    Ok(())
}

/// The peer refused a batch of several for good: its first message is tried alone, at once, so that only what is refused
/// stands in the way. The bytes of a batch may change here, for a refused one had no effect.
///
/// # Errors
///
/// [`StoreError::LeaseLost`].
pub fn single_out(tx: &mut Tx<'_>, batch: &Batch, error: &str) -> Result<(), StoreError> {
    let first = to_db(batch.items.first().map_or(0, |item| item.position))?;
    let changes = (
        outbox_lanes::frozen.eq(first),
        outbox_lanes::attempts.eq(0_i64),
        outbox_lanes::next_at.eq(0_i64),
        outbox_lanes::lease_until.eq(0_i64),
        outbox_lanes::error.eq(error),
    );
    let held = lane(batch.room.as_str(), batch.peer.as_str()).filter(outbox_lanes::lease.eq(to_db(batch.lease)?));
    if db!(tx, |c| diesel::update(held).set(changes).execute(c))? == 0 {
        return Err(StoreError::LeaseLost);
    }
    tx.touch(Topic::Outbox);
    Ok(())
}

/// The peer refused the batch for good, or was away too long: the lane stops until a person decides. Nothing is dropped
/// and nothing overtakes.
///
/// # Errors
///
/// [`StoreError::LeaseLost`].
pub fn park(tx: &mut Tx<'_>, batch: &Batch, http_status: u16, reason: &str) -> Result<(), StoreError> {
    let changes = (
        outbox_lanes::status.eq(LaneStatus::Parked.code()),
        outbox_lanes::attempts.eq(outbox_lanes::attempts + 1),
        outbox_lanes::lease_until.eq(0_i64),
        outbox_lanes::http_status.eq(i32::from(http_status)),
        outbox_lanes::error.eq(reason),
    );
    let held = lane(batch.room.as_str(), batch.peer.as_str()).filter(outbox_lanes::lease.eq(to_db(batch.lease)?));
    if db!(tx, |c| diesel::update(held).set(changes).execute(c))? == 0 {
        return Err(StoreError::LeaseLost);
    }
    tx.touch(Topic::Outbox);
    Ok(())
}

/// Parks a lane that cannot be read, so that it holds up no other.
fn set_aside(tx: &mut Tx<'_>, room: &str, peer: &str, what: &'static str) -> Result<(), StoreError> {
    tracing::error!(room, peer, what, "lane to `{peer}` cannot be read and is parked");
    let changes = (
        outbox_lanes::status.eq(LaneStatus::Parked.code()),
        outbox_lanes::frozen.eq(0_i64),
        outbox_lanes::lease_until.eq(0_i64),
        outbox_lanes::error.eq(StoreError::Corrupt(what).to_string()),
    );
    db!(tx, |c| diesel::update(lane(room, peer)).set(changes).execute(c))?;
    tx.touch(Topic::Outbox);
    Ok(())
}

/// Gathers the batch of a lane that was just taken: the frozen one, or a new one that is frozen from now on.
fn freeze(tx: &mut Tx<'_>, room: &str, peer: &str, lease: u64, now: Millis) -> Result<Batch, StoreError> {
    let state = db!(tx, |c| lane(room, peer).select(COLUMNS).first::<Row>(c))?;
    let state = read(state)?;
    let again = state.frozen > state.head;
    let items = outbox_items::table
        .filter(outbox_items::room.eq(room))
        .filter(outbox_items::peer.eq(peer))
        .filter(outbox_items::position.gt(to_db(state.head)?))
        .filter(outbox_items::position.le(to_db(if again { state.frozen } else { state.tail })?))
        .order(outbox_items::position)
        .limit(MAX_BATCH_MESSAGES.into())
        .select((outbox_items::position, outbox_items::seq, outbox_items::bytes));
    let rows = db!(tx, |c| items.load::<(i64, i64, i64)>(c))?;
    let mut items: Vec<Owed> = Vec::with_capacity(rows.len());
    let mut total: u64 = 0;
    for (position, seq, bytes) in rows {
        let owed = Owed { position: number(position)?, seq: number(seq)?, bytes: number(bytes)? };
        total = total.saturating_add(owed.bytes);
        if !again && !items.is_empty() && total > MAX_BATCH_BYTES {
            break;
        }
        items.push(owed);
    }
    let last = items.last().ok_or(StoreError::Corrupt("outbox lane"))?.position;
    let first_tried = if again { state.first_tried } else { now };
    if !again {
        let changes = (outbox_lanes::frozen.eq(to_db(last)?), outbox_lanes::first_tried.eq(time(now)?));
        db!(tx, |c| diesel::update(lane(room, peer)).set(changes).execute(c))?;
    }
    let body = body(tx, room, &items)?;
    let (room, peer, as_domain) = (state.room, state.peer, state.as_domain);
    Ok(Batch { room, peer, as_domain, attempts: state.attempts, first_tried, items, body, lease })
}

/// The bytes of the events, which never change, in the order of the lane.
fn body(tx: &mut Tx<'_>, room: &str, items: &[Owed]) -> Result<Vec<u8>, StoreError> {
    let numbers = items.iter().map(|item| to_db(item.seq)).collect::<Result<Vec<_>, _>>()?;
    let query = events::table
        .filter(events::room.eq(room))
        .filter(events::seq.eq_any(numbers.clone()))
        .select((events::seq, events::fanout));
    let mut fanout: std::collections::BTreeMap<i64, Vec<u8>> =
        db!(tx, |c| query.load::<(i64, Vec<u8>)>(c))?.into_iter().collect();
    let mut body = Vec::new();
    for seq in &numbers {
        let stored = fanout.remove(seq).ok_or(StoreError::Corrupt("event"))?;
        body.append(&mut unsealed(tx, room, number(*seq)?, stored)?);
    }
    Ok(body)
}
