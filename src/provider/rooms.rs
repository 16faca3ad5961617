//! Rooms that this gateway hosts: created from a template, then started with the creator's first group.

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse, web};
use portcullis_core::policy::GrantedInVain;
use portcullis_core::room::About;
use portcullis_core::wire::uri::{GroupUri, RoomUri, UserUri};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Post;
use super::Problem;
use super::Reply;
use super::auth::User;
use super::body::{self, Base64, Id, json};
use crate::gateway::{CreatedRoom, Destroyed, Gateway, GatewayError, NewRoom, Shown};

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
    /// What it is for, in plain text, for its metadata.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// An https URL of its picture, for its metadata.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub avatar: String,
    /// What is talked about, for its metadata.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// Who else takes part from the start; for templates of fixed membership only, whose rooms nobody comes to later and the same
    /// users have one of.
    #[schema(value_type = Vec<String>)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub participants: Vec<UserUri>,
    /// The room of this gateway that it depends on: who takes part here takes part there, and who leaves there leaves here.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<RoomUri>,
}

impl CreateRoom {
    /// A room that starts with its creator alone and depends on no other.
    pub fn new(room: RoomUri, template: &str, name: &str) -> Self {
        let (template, name) = (template.to_owned(), name.to_owned());
        let [description, avatar, subject] = [const { String::new() }; 3];
        Self { room, template, name, description, avatar, subject, participants: Vec::new(), parent: None }
    }
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
    /// What roles of the room grant although policy allows it to nobody: clients need not offer it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub granted_in_vain: Vec<InVain>,
    /// The decision in the audit log.
    #[schema(value_type = String, format = "uuid")]
    pub decision: Uuid,
}

/// A capability that a role grants and policy allows nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InVain {
    /// Name of the role.
    pub role: String,
    /// Name of the capability.
    pub capability: String,
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
        let Self { room, group, suite, extensions, granted_in_vain, decision } = self;
        let told = |it: GrantedInVain| InVain { role: it.role, capability: it.capability.to_string() };
        let granted_in_vain = granted_in_vain.into_iter().map(told).collect();
        let answer = RoomCreated { room, group, suite, extensions: Base64(extensions), granted_in_vain, decision };
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
        let CreateRoom { room, template, name, description, avatar, subject, participants, parent } = json(&body)?;
        let about = About { name, description, avatar, subject };
        let new = NewRoom { room, template, about, participants, parent };
        Ok(gateway.create_room(once, user, new).await?)
    })
    .await
}

impl Shown for Destroyed {
    fn reply(self) -> Result<Reply, GatewayError> {
        Ok(Reply::empty(Some(self.decision)))
    }
}

/// Ask for a room's next group
///
/// A room outlives its members where its policy says so. When every client in its group has left, or is on its way and nobody is
/// there to commit it, a participant that may bring in clients starts the next group, which it sends as the first one was.
#[utoipa::path(
    post,
    path = "/v1/rooms/{room}/group",
    tag = "rooms",
    params(("room" = String, Path, description = "Room identifier, percent-encoded")),
    responses((status = 201, description = "The room waits for its next group", body = RoomCreated))
)]
pub(super) async fn next(post: Post, room: Id<RoomUri>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    post.once(async move |once, user, _| Ok(gateway.next_group(once, user, room.0).await?)).await
}

/// Destroy a room
///
/// By the capability `canDestroyRoom`. Everybody in it is told to go, by proposals of the hub; rooms that depend on it end with it,
/// and its identifier stays taken.
#[utoipa::path(
    post,
    path = "/v1/rooms/{room}/destroy",
    tag = "rooms",
    params(("room" = String, Path, description = "Room identifier, percent-encoded")),
    responses((status = 204, description = "The room is no more"))
)]
pub(super) async fn destroy(post: Post, room: Id<RoomUri>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    post.once(async move |once, user, _| Ok(gateway.destroy_room(once, user, room.0).await?)).await
}

/// Start a room's group
///
/// Only by the creator, and only once: the gateway checks that the group is what the room was created with. The next group
/// of a room is started by who has asked for it.
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
    let body = body::read(&request, payload, caller.uri.as_str()).await?;
    let FirstGroup { group_info, ratchet_tree } = json(&body)?;
    let (group_info, ratchet_tree) = (Bytes::from(group_info.0), Bytes::from(ratchet_tree.0));
    let answer = gateway.start_group(caller.uri, room.0, group_info, ratchet_tree).await?;
    Ok(Reply::empty(answer.decision).into())
}

/// Show the envelope
///
/// Which room policies the company accepts, for people and programs, as a note that the hub's key has signed
/// (`portcullis policy envelope verify`). Whoever has a token of this door may read it, for it is about the rooms that people join.
#[utoipa::path(
    get,
    path = "/v1/envelope",
    tag = "rooms",
    responses((status = 200, description = "The note", body = String, content_type = "text/plain"))
)]
pub(super) async fn envelope(_caller: User, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    let note = gateway.envelope().await?;
    Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(note))
}
