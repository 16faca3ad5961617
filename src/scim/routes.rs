//! Every route of the door, once: the server registers them from here, and tests hold their cases against it.

use actix_web::http::Method;
use actix_web::web;

use super::{discovery, groups, users};
use crate::http::{Resource, listed};

/// Longest body, in bytes: a group with as many members as it may have.
const LONGEST: usize = 1024 * 1024;

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        path: "/scim/v2/ServiceProviderConfig",
        limit_bytes: 0,
        methods: &[(Method::GET, || web::get().to(discovery::config))],
    },
    Resource {
        path: "/scim/v2/ResourceTypes",
        limit_bytes: 0,
        methods: &[(Method::GET, || web::get().to(discovery::types))],
    },
    Resource {
        path: "/scim/v2/ResourceTypes/{name}",
        limit_bytes: 0,
        methods: &[(Method::GET, || web::get().to(discovery::one_type))],
    },
    Resource {
        path: "/scim/v2/Schemas",
        limit_bytes: 0,
        methods: &[(Method::GET, || web::get().to(discovery::schemas))],
    },
    Resource {
        path: "/scim/v2/Schemas/{urn}",
        limit_bytes: 0,
        methods: &[(Method::GET, || web::get().to(discovery::schema))],
    },
    Resource {
        path: "/scim/v2/Users",
        limit_bytes: LONGEST,
        methods: &[(Method::GET, || web::get().to(users::list)), (Method::POST, || web::post().to(users::create))],
    },
    Resource {
        path: "/scim/v2/Users/{id}",
        limit_bytes: LONGEST,
        methods: &[
            (Method::GET, || web::get().to(users::show)),
            (Method::PUT, || web::put().to(users::replace)),
            (Method::PATCH, || web::patch().to(users::patch)),
            (Method::DELETE, || web::delete().to(users::delete)),
        ],
    },
    Resource {
        path: "/scim/v2/Groups",
        limit_bytes: LONGEST,
        methods: &[(Method::GET, || web::get().to(groups::list)), (Method::POST, || web::post().to(groups::create))],
    },
    Resource {
        path: "/scim/v2/Groups/{id}",
        limit_bytes: LONGEST,
        methods: &[
            (Method::GET, || web::get().to(groups::show)),
            (Method::PUT, || web::put().to(groups::replace)),
            (Method::PATCH, || web::patch().to(groups::patch)),
            (Method::DELETE, || web::delete().to(groups::delete)),
        ],
    },
];

/// Method and path of every route; `{…}` in a path stands for one percent-encoded segment.
pub fn routes() -> Vec<(Method, &'static str)> {
    listed(RESOURCES)
}
