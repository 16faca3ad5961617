//! Forgets what has served its time: answers, tickets, routes, spent KeyPackages, and what hubs have sent us. Gives up
//! waiting for commits that hubs have not sent.

use std::time::Duration;

use portcullis_store::{StoreError, Tx, admission, answers, inbox, key_packages, routes};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::gateway::Gateway;
use crate::peer::causes;

/// How often it is looked whether commits are overdue.
const STEP: Duration = Duration::from_secs(10);
/// How often things are forgotten.
const EVERY: Duration = Duration::from_secs(60 * 60);
/// How long repeats from a hub are recognised (reading D-40).
const REPEATS: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Does so until `closing` becomes true. Any number of replicas may.
pub async fn run(gateway: Gateway, mut closing: watch::Receiver<bool>) {
    let mut forgotten: Option<Instant> = None;
    loop {
        if forgotten.is_none_or(|at| at.elapsed() >= EVERY) {
            if let Err(error) = once(&gateway).await {
                tracing::warn!(error = causes(&error), "expired rows are not forgotten");
            }
            forgotten = Some(Instant::now());
        }
        if let Err(error) = gateway.give_up_waiting().await {
            tracing::warn!(error = causes(&error), "overdue commits are still waited for");
        }
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            () = sleep(STEP) => {}
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
