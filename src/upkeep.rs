//! Forgets what has served its time: answers, tickets, routes, spent KeyPackages, and what hubs have sent us.

use std::time::Duration;

use portcullis_store::{StoreError, Tx, admission, answers, inbox, key_packages, routes};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::gateway::Gateway;
use crate::peer::causes;

/// How often.
const EVERY: Duration = Duration::from_secs(60 * 60);
/// How long repeats from a hub are recognised (reading D-40).
const REPEATS: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Does so once an hour until `closing` becomes true. Any number of replicas may.
pub async fn run(gateway: Gateway, mut closing: watch::Receiver<bool>) {
    loop {
        if let Err(error) = once(&gateway).await {
            tracing::warn!(error = causes(&error), "expired rows are not forgotten");
        }
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            () = sleep(EVERY) => {}
        }
    }
}

/// Forgets everything that has expired by now.
///
/// # Errors
///
/// [`StoreError`]; nothing is forgotten then.
pub async fn once(gateway: &Gateway) -> Result<(), StoreError> {
    let now = gateway.clock().now();
    let job = move |tx: &mut Tx<'_>| {
        answers::expire(tx, now)?;
        admission::expire(tx, now.minus(EVERY))?;
        routes::expire(tx, now)?;
        key_packages::expire(tx, now)?;
        inbox::expire(tx, now.minus(REPEATS))
    };
    gateway.store().write_async("upkeep", job).await
}
