//! Users of the company.

use actix_web::HttpResponse;
use actix_web::web::Data;
use portcullis_core::wire::uri::UserUri;

use super::Problem;
use super::auth::User;
use super::body::Id;
use crate::gateway::{Gateway, GatewayError};

/// Delete a user
///
/// With its devices and its profile. Its rights end in every room, and we take it out of those we host; when it is registered
/// again it may come back.
#[utoipa::path(
    delete,
    path = "/v1/users/{user}",
    tag = "users",
    params(("user" = String, Path, description = "User identifier, percent-encoded")),
    responses((status = 204, description = "The user is deleted"))
)]
pub(super) async fn deregister(
    caller: User,
    user: Id<UserUri>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    if caller.uri != user.0 {
        return Err(GatewayError::WrongIdentity.into());
    }
    gateway.deregister_user(user.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Register a user
///
/// The user must be known before its devices are. Doing it again changes nothing, but for claims of the user's own token that
/// the gateway is told to keep (`listeners.provider.claims`).
#[utoipa::path(
    put,
    path = "/v1/users/{user}",
    tag = "users",
    params(("user" = String, Path, description = "User identifier, percent-encoded", example = "mimi://a.example/u/alice")),
    responses((status = 204, description = "The user is registered"))
)]
pub(super) async fn register(caller: User, user: Id<UserUri>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    if caller.uri != user.0 {
        return Err(GatewayError::WrongIdentity.into());
    }
    gateway.register_user(user.0, caller.claims).await?;
    Ok(HttpResponse::NoContent().finish())
}
