//! What is owed to other providers. One lane per (room, peer); a lane is delivered strictly in its order, one batch at
//! a time, and a batch keeps its bytes however often it is tried (reading D-38).

mod admin;
mod lane;
mod lease;

pub(crate) use admin::resume;
pub use admin::{Wanted, find, lanes, page, pending, resend, retry, skip};
pub use lane::{LaneRow, LaneStatus, Owed};
pub use lease::{Batch, MAX_BATCH_BYTES, MAX_BATCH_MESSAGES, acknowledge, lease, next_due, park, postpone, single_out};

use diesel::prelude::*;
use portcullis_core::wire::uri::{Domain, RoomUri};

use crate::convert::to_db;
use crate::schema::{events, outbox_items, outbox_lanes};
use crate::{StoreError, Topic, Tx};

/// Owes the peer an event of the room, after all that it is owed already. `as_domain` is the provider of ours that
/// hosts the room.
///
/// # Errors
///
/// [`StoreError::Missing`] when the room has no such event.
pub fn enqueue(tx: &mut Tx<'_>, room: &RoomUri, peer: &Domain, as_domain: &Domain, seq: u64) -> Result<(), StoreError> {
    let fanout = events::table
        .filter(events::room.eq(room.as_str()))
        .filter(events::seq.eq(to_db(seq)?))
        .select(diesel::dsl::sql::<diesel::sql_types::BigInt>("CAST(length(fanout) AS BIGINT)"));
    let bytes = db!(tx, |c| fanout.first::<i64>(c).optional())?.ok_or(StoreError::Missing)?;
    let row = (
        outbox_lanes::room.eq(room.as_str()),
        outbox_lanes::peer.eq(peer.as_str()),
        outbox_lanes::as_domain.eq(as_domain.as_str()),
        (
            outbox_lanes::status.eq(LaneStatus::Open.code()),
            outbox_lanes::head.eq(0_i64),
            outbox_lanes::tail.eq(1_i64),
            outbox_lanes::frozen.eq(0_i64),
            outbox_lanes::attempts.eq(0_i64),
            outbox_lanes::first_tried.eq(0_i64),
            outbox_lanes::next_at.eq(0_i64),
            outbox_lanes::lease.eq(0_i64),
            outbox_lanes::lease_owner.eq(""),
            outbox_lanes::lease_until.eq(0_i64),
            outbox_lanes::http_status.eq(0_i32),
            outbox_lanes::error.eq(""),
        ),
    );
    let position = db!(tx, |c| {
        diesel::insert_into(outbox_lanes::table)
            .values(row)
            .on_conflict((outbox_lanes::room, outbox_lanes::peer))
            .do_update()
            .set(outbox_lanes::tail.eq(outbox_lanes::tail + 1))
            .returning(outbox_lanes::tail)
            .get_result::<i64>(c)
    })?;
    let item = (
        outbox_items::room.eq(room.as_str()),
        outbox_items::peer.eq(peer.as_str()),
        outbox_items::position.eq(position),
        outbox_items::seq.eq(to_db(seq)?),
        outbox_items::bytes.eq(bytes),
    );
    db!(tx, |c| diesel::insert_into(outbox_items::table).values(item).execute(c))?;
    tx.touch(Topic::Outbox);
    Ok(())
}
