//! Diagnostics: a log on standard error, and traces and metrics to an OTLP collector. Never the audit record, which is exported
//! from the database with a cursor of its own (`audit`).

mod collector;
mod gauges;
mod http;
pub mod metrics;

pub use collector::Collector;
pub use gauges::watch;
pub use http::{Door, request};

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::thread::JoinHandle;
use std::time::Duration;

use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use crate::config;

/// Name under which this process reports.
pub const SERVICE: &str = "portcullis";

/// What is logged when neither `RUST_LOG` nor the configuration says.
const DEFAULT_FILTER: &str = "info";

/// Longest wait for the collector, for each export and at the end.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why diagnostics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not of the form `info,portcullis=debug`.
    #[error("log filter `{filter}` is not valid")]
    Filter {
        /// What was given.
        filter: String,
        /// Why.
        source: tracing_subscriber::filter::ParseError,
    },
    /// An exporter cannot be made.
    #[error("nothing can be exported to `{url}`")]
    Exporter {
        /// Where to.
        url: String,
        /// Why.
        source: ExporterBuildError,
    },
    /// The value of a header is not where it should be.
    #[error("header `{header}` for the collector cannot be read")]
    Secret {
        /// The header.
        header: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Diagnostics were set up before in this process.
    #[error("diagnostics are set up already")]
    Again(#[from] tracing_subscriber::util::TryInitError),
}

/// Keeps diagnostics going. When it is dropped, spans and metrics not yet exported are.
#[must_use = "diagnostics end when the guard is dropped"]
pub struct Guard {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
}

/// Starts diagnostics for this process: text for people when standard error is a terminal, else JSON lines.
/// `RUST_LOG` stands above the configuration.
///
/// # Errors
///
/// [`TelemetryError`].
pub fn start(config: &config::Telemetry) -> Result<Guard, TelemetryError> {
    let filter = filter(config, std::env::var(EnvFilter::DEFAULT_ENV).ok())?;
    let lines = if std::io::stderr().is_terminal() {
        fmt::layer().with_writer(std::io::stderr).boxed()
    } else {
        fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed()
    };
    let collector = Collector::of(config)?;
    let traces = collector.as_ref().map(traces).transpose()?;
    let metrics = collector.as_ref().map(measurements).transpose()?;
    if let Some(metrics) = &metrics {
        global::set_meter_provider(metrics.clone());
    }
    let spans = traces.as_ref().map(|traces| tracing_opentelemetry::layer().with_tracer(traces.tracer(SERVICE)));
    tracing_subscriber::registry().with(filter).with(lines).with(spans).try_init()?;
    Ok(Guard { traces, metrics })
}

/// The trace that the present code is part of, in 32 hexadecimal digits; none when traces are not exported.
pub fn current_trace_id() -> Option<String> {
    let context = tracing::Span::current().context();
    let id = context.span().span_context().trace_id();
    (id != opentelemetry::trace::TraceId::INVALID).then(|| id.to_string())
}

fn filter(config: &config::Telemetry, environment: Option<String>) -> Result<EnvFilter, TelemetryError> {
    let filter = environment.filter(|filter| !filter.is_empty()).or_else(|| config.log.clone());
    let filter = filter.unwrap_or_else(|| DEFAULT_FILTER.to_owned());
    EnvFilter::try_new(&filter).map_err(|source| TelemetryError::Filter { filter, source })
}

/// Batches go out on a thread of the SDK's own, over the blocking client: the asynchronous one finds no reactor there.
fn traces(collector: &Collector) -> Result<SdkTracerProvider, TelemetryError> {
    let url = collector.url("traces");
    let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary).with_timeout(TIMEOUT);
    let exporter = exporter.with_endpoint(url.as_str()).with_headers(headers(collector)).build();
    let exporter = exporter.map_err(|source| TelemetryError::Exporter { url, source })?;
    Ok(SdkTracerProvider::builder().with_resource(resource()).with_batch_exporter(exporter).build())
}

/// Collected once a minute, or as often as `OTEL_METRIC_EXPORT_INTERVAL` says, on a thread of the SDK's own.
fn measurements(collector: &Collector) -> Result<SdkMeterProvider, TelemetryError> {
    let url = collector.url("metrics");
    let exporter = MetricExporter::builder().with_http().with_protocol(Protocol::HttpBinary).with_timeout(TIMEOUT);
    let exporter = exporter.with_endpoint(url.as_str()).with_headers(headers(collector)).build();
    let exporter = exporter.map_err(|source| TelemetryError::Exporter { url, source })?;
    Ok(SdkMeterProvider::builder().with_resource(resource()).with_periodic_exporter(exporter).build())
}

fn headers(collector: &Collector) -> HashMap<String, String> {
    collector.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    Resource::builder().with_service_name(SERVICE).with_attribute(version).build()
}

impl Guard {
    /// Exports the spans and metrics that are left, and ends. Takes about [`TIMEOUT`] at most and may be called anywhere.
    pub fn shut_down(self) {
        drop(self);
    }
}

impl Drop for Guard {
    /// Flushes on threads of their own, so that it may be dropped inside an asynchronous runtime.
    fn drop(&mut self) {
        let (traces, metrics) = (self.traces.take(), self.metrics.take());
        let traces = traces.map(|traces| std::thread::spawn(move || traces.shutdown_with_timeout(TIMEOUT)));
        let metrics = metrics.map(|metrics| std::thread::spawn(move || metrics.shutdown_with_timeout(TIMEOUT)));
        wait("traces", traces);
        wait("metrics", metrics);
    }
}

fn wait(what: &str, flush: Option<JoinHandle<OTelSdkResult>>) {
    match flush.map(JoinHandle::join) {
        None | Some(Ok(Ok(()))) => {}
        Some(Ok(Err(error))) => tracing::warn!(%error, "last {what} not exported"),
        Some(Err(_)) => tracing::warn!("last {what} not exported"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::mpsc;

    use actix_web::web::{self, Bytes, Data};
    use actix_web::{App, HttpResponse, HttpServer};
    use opentelemetry::trace::Tracer as _;

    use super::*;

    fn configured(log: Option<&str>) -> config::Telemetry {
        config::Telemetry { log: log.map(str::to_owned), ..config::Telemetry::default() }
    }

    #[test]
    fn the_environment_stands_above_the_configuration_and_that_above_the_default() {
        let configured = configured(Some("warn,portcullis=trace"));
        assert_eq!(filter(&configured, Some("debug".to_owned())).unwrap().to_string(), "debug");
        assert_eq!(filter(&configured, None).unwrap().to_string(), "portcullis=trace,warn");
        assert_eq!(filter(&config::Telemetry::default(), Some(String::new())).unwrap().to_string(), DEFAULT_FILTER);
    }

    #[test]
    fn a_filter_that_is_none_is_an_error_that_names_it() {
        let error = filter(&configured(Some("portcullis=loud")), None).err().unwrap();
        assert_eq!(error.to_string(), "log filter `portcullis=loud` is not valid");
    }

    #[actix_web::test]
    async fn the_last_spans_are_exported_by_a_guard_that_goes_inside_a_runtime() {
        let (came, spans) = mpsc::channel::<Bytes>();
        let came = Data::new(std::sync::Mutex::new(came));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let collector = format!("http://{}/", listener.local_addr().unwrap());
        let take = async |came: Data<std::sync::Mutex<mpsc::Sender<Bytes>>>, body: Bytes| {
            came.lock().unwrap().send(body).unwrap();
            HttpResponse::Ok().finish()
        };
        let app = move || App::new().app_data(came.clone()).route("/v1/traces", web::post().to(take));
        // On a thread of its own: the flush holds up this one.
        std::thread::spawn(move || {
            let serve =
                async { HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run().await };
            actix_web::rt::System::new().block_on(serve)
        });
        let guard = Guard { traces: Some(traces(&Collector::at(&collector)).unwrap()), metrics: None };
        guard.traces.as_ref().unwrap().tracer(SERVICE).in_span("unforgettable", |_| ());
        guard.shut_down();
        let body = spans.try_recv().unwrap();
        assert!(body.windows(13).any(|window| window == b"unforgettable"));
    }
}
