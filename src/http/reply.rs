//! Answers of the doors that speak JSON.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde::Serialize;
use uuid::Uuid;

use super::problem::{DECISION, MEDIA_TYPE, Problem};
use crate::gateway::{Content, GatewayError, Reply};

impl Reply {
    /// 204, with the decision.
    pub(crate) fn empty(decision: Option<Uuid>) -> Self {
        Self { status: 204, content: Content::Json, decision, body: Vec::new() }
    }

    /// JSON with a status.
    pub(crate) fn json(
        status: StatusCode,
        value: &impl Serialize,
        decision: Option<Uuid>,
    ) -> Result<Self, GatewayError> {
        let body = serde_json::to_vec(value).map_err(GatewayError::internal)?;
        Ok(Self { status: status.as_u16(), content: Content::Json, decision, body })
    }

    /// A refusal that stays true for the same request; faults and waits are not kept, nor what is said of another request.
    pub(crate) fn refusal(problem: &Problem) -> Option<Self> {
        let status = problem.status_code();
        let passes = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        if passes || matches!(problem, Problem::Gateway(GatewayError::KeyReused)) {
            return None;
        }
        let body = serde_json::to_vec(&problem.details()).ok()?;
        Some(Self { status: status.as_u16(), content: Content::Problem, decision: problem.decision(), body })
    }
}

impl From<Reply> for HttpResponse {
    fn from(reply: Reply) -> Self {
        let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponseBuilder::new(status);
        response.content_type(match reply.content {
            Content::Octets => "application/octet-stream",
            Content::Json => "application/json",
            Content::Problem => MEDIA_TYPE,
        });
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        if let Some(decision) = reply.decision {
            response.insert_header((DECISION, decision.to_string()));
        }
        response.body(reply.body)
    }
}
