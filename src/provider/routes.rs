//! Every route of the door, once: the server registers them from here, and the OpenAPI document is held against it.

use actix_web::http::Method;
use actix_web::web;

use super::{
    assets, consent, devices, events, group_info, key_material, key_packages, messages, ohttp, openapi, profile,
    reports, rooms, updates, users,
};
use crate::http::{Resource, listed};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Base64 in JSON is a third longer than the group it holds, which the federation door takes up to 16 MiB.
const GROUP_BYTES: usize = 22 * MIB;

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        path: "/v1/openapi.json",
        limit_bytes: 0,
        methods: &[(Method::GET, || web::get().to(openapi::document))],
    },
    Resource { path: "/v1/envelope", limit_bytes: 0, methods: &[(Method::GET, || web::get().to(rooms::envelope))] },
    Resource {
        path: "/v1/users/{user}",
        limit_bytes: 0,
        methods: &[
            (Method::PUT, || web::put().to(users::register)),
            (Method::DELETE, || web::delete().to(users::deregister)),
        ],
    },
    Resource {
        path: "/v1/users/{user}/profile",
        limit_bytes: 128 * KIB,
        methods: &[(Method::PUT, || web::put().to(profile::put)), (Method::GET, || web::get().to(profile::show))],
    },
    Resource {
        path: "/v1/search",
        limit_bytes: 256 * KIB,
        methods: &[(Method::POST, || web::post().to(profile::search_by_address))],
    },
    Resource {
        path: "/v1/search/{domain}",
        limit_bytes: 256 * KIB,
        methods: &[(Method::POST, || web::post().to(profile::search))],
    },
    Resource {
        path: "/v1/ohttp/{domain}",
        limit_bytes: 256 * KIB,
        methods: &[(Method::GET, || web::get().to(ohttp::keys)), (Method::POST, || web::post().to(ohttp::relay))],
    },
    Resource {
        path: "/v1/key-material/{user}",
        limit_bytes: 256 * KIB,
        methods: &[(Method::POST, || web::post().to(key_material::claim))],
    },
    Resource {
        path: "/v1/consent",
        limit_bytes: 256 * KIB,
        methods: &[(Method::POST, || web::post().to(consent::change))],
    },
    Resource { path: "/v1/consent", limit_bytes: 0, methods: &[(Method::GET, || web::get().to(consent::list))] },
    Resource {
        path: "/v1/devices/{device}",
        limit_bytes: 0,
        methods: &[
            (Method::PUT, || web::put().to(devices::register)),
            (Method::DELETE, || web::delete().to(devices::deregister)),
        ],
    },
    Resource {
        path: "/v1/devices/{device}/key-packages",
        limit_bytes: MIB,
        methods: &[
            (Method::GET, || web::get().to(key_packages::count)),
            (Method::POST, || web::post().to(key_packages::upload)),
        ],
    },
    Resource {
        path: "/v1/devices/{device}/events",
        limit_bytes: 0,
        methods: &[(Method::GET, || web::get().to(events::stream))],
    },
    Resource {
        path: "/v1/rooms",
        limit_bytes: 256 * KIB,
        methods: &[(Method::POST, || web::post().to(rooms::create))],
    },
    Resource {
        path: "/v1/rooms/{room}/group",
        limit_bytes: GROUP_BYTES,
        methods: &[(Method::PUT, || web::put().to(rooms::start))],
    },
    Resource {
        path: "/v1/rooms/{room}/group",
        limit_bytes: 0,
        methods: &[(Method::POST, || web::post().to(rooms::next))],
    },
    Resource {
        path: "/v1/rooms/{room}/destroy",
        limit_bytes: 0,
        methods: &[(Method::POST, || web::post().to(rooms::destroy))],
    },
    Resource {
        path: "/v1/rooms/{room}/update",
        limit_bytes: 16 * MIB,
        methods: &[(Method::POST, || web::post().to(updates::submit))],
    },
    Resource {
        path: "/v1/rooms/{room}/messages",
        limit_bytes: MIB,
        methods: &[(Method::POST, || web::post().to(messages::submit))],
    },
    Resource {
        path: "/v1/rooms/{room}/reports",
        limit_bytes: 5 * MIB,
        methods: &[(Method::POST, || web::post().to(reports::submit))],
    },
    Resource {
        path: "/v1/rooms/{room}/assets/{url}",
        limit_bytes: 0,
        methods: &[(Method::GET, || web::get().to(assets::download))],
    },
    Resource {
        path: "/v1/rooms/{room}/group-info",
        limit_bytes: 256 * KIB,
        methods: &[(Method::POST, || web::post().to(group_info::request))],
    },
    Resource {
        path: "/v1/rooms/{room}/group-info",
        limit_bytes: GROUP_BYTES,
        methods: &[(Method::PUT, || web::put().to(group_info::upload))],
    },
];

/// Method and path of every route; `{…}` in a path stands for one percent-encoded segment.
pub fn routes() -> Vec<(Method, &'static str)> {
    listed(RESOURCES)
}
