//! chat_history_policy: who may share earlier messages (draft-ietf-mimi-room-policy; reading P-5).

use serde::{Deserialize, Serialize};
use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

use crate::wire::{codec, wire};

use super::{Component, ComponentId, Conditional};

/// `HistoryPolicy`. Clients enforce it.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryPolicy {
    /// Whether, and how.
    pub history_sharing: Conditional<HistorySharing>,
}

/// How history is shared.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistorySharing {
    /// Indexes of the roles that can share.
    pub roles_that_can_share: Vec<u32>,
    /// New participants get it without asking.
    #[tls_codec(with = "codec::flag")]
    pub automatically_share: bool,
    /// How far back, in seconds.
    pub max_time_period_seconds: u32,
}

impl Component for HistoryPolicy {
    const ID: ComponentId = ComponentId::CHAT_HISTORY_POLICY;
}

wire!(HistoryPolicy);
