//! KeyPackages of users anywhere, claimed to add them to a room.

use actix_web::HttpResponse;
use actix_web::web::Data;
use portcullis_core::wire::uri::UserUri;

use super::Post;
use super::Problem;
use super::body::Id;
use crate::gateway::{Caller, Gateway};

/// Claim key material of a user
///
/// Each KeyPackage is given out once. For users of other providers their provider is asked.
#[utoipa::path(
    post,
    path = "/v1/key-material/{user}",
    tag = "users",
    params(("user" = String, Path, description = "User identifier, percent-encoded")),
    request_body(content = String, content_type = "application/octet-stream", description = "`KeyMaterialRequest`, TLS-encoded"),
    responses((
        status = 200, description = "`KeyMaterialResponse`, TLS-encoded; what the protocol can refuse is in it",
        body = String, content_type = "application/octet-stream"
    ))
)]
pub(super) async fn claim(post: Post, target: Id<UserUri>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    post.once(async move |once, user, body| Ok(gateway.key_material(once, Caller::User(user), target.0, body).await?))
        .await
}
