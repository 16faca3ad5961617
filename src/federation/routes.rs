use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, ContentType};
use actix_web::web::{Data, ServiceConfig, get, post, resource, to};
use actix_web::{HttpRequest, HttpResponse, Resource, Responder, Route};
use portcullis_core::wire::target::whole;
use portcullis_core::wire::uri::{RoomUri, UserUri};

use super::FederationError;
use super::body::{Body, NOTIFY_BYTES, OTHER_BYTES, REPORT_BYTES, SUBMIT_BYTES, UPDATE_BYTES};
use super::caller::{ForUs, Peer};
use super::door::Door;
use super::idempotency::IdempotencyKey;
use super::target::{OfDomain, Target};
use crate::assets::AssetUrlError;
use crate::gateway::{Caller, ConsentEndpoint, Gateway, GatewayError, Kept, Once, Relayed};
use crate::http::download;
use crate::peer::{DIRECTORY_PATH, OHTTP_PATH, directory_json};

/// Method and path of an endpoint and what makes its route.
type Endpoint = (Method, &'static str, fn() -> Route);

/// The endpoints of the protocol. A tail takes both forms of identifier.
const ENDPOINTS: &[Endpoint] = &[
    (Method::POST, "/v1/keyMaterial/{tail:.*}", || post().to(key_material)),
    (Method::POST, "/v1/update/{tail:.*}", || post().to(update_room)),
    (Method::POST, "/v1/submitMessage/{tail:.*}", || post().to(submit_message)),
    (Method::POST, "/v1/groupInfo/{tail:.*}", || post().to(group_info)),
    (Method::POST, "/v1/notify/{tail:.*}", || post().to(notify)),
    (Method::POST, "/v1/requestConsent/{tail:.*}", || post().to(request_consent)),
    (Method::POST, "/v1/updateConsent/{tail:.*}", || post().to(update_consent)),
    (Method::POST, "/v1/reportAbuse/{tail:.*}", || post().to(report_abuse)),
    (Method::POST, "/v1/identifierQuery/{tail:.*}", || post().to(identifier_query)),
    (Method::GET, OHTTP_PATH, || get().to(ohttp_keys)),
    (Method::POST, OHTTP_PATH, || post().to(ohttp)),
    (Method::GET, "/v1/proxyDownload/{tail:.*}", || get().to(proxy_download)),
];

/// Where the company says which room policies it accepts. The draft has no such path.
const ENVELOPE_PATH: &str = "/.well-known/portcullis-envelope";

/// Method and path of every route.
pub fn routes() -> Vec<(Method, &'static str)> {
    let endpoints = ENDPOINTS.iter().map(|(method, path, _)| (method.clone(), *path));
    [DIRECTORY_PATH, ENVELOPE_PATH].into_iter().map(|path| (Method::GET, path)).chain(endpoints).collect()
}

/// What every caller may read.
pub(super) fn directory(app: &mut ServiceConfig) {
    app.service(resource(DIRECTORY_PATH).route(get().to(read_directory)).default_service(to(other_method)));
}

/// What only peers may call. Whose users join our rooms is a peer, and asks for them; a stranger learns nothing of what is
/// accepted.
pub(super) fn endpoints(app: &mut ServiceConfig) {
    app.service(resource(ENVELOPE_PATH).route(get().to(read_envelope)).default_service(to(other_method)));
    for (at, (_, path, _)) in ENDPOINTS.iter().enumerate() {
        if ENDPOINTS.iter().take(at).any(|(_, before, _)| before == path) {
            continue;
        }
        let routes = ENDPOINTS.iter().filter(|(_, of, _)| of == path).map(|(_, _, route)| route());
        let all = routes.fold(resource(*path), Resource::route);
        app.service(all.default_service(to(other_method)));
    }
}

pub(super) async fn unknown() -> Result<HttpResponse, FederationError> {
    Err(FederationError::NoRoute)
}

async fn other_method() -> Result<HttpResponse, FederationError> {
    Err(FederationError::Method)
}

async fn read_directory(_for_us: ForUs, door: Data<Door>) -> impl Responder {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "public, max-age=3600"))
        .insert_header(ContentType::json())
        .body(directory_json(&door.origin).to_string())
}

async fn read_envelope(_peer: Peer, gateway: Data<Gateway>) -> Result<HttpResponse, FederationError> {
    let note = gateway.envelope().await?;
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CACHE_CONTROL, "private, max-age=300")).insert_header(ContentType::plaintext());
    Ok(answer.body(note))
}

async fn key_material(
    Peer(from): Peer,
    Target(user): Target<UserUri>,
    key: IdempotencyKey,
    Body(body): Body<OTHER_BYTES>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, FederationError> {
    let work = |once| gateway.key_material(once, Caller::Peer(from.clone()), user, body.clone());
    Ok(ok(key.once(&gateway, &from, &body, work).await?))
}

/// The same bytes again get the same answer, whatever their `Idempotency-Key` (readings D-15, D-27, D-33).
async fn update_room(
    Peer(from): Peer,
    Target(room): Target<RoomUri>,
    Body(body): Body<UPDATE_BYTES>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, FederationError> {
    Ok(ok(gateway.update_room(Once::unnamed(), Caller::Peer(from), room, body).await?))
}

/// As [`update_room`].
async fn submit_message(
    Peer(from): Peer,
    Target(room): Target<RoomUri>,
    Body(body): Body<SUBMIT_BYTES>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, FederationError> {
    Ok(ok(gateway.submit_message(Once::unnamed(), Caller::Peer(from), room, body).await?))
}

async fn group_info(
    Peer(from): Peer,
    Target(room): Target<RoomUri>,
    key: IdempotencyKey,
    Body(body): Body<OTHER_BYTES>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, FederationError> {
    let work = |once| gateway.group_info(once, Caller::Peer(from.clone()), room, body.clone());
    Ok(ok(key.once(&gateway, &from, &body, work).await?))
}

/// Takes events of a room that the caller is the hub of. 201 without a body, as the draft has it (reading D-13).
async fn notify(
    Peer(from): Peer,
    Target(room): Target<RoomUri>,
    Body(body): Body<NOTIFY_BYTES>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, FederationError> {
    gateway.notify(from, room, body).await?;
    Ok(HttpResponse::Created().finish())
}

/// Takes what a user of the caller asks of one of ours. 201 whoever that is, and whatever becomes of it.
async fn request_consent(
    Peer(from): Peer,
    Target(OfDomain(domain)): Target<OfDomain>,
    key: IdempotencyKey,
    Body(body): Body<OTHER_BYTES>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, FederationError> {
    let work = |once| gateway.take_consent(once, from.clone(), ConsentEndpoint::Request, domain, body.clone());
    Ok(created(key.once(&gateway, &from, &body, work).await?))
}

/// Takes what a user of the caller answers one of ours. As [`request_consent`].
async fn update_consent(
    Peer(from): Peer,
    Target(OfDomain(domain)): Target<OfDomain>,
    key: IdempotencyKey,
    Body(body): Body<OTHER_BYTES>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, FederationError> {
    let work = |once| gateway.take_consent(once, from.clone(), ConsentEndpoint::Update, domain, body.clone());
    Ok(created(key.once(&gateway, &from, &body, work).await?))
}

async fn identifier_query(
    Peer(from): Peer,
    Target(OfDomain(domain)): Target<OfDomain>,
    key: IdempotencyKey,
    Body(body): Body<OTHER_BYTES>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, FederationError> {
    let work = |once| gateway.search(once, Caller::Peer(from.clone()), domain, body.clone());
    Ok(ok(key.once(&gateway, &from, &body, work).await?))
}

fn created(_kept: Kept) -> HttpResponse {
    HttpResponse::Created().finish()
}

/// Takes a report of messages in a room of ours. 201 without a body, whatever the messages prove (readings D-13, D-56).
async fn report_abuse(
    Peer(from): Peer,
    Target(room): Target<RoomUri>,
    key: IdempotencyKey,
    Body(body): Body<REPORT_BYTES>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, FederationError> {
    let work = |once| gateway.report_abuse(once, Caller::Peer(from.clone()), room, body.clone());
    Ok(created(key.once(&gateway, &from, &body, work).await?))
}

/// Fetches a file for users of the caller, who are not named (reading D-57).
async fn proxy_download(
    Peer(from): Peer,
    request: HttpRequest,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, FederationError> {
    let url = whole(request.uri().path())?.parse().map_err(|error: AssetUrlError| GatewayError::decode(error))?;
    Ok(download::answer(gateway.proxy_download(from, url, download::asked(&request)).await?))
}

/// The keys of the gateway of Oblivious HTTP, for everybody: that all see the same ones is what hides who asks (reading D-58).
async fn ohttp_keys(_for_us: ForUs, gateway: Data<Gateway>) -> Result<HttpResponse, FederationError> {
    let keys = gateway.ohttp_keys().await?;
    let mut response = HttpResponse::Ok();
    response.content_type("application/ohttp-keys").insert_header((CACHE_CONTROL, "public, max-age=3600"));
    Ok(response.body(keys))
}

/// Answers a request that a relay of the caller hands in (RFC 9458, section 5.2).
async fn ohttp(
    Peer(from): Peer,
    Body(body): Body<OTHER_BYTES>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, FederationError> {
    match gateway.ohttp(from, body).await? {
        Relayed::Answer(answer, place) => {
            let mut response = HttpResponse::Ok();
            response.content_type("message/ohttp-res").insert_header((CACHE_CONTROL, "no-store"));
            Ok(response.body(download::held(answer.into(), Some(place))))
        }
        Relayed::UnknownKey => Err(FederationError::OhttpKey),
    }
}

fn ok(kept: Kept) -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::octet_stream()).body(kept.into_reply().body)
}
