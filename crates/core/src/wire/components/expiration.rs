//! message_expiration_policy: how long messages last (draft-ietf-mimi-room-policy).

use serde::{Deserialize, Serialize};
use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

use crate::wire::wire;

use super::{Component, ComponentId, Conditional};

/// `MessageExpiration`. Clients enforce it.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageExpirationPolicy {
    /// Whether messages expire, and when.
    pub expiring_messages: Conditional<ExpirationLimits>,
}

/// When messages expire, in seconds after they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpirationLimits {
    /// Soonest.
    pub min_seconds: u32,
    /// Latest.
    pub max_seconds: u32,
    /// Where the sender does not say.
    pub default_seconds: Option<u32>,
}

impl Component for MessageExpirationPolicy {
    const ID: ComponentId = ComponentId::MESSAGE_EXPIRATION_POLICY;
}

wire!(MessageExpirationPolicy);
