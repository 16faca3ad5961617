//! GroupInfo: for clients that join by an external commit, and from clients in rooms that other providers host.

use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use portcullis_core::wire::uri::RoomUri;

use super::auth::User;
use super::body::{self, Id, json};
use super::rooms::FirstGroup;
use super::{Post, Problem, Reply};
use crate::gateway::{Caller, Gateway};

/// Ask for the GroupInfo
///
/// Answered by the room's hub, sealed to the key in the request.
#[utoipa::path(
    post,
    path = "/v1/rooms/{room}/group-info",
    tag = "rooms",
    params(("room" = String, Path, description = "Room identifier, percent-encoded")),
    request_body(content = String, content_type = "application/octet-stream", description = "`GroupInfoRequest`, TLS-encoded"),
    responses((
        status = 200, description = "`GroupInfoResponse`, TLS-encoded; what the protocol can refuse is in it",
        body = String, content_type = "application/octet-stream"
    ))
)]
pub(super) async fn request(post: Post, room: Id<RoomUri>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    post.once(async move |once, user, body| Ok(gateway.group_info(once, Caller::User(user), room.0, body).await?)).await
}

/// Describe the group of a room that another provider hosts
///
/// The GroupInfo and ratchet tree of the client's current epoch, signed by a client of the caller in the room. The
/// gateway has no other way to know the group; from then on it follows the hub's commits and decides by the room's roles
/// and participants. A client uploads after it has joined, and whenever its stream says `group_info_wanted`. Doing it
/// again changes nothing. `group_info_stale`: the room is in a later epoch by now, take in its events and try again.
#[utoipa::path(
    put,
    path = "/v1/rooms/{room}/group-info",
    tag = "rooms",
    params(("room" = String, Path, description = "Room identifier, percent-encoded")),
    request_body(content = FirstGroup),
    responses((status = 204, description = "The group is tracked"))
)]
pub(super) async fn upload(
    caller: User,
    room: Id<RoomUri>,
    request: HttpRequest,
    payload: Payload,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let body = body::read(&request, payload, caller.uri.as_str()).await?;
    let FirstGroup { group_info, ratchet_tree } = json(&body)?;
    let (group_info, ratchet_tree) = (Bytes::from(group_info.0), Bytes::from(ratchet_tree.0));
    let answer = gateway.take_up(caller.uri, room.0, group_info, ratchet_tree).await?;
    Ok(Reply::empty(answer.decision).into())
}
