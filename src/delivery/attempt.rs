use std::time::Instant;

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use portcullis_core::fanout::{GaveUp, jittered, no_sooner_than, retry_delay};
use portcullis_core::time::Millis;
use portcullis_store::outbox::{self, Batch};
use portcullis_store::{StoreError, Tx};

use super::Delivery;
use crate::peer::{Endpoint, PeerError, causes, random};
use crate::telemetry::metrics;

/// What becomes of a batch after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// The peer has it.
    Delivered,
    /// It is tried again at this time, the same bytes.
    Later { at: Millis, why: String },
    /// The first message of a refused batch is tried alone.
    SingledOut { why: String },
    /// The lane stands still until a person looks at it. `status` is the peer's HTTP status, 0 for none.
    Parked { status: u16, why: String },
}

impl Outcome {
    fn name(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Later { .. } => "postponed",
            Self::SingledOut { .. } => "refused",
            Self::Parked { .. } => "parked",
        }
    }
}

impl Delivery {
    /// Posts a leased batch and writes down what came of it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the outcome cannot be written: the lease runs out and the same bytes are sent again.
    pub(super) async fn attempt(&self, mut batch: Batch) -> Result<(), StoreError> {
        let body = std::mem::take(&mut batch.body);
        let key = HEXLOWER.encode(digest::digest(&digest::SHA256, &body).as_ref());
        let endpoint = Endpoint::Notify(batch.room.clone());
        let began = Instant::now();
        let answer = self.peers.post(&batch.as_domain, &batch.peer, endpoint, body.into(), Some(&key)).await;
        let now = self.clock.now();
        let outcome = outcome(&batch, answer.err().as_ref(), now, random());
        metrics::delivery(batch.peer.as_str(), outcome.name(), began.elapsed());
        log(&batch, &outcome);
        let lane = batch.room.to_string();
        let write = move |tx: &mut Tx<'_>| match &outcome {
            Outcome::Delivered => outbox::acknowledge(tx, &batch, now),
            Outcome::Later { at, why } => outbox::postpone(tx, &batch, *at, why),
            Outcome::SingledOut { why } => outbox::single_out(tx, &batch, why),
            Outcome::Parked { status, why } => outbox::park(tx, &batch, *status, why),
        };
        match self.store.write_async(&lane, write).await {
            // Somebody else holds the lane now and sends the same bytes; the peer drops what it has seen.
            Err(StoreError::LeaseLost) => Ok(()),
            written => written,
        }
    }
}

/// Readings D-14 and D-39. `random` is uniform.
fn outcome(batch: &Batch, error: Option<&PeerError>, now: Millis, random: u32) -> Outcome {
    let Some(error) = error else { return Outcome::Delivered };
    let status = error.status().unwrap_or(0);
    if matches!(error, PeerError::Permanent { .. }) && batch.items.len() > 1 {
        return Outcome::SingledOut { why: causes(error) };
    }
    match again(error, batch.attempts, batch.first_tried, now, random) {
        Ok(at) => Outcome::Later { at, why: causes(error) },
        Err(why) => Outcome::Parked { status, why },
    }
}

/// When an exchange that failed is tried again after `attempts` attempts, the first of them at `first_tried`; else why not.
pub(super) fn again(
    error: &PeerError,
    attempts: u64,
    first_tried: Millis,
    now: Millis,
    random: u32,
) -> Result<Millis, String> {
    if !may_pass(error) {
        return Err(causes(error));
    }
    let retry = u32::try_from(attempts.saturating_add(1)).unwrap_or(u32::MAX);
    match retry_delay(retry, first_tried, now) {
        Ok(delay) => Ok(now.plus(no_sooner_than(jittered(delay, random), error.retry_after()))),
        Err(gave_up @ GaveUp) => Err(format!("{gave_up}: {}", causes(error))),
    }
}

/// Whether trying again may help. What our own configuration lacks, another replica may have been started with already.
fn may_pass(error: &PeerError) -> bool {
    let of_ours = matches!(error, PeerError::UnknownPeer(_) | PeerError::UnknownOwn(_) | PeerError::Unusable(_));
    of_ours || error.is_transient()
}

fn log(batch: &Batch, outcome: &Outcome) {
    let (room, peer, attempt, messages) = (&batch.room, &batch.peer, batch.attempts + 1, batch.items.len());
    match outcome {
        Outcome::Delivered => tracing::debug!(%room, %peer, attempt, messages, "delivered to `{peer}`"),
        Outcome::Later { at, why } => {
            tracing::warn!(%room, %peer, attempt, messages, %at, why, "not delivered to `{peer}`, will be tried again");
        }
        Outcome::SingledOut { why } => {
            tracing::warn!(%room, %peer, attempt, messages, why, "refused by `{peer}`, its first message is tried alone");
        }
        Outcome::Parked { status, why } => {
            tracing::error!(%room, %peer, attempt, messages, status, why, "lane to `{peer}` is parked");
        }
    }
}
