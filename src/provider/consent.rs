//! Who may reach whom: what users ask of each other, and what they grant.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use portcullis_core::consent::Verdict;
use portcullis_core::wire::consent::ConsentOperation;
use portcullis_core::wire::uri::{RoomUri, UserUri};
use portcullis_store::consents::{Consent, Scope};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::User;
use super::body::{self, Base64, json};
use super::{Post, Problem, Reply};
use crate::gateway::{self, Gateway};

/// Items of a page.
const PAGE: u32 = 200;

/// A step of the caller towards another user.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeConsent {
    /// `request` asks the user for consent and `cancel` takes that back; `grant` gives the user the caller's own consent,
    /// asked or not, and `revoke` takes it back, or refuses it.
    #[schema(value_type = String, example = "request")]
    pub operation: ConsentOperation,
    /// The other user, here or at another provider.
    #[schema(value_type = String, example = "mimi://b.example/u/bob")]
    pub user: UserUri,
    /// The room it is for; without one it is for every room.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomUri>,
    /// With a grant only, at most 64: KeyPackages of the caller's devices for the other user, each a `KeyPackage` of
    /// RFC 9420 in base64. They are given to nobody else.
    #[schema(value_type = Vec<String>)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_packages: Vec<Base64>,
}

/// What stands between two users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StandingConsent {
    /// Who wants to reach the target.
    #[schema(value_type = String)]
    pub requester: UserUri,
    /// Whose consent it is.
    #[schema(value_type = String)]
    pub target: UserUri,
    /// The room it is for; absent for every room.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomUri>,
    /// Since when a request stands, in milliseconds since the UNIX epoch; absent when none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<u64>,
    /// What the target decided last: `granted` or `revoked`; absent when nothing, or nothing that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// When, in milliseconds since the UNIX epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<u64>,
}

/// A page of what stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Consents {
    /// In the order in which they began.
    pub items: Vec<StandingConsent>,
    /// `after` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// Where to go on.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct From {
    /// `next` of the page before.
    after: Option<u64>,
}

impl StandingConsent {
    fn of(consent: Consent) -> Self {
        let Consent { scope: Scope { requester, target, room }, requested_at, decided, .. } = consent;
        let decision = decided.map(|(verdict, _)| match verdict {
            Verdict::Granted => "granted".to_owned(),
            Verdict::Revoked => "revoked".to_owned(),
        });
        let (requested_at, decided_at) = (requested_at.map(|at| at.0), decided.map(|(_, at)| at.0));
        Self { requester, target, room, requested_at, decision, decided_at }
    }
}

/// Ask for consent, or decide about it
///
/// It stands at once. A user of another provider hears of it when that provider can be reached. Nobody is told whether
/// the other user exists or has seen a request; who was granted consent is told when it is taken back.
#[utoipa::path(
    post,
    path = "/v1/consent",
    tag = "users",
    request_body(content = ChangeConsent),
    responses((status = 204, description = "It stands"))
)]
pub(super) async fn change(post: Post, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    post.once(async move |once, user, body| {
        let ChangeConsent { operation, user: other, room, key_packages } = json(&body)?;
        let key_packages = key_packages.into_iter().map(|package| package.0).collect();
        let change = gateway::ConsentChange { operation, user: other, room, key_packages };
        Ok(gateway.change_consent(once, user, change).await?)
    })
    .await
}

/// List what stands between the caller and others
///
/// What the caller has asked for and granted, and what others have asked of it and granted it; 200 at a time.
#[utoipa::path(
    get,
    path = "/v1/consent",
    tag = "users",
    params(From),
    responses((status = 200, description = "A page of the list", body = Consents))
)]
pub(super) async fn list(caller: User, request: HttpRequest, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    let From { after } = body::query(&request)?;
    let after = after.unwrap_or_default();
    if i64::try_from(after).is_err() {
        return Err(Problem::Malformed("`after` is not the `next` of a page".to_owned()));
    }
    let mut consents = gateway.consents(caller.uri, after, PAGE + 1).await?;
    let more = consents.len() > PAGE as usize;
    consents.truncate(PAGE as usize);
    let next = consents.last().filter(|_| more).map(|last| last.id);
    let items = consents.into_iter().map(StandingConsent::of).collect();
    Ok(Reply::json(StatusCode::OK, &Consents { items, next }, None)?.into())
}
