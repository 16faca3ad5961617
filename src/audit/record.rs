//! One record in the forms it is shown in: JSON for programs, an OTLP log record for collectors.

use data_encoding::HEXLOWER;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{Domain, RoomUri};
use portcullis_store::audit::{AuditEntry, AuditRecord, Outcome};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// An entry of the log as `portcullis audit list --json` prints it, a line each, and the admin door shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Shown {
    /// Position in the log, from 0, without gaps.
    pub seq: u64,
    /// Identifier of the record.
    #[schema(value_type = String, format = "uuid")]
    pub event: Uuid,
    /// When it happened, in milliseconds since the UNIX epoch.
    #[schema(value_type = u64)]
    pub at: Millis,
    /// What happened, such as `decision.commit`.
    pub kind: String,
    /// `allow`, `deny`, `error`, `info` or `alarm`.
    pub outcome: &'static str,
    /// The decision that the caller was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub decision: Option<Uuid>,
    /// The room.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub room: Option<RoomUri>,
    /// Who acted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The provider it came from or went to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub peer: Option<Domain>,
    /// Identifiers of the policies that decided.
    pub policy: Vec<String>,
    /// Code of the reason.
    pub reason: String,
    /// SHA-256 of the policy bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
    /// MLS epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// SHA-256 of the MLSMessage; the same in every provider's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange: Option<String>,
    /// The trace of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// What else the record holds.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
}

impl From<AuditEntry> for Shown {
    fn from(AuditEntry { seq, record, .. }: AuditEntry) -> Self {
        let AuditRecord {
            event,
            at,
            kind,
            outcome,
            decision,
            room,
            actor,
            peer,
            policy,
            reason,
            bundle,
            epoch,
            exchange,
            trace,
            detail,
        } = record;
        Self {
            seq,
            event,
            at,
            kind,
            outcome: outcome.name(),
            decision,
            room,
            actor,
            peer,
            policy,
            reason,
            bundle: bundle.map(|hash| HEXLOWER.encode(&hash)),
            epoch,
            exchange: exchange.map(|hash| HEXLOWER.encode(&hash)),
            trace,
            detail,
        }
    }
}

/// The OTLP form. Receivers recognise repetitions by `log.record.uid`, and gaps by `portcullis.audit.seq`.
pub(super) fn log_record(entry: AuditEntry) -> LogRecord {
    let severity = severity(entry.record.outcome);
    let shown = Shown::from(entry);
    let mut attributes = vec![
        attribute("log.record.uid", Some(text(shown.event))),
        attribute("portcullis.audit.seq", Some(Value::IntValue(i64::try_from(shown.seq).unwrap_or(i64::MAX)))),
        attribute("portcullis.outcome", Some(text(shown.outcome))),
        attribute("portcullis.reason", Some(text(shown.reason.as_str()))),
        attribute("portcullis.decision", shown.decision.map(text)),
        attribute("portcullis.room", shown.room.map(text)),
        attribute("portcullis.peer", shown.peer.map(text)),
        attribute(
            "portcullis.epoch",
            shown.epoch.map(|epoch| Value::IntValue(i64::try_from(epoch).unwrap_or(i64::MAX))),
        ),
        attribute("portcullis.exchange", shown.exchange.map(text)),
        attribute("portcullis.policy.bundle", shown.bundle.map(text)),
        attribute("portcullis.detail", (!shown.detail.is_null()).then(|| text(&shown.detail))),
        attribute("user.id", shown.actor.map(text)),
    ];
    if !shown.policy.is_empty() {
        let values = shown.policy.iter().map(|name| AnyValue { value: Some(text(name)) }).collect();
        attributes.push(attribute("security_rule.name", Some(Value::ArrayValue(ArrayValue { values }))));
    }
    attributes.retain(|attribute| attribute.value.is_some());
    LogRecord {
        time_unix_nano: shown.at.0.saturating_mul(1_000_000),
        severity_number: severity.into(),
        severity_text: severity.as_str_name().trim_start_matches("SEVERITY_NUMBER_").to_owned(),
        body: Some(AnyValue { value: Some(text(format_args!("{} {}: {}", shown.kind, shown.outcome, shown.reason))) }),
        attributes,
        trace_id: shown.trace.and_then(|trace| HEXLOWER.decode(trace.as_bytes()).ok()).unwrap_or_default(),
        event_name: format!("portcullis.{}", shown.kind),
        ..LogRecord::default()
    }
}

fn severity(outcome: Outcome) -> SeverityNumber {
    match outcome {
        Outcome::Allow | Outcome::Info => SeverityNumber::Info,
        Outcome::Deny => SeverityNumber::Warn,
        Outcome::Error | Outcome::Alarm => SeverityNumber::Error,
    }
}

fn attribute(key: &str, value: Option<Value>) -> KeyValue {
    KeyValue { key: key.to_owned(), value: value.map(|value| AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(value: impl std::fmt::Display) -> Value {
    Value::StringValue(value.to_string())
}
