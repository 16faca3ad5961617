//! The collector's side of the export: what is sent to it, and what its answers mean (OTLP 1.9, "OTLP/HTTP Response").
//!
//! The batch processor of the OpenTelemetry SDK drops when its queue is full and takes a partial success for a
//! success; evidence needs neither, so the protocol is spoken here.

use std::io::Write as _;
use std::time::Duration;

use actix_web::web::BytesMut;
use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use portcullis_core::wire::uri::Domain;
use prost::Message as _;
use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;

use super::ExportError;
use crate::peer::retry_after;
use crate::telemetry::{Collector, SERVICE};

/// Longest wait for the collector's answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest answer that is read, in bytes.
const ANSWER_BYTES: usize = 64 * 1024;

/// Longest reason of the collector that is kept, in bytes.
const REASON_BYTES: usize = 1000;

/// The way to one collector's logs.
pub(super) struct Logs {
    http: reqwest::Client,
    url: String,
    headers: HeaderMap,
    resource: Resource,
}

/// The body of a refusal (google.rpc.Status), as far as it is read.
#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
}

impl Logs {
    /// Takes the domain that the records belong to.
    pub(super) fn new(collector: &Collector, domain: &Domain) -> Result<Self, ExportError> {
        let mut headers = HeaderMap::new();
        for (name, value) in collector.headers() {
            let invalid = || ExportError::Header(name.to_owned());
            let mut value = HeaderValue::from_str(value).map_err(|_| invalid())?;
            value.set_sensitive(true);
            headers.insert(HeaderName::try_from(name).map_err(|_| invalid())?, value);
        }
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
        // Whoever is redirected to is not the collector that was configured, and a redirected POST may lose its body.
        let http = reqwest::Client::builder().timeout(TIMEOUT).redirect(Policy::none()).build()?;
        Ok(Self { http, url: collector.url("logs"), headers, resource: Resource { attributes, ..Resource::default() } })
    }

    /// Sends records.
    ///
    /// # Errors
    ///
    /// [`ExportError::Refused`] when the records are at fault; all others may pass.
    pub(super) async fn send(&self, records: Vec<LogRecord>) -> Result<(), ExportError> {
        let body = zip(&self.encode(records)).map_err(ExportError::Compress)?;
        let request = self.http.post(&self.url).headers(self.headers.clone());
        let request = request.header(CONTENT_TYPE, "application/x-protobuf").header(CONTENT_ENCODING, "gzip");
        let response = request.body(body).send().await?;
        let status = response.status();
        // Only these can be the records' fault. Whatever else the collector says, it says of itself or of us.
        if !status.is_success() && !matches!(status.as_u16(), 400 | 413 | 422) {
            let retry_after = retry_after(response.headers());
            return Err(ExportError::Status { status: status.as_u16(), retry_after });
        }
        collected(status.as_u16(), &read(response).await?)
    }

    fn encode(&self, log_records: Vec<LogRecord>) -> Vec<u8> {
        let scope = InstrumentationScope {
            name: "portcullis.audit".to_owned(),
            version: "1".to_owned(),
            ..InstrumentationScope::default()
        };
        let scope_logs = vec![ScopeLogs { scope: Some(scope), log_records, schema_url: String::new() }];
        let resource_logs =
            vec![ResourceLogs { resource: Some(self.resource.clone()), scope_logs, schema_url: String::new() }];
        ExportLogsServiceRequest { resource_logs }.encode_to_vec()
    }
}

/// What a collector's answer says of the records it was sent: with a status of success, or one that blames them.
///
/// # Errors
///
/// [`ExportError::Refused`] when it does not take them all, [`ExportError::Answer`] when a success is none of OTLP.
pub fn collected(status: u16, body: &[u8]) -> Result<(), ExportError> {
    if (200..300).contains(&status) {
        let answer = ExportLogsServiceResponse::decode(body)?;
        let partial = answer.partial_success.unwrap_or_default();
        if partial.rejected_log_records == 0 {
            return Ok(());
        }
        return Err(ExportError::Refused { status, reason: shortened(&partial.error_message) });
    }
    let reason = match Status::decode(body) {
        Ok(Status { message }) if !message.is_empty() => message,
        Ok(_) | Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    Err(ExportError::Refused { status, reason: shortened(&reason) })
}

fn zip(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

async fn read(mut response: Response) -> Result<actix_web::web::Bytes, ExportError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(chunk.get(..chunk.len().min(ANSWER_BYTES - body.len())).unwrap_or_default());
        if body.len() == ANSWER_BYTES {
            break;
        }
    }
    Ok(body.freeze())
}

fn shortened(reason: &str) -> String {
    let printable: String = reason.chars().filter(|character| !character.is_control()).collect();
    let end = printable.floor_char_boundary(REASON_BYTES);
    printable.get(..end).unwrap_or_default().to_owned()
}
