//! Diagnostics: a log on standard error, and traces to an OTLP collector. Never the audit record, which is exported
//! from the database with a cursor of its own (`audit`).

mod http;

pub use http::request;

use std::io::IsTerminal as _;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
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
    /// The exporter of traces cannot be made.
    #[error("traces cannot be exported to `{otlp}`")]
    Exporter {
        /// The collector.
        otlp: String,
        /// Why.
        source: opentelemetry_otlp::ExporterBuildError,
    },
    /// Diagnostics were set up before in this process.
    #[error("diagnostics are set up already")]
    Again(#[from] tracing_subscriber::util::TryInitError),
}

/// Keeps diagnostics going. When it is dropped, spans not yet exported are.
#[must_use = "diagnostics end when the guard is dropped"]
pub struct Guard {
    traces: Option<SdkTracerProvider>,
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
    let traces = config.otlp.as_deref().map(exporter).transpose()?;
    let spans = traces.as_ref().map(|traces| tracing_opentelemetry::layer().with_tracer(traces.tracer(SERVICE)));
    tracing_subscriber::registry().with(filter).with(lines).with(spans).try_init()?;
    Ok(Guard { traces })
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
fn exporter(otlp: &str) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", otlp.trim_end_matches('/')))
        .with_timeout(TIMEOUT)
        .build()
        .map_err(|source| TelemetryError::Exporter { otlp: otlp.to_owned(), source })?;
    let resource = Resource::builder()
        .with_service_name(SERVICE)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build())
}

impl Guard {
    /// Exports the spans that are left, and ends. Takes at most [`TIMEOUT`] and may be called anywhere.
    pub fn shut_down(self) {
        drop(self);
    }
}

impl Drop for Guard {
    /// Flushes on a thread of its own, so that it may be dropped inside an asynchronous runtime.
    fn drop(&mut self) {
        let Some(traces) = self.traces.take() else { return };
        let flush = std::thread::spawn(move || traces.shutdown_with_timeout(TIMEOUT));
        match flush.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "last traces not exported"),
            Err(_) => tracing::warn!("last traces not exported"),
        }
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
        config::Telemetry { otlp: None, log: log.map(str::to_owned) }
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
        let guard = Guard { traces: Some(exporter(&collector).unwrap()) };
        guard.traces.as_ref().unwrap().tracer(SERVICE).in_span("unforgettable", |_| ());
        guard.shut_down();
        let body = spans.try_recv().unwrap();
        assert!(body.windows(13).any(|window| window == b"unforgettable"));
    }
}
