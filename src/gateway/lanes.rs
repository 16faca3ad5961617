//! What people do with lanes of the outbox, at the admin door and on the command line: each with its record, in one
//! transaction.

use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{Domain, RoomUri};
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::outbox::{self, LaneStatus};
use portcullis_store::{StoreError, Tx};
use serde_json::{Value, json};
use uuid::Uuid;

/// Names a lane: what one room owes one provider, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// The room.
    pub room: RoomUri,
    /// The provider.
    pub peer: Domain,
}

/// Tries a lane again now, parked or not.
///
/// # Errors
///
/// [`StoreError::Missing`] when there is no such lane.
pub fn retry(tx: &mut Tx<'_>, lane: &Lane, by: &str, reason: &str, now: Millis) -> Result<(), StoreError> {
    outbox::retry(tx, &lane.room, &lane.peer, now)?;
    tx.stage(&record(lane, by, reason, now, "outbox.retry", json!({})))
}

/// Leaves out what a parked lane is stuck on, up to position `through` of the lane, or only its first message. Gives
/// how many messages that are.
///
/// # Errors
///
/// [`StoreError::Missing`] when the lane is not parked or owes nothing up to that position.
pub fn skip(
    tx: &mut Tx<'_>,
    lane: &Lane,
    through: Option<u64>,
    by: &str,
    reason: &str,
    now: Millis,
) -> Result<u64, StoreError> {
    let row = outbox::find(tx, &lane.room, &lane.peer)?.filter(|row| row.status == LaneStatus::Parked);
    let head = row.ok_or(StoreError::Missing)?.head;
    let through = through.unwrap_or(head + 1);
    outbox::skip(tx, &lane.room, &lane.peer, through, reason, by, now)?;
    Ok(through.saturating_sub(head))
}

/// Owes the provider once more what it was ever owed of the room's events from number `from` on. Gives how many
/// messages that are.
///
/// # Errors
///
/// [`StoreError::Missing`] when there is no such lane.
pub fn resend(tx: &mut Tx<'_>, lane: &Lane, from: u64, by: &str, reason: &str, now: Millis) -> Result<u64, StoreError> {
    let count = outbox::resend(tx, &lane.room, &lane.peer, from)? as u64;
    let detail = json!({ "from": from, "messages": count });
    tx.stage(&record(lane, by, reason, now, "outbox.resend", detail))?;
    Ok(count)
}

fn record(lane: &Lane, by: &str, reason: &str, now: Millis, kind: &str, detail: Value) -> AuditRecord {
    AuditRecord {
        room: Some(lane.room.clone()),
        peer: Some(lane.peer.clone()),
        actor: Some(by.to_owned()),
        reason: reason.to_owned(),
        detail,
        ..AuditRecord::new(Uuid::now_v7(), now, kind, Outcome::Info)
    }
}
