//! Commits and proposals of a room.

use actix_web::HttpResponse;
use actix_web::web::Data;
use portcullis_core::wire::uri::RoomUri;

use super::LastPost;
use super::Problem;
use super::body::Id;
use crate::gateway::{Caller, Gateway};

/// Send a commit or proposals
///
/// The hub decides; where another provider is the hub, this gateway decides first and then forwards.
#[utoipa::path(
    post,
    path = "/v1/rooms/{room}/update",
    tag = "rooms",
    params(("room" = String, Path, description = "Room identifier, percent-encoded")),
    request_body(content = String, content_type = "application/octet-stream", description = "`UpdateRequest`, TLS-encoded"),
    responses((
        status = 200, description = "`UpdateRoomResponse`, TLS-encoded; what the protocol can refuse is in it",
        body = String, content_type = "application/octet-stream"
    ))
)]
pub(super) async fn submit(post: LastPost, room: Id<RoomUri>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    post.once(async move |once, user, body| {
        Ok(gateway.update_room(once, Caller::User(user.0.uri), room.0, body).await?)
    })
    .await
}
