//! Every route of the door, once: the server registers them from here, and the OpenAPI document is held against it.

use actix_web::http::Method;
use actix_web::web;

use super::{
    addresses, asks, audit, decisions, exports, join_codes, lanes, letters, moderation, openapi, peers, policies,
    reports, rooms, shadows, status,
};
use crate::http::{Resource, listed};

/// Longest body, in bytes: a reason and a number.
const SMALL: usize = 16 * 1024;
/// The same for the files of a policy bundle. Larger ones are pushed from the host.
const BUNDLE: usize = 16 * 1024 * 1024;

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        path: "/v1/openapi.json",
        limit_bytes: 0,
        methods: &[(Method::GET, || web::get().to(openapi::document))],
    },
    Resource { path: "/v1/status", limit_bytes: 0, methods: &[(Method::GET, || web::get().to(status::show))] },
    Resource { path: "/v1/rooms", limit_bytes: 0, methods: &[(Method::GET, || web::get().to(rooms::list))] },
    Resource { path: "/v1/rooms/{room}", limit_bytes: 0, methods: &[(Method::GET, || web::get().to(rooms::show))] },
    Resource {
        path: "/v1/rooms/{room}/destroy",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(rooms::destroy))],
    },
    Resource {
        path: "/v1/rooms/{room}/restrictions",
        limit_bytes: 0,
        methods: &[(Method::GET, || web::get().to(moderation::of_room))],
    },
    Resource {
        path: "/v1/rooms/{room}/codes",
        limit_bytes: SMALL,
        methods: &[
            (Method::GET, || web::get().to(join_codes::list)),
            (Method::POST, || web::post().to(join_codes::create)),
        ],
    },
    Resource {
        path: "/v1/rooms/{room}/codes/{code}/revoke",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(join_codes::revoke))],
    },
    Resource {
        path: "/v1/restrictions",
        limit_bytes: 0,
        methods: &[(Method::GET, || web::get().to(moderation::everywhere))],
    },
    Resource {
        path: "/v1/rooms/{room}/users/{user}/ban",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(moderation::ban))],
    },
    Resource {
        path: "/v1/rooms/{room}/users/{user}/unban",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(moderation::unban))],
    },
    Resource {
        path: "/v1/rooms/{room}/users/{user}/kick",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(moderation::kick))],
    },
    Resource {
        path: "/v1/rooms/{room}/users/{user}/remove",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(moderation::remove))],
    },
    Resource {
        path: "/v1/rooms/{room}/users/{user}/readmit",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(moderation::readmit))],
    },
    Resource {
        path: "/v1/rooms/{room}/users/{user}/mute",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(moderation::mute))],
    },
    Resource {
        path: "/v1/rooms/{room}/users/{user}/unmute",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(moderation::unmute))],
    },
    Resource {
        path: "/v1/rooms/{room}/freeze",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(moderation::freeze))],
    },
    Resource {
        path: "/v1/rooms/{room}/unfreeze",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(moderation::unfreeze))],
    },
    Resource {
        path: "/v1/users/{user}/remove",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(moderation::remove_user))],
    },
    Resource {
        path: "/v1/users/{user}/readmit",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(moderation::readmit_user))],
    },
    Resource {
        path: "/v1/peers/{domain}/remove",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(moderation::remove_provider))],
    },
    Resource {
        path: "/v1/peers/{domain}/readmit",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(moderation::readmit_provider))],
    },
    Resource {
        path: "/v1/addresses/{address}",
        limit_bytes: 0,
        methods: &[(Method::GET, || web::get().to(addresses::show))],
    },
    Resource { path: "/v1/peers", limit_bytes: 0, methods: &[(Method::GET, || web::get().to(peers::list))] },
    Resource { path: "/v1/peers/{domain}", limit_bytes: 0, methods: &[(Method::GET, || web::get().to(peers::show))] },
    Resource {
        path: "/v1/peers/{domain}/allow",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(peers::allow))],
    },
    Resource {
        path: "/v1/peers/{domain}/suspend",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(peers::suspend))],
    },
    Resource {
        path: "/v1/peers/{domain}/block",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(peers::block))],
    },
    Resource { path: "/v1/lanes", limit_bytes: 0, methods: &[(Method::GET, || web::get().to(lanes::list))] },
    Resource {
        path: "/v1/lanes/{room}/{peer}",
        limit_bytes: 0,
        methods: &[(Method::GET, || web::get().to(lanes::show))],
    },
    Resource {
        path: "/v1/lanes/{room}/{peer}/retry",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(lanes::retry))],
    },
    Resource {
        path: "/v1/lanes/{room}/{peer}/skip",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(lanes::skip))],
    },
    Resource {
        path: "/v1/lanes/{room}/{peer}/resend",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(lanes::resend))],
    },
    Resource { path: "/v1/letters", limit_bytes: 0, methods: &[(Method::GET, || web::get().to(letters::list))] },
    Resource {
        path: "/v1/letters/{peer}/retry",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(letters::retry))],
    },
    Resource {
        path: "/v1/letters/{peer}/skip",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(letters::skip))],
    },
    Resource { path: "/v1/decisions", limit_bytes: 0, methods: &[(Method::GET, || web::get().to(decisions::list))] },
    Resource {
        path: "/v1/decisions/{decision}",
        limit_bytes: 0,
        methods: &[(Method::GET, || web::get().to(decisions::show))],
    },
    Resource { path: "/v1/audit", limit_bytes: 0, methods: &[(Method::GET, || web::get().to(audit::search))] },
    Resource { path: "/v1/audit/counts", limit_bytes: 0, methods: &[(Method::GET, || web::get().to(audit::counts))] },
    Resource {
        path: "/v1/audit/{position}/proof",
        limit_bytes: 0,
        methods: &[(Method::GET, || web::get().to(audit::proof))],
    },
    Resource {
        path: "/v1/policies",
        limit_bytes: BUNDLE,
        methods: &[(Method::GET, || web::get().to(policies::list)), (Method::POST, || web::post().to(policies::push))],
    },
    Resource {
        path: "/v1/policies/check",
        limit_bytes: BUNDLE,
        methods: &[(Method::POST, || web::post().to(asks::check))],
    },
    Resource {
        path: "/v1/policies/format",
        limit_bytes: BUNDLE,
        methods: &[(Method::POST, || web::post().to(asks::format))],
    },
    Resource {
        path: "/v1/policies/test",
        limit_bytes: BUNDLE,
        methods: &[(Method::POST, || web::post().to(asks::test))],
    },
    Resource {
        path: "/v1/policies/why",
        limit_bytes: BUNDLE,
        methods: &[(Method::POST, || web::post().to(asks::why))],
    },
    Resource {
        path: "/v1/policies/who-can",
        limit_bytes: BUNDLE,
        methods: &[(Method::POST, || web::post().to(asks::who_can))],
    },
    Resource {
        path: "/v1/policies/what-can",
        limit_bytes: BUNDLE,
        methods: &[(Method::POST, || web::post().to(asks::what_can))],
    },
    Resource {
        path: "/v1/policies/where-can",
        limit_bytes: BUNDLE,
        methods: &[(Method::POST, || web::post().to(asks::where_can))],
    },
    Resource {
        path: "/v1/policies/diff",
        limit_bytes: BUNDLE,
        methods: &[(Method::POST, || web::post().to(asks::diff))],
    },
    Resource {
        path: "/v1/policies/prove",
        limit_bytes: BUNDLE,
        methods: &[(Method::POST, || web::post().to(asks::prove))],
    },
    Resource {
        path: "/v1/policies/simulate",
        limit_bytes: BUNDLE,
        methods: &[(Method::POST, || web::post().to(asks::simulate))],
    },
    Resource {
        path: "/v1/policies/rollback",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(policies::roll_back))],
    },
    Resource {
        path: "/v1/policies/shadow",
        limit_bytes: 0,
        methods: &[(Method::GET, || web::get().to(shadows::show))],
    },
    Resource {
        path: "/v1/policies/shadow/stop",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(shadows::stop))],
    },
    Resource {
        path: "/v1/policies/{digest}",
        limit_bytes: 0,
        methods: &[(Method::GET, || web::get().to(policies::show))],
    },
    Resource {
        path: "/v1/policies/{digest}/approve",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(policies::approve))],
    },
    Resource {
        path: "/v1/policies/{digest}/shadow",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(shadows::start))],
    },
    Resource {
        path: "/v1/policies/{digest}/activate",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(policies::activate))],
    },
    Resource {
        path: "/v1/exports/{sink}/dead-letters",
        limit_bytes: 0,
        methods: &[(Method::GET, || web::get().to(exports::dead_letters))],
    },
    Resource {
        path: "/v1/exports/{sink}/redeliver",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(exports::redeliver))],
    },
    Resource { path: "/v1/reports", limit_bytes: 0, methods: &[(Method::GET, || web::get().to(reports::list))] },
    Resource {
        path: "/v1/reports/{report}",
        limit_bytes: 0,
        methods: &[(Method::GET, || web::get().to(reports::show))],
    },
    Resource {
        path: "/v1/reports/{report}/content",
        limit_bytes: 0,
        methods: &[(Method::GET, || web::get().to(reports::content))],
    },
    Resource {
        path: "/v1/reports/{report}/review",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(reports::review))],
    },
    Resource {
        path: "/v1/reports/{report}/uphold",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(reports::uphold))],
    },
    Resource {
        path: "/v1/reports/{report}/dismiss",
        limit_bytes: SMALL,
        methods: &[(Method::POST, || web::post().to(reports::dismiss))],
    },
];

/// Method and path of every route; `{…}` in a path stands for one percent-encoded segment.
pub fn routes() -> Vec<(Method, &'static str)> {
    listed(RESOURCES)
}
