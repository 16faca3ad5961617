//! What a bundle says, before or while it decides: what `portcullis policy` asks of a folder, asked of the bundle that
//! decides, of one that is kept, or of files that are sent along.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data};
use portcullis_core::policy::Over;
use portcullis_core::time::Millis;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Post;
use crate::gateway::admin::{AskedBundle, Changed, PolicyAsk, PolicyQuestion};
use crate::gateway::rollout::BundleId;
use crate::gateway::{Gateway, GatewayError, Shown, Window};
use crate::http::body::json;
use crate::http::{Problem, Reply};

/// Most recorded decisions that are asked again, the latest first; the command line asks more.
const MOST_DECISIONS: u64 = 100_000;

/// Which bundle: neither for the one that decides.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Which {
    /// Digest of one that is kept.
    digest: Option<String>,
    /// Its files by their path in the bundle.
    files: BTreeMap<String, String>,
}

/// A bundle that is asked about.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OfBundle {
    bundle: Which,
}

/// A question to a bundle: a case of its tests, or one that is written here.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Questioned {
    bundle: Which,
    /// A file of its tests, such as `tests/company.yaml`.
    cases: Option<String>,
    /// What the sentence of the case has in it.
    it: Option<String>,
    /// In place of both: as a file of cases, with one case in `cases`. Who, what or where is asked about may be left out.
    #[schema(value_type = Object)]
    question: Map<String, Value>,
}

/// Two bundles.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Compared {
    /// What was.
    old: Which,
    /// What is to come.
    new: Which,
}

/// A bundle that is asked what was decided.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Simulated {
    bundle: Which,
    /// Only decisions made at this time or later, such as `2026-11-20T21:30:00+01:00`.
    since: Option<String>,
    /// Only decisions made before this time.
    until: Option<String>,
    /// Only the latest so many, at most and usually 100000.
    limit: Option<u64>,
    /// Keep the result with the bundle, which must be kept, for the record of its activation.
    keep: bool,
}

impl Shown for Changed<Value> {
    fn reply(self) -> Result<crate::gateway::Reply, GatewayError> {
        Reply::json(StatusCode::OK, &self.value, Some(self.decision))
    }
}

impl Which {
    fn bundle(self) -> Result<AskedBundle, Problem> {
        match (self.digest, self.files.is_empty()) {
            (None, true) => Ok(AskedBundle::Active),
            (None, false) => Ok(AskedBundle::Files(self.files)),
            (Some(digest), true) => {
                let digest = digest.parse::<BundleId>().map_err(|error| Problem::Malformed(error.to_owned()))?;
                Ok(AskedBundle::Kept(digest))
            }
            (Some(_), false) => Err(Problem::Malformed("a bundle has a digest or files, not both".to_owned())),
        }
    }
}

impl Questioned {
    fn ask(self, then: impl FnOnce(AskedBundle, PolicyQuestion) -> PolicyAsk) -> Result<PolicyAsk, Problem> {
        let question = match (self.cases, self.it, self.question.is_empty()) {
            (Some(cases), Some(it), true) => PolicyQuestion::Case(cases, it),
            (None, None, _) => PolicyQuestion::Written(self.question),
            _ => return Err(Problem::Malformed("give `cases` with `it`, or a `question`".to_owned())),
        };
        Ok(then(self.bundle.bundle()?, question))
    }
}

impl Simulated {
    fn ask(self) -> Result<PolicyAsk, Problem> {
        let moment = |text: Option<String>| {
            let read = |text: String| {
                Millis::from_rfc3339(&text).ok_or_else(|| Problem::Malformed("expected a point in time".to_owned()))
            };
            text.map(read).transpose()
        };
        let limit = Some(self.limit.unwrap_or(MOST_DECISIONS).min(MOST_DECISIONS));
        let window = Window { since: moment(self.since)?, until: moment(self.until)?, limit };
        Ok(PolicyAsk::Simulate(self.bundle.bundle()?, window, self.keep))
    }
}

async fn ask<T: DeserializeOwned>(
    post: Post,
    gateway: Data<Gateway>,
    read: impl FnOnce(T) -> Result<PolicyAsk, Problem> + 'static,
) -> Result<HttpResponse, Problem> {
    post.once(async move |once, operator, body: Bytes| {
        let ask = read(json(&body)?)?;
        Ok(gateway.ask_policy(once, operator, ask).await?)
    })
    .await
}

/// Check a policy bundle
///
/// Everything that is wrong with it, with its place, and what is perhaps not meant so. Nothing is kept.
#[utoipa::path(
    post,
    path = "/v1/policies/check",
    tag = "policies",
    request_body(content = OfBundle),
    responses((status = 200, description = "What is wrong, under `items`; `good` is whether it could decide", body = Object))
)]
pub(super) async fn check(post: Post, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    ask(post, gateway, |of: OfBundle| Ok(PolicyAsk::Check(of.bundle.bundle()?))).await
}

/// Format policies
///
/// The files whose policies stand in another form than the one they should have, as they should be.
#[utoipa::path(
    post,
    path = "/v1/policies/format",
    tag = "policies",
    request_body(content = OfBundle),
    responses((status = 200, description = "The files that change, under `files`", body = Object))
)]
pub(super) async fn format(post: Post, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    ask(post, gateway, |of: OfBundle| Ok(PolicyAsk::Format(of.bundle.bundle()?))).await
}

/// Run the tests of a policy bundle
///
/// With what they leave out.
#[utoipa::path(
    post,
    path = "/v1/policies/test",
    tag = "policies",
    request_body(content = OfBundle),
    responses((status = 200, description = "Each case under `items`, each policy under `coverage`", body = Object))
)]
pub(super) async fn test(post: Post, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    ask(post, gateway, |of: OfBundle| Ok(PolicyAsk::Test(of.bundle.bundle()?))).await
}

/// Say why
///
/// Why a question is decided as it is, clause by clause with values.
#[utoipa::path(
    post,
    path = "/v1/policies/why",
    tag = "policies",
    request_body(content = Questioned),
    responses((status = 200, description = "The verdict with its grounds", body = Object))
)]
pub(super) async fn why(post: Post, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    ask(post, gateway, |asked: Questioned| asked.ask(PolicyAsk::Why)).await
}

/// List who can
///
/// Each participant of the room, with the conditions that are left.
#[utoipa::path(
    post,
    path = "/v1/policies/who-can",
    tag = "policies",
    request_body(content = Questioned),
    responses((status = 200, description = "The participants, under `items`", body = Object))
)]
pub(super) async fn who_can(post: Post, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    query(post, gateway, Over::Users).await
}

/// List what somebody can
///
/// Each capability, with the conditions that are left.
#[utoipa::path(
    post,
    path = "/v1/policies/what-can",
    tag = "policies",
    request_body(content = Questioned),
    responses((status = 200, description = "The capabilities, under `items`", body = Object))
)]
pub(super) async fn what_can(post: Post, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    query(post, gateway, Over::Actions).await
}

/// List where somebody can
///
/// Each room of the question, with the conditions that are left.
#[utoipa::path(
    post,
    path = "/v1/policies/where-can",
    tag = "policies",
    request_body(content = Questioned),
    responses((status = 200, description = "The rooms, under `items`", body = Object))
)]
pub(super) async fn where_can(post: Post, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    query(post, gateway, Over::Rooms).await
}

async fn query(post: Post, gateway: Data<Gateway>, over: Over) -> Result<HttpResponse, Problem> {
    ask(post, gateway, move |asked: Questioned| asked.ask(|of, question| PolicyAsk::Query(of, question, over))).await
}

/// Compare policy bundles
///
/// As they are written, over the cases of both, and over every question that can be asked where cvc5 is installed; it has five
/// seconds for each query and a minute for all. What is not proven is under `not_proven`, and never called the same.
#[utoipa::path(
    post,
    path = "/v1/policies/diff",
    tag = "policies",
    request_body(content = Compared),
    responses((status = 200, description = "What changes", body = Object))
)]
pub(super) async fn diff(post: Post, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    ask(post, gateway, |two: Compared| Ok(PolicyAsk::Diff(two.old.bundle()?, two.new.bundle()?))).await
}

/// Prove what a policy bundle promises
///
/// Each of its invariants, over every question that can be asked where cvc5 is installed; it has five seconds for each query
/// and a minute for all.
#[utoipa::path(
    post,
    path = "/v1/policies/prove",
    tag = "policies",
    request_body(content = OfBundle),
    responses((status = 200, description = "The invariants, under `items`", body = Object))
)]
pub(super) async fn prove(post: Post, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    ask(post, gateway, |of: OfBundle| Ok(PolicyAsk::Prove(of.bundle.bundle()?))).await
}

/// Simulate a policy bundle
///
/// What it would have decided otherwise, of what was recorded, by policy, room and peer, with samples. It tells what people
/// did: it takes the right to see decisions beside that to simulate.
#[utoipa::path(
    post,
    path = "/v1/policies/simulate",
    tag = "policies",
    request_body(content = Simulated),
    responses((status = 200, description = "The report", body = crate::gateway::Report))
)]
pub(super) async fn simulate(post: Post, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    ask(post, gateway, Simulated::ask).await
}
