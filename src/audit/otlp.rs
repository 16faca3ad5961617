//! The export of the audit log as OTLP logs: at least once, in order, from a cursor that is kept in the database.
//!
//! The batch processor of the OpenTelemetry SDK drops when its queue is full and takes a partial success for a
//! success; evidence needs neither, so the protocol is spoken here.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use portcullis_core::wire::uri::Domain;
use portcullis_store::audit::{AuditEntry, Filter};
use portcullis_store::{Store, StoreError, Topic, audit, sinks};
use prost::Message as _;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use tokio::sync::watch;
use tokio::time::sleep;

use super::record;
use crate::gateway::{Clock, Gateway};
use crate::peer::causes;
use crate::telemetry::SERVICE;

/// Name of the cursor.
const SINK: &str = "otlp";

/// Records in one request.
const BATCH: u32 = 256;

/// Longest wait for the collector's answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Wait after a failure: the first, doubled with each further one up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Longest time without looking for new records.
const IDLE: Duration = Duration::from_secs(5);

/// Why a batch did not count as delivered. It is sent again.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log cannot be read, or the cursor not written.
    #[error("audit log or cursor not available")]
    Store(#[from] StoreError),
    /// The collector does not answer.
    #[error("collector does not answer")]
    Http(#[from] reqwest::Error),
    /// The collector refuses.
    #[error("collector answered with status {status}")]
    Status {
        /// HTTP status.
        status: u16,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// The collector took only a part. Which one is not said, so nothing counts.
    #[error("collector rejected {rejected} of {sent} records")]
    Partial {
        /// Rejected records.
        rejected: i64,
        /// Records sent.
        sent: usize,
    },
    /// The answer is no ExportLogsServiceResponse.
    #[error("collector's answer is malformed")]
    Answer(#[from] prost::DecodeError),
    /// A worker thread ended.
    #[error("interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// Exports the log of a gateway to a collector until `closing` becomes true.
pub async fn export(gateway: Gateway, collector: String, closing: watch::Receiver<bool>) {
    let Some(domain) = gateway.domains().first() else { return };
    match Exporter::new(gateway.store().clone(), gateway.clock().clone(), &collector, domain) {
        Ok(exporter) => exporter.run(closing).await,
        Err(error) => tracing::error!(error = causes(&error), "audit log is not exported"),
    }
}

impl ExportError {
    /// How long the collector asks to wait.
    fn retry_after(&self) -> Duration {
        match self {
            Self::Status { retry_after, .. } => retry_after.unwrap_or_default(),
            Self::Store(_) | Self::Http(_) | Self::Partial { .. } | Self::Answer(_) | Self::Interrupted(_) => {
                Duration::ZERO
            }
        }
    }
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many records were delivered, and the cursor stands after them.
    Delivered(usize),
    /// All positioned records are delivered.
    Idle,
}

/// Sends the log of one database to one collector.
pub struct Exporter {
    store: Store,
    clock: Clock,
    http: reqwest::Client,
    url: String,
    resource: Resource,
}

impl Exporter {
    /// Takes the collector's origin, such as `http://127.0.0.1:4318`, and the domain that the records belong to.
    ///
    /// # Errors
    ///
    /// When no HTTP client can be made.
    pub fn new(store: Store, clock: Clock, otlp: &str, domain: &Domain) -> Result<Self, ExportError> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).build()?;
        let attribute = |key: &str, value: &str| KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) }),
            ..KeyValue::default()
        };
        let attributes = vec![
            attribute("service.name", SERVICE),
            attribute("service.version", env!("CARGO_PKG_VERSION")),
            attribute("service.instance.id", domain.as_str()),
        ];
        let url = format!("{}/v1/logs", otlp.trim_end_matches('/'));
        Ok(Self { store, clock, http, url, resource: Resource { attributes, ..Resource::default() } })
    }

    /// Exports until `closing` becomes true. Failures are retried for ever: the log stays, and so does the cursor.
    pub async fn run(self, mut closing: watch::Receiver<bool>) {
        let mut changes = self.store.changes(Topic::Audit);
        let mut wait = FIRST_WAIT;
        while !*closing.borrow() {
            changes.mark_unchanged();
            match self.step().await {
                Ok(Step::Delivered(_)) => wait = FIRST_WAIT,
                Ok(Step::Idle) => tokio::select! {
                    _ = closing.wait_for(|closing| *closing) => {}
                    _ = changes.changed() => {}
                    () = sleep(IDLE) => {}
                },
                Err(error) => {
                    tracing::warn!(error = causes(&error), "audit log not exported");
                    let pause = wait.max(error.retry_after()).min(LONGEST_WAIT);
                    wait = (wait * 2).min(LONGEST_WAIT);
                    tokio::select! {
                        _ = closing.wait_for(|closing| *closing) => {}
                        () = sleep(pause) => {}
                    }
                }
            }
        }
    }

    /// Sends the next records and moves the cursor when all of them were taken.
    ///
    /// # Errors
    ///
    /// [`ExportError`]; the cursor has not moved then.
    pub async fn step(&self) -> Result<Step, ExportError> {
        let (from, entries) = self.pending().await?;
        let Some(last) = entries.last().map(|entry| entry.seq) else { return Ok(Step::Idle) };
        let sent = entries.len();
        self.send(entries).await?;
        let now = self.clock.now();
        self.store.write_async(SINK, move |tx| sinks::advance(tx, SINK, from, last + 1, now)).await?;
        Ok(Step::Delivered(sent))
    }

    /// The cursor, and what stands from there on.
    async fn pending(&self) -> Result<(u64, Vec<AuditEntry>), ExportError> {
        let store = self.store.clone();
        let read = move || {
            store.read(|conn| -> Result<_, StoreError> {
                let from = sinks::cursor(conn, SINK)?;
                Ok((from, audit::entries(conn, &Filter { from, limit: BATCH, ..Filter::default() })?))
            })
        };
        Ok(tokio::task::spawn_blocking(read).await??)
    }

    async fn send(&self, entries: Vec<AuditEntry>) -> Result<(), ExportError> {
        let sent = entries.len();
        let response =
            self.http.post(&self.url).header(CONTENT_TYPE, "application/x-protobuf").body(self.encode(entries));
        let response = response.send().await?;
        if !response.status().is_success() {
            let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let retry_after = seconds.map(Duration::from_secs);
            return Err(ExportError::Status { status: response.status().as_u16(), retry_after });
        }
        let answer = ExportLogsServiceResponse::decode(response.bytes().await?)?;
        match answer.partial_success.map_or(0, |partial| partial.rejected_log_records) {
            0 => Ok(()),
            rejected => Err(ExportError::Partial { rejected, sent }),
        }
    }

    fn encode(&self, entries: Vec<AuditEntry>) -> Vec<u8> {
        let scope = InstrumentationScope {
            name: "portcullis.audit".to_owned(),
            version: "1".to_owned(),
            ..InstrumentationScope::default()
        };
        let log_records = entries.into_iter().map(record::log_record).collect();
        let scope_logs = vec![ScopeLogs { scope: Some(scope), log_records, schema_url: String::new() }];
        let resource_logs =
            vec![ResourceLogs { resource: Some(self.resource.clone()), scope_logs, schema_url: String::new() }];
        ExportLogsServiceRequest { resource_logs }.encode_to_vec()
    }
}
