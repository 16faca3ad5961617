//! What is owed to other providers. One lane per (room, peer); a lane is delivered strictly in its order, one batch at
//! a time, and a batch keeps its bytes however often it is tried (reading D-38).

mod admin;
mod lane;
mod lease;

pub(crate) use admin::resume;
pub use admin::{Wanted, find, lanes, page, pending, resend, retry, skip};
pub use lane::{LaneRow, LaneStatus, Owed};
pub use lease::{Batch, MAX_BATCH_BYTES, MAX_BATCH_MESSAGES, acknowledge, lease, next_due, park, postpone, single_out};

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use portcullis_core::wire::uri::{Domain, RoomUri};

use crate::convert::to_db;
use crate::events::Appended;
use crate::fixed::{Bind, fixed};
use crate::schema::outbox_items;
use crate::{Conn, StoreError, Topic, Tx};

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
    tx.later.owed.push(OwedRow {
        room: room.to_string(),
        peer: peer.to_string(),
        as_domain: as_domain.to_string(),
        seq: to_db(event.seq)?,
        bytes: to_db(event.bytes)?,
    });
    Ok(())
}

/// What is owed, without its place.
pub(crate) struct OwedRow {
    room: String,
    peer: String,
    as_domain: String,
    seq: i64,
    bytes: i64,
}

#[derive(Insertable)]
#[diesel(table_name = outbox_items)]
struct ItemRow<'a> {
    room: &'a str,
    peer: &'a str,
    position: i64,
    seq: i64,
    bytes: i64,
}

/// Puts what is owed at the end of its lanes, in this order. A lane that was not empty is being delivered or waits for its
/// time, and whoever delivers it looks at it again by itself.
pub(crate) fn write(conn: &mut Conn, owed: &[OwedRow]) -> Result<Option<Topic>, StoreError> {
    let mut lanes: BTreeMap<(&str, &str), Vec<&OwedRow>> = BTreeMap::new();
    for row in owed {
        lanes.entry((&row.room, &row.peer)).or_default().push(row);
    }
    let mut begun = None;
    for ((room, peer), rows) in lanes {
        let Some(OwedRow { as_domain, .. }) = rows.first() else { continue };
        let count = to_db(rows.len() as u64)?;
        let (head, tail) = lengthen(conn, room, peer, as_domain, count)?;
        if tail - head == count {
            begun = Some(Topic::Outbox);
        }
        let items: Vec<ItemRow<'_>> = (tail - count + 1..)
            .zip(rows)
            .map(|(position, row)| ItemRow { room, peer, position, seq: row.seq, bytes: row.bytes })
            .collect();
        insert_rows!(conn, outbox_items::table, items)?;
    }
    Ok(begun)
}

/// Makes a lane, new or not, longer by `count` and gives the positions of what was delivered last and of its last.
fn lengthen(conn: &mut Conn, room: &str, peer: &str, as_domain: &str, count: i64) -> Result<(i64, i64), StoreError> {
    let statement = fixed::<(BigInt, BigInt)>(
        &[
            "INSERT INTO outbox_lanes (room, peer, as_domain, status, head, tail, frozen, attempts, first_tried, next_at, \
             lease, lease_owner, lease_until, http_status, error) VALUES (",
            ", ",
            ", ",
            ", ",
            ", 0, ",
            ", 0, 0, 0, 0, 0, '', 0, 0, '') \
             ON CONFLICT (room, peer) DO UPDATE SET tail = outbox_lanes.tail + excluded.tail RETURNING head, tail",
        ],
        [
            Bind::Text(room),
            Bind::Text(peer),
            Bind::Text(as_domain),
            Bind::Number(LaneStatus::Open.code().into()),
            Bind::Number(count),
        ],
    );
    Ok(db!(conn, |c| statement.get_result::<(i64, i64)>(c))?)
}
