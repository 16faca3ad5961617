//! GroupInfo, for clients that join by an external commit.

use actix_web::HttpResponse;
use actix_web::web::Data;
use portcullis_core::wire::uri::RoomUri;

use super::body::Id;
use super::post::Post;
use super::problem::Problem;
use super::reply::Reply;
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
    post.once(async move |user, body| Ok(Reply::octets(gateway.group_info(Caller::User(user), room.0, body).await?)))
        .await
}
