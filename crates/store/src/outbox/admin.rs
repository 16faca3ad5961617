//! What people do with lanes.

use diesel::prelude::*;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{Domain, RoomUri};
use serde_json::json;
use uuid::Uuid;

use super::enqueue;
use super::lane::{COLUMNS, LaneRow, LaneStatus, Owed, Row, lane, read};
use crate::audit::{AuditRecord, Outcome};
use crate::convert::{domain, number, time, to_db};
use crate::schema::{outbox_items, outbox_lanes};
use crate::{Conn, StoreError, Topic, Tx};

/// All lanes that owe something, the parked ones first.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn lanes(conn: &mut Conn, limit: u32) -> Result<Vec<LaneRow>, StoreError> {
    let query = outbox_lanes::table
        .filter(outbox_lanes::head.lt(outbox_lanes::tail))
        .order((outbox_lanes::status.desc(), outbox_lanes::room, outbox_lanes::peer))
        .limit(limit.into())
        .select(COLUMNS);
    db!(conn, |c| query.load::<Row>(c))?.into_iter().map(read).collect()
}

/// What a lane owes, in its order.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn pending(conn: &mut Conn, room: &RoomUri, peer: &Domain, limit: u32) -> Result<Vec<Owed>, StoreError> {
    let head = lane(room.as_str(), peer.as_str()).select(outbox_lanes::head);
    let head = db!(conn, |c| head.first::<i64>(c).optional())?.unwrap_or(0);
    let query = outbox_items::table
        .filter(outbox_items::room.eq(room.as_str()))
        .filter(outbox_items::peer.eq(peer.as_str()))
        .filter(outbox_items::position.gt(head))
        .order(outbox_items::position)
        .limit(limit.into())
        .select((outbox_items::position, outbox_items::seq, outbox_items::bytes));
    db!(conn, |c| query.load::<(i64, i64, i64)>(c))?
        .into_iter()
        .map(|(position, seq, bytes)| {
            Ok(Owed { position: number(position)?, seq: number(seq)?, bytes: number(bytes)? })
        })
        .collect()
}

/// Opens a parked lane, or makes a postponed one due at once: the same batch is tried again.
///
/// # Errors
///
/// [`StoreError::Missing`] when there is no such lane.
pub fn retry(tx: &mut Tx<'_>, room: &RoomUri, peer: &Domain, now: Millis) -> Result<(), StoreError> {
    let changes = (
        outbox_lanes::status.eq(LaneStatus::Open.code()),
        outbox_lanes::attempts.eq(0_i64),
        outbox_lanes::next_at.eq(time(now)?),
        outbox_lanes::first_tried.eq(time(now)?),
    );
    if db!(tx, |c| diesel::update(lane(room.as_str(), peer.as_str())).set(changes).execute(c))? == 0 {
        return Err(StoreError::Missing);
    }
    tx.touch(Topic::Outbox);
    Ok(())
}

/// Gives up the messages of a parked lane up to position `through`, and opens it for those after. The log keeps who did
/// it, why, and which events they were.
///
/// # Errors
///
/// [`StoreError::Missing`] when the lane is not parked or owes nothing up to that position.
pub fn skip(
    tx: &mut Tx<'_>,
    room: &RoomUri,
    peer: &Domain,
    through: u64,
    reason: &str,
    who: &str,
    now: Millis,
) -> Result<(), StoreError> {
    let parked = lane(room.as_str(), peer.as_str())
        .filter(outbox_lanes::status.eq(LaneStatus::Parked.code()))
        .filter(outbox_lanes::head.lt(to_db(through)?))
        .filter(outbox_lanes::tail.ge(to_db(through)?));
    let from = db!(tx, |c| parked.select(outbox_lanes::head).first::<i64>(c).optional())?;
    let from = from.ok_or(StoreError::Missing)?;
    let changes = (
        outbox_lanes::head.eq(to_db(through)?),
        outbox_lanes::frozen.eq(0_i64),
        outbox_lanes::status.eq(LaneStatus::Open.code()),
        outbox_lanes::attempts.eq(0_i64),
        outbox_lanes::next_at.eq(time(now)?),
        outbox_lanes::http_status.eq(0_i32),
        outbox_lanes::error.eq(""),
    );
    if db!(tx, |c| diesel::update(parked.filter(outbox_lanes::head.eq(from))).set(changes).execute(c))? == 0 {
        return Err(StoreError::Missing);
    }
    let given_up = outbox_items::table
        .filter(outbox_items::room.eq(room.as_str()))
        .filter(outbox_items::peer.eq(peer.as_str()))
        .filter(outbox_items::position.gt(from))
        .filter(outbox_items::position.le(to_db(through)?))
        .order(outbox_items::position)
        .select(outbox_items::seq);
    let events = db!(tx, |c| given_up.load::<i64>(c))?;
    let mut record = AuditRecord::new(Uuid::now_v7(), now, "outbox.skip", Outcome::Info);
    record.room = Some(room.clone());
    record.peer = Some(peer.clone());
    record.actor = Some(who.to_owned());
    record.reason = reason.to_owned();
    record.detail = json!({ "through": through, "events": events });
    tx.stage(&record)?;
    tx.touch(Topic::Outbox);
    Ok(())
}

/// Owes a peer once more what it was ever owed of the room's events from number `from` on, after all that it is owed now.
/// The bytes are the same, so that the peer drops what it has. Gives the number of messages.
///
/// # Errors
///
/// [`StoreError::Missing`] when there is no such lane.
pub fn resend(tx: &mut Tx<'_>, room: &RoomUri, peer: &Domain, from: u64) -> Result<usize, StoreError> {
    let as_domain = lane(room.as_str(), peer.as_str()).select(outbox_lanes::as_domain);
    let as_domain = db!(tx, |c| as_domain.first::<String>(c).optional())?.ok_or(StoreError::Missing)?;
    let as_domain = domain(&as_domain)?;
    let query = outbox_items::table
        .filter(outbox_items::room.eq(room.as_str()))
        .filter(outbox_items::peer.eq(peer.as_str()))
        .filter(outbox_items::seq.ge(to_db(from)?))
        .order(outbox_items::seq)
        .select(outbox_items::seq)
        .distinct();
    let numbers = db!(tx, |c| query.load::<i64>(c))?;
    for seq in &numbers {
        enqueue(tx, room, peer, &as_domain, number(*seq)?)?;
    }
    Ok(numbers.len())
}
