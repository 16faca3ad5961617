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

use diesel::sql_types::BigInt;
use portcullis_core::wire::uri::{Domain, RoomUri};

use crate::convert::to_db;
use crate::effects::Effects;
use crate::events::Appended;
use crate::fixed::{Bind, Fixed, fixed};
use crate::turn::{Asked, Turn};
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

struct ItemRow<'a> {
    room: &'a str,
    peer: &'a str,
    position: i64,
    seq: i64,
    bytes: i64,
}

row!(ItemRow<'_> => outbox_items (room, peer, position, seq, bytes));

/// What is owed to one peer of one room, and the question for the positions of what was delivered last and of the last
/// of its lane, which it makes longer by that.
pub(crate) struct Lengthening<'a> {
    room: &'a str,
    peer: &'a str,
    rows: Vec<&'a OwedRow>,
    reached: Asked<'a, (BigInt, BigInt), (i64, i64)>,
}

/// Asks for places at the end of the lanes, new or not.
pub(crate) fn lengthen<'a>(turn: &mut Turn<'a>, lanes: &'a [Lengthening<'a>]) {
    lanes.iter().for_each(|lane| turn.add(&lane.reached));
}

/// Puts what is owed there, in this order. A lane that was not empty is being delivered or waits for its time, and whoever
/// delivers it looks at it again by itself.
pub(crate) fn write<'a>(effects: &mut Effects<'a>, lanes: Vec<Lengthening<'a>>) -> Result<Option<Topic>, StoreError> {
    let (mut begun, mut items) = (None, Vec::new());
    for Lengthening { room, peer, rows, reached } in lanes {
        let (head, tail) = reached.answer().ok_or(StoreError::Corrupt("lane"))?;
        let count = to_db(rows.len() as u64)?;
        if tail - head == count {
            begun = Some(Topic::Outbox);
        }
        let item = |(position, row): (i64, &OwedRow)| ItemRow { room, peer, position, seq: row.seq, bytes: row.bytes };
        items.extend((tail - count + 1..).zip(rows).map(item));
    }
    effects.insert(items);
    Ok(begun)
}

/// The lanes of what is owed.
pub(crate) fn owing(owed: &[OwedRow]) -> Result<Vec<Lengthening<'_>>, StoreError> {
    let mut lanes: BTreeMap<(&str, &str), Vec<&OwedRow>> = BTreeMap::new();
    for row in owed {
        lanes.entry((&row.room, &row.peer)).or_default().push(row);
    }
    lanes
        .into_iter()
        .filter_map(|((room, peer), rows)| {
            rows.first().map(|first| (room, peer, first.as_domain.as_str(), rows.clone()))
        })
        .map(|(room, peer, as_domain, rows)| {
            let reached = Asked::new(longer(room, peer, as_domain, to_db(rows.len() as u64)?));
            Ok(Lengthening { room, peer, rows, reached })
        })
        .collect()
}

fn longer<'a>(room: &'a str, peer: &'a str, as_domain: &'a str, count: i64) -> Fixed<'a, (BigInt, BigInt)> {
    fixed(
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
    )
}
