use std::time::Duration;

use portcullis_store::audit::index;
use portcullis_store::{StoreError, Topic};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::gateway::Gateway;
use crate::peer::causes;

/// Time from one look at the log to the next, while it grows.
const PACE: Duration = Duration::from_millis(500);

/// Longest time without a look.
const IDLE: Duration = Duration::from_secs(60);

/// Lets the index of the log follow it, until `closing` becomes true. Any number of replicas may do this. What is not in the
/// index is found as well, but one by one.
pub async fn follow(gateway: Gateway, mut closing: watch::Receiver<bool>) {
    let mut changes = gateway.store().changes(Topic::Audit);
    while !*closing.borrow() {
        // Seen before looking, so that what comes meanwhile wakes us again.
        changes.mark_unchanged();
        let store = gateway.store().clone();
        let more = tokio::task::spawn_blocking(move || index(&store)).await;
        match more.unwrap_or(Err(StoreError::Panicked)) {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => tracing::warn!(error = causes(&error), "audit log is not indexed"),
        }
        let grown = async {
            sleep(PACE).await;
            let _ = timeout(IDLE, changes.changed()).await;
        };
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => {}
            () = grown => {}
        }
    }
}
