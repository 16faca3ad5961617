//! `keyMaterial`: a KeyPackage for each client of a user (draft-ietf-mimi-protocol, "Fetch Key Material").

use openmls::credentials::Credential;
use openmls::prelude::Capabilities;
use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

use super::mls::KeyPackage;
use super::uri::{ClientUri, RoomUri, UserUri};
use super::{Protocol, codec, wire, without_signature};

/// A request for KeyPackages, signed by the requester's client.
///
/// It has no nonce and no time, so it can be replayed by whoever has seen it (reading D-21).
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct KeyMaterialRequest {
    /// MLS 1.0.
    pub protocol: Protocol,
    /// Who asks.
    pub requesting_user: UserUri,
    /// Whose clients.
    pub target_user: UserUri,
    /// The room they are for; `None` is a zero-length identifier (reading D-19).
    #[tls_codec(with = "codec::room_or_empty")]
    pub room: Option<RoomUri>,
    /// Cipher suites in order of preference. The signature is of the first one's scheme (reading D-20).
    pub acceptable_suites: Vec<u16>,
    /// What the KeyPackages must support.
    pub required_capabilities: RequiredCapabilities,
    /// The key that verifies the signature.
    #[tls_codec(with = "codec::opaque")]
    pub requester_signature_key: Vec<u8>,
    /// Whose key it is.
    pub requester_credential: Credential,
    /// Over [`Self::tbs`], with the label `KeyMaterialRequestTBS`.
    #[tls_codec(with = "codec::opaque")]
    pub signature: Vec<u8>,
}

/// `RequiredCapabilities` (RFC 9420, section 11.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct RequiredCapabilities {
    /// Extension types.
    pub extension_types: Vec<u16>,
    /// Proposal types.
    pub proposal_types: Vec<u16>,
    /// Credential types.
    pub credential_types: Vec<u16>,
}

/// What is known about a user's key material as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
#[repr(u8)]
pub enum KeyMaterialUserCode {
    /// A KeyPackage for every client.
    Success = 0,
    /// A KeyPackage for at least one client, but not for all.
    PartialSuccess = 1,
    /// No common protocol.
    IncompatibleProtocol = 2,
    /// Clients, but no KeyPackage that fits (reading D-60).
    NoCompatibleMaterial = 3,
    /// No such user.
    UserUnknown = 4,
    /// The user has not consented; also stands for everything a provider wants to hide.
    NoConsent = 5,
    /// The user has consented, to another room.
    NoConsentForThisRoom = 6,
    /// The user is gone.
    UserDeleted = 7,
}

/// The answer to a [`KeyMaterialRequest`].
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct KeyMaterialResponse {
    /// MLS 1.0.
    pub protocol: Protocol,
    /// How it went.
    pub status: KeyMaterialUserCode,
    /// Whose clients.
    pub user: UserUri,
    /// One entry a client; empty for all codes but success, partialSuccess and noCompatibleMaterial.
    pub clients: Vec<ClientKeyMaterial>,
}

/// What is there for one client.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
#[repr(u8)]
pub enum ClientKeyMaterial {
    /// A KeyPackage that is given to nobody else.
    #[tls_codec(discriminant = 0)]
    Success {
        /// The client.
        client: ClientUri,
        /// Its KeyPackage.
        key_package: KeyPackage,
    },
    /// All KeyPackages are used up.
    #[tls_codec(discriminant = 1)]
    Exhausted {
        /// The client.
        client: ClientUri,
    },
    /// No KeyPackage fits the request.
    #[tls_codec(discriminant = 2)]
    NothingCompatible {
        /// The client.
        client: ClientUri,
        /// What it does support, where its provider says so.
        capabilities: Option<Capabilities>,
    },
}

impl KeyMaterialRequest {
    /// What the signature is over: the request without it.
    pub fn tbs(&self) -> Vec<u8> {
        without_signature(self, &self.signature)
    }
}

impl ClientKeyMaterial {
    /// Which client it is about.
    pub fn client(&self) -> &ClientUri {
        match self {
            Self::Success { client, .. } | Self::Exhausted { client } | Self::NothingCompatible { client, .. } => {
                client
            }
        }
    }
}

wire!(KeyMaterialRequest, KeyMaterialResponse, RequiredCapabilities);
