use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::TcpListener;
use std::sync::{Mutex, mpsc};

use actix_web::dev::ServerHandle;
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::sync::watch;

use crate::harness::own_loopback;

/// An OTLP receiver that keeps what it takes, and is told what to refuse.
pub(super) struct Receiver {
    state: Data<State>,
    url: String,
    server: ServerHandle,
}

#[derive(Default)]
struct State {
    away: Mutex<bool>,
    /// Whether requests are kept without an answer.
    holds: watch::Sender<bool>,
    held: Mutex<BTreeSet<i64>>,
    refused: Mutex<BTreeSet<i64>>,
    logs: Mutex<Vec<LogRecord>>,
    spans: Mutex<Vec<Span>>,
    metrics: Mutex<Vec<Metric>>,
    /// Bodies of traces and metrics as they came.
    raw: Mutex<Vec<Vec<u8>>>,
}

impl Receiver {
    pub(super) fn start() -> Self {
        let state = Data::new(State::default());
        let listener = TcpListener::bind((own_loopback(), 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = state.clone();
        let app = move || {
            App::new()
                .app_data(shared.clone())
                .app_data(web::PayloadConfig::new(16 << 20))
                .route("/v1/logs", web::post().to(logs))
                .route("/v1/traces", web::post().to(traces))
                .route("/v1/metrics", web::post().to(metrics))
        };
        let (started, server) = mpsc::channel();
        // On a thread of its own: tests wait for processes on theirs.
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async {
                let server = HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run();
                started.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        Self { state, url, server: server.recv().unwrap() }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Answers 503 to everything from now on, or no longer.
    pub(super) fn away(&self, away: bool) {
        *self.state.away.lock().unwrap() = away;
    }

    /// Reads what comes from now on, without taking or answering it, or gives all of that back unanswered.
    pub(super) fn hold(&self, holds: bool) {
        self.state.holds.send_replace(holds);
    }

    /// Positions of the audit records in requests that were read and not answered.
    pub(super) fn held(&self) -> BTreeSet<i64> {
        self.state.held.lock().unwrap().clone()
    }

    /// Rejects, as a partial success, the record at this position.
    pub(super) fn refuse(&self, position: i64) {
        self.state.refused.lock().unwrap().insert(position);
    }

    /// Takes that one from now on.
    pub(super) fn take(&self, position: i64) {
        self.state.refused.lock().unwrap().remove(&position);
    }

    /// Positions of the audit records in requests that were taken as a whole.
    pub(super) fn positions(&self) -> BTreeSet<i64> {
        self.state.logs.lock().unwrap().iter().map(position).collect()
    }

    pub(super) fn spans(&self) -> Vec<Span> {
        self.state.spans.lock().unwrap().clone()
    }

    pub(super) fn metrics(&self) -> Vec<Metric> {
        self.state.metrics.lock().unwrap().clone()
    }

    /// Whether `words` stand anywhere in traces or metrics.
    pub(super) fn has_seen(&self, words: &str) -> bool {
        let raw = self.state.raw.lock().unwrap();
        raw.iter().any(|body| body.windows(words.len()).any(|window| window == words.as_bytes()))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.server.stop(false));
    }
}

fn position(record: &LogRecord) -> i64 {
    let attribute = record.attributes.iter().find(|attribute| attribute.key == "portcullis.audit.seq").unwrap();
    match attribute.value.as_ref().unwrap().value {
        Some(Value::IntValue(position)) => position,
        ref other => panic!("{other:?}"),
    }
}

fn unzipped(request: &HttpRequest, body: &Bytes) -> Vec<u8> {
    if request.headers().get("content-encoding").is_none() {
        return body.to_vec();
    }
    let mut unzipped = Vec::new();
    GzDecoder::new(&**body).read_to_end(&mut unzipped).unwrap();
    unzipped
}

async fn logs(state: Data<State>, request: HttpRequest, body: Bytes) -> HttpResponse {
    if *state.away.lock().unwrap() {
        return HttpResponse::ServiceUnavailable().finish();
    }
    let request = ExportLogsServiceRequest::decode(&*unzipped(&request, &body)).unwrap();
    let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
    let records: Vec<LogRecord> = scopes.flat_map(|scope| scope.log_records).collect();
    let mut holds = state.holds.subscribe();
    if *holds.borrow() {
        state.held.lock().unwrap().extend(records.iter().map(position));
        holds.wait_for(|holds| !holds).await.unwrap();
        return HttpResponse::ServiceUnavailable().finish();
    }
    let refused = state.refused.lock().unwrap();
    let rejected = records.iter().filter(|record| refused.contains(&position(record))).count();
    let mut answer = ExportLogsServiceResponse::default();
    if rejected == 0 {
        state.logs.lock().unwrap().extend(records);
    } else {
        let error_message = "attribute is too odd".to_owned();
        let rejected_log_records = i64::try_from(rejected).unwrap();
        answer.partial_success = Some(ExportLogsPartialSuccess { rejected_log_records, error_message });
    }
    HttpResponse::Ok().body(answer.encode_to_vec())
}

async fn traces(state: Data<State>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let body = unzipped(&request, &body);
    let decoded = ExportTraceServiceRequest::decode(&*body).unwrap();
    let scopes = decoded.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    state.spans.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
    state.raw.lock().unwrap().push(body);
    HttpResponse::Ok().finish()
}

async fn metrics(state: Data<State>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let body = unzipped(&request, &body);
    let decoded = ExportMetricsServiceRequest::decode(&*body).unwrap();
    let scopes = decoded.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
    state.metrics.lock().unwrap().extend(scopes.flat_map(|scope| scope.metrics));
    state.raw.lock().unwrap().push(body);
    HttpResponse::Ok().finish()
}
