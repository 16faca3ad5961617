//! `identifierQuery`: which users a provider knows under a name (draft-ietf-mimi-protocol, "Find internal address").

use serde::{Deserialize, Serialize};
use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

use super::components::Dictionary;
use super::uri::UserUri;
use super::{codec, wire};

/// What is searched for. Names of fields and values are texts (reading D-3).
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
#[repr(u8)]
pub enum QueryElement {
    /// Exactly this handle, such as `im:alice.smith@a.example`.
    #[tls_codec(discriminant = 1)]
    Handle {
        /// The handle as a URI.
        #[tls_codec(with = "codec::text")]
        value: String,
    },
    /// Exactly this nickname.
    #[tls_codec(discriminant = 2)]
    Nick {
        /// The nickname.
        #[tls_codec(with = "codec::text")]
        value: String,
    },
    /// Exactly this address.
    #[tls_codec(discriminant = 3)]
    Email {
        /// An `addr-spec`.
        #[tls_codec(with = "codec::text")]
        value: String,
    },
    /// Exactly this number.
    #[tls_codec(discriminant = 4)]
    Phone {
        /// E.164 with its `+`.
        #[tls_codec(with = "codec::text")]
        value: String,
    },
    /// Part of a name, whatever its case.
    #[tls_codec(discriminant = 5)]
    PartialName {
        /// The part.
        #[tls_codec(with = "codec::text")]
        value: String,
    },
    /// Part of any field that may be searched, whatever its case.
    #[tls_codec(discriminant = 6)]
    WholeProfile {
        /// The part.
        #[tls_codec(with = "codec::text")]
        value: String,
    },
    /// Exactly this value of a standard claim of OpenID Connect.
    #[tls_codec(discriminant = 7)]
    OidcStdClaim {
        /// The claim, such as `given_name`.
        #[tls_codec(with = "codec::text")]
        name: String,
        /// Its value.
        #[tls_codec(with = "codec::text")]
        value: String,
    },
    /// Exactly this value of a property of vCard.
    #[tls_codec(discriminant = 8)]
    VcardField {
        /// The property, such as `ORG`.
        #[tls_codec(with = "codec::text")]
        name: String,
        /// Its value.
        #[tls_codec(with = "codec::text")]
        value: String,
    },
}

impl QueryElement {
    /// As records spell it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Handle { .. } => "handle",
            Self::Nick { .. } => "nick",
            Self::Email { .. } => "email",
            Self::Phone { .. } => "phone",
            Self::PartialName { .. } => "partial_name",
            Self::WholeProfile { .. } => "whole_profile",
            Self::OidcStdClaim { .. } => "oidc_std_claim",
            Self::VcardField { .. } => "vcard_field",
        }
    }
}

/// A query: who is meant is what all elements fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct IdentifierRequest {
    /// What must fit.
    pub elements: Vec<QueryElement>,
    /// Extensions.
    pub extensions: Dictionary,
}

/// How a query went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
#[repr(u8)]
pub enum IdentifierQueryCode {
    /// There is somebody.
    Success = 0,
    /// There is nobody, or nobody who wants to be found.
    NotFound = 1,
    /// There are more than are told.
    Ambiguous = 2,
    /// The provider does not answer such a query.
    Forbidden = 3,
    /// The provider does not search such a field.
    UnsupportedField = 4,
}

impl IdentifierQueryCode {
    /// As records spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::NotFound => "not_found",
            Self::Ambiguous => "ambiguous",
            Self::Forbidden => "forbidden",
            Self::UnsupportedField => "unsupported_field",
        }
    }
}

/// Where the name of a field comes from.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    TlsSize,
    TlsSerialize,
    TlsDeserialize,
)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum FieldSource {
    /// A standard claim of OpenID Connect.
    OidcStdClaim = 7,
    /// A property of vCard.
    VcardField = 8,
}

/// A field of a profile.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct ProfileField {
    /// Where its name comes from.
    pub source: FieldSource,
    /// Its name.
    #[tls_codec(with = "codec::text")]
    pub name: String,
    /// Its value.
    #[tls_codec(with = "codec::text")]
    pub value: String,
}

/// Somebody who was found.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct UserProfile {
    /// The identifier of the user.
    pub stable_uri: UserUri,
    /// What may be seen.
    pub fields: Vec<ProfileField>,
}

/// The answer to an [`IdentifierRequest`].
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct IdentifierResponse {
    /// How it went.
    pub code: IdentifierQueryCode,
    /// The same users as in `profiles` (reading D-49).
    pub uris: Vec<UserUri>,
    /// Who was found.
    pub profiles: Vec<UserProfile>,
    /// Extensions.
    pub extensions: Dictionary,
}

wire!(IdentifierRequest, IdentifierResponse);
