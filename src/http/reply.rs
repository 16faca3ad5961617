//! Answers in a form that can be kept and given again.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::body::Base64;
use super::problem::{DECISION, MEDIA_TYPE, Problem};
use crate::gateway::Answer;

/// What stands in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    /// A TLS-encoded MIMI structure.
    Octets,
    /// JSON.
    Json,
    /// Problem details.
    Problem,
}

/// An answer, or a refusal that would be the same again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reply {
    status: u16,
    content: Content,
    decision: Option<Uuid>,
    body: Base64,
}

impl Reply {
    /// 200 with the MIMI structure a use case gave.
    pub(crate) fn octets(answer: Answer) -> Self {
        Self { status: 200, content: Content::Octets, decision: answer.decision, body: Base64(answer.body) }
    }

    /// 204, with the decision.
    pub(crate) fn empty(decision: Option<Uuid>) -> Self {
        Self { status: 204, content: Content::Json, decision, body: Base64(Vec::new()) }
    }

    /// JSON with a status.
    pub(crate) fn json(status: StatusCode, value: &impl Serialize, decision: Option<Uuid>) -> Result<Self, Problem> {
        let body = serde_json::to_vec(value).map_err(|_| Problem::Unconfigured)?;
        Ok(Self { status: status.as_u16(), content: Content::Json, decision, body: Base64(body) })
    }

    /// HTTP status.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// The decision behind it.
    pub(crate) fn decision(&self) -> Option<Uuid> {
        self.decision
    }

    /// A refusal that stays true for the same request; faults and waits are not kept.
    pub(crate) fn refusal(problem: &Problem) -> Option<Self> {
        let status = problem.status_code();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return None;
        }
        let body = serde_json::to_vec(&problem.details()).ok()?;
        Some(Self {
            status: status.as_u16(),
            content: Content::Problem,
            decision: problem.decision(),
            body: Base64(body),
        })
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
        response.body(reply.body.0)
    }
}
