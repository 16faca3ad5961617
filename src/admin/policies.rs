//! Which policies decide, and how others come to.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use portcullis_core::time::Millis;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Post;
use super::peers::{Reason, worded};
use crate::gateway::admin::{BundleView, Changed, Operator, PolicyChange};
use crate::gateway::rollout::BundleId;
use crate::gateway::{Gateway, GatewayError, Shown};
use crate::http::body::{self, Id, json};
use crate::http::{Problem, Reply};

/// Most bundles that are listed.
const MOST: u32 = 500;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// How many, at most 500.
    limit: Option<u32>,
}

/// A policy bundle that is kept.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BundleShown {
    /// SHA-256 of its content, in hexadecimal.
    digest: String,
    /// `active`, `shadow` (it is asked beside that), `retired` (it has decided before), `approved` or `draft`.
    state: &'static str,
    /// Whether it is what the folder of a configuration held last.
    in_files: bool,
    /// Who brought it: a person, or `files`.
    pushed_by: String,
    /// When, in milliseconds since the UNIX epoch.
    #[schema(value_type = u64)]
    pushed_at: Millis,
    /// Who else agreed with it; absent for nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    approved_by: Option<String>,
    /// When, in milliseconds since the UNIX epoch.
    #[schema(value_type = Option<u64>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    approved_at: Option<Millis>,
    /// When it was last made the one that decides, in milliseconds since the UNIX epoch; absent for never.
    #[schema(value_type = Option<u64>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    activated_at: Option<Millis>,
    /// Its files by their path, where one bundle is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<BTreeMap<String, String>>,
}

/// The latest bundles.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Bundles {
    /// The latest first.
    items: Vec<BundleShown>,
}

/// A bundle to be kept.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pushed {
    /// Its files by their path in the bundle, as they stand in its folder; signatures are the file `signature`.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// For the record, in the person's own words.
    #[schema(example = "CASE-7: no guests in the archive")]
    reason: String,
}

/// Which bundle is to decide again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RollBack {
    /// Its digest; absent for the one that decided before the one that does now.
    digest: Option<String>,
    /// For the record, in the person's own words.
    #[schema(example = "CASE-8: nobody can write")]
    reason: String,
}

impl From<BundleView> for BundleShown {
    fn from(view: BundleView) -> Self {
        let (state, in_files, kept) = (view.state(), view.in_files, view.kept);
        let (approved_by, approved_at) = kept.approved.unzip();
        Self {
            digest: BundleId(kept.digest).to_string(),
            state,
            in_files,
            pushed_by: kept.pushed_by,
            pushed_at: kept.pushed_at,
            approved_by,
            approved_at,
            activated_at: kept.activated_at,
            files: None,
        }
    }
}

impl Shown for Changed<BundleView> {
    fn reply(self) -> Result<Reply, GatewayError> {
        Reply::json(StatusCode::OK, &BundleShown::from(self.value), Some(self.decision))
    }
}

/// List policy bundles
///
/// Those that are kept, the latest first: whatever has decided, and what waits to.
#[utoipa::path(
    get,
    path = "/v1/policies",
    tag = "policies",
    params(Wanted),
    responses((status = 200, description = "The latest bundles", body = Bundles))
)]
pub(super) async fn list(
    operator: Operator,
    request: HttpRequest,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let wanted: Wanted = body::query(&request)?;
    let all = gateway.policies(operator, wanted.limit.unwrap_or(MOST).min(MOST)).await?;
    let bundles = Bundles { items: all.into_iter().map(BundleShown::from).collect() };
    Ok(Reply::json(StatusCode::OK, &bundles, None)?.into())
}

/// Show a policy bundle
///
/// With its files.
#[utoipa::path(
    get,
    path = "/v1/policies/{digest}",
    tag = "policies",
    params(("digest" = String, Path, description = "Digest of the bundle")),
    responses((status = 200, description = "The bundle", body = BundleShown))
)]
pub(super) async fn show(
    operator: Operator,
    digest: Id<BundleId>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let (view, files) = gateway.policy_bundle(operator, digest.0).await?;
    let files = serde_json::from_slice(&files).map_err(GatewayError::internal)?;
    let shown = BundleShown { files: Some(files), ..view.into() };
    Ok(Reply::json(StatusCode::OK, &shown, None)?.into())
}

/// Push a policy bundle
///
/// It is proved, and kept as a draft: nothing is decided by it yet. What is wrong with it is all in the answer.
#[utoipa::path(
    post,
    path = "/v1/policies",
    tag = "policies",
    request_body(content = Pushed),
    responses((status = 200, description = "It is kept", body = BundleShown))
)]
pub(super) async fn push(post: Post, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    post.once(async move |once, operator, body| {
        let Pushed { files, reason } = json(&body)?;
        Ok(gateway.change_policy(once, operator, PolicyChange::Push(files), worded(reason)?).await?)
    })
    .await
}

/// Approve a policy bundle
///
/// As the second person where it takes two: whoever has pushed it gets `conflict`.
#[utoipa::path(
    post,
    path = "/v1/policies/{digest}/approve",
    tag = "policies",
    params(("digest" = String, Path, description = "Digest of the bundle")),
    request_body(content = Reason),
    responses((status = 200, description = "It is approved", body = BundleShown))
)]
pub(super) async fn approve(post: Post, digest: Id<BundleId>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    change(post, gateway, PolicyChange::Approve(digest.0)).await
}

/// Activate a policy bundle
///
/// It decides from now on, here and at every other process of the gateway. Where it takes two people, `conflict` is the answer
/// until somebody has approved it.
#[utoipa::path(
    post,
    path = "/v1/policies/{digest}/activate",
    tag = "policies",
    params(("digest" = String, Path, description = "Digest of the bundle")),
    request_body(content = Reason),
    responses((status = 200, description = "It decides", body = BundleShown))
)]
pub(super) async fn activate(
    post: Post,
    digest: Id<BundleId>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    change(post, gateway, PolicyChange::Activate(digest.0)).await
}

/// Roll back the policies
///
/// To a bundle that has decided before. This takes one person.
#[utoipa::path(
    post,
    path = "/v1/policies/rollback",
    tag = "policies",
    request_body(content = RollBack),
    responses((status = 200, description = "It decides", body = BundleShown))
)]
pub(super) async fn roll_back(post: Post, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    post.once(async move |once, operator, body| {
        let RollBack { digest, reason } = json(&body)?;
        let digest = digest.map(|digest| digest.parse::<BundleId>()).transpose();
        let digest = digest.map_err(|error| Problem::Malformed(error.to_owned()))?;
        Ok(gateway.change_policy(once, operator, PolicyChange::RollBack(digest), worded(reason)?).await?)
    })
    .await
}

pub(super) async fn change(post: Post, gateway: Data<Gateway>, change: PolicyChange) -> Result<HttpResponse, Problem> {
    post.once(async move |once, operator, body| {
        let Reason { reason } = json(&body)?;
        Ok(gateway.change_policy(once, operator, change, worded(reason)?).await?)
    })
    .await
}
