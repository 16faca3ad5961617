//! Checkpoints: heads of the log's tree, signed, so that whoever keeps one can tell later whether the log still begins as
//! it did then (c2sp.org/tlog-checkpoint).

use std::sync::Arc;
use std::time::Duration;

use portcullis_core::wire::uri::Domain;
use portcullis_store::audit::{StoredCheckpoint, last_checkpoint, put_checkpoint, tree_head};
use portcullis_store::{SEQUENCER, Store, StoreError, Topic, Tx};
use portcullis_tlog::{Checkpoint, KeyName, SignedCheckpoint, Signer};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::config::Config;
use crate::gateway::{Clock, Gateway, KeyError, log_key};
use crate::peer::causes;

/// Time from one checkpoint to the next while the log grows.
const EVERY: Duration = Duration::from_secs(1);

/// Name of the log of a configuration: every leaf and every checkpoint says it.
pub fn origin(config: &Config) -> String {
    let domain = config.domains.first().map(Domain::as_str).unwrap_or_default();
    format!("{domain}/audit")
}

/// The key of the log.
///
/// # Errors
///
/// [`KeyError`] naming the file that cannot be used.
pub fn log_signer(config: &Config) -> Result<Signer, KeyError> {
    let pair = log_key(&config.keys.log)?;
    // A domain has neither spaces nor a plus sign.
    let name: KeyName = origin(config).parse().map_err(|_| KeyError::NoDomain)?;
    Ok(Signer::new(name, pair))
}

/// Signs the head of the log within a second of its growth, until `closing` becomes true; then once more. Any number of
/// replicas may do this.
pub async fn sign(gateway: Gateway, signer: Signer, mut closing: watch::Receiver<bool>) {
    let mut changes = gateway.store().changes(Topic::Audit);
    let signer = Arc::new(signer);
    loop {
        let last = *closing.borrow();
        // Seen before looking, so that what comes meanwhile wakes us again.
        changes.mark_unchanged();
        let (store, clock, key) = (gateway.store().clone(), gateway.clock().clone(), Arc::clone(&signer));
        let signed = tokio::task::spawn_blocking(move || checkpoint(&store, &clock, &key)).await;
        if let Err(error) = signed.unwrap_or(Err(StoreError::Panicked)) {
            tracing::warn!(error = causes(&error), "head of the audit log is not signed");
        }
        if last {
            return;
        }
        let grown = async {
            sleep(EVERY).await;
            let _ = changes.changed().await;
        };
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => {}
            () = grown => {}
        }
    }
}

/// Signs the head, unless that has been done. Blocks.
pub(super) fn checkpoint(store: &Store, clock: &Clock, signer: &Signer) -> Result<(), StoreError> {
    let (head, last) = store.read(|conn| Ok::<_, StoreError>((tree_head(conn)?, last_checkpoint(conn)?)))?;
    if head.size == 0 || last.is_some_and(|last| last.size >= head.size) {
        return Ok(());
    }
    let signed = SignedCheckpoint::sign(Checkpoint::new(signer.key().name(), head), signer);
    let note = signed.map_err(|_| StoreError::Corrupt("checkpoint"))?.to_string();
    let stored = StoredCheckpoint { size: head.size, signed_at: clock.now(), note };
    store.write(SEQUENCER, move |tx: &mut Tx<'_>| put_checkpoint(tx, &stored).map(drop))
}
