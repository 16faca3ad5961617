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
use diesel::sql_types::BigInt;
use portcullis_core::wire::uri::{Domain, RoomUri};

use crate::convert::to_db;
use crate::events::Appended;
use crate::fixed::{Bind, fixed};
use crate::later::ItemRow;
use crate::{StoreError, Topic, Tx};

/// Owes the peer an event of the room, after all that it is owed already. `as_domain` is the provider of ours that
/// hosts the room.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn enqueue(
    tx: &mut Tx<'_>,
    room: &RoomUri,
    peer: &Domain,
    as_domain: &Domain,
    event: Appended,
) -> Result<(), StoreError> {
    let statement = fixed::<BigInt>(
        &[
            "INSERT INTO outbox_lanes (room, peer, as_domain, status, head, tail, frozen, attempts, first_tried, next_at, \
             lease, lease_owner, lease_until, http_status, error) VALUES (",
            ", ",
            ", ",
            ", ",
            ", 0, 1, 0, 0, 0, 0, 0, '', 0, 0, '') \
             ON CONFLICT (room, peer) DO UPDATE SET tail = outbox_lanes.tail + 1 RETURNING tail",
        ],
        [
            Bind::Text(room.as_str()),
            Bind::Text(peer.as_str()),
            Bind::Text(as_domain.as_str()),
            Bind::Number(LaneStatus::Open.code().into()),
        ],
    );
    let position = db!(tx, |c| statement.get_result::<i64>(c))?;
    let item = ItemRow {
        room: room.to_string(),
        peer: peer.to_string(),
        position,
        seq: to_db(event.seq)?,
        bytes: to_db(event.bytes)?,
    };
    tx.later.items.push(item);
    tx.touch(Topic::Outbox);
    Ok(())
}
