//! What other providers are to be told of consent, and have not taken.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use portcullis_core::policy::AdminAct;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{Domain, RoomUri, UserUri};
use portcullis_store::consents::{self, Waiting};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Post;
use super::page::{self, Page, cursor, misfit, place};
use super::peers::{parsed, worded};
use crate::gateway::Gateway;
use crate::gateway::admin::{LetterChange, Operator};
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

/// A step of one of our users that another provider is to be told.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LetterShown {
    /// Who is to be told.
    #[schema(value_type = String)]
    peer: Domain,
    /// Its place in the lane to that provider.
    position: u64,
    /// `open`, or `parked`: the provider refused it for good, or was away for seven days.
    state: &'static str,
    /// `request`, `cancel`, `grant` or `revoke`.
    operation: &'static str,
    /// Who wants to reach the target.
    #[schema(value_type = String)]
    requester: UserUri,
    /// Whose consent it is.
    #[schema(value_type = String)]
    target: UserUri,
    /// The room it is for; absent for every room.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<RoomUri>,
    /// Since when, in milliseconds since the UNIX epoch.
    #[schema(value_type = u64)]
    owed_at: Millis,
    /// HTTP status of the refusal; 0 for none.
    http_status: u16,
    /// What went wrong last; empty for nothing.
    error: String,
}

/// Why it is done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    /// For the record, in the person's own words.
    reason: String,
}

impl From<Waiting> for LetterShown {
    fn from(waiting: Waiting) -> Self {
        let Waiting { peer, position, entry, owed_at, parked_at, http_status, error } = waiting;
        let state = if parked_at.is_some() { "parked" } else { "open" };
        let (operation, requester, target, room) = (entry.operation.name(), entry.requester, entry.target, entry.room);
        Self { peer, position, state, operation, requester, target, room, owed_at, http_status, error }
    }
}

/// List letters
///
/// What other providers are to be told of consent, in the order of providers and letters. Each provider is told one after
/// the other; what it refuses for good stays, parked, for thirty days, and the others go on.
#[utoipa::path(
    get,
    path = "/v1/letters",
    tag = "lanes",
    params(Wanted),
    responses((status = 200, description = "A page of letters", body = Page<LetterShown>))
)]
pub(super) async fn list(
    operator: Operator,
    request: HttpRequest,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let wanted: Wanted = body::query(&request)?;
    let limit = page::limit(wanted.limit);
    let after = match wanted.cursor.as_deref().map(place::<2>).transpose()? {
        Some([peer, position]) => {
            let position = position.parse::<u64>().ok().filter(|position| i64::try_from(*position).is_ok());
            Some((Domain::parse(&peer).map_err(misfit)?, position.ok_or(()).map_err(misfit)?))
        }
        None => None,
    };
    let read = move |conn: &mut _| {
        let after = after.as_ref().map(|(peer, position)| (peer, *position));
        consents::waiting(conn, after, limit + 1)
    };
    let letters = gateway.view(operator, AdminAct::ViewLanes, read).await?;
    let shown = letters.into_iter().map(LetterShown::from).collect();
    let place = |last: &LetterShown| cursor(&[last.peer.as_str(), &last.position.to_string()]);
    Ok(Reply::json(StatusCode::OK, &page::page(shown, limit, place), None)?.into())
}

/// Tell a provider once more
///
/// Everything that is parked, in its order, and whatever waits for another try at once.
#[utoipa::path(
    post,
    path = "/v1/letters/{peer}/retry",
    tag = "lanes",
    params(("peer" = String, Path, description = "Provider domain")),
    request_body(content = Why),
    responses((status = 200, description = "They are tried", body = super::lanes::LaneChanged))
)]
pub(super) async fn retry(post: Post, peer: Path<String>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    change(post, &peer, gateway, LetterChange::Retry).await
}

/// Give up what a provider has refused
///
/// Everything that is parked. What our users have decided stands here all the same.
#[utoipa::path(
    post,
    path = "/v1/letters/{peer}/skip",
    tag = "lanes",
    params(("peer" = String, Path, description = "Provider domain")),
    request_body(content = Why),
    responses((status = 200, description = "They are gone", body = super::lanes::LaneChanged))
)]
pub(super) async fn skip(post: Post, peer: Path<String>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    change(post, &peer, gateway, LetterChange::Skip).await
}

async fn change(post: Post, peer: &str, gateway: Data<Gateway>, change: LetterChange) -> Result<HttpResponse, Problem> {
    let peer = parsed(peer)?;
    post.once(async move |once, operator, body| {
        let Why { reason } = json(&body)?;
        Ok(gateway.change_letters(once, operator, peer, change, worded(reason)?).await?)
    })
    .await
}
