//! Delivers what the outbox owes to other providers: each lane (room, peer) in order, one batch of frozen bytes at a
//! time; lanes side by side (readings D-38, D-39). A lane that its peer refuses for good stands still until a person
//! looks at it: nothing in it is skipped or overtaken.
//!
//! Consent goes to each provider in a lane of its own, letter by letter: what is refused for good is set aside there.

mod attempt;
mod letters;
mod slots;

use std::time::Duration;

use portcullis_core::time::Millis;
use portcullis_store::outbox::{self, Batch};
use portcullis_store::{Store, StoreError, Topic};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;
use tracing::Instrument as _;

use crate::gateway::{Clock, Gateway};
use crate::peer::{Peers, causes};
use slots::Slots;

/// Lanes under way at the same time.
const LANES: usize = 64;

/// How long a lane is ours: longer than an exchange may take, so that no other replica sends beside us.
const LEASE: Duration = Duration::from_secs(90);

/// Longest wait without a sign of work: another replica may have filled a lane.
const PAUSE: Duration = Duration::from_secs(1);

/// Key of the write lane on which lanes of the outbox are leased.
const LEASING: &str = "outbox";

type Attempts = JoinSet<Result<(), StoreError>>;

/// Delivers what the gateway owes until `closing` becomes true; then ends the exchanges that are under way and returns.
/// Any number of replicas may do this on one database.
pub async fn run(gateway: Gateway, closing: watch::Receiver<bool>) {
    let delivery = Delivery::new(gateway.store().clone(), gateway.peers().clone(), gateway.clock().clone());
    tokio::join!(delivery.run(closing.clone()), delivery.run_letters(closing));
}

fn report(ended: Result<Result<(), StoreError>, JoinError>) {
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(cause = causes(&error), "outcome of a delivery is not written; it is repeated")
        }
        Err(error) => tracing::error!(cause = causes(&error), "delivery ended early; it is repeated"),
    }
}

/// The outbox and the way to the other providers.
#[derive(Clone)]
pub struct Delivery {
    store: Store,
    peers: Peers,
    clock: Clock,
    /// Names this process in leases.
    owner: String,
    slots: Slots,
}

impl Delivery {
    /// Delivers from `store` to `peers`, at the time of `clock`.
    pub fn new(store: Store, peers: Peers, clock: Clock) -> Self {
        let owner = store.process().to_string();
        Self { store, peers, clock, owner, slots: Slots::default() }
    }

    /// Delivers everything that is due now, and what becomes due by that, then returns.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the outbox cannot be read or an outcome cannot be written.
    pub async fn drain(&self) -> Result<(), StoreError> {
        let mut under_way = Attempts::new();
        loop {
            self.start(&mut under_way).await?;
            match under_way.join_next().await {
                Some(Ok(outcome)) => outcome?,
                Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
                None => return Ok(()),
            }
        }
    }

    async fn run(&self, mut closing: watch::Receiver<bool>) {
        let mut changes = self.store.changes(Topic::Outbox);
        let mut under_way = Attempts::new();
        while !*closing.borrow() {
            // Seen before looking, so that what is owed meanwhile wakes us again.
            changes.mark_unchanged();
            let next = self.start(&mut under_way).await.unwrap_or_else(|error| {
                tracing::warn!(cause = causes(&error), "outbox cannot be read");
                None
            });
            let pause = next.map_or(PAUSE, |next| next.since(self.clock.now()).min(PAUSE));
            tokio::select! {
                told = closing.wait_for(|closing| *closing) => if told.is_err() { break },
                Some(ended) = under_way.join_next() => report(ended),
                _ = changes.changed(), if under_way.len() < LANES => {}
                () = sleep(pause), if under_way.len() < LANES => {}
            }
        }
        while let Some(ended) = under_way.join_next().await {
            report(ended);
        }
    }

    /// Leases lanes that are due, as many as may be under way, and starts an attempt on each. Gives the time when the
    /// next one is due, as far as is known.
    async fn start(&self, under_way: &mut Attempts) -> Result<Option<Millis>, StoreError> {
        while under_way.len() < LANES {
            // Looked at first, because a lease is a write even when it finds nothing.
            let next = self.next_due().await?;
            if next.is_none_or(|next| next > self.clock.now()) {
                return Ok(next);
            }
            let Some(batch) = self.lease().await? else { return Ok(None) };
            let slot = self.slots.take(&batch.peer);
            let delivery = self.clone();
            let span = tracing::info_span!("delivery.attempt", peer = %batch.peer, messages = batch.items.len());
            let attempt = async move {
                let outcome = delivery.attempt(batch).await;
                drop(slot);
                outcome
            };
            under_way.spawn(attempt.instrument(span));
        }
        Ok(None)
    }

    async fn next_due(&self) -> Result<Option<Millis>, StoreError> {
        let (store, full) = (self.store.clone(), self.slots.full());
        let read = tokio::task::spawn_blocking(move || store.read(|conn| outbox::next_due(conn, &full)));
        read.await.unwrap_or(Err(StoreError::Panicked))
    }

    async fn lease(&self) -> Result<Option<Batch>, StoreError> {
        let (now, owner, full) = (self.clock.now(), self.owner.clone(), self.slots.full());
        self.store.write_async(LEASING, move |tx| outbox::lease(tx, now, &owner, LEASE, &full)).await
    }
}

#[cfg(test)]
mod tests;
