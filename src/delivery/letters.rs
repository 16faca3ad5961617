//! Tells other providers what our users ask of theirs and grant them: each provider its letters in order, one at a time,
//! under the same key however often (reading D-48).

use std::time::Instant;

use portcullis_core::wire::Wire;
use portcullis_store::consents::{self, Letter};
use portcullis_store::{StoreError, Topic, Tx};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::Instrument as _;

use super::attempt::again;
use super::{Attempts, Delivery, LANES, LEASE, LEASING, PAUSE, report};
use crate::peer::{Endpoint, causes, random};
use crate::telemetry::metrics;

impl Delivery {
    /// Does so until `closing` becomes true; then ends the exchanges that are under way and returns. Any number of
    /// replicas may do this on one database.
    pub(super) async fn run_letters(&self, mut closing: watch::Receiver<bool>) {
        let mut changes = self.store.changes(Topic::Letters);
        let mut under_way = Attempts::new();
        while !*closing.borrow() {
            // Seen before looking, so that what is owed meanwhile wakes us again.
            changes.mark_unchanged();
            let pause = self.start_letters(&mut under_way).await.unwrap_or_else(|error| {
                tracing::warn!(cause = causes(&error), "consent that is owed cannot be read");
                PAUSE
            });
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

    /// Leases lanes that are due, as many as may be under way, and starts an attempt on each. Gives how long there is
    /// nothing else to do, as far as is known.
    async fn start_letters(&self, under_way: &mut Attempts) -> Result<std::time::Duration, StoreError> {
        while under_way.len() < LANES {
            // Looked at first, because a lease is a write even when it finds nothing.
            let store = self.store.clone();
            let next = tokio::task::spawn_blocking(move || store.read(consents::next_due));
            let Some(next) = next.await.unwrap_or(Err(StoreError::Panicked))? else { break };
            let now = self.clock.now();
            if next > now {
                return Ok(next.since(now).min(PAUSE));
            }
            let owner = self.owner.clone();
            let leased = self.store.write_async(LEASING, move |tx| consents::lease(tx, now, &owner, LEASE));
            let Some(letter) = leased.await? else { break };
            let delivery = self.clone();
            let span = tracing::info_span!("delivery.letter", peer = %letter.peer);
            under_way.spawn(async move { delivery.send_letter(letter).await }.instrument(span));
        }
        Ok(PAUSE)
    }

    async fn send_letter(&self, letter: Letter) -> Result<(), StoreError> {
        let (own, entry) = (letter.entry.actor().domain(), &letter.entry);
        let endpoint = match entry.operation.is_requester_s() {
            true => Endpoint::RequestConsent(entry.target.clone()),
            false => Endpoint::UpdateConsent(entry.requester.clone()),
        };
        let (began, key) = (Instant::now(), Some(letter.idempotency_key.as_str()));
        let answer = self.peers.post(&own, &letter.peer, endpoint, entry.encode().into(), key).await;
        let now = self.clock.now();
        let (peer, attempt, operation) = (&letter.peer, letter.attempts + 1, entry.operation.name());
        let error = answer.err();
        let next = error.as_ref().map(|error| again(error, letter.attempts, letter.first_tried, now, random()));
        let (status, why) = error.map_or((0, String::new()), |error| (error.status().unwrap_or(0), causes(&error)));
        let outcome = match &next {
            None => "delivered",
            Some(Ok(_)) => "postponed",
            Some(Err(_)) => "parked",
        };
        metrics::delivery(peer.as_str(), outcome, began.elapsed());
        match &next {
            None => tracing::debug!(%peer, attempt, operation, "consent told to `{peer}`"),
            Some(Ok(at)) => {
                tracing::warn!(%peer, attempt, operation, %at, why, "`{peer}` not told, will be tried again")
            }
            Some(Err(why)) => tracing::error!(%peer, attempt, operation, status, why, "consent for `{peer}` is parked"),
        }
        let lane = letter.entry.target.to_string();
        let write = move |tx: &mut Tx<'_>| match &next {
            None => consents::delivered(tx, &letter),
            Some(Ok(at)) => consents::postpone(tx, &letter, *at, &why),
            Some(Err(why)) => consents::park(tx, &letter, status, why, now),
        };
        match self.store.write_async(&lane, write).await {
            // Somebody else holds the lane now and tells it under the same key.
            Err(StoreError::LeaseLost) => Ok(()),
            written => written,
        }
    }
}
