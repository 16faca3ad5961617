use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use portcullis_core::wire::target::{TargetError, target};
use portcullis_core::wire::uri::{Domain, UriError, UserUri};

use super::FederationError;

/// The identifier in the path, after `/v1/{endpoint}/`.
pub(super) struct Target<T>(pub(super) T);

impl<T: FromStr<Err = UriError>> FromRequest for Target<T> {
    type Error = FederationError;
    type Future = Ready<Result<Self, FederationError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        // The router's own view of the path is decoded in part; the exact bytes are needed here.
        ready(target(request.uri().path()).map(Self).map_err(FederationError::from))
    }
}

/// A provider domain, or that of the user who stands in its place: the draft has both (reading D-16).
pub(super) struct OfDomain(pub(super) Domain);

impl FromStr for OfDomain {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let domain = if text.starts_with("mimi:") { UserUri::parse(text)?.domain() } else { Domain::parse(text)? };
        Ok(Self(domain))
    }
}

impl From<TargetError> for FederationError {
    fn from(error: TargetError) -> Self {
        match error {
            TargetError::NoRoute => Self::NoRoute,
            TargetError::Uri(error) => Self::Target(error),
        }
    }
}
