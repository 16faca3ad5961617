use portcullis_core::time::Millis;
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::{StoreError, Tx, sinks};
use serde_json::json;
use uuid::Uuid;

/// Has what a sink refused for good, from position `from` to position `to`, be sent to it once more, and records who
/// wants so. Gives how many records that are.
///
/// # Errors
///
/// [`StoreError::Missing`] when there is no dead letter between these positions.
pub fn redeliver(
    tx: &mut Tx<'_>,
    sink: &str,
    (from, to): (u64, u64),
    by: &str,
    now: Millis,
) -> Result<usize, StoreError> {
    let count = sinks::want_again(tx, sink, from, to)?;
    if count == 0 {
        return Err(StoreError::Missing);
    }
    tx.stage(&AuditRecord {
        actor: Some(by.to_owned()),
        reason: "operator_asked".to_owned(),
        detail: json!({ "sink": sink, "from": from, "to": to, "records": count }),
        ..AuditRecord::new(Uuid::now_v7(), now, "audit.export.redeliver", Outcome::Info)
    })?;
    Ok(count)
}
