//! mls_operational_policy: how MLS is to be operated (draft-ietf-mimi-room-policy; reading P-4).

use serde::{Deserialize, Serialize};
use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

use crate::wire::{codec, wire};

use super::{Component, ComponentId, MediaType};

/// `OperationalParameters`. Times are in seconds unless they say otherwise.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct OperationalParameters {
    /// What every client must support.
    pub mandatory_capabilities: ExtendedCapabilities,
    /// What a client supports unless it says otherwise.
    pub default_capabilities: ExtendedCapabilities,
    /// What no client may use.
    pub forbidden_capabilities: ExtendedCapabilities,
    /// The wire formats that handshakes may have.
    pub handshake_formats: Vec<u16>,
    /// Proposals may come from outside the group.
    #[tls_codec(with = "codec::flag")]
    pub external_proposal_allowed: bool,
    /// Clients may join by external commit.
    #[tls_codec(with = "codec::flag")]
    pub external_commit_allowed: bool,
    /// When members commit pending proposals.
    pub pending_proposal_policy: PendingProposalPolicy,
    /// How often members update their leaf.
    pub leaf_node_update: MinDefaultMaxTime,
    /// How tolerant receivers are.
    pub app_message_policy: AppMessagePolicy,
    /// Longest lifetime of a KeyPackage.
    pub max_key_package_lifetime: u64,
    /// Longest lifetime of a credential.
    pub max_credential_lifetime: u64,
    /// How long a resumption PSK is kept.
    pub resumption_psk_lifetime: u64,
    /// How long unused nonces and keys of a sender are kept.
    pub sender_nonce: MinDefaultMaxTime,
    /// Most unused key pairs that are kept.
    pub max_keypairs: u32,
    /// How long messages are buffered.
    pub buffer: MinDefaultMaxTime,
    /// Most messages that are buffered.
    pub max_buffered: u32,
}

/// Ten kinds of things that a client may support.
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExtendedCapabilities {
    /// Protocol versions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<u16>,
    /// Cipher suites.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suites: Vec<u16>,
    /// Extension types.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<u16>,
    /// Proposal types.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub proposals: Vec<u16>,
    /// Credential types.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<u16>,
    /// Wire formats.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wire_formats: Vec<u16>,
    /// Components.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub component_ids: Vec<ComponentId>,
    /// Components in authenticated data.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub safe_aad_types: Vec<ComponentId>,
    /// Media types.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub media_types: Vec<MediaType>,
    /// Content types of MLS framing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub content_types: Vec<u8>,
}

impl ExtendedCapabilities {
    /// Whether nothing stands in any of the ten lists.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// When members commit pending proposals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
#[repr(u8)]
pub enum PendingProposalPolicy {
    /// As they like.
    #[tls_codec(discriminant = 0)]
    Unspecified,
    /// At once.
    #[tls_codec(discriminant = 1)]
    ImmediateCommit,
    /// After a random delay.
    #[tls_codec(discriminant = 2)]
    RandomDelay {
        /// Shortest, in milliseconds.
        min_ms: u64,
        /// Longest, in milliseconds.
        max_ms: u64,
    },
}

/// A time with its limits, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct MinDefaultMaxTime {
    /// Least.
    pub min: u64,
    /// Where nothing else is said.
    pub default: u64,
    /// Most.
    pub max: u64,
}

/// How tolerant receivers of application messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct AppMessagePolicy {
    /// How many epochs back a message may be (reading D-31).
    pub epoch_tolerance: u8,
    /// Messages are padded to a multiple of this many octets.
    pub pad_to_bytes: u16,
    /// How many messages of a sender may be skipped.
    pub max_skip_ahead: u32,
}

impl Component for OperationalParameters {
    const ID: ComponentId = ComponentId::MLS_OPERATIONAL_POLICY;
}

wire!(OperationalParameters);
