use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::global;
use portcullis_store::Store;
use portcullis_store::backlog::{Backlog, backlog};

use super::SERVICE;
use super::metrics::{
    BUSY, DEAD, Instrument, LAG, LETTERS, OVERDUE, OWED, OWED_COMMITS, PARKED, STAGED, STREAM_ROWS, WAITING,
};

/// How long one look at the database serves: as long as one collection of all gauges takes.
const FRESH: Duration = Duration::from_secs(1);

/// Lets the gauges show what waits in `store`, and how far `sink` is behind, whenever metrics are collected.
pub fn watch(store: &Store, sink: &'static str) {
    let meter = global::meter(SERVICE);
    let looked = Arc::new(Looked { store: store.clone(), sink, last: Mutex::new(None) });
    let gauge = |it: Instrument, of: fn(&Backlog) -> u64| {
        let looked = Arc::clone(&looked);
        let gauge = meter.u64_observable_gauge(it.name);
        let gauge = gauge.with_unit(it.unit).with_description(it.meaning).with_callback(move |observer| {
            if let Some(backlog) = looked.now() {
                observer.observe(of(&backlog), &[]);
            }
        });
        let _ = gauge.build(); // the meter keeps the callback
    };
    gauge(OWED, |backlog| backlog.owed);
    gauge(PARKED, |backlog| backlog.parked_lanes);
    gauge(LETTERS, |backlog| backlog.parked_letters);
    gauge(OWED_COMMITS, |backlog| backlog.owed_expulsions);
    gauge(OVERDUE, |backlog| backlog.overdue_expulsions);
    gauge(STAGED, |backlog| backlog.staged_records);
    gauge(STREAM_ROWS, |backlog| backlog.staged_stream_rows);
    gauge(LAG, |backlog| backlog.not_exported);
    gauge(DEAD, |backlog| backlog.dead_letters);
    let waits = store.clone();
    let waiting = meter.u64_observable_gauge(WAITING.name).with_unit(WAITING.unit);
    let waiting = waiting.with_description(WAITING.meaning);
    let _ = waiting.with_callback(move |observer| observer.observe(waits.waiting() as u64, &[])).build();
    let refuses = store.clone();
    let busy = meter.u64_observable_counter(BUSY.name).with_unit(BUSY.unit);
    let busy = busy.with_description(BUSY.meaning);
    let _ = busy.with_callback(move |observer| observer.observe(refuses.busy(), &[])).build();
}

struct Looked {
    store: Store,
    sink: &'static str,
    last: Mutex<Option<(Instant, Backlog)>>,
}

impl Looked {
    /// What waits; nothing when the database does not say. Blocks: metrics are collected on a thread of the SDK.
    fn now(&self) -> Option<Backlog> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, backlog)) = *last
            && at.elapsed() < FRESH
        {
            return Some(backlog);
        }
        let read = self.store.read(|conn| backlog(conn, self.sink));
        *last = read.ok().map(|backlog| (Instant::now(), backlog));
        last.map(|(_, backlog)| backlog)
    }
}
