use std::time::Duration;

use portcullis_store::audit::{MAX_SEQUENCED, sequence_async};
use portcullis_store::{Store, Topic};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::gateway::{Clock, Gateway};
use crate::peer::causes;

/// Wait after a failure, and longest wait without a sign of new rows: another replica may have staged some.
const PAUSE: Duration = Duration::from_secs(1);

/// Wait after rows were moved, so that under load one pass moves many: nobody waits for a position but streams.
const PACE: Duration = Duration::from_millis(5);

/// Gives audit records and stream events that were staged their gapless positions (correction C-4), until `closing` becomes
/// true; then once more, so that nothing acknowledged stays without one. Any number of replicas may do this.
pub async fn sequence(gateway: Gateway, closing: watch::Receiver<bool>) {
    run(gateway.store(), gateway.clock(), closing).await;
}

pub(super) async fn run(store: &Store, clock: &Clock, mut closing: watch::Receiver<bool>) {
    let mut changes = store.changes(Topic::Staged);
    let mut woken = true;
    loop {
        let last = *closing.borrow();
        // Seen before looking, so that what is staged meanwhile wakes us again.
        changes.mark_unchanged();
        // Looking without a reason, once a second, is nothing to trace.
        let span = if woken { tracing::info_span!("sequencer.pass", entries = Empty) } else { Span::none() };
        let moved = sequence_async(store, MAX_SEQUENCED, clock.now()).instrument(span.clone()).await;
        if let Ok(moved) = &moved {
            span.record("entries", moved.entries);
        }
        match moved {
            Ok(moved) if moved.entries.max(moved.stream_rows) >= MAX_SEQUENCED as usize => continue,
            Ok(moved) if moved.entries + moved.stream_rows > 0 && !last => sleep(PACE).await,
            Ok(_) => {}
            Err(error) => tracing::warn!(error = causes(&error), "staged rows not positioned"),
        }
        if last {
            return;
        }
        woken = tokio::select! {
            _ = closing.wait_for(|closing| *closing) => true,
            _ = changes.changed() => true,
            () = sleep(PAUSE) => false,
        };
    }
}
