//! Rooms that this gateway hosts: created from a template, then started with the creator's first group.

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse, web};
use portcullis_core::wire::uri::{GroupUri, RoomUri};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Post;
use super::Problem;
use super::Reply;
use super::auth::User;
use super::body::{self, Base64, Id, json};
use crate::gateway::{CreatedRoom, Gateway, GatewayError, NewRoom, Shown};

/// A room to be created.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRoom {
    /// Its identifier, under a domain of this gateway.
    #[schema(value_type = String, example = "mimi://a.example/r/clubhouse")]
    pub room: RoomUri,
    /// Name of a room template of the policy bundle.
    #[schema(example = "strict")]
    pub template: String,
    /// Display name for the room's metadata.
    #[schema(example = "Clubhouse")]
    pub name: String,
}

/// What the creator's first group must be made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoomCreated {
    /// The room.
    #[schema(value_type = String)]
    pub room: RoomUri,
    /// MLS group id to use, as UTF-8.
    #[schema(value_type = String, example = "mimi://a.example/g/clubhouse")]
    pub group: GroupUri,
    /// MLS ciphersuite to use.
    pub suite: u16,
    /// GroupContext extensions to use: TLS-encoded `Extension extensions<V>`, in base64.
    #[schema(value_type = String, format = Byte)]
    pub extensions: Base64,
    /// The decision in the audit log.
    #[schema(value_type = String, format = "uuid")]
    pub decision: Uuid,
}

/// A group: the first one of a room, or that of another provider's room as its member sees it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FirstGroup {
    /// The signed GroupInfo, of epoch 0 where it is the first, or an `MLSMessage` with it, in base64.
    #[schema(value_type = String, format = Byte)]
    pub group_info: Base64,
    /// The ratchet tree, `optional<Node> ratchet_tree<V>`, in base64.
    #[schema(value_type = String, format = Byte)]
    pub ratchet_tree: Base64,
}

impl Shown for CreatedRoom {
    fn reply(self) -> Result<Reply, GatewayError> {
        let Self { room, group, suite, extensions, decision } = self;
        let answer = RoomCreated { room, group, suite, extensions: Base64(extensions), decision };
        Reply::json(StatusCode::CREATED, &answer, Some(decision))
    }
}

/// Create a room
///
/// Makes the record of the room and answers what its first group must be made with.
#[utoipa::path(
    post,
    path = "/v1/rooms",
    tag = "rooms",
    request_body(content = CreateRoom),
    responses((status = 201, description = "The room waits for its first group", body = RoomCreated))
)]
pub(super) async fn create(post: Post, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    post.once(async move |once, user, body| {
        let CreateRoom { room, template, name } = json(&body)?;
        Ok(gateway.create_room(once, user, NewRoom { room, template, name }).await?)
    })
    .await
}

/// Start a room's group
///
/// Only by the creator, and only once: the gateway checks that the group is what the room was created with.
#[utoipa::path(
    put,
    path = "/v1/rooms/{room}/group",
    tag = "rooms",
    params(("room" = String, Path, description = "Room identifier, percent-encoded")),
    request_body(content = FirstGroup),
    responses((status = 204, description = "The room is open"))
)]
pub(super) async fn start(
    caller: User,
    room: Id<RoomUri>,
    request: HttpRequest,
    payload: web::Payload,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let body = body::read(&request, payload).await?;
    let FirstGroup { group_info, ratchet_tree } = json(&body)?;
    let (group_info, ratchet_tree) = (Bytes::from(group_info.0), Bytes::from(ratchet_tree.0));
    let answer = gateway.start_group(caller.uri, room.0, group_info, ratchet_tree).await?;
    Ok(Reply::empty(answer.decision).into())
}
