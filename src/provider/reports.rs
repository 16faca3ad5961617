//! Reports of abuse.

use actix_web::HttpResponse;
use actix_web::web::Data;
use portcullis_core::wire::uri::RoomUri;

use super::LastPost;
use super::Problem;
use super::body::Id;
use crate::gateway::{Caller, Gateway};

/// Report messages of a room
///
/// The hub checks what each message proves and puts the report before its moderators; where another provider is the hub,
/// this gateway decides first and then forwards. 201 whatever the messages prove. A report names the user or nobody.
#[utoipa::path(
    post,
    path = "/v1/rooms/{room}/reports",
    tag = "rooms",
    params(("room" = String, Path, description = "Room identifier, percent-encoded")),
    request_body(content = String, content_type = "application/octet-stream", description = "`AbuseReport`, TLS-encoded"),
    responses((status = 201, description = "The report was taken"))
)]
pub(super) async fn submit(post: LastPost, room: Id<RoomUri>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    post.once(async move |once, user, body| {
        Ok(gateway.report_abuse(once, Caller::User(user.0.uri), room.0, body).await?)
    })
    .await
}
