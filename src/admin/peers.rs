//! Who federates with us.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::Domain;
use portcullis_store::standings::{Decided, Standing};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Post;
use super::page::{self, Page, cursor, place};
use crate::gateway::admin::{Changed, Operator, PeerChange};
use crate::gateway::{Gateway, GatewayError, Shown};
use crate::http::body::{self, json};
use crate::http::{Problem, Reply};
use crate::peer::Listed;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Where to go on: `next` of the page before.
    cursor: Option<String>,
    /// Items of the page, at most 500.
    limit: Option<u32>,
}

/// Another provider.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PeerShown {
    /// Its provider domain.
    #[schema(value_type = String, example = "b.example")]
    domain: Domain,
    /// `pending` (its card was taken, and nobody has let it in), `allowed`, `suspended` (no new business) or `blocked` (refused at
    /// the door, what it is owed waits).
    state: &'static str,
    /// What gives the state: an `operator`, the `settings` of the policy bundle, or the `configuration`.
    source: &'static str,
    /// Whether the configuration names it.
    configured: bool,
    /// What was last decided about it at this door; absent for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided: Option<DecidedShown>,
    /// SHA-256 of the SubjectPublicKeyInfo of each key that its certificate may have; any key where there is none.
    spki: Vec<String>,
    /// When the certificate ends that it has shown last to this process, in milliseconds since the UNIX epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_until: Option<u64>,
    /// Where its people are reached.
    contacts: Vec<String>,
    /// Hosts that hold its users' assets.
    asset_hosts: Vec<String>,
}

/// What somebody decided about a provider.
#[derive(Debug, Serialize, ToSchema)]
struct DecidedShown {
    /// `allowed`, `suspended` or `blocked`.
    state: &'static str,
    /// Who.
    by: String,
    /// When, in milliseconds since the UNIX epoch.
    #[schema(value_type = u64)]
    at: Millis,
    /// Why.
    reason: String,
    /// The decision in the audit log.
    #[schema(value_type = String, format = "uuid")]
    decision: Uuid,
}

/// Why somebody changes something.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reason {
    /// For the record, in the person's own words.
    #[schema(example = "CASE-7: keys leaked")]
    pub(super) reason: String,
}

fn name(standing: Standing) -> &'static str {
    match standing {
        Standing::Allowed => "allowed",
        Standing::Suspended => "suspended",
        Standing::Blocked => "blocked",
        Standing::Pending => "pending",
    }
}

impl From<Decided> for DecidedShown {
    fn from(decided: Decided) -> Self {
        let Decided { standing, by, at, reason, decision, domain: _ } = decided;
        Self { state: name(standing), by, at, reason, decision }
    }
}

impl PeerShown {
    fn of((listed, suspended_by_settings): (Listed, bool)) -> Self {
        let Listed { domain, standing, configured, decided, known, certificate_until } = listed;
        let (state, source) = match standing {
            Standing::Allowed if suspended_by_settings => ("suspended", "settings"),
            standing if decided.is_some() => (name(standing), "operator"),
            standing => (name(standing), "configuration"),
        };
        Self {
            domain,
            state,
            source,
            configured,
            decided: decided.map(DecidedShown::from),
            spki: known.spki,
            certificate_until: certificate_until.map(|at| at.0),
            contacts: known.contacts,
            asset_hosts: known.asset_hosts,
        }
    }
}

impl Shown for Changed<(Listed, bool)> {
    fn reply(self) -> Result<Reply, GatewayError> {
        Reply::json(StatusCode::OK, &PeerShown::of(self.value), Some(self.decision))
    }
}

/// List peers
///
/// In the order of their domains: those of the configuration, and those that somebody has decided about.
#[utoipa::path(
    get,
    path = "/v1/peers",
    tag = "peers",
    params(Wanted),
    responses((status = 200, description = "A page of peers", body = Page<PeerShown>))
)]
pub(super) async fn list(
    operator: Operator,
    request: HttpRequest,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let wanted: Wanted = body::query(&request)?;
    let limit = page::limit(wanted.limit);
    let after = wanted.cursor.as_deref().map(place::<1>).transpose()?.map(|[domain]| domain);
    let all = gateway.peer_list(operator).await?;
    let later =
        all.into_iter().filter(|(listed, _)| after.as_deref().is_none_or(|after| listed.domain.as_str() > after));
    let peers = later.take(limit as usize + 1).map(PeerShown::of).collect();
    let page = page::page(peers, limit, |last: &PeerShown| cursor(&[last.domain.as_str()]));
    Ok(Reply::json(StatusCode::OK, &page, None)?.into())
}

/// Show a peer
#[utoipa::path(
    get,
    path = "/v1/peers/{domain}",
    tag = "peers",
    params(("domain" = String, Path, description = "Provider domain")),
    responses((status = 200, description = "The peer", body = PeerShown))
)]
pub(super) async fn show(
    operator: Operator,
    domain: Path<String>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let peer = shown(operator, parsed(&domain)?, &gateway).await?;
    Ok(Reply::json(StatusCode::OK, &peer, None)?.into())
}

/// Let a provider federate with us
///
/// It ends a suspension or a block that was decided at this door. A provider that the configuration does not name is
/// found by its directory at its own domain.
#[utoipa::path(
    post,
    path = "/v1/peers/{domain}/allow",
    tag = "peers",
    params(("domain" = String, Path, description = "Provider domain")),
    request_body(content = Reason),
    responses((status = 200, description = "It is in force", body = PeerShown))
)]
pub(super) async fn allow(post: Post, domain: Path<String>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    change(post, domain, gateway, PeerChange::Allow).await
}

/// End new business with a provider
///
/// Policies see it as suspended, as if the bundle's settings said so: nobody there acts or is brought in, and its rooms
/// take nothing from us. Leaving stays possible, and what exists is delivered.
#[utoipa::path(
    post,
    path = "/v1/peers/{domain}/suspend",
    tag = "peers",
    params(("domain" = String, Path, description = "Provider domain")),
    request_body(content = Reason),
    responses((status = 200, description = "It is in force", body = PeerShown))
)]
pub(super) async fn suspend(post: Post, domain: Path<String>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    change(post, domain, gateway, PeerChange::Suspend).await
}

/// Block a provider
///
/// It is refused at the federation door before anything of its request is read. Nothing is sent to it: what rooms owe it
/// waits in its lanes until it is allowed again.
#[utoipa::path(
    post,
    path = "/v1/peers/{domain}/block",
    tag = "peers",
    params(("domain" = String, Path, description = "Provider domain")),
    request_body(content = Reason),
    responses((status = 200, description = "It is in force", body = PeerShown))
)]
pub(super) async fn block(post: Post, domain: Path<String>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    change(post, domain, gateway, PeerChange::Block).await
}

async fn change(
    post: Post,
    domain: Path<String>,
    gateway: Data<Gateway>,
    change: PeerChange,
) -> Result<HttpResponse, Problem> {
    let domain = parsed(&domain)?;
    post.once(async move |once, operator, body| {
        let Reason { reason } = json(&body)?;
        Ok(gateway.change_peer(once, operator, domain, change, worded(reason)?).await?)
    })
    .await
}

async fn shown(operator: Operator, domain: Domain, gateway: &Gateway) -> Result<PeerShown, Problem> {
    let all = gateway.peer_list(operator).await?;
    let found = all.into_iter().find(|(listed, _)| listed.domain == domain);
    Ok(PeerShown::of(found.ok_or(GatewayError::NotFound)?))
}

pub(super) fn parsed(domain: &str) -> Result<Domain, Problem> {
    let malformed = |_| Problem::Malformed("the path segment is no provider domain".to_owned());
    Domain::parse(domain).map_err(malformed)
}

/// A reason somebody has given: one line that says something.
pub(super) fn worded(reason: String) -> Result<String, Problem> {
    crate::gateway::admin::worded(&reason).map_err(Problem::Malformed)
}
