use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::de::DeserializeOwned;

use super::keys::{Keys, KeysError};
use crate::peer::causes;

/// How far the clocks of token issuers may be off, for `exp` and `nbf`.
pub(crate) const LEEWAY_SECONDS: u64 = 30;

/// Why a request has no caller.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No `Authorization: Bearer`. HTTP 401.
    #[error("a bearer token is needed")]
    Missing,
    /// The token is malformed, signed by no key of ours, for another audience or issuer, or out of its time. HTTP 401.
    #[error("the bearer token is not valid")]
    Invalid(#[source] Option<jsonwebtoken::errors::Error>),
    /// The token names neither a user of ours nor a service that may act. HTTP 403.
    #[error("the token's subject is no user of this gateway and may not act for one")]
    Subject,
    /// A service token without the header that names the user. HTTP 400.
    #[error("a service names the user it acts for in the header `Portcullis-User`")]
    ActingUserMissing,
    /// The header names no user of our domains, or a user token names another user. HTTP 403.
    #[error("the token may not act for this user")]
    ActingUser,
}

/// Checks the tokens of one door.
pub struct Verifier {
    keys: Keys,
    issuer: Option<String>,
    audience: &'static str,
}

impl Verifier {
    /// Takes the place of the key set, the issuer to ask for, and the audience of the door. Reads the set at once.
    ///
    /// # Errors
    ///
    /// [`KeysError`] when a key set in a file is not readable. One behind a URL is asked for again with the next token.
    pub async fn open(jwks: &str, issuer: Option<String>, audience: &'static str) -> Result<Self, KeysError> {
        let keys = Keys::new(jwks)?;
        match keys.load().await {
            Ok(()) => {}
            Err(error @ (KeysError::Url { .. } | KeysError::Oversize { .. })) => {
                tracing::warn!(audience, error = causes(&error), "key set for tokens not read yet");
            }
            Err(error @ (KeysError::File { .. } | KeysError::Format { .. })) => return Err(error),
        }
        Ok(Self { keys, issuer, audience })
    }

    /// Checks signature, audience, issuer and times of the bearer token in a request's headers.
    ///
    /// # Errors
    ///
    /// [`AuthError::Missing`] and [`AuthError::Invalid`].
    pub async fn claims<C: DeserializeOwned + Clone>(&self, headers: &HeaderMap) -> Result<C, AuthError> {
        let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = authorization.and_then(bearer).ok_or(AuthError::Missing)?;
        self.verify(token).await
    }

    async fn verify<C: DeserializeOwned + Clone>(&self, token: &str) -> Result<C, AuthError> {
        let invalid = |error| AuthError::Invalid(Some(error));
        let header = jsonwebtoken::decode_header(token).map_err(invalid)?;
        if !matches!(header.alg, Algorithm::EdDSA | Algorithm::ES256 | Algorithm::RS256) {
            return Err(AuthError::Invalid(None));
        }
        let jwk = self.keys.find(header.kid.as_deref()).await.ok_or(AuthError::Invalid(None))?;
        if jwk.common.key_algorithm.is_some_and(|named| named != header.alg.into()) {
            return Err(AuthError::Invalid(None));
        }
        let mut validation = Validation::new(header.alg);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_audience(&[self.audience]);
        validation.set_required_spec_claims(&["exp", "aud", "sub"]);
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        let key = DecodingKey::from_jwk(&jwk).map_err(invalid)?;
        let decoded = jsonwebtoken::decode::<C>(token, &key, &validation).map_err(invalid)?;
        Ok(decoded.claims)
    }
}

/// The credentials of the `Bearer` scheme, whose name is case-insensitive (RFC 9110, section 11.1).
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}
