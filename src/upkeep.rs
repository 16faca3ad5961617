//! Forgets what has served its time: closed reports of abuse, answers, tickets, routes, spent KeyPackages, old keys, and what hubs have sent us. Gives up
//! waiting for commits that hubs have not sent.

use std::time::Duration;

use portcullis_core::time::Millis;
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::{
    StoreError, Tx, admission, answers, consents, hub_keys, inbox, key_packages, ohttp_keys, purge, routes,
};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::config::Retention;
use crate::gateway::{Gateway, oldest_period};
use crate::peer::causes;

/// How often it is looked whether commits are overdue.
const STEP: Duration = Duration::from_secs(10);
/// How often things are forgotten.
const EVERY: Duration = Duration::from_secs(60 * 60);
/// How long repeats from a hub are recognised (reading D-40): much longer than one that was not down itself tries, so
/// that what it sends again when it is back is recognised, too.
const REPEATS: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long a Welcome may be under way (reading D-39).
const UNDER_WAY: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Most rows of a kind that are forgotten in one transaction.
const STEP_ROWS: u32 = 500;

/// Does so until `closing` becomes true. Any number of replicas may.
pub async fn run(gateway: Gateway, retention: Retention, mut closing: watch::Receiver<bool>) {
    let mut forgotten: Option<Instant> = None;
    loop {
        if forgotten.is_none_or(|at| at.elapsed() >= EVERY) {
            if let Err(error) = once(&gateway, retention).await {
                tracing::warn!(error = causes(&error), "expired rows are not forgotten");
            }
            forgotten = Some(Instant::now());
        }
        if let Err(error) = gateway.open_data_keys().await {
            tracing::warn!(error = causes(&error), "the keys that the database is sealed under are not looked at");
        }
        if let Err(error) = gateway.open_hub_keys().await {
            tracing::warn!(error = causes(&error), "the keys that messages are franked with are not looked at");
        }
        if let Err(error) = gateway.watch_certificates().await {
            tracing::warn!(error = causes(&error), "certificates are not looked at");
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

/// Forgets everything that has expired by now, step by step, so that nobody waits long for the write lane.
///
/// # Errors
///
/// [`StoreError`]; what was forgotten before stays so.
pub async fn once(gateway: &Gateway, retention: Retention) -> Result<(), StoreError> {
    let now = gateway.clock().now();
    let (closed, unsent) = (now.minus(retention.closed_reports()), now.minus(retention.unsent()));
    forget(gateway, move |tx| purge(tx, "reports", closed, now, purge::closed_reports)).await?;
    forget(gateway, move |tx| purge(tx, "unsent", unsent, now, purge::payloads)).await?;
    forget(gateway, move |tx| answers::expire(tx, now, STEP_ROWS)).await?;
    forget(gateway, move |tx| admission::expire(tx, now.minus(EVERY), STEP_ROWS)).await?;
    forget(gateway, move |tx| routes::expire(tx, now, STEP_ROWS)).await?;
    forget(gateway, move |tx| key_packages::expire(tx, now, now.minus(UNDER_WAY), STEP_ROWS)).await?;
    forget(gateway, move |tx| consents::expire(tx, now.minus(REPEATS), STEP_ROWS)).await?;
    forget(gateway, move |tx| inbox::expire_batches(tx, now.minus(REPEATS), STEP_ROWS)).await?;
    forget(gateway, move |tx| inbox::expire_messages(tx, now.minus(REPEATS), STEP_ROWS)).await?;
    let oldest = oldest_period(now);
    forget(gateway, move |tx| ohttp_keys::expire(tx, oldest, STEP_ROWS)).await?;
    let kept = gateway.hub_key_kept();
    forget(gateway, move |tx| hub_keys::expire(tx, now.minus(kept))).await
}

async fn forget(
    gateway: &Gateway,
    step: impl Fn(&mut Tx<'_>) -> Result<usize, StoreError> + Copy + Send + 'static,
) -> Result<(), StoreError> {
    while gateway.store().write_async("upkeep", step).await? >= STEP_ROWS as usize {}
    Ok(())
}

/// A step that takes for good what somebody may look for: how much of which kind, and from before when, is on the record.
fn purge(
    tx: &mut Tx<'_>,
    what: &'static str,
    before: Millis,
    now: Millis,
    step: fn(&mut Tx<'_>, Millis, u32) -> Result<usize, StoreError>,
) -> Result<usize, StoreError> {
    let purged = step(tx, before, STEP_ROWS)?;
    if purged > 0 {
        tx.stage(&AuditRecord {
            reason: what.to_owned(),
            detail: json!({ "purged": purged, "before": before }),
            ..AuditRecord::new(Uuid::now_v7(), now, "retention.purged", Outcome::Info)
        })?;
    }
    Ok(purged)
}
