//! Groups.

use actix_web::http::StatusCode;
use actix_web::http::header::{ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use portcullis_core::scim::GROUP;

use super::caller::{Caller, Sent, header, id};
use super::problem::Refusal;
use super::query::Asked;
use super::{answer, begin};
use crate::gateway::Gateway;
use crate::gateway::people::{Members, Resource};

pub(super) async fn list(by: Caller, request: HttpRequest, gateway: Data<Gateway>) -> Result<HttpResponse, Refusal> {
    let asked = Asked::of(&request)?;
    let wanted = asked.wanted()?;
    let listed = gateway.groups_of_people(by.0, wanted.clone()).await.map_err(Refusal::of)?;
    Ok(answer(StatusCode::OK, &asked.list(&GROUP, &wanted, &listed)))
}

pub(super) async fn show(
    by: Caller,
    path: Path<String>,
    request: HttpRequest,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Refusal> {
    let asked = Asked::of(&request)?;
    let found = gateway.group_of_people(by.0, id(&path)?, asked.members()).await.map_err(Refusal::of)?;
    if header(&request, &IF_NONE_MATCH).is_some_and(|seen| seen.split(',').any(|seen| seen.trim() == found.tag)) {
        return Ok(begin(StatusCode::NOT_MODIFIED).insert_header((ETAG, found.tag)).finish());
    }
    Ok(told(StatusCode::OK, &asked, &found))
}

pub(super) async fn create(sent: Sent, request: HttpRequest, gateway: Data<Gateway>) -> Result<HttpResponse, Refusal> {
    let asked = Asked::of(&request)?;
    let made = gateway.create_group_of_people(sent.by, sent.body).await.map_err(Refusal::of)?;
    Ok(told(StatusCode::CREATED, &asked, &made))
}

pub(super) async fn replace(
    sent: Sent,
    path: Path<String>,
    request: HttpRequest,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Refusal> {
    let (asked, wanted) = (Asked::of(&request)?, header(&request, &IF_MATCH));
    let replaced = gateway.replace_group_of_people(sent.by, id(&path)?, wanted, sent.body).await;
    Ok(told(StatusCode::OK, &asked, &replaced.map_err(Refusal::of)?))
}

pub(super) async fn patch(
    sent: Sent,
    path: Path<String>,
    request: HttpRequest,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Refusal> {
    let (asked, wanted) = (Asked::of(&request)?, header(&request, &IF_MATCH));
    // The members of a large group are told to whoever asks for them.
    let members = if asked.wants_body() { asked.members() } else { Members::LeftOut };
    let patched = gateway.patch_group_of_people(sent.by, id(&path)?, wanted, sent.body, members).await;
    let patched = patched.map_err(Refusal::of)?;
    if asked.wants_body() {
        return Ok(told(StatusCode::OK, &asked, &patched));
    }
    Ok(begin(StatusCode::NO_CONTENT).insert_header((ETAG, patched.tag)).finish())
}

pub(super) async fn delete(
    by: Caller,
    path: Path<String>,
    request: HttpRequest,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Refusal> {
    gateway.delete_group_of_people(by.0, id(&path)?, header(&request, &IF_MATCH)).await.map_err(Refusal::of)?;
    Ok(begin(StatusCode::NO_CONTENT).finish())
}

fn told(status: StatusCode, asked: &Asked, resource: &Resource) -> HttpResponse {
    let mut response = begin(status);
    response.insert_header((ETAG, resource.tag.as_str()));
    let location = resource.told.get("meta").and_then(|meta| meta.get("location")?.as_str());
    if let Some(location) = location {
        response.insert_header((LOCATION, location));
    }
    response.body(asked.told(&GROUP, resource).to_string())
}
