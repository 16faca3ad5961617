//! The description of the door, made from the handlers and served by the gateway.

use actix_web::HttpResponse;
use utoipa::openapi::OpenApi as Document;
use utoipa::{Modify, OpenApi};

use super::problems::CODES;
use super::routes::RESOURCES;
use super::{
    addresses, asks, audit, decisions, exports, join_codes, lanes, letters, moderation, peers, policies, reports,
    rooms, shadows, status,
};
use crate::http::{ProblemDetails, openapi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Portcullis admin door",
        description = "What the company's people see and change: status, rooms, peers, lanes of the outbox, \
            decisions, the audit log, policies, exports of that log, reports of abuse, and what moderators impose on rooms. Cedar decides by the roles in the token. MIMI identifiers stand in paths as one percent-encoded \
            segment. Lists come in pages; `next` of one is the `cursor` of the following.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        document,
        status::show,
        rooms::list,
        rooms::show,
        rooms::destroy,
        join_codes::list,
        join_codes::create,
        join_codes::revoke,
        moderation::of_room,
        moderation::everywhere,
        moderation::ban,
        moderation::unban,
        moderation::kick,
        moderation::remove,
        moderation::readmit,
        moderation::mute,
        moderation::unmute,
        moderation::freeze,
        moderation::unfreeze,
        moderation::remove_user,
        moderation::readmit_user,
        moderation::remove_provider,
        moderation::readmit_provider,
        addresses::show,
        peers::list,
        peers::show,
        peers::allow,
        peers::suspend,
        peers::block,
        lanes::list,
        lanes::show,
        lanes::retry,
        lanes::skip,
        lanes::resend,
        letters::list,
        letters::retry,
        letters::skip,
        decisions::list,
        decisions::show,
        audit::search,
        audit::counts,
        audit::proof,
        asks::check,
        asks::format,
        asks::test,
        asks::why,
        asks::who_can,
        asks::what_can,
        asks::where_can,
        asks::diff,
        asks::prove,
        asks::simulate,
        policies::list,
        policies::push,
        policies::roll_back,
        policies::show,
        policies::approve,
        policies::activate,
        shadows::show,
        shadows::start,
        shadows::stop,
        exports::dead_letters,
        exports::redeliver,
        reports::list,
        reports::show,
        reports::content,
        reports::review,
        reports::uphold,
        reports::dismiss
    ),
    components(schemas(ProblemDetails)),
    modifiers(&Shared),
    tags(
        (name = "status", description = "How the gateway is"),
        (name = "rooms", description = "Rooms this gateway is hub of"),
        (name = "moderation", description = "What moderators impose on rooms"),
        (name = "peers", description = "Who federates with us"),
        (name = "lanes", description = "What rooms, and users who consent, owe to other providers"),
        (name = "decisions", description = "What was decided, and why"),
        (name = "audit", description = "All that is on the record, and proof of it"),
        (name = "policies", description = "Which policies decide, and how others come to"),
        (name = "exports", description = "The audit log on its way to a collector"),
        (name = "reports", description = "What users complain about, and what moderators make of it")
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
            token: "A JWT with `aud` `portcullis-admin`. Its `sub` names the person, and the claim that the \
                    configuration names, usually `roles`, says what the person is.",
            codes: CODES,
            header: None,
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
