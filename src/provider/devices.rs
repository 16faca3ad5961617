//! Devices of a user: each is an MLS client.

use actix_web::HttpResponse;
use actix_web::web::Data;
use portcullis_core::wire::uri::ClientUri;

use super::Problem;
use super::auth::{EvenOut, User};
use super::body::Id;
use crate::gateway::Gateway;

/// Delete a device
///
/// It gets nothing any more, nobody gets its key packages, and we take it out of the rooms we host. Rooms of other providers
/// it leaves by the user's other devices.
#[utoipa::path(
    delete,
    path = "/v1/devices/{device}",
    tag = "devices",
    params(("device" = String, Path, description = "Client identifier, percent-encoded")),
    responses((status = 204, description = "The device is deleted"))
)]
pub(super) async fn deregister(
    caller: EvenOut,
    device: Id<ClientUri>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    gateway.deregister_device(caller.0.uri, device.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Register a device
///
/// The device must be the caller's. Doing it again changes nothing.
#[utoipa::path(
    put,
    path = "/v1/devices/{device}",
    tag = "devices",
    params((
        "device" = String, Path, description = "Client identifier, percent-encoded",
        example = "mimi://a.example/d/alice/phone"
    )),
    responses((status = 204, description = "The device is registered"))
)]
pub(super) async fn register(
    caller: User,
    device: Id<ClientUri>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    gateway.register_device(caller.uri, device.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
