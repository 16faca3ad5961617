//! Files of rooms.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use portcullis_core::wire::uri::{RoomUri, UserUri};

use crate::assets::AssetUrl;
use crate::gateway::Gateway;
use crate::http::{Caller as _, Problem, download};

/// Download a file of a room
///
/// The file at an `https:` URL that a message of the room names, fetched by the room's hub, so that its host does not learn who
/// downloads it. The host must be one that the room's policy or a provider names. `Range`, `If-Range`, `If-None-Match` and
/// `If-Modified-Since` are taken.
#[utoipa::path(
    get,
    path = "/v1/rooms/{room}/assets/{url}",
    tag = "rooms",
    params(
        ("room" = String, Path, description = "Room identifier, percent-encoded"),
        ("url" = String, Path, description = "Address of the file, percent-encoded as a whole")
    ),
    responses(
        (status = 200, description = "The file", body = String, content_type = "application/octet-stream"),
        (status = 206, description = "The part that `Range` asks for", body = String, content_type = "application/octet-stream"),
        (status = 304, description = "It is as the caller has it"),
        (status = 416, description = "It has no such part")
    )
)]
pub(super) async fn download(
    request: HttpRequest,
    path: Path<(String, String)>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let user = UserUri::authenticate(&request).await?;
    let (room, url) = path.into_inner();
    let named = |what: &str| Problem::Malformed(format!("the path does not hold {what}"));
    let room = room.parse::<RoomUri>().map_err(|_| named("a room identifier"))?;
    let url = url.parse::<AssetUrl>().map_err(|error| named(&error.to_string()))?;
    Ok(download::answer(gateway.room_download(user, room, url, download::asked(&request)).await?))
}
