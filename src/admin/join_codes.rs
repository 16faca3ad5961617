//! Codes by which people join rooms.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{Domain, RoomUri};
use portcullis_store::join_codes::JoinCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Post;
use super::page::{self, Page, cursor, misfit};
use super::peers::worded;
use crate::gateway::admin::{Changed, Operator};
use crate::gateway::join_codes::{MadeJoinCode, NewJoinCode};
use crate::gateway::{Gateway, GatewayError, Shown};
use crate::http::body::{self, Id, json};
use crate::http::{Problem, Reply};

/// How long a code lasts when nothing else is said: seven days.
const USUAL_SECONDS: u64 = 7 * 24 * 60 * 60;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Where to go on: `next` of the page before.
    cursor: Option<String>,
    /// Items of the page, at most 500.
    limit: Option<u32>,
}

/// A code to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CodeWanted {
    /// For the record, in the person's own words.
    reason: String,
    /// Index of the role it gives; without it the first that a code can give in this room.
    #[serde(default)]
    role: Option<u32>,
    /// How often it may be used; once without it.
    #[serde(default)]
    uses: Option<u32>,
    /// How long it lasts, in seconds; seven days without it, at most 366 days.
    #[serde(default)]
    lasts_seconds: Option<u64>,
    /// The provider whose users alone may use it; without it everybody.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    provider: Option<Domain>,
}

/// Why it is done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokedBecause {
    /// For the record, in the person's own words.
    reason: String,
}

/// A code by which people join a room.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JoinCodeShown {
    /// Its identifier, which opens nothing.
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    /// The code itself. Told to whoever makes it, once, and kept nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// The room it leads into.
    #[schema(value_type = String)]
    room: RoomUri,
    /// Index of the role it gives.
    role: u32,
    /// How often it may be used.
    uses: u32,
    /// How often it was used.
    used: u32,
    /// The provider whose users alone may use it; absent for everybody.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Domain>,
    /// When it ends, in milliseconds since the UNIX epoch.
    #[schema(value_type = u64)]
    expires_at: Millis,
    /// Who made it.
    by: String,
    /// Why.
    reason: String,
    /// When it was made, in milliseconds since the UNIX epoch.
    #[schema(value_type = u64)]
    created_at: Millis,
    /// When it was revoked; absent when it was not.
    #[schema(value_type = Option<u64>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Millis>,
}

impl From<MadeJoinCode> for JoinCodeShown {
    fn from(made: MadeJoinCode) -> Self {
        let JoinCode { id, room, role, uses, used, domain, expires_at, created_by, reason, created_at, revoked_at } =
            made.kept;
        Self {
            id,
            code: made.code,
            room,
            role,
            uses,
            used,
            provider: domain,
            expires_at,
            by: created_by,
            reason,
            created_at,
            revoked_at,
        }
    }
}

impl Shown for Changed<MadeJoinCode> {
    fn reply(self) -> Result<Reply, GatewayError> {
        Reply::json(StatusCode::OK, &JoinCodeShown::from(self.value), Some(self.decision))
    }
}

/// List the joining codes of a room
///
/// Good ones and others, the oldest first. What a code is nobody is told again.
#[utoipa::path(
    get,
    path = "/v1/rooms/{room}/codes",
    tag = "rooms",
    params(("room" = String, Path, description = "Room identifier, percent-encoded"), Wanted),
    responses((status = 200, description = "A page of codes", body = Page<JoinCodeShown>))
)]
pub(super) async fn list(
    operator: Operator,
    room: Id<RoomUri>,
    request: HttpRequest,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let wanted: Wanted = body::query(&request)?;
    let after = match wanted.cursor.as_deref().map(page::place::<1>).transpose()? {
        Some([id]) => Some(id.parse::<Uuid>().map_err(misfit)?),
        None => None,
    };
    let limit = page::limit(wanted.limit);
    let codes = gateway.join_codes(operator, room.0, after, limit + 1).await?;
    let shown = codes.into_iter().map(|kept| JoinCodeShown::from(MadeJoinCode { kept, code: None })).collect();
    let next = |last: &JoinCodeShown| cursor(&[&last.id.to_string()]);
    Ok(Reply::json(StatusCode::OK, &page::page(shown, limit, next), None)?.into())
}

/// Make a joining code for a room
///
/// Whoever has it joins by itself, as often as it says, with the role that it gives. The answer to a repetition of this request
/// does not tell the code again: revoke it then, and make another one.
#[utoipa::path(
    post,
    path = "/v1/rooms/{room}/codes",
    tag = "rooms",
    params(("room" = String, Path, description = "Room identifier, percent-encoded")),
    request_body(content = CodeWanted),
    responses((status = 200, description = "It is good", body = JoinCodeShown))
)]
pub(super) async fn create(post: Post, room: Id<RoomUri>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    post.once(async move |once, operator, body| {
        let CodeWanted { reason, role, uses, lasts_seconds, provider } = json(&body)?;
        let lasts = Duration::from_secs(lasts_seconds.unwrap_or(USUAL_SECONDS));
        let (uses, reason) = (uses.unwrap_or(1), worded(reason)?);
        let new = NewJoinCode { room: room.0, role, uses, lasts, domain: provider, reason };
        Ok(gateway.create_join_code(once, operator, new).await?)
    })
    .await
}

/// Revoke a joining code
///
/// Nobody joins by it any more; whoever has stays.
#[utoipa::path(
    post,
    path = "/v1/rooms/{room}/codes/{code}/revoke",
    tag = "rooms",
    params(
        ("room" = String, Path, description = "Room identifier, percent-encoded"),
        ("code" = String, Path, description = "Identifier of the code")
    ),
    request_body(content = RevokedBecause),
    responses((status = 200, description = "It is over", body = JoinCodeShown))
)]
pub(super) async fn revoke(
    post: Post,
    path: Path<(String, String)>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let malformed = || Problem::Malformed("a path segment is no room, or no identifier of a code".to_owned());
    let (room, id) = path.into_inner();
    let room = RoomUri::parse(&room).map_err(|_| malformed())?;
    let id = id.parse::<Uuid>().map_err(|_| malformed())?;
    post.once(async move |once, operator, body| {
        let RevokedBecause { reason } = json(&body)?;
        Ok(gateway.revoke_join_code(once, operator, (room, id), worded(reason)?).await?)
    })
    .await
}
