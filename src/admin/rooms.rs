//! Rooms this gateway is hub of.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use portcullis_core::policy::AdminAct;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{ClientUri, RoomUri, UserUri};
use portcullis_store::rooms::{self, RoomHead, RoomStatus};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Post;
use super::lanes::LaneShown;
use super::moderation::{Because, because};
use super::page::{self, Page, cursor, misfit, place};
use crate::gateway::admin::{Changed, GroupPart, Operator, RoomView};
use crate::gateway::{Ended, Gateway, GatewayError, Shown};
use crate::http::body::{self, Id};
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

/// A room.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Summary {
    /// Its identifier.
    #[schema(value_type = String, example = "mimi://a.example/r/clubhouse")]
    room: RoomUri,
    /// MLS group id.
    group: String,
    /// `waiting` for its first group, or `active`; of a room of another hub `followed`, or `lost` when no longer.
    state: &'static str,
    /// MLS epoch.
    epoch: u64,
    /// Number of its latest event.
    events: u64,
    /// When something was last accepted, in milliseconds since the UNIX epoch; 0 for never.
    #[schema(value_type = u64)]
    last_accepted: Millis,
    /// Name of its template.
    template: String,
    /// Who created it.
    #[schema(value_type = String)]
    creator: UserUri,
}

/// A room with who is in it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Detail {
    #[serde(flatten)]
    summary: Summary,
    /// What its group tells; absent while it waits for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<Members>,
    /// Lanes that owe something of this room to other providers; absent for whom policy does not let see lanes.
    #[serde(skip_serializing_if = "Option::is_none")]
    lanes: Option<Vec<LaneShown>>,
}

/// Who is in a room, and what holds there.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Members {
    /// Name of the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Who is listed, and as what.
    participants: Vec<Participant>,
    /// Clients in the group.
    #[schema(value_type = Vec<String>)]
    clients: Vec<ClientUri>,
    /// Proposals that wait for a commit.
    pending_proposals: usize,
    /// What moderators and compliance have imposed.
    restrictions: Restrictions,
}

/// Somebody in a room.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Participant {
    /// Who.
    #[schema(value_type = String)]
    user: UserUri,
    /// Number of the role.
    role: u32,
    /// Its name.
    role_name: String,
}

/// What is imposed on a room.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Restrictions {
    /// Nobody may change or write, only leave.
    frozen: bool,
    /// Nothing may be purged.
    legal_hold: bool,
    /// Who may not write.
    #[schema(value_type = Vec<String>)]
    muted: Vec<UserUri>,
}

impl From<RoomHead> for Summary {
    fn from(head: RoomHead) -> Self {
        Self {
            group: head.group.to_string(),
            state: match head.status {
                RoomStatus::Waiting => "waiting",
                RoomStatus::Active => "active",
                RoomStatus::Followed => "followed",
                RoomStatus::Lost => "lost",
                RoomStatus::Destroyed => "destroyed",
            },
            room: head.room,
            epoch: head.epoch,
            events: head.last_seq,
            last_accepted: head.last_accepted,
            template: head.template,
            creator: head.creator,
        }
    }
}

impl From<GroupPart> for Members {
    fn from(group: GroupPart) -> Self {
        let participant = |(user, role, role_name)| Participant { user, role, role_name };
        Self {
            name: group.name,
            participants: group.participants.into_iter().map(participant).collect(),
            clients: group.clients,
            pending_proposals: group.pending,
            restrictions: Restrictions { frozen: group.frozen, legal_hold: group.legal_hold, muted: group.muted },
        }
    }
}

/// List rooms
///
/// In the order of their identifiers.
#[utoipa::path(
    get,
    path = "/v1/rooms",
    tag = "rooms",
    params(Wanted),
    responses((status = 200, description = "A page of rooms", body = Page<Summary>))
)]
pub(super) async fn list(
    operator: Operator,
    request: HttpRequest,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let wanted: Wanted = body::query(&request)?;
    let limit = page::limit(wanted.limit);
    let after = wanted.cursor.as_deref().map(place::<1>).transpose()?;
    let after = after.map(|[room]| RoomUri::parse(&room)).transpose().map_err(misfit)?;
    let read = move |conn: &mut _| rooms::list(conn, after.as_ref(), limit + 1);
    let heads = gateway.view(operator, AdminAct::ViewRooms, read).await?;
    let rooms = heads.into_iter().map(Summary::from).collect();
    let page = page::page(rooms, limit, |last: &Summary| cursor(&[last.room.as_str()]));
    Ok(Reply::json(StatusCode::OK, &page, None)?.into())
}

/// Show a room
#[utoipa::path(
    get,
    path = "/v1/rooms/{room}",
    tag = "rooms",
    params(("room" = String, Path, description = "Room identifier, percent-encoded")),
    responses((status = 200, description = "The room", body = Detail))
)]
pub(super) async fn show(
    operator: Operator,
    room: Id<RoomUri>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let RoomView { head, group, lanes } = gateway.view_room(operator, room.0).await?;
    let blocked = gateway.peers().list();
    let detail = Detail {
        summary: head.into(),
        members: group.map(Members::from),
        lanes: lanes.map(|lanes| lanes.into_iter().map(|lane| LaneShown::of(lane, blocked)).collect()),
    };
    Ok(Reply::json(StatusCode::OK, &detail, None)?.into())
}

/// Rooms that are no more.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EndedShown {
    /// The room, and behind it those that depended on it.
    #[schema(value_type = Vec<String>)]
    rooms: Vec<RoomUri>,
}

impl Shown for Changed<Ended> {
    fn reply(self) -> Result<Reply, GatewayError> {
        Reply::json(StatusCode::OK, &EndedShown { rooms: self.value.rooms }, Some(self.decision))
    }
}

/// Destroy a room
///
/// With those that depend on it, for everybody and for good; its name stays taken. The hub proposes that all clients go, so that every
/// provider's devices hear of it, and ours get the event `room_destroyed`. A room under legal hold stays, and so does the one it
/// depends on.
#[utoipa::path(
    post,
    path = "/v1/rooms/{room}/destroy",
    tag = "moderation",
    params(("room" = String, Path, description = "Room identifier, percent-encoded")),
    request_body(content = Because),
    responses((status = 200, description = "They are no more", body = EndedShown))
)]
pub(super) async fn destroy(post: Post, room: Id<RoomUri>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    post.once(async move |once, operator, body| {
        let grounds = because(&body)?;
        Ok(gateway.destroy_room_by_order(once, operator, room.0, grounds).await?)
    })
    .await
}
