//! Checkpoints: heads of the log's tree, signed, so that whoever keeps one can tell later whether the log still begins as
//! it did then (c2sp.org/tlog-checkpoint).

use std::sync::Arc;
use std::time::Duration;

use portcullis_core::wire::uri::Domain;
use portcullis_store::audit::{StoredCheckpoint, head_at, last_checkpoint, put_checkpoint, tree_head};
use portcullis_store::{Store, StoreError, Topic, Tx};
use portcullis_tlog::{Checkpoint, KeyName, SignedCheckpoint, Signer, VerifierKey};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::config::Config;
use crate::gateway::{Clock, Gateway, KeyError, log_key, ring};
use crate::peer::causes;

/// Time from one checkpoint to the next while the log grows.
const EVERY: Duration = Duration::from_secs(1);

/// Longest time without looking at the head.
const IDLE: Duration = Duration::from_secs(10);

/// The write lane of checkpoints.
const LANE: &str = "checkpoints";

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

/// The keys by which checkpoints of the log are known: the one in use, and those before it.
///
/// # Errors
///
/// As [`log_signer`].
pub fn log_verifiers(config: &Config) -> Result<Vec<VerifierKey>, KeyError> {
    let name: KeyName = origin(config).parse().map_err(|_| KeyError::NoDomain)?;
    let former = ring::former(&config.keys.log);
    let files = std::iter::once(&config.keys.log).chain(&former);
    files.map(|path| Ok(Signer::new(name.clone(), log_key(path)?).key().clone())).collect()
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
        match signed.unwrap_or(Err(StoreError::Panicked)) {
            Ok(()) => {}
            Err(error @ StoreError::Corrupt(_)) => {
                tracing::error!(error = causes(&error), "audit log is not as it was written, and is not signed");
            }
            Err(error) => tracing::warn!(error = causes(&error), "head of the audit log is not signed"),
        }
        if last {
            return;
        }
        let grown = async {
            sleep(EVERY).await;
            // Another replica may have made it grow, and a head that could not be signed is tried again.
            let _ = timeout(IDLE, changes.changed()).await;
        };
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => {}
            () = grown => {}
        }
    }
}

/// Signs the head, unless that has been done, or the tree no longer begins as it did when it was signed last. Blocks.
pub(super) fn checkpoint(store: &Store, clock: &Clock, signer: &Signer) -> Result<(), StoreError> {
    let unsigned = store.read(|conn| {
        let (head, last) = (tree_head(conn)?, last_checkpoint(conn)?);
        let Some(last) = last else { return Ok((head.size > 0).then_some(head)) };
        let signed = SignedCheckpoint::parse(last.note.as_bytes()).map_err(|_| StoreError::Corrupt("checkpoint"))?;
        if last.size <= head.size && head_at(conn, last.size)? != signed.head() {
            return Err(StoreError::Corrupt("log"));
        }
        Ok((last.size < head.size).then_some(head))
    })?;
    let Some(head) = unsigned else { return Ok(()) };
    let signed = SignedCheckpoint::sign(Checkpoint::new(signer.key().name(), head), signer);
    let note = signed.map_err(|_| StoreError::Corrupt("checkpoint"))?.to_string();
    let stored = StoredCheckpoint { size: head.size, signed_at: clock.now(), note };
    store.write(LANE, move |tx: &mut Tx<'_>| put_checkpoint(tx, &stored).map(drop))
}
