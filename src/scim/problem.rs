//! Refusals in the form of RFC 7644, section 3.12.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use portcullis_core::scim::{ScimError, ScimType};
use serde_json::json;

use super::begin;
use crate::gateway::GatewayError;
use crate::gateway::people::PeopleError;
use crate::http::Problem;
use crate::peer::causes;

/// The schema of errors.
const URN: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// A refusal on its way out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// What was sent, or is there, is in the way.
    #[error(transparent)]
    People(#[from] PeopleError),
    /// What every door refuses.
    #[error(transparent)]
    Http(#[from] Problem),
}

impl From<GatewayError> for Refusal {
    fn from(error: GatewayError) -> Self {
        Self::Http(error.into())
    }
}

impl From<ScimError> for Refusal {
    fn from(error: ScimError) -> Self {
        Self::People(error.into())
    }
}

impl Refusal {
    /// As the other doors would refuse it.
    fn problem(self) -> Self {
        match self {
            Self::People(PeopleError::Gateway(error)) => Self::Http(error.into()),
            other => other,
        }
    }

    /// The same for what comes of a use case.
    pub(super) fn of(error: PeopleError) -> Self {
        Self::People(error).problem()
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::People(PeopleError::Scim(error)) if error.kind == ScimType::Uniqueness => StatusCode::CONFLICT,
            Self::People(PeopleError::Scim(_)) => StatusCode::BAD_REQUEST,
            Self::People(PeopleError::Version) => StatusCode::PRECONDITION_FAILED,
            Self::People(PeopleError::Gateway(_)) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Http(problem) => problem.status_code(),
        }
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        if status.is_server_error() {
            tracing::error!(error = causes(self), "request of the identity provider failed");
        }
        let mut response = begin(status);
        let mut body = json!({ "schemas": [URN], "status": status.as_u16().to_string() });
        match self {
            Self::People(PeopleError::Scim(error)) => {
                body["scimType"] = error.kind.name().into();
                body["detail"] = error.detail.as_str().into();
            }
            Self::People(error) => body["detail"] = error.to_string().into(),
            Self::Http(problem) => {
                body["detail"] = problem.to_string().into();
                match problem {
                    Problem::Auth(_) => {
                        response.insert_header((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
                    }
                    Problem::Gateway(GatewayError::TooMany(many)) => {
                        response.insert_header((header::RETRY_AFTER, HeaderValue::from(many.seconds())));
                    }
                    Problem::Gateway(GatewayError::Unavailable(_)) => {
                        response.insert_header((header::RETRY_AFTER, HeaderValue::from(1_u64)));
                    }
                    _ => {}
                }
            }
        }
        response.body(body.to_string())
    }
}
