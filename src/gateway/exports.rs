//! What people do with exports of the audit log, at the admin door and on the command line: each with its record, in one
//! transaction.

use portcullis_core::time::Millis;
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::{StoreError, Tx, sinks};
use serde_json::json;
use uuid::Uuid;

/// Past every position that the log can have.
const LAST: u64 = u64::MAX / 2;

/// Dead letters of one export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letters {
    /// The export, such as `otlp`.
    pub sink: String,
    /// The first position in the log.
    pub from: u64,
    /// The last one; all from the first on where there is none.
    pub to: Option<u64>,
}

/// Has what a sink refused for good be sent to it once more, and records who wants so. Gives how many records that are.
///
/// # Errors
///
/// [`StoreError::Missing`] when there is no dead letter between these positions.
pub fn redeliver(tx: &mut Tx<'_>, letters: &Letters, by: &str, reason: &str, now: Millis) -> Result<u64, StoreError> {
    let Letters { sink, from, to } = letters;
    let to = to.unwrap_or(LAST).min(LAST);
    let count = sinks::want_again(tx, sink, (*from).min(LAST), to)? as u64;
    if count == 0 {
        return Err(StoreError::Missing);
    }
    tx.stage(&AuditRecord {
        actor: Some(by.to_owned()),
        reason: reason.to_owned(),
        detail: json!({ "sink": sink, "from": from, "to": to, "records": count }),
        ..AuditRecord::new(Uuid::now_v7(), now, "audit.export.redeliver", Outcome::Info)
    })?;
    Ok(count)
}
