//! The shadow: a bundle that is asked beside the one that decides. It reads the audit log behind the decisions, so that
//! nothing waits for it and nothing it says or fails at is enforced; the log is also what bounds it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use portcullis_core::time::Millis;
use portcullis_store::audit::{self, Filter, entries};
use portcullis_store::shadows::{self, Shadow};
use portcullis_store::{Conn, StoreError, Topic, Tx, bundles, sinks};
use tokio::sync::watch as channel;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::again::Replayer;
use super::evidence::stored;
use super::report::Report;
use crate::gateway::Gateway;
use crate::gateway::rollout::{self, RolloutError};
use crate::peer::causes;
use crate::telemetry::metrics;

/// Name of the lease, of which one process at a time has one: two would do the same twice.
const LEASE: &str = "shadow";
/// How long a process keeps it that has gone.
const LEASE_TTL: Duration = Duration::from_secs(10);
/// Most entries between two writes.
const STEP: u32 = 500;
/// Shortest and longest wait between two steps. A step is followed by as much rest as it took, so that the shadow never
/// takes more than half of a core.
const REST: Duration = Duration::from_millis(200);
const IDLE: Duration = Duration::from_secs(1);

/// What a process knows of the shadow from step to step.
#[derive(Default)]
struct Follower {
    replayer: Option<(u64, Replayer)>,
    /// The run that a step is about. A step that ends without an end was too much for this process.
    under_way: Option<u64>,
    /// The run that cannot be asked here; that was told.
    broken: Option<u64>,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
enum ShadowError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the bundle cannot be asked here")]
    Bundle(#[from] RolloutError),
    #[error("it was too much for this process")]
    Panicked,
}

/// Asks the shadow of the database until `closing` becomes true. Any number of replicas may: what they find adds up.
pub async fn watch(gateway: Gateway, mut closing: channel::Receiver<bool>) {
    let mut grown = gateway.store().changes(Topic::Audit);
    let (owner, follower) = (Uuid::new_v4().to_string(), Arc::new(Mutex::new(Follower::default())));
    while !*closing.borrow() {
        // Seen before looking, so that what comes meanwhile wakes us again.
        grown.mark_unchanged();
        let (began, step) = (Instant::now(), {
            let (gateway, owner, follower) = (gateway.clone(), owner.clone(), Arc::clone(&follower));
            tokio::task::spawn_blocking(move || {
                follower.lock().unwrap_or_else(PoisonError::into_inner).step(&gateway, &owner)
            })
        });
        let asked = match step.await.unwrap_or(Err(ShadowError::Panicked)) {
            Ok(asked) => asked,
            Err(error) => {
                tracing::error!(error = causes(&error), "the shadow of the policies is not asked");
                false
            }
        };
        let rest = async {
            sleep(if asked { began.elapsed().max(REST) } else { REST }).await;
            if !asked {
                let _ = timeout(IDLE, grown.changed()).await;
            }
        };
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            () = rest => {}
        }
    }
}

impl Follower {
    /// Asks about the next entries, if there are any and no other process does. Blocks.
    fn step(&mut self, gateway: &Gateway, owner: &str) -> Result<bool, ShadowError> {
        let store = gateway.store();
        let Some(shadow) = store.read_one(shadows::running)? else {
            *self = Self::default();
            return Ok(false);
        };
        let run = shadow.run;
        if self.broken == Some(run) || !Self::holds(gateway, &shadow, owner)? {
            return Ok(false);
        }
        if self.under_way.replace(run) == Some(run) {
            self.broken = Some(run);
            return Ok(false);
        }
        let asked = self.ask(gateway, &shadow);
        self.under_way = None;
        if let Err(ShadowError::Bundle(_)) = &asked {
            self.broken = Some(run);
        }
        asked
    }

    /// Whether there is anything to ask about, and this is the process to do it.
    fn holds(gateway: &Gateway, shadow: &Shadow, owner: &str) -> Result<bool, StoreError> {
        if gateway.store().read_one(audit::size)? <= shadow.position {
            return Ok(false);
        }
        let (owner, now) = (owner.to_owned(), gateway.clock().now());
        let lease = move |tx: &mut Tx<'_>| sinks::take(tx, LEASE, &owner, now, LEASE_TTL);
        Ok(gateway.store().write(LEASE, lease)?.is_some())
    }

    fn ask(&mut self, gateway: &Gateway, shadow: &Shadow) -> Result<bool, ShadowError> {
        let (store, run, from) = (gateway.store(), shadow.run, shadow.position);
        let replayer = match &mut self.replayer {
            Some((of, replayer)) if *of == run => replayer,
            other => {
                let config = gateway.policy().config();
                let active = store.read(|conn| rollout::kept(conn, &shadow.digest, config))?;
                let mut replayer = Replayer::new(store, &active.bundle);
                replayer.knows(&gateway.policy().active().bundle);
                &mut other.insert((run, replayer)).1
            }
        };
        let filter = Filter { from, limit: STEP, ..Filter::default() };
        let (size, page) =
            store.read(|conn: &mut Conn| Ok::<_, StoreError>((audit::size(conn)?, entries(conn, &filter)?)))?;
        let to = match page.last() {
            Some(last) if page.len() >= STEP as usize => last.seq + 1,
            _ => size,
        };
        let mut found = Report::default();
        page.iter().try_for_each(|entry| replayer.ask(entry, &mut found))?;
        let mut all = stored(shadow)?;
        all.add(found.clone());
        let all = serde_json::to_string(&all).map_err(|_| StoreError::Corrupt("shadow report"))?;
        let noted = store.write(LEASE, move |tx: &mut Tx<'_>| shadows::advance(tx, run, (from, to), &all));
        match noted {
            Ok(()) => told(&found),
            // Another process was first, or somebody has ended it.
            Err(StoreError::Missing) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }
}

/// Lets a bundle be the shadow, in the place of the one `before`.
pub(in crate::gateway) fn begin(
    tx: &mut Tx<'_>,
    digest: &[u8; 32],
    before: Option<&Shadow>,
    (by, now): (&str, Millis),
) -> Result<(), RolloutError> {
    if bundles::pointer(tx)?.is_some_and(|pointer| pointer.active == *digest) {
        return Err(RolloutError::State("that bundle decides already"));
    }
    match before {
        Some(shadow) if shadow.digest == *digest => {
            return Err(RolloutError::State("that bundle is the shadow already"));
        }
        Some(shadow) => shadows::stop(tx, shadow.run, by, now)?,
        None => {}
    }
    Ok(shadows::start(tx, digest, by, now)?)
}

/// Counts what a step found.
fn told(report: &Report) {
    let outcomes = [
        ("same", report.same),
        ("newly_allowed", report.changed.newly_allowed),
        ("newly_denied", report.changed.newly_denied),
        ("by_others", report.changed.by_others),
        ("not_replayable", report.unknown()),
    ];
    outcomes.into_iter().filter(|(_, count)| *count > 0).for_each(|(outcome, count)| metrics::shadowed(outcome, count));
}
