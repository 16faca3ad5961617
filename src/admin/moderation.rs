//! What moderators impose on rooms.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{RoomUri, UserUri};
use portcullis_store::restrictions::{Imposed, Place, Restriction};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Post;
use super::page::{self, Page, cursor, misfit};
use super::peers::{parsed, worded};
use crate::gateway::admin::{Changed, Operator};
use crate::gateway::moderation::{Carried, Change, Stands};
use crate::gateway::{Gateway, GatewayError, Shown};
use crate::http::body::{self, Id, json};
use crate::http::{Problem, Reply};

/// Longest number of a case, in bytes.
const LONGEST_CASE: usize = 128;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Where to go on: `next` of the page before.
    cursor: Option<String>,
    /// Items of the page, at most 500.
    limit: Option<u32>,
}

/// Why it is done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Because {
    /// For the record, in the person's own words.
    reason: String,
    /// Number of the case.
    #[serde(default)]
    case: Option<String>,
}

/// Something that is imposed on a room, or was.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RestrictionShown {
    /// Where; absent for every room.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<RoomUri>,
    /// `ban`, `kick`, `removal`, `provider`, `device`, `leaf`, `deprovisioned`, `mute`, `freeze` or `legal_hold`.
    restriction: &'static str,
    /// The user, provider or client it is about, for a `leaf` with `#` and the client's signature key; absent for the room as a
    /// whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// Why, in the words of whoever imposed it.
    reason: String,
    /// Number of the case; empty for none.
    case: String,
    /// Who imposed it.
    by: String,
    /// The policies that allowed it; empty where no policy was asked, as on the command line.
    policies: Vec<String>,
    /// The decision in the audit log that allowed it.
    #[schema(value_type = Option<String>, format = "uuid")]
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<Uuid>,
    /// Since when it is in force here, in milliseconds since the UNIX epoch.
    #[schema(value_type = u64)]
    effective_since: Millis,
    /// Since when no client that is to go is in the group, in milliseconds since the UNIX epoch; absent before.
    #[schema(value_type = Option<u64>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    cryptographic_since: Option<Millis>,
    /// `done`; `owed` until a member commits what the hub has proposed; `by_the_hub` in a room that we do not host; `never`
    /// for what no commit carries.
    cryptographic: &'static str,
    /// Whether the commit is too long in coming.
    overdue: bool,
    /// Why the hub cannot propose that the clients go; absent for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    obstacle: Option<String>,
    /// When it was lifted, or had served its purpose; absent while it is in force.
    #[schema(value_type = Option<u64>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Millis>,
    /// What it does not do.
    limits: Vec<&'static str>,
}

impl From<Stands> for RestrictionShown {
    fn from(stands: Stands) -> Self {
        let (limits, carried) = (stands.limits(), stands.carried());
        let Imposed { place, restriction, grounds, at, committed_at, ended_at, alarmed_at, owed, obstacle, spread: _ } =
            stands.imposed;
        Self {
            room: match place {
                Place::Room(room) => Some(room),
                Place::Everywhere => None,
            },
            restriction: restriction.name(),
            subject: Some(restriction.subject().to_owned()).filter(|subject| !subject.is_empty()),
            reason: grounds.reason,
            case: grounds.case,
            by: grounds.by,
            policies: grounds.policies,
            decision: grounds.decision,
            effective_since: at,
            cryptographic_since: committed_at,
            cryptographic: match carried {
                Carried::Done => "done",
                Carried::Owed => "owed",
                Carried::ByTheHub => "by_the_hub",
                Carried::Never => "never",
            },
            overdue: owed && alarmed_at.is_some(),
            obstacle: Some(obstacle).filter(|why| !why.is_empty()),
            ended_at,
            limits,
        }
    }
}

impl Shown for Changed<Stands> {
    fn reply(self) -> Result<Reply, GatewayError> {
        Reply::json(StatusCode::OK, &RestrictionShown::from(self.value), Some(self.decision))
    }
}

/// List what is imposed on a room
///
/// And what was: of what was imposed more than once, the last.
#[utoipa::path(
    get,
    path = "/v1/rooms/{room}/restrictions",
    tag = "moderation",
    params(("room" = String, Path, description = "Room identifier, percent-encoded"), Wanted),
    responses((status = 200, description = "A page, by kind and subject", body = Page<RestrictionShown>))
)]
pub(super) async fn of_room(
    operator: Operator,
    room: Id<RoomUri>,
    request: HttpRequest,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    listed(operator, Place::Room(room.0), body::query(&request)?, &gateway).await
}

/// List what is imposed on every room
#[utoipa::path(
    get,
    path = "/v1/restrictions",
    tag = "moderation",
    params(Wanted),
    responses((status = 200, description = "A page, by kind and subject", body = Page<RestrictionShown>))
)]
pub(super) async fn everywhere(
    operator: Operator,
    request: HttpRequest,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    listed(operator, Place::Everywhere, body::query(&request)?, &gateway).await
}

async fn listed(operator: Operator, place: Place, wanted: Wanted, gateway: &Gateway) -> Result<HttpResponse, Problem> {
    let after = match wanted.cursor.as_deref().map(page::place::<2>).transpose()? {
        Some([name, subject]) => Some(Restriction::named(&name, &subject).ok_or(()).map_err(misfit)?),
        None => None,
    };
    let limit = page::limit(wanted.limit);
    let found = gateway.imposed(operator, place, after, limit + 1).await?;
    let items = found.into_iter().map(RestrictionShown::from).collect();
    let next = |last: &RestrictionShown| cursor(&[last.restriction, last.subject.as_deref().unwrap_or_default()]);
    Ok(Reply::json(StatusCode::OK, &page::page(items, limit, next), None)?.into())
}

/// Ban a user from a room
///
/// Its rights end at once, and it neither comes back nor is added again until it is unbanned. The hub proposes that its
/// clients go; a member commits that.
#[utoipa::path(
    post,
    path = "/v1/rooms/{room}/users/{user}/ban",
    tag = "moderation",
    params(
        ("room" = String, Path, description = "Room identifier, percent-encoded"),
        ("user" = String, Path, description = "User identifier, percent-encoded")
    ),
    request_body(content = Because),
    responses((status = 200, description = "It is in force", body = RestrictionShown))
)]
pub(super) async fn ban(
    post: Post,
    path: Path<(String, String)>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    in_room(post, path, gateway, Change::Ban).await
}

/// Unban a user
///
/// It may come back or be added again, as the room's own rules say.
#[utoipa::path(
    post,
    path = "/v1/rooms/{room}/users/{user}/unban",
    tag = "moderation",
    params(
        ("room" = String, Path, description = "Room identifier, percent-encoded"),
        ("user" = String, Path, description = "User identifier, percent-encoded")
    ),
    request_body(content = Because),
    responses((status = 200, description = "It is over", body = RestrictionShown))
)]
pub(super) async fn unban(
    post: Post,
    path: Path<(String, String)>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    in_room(post, path, gateway, Change::Unban).await
}

/// Kick a user out of a room
///
/// Its rights end until its clients are out; it stays listed, and may come back then.
#[utoipa::path(
    post,
    path = "/v1/rooms/{room}/users/{user}/kick",
    tag = "moderation",
    params(
        ("room" = String, Path, description = "Room identifier, percent-encoded"),
        ("user" = String, Path, description = "User identifier, percent-encoded")
    ),
    request_body(content = Because),
    responses((status = 200, description = "It is in force", body = RestrictionShown))
)]
pub(super) async fn kick(
    post: Post,
    path: Path<(String, String)>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    in_room(post, path, gateway, Change::Kick).await
}

/// Remove a user from a room
///
/// Its rights end at once, until a member has taken it off the participant list; then it may be added again.
#[utoipa::path(
    post,
    path = "/v1/rooms/{room}/users/{user}/remove",
    tag = "moderation",
    params(
        ("room" = String, Path, description = "Room identifier, percent-encoded"),
        ("user" = String, Path, description = "User identifier, percent-encoded")
    ),
    request_body(content = Because),
    responses((status = 200, description = "It is in force", body = RestrictionShown))
)]
pub(super) async fn remove(
    post: Post,
    path: Path<(String, String)>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    in_room(post, path, gateway, Change::Remove).await
}

/// Readmit a user that was removed
///
/// Its rights come back, unless a member has taken it off the participant list.
#[utoipa::path(
    post,
    path = "/v1/rooms/{room}/users/{user}/readmit",
    tag = "moderation",
    params(
        ("room" = String, Path, description = "Room identifier, percent-encoded"),
        ("user" = String, Path, description = "User identifier, percent-encoded")
    ),
    request_body(content = Because),
    responses((status = 200, description = "It is over", body = RestrictionShown))
)]
pub(super) async fn readmit(
    post: Post,
    path: Path<(String, String)>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    in_room(post, path, gateway, Change::Readmit).await
}

/// Mute a user in a room
///
/// Its messages are refused.
#[utoipa::path(
    post,
    path = "/v1/rooms/{room}/users/{user}/mute",
    tag = "moderation",
    params(
        ("room" = String, Path, description = "Room identifier, percent-encoded"),
        ("user" = String, Path, description = "User identifier, percent-encoded")
    ),
    request_body(content = Because),
    responses((status = 200, description = "It is in force", body = RestrictionShown))
)]
pub(super) async fn mute(
    post: Post,
    path: Path<(String, String)>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    in_room(post, path, gateway, Change::Mute).await
}

/// Unmute a user in a room
///
/// Its messages are taken again.
#[utoipa::path(
    post,
    path = "/v1/rooms/{room}/users/{user}/unmute",
    tag = "moderation",
    params(
        ("room" = String, Path, description = "Room identifier, percent-encoded"),
        ("user" = String, Path, description = "User identifier, percent-encoded")
    ),
    request_body(content = Because),
    responses((status = 200, description = "It is over", body = RestrictionShown))
)]
pub(super) async fn unmute(
    post: Post,
    path: Path<(String, String)>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    in_room(post, path, gateway, Change::Unmute).await
}

/// Freeze a room
///
/// Nobody changes it or writes to it. Leaving, dropping own clients, reports, and moderators' removals and bans go on.
#[utoipa::path(
    post,
    path = "/v1/rooms/{room}/freeze",
    tag = "moderation",
    params(("room" = String, Path, description = "Room identifier, percent-encoded")),
    request_body(content = Because),
    responses((status = 200, description = "It is in force", body = RestrictionShown))
)]
pub(super) async fn freeze(post: Post, room: Id<RoomUri>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    moderate(post, gateway, Place::Room(room.0), Change::Freeze).await
}

/// Unfreeze a room
///
/// It goes on.
#[utoipa::path(
    post,
    path = "/v1/rooms/{room}/unfreeze",
    tag = "moderation",
    params(("room" = String, Path, description = "Room identifier, percent-encoded")),
    request_body(content = Because),
    responses((status = 200, description = "It is over", body = RestrictionShown))
)]
pub(super) async fn unfreeze(post: Post, room: Id<RoomUri>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    moderate(post, gateway, Place::Room(room.0), Change::Unfreeze).await
}

/// Remove a user from every room
///
/// Those of ours and those of other hubs, and those to come, until it is readmitted.
#[utoipa::path(
    post,
    path = "/v1/users/{user}/remove",
    tag = "moderation",
    params(("user" = String, Path, description = "User identifier, percent-encoded")),
    request_body(content = Because),
    responses((status = 200, description = "It is in force", body = RestrictionShown))
)]
pub(super) async fn remove_user(
    post: Post,
    user: Id<UserUri>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    moderate(post, gateway, Place::Everywhere, Change::Remove(user.0)).await
}

/// Readmit a user to every room
///
/// It may come back where the rooms' own rules let it. Bans of single rooms stay.
#[utoipa::path(
    post,
    path = "/v1/users/{user}/readmit",
    tag = "moderation",
    params(("user" = String, Path, description = "User identifier, percent-encoded")),
    request_body(content = Because),
    responses((status = 200, description = "It is over", body = RestrictionShown))
)]
pub(super) async fn readmit_user(
    post: Post,
    user: Id<UserUri>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    moderate(post, gateway, Place::Everywhere, Change::Readmit(user.0)).await
}

/// Remove all users of a provider from every room
///
/// Those to come, too, until it is readmitted. Whether it federates with us is another question.
#[utoipa::path(
    post,
    path = "/v1/peers/{domain}/remove",
    tag = "moderation",
    params(("domain" = String, Path, description = "Provider domain")),
    request_body(content = Because),
    responses((status = 200, description = "It is in force", body = RestrictionShown))
)]
pub(super) async fn remove_provider(
    post: Post,
    domain: Path<String>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    moderate(post, gateway, Place::Everywhere, Change::RemoveProvider(parsed(&domain)?)).await
}

/// Readmit the users of a provider
///
/// They may come back where the rooms' own rules let them.
#[utoipa::path(
    post,
    path = "/v1/peers/{domain}/readmit",
    tag = "moderation",
    params(("domain" = String, Path, description = "Provider domain")),
    request_body(content = Because),
    responses((status = 200, description = "It is over", body = RestrictionShown))
)]
pub(super) async fn readmit_provider(
    post: Post,
    domain: Path<String>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    moderate(post, gateway, Place::Everywhere, Change::ReadmitProvider(parsed(&domain)?)).await
}

async fn in_room(
    post: Post,
    path: Path<(String, String)>,
    gateway: Data<Gateway>,
    change: impl FnOnce(UserUri) -> Change,
) -> Result<HttpResponse, Problem> {
    let malformed =
        |_| Problem::Malformed("a path segment is no MIMI identifier of the kind the route takes".to_owned());
    let (room, user) = path.into_inner();
    let place = Place::Room(RoomUri::parse(&room).map_err(malformed)?);
    moderate(post, gateway, place, change(UserUri::parse(&user).map_err(malformed)?)).await
}

async fn moderate(post: Post, gateway: Data<Gateway>, place: Place, change: Change) -> Result<HttpResponse, Problem> {
    post.once(async move |once, operator, body| {
        let grounds = because(&body)?;
        Ok(gateway.moderate(once, operator, place, change, grounds).await?)
    })
    .await
}

/// Reason and number of the case.
pub(super) fn because(body: &[u8]) -> Result<(String, String), Problem> {
    let Because { reason, case } = json(body)?;
    let case = case.unwrap_or_default();
    if case.len() > LONGEST_CASE || case.chars().any(char::is_control) {
        let message = format!("the number of a case is one line of at most {LONGEST_CASE} bytes");
        return Err(Problem::Malformed(message));
    }
    Ok((worded(reason)?, case))
}
