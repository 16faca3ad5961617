//! The export of the audit log as OTLP logs: at least once and in order, from a cursor that is kept in the database, by
//! one process at a time. A collector that is away or out of order loses nothing: the cursor waits. Only an entry that
//! the collector refuses alone, while it takes its neighbour, is passed over; it stands among the dead letters then, and
//! is sent again when a person wants so.

use std::time::Duration;

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use portcullis_core::fanout::{jittered, no_sooner_than};
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::Domain;
use portcullis_store::audit::{AuditEntry, AuditRecord, Filter, Order, Outcome};
use portcullis_store::sinks::{DeadLetter, SinkLease};
use portcullis_store::{Conn, Store, StoreError, Topic, Tx, audit, sinks};
use prost::Message as _;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::Instrument as _;
use uuid::Uuid;

use super::otlp::{Logs, TIMEOUT};
use super::record;
use crate::gateway::{Clock, Gateway};
use crate::peer::{causes, random};
use crate::telemetry::{Collector, metrics};

/// Name of the cursor.
pub const SINK: &str = "otlp";

/// Most records in one request.
const BATCH: u32 = 256;

/// Most bytes of records in one request, unless its first alone is longer; before compression.
const BATCH_BYTES: usize = 1024 * 1024;

/// How far around a refused record is looked for one that the collector takes.
const NEARBY: u32 = 8;

/// How long nobody else exports after a step of ours: longer than a step may take.
const LEASE: Duration = Duration::from_secs(30);

/// Wait after a failure: the first, doubled with each further one up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Wait after a sign of new entries, so that under load one request takes many.
const PACE: Duration = Duration::from_millis(5);

/// Longest time without looking for new records.
const IDLE: Duration = Duration::from_secs(5);

/// How long the end may take. What is not exported by then stands behind the cursor, for the next start.
const FINISH: Duration = Duration::from_secs(10);

/// Kind of the record about a dead letter.
const REJECTED: &str = "audit.export.rejected";

/// Why a batch did not count as delivered. It is sent again.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log cannot be read, or the cursor not written.
    #[error("audit log or cursor not available")]
    Store(#[from] StoreError),
    /// The collector does not answer.
    #[error("collector does not answer")]
    Http(#[from] reqwest::Error),
    /// The collector is out of order, or does not want to hear from us at all. OTLP calls 429, 502, 503 and 504
    /// retryable; evidence is kept through all others, too.
    #[error("collector answered with status {status}")]
    Status {
        /// HTTP status.
        status: u16,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// The collector refuses these records, or some of them.
    #[error("collector refuses records with status {status}: {reason}")]
    Refused {
        /// HTTP status; 200 for a partial success.
        status: u16,
        /// What it says.
        reason: String,
    },
    /// The answer is no ExportLogsServiceResponse.
    #[error("collector's answer is malformed")]
    Answer(#[from] prost::DecodeError),
    /// The request cannot be compressed.
    #[error("records cannot be compressed")]
    Compress(#[source] std::io::Error),
    /// A configured header is none.
    #[error("header `{0}` for the collector is not valid")]
    Header(String),
    /// A worker thread ended.
    #[error("interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// Exports the log of a gateway to a collector until `closing` becomes true; then what stands in the log by then.
pub async fn export(gateway: Gateway, collector: Collector, closing: watch::Receiver<bool>) {
    let Some(domain) = gateway.domains().first() else { return };
    match Exporter::new(gateway.store().clone(), gateway.clock().clone(), &collector, domain) {
        Ok(exporter) => exporter.run(closing).await,
        Err(error) => tracing::error!(error = causes(&error), "audit log is not exported"),
    }
}

impl ExportError {
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Store(_)
            | Self::Http(_)
            | Self::Refused { .. }
            | Self::Answer(_)
            | Self::Compress(_)
            | Self::Header(_)
            | Self::Interrupted(_) => None,
        }
    }
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many records were delivered, and the cursor stands after them.
    Delivered(usize),
    /// So many were refused together: fewer go out next.
    Narrowed(usize),
    /// The record at this position was refused alone; it is a dead letter, and the cursor stands after it.
    GaveUp(u64),
    /// All positioned records are delivered.
    Idle,
    /// Another process exports.
    Elsewhere,
}

/// Sends the log of one database to one collector.
pub struct Exporter {
    store: Store,
    clock: Clock,
    logs: Logs,
    /// Names this process in leases.
    owner: String,
    held: Option<Held>,
    /// So many records from the cursor on hold one that was refused; 0 when none is known of.
    suspects: usize,
}

struct Held {
    lease: SinkLease,
    until: Millis,
}

/// What the database says before a step.
enum Look {
    Nothing,
    Elsewhere,
    Pending(Vec<AuditEntry>),
    /// A dead letter is to be sent once more.
    Again(Box<AuditEntry>),
}

impl Exporter {
    /// Takes the collector and the domain that the records belong to.
    ///
    /// # Errors
    ///
    /// When no HTTP client can be made.
    pub fn new(store: Store, clock: Clock, collector: &Collector, domain: &Domain) -> Result<Self, ExportError> {
        let owner = store.process().to_string();
        Ok(Self { logs: Logs::new(collector, domain)?, store, clock, owner, held: None, suspects: 0 })
    }

    /// Exports until `closing` becomes true. Failures are retried for ever: the log stays, and so does the cursor.
    pub async fn run(mut self, mut closing: watch::Receiver<bool>) {
        let mut changes = self.store.changes(Topic::Audit);
        let mut wait = FIRST_WAIT;
        while !*closing.borrow() && closing.has_changed().is_ok() {
            changes.mark_unchanged();
            let pause = match self.step().await {
                Ok(Step::Delivered(_) | Step::Narrowed(_) | Step::GaveUp(_)) => {
                    wait = FIRST_WAIT;
                    continue;
                }
                Ok(Step::Idle | Step::Elsewhere) => None,
                Err(error) => {
                    tracing::warn!(error = causes(&error), "audit log not exported");
                    let pause = no_sooner_than(jittered(wait, random()), error.retry_after());
                    wait = (wait * 2).min(LONGEST_WAIT);
                    Some(pause)
                }
            };
            let woken = async {
                let _ = changes.changed().await;
                sleep(PACE).await;
            };
            tokio::select! {
                _ = closing.wait_for(|closing| *closing) => {}
                () = woken, if pause.is_none() => {}
                () = sleep(pause.unwrap_or(IDLE)) => {}
            }
        }
        if tokio::time::timeout(FINISH, self.finish()).await.is_err() {
            tracing::warn!("audit log not exported to its end, the rest goes out after the next start");
        }
    }

    /// Sends what is left, once, and lets another process go on.
    async fn finish(&mut self) {
        loop {
            match self.step().await {
                Ok(Step::Delivered(_) | Step::Narrowed(_) | Step::GaveUp(_)) => {}
                Ok(Step::Idle | Step::Elsewhere) => break,
                Err(error) => {
                    tracing::warn!(error = causes(&error), "audit log not exported to its end");
                    break;
                }
            }
        }
        if let Some(Held { lease, .. }) = self.held.take() {
            let released = self.store.write_async(SINK, move |tx| sinks::release(tx, &lease)).await;
            if let Err(error) = released {
                tracing::debug!(error = causes(&error), "export is not handed over");
            }
        }
    }

    /// Sends the next records and moves the cursor when all of them were taken.
    ///
    /// # Errors
    ///
    /// [`ExportError`]; the cursor has not moved then.
    pub async fn step(&mut self) -> Result<Step, ExportError> {
        let look = self.look().await?;
        match look {
            Look::Nothing => return Ok(Step::Idle),
            Look::Elsewhere => return Ok(Step::Elsewhere),
            Look::Pending(_) | Look::Again(_) => {}
        }
        let Some(lease) = self.hold().await? else { return Ok(Step::Elsewhere) };
        let span = tracing::info_span!("audit.export", records = tracing::field::Empty);
        let step = async {
            match look {
                Look::Pending(entries) => self.export(lease, entries).await,
                Look::Again(entry) => self.redeliver(lease, *entry).await,
                Look::Nothing | Look::Elsewhere => Ok(Step::Idle),
            }
        };
        let step = step.instrument(span).await;
        if matches!(step, Err(ExportError::Store(_))) {
            self.held = None; // somebody else may have gone on meanwhile
        }
        step
    }

    async fn export(&mut self, lease: SinkLease, entries: Vec<AuditEntry>) -> Result<Step, ExportError> {
        // What was refused together is halved until one is left, which goes out alone.
        let most = match self.suspects {
            0 => entries.len(),
            suspects => suspects.div_ceil(2).min(suspects - 1).max(1),
        };
        let (batch, records) = bounded(entries, most);
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return Ok(Step::Idle) };
        let (from, to, count) = (first.seq, last.seq + 1, records.len());
        tracing::Span::current().record("records", count);
        match self.logs.send(records).await {
            Ok(()) => {
                self.advance(lease, from, to).await?;
                self.suspects = self.suspects.saturating_sub(count);
                metrics::exported("delivered", count);
                Ok(Step::Delivered(count))
            }
            Err(ExportError::Refused { .. }) if count > 1 => {
                self.suspects = count;
                metrics::exported("refused", count);
                Ok(Step::Narrowed(count))
            }
            Err(refusal @ ExportError::Refused { .. }) => {
                self.suspects = 1;
                let (status, reason) = self.at_fault(from, refusal).await?;
                self.give_up(lease, first, status, reason).await?;
                self.suspects = 0;
                metrics::exported("given_up", 1);
                Ok(Step::GaveUp(from))
            }
            Err(error) => {
                metrics::exported("failed", count);
                Err(error)
            }
        }
    }

    /// Sends a dead letter once more, because a person wants so.
    async fn redeliver(&mut self, lease: SinkLease, entry: AuditEntry) -> Result<Step, ExportError> {
        let (seq, now) = (entry.seq, self.clock.now());
        match self.logs.send(vec![record::log_record(entry)]).await {
            Ok(()) => {
                self.store.write_async(SINK, move |tx| sinks::redelivered(tx, &lease, seq, now)).await?;
                self.prolonged(now);
                metrics::exported("delivered", 1);
                Ok(Step::Delivered(1))
            }
            Err(refusal @ ExportError::Refused { .. }) => {
                let (http_status, reason) = self.at_fault(seq, refusal).await?;
                tracing::error!(seq, http_status, reason, "collector refuses a record of the audit log once more");
                let letter = DeadLetter { seq, given_up_at: now, http_status, reason };
                self.store.write_async(SINK, move |tx| sinks::refused_again(tx, &lease, &letter)).await?;
                self.prolonged(now);
                metrics::exported("given_up", 1);
                Ok(Step::GaveUp(seq))
            }
            Err(error) => {
                metrics::exported("failed", 1);
                Err(error)
            }
        }
    }

    /// What the collector says of a record, if the record is at fault: a collector that does not take its neighbour
    /// either, because its quota is used up, say, is out of order. The refusal else, which may pass.
    async fn at_fault(&self, seq: u64, refusal: ExportError) -> Result<(u16, String), ExportError> {
        let ExportError::Refused { status, reason } = refusal else { return Err(refusal) };
        for neighbour in self.neighbours(seq).await? {
            match self.logs.send(vec![record::log_record(neighbour)]).await {
                Ok(()) => return Ok((status, reason)),
                Err(ExportError::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        metrics::exported("failed", 1);
        Err(ExportError::Refused { status, reason })
    }

    /// The record before this one that the collector has taken; those after it where there is none nearby.
    async fn neighbours(&self, seq: u64) -> Result<Vec<AuditEntry>, ExportError> {
        let store = self.store.clone();
        let read = move |conn: &mut Conn| -> Result<Vec<AuditEntry>, StoreError> {
            let around = sinks::dead_letters(conn, SINK, seq.saturating_sub(NEARBY.into()), 2 * NEARBY + 1)?;
            let given_up = |entry: &AuditEntry| around.iter().any(|letter| letter.seq == entry.seq);
            let limit = NEARBY;
            let before = Filter { before: Some(seq), order: Order::Newest, limit, ..Filter::default() };
            let taken = audit::entries(conn, &before)?.into_iter().find(|entry| !given_up(entry));
            if let Some(taken) = taken {
                return Ok(vec![taken]);
            }
            let after = audit::entries(conn, &Filter { from: seq + 1, limit, ..Filter::default() })?;
            Ok(after.into_iter().filter(|entry| !given_up(entry)).collect())
        };
        Ok(tokio::task::spawn_blocking(move || store.read(read)).await??)
    }

    /// What is to be sent, unless another process sees to it.
    async fn look(&self) -> Result<Look, ExportError> {
        let (store, owner, now) = (self.store.clone(), self.owner.clone(), self.clock.now());
        let look = move |conn: &mut Conn| -> Result<Look, StoreError> {
            let from = sinks::cursor(conn, SINK)?;
            let again = sinks::wanted_again(conn, SINK)?;
            if again.is_none() && audit::size(conn)? <= from {
                return Ok(Look::Nothing);
            }
            if sinks::holder(conn, SINK)?.is_some_and(|(holder, until)| holder != owner && until > now) {
                return Ok(Look::Elsewhere);
            }
            if let Some(seq) = again {
                let entry = audit::entries(conn, &Filter { from: seq, limit: 1, ..Filter::default() })?.pop();
                return Ok(Look::Again(Box::new(entry.ok_or(StoreError::Missing)?)));
            }
            Ok(Look::Pending(audit::entries(conn, &Filter { from, limit: BATCH, ..Filter::default() })?))
        };
        Ok(tokio::task::spawn_blocking(move || store.read(look)).await??)
    }

    /// The lease, with enough left of it for what follows; `None` when somebody else was faster.
    async fn hold(&mut self) -> Result<Option<SinkLease>, ExportError> {
        let now = self.clock.now();
        if let Some(held) = self.held.as_ref().filter(|held| held.until > now.plus(2 * TIMEOUT)) {
            return Ok(Some(held.lease.clone()));
        }
        let owner = self.owner.clone();
        let taken = self.store.write_async(SINK, move |tx| sinks::take(tx, SINK, &owner, now, LEASE)).await?;
        self.held = taken.map(|lease| Held { lease, until: now.plus(LEASE) });
        Ok(self.held.as_ref().map(|held| held.lease.clone()))
    }

    async fn advance(&mut self, lease: SinkLease, from: u64, to: u64) -> Result<(), ExportError> {
        let now = self.clock.now();
        self.store.write_async(SINK, move |tx| sinks::advance(tx, &lease, from, to, now)).await?;
        self.prolonged(now);
        Ok(())
    }

    /// The dead letter, the record that tells of it, and the cursor past it, all in one transaction.
    async fn give_up(
        &mut self,
        lease: SinkLease,
        entry: &AuditEntry,
        http_status: u16,
        reason: String,
    ) -> Result<(), ExportError> {
        let now = self.clock.now();
        tracing::error!(seq = entry.seq, http_status, reason, "collector refuses a record of the audit log for good");
        let mut told = AuditRecord::new(Uuid::now_v7(), now, REJECTED, Outcome::Error);
        told.reason = "collector_refuses_the_record".to_owned();
        told.detail = json!({ "seq": entry.seq, "event": entry.record.event, "status": http_status, "said": reason });
        let letter = DeadLetter { seq: entry.seq, given_up_at: now, http_status, reason };
        // Else a collector that refuses these records, too, would have us write them for ever.
        let tell = entry.record.kind != REJECTED;
        let write = move |tx: &mut Tx<'_>| {
            sinks::give_up(tx, &lease, &letter)?;
            if tell { tx.stage(&told) } else { Ok(()) }
        };
        self.store.write_async(SINK, write).await?;
        self.prolonged(now);
        Ok(())
    }

    fn prolonged(&mut self, now: Millis) {
        if let Some(held) = &mut self.held {
            held.until = now.plus(LEASE);
        }
    }
}

/// The first entries, at most `most` and [`BATCH_BYTES`], but always one.
fn bounded(mut entries: Vec<AuditEntry>, most: usize) -> (Vec<AuditEntry>, Vec<LogRecord>) {
    let mut records = Vec::new();
    let mut bytes = 0;
    for entry in entries.iter().take(most) {
        let record = record::log_record(entry.clone());
        bytes += record.encoded_len();
        if !records.is_empty() && bytes > BATCH_BYTES {
            break;
        }
        records.push(record);
    }
    entries.truncate(records.len());
    (entries, records)
}
