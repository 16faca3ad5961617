//! Refusals as RFC 9457 problem details with a documented code.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::auth::AuthError;
use crate::gateway::GatewayError;
use crate::gateway::admin::{AdminError, Denied};
use crate::peer::causes;

/// Header that carries the decision's identifier, on answers and refusals.
pub const DECISION: &str = "Portcullis-Decision";

/// Media type of the body.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Every code the provider door itself gives, with its status and meaning. A refusal by policy gives the code of its rule.
pub const CODES: &[(&str, u16, &str)] = &[
    ("malformed", 400, "the body, a path segment or a parameter is not what the route takes"),
    ("idempotency_key_missing", 400, "a POST without an `Idempotency-Key` of 1 to 128 visible ASCII characters"),
    ("acting_user_missing", 400, "a service token without the header `Portcullis-User`"),
    ("token_missing", 401, "no bearer token"),
    ("token_invalid", 401, "the token's signature, audience, issuer or time does not hold"),
    ("token_subject", 403, "the token names no user of this gateway and may not act for one"),
    ("acting_user_refused", 403, "the token may not act for the user named in `Portcullis-User`"),
    ("user_deactivated", 403, "the company's identity provider has deactivated or deleted the user"),
    ("wrong_identity", 403, "the user may not speak for the identity in the request"),
    ("unknown_template", 403, "the policy bundle has no such room template"),
    ("not_the_created_room", 403, "the first group is not what the room was created with"),
    ("group_info_refused", 403, "the GroupInfo is not that of the room, or not signed by a client of the caller in it"),
    ("group_info_stale", 403, "the room is in a later epoch than the GroupInfo; take in its events and try again"),
    ("not_allowed", 403, "policy or the state of the room refuses; `Portcullis-Decision` names the decision"),
    ("not_found", 404, "no such room, user, device, file or route"),
    ("method_not_allowed", 405, "the route exists, but not for this method"),
    ("slow_body", 408, "the body did not arrive in time"),
    ("conflict", 409, "it exists already, or its state does not take this"),
    ("in_progress", 409, "a request with the same `Idempotency-Key` is still being worked on"),
    ("oversize", 413, "the body is longer than the route takes"),
    ("idempotency_key_reused", 422, "the `Idempotency-Key` was used before with another body"),
    ("too_many_requests", 429, "more requests than the limit allows; `Retry-After` says when to come again"),
    ("internal", 500, "a fault of the gateway"),
    ("peer_unreachable", 502, "the other provider, or the host of a file, does not answer"),
    ("unavailable", 503, "too much at once, or no durable audit record can be written; try again later"),
];

/// Seconds after which a refusal with status 503 may be tried again.
const RETRY_AFTER_SECONDS: u16 = 1;

/// A refusal on its way out.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The caller is not known.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The use case refused or failed.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// Policy refused a person at the admin door.
    #[error("{}", .0.sentence)]
    Denied(Denied),
    /// A body, path segment or parameter that does not parse.
    #[error("{0}")]
    Malformed(String),
    /// A body beyond the limit of its route, in bytes.
    #[error("the body is longer than {0} bytes")]
    Oversize(usize),
    /// A body that does not arrive.
    #[error("the body took too long to arrive")]
    SlowBody,
    /// A POST without its key.
    #[error("a POST needs the header `Idempotency-Key`: 1 to 128 visible ASCII characters")]
    IdempotencyKeyMissing,
    /// The first request with this key is still running.
    #[error("a request with this `Idempotency-Key` is still being worked on")]
    InProgress,
    /// No such route.
    #[error("no such route")]
    NoRoute,
    /// Another method.
    #[error("the route does not take this method")]
    Method,
    /// The server was put together without something a handler needs.
    #[error("internal error")]
    Unconfigured,
}

/// The body of a refusal (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemDetails {
    /// `urn:portcullis:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status as a phrase.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// Code for programs.
    pub code: String,
    /// A sentence for people.
    pub detail: String,
    /// Code of the reason; at the admin door only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The policies that decided; at the admin door only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// The decision in the audit log, where one was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub decision: Option<Uuid>,
}

impl From<AdminError> for Problem {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Denied(denied) => Self::Denied(denied),
            AdminError::Gateway(error) => Self::Gateway(error),
        }
    }
}

impl Problem {
    /// The code of [`CODES`], or the code of the rule that refused.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::Gateway(GatewayError::Decode(_)) => "malformed",
            Self::IdempotencyKeyMissing => "idempotency_key_missing",
            Self::Auth(AuthError::ActingUserMissing) => "acting_user_missing",
            Self::Auth(AuthError::Missing) => "token_missing",
            Self::Auth(AuthError::Invalid(_)) => "token_invalid",
            Self::Auth(AuthError::Subject) => "token_subject",
            Self::Auth(AuthError::ActingUser) => "acting_user_refused",
            Self::Gateway(GatewayError::WrongIdentity) => "wrong_identity",
            Self::Denied(_) => "not_allowed",
            Self::Gateway(GatewayError::Refused { code, .. }) => code,
            Self::NoRoute | Self::Gateway(GatewayError::NotFound) => "not_found",
            Self::Method => "method_not_allowed",
            Self::Gateway(GatewayError::Conflict) => "conflict",
            Self::InProgress => "in_progress",
            Self::Oversize(_) => "oversize",
            Self::SlowBody => "slow_body",
            Self::Gateway(GatewayError::KeyReused) => "idempotency_key_reused",
            Self::Unconfigured | Self::Gateway(GatewayError::Internal(_)) => "internal",
            Self::Gateway(GatewayError::PeerUnreachable(_)) => "peer_unreachable",
            Self::Gateway(GatewayError::TooMany(_)) => "too_many_requests",
            Self::Gateway(GatewayError::Unavailable(_)) => "unavailable",
        }
    }

    /// The decision behind it.
    pub fn decision(&self) -> Option<Uuid> {
        match self {
            Self::Gateway(GatewayError::Refused { decision, .. }) => *decision,
            Self::Denied(denied) => Some(denied.decision),
            Self::Gateway(
                GatewayError::Decode(_)
                | GatewayError::WrongIdentity
                | GatewayError::NotFound
                | GatewayError::Conflict
                | GatewayError::KeyReused
                | GatewayError::Unavailable(_)
                | GatewayError::TooMany(_)
                | GatewayError::PeerUnreachable(_)
                | GatewayError::Internal(_),
            )
            | Self::Auth(_)
            | Self::Malformed(_)
            | Self::Oversize(_)
            | Self::SlowBody
            | Self::IdempotencyKeyMissing
            | Self::InProgress
            | Self::NoRoute
            | Self::Method
            | Self::Unconfigured => None,
        }
    }

    /// The body.
    pub fn details(&self) -> ProblemDetails {
        let (status, code) = (self.status_code(), self.code());
        let denied = if let Self::Denied(denied) = self { Some(denied) } else { None };
        ProblemDetails {
            kind: format!("urn:portcullis:problem:{code}"),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            code: code.to_owned(),
            detail: self.detail(),
            reason: denied.map(|denied| denied.reason.clone()),
            policies: denied.map(|denied| denied.policies.clone()).unwrap_or_default(),
            decision: self.decision(),
        }
    }

    /// The sentence for people. Only where a body does not decode is the cause in it: it names structs, not values, and
    /// whoever writes a client needs it.
    fn detail(&self) -> String {
        match self {
            Self::Gateway(error @ GatewayError::Decode(_)) => causes(error),
            other => other.to_string(),
        }
    }

    /// Writes down what only the gateway's own people may read, once.
    pub(super) fn log(&self) {
        let (code, error) = (self.code(), causes(self));
        if self.status_code() == StatusCode::BAD_GATEWAY {
            tracing::warn!(code, error, "somebody else failed a request");
        } else if self.status_code().is_server_error() {
            tracing::error!(code, error, "request failed");
        } else {
            tracing::debug!(code, error, "request refused");
        }
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Malformed(_)
            | Self::IdempotencyKeyMissing
            | Self::Auth(AuthError::ActingUserMissing)
            | Self::Gateway(GatewayError::Decode(_)) => StatusCode::BAD_REQUEST,
            Self::Auth(AuthError::Missing | AuthError::Invalid(_)) => StatusCode::UNAUTHORIZED,
            Self::Denied(_)
            | Self::Auth(AuthError::Subject | AuthError::ActingUser)
            | Self::Gateway(GatewayError::WrongIdentity | GatewayError::Refused { .. }) => StatusCode::FORBIDDEN,
            Self::NoRoute | Self::Gateway(GatewayError::NotFound) => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::InProgress | Self::Gateway(GatewayError::Conflict) => StatusCode::CONFLICT,
            Self::Oversize(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::Gateway(GatewayError::KeyReused) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unconfigured | Self::Gateway(GatewayError::Internal(_)) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Gateway(GatewayError::PeerUnreachable(_)) => StatusCode::BAD_GATEWAY,
            Self::Gateway(GatewayError::TooMany(_)) => StatusCode::TOO_MANY_REQUESTS,
            Self::Gateway(GatewayError::Unavailable(_)) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        self.log();
        let mut response = HttpResponseBuilder::new(self.status_code());
        response.content_type(MEDIA_TYPE);
        if let Some(decision) = self.decision() {
            response.insert_header((DECISION, decision.to_string()));
        }
        match self.status_code() {
            StatusCode::UNAUTHORIZED => {
                let challenge = match self {
                    Self::Auth(AuthError::Missing) => "Bearer",
                    _ => "Bearer error=\"invalid_token\"",
                };
                response.insert_header((header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge)));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                response.insert_header((header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS)));
            }
            _ => {}
        }
        if let Self::Gateway(GatewayError::TooMany(limit)) = self {
            response.insert_header((header::RETRY_AFTER, HeaderValue::from(limit.seconds())));
        }
        match serde_json::to_vec(&self.details()) {
            Ok(body) => response.body(body),
            Err(_) => response.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limits::TooMany;

    fn refused(code: &'static str) -> Problem {
        GatewayError::Refused { code, sentence: "no".to_owned(), decision: None }.into()
    }

    fn every() -> Vec<Problem> {
        let cause = || Box::new(std::io::Error::other("cause"));
        vec![
            AuthError::Missing.into(),
            AuthError::Invalid(None).into(),
            AuthError::Subject.into(),
            AuthError::ActingUserMissing.into(),
            AuthError::ActingUser.into(),
            GatewayError::Decode(cause()).into(),
            GatewayError::WrongIdentity.into(),
            refused("not_allowed"),
            refused("unknown_template"),
            refused("not_the_created_room"),
            refused("group_info_refused"),
            refused("group_info_stale"),
            refused("user_deactivated"),
            GatewayError::NotFound.into(),
            GatewayError::Conflict.into(),
            GatewayError::Unavailable(cause()).into(),
            GatewayError::PeerUnreachable(cause()).into(),
            GatewayError::TooMany(TooMany { wait: Duration::ZERO }).into(),
            GatewayError::Internal(cause()).into(),
            Problem::Malformed("bad".to_owned()),
            Problem::Oversize(1),
            Problem::SlowBody,
            Problem::IdempotencyKeyMissing,
            GatewayError::KeyReused.into(),
            Problem::InProgress,
            Problem::NoRoute,
            Problem::Method,
            Problem::Unconfigured,
            Problem::Denied(Denied {
                decision: Uuid::nil(),
                sentence: "no".to_owned(),
                reason: "NOT_PERMITTED".to_owned(),
                policies: vec!["company.nobody".to_owned()],
            }),
        ]
    }

    #[test]
    fn every_refusal_has_a_documented_code_and_status_and_every_code_is_in_use() {
        let given: Vec<_> = every().iter().map(|problem| (problem.code(), problem.status_code().as_u16())).collect();
        for pair in &given {
            assert!(CODES.iter().any(|(code, status, _)| (*code, *status) == *pair), "{pair:?} is not documented");
        }
        for (code, status, _) in CODES {
            assert!(given.contains(&(code, *status)), "{code} is documented, but never given");
        }
    }

    #[test]
    fn only_a_refusal_at_the_admin_door_names_policies() {
        for problem in every() {
            let named = serde_json::to_string(&problem.details()).unwrap().contains("company.nobody");
            assert_eq!(named, matches!(problem, Problem::Denied(_)), "{problem:?}");
        }
    }

    #[test]
    fn a_refusal_shows_its_cause_only_where_a_body_does_not_decode() {
        for problem in every() {
            let decode = matches!(problem, Problem::Gateway(GatewayError::Decode(_)));
            assert_eq!(problem.details().detail.contains("cause"), decode, "{problem:?}");
        }
    }
}
