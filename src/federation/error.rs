use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use portcullis_core::identity::certificate::IdentityError;
use portcullis_core::wire::uri::UriError;
use serde_json::json;
use uuid::Uuid;

use crate::gateway::GatewayError;
use crate::peer::causes;

/// Seconds after which a caller may come again when we are overloaded.
const COME_AGAIN_SECONDS: u16 = 2;

/// Why a request gets no protocol answer; told as a problem document (RFC 9457, reading D-13).
#[derive(Debug, thiserror::Error)]
pub(crate) enum FederationError {
    /// No such endpoint.
    #[error("no such endpoint")]
    NoRoute,
    /// An endpoint, but not with this method.
    #[error("endpoint does not take this method")]
    Method,
    /// The path does not name what the endpoint is about.
    #[error("path does not hold the identifier that the endpoint takes")]
    Target(#[source] UriError),
    /// A header that must occur exactly once.
    #[error("header `{0}` must occur exactly once")]
    Header(HeaderName),
    /// The connection shows no certificate.
    #[error("a client certificate is needed")]
    NoCertificate,
    /// `Host`, `From` and the certificate do not say who speaks to which of our domains.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A provider we do not federate with, that an operator has blocked, or that comes with another key.
    #[error("caller is not among the peers")]
    NotAPeer,
    /// The body is too long.
    #[error("body is longer than {limit_bytes} bytes")]
    Oversize {
        /// The endpoint's limit.
        limit_bytes: usize,
    },
    /// The body did not arrive in time.
    #[error("body did not arrive in time")]
    SlowBody,
    /// The body did not arrive whole.
    #[error("body did not arrive whole")]
    BrokenBody(#[source] PayloadError),
    /// An oblivious request that is encapsulated to none of our keys (RFC 9458, section 5.3).
    #[error("request is encapsulated to no key of this gateway")]
    OhttpKey,
    /// An oblivious request at an endpoint that is not its gateway.
    #[error("an oblivious request is for its gateway alone")]
    Strayed,
    /// The use case gave no protocol answer.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The door was put together without its parts.
    #[error("internal error")]
    NotSetUp,
}

impl FederationError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoRoute | Self::Gateway(GatewayError::NotFound) => "not_found",
            Self::Method => "method_not_allowed",
            Self::Target(_)
            | Self::Header(_)
            | Self::BrokenBody(_)
            | Self::OhttpKey
            | Self::Strayed
            | Self::Identity(IdentityError::From)
            | Self::Gateway(GatewayError::Decode(_)) => "malformed",
            Self::Identity(IdentityError::Host) => "not_for_us",
            Self::NoCertificate | Self::Identity(IdentityError::Certificate) => "certificate_missing",
            Self::Identity(IdentityError::Mismatch { .. })
            | Self::NotAPeer
            | Self::Gateway(GatewayError::WrongIdentity) => "wrong_identity",
            Self::Oversize { .. } => "oversize",
            Self::SlowBody => "timeout",
            Self::Gateway(GatewayError::Refused { code, .. }) => code,
            Self::Gateway(GatewayError::Conflict | GatewayError::KeyReused) => "conflict",
            Self::Gateway(GatewayError::TooMany(_)) => "too_many_requests",
            Self::Gateway(GatewayError::Unavailable(_)) => "unavailable",
            Self::Gateway(GatewayError::PeerUnreachable(_)) => "peer_unreachable",
            Self::Gateway(GatewayError::Internal(_)) | Self::NotSetUp => "internal",
        }
    }

    fn decision(&self) -> Option<Uuid> {
        if let Self::Gateway(GatewayError::Refused { decision, .. }) = self { *decision } else { None }
    }
}

impl ResponseError for FederationError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::NoRoute | Self::Gateway(GatewayError::NotFound) => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            // Reading D-13: 409 is not used between providers.
            Self::Target(_)
            | Self::Header(_)
            | Self::BrokenBody(_)
            | Self::OhttpKey
            | Self::Strayed
            | Self::Identity(IdentityError::From)
            | Self::Gateway(GatewayError::Decode(_) | GatewayError::Conflict | GatewayError::KeyReused) => {
                StatusCode::BAD_REQUEST
            }
            Self::Identity(IdentityError::Host) => StatusCode::MISDIRECTED_REQUEST,
            Self::NoCertificate | Self::Identity(IdentityError::Certificate) => StatusCode::UNAUTHORIZED,
            Self::Identity(IdentityError::Mismatch { .. })
            | Self::NotAPeer
            | Self::Gateway(GatewayError::WrongIdentity | GatewayError::Refused { .. }) => StatusCode::FORBIDDEN,
            Self::Oversize { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::Gateway(GatewayError::TooMany(_)) => StatusCode::TOO_MANY_REQUESTS,
            Self::Gateway(GatewayError::Unavailable(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Gateway(GatewayError::PeerUnreachable(_)) => StatusCode::BAD_GATEWAY,
            Self::Gateway(GatewayError::Internal(_)) | Self::NotSetUp => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        if status == StatusCode::BAD_GATEWAY {
            tracing::warn!(status = status.as_u16(), cause = causes(self), "somebody else failed a request");
        } else if status.is_server_error() {
            tracing::error!(status = status.as_u16(), cause = causes(self), "request failed");
        }
        let mut response = HttpResponse::build(status);
        if let Self::Gateway(GatewayError::TooMany(limit)) = self {
            response.insert_header((RETRY_AFTER, HeaderValue::from(limit.seconds())));
        } else if status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((RETRY_AFTER, HeaderValue::from(COME_AGAIN_SECONDS)));
        }
        let mut problem = json!({
            "type": match self {
                // Registered: clients know by it that they are to ask for the keys again.
                Self::OhttpKey => "https://iana.org/assignments/http-problem-types#ohttp-key".to_owned(),
                _ => format!("urn:portcullis:problem:{}", self.code()),
            },
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "code": self.code(),
            "detail": self.to_string(),
        });
        if let (Some(decision), Some(members)) = (self.decision(), problem.as_object_mut()) {
            members.insert("decision".to_owned(), json!(decision));
        }
        response.insert_header((CONTENT_TYPE, "application/problem+json")).body(problem.to_string())
    }
}
