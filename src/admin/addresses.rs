//! Which provider an e-mail address leads to.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use portcullis_core::wire::uri::Domain;
use serde::Serialize;
use utoipa::ToSchema;

use crate::addresses::{Address, Resolved};
use crate::gateway::Gateway;
use crate::gateway::admin::Operator;
use crate::http::{Problem, Reply};

/// Which provider an address leads to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AddressShown {
    /// What stands behind its `@`.
    #[schema(value_type = String, example = "b.example")]
    domain: Domain,
    /// The provider: this one, or a peer that may come in. Absent where there is none.
    #[schema(value_type = Option<String>, example = "chat.b.example")]
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Domain>,
    /// What tells so: `own` (a domain of this gateway), `configuration`, `peer` (one of that name) or `probe` (the domain itself).
    /// Without a provider, why there is none: `unknown` (nothing tells, and the domain may not be asked), `no_provider` (it names
    /// none), `silent` (it does not answer) or `no_peer` (the provider may not come in).
    by: &'static str,
    /// The same as a sentence, where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// Show which provider an e-mail address leads to
///
/// By the same rules by which users are looked for. A domain that may be asked (`addresses.probe`) is asked, and what it says is on
/// the record.
#[utoipa::path(
    get,
    path = "/v1/addresses/{address}",
    tag = "peers",
    params(("address" = String, Path, description = "E-mail address, percent-encoded")),
    responses((status = 200, description = "The provider, or why there is none", body = AddressShown))
)]
pub(super) async fn show(
    operator: Operator,
    address: Path<String>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let address: Address = address.parse().map_err(|error| Problem::Malformed(format!("{error}")))?;
    let domain = address.domain().clone();
    let shown = match gateway.resolve_address(operator, address).await? {
        Ok(Resolved { provider, by }) => AddressShown { domain, provider: Some(provider), by: by.name(), why: None },
        Err(why) => AddressShown { domain, provider: None, by: why.name(), why: Some(why.to_string()) },
    };
    Ok(Reply::json(StatusCode::OK, &shown, None)?.into())
}
