//! What this door can do (RFC 7644, section 4).

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use portcullis_core::scim::{Attribute, GROUP, Kind, ResourceType, Schema, USER};
use serde_json::{Value, json};

use super::answer;
use super::caller::Caller;
use super::problem::Refusal;
use super::query::MOST;
use crate::gateway::GatewayError;
use crate::gateway::people::Place;

const TYPES: [&ResourceType; 2] = [&USER, &GROUP];

pub(super) async fn config(_: Caller, place: Data<Arc<Place>>) -> HttpResponse {
    let unsupported = json!({ "supported": false });
    let body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": { "supported": true },
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": MOST },
        "changePassword": unsupported, "sort": unsupported, "etag": { "supported": true },
        "authenticationSchemes": [{
            "type": "oauthbearertoken", "name": "Bearer token",
            "description": "A token that `portcullis directory token create` has made",
        }],
        "meta": { "resourceType": "ServiceProviderConfig", "location": format!("{}/ServiceProviderConfig", place.base) },
    });
    answer(StatusCode::OK, &body)
}

pub(super) async fn types(_: Caller, place: Data<Arc<Place>>) -> HttpResponse {
    answer(StatusCode::OK, &listed(TYPES.map(|of| shown_type(of, &place)).to_vec()))
}

pub(super) async fn one_type(_: Caller, name: Path<String>, place: Data<Arc<Place>>) -> Result<HttpResponse, Refusal> {
    let found = TYPES.into_iter().find(|of| of.name == name.as_str()).ok_or(GatewayError::NotFound)?;
    Ok(answer(StatusCode::OK, &shown_type(found, &place)))
}

pub(super) async fn schemas(_: Caller, place: Data<Arc<Place>>) -> HttpResponse {
    let all = TYPES.into_iter().flat_map(ResourceType::schemas).map(|schema| shown_schema(schema, &place));
    answer(StatusCode::OK, &listed(all.collect()))
}

pub(super) async fn schema(_: Caller, urn: Path<String>, place: Data<Arc<Place>>) -> Result<HttpResponse, Refusal> {
    let mut all = TYPES.into_iter().flat_map(ResourceType::schemas);
    let found = all.find(|schema| schema.urn.eq_ignore_ascii_case(&urn)).ok_or(GatewayError::NotFound)?;
    Ok(answer(StatusCode::OK, &shown_schema(found, &place)))
}

fn listed(all: Vec<Value>) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": all.len(), "startIndex": 1, "itemsPerPage": all.len(), "Resources": all,
    })
}

fn shown_type(of: &ResourceType, place: &Place) -> Value {
    let extensions = of.extensions.iter().map(|schema| json!({ "schema": schema.urn, "required": false }));
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": of.name, "name": of.name, "endpoint": format!("/{}", of.endpoint), "description": of.core.about,
        "schema": of.core.urn, "schemaExtensions": extensions.collect::<Vec<_>>(),
        "meta": { "resourceType": "ResourceType", "location": format!("{}/ResourceTypes/{}", place.base, of.name) },
    })
}

fn shown_schema(schema: &Schema, place: &Place) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": schema.urn, "name": schema.name, "description": schema.about,
        "attributes": attributes(schema.attributes),
        "meta": { "resourceType": "Schema", "location": format!("{}/Schemas/{}", place.base, schema.urn) },
    })
}

/// Those that are kept.
fn attributes(all: &[Attribute]) -> Vec<Value> {
    let kept = all.iter().filter(|attribute| !matches!(attribute.kind, Kind::Dropped));
    let shown = kept.map(|attribute| {
        let (kind, parts) = match attribute.kind {
            Kind::Text | Kind::Dropped => ("string", None),
            Kind::Boolean => ("boolean", None),
            Kind::Complex(parts) => ("complex", Some(attributes(parts))),
        };
        let mut shown = json!({
            "name": attribute.name, "type": kind, "multiValued": attribute.most.is_some(),
            "description": attribute.about, "required": attribute.required, "caseExact": attribute.exact,
            "mutability": if attribute.read_only { "readOnly" } else { "readWrite" }, "returned": "default",
            "uniqueness": if attribute.unique { "server" } else { "none" },
        });
        if let Some(parts) = parts {
            shown["subAttributes"] = parts.into();
        }
        shown
    });
    shown.collect()
}
