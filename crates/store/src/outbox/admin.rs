//! What people do with lanes.

use data_encoding::HEXLOWER;
use diesel::prelude::*;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{Domain, RoomUri};
use serde_json::json;
use uuid::Uuid;

use super::enqueue;
use super::lane::{COLUMNS, LaneRow, LaneStatus, Owed, Row, lane, read};
use crate::audit::{AuditRecord, Outcome, sha256};
use crate::convert::{domain, number, time, to_db};
use crate::events::Appended;
use crate::schema::{outbox_items, outbox_lanes};
use crate::{Conn, StoreError, Topic, Tx};

/// Most events that a record lists: it has its limit.
const LISTED: usize = 1000;

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

/// Which lanes are wanted. The default is all that owe something.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Those after the lane of this room and peer, in the order of rooms and peers.
    pub after: Option<(RoomUri, Domain)>,
    /// Of this room.
    pub room: Option<RoomUri>,
    /// With this status.
    pub status: Option<LaneStatus>,
    /// To this provider.
    pub peer: Option<Domain>,
}

/// Lanes that owe something, in the order of rooms and peers, at most `limit`.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn page(conn: &mut Conn, wanted: &Wanted, limit: u32) -> Result<Vec<LaneRow>, StoreError> {
    let rows = db!(conn, |c| {
        let mut query = outbox_lanes::table
            .filter(outbox_lanes::head.lt(outbox_lanes::tail))
            .order((outbox_lanes::room, outbox_lanes::peer))
            .limit(limit.into())
            .select(COLUMNS)
            .into_boxed();
        if let Some((room, peer)) = &wanted.after {
            let later_peer = outbox_lanes::room.eq(room.as_str()).and(outbox_lanes::peer.gt(peer.as_str()));
            query = query.filter(outbox_lanes::room.gt(room.as_str()).or(later_peer));
        }
        if let Some(room) = &wanted.room {
            query = query.filter(outbox_lanes::room.eq(room.as_str()));
        }
        if let Some(status) = wanted.status {
            query = query.filter(outbox_lanes::status.eq(status.code()));
        }
        if let Some(peer) = &wanted.peer {
            query = query.filter(outbox_lanes::peer.eq(peer.as_str()));
        }
        query.load::<Row>(c)
    })?;
    rows.into_iter().map(read).collect()
}

/// The lane of a room to a provider, whether it owes something or not.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn find(conn: &mut Conn, room: &RoomUri, peer: &Domain) -> Result<Option<LaneRow>, StoreError> {
    let query = lane(room.as_str(), peer.as_str()).select(COLUMNS);
    db!(conn, |c| query.first::<Row>(c).optional())?.map(read).transpose()
}

/// Lets what a provider is owed be due at once, as if it was never tried: it was away because we wanted so. Lanes that
/// are parked stay so.
pub(crate) fn resume(tx: &mut Tx<'_>, peer: &Domain, now: Millis) -> Result<(), StoreError> {
    let open = outbox_lanes::table
        .filter(outbox_lanes::peer.eq(peer.as_str()))
        .filter(outbox_lanes::status.eq(LaneStatus::Open.code()));
    let changes = (
        outbox_lanes::attempts.eq(0_i64),
        outbox_lanes::next_at.eq(time(now)?),
        outbox_lanes::first_tried.eq(time(now)?),
    );
    db!(tx, |c| diesel::update(open).set(changes).execute(c))?;
    tx.touch(Topic::Outbox);
    Ok(())
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
/// it, why, and which events they were: the first thousand by number, all of them by the hash of their numbers (eight
/// octets each, the highest first).
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
    let numbers: Vec<u8> = events.iter().flat_map(|seq| seq.to_be_bytes()).collect();
    let shown = events.get(..events.len().min(LISTED)).unwrap_or_default();
    let mut record = AuditRecord::new(Uuid::now_v7(), now, "outbox.skip", Outcome::Info);
    record.room = Some(room.clone());
    record.peer = Some(peer.clone());
    record.actor = Some(who.to_owned());
    record.reason = reason.to_owned();
    record.detail = json!({
        "through": through, "count": events.len(), "sha256": HEXLOWER.encode(&sha256(&[&numbers])), "events": shown,
    });
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
        .select((outbox_items::seq, outbox_items::bytes))
        .distinct();
    let owed = db!(tx, |c| query.load::<(i64, i64)>(c))?;
    for (seq, bytes) in &owed {
        enqueue(tx, room, peer, &as_domain, Appended { seq: number(*seq)?, bytes: number(*bytes)? })?;
    }
    Ok(owed.len())
}
