//! The description of the door, made from the handlers and served by the gateway.

use actix_web::HttpResponse;
use actix_web::http::{Method, header};
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{Object, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, HeaderBuilder, OpenApi as Document, Ref, RefOr, Required, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::auth::ACTING_USER;
use super::post::IDEMPOTENCY_KEY;
use super::problem::{CODES, DECISION, MEDIA_TYPE, ProblemDetails};
use super::routes::{RESOURCES, Resource};
use super::{devices, events, group_info, key_material, key_packages, messages, rooms, updates, users};

/// Name of the security scheme.
const BEARER: &str = "bearer";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Portcullis provider door",
        description = "What a chat backend and its clients need of the gateway: users and devices, key packages, \
            rooms, commits, messages, and a resumable stream of events for each device. MIMI identifiers stand in \
            paths as one percent-encoded segment.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        document,
        users::register,
        key_material::claim,
        devices::register,
        key_packages::upload,
        key_packages::count,
        events::stream,
        rooms::create,
        rooms::start,
        updates::submit,
        messages::submit,
        group_info::request,
        group_info::upload
    ),
    components(schemas(ProblemDetails, events::Event)),
    modifiers(&Common),
    tags(
        (name = "users", description = "Users of the company, and key material of users anywhere"),
        (name = "devices", description = "Devices, their key packages and their event streams"),
        (name = "rooms", description = "Rooms, here and at other providers")
    )
)]
struct Api;

/// This document
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    responses((status = 200, description = "The OpenAPI document", body = Object))
)]
pub(super) async fn document() -> HttpResponse {
    match Api::openapi().to_json() {
        Ok(json) => HttpResponse::Ok()
            .content_type("application/json")
            .insert_header((header::CACHE_CONTROL, "max-age=3600"))
            .body(json),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

/// Adds what all operations have in common: token, headers, refusals, limits.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut Document) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").description(Some(
            "A JWT with `aud` `portcullis-provider`. Its `sub` is a user identifier of this gateway; or its `scope` \
             contains `act`, and the header `Portcullis-User` names the user to act for.",
        ));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(BEARER, SecurityScheme::Http(scheme.build()));
        for (path, item) in &mut document.paths.paths {
            if RESOURCES.iter().all(|resource| resource.path != path) {
                continue;
            }
            let public = path == "/v1/openapi.json";
            let PathItem { get, put, post, .. } = item;
            if let Some(post) = post {
                post.parameters.get_or_insert_default().push(idempotency_key().into());
            }
            let methods = [(Method::GET, get), (Method::PUT, put), (Method::POST, post)];
            for (method, operation) in methods.into_iter().filter_map(|(method, it)| Some((method, it.as_mut()?))) {
                let refusal = refusal(limit_bytes(path, &method));
                operation.responses.responses.insert("default".to_owned(), RefOr::T(refusal));
                if !public {
                    caller(operation);
                }
                // Handlers of different resources share names; their place makes them unique.
                let tag = operation.tags.iter().flatten().next().cloned().unwrap_or_default();
                let name = operation.operation_id.take().unwrap_or_default();
                let place = path.trim_start_matches("/v1/").replace(['/', '{', '}', '-', '.'], "_");
                operation.operation_id = Some(format!("{name}_{place}").trim_end_matches('_').replace("__", "_"));
                operation.tags = Some(if public { Vec::new() } else { vec![tag] });
            }
        }
    }
}

/// The longest body that a route takes, in bytes.
fn limit_bytes(path: &str, method: &Method) -> usize {
    let of = |resource: &&Resource| resource.path == path && resource.methods.iter().any(|(own, _)| own == method);
    RESOURCES.iter().find(of).map_or(0, |resource| resource.limit_bytes)
}

fn caller(operation: &mut Operation) {
    operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(BEARER, [])]);
    let acting = header_parameter(ACTING_USER, Required::False, "The user a service token acts for");
    operation.parameters.get_or_insert_default().push(acting.into());
}

fn idempotency_key() -> Parameter {
    let about = "1 to 128 visible ASCII characters that name this request. Within 24 hours the same key with the same \
                 body gets the same answer; with another body 422. A fault of the gateway (5xx) is not kept.";
    header_parameter(IDEMPOTENCY_KEY, Required::True, about)
}

fn header_parameter(name: &str, required: Required, about: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(required)
        .description(Some(about))
        .schema(Some(text()))
        .build()
}

fn refusal(limit_bytes: usize) -> utoipa::openapi::Response {
    let codes: String = CODES.iter().map(|(code, status, about)| format!("* `{code}` ({status}): {about}\n")).collect();
    ResponseBuilder::new()
        .description(format!("A refusal (RFC 9457). The body may have {limit_bytes} bytes.\n\nCodes:\n{codes}"))
        .content(
            MEDIA_TYPE,
            ContentBuilder::new().schema(Some(RefOr::Ref(Ref::from_schema_name("ProblemDetails")))).build(),
        )
        .header(
            DECISION,
            HeaderBuilder::new().schema(Some(text())).description(Some("The decision in the audit log")).build(),
        )
        .build()
}

fn text() -> RefOr<Schema> {
    RefOr::T(Schema::Object(Object::with_type(Type::String)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_has_every_registered_route_and_no_other() {
        let registered: BTreeSet<(String, String)> = RESOURCES
            .iter()
            .flat_map(|resource| {
                resource.methods.iter().map(|(method, _)| (resource.path.to_owned(), method.as_str().to_owned()))
            })
            .collect();
        let document = serde_json::to_value(Api::openapi()).unwrap();
        let documented: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys();
                methods.map(|method| (path.clone(), method.to_uppercase())).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(documented, registered);
    }

    #[test]
    fn every_operation_has_its_own_name_and_every_post_its_key() {
        let document = serde_json::to_value(Api::openapi()).unwrap();
        let mut names = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{method} {path}");
                let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
                let keyed = parameters.iter().any(|parameter| parameter["name"] == IDEMPOTENCY_KEY);
                assert_eq!(keyed, method == "post", "{method} {path}");
            }
        }
    }
}
