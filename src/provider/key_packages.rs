//! KeyPackages, by which others add a device to their groups.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use portcullis_core::wire::uri::ClientUri;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Post;
use super::Problem;
use super::Reply;
use super::auth::User;
use super::body::{Base64, Id, json};
use crate::gateway::{Gateway, GatewayError, Shown, Unclaimed};

/// KeyPackages of one device.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyPackages {
    /// Each a `KeyPackage` of RFC 9420, TLS-encoded, in base64.
    #[schema(value_type = Vec<String>)]
    pub key_packages: Vec<Base64>,
}

/// How many KeyPackages are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyPackageCount {
    /// KeyPackages of the device that nobody has claimed and that have not expired.
    pub unclaimed: u64,
}

impl Shown for Unclaimed {
    fn reply(self) -> Result<Reply, GatewayError> {
        Reply::json(StatusCode::OK, &KeyPackageCount { unclaimed: self.0 }, None)
    }
}

/// Upload KeyPackages
///
/// All are taken or none. Each must name the device and be valid for a while.
#[utoipa::path(
    post,
    path = "/v1/devices/{device}/key-packages",
    tag = "devices",
    params(("device" = String, Path, description = "Client identifier, percent-encoded")),
    request_body(content = KeyPackages),
    responses((status = 200, description = "All are taken", body = KeyPackageCount))
)]
pub(super) async fn upload(post: Post, device: Id<ClientUri>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    post.once(async move |once, user, body| {
        let uploaded: KeyPackages = json(&body)?;
        let packages = uploaded.key_packages.into_iter().map(|package| package.0).collect();
        Ok(gateway.upload_key_packages(once, user, device.0, packages).await?)
    })
    .await
}

/// Count unclaimed KeyPackages
#[utoipa::path(
    get,
    path = "/v1/devices/{device}/key-packages",
    tag = "devices",
    params(("device" = String, Path, description = "Client identifier, percent-encoded")),
    responses((status = 200, description = "The count", body = KeyPackageCount))
)]
pub(super) async fn count(
    caller: User,
    device: Id<ClientUri>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let unclaimed = gateway.count_key_packages(caller.uri, device.0).await?;
    Ok(Reply::json(StatusCode::OK, &KeyPackageCount { unclaimed }, None)?.into())
}
