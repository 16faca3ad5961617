//! What bearer tokens say, and the key that signs tokens for development.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, OctetKeyPairParameters,
    OctetKeyPairType, PublicKeyUse, ThumbprintHash,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Audience of tokens for the provider door.
pub const AUDIENCE: &str = "portcullis-provider";

/// Audience of tokens for the admin door.
pub const ADMIN_AUDIENCE: &str = "portcullis-admin";

/// The word in `scope` that lets a service act for users of the company.
pub const ACT: &str = "act";

/// The claims the provider door reads. Of further ones it keeps those that its configuration names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// A user identifier of our domains, or the name of a service.
    pub sub: String,
    /// Seconds since the UNIX epoch after which the token is worth nothing.
    pub exp: u64,
    /// Words separated by spaces; [`ACT`] makes a service token.
    #[serde(default)]
    pub scope: String,
    /// All others.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Claims {
    /// Whether the token may act for users named in the request.
    pub fn may_act(&self) -> bool {
        self.scope.split(' ').any(|word| word == ACT)
    }
}

/// What a token for development is to say.
#[derive(Clone, Debug)]
pub struct Grant<'a> {
    /// `sub`.
    pub subject: &'a str,
    /// `aud`.
    pub audience: &'a str,
    /// `iss`, where the gateway asks for one.
    pub issuer: Option<&'a str>,
    /// `scope`.
    pub scope: &'a str,
    /// Roles, and the claim they stand in; none for users and services.
    pub roles: Option<(&'a str, &'a [String])>,
    /// Seconds from now until `exp`.
    pub lifetime_seconds: u64,
}

#[derive(Serialize)]
struct Issued<'a> {
    sub: &'a str,
    aud: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'a str,
    iat: u64,
    nbf: u64,
    exp: u64,
    #[serde(flatten)]
    roles: BTreeMap<&'a str, &'a [String]>,
}

/// An Ed25519 key that signs tokens. Companies sign with their own identity provider; this one is for development.
pub struct TokenKey {
    key: EncodingKey,
    public: Jwk,
}

impl TokenKey {
    /// Reads a PKCS#8 PEM.
    ///
    /// # Errors
    ///
    /// When the text is no Ed25519 key in PKCS#8 PEM.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        let key = EncodingKey::from_ed_pem(pem.as_bytes())?;
        let mut public = public(&key)?;
        public.common.key_id = Some(public.thumbprint(ThumbprintHash::SHA256)?);
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self { key, public })
    }

    /// The public half as a key set, to be written to the JWKS file. Its `kid` is the RFC 7638 thumbprint.
    pub fn jwks(&self) -> JwkSet {
        JwkSet { keys: vec![self.public.clone()] }
    }

    /// Signs a token that starts now. Reads the wall clock, as whoever checks the token does.
    ///
    /// # Errors
    ///
    /// When the key cannot sign.
    pub fn sign(&self, grant: &Grant<'_>) -> Result<String, Error> {
        let now = jsonwebtoken::get_current_timestamp();
        let header = Header { kid: self.public.common.key_id.clone(), ..Header::new(Algorithm::EdDSA) };
        let claims = Issued {
            sub: grant.subject,
            aud: grant.audience,
            iss: grant.issuer,
            scope: grant.scope,
            iat: now,
            nbf: now,
            exp: now.saturating_add(grant.lifetime_seconds),
            roles: grant.roles.into_iter().collect(),
        };
        jsonwebtoken::encode(&header, &claims, &self.key)
    }
}

/// The public half of an Ed25519 key (RFC 8037). [`Jwk::from_encoding_key`] takes PKCS#8 of version 1 only, and most
/// tools write version 2.
pub(crate) fn public(key: &EncodingKey) -> Result<Jwk, Error> {
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.as_bytes()).map_err(|_| ErrorKind::InvalidEddsaKey)?;
    let common = CommonParameters { key_algorithm: Some(KeyAlgorithm::EdDSA), ..CommonParameters::default() };
    let algorithm = AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
        key_type: OctetKeyPairType::OctetKeyPair,
        curve: EllipticCurve::Ed25519,
        x: URL_SAFE_NO_PAD.encode(pair.public_key()),
    });
    Ok(Jwk { common, algorithm })
}
