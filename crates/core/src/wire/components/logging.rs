//! logging_policy: whether the room is logged, and by whom (draft-ietf-mimi-room-policy).

use serde::{Deserialize, Serialize};
use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

use crate::wire::{codec, wire};

use super::{Component, ComponentId, Conditional};

/// `LoggingPolicy`.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoggingPolicy {
    /// Whether, and how.
    pub logging: Conditional<Logging>,
}

/// How a room is logged.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logging {
    /// Identifiers of the clients that log (reading P-2).
    #[tls_codec(with = "codec::texts")]
    pub logging_clients: Vec<String>,
    /// Where the logging policy is, for machines.
    #[tls_codec(with = "codec::text")]
    pub machine_readable_policy: String,
    /// Where the logging policy is, for people.
    #[tls_codec(with = "codec::text")]
    pub human_readable_policy: String,
}

impl Component for LoggingPolicy {
    const ID: ComponentId = ComponentId::LOGGING_POLICY;
}

wire!(LoggingPolicy);
