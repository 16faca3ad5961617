//! What a room's hub fans out to us as follower: kept for the streams of our devices before it is acknowledged.

use std::sync::Arc;

use portcullis_core::time::Millis;
use portcullis_core::wire::notify::{FanoutBody, FanoutMessage, decode_batch};
use portcullis_core::wire::uri::{Domain, RoomUri};
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::events::EventKind;
use portcullis_store::inbox::{self, Seen};
use portcullis_store::streams::{self, StreamItem};
use portcullis_store::{StoreError, Tx, answers, follower, key_packages};
use serde_json::{Value, json};
use uuid::Uuid;

use super::fan_out::stream_kind;
use super::{GatewayError, Inner};
use crate::telemetry;

/// Takes one batch: all of it, or nothing of it.
pub(super) fn accept(inner: &Arc<Inner>, from: &Domain, room: &RoomUri, body: &[u8]) -> Result<(), GatewayError> {
    if room.domain() != *from {
        return Err(GatewayError::WrongIdentity);
    }
    let batch = tracing::info_span!("decode").in_scope(|| decode_batch(body)).map_err(GatewayError::decode)?;
    if batch.is_empty() {
        return Err(GatewayError::decode("a batch holds at least one message"));
    }
    let now = inner.clock.now();
    let key = answers::scope(&[from.as_str().as_bytes(), room.as_bytes(), body]);
    let (from, room) = (from.clone(), room.clone());
    let written = inner.store.write(&room.to_string(), move |tx: &mut Tx<'_>| {
        if inbox::see_batch(tx, &key, now)? == Seen::Again {
            return Ok(());
        }
        let mut taken = Vec::new();
        for (message, bytes) in &batch {
            taken.extend(take(tx, &room, message, bytes, now)?);
        }
        tx.stage(&AuditRecord {
            room: Some(room.clone()),
            peer: Some(from.clone()),
            reason: "fanned_out_by_the_hub".to_owned(),
            trace: telemetry::current_trace_id(),
            detail: json!({ "messages": taken }),
            ..AuditRecord::new(Uuid::now_v7(), now, "delivery.received", Outcome::Info)
        })
    });
    match written {
        Ok(()) => Ok(()),
        Err(StoreError::Missing) => Err(GatewayError::NotFound),
        Err(error) => Err(error.into()),
    }
}

/// Puts one message into the streams of our devices; `None` when it was taken before.
///
/// Fails with [`StoreError::Missing`] when nobody here is in the room: the hub gets 404 and nothing of the batch is
/// kept (reading D-41).
fn take(
    tx: &mut Tx<'_>,
    room: &RoomUri,
    message: &FanoutMessage,
    bytes: &[u8],
    now: Millis,
) -> Result<Option<Value>, StoreError> {
    let hash = message.body.message().hash();
    if inbox::see_message(tx, room, &hash, now)? == Seen::Again {
        return Ok(None);
    }
    let (kind, devices) = match &message.body {
        FanoutBody::Welcome { message, .. } => {
            let references = message.welcome().map(|welcome| welcome.references()).unwrap_or_default();
            let devices = key_packages::owners(tx, &references)?;
            for device in &devices {
                follower::join(tx, room, device, now)?;
            }
            (EventKind::Welcome, devices)
        }
        FanoutBody::Application { .. } => (EventKind::Message, follower::devices(tx, room)?),
        FanoutBody::Proposal { .. } => (EventKind::Proposal, follower::devices(tx, room)?),
        FanoutBody::Commit { .. } => (EventKind::Commit, follower::devices(tx, room)?),
    };
    if devices.is_empty() {
        return Err(StoreError::Missing);
    }
    let (kind, payload) = (stream_kind(kind).to_owned(), bytes.to_vec());
    streams::push(tx, &devices, &StreamItem { room: room.clone(), kind, payload, at: message.timestamp })?;
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(json!({ "message": hash, "devices": devices.len() })))
}
