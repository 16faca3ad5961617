//! Every route of the door, once: the server registers them from here, and the OpenAPI document is held against it.

use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};
use actix_web::{ResponseError as _, Route};

use super::body::{Limit, LimitOf};
use super::problem::Problem;
use super::{devices, events, group_info, key_material, key_packages, messages, openapi, rooms, updates, users};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A method and what makes its route.
type Endpoint = (Method, fn() -> Route);

/// A path, the longest body it takes, and its methods. A path whose methods differ in that stands here more than once.
pub(super) struct Resource {
    pub(super) path: &'static str,
    pub(super) limit_bytes: usize,
    pub(super) methods: &'static [Endpoint],
}

/// Base64 in JSON is a third longer than the group it holds, which the federation door takes up to 16 MiB.
const GROUP_BYTES: usize = 22 * MIB;

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        path: "/v1/openapi.json",
        limit_bytes: 0,
        methods: &[(Method::GET, || web::get().to(openapi::document))],
    },
    Resource { path: "/v1/users/{user}", limit_bytes: 0, methods: &[(Method::PUT, || web::put().to(users::register))] },
    Resource {
        path: "/v1/key-material/{user}",
        limit_bytes: 256 * KIB,
        methods: &[(Method::POST, || web::post().to(key_material::claim))],
    },
    Resource {
        path: "/v1/devices/{device}",
        limit_bytes: 0,
        methods: &[(Method::PUT, || web::put().to(devices::register))],
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

/// Registers all routes. What is none of them is a problem, too.
pub(super) fn register(service: &mut ServiceConfig) {
    for (at, Resource { path, limit_bytes, .. }) in RESOURCES.iter().enumerate() {
        if RESOURCES.iter().take(at).any(|before| before.path == *path) {
            continue;
        }
        let same = || RESOURCES.iter().filter(|resource| resource.path == *path);
        let limits = same().flat_map(|of| of.methods.iter().map(|(method, _)| (method.clone(), of.limit_bytes)));
        let resource = web::resource(*path).app_data(Limit(*limit_bytes)).app_data(LimitOf(limits.collect()));
        let routes = same().flat_map(|of| of.methods);
        let resource = routes.fold(resource, |resource, (_, route)| resource.route(route()));
        service.service(resource.default_service(web::to(async || Problem::Method.error_response())));
    }
    service.default_service(web::to(async || Problem::NoRoute.error_response()));
}
