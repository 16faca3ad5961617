//! What collectors of the audit log refused for good.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use portcullis_core::policy::AdminAct;
use portcullis_core::time::Millis;
use portcullis_store::sinks;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Post;
use super::page::{self, Page, cursor, misfit, place};
use super::peers::worded;
use crate::gateway::admin::{Changed, Operator, Records};
use crate::gateway::exports::Letters;
use crate::gateway::{Gateway, GatewayError, Shown};
use crate::http::body::{self, json};
use crate::http::{Problem, Reply};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Where to go on: `next` of the page before.
    cursor: Option<String>,
    /// Items of the page, at most 500.
    limit: Option<u32>,
}

/// A record that the collector refused for good. It still stands in the log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeadLetter {
    /// Its position in the log.
    position: u64,
    /// When it was given up, in milliseconds since the UNIX epoch.
    #[schema(value_type = u64)]
    given_up_at: Millis,
    /// HTTP status of the refusal; 200 where the collector took the rest of a request.
    http_status: u16,
    /// What the collector said.
    reason: String,
}

/// What is sent once more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Redeliver {
    /// For the record, in the person's own words.
    reason: String,
    /// The first position in the log; from the first dead letter on when absent.
    from: Option<u64>,
    /// The last position; up to the last dead letter when absent.
    to: Option<u64>,
}

/// What is sent once more.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Redelivered {
    /// How many records.
    records: u64,
}

impl From<sinks::DeadLetter> for DeadLetter {
    fn from(letter: sinks::DeadLetter) -> Self {
        let sinks::DeadLetter { seq, given_up_at, http_status, reason } = letter;
        Self { position: seq, given_up_at, http_status, reason }
    }
}

impl Shown for Changed<Records> {
    fn reply(self) -> Result<Reply, GatewayError> {
        let Records(records) = self.value;
        Reply::json(StatusCode::OK, &Redelivered { records }, Some(self.decision))
    }
}

/// List dead letters
///
/// In the order of the log.
#[utoipa::path(
    get,
    path = "/v1/exports/{sink}/dead-letters",
    tag = "exports",
    params(("sink" = String, Path, description = "Name of the export, such as `otlp`"), Wanted),
    responses((status = 200, description = "A page of dead letters", body = Page<DeadLetter>))
)]
pub(super) async fn dead_letters(
    operator: Operator,
    sink: Path<String>,
    request: HttpRequest,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let wanted: Wanted = body::query(&request)?;
    let limit = page::limit(wanted.limit);
    let last = wanted.cursor.as_deref().map(place::<1>).transpose()?;
    let last = last.map(|[seq]| seq.parse::<u64>()).transpose().map_err(misfit)?;
    let from = last.map_or(0, |last| last.saturating_add(1));
    let read = move |conn: &mut _| sinks::dead_letters(conn, &sink, from, limit + 1);
    let letters = gateway.view(operator, AdminAct::ViewExports, read).await?;
    let shown = letters.into_iter().map(DeadLetter::from).collect();
    let page = page::page(shown, limit, |last: &DeadLetter| cursor(&[&last.position.to_string()]));
    Ok(Reply::json(StatusCode::OK, &page, None)?.into())
}

/// Send dead letters once more
///
/// After the collector or its rules have been mended. They go before anything new; what is taken is a dead letter no
/// longer.
#[utoipa::path(
    post,
    path = "/v1/exports/{sink}/redeliver",
    tag = "exports",
    params(("sink" = String, Path, description = "Name of the export, such as `otlp`")),
    request_body(content = Redeliver),
    responses((status = 200, description = "They are sent by whichever process exports", body = Redelivered))
)]
pub(super) async fn redeliver(post: Post, sink: Path<String>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    post.once(async move |once, operator, body| {
        let Redeliver { reason, from, to } = json(&body)?;
        let letters = Letters { sink: sink.into_inner(), from: from.unwrap_or(0), to };
        Ok(gateway.redeliver(once, operator, letters, worded(reason)?).await?)
    })
    .await
}
