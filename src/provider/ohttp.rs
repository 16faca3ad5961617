//! The relay of Oblivious HTTP (RFC 9458, section 5.1) to the gateways of hubs.

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Data, Path};
use portcullis_core::wire::uri::Domain;

use super::Post;
use super::auth::User;
use crate::gateway::Gateway;
use crate::http::Problem;
use crate::http::download::held;

/// The keys of a hub for oblivious requests
///
/// Key configurations (RFC 9458, section 3), to encapsulate requests for files to.
#[utoipa::path(
    get,
    path = "/v1/ohttp/{domain}",
    tag = "rooms",
    params(("domain" = String, Path, description = "Provider domain of the hub")),
    responses((status = 200, description = "Key configurations", body = String, content_type = "application/ohttp-keys"))
)]
pub(super) async fn keys(caller: User, domain: Path<String>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    let (keys, place) = gateway.ohttp_relay(caller.uri, hub(&domain)?, None).await?;
    Ok(HttpResponse::Ok().content_type("application/ohttp-keys").body(held(keys, Some(place))))
}

/// Relay an oblivious request to a hub
///
/// The hub fetches the file that the encapsulated request asks for (a GET as Binary HTTP, RFC 9292) and does not learn for whom; this
/// gateway does not learn what. A request is answered once, whatever its key: encapsulate another one to ask again.
#[utoipa::path(
    post,
    path = "/v1/ohttp/{domain}",
    tag = "rooms",
    params(("domain" = String, Path, description = "Provider domain of the hub")),
    request_body(content = String, content_type = "message/ohttp-req", description = "Encapsulated request"),
    responses((status = 200, description = "Encapsulated answer", body = String, content_type = "message/ohttp-res"))
)]
pub(super) async fn relay(post: Post, domain: Path<String>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    let (user, body) = post.unkept();
    let (answer, place) = gateway.ohttp_relay(user, hub(&domain)?, Some(body)).await?;
    Ok(HttpResponse::Ok()
        .content_type("message/ohttp-res")
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(held(answer, Some(place))))
}

fn hub(domain: &str) -> Result<Domain, Problem> {
    Domain::parse(domain).map_err(|_| Problem::Malformed("the path segment is no provider domain".to_owned()))
}
