//! The bundle that is asked beside the one that decides.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use portcullis_core::time::Millis;
use serde::Serialize;
use utoipa::ToSchema;

use super::Post;
use super::peers::Reason;
use super::policies::{BundleShown, change};
use crate::gateway::admin::{Operator, PolicyChange};
use crate::gateway::rollout::BundleId;
use crate::gateway::{Gateway, Report, ShadowView};
use crate::http::body::Id;
use crate::http::{Problem, Reply};

/// A bundle that is asked beside the one that decides, and what has come of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ShadowShown {
    /// Its number; later ones have higher numbers.
    run: u64,
    /// SHA-256 of the bundle's content, in hexadecimal.
    digest: String,
    /// Who began.
    started_by: String,
    /// When, in milliseconds since the UNIX epoch.
    #[schema(value_type = u64)]
    started_at: Millis,
    /// Who ended it; absent while it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped_by: Option<String>,
    /// When, in milliseconds since the UNIX epoch.
    #[schema(value_type = Option<u64>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped_at: Option<Millis>,
    /// Position of the first entry of the log that it was asked about.
    from: u64,
    /// Position of the first entry that it was not asked about yet.
    to: u64,
    /// How many entries it was not asked about, of those that the log has, or had when it ended.
    behind: u64,
    /// What it would have decided otherwise.
    report: Report,
}

impl From<ShadowView> for ShadowShown {
    fn from(ShadowView { shadow, report, behind }: ShadowView) -> Self {
        let (stopped_by, stopped_at) = shadow.stopped.map(|stopped| (stopped.by, stopped.at)).unzip();
        Self {
            run: shadow.run,
            digest: BundleId(shadow.digest).to_string(),
            started_by: shadow.started_by,
            started_at: shadow.started_at,
            stopped_by,
            stopped_at,
            from: shadow.from,
            to: shadow.position,
            behind,
            report,
        }
    }
}

/// Show the shadow of the policies
///
/// What the bundle that is asked beside the one that decides would have decided otherwise; of the latest, where none is asked
/// now. It tells what people did, and is for those who see decisions.
#[utoipa::path(
    get,
    path = "/v1/policies/shadow",
    tag = "policies",
    responses((status = 200, description = "The shadow", body = ShadowShown))
)]
pub(super) async fn show(operator: Operator, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    let shown = ShadowShown::from(gateway.policy_shadow(operator).await?);
    Ok(Reply::json(StatusCode::OK, &shown, None)?.into())
}

/// Shadow a policy bundle
///
/// It is asked beside the one that decides, about what is decided from now on. Nothing that it says is enforced. It takes the
/// place of another one, and ends when it is activated.
#[utoipa::path(
    post,
    path = "/v1/policies/{digest}/shadow",
    tag = "policies",
    params(("digest" = String, Path, description = "Digest of the bundle")),
    request_body(content = Reason),
    responses((status = 200, description = "It is asked", body = BundleShown))
)]
pub(super) async fn start(post: Post, digest: Id<BundleId>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    change(post, gateway, PolicyChange::Shadow(digest.0)).await
}

/// End the shadow of the policies
///
/// What has come of it stays.
#[utoipa::path(
    post,
    path = "/v1/policies/shadow/stop",
    tag = "policies",
    request_body(content = Reason),
    responses((status = 200, description = "It is asked no longer", body = BundleShown))
)]
pub(super) async fn stop(post: Post, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    change(post, gateway, PolicyChange::StopShadow).await
}
