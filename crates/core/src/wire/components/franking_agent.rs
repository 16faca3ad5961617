//! franking_agent: the key with which the hub signs franks (draft-ietf-mimi-protocol, "Franking").

use openmls::credentials::Credential;
use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

use crate::wire::{codec, wire};

use super::{Component, ComponentId};

/// The hub's franking key; its type is that of the group's cipher suite.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct FrankingAgent {
    /// The key.
    #[tls_codec(with = "codec::opaque")]
    pub signature_key: Vec<u8>,
    /// The hub.
    pub credential: Credential,
}

impl Component for FrankingAgent {
    const ID: ComponentId = ComponentId::FRANKING_AGENT;
}

wire!(FrankingAgent);
