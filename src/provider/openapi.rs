//! The description of the door, made from the handlers and served by the gateway.

use actix_web::HttpResponse;
use utoipa::openapi::OpenApi as Document;
use utoipa::{Modify, OpenApi};

use super::auth::ACTING_USER;
use super::routes::RESOURCES;
use super::{
    assets, consent, devices, events, group_info, key_material, key_packages, messages, ohttp, profile, reports, rooms,
    updates, users,
};
use crate::http::{CODES, ProblemDetails, openapi};

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
        users::deregister,
        profile::put,
        profile::show,
        profile::search,
        profile::search_by_address,
        key_material::claim,
        consent::change,
        consent::list,
        devices::register,
        devices::deregister,
        key_packages::upload,
        key_packages::count,
        events::stream,
        rooms::envelope,
        rooms::create,
        rooms::start,
        rooms::next,
        rooms::destroy,
        updates::submit,
        messages::submit,
        reports::submit,
        assets::download,
        ohttp::keys,
        ohttp::relay,
        group_info::request,
        group_info::upload
    ),
    components(schemas(ProblemDetails, events::Event)),
    modifiers(&Shared),
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
    openapi::served(&Api::openapi())
}

/// Adds what all operations have in common.
struct Shared;

impl Modify for Shared {
    fn modify(&self, document: &mut Document) {
        let common = openapi::Common {
            resources: RESOURCES,
            token: "A JWT with `aud` `portcullis-provider`. Its `sub` is a user identifier of this gateway; or its \
                    `scope` contains `act`, and the header `Portcullis-User` names the user to act for.",
            codes: CODES,
            header: Some((ACTING_USER, "The user a service token acts for")),
        };
        common.add_to(document);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_every_registered_route_and_no_other() {
        openapi::tests::assert_describes(&Api::openapi(), RESOURCES);
    }
}
