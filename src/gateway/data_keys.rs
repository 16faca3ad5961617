//! The keys under which group states, events and KeyPackages stand in the database: one for each purpose and week, so that none
//! seals more than AES-256-GCM with random nonces bears. The first replica that needs one puts it there.

use std::sync::Arc;
use std::time::Duration;

use portcullis_core::time::Millis;
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::vault::{self, KEY_BYTES, Purpose as Sealed, Unwrapped, Wrapping};
use portcullis_store::{Conn, StoreError, Tx};
use serde_json::json;
use uuid::Uuid;

use super::seal::{Purpose, Sealer};
use super::{Gateway, GatewayError, Inner};

/// How long one key seals.
const PERIOD: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The write lane of keys.
const LANE: &str = "keys";

impl Wrapping for Sealer {
    fn wrap(&self, id: &[u8], key: &[u8; KEY_BYTES]) -> Result<Vec<u8>, Unwrapped> {
        self.seal(Purpose::DataKey, id, key).map_err(|_| Unwrapped)
    }

    fn unwrap(&self, id: &[u8], wrapped: &[u8]) -> Result<[u8; KEY_BYTES], Unwrapped> {
        let opened = self.open(Purpose::DataKey, id, wrapped).map_err(|_| Unwrapped)?;
        opened.try_into().map_err(|_| Unwrapped)
    }
}

impl Gateway {
    /// Makes sure that there is a data key of this period for each purpose, and that the last one seals.
    ///
    /// # Errors
    ///
    /// [`GatewayError::Internal`] when one was wrapped under a key that is not among ours.
    pub async fn open_data_keys(&self) -> Result<(), GatewayError> {
        self.0
            .blocking(Vec::new(), |inner: &Arc<Inner>| Sealed::ALL.into_iter().try_for_each(|of| open(inner, of)))
            .await
    }
}

fn open(inner: &Inner, purpose: Sealed) -> Result<(), GatewayError> {
    if !inner.store.seals() {
        return Ok(());
    }
    let now = inner.clock.now();
    let period = u64::try_from(PERIOD.as_millis()).map_err(GatewayError::internal)?;
    // Every replica comes to the same start.
    let starts_at = Millis(now.0 - now.0 % period);
    let current = |conn: &mut Conn| vault::current(conn, purpose);
    if inner.store.read(current)?.is_some_and(|since| since >= starts_at) {
        return Ok(());
    }
    inner.store.write(LANE, move |tx: &mut Tx<'_>| begin(tx, purpose, starts_at, now))?;
    inner.store.read(current)?;
    Ok(())
}

/// Begins to use a new key for `purpose` from `starts_at` on, with its record.
///
/// # Errors
///
/// [`StoreError`].
pub fn begin(tx: &mut Tx<'_>, purpose: Sealed, starts_at: Millis, now: Millis) -> Result<(), StoreError> {
    if !vault::begin(tx, purpose, starts_at)? {
        return Ok(());
    }
    tx.stage(&AuditRecord {
        reason: "period_begins".to_owned(),
        detail: json!({ "purpose": purpose.name(), "starts_at": starts_at }),
        ..AuditRecord::new(Uuid::now_v7(), now, "key.data_begun", Outcome::Info)
    })
}
