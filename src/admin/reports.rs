//! Reports of abuse: who complains about whom, what that proves, and what moderators make of it.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use data_encoding::HEXLOWER;
use portcullis_core::franking::read;
use portcullis_core::policy::AdminAct;
use portcullis_core::time::Millis;
use portcullis_core::wire::report_abuse::AbusiveMessage;
use portcullis_core::wire::uri::{RoomUri, UserUri};
use portcullis_store::reports::{self as stored, Handled, Report, ReportState, ReportedMessage};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Post;
use super::page::{self, Page, cursor, misfit, place};
use super::peers::worded;
use crate::gateway::admin::{Changed, Operator};
use crate::gateway::reports::{self, Handling};
use crate::gateway::{Gateway, GatewayError, Shown, verdict_code};
use crate::http::body::{self, json};
use crate::http::{Base64, Problem, Reply};

/// Which reports.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    /// Nobody has looked at it.
    New,
    /// Somebody is looking at it.
    InReview,
    /// It is right.
    Upheld,
    /// It is not, or shows nothing.
    Dismissed,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Only reports in this state: `new`, `in_review`, `upheld` or `dismissed`.
    #[param(value_type = Option<String>)]
    state: Option<State>,
    /// Only reports about this room.
    #[param(value_type = Option<String>)]
    room: Option<RoomUri>,
    /// Only reports about this user.
    #[param(value_type = Option<String>)]
    alleged: Option<UserUri>,
    /// Where to go on: `next` of the page before.
    cursor: Option<String>,
    /// Items of the page, at most 500.
    limit: Option<u32>,
}

/// A report. What was said stands in its `content`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReportShown {
    /// Its name.
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    /// The room it is about.
    #[schema(value_type = String)]
    room: RoomUri,
    /// Who complains; absent for a user who does not want to be named.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    reporter: Option<UserUri>,
    /// The reporter's provider.
    provider: String,
    /// Whom it is about.
    #[schema(value_type = String)]
    alleged: UserUri,
    /// Why, as a number that the draft gives no meaning yet.
    reason: u8,
    /// When it came, in milliseconds since the UNIX epoch.
    #[schema(value_type = u64)]
    received_at: Millis,
    /// How many messages it has.
    messages: u64,
    /// How many of them are proven: their sender has committed to them, and we have accepted them, in this room.
    proven: u64,
    /// How often something of it was reported once more by the same reporter.
    repeats: u64,
    /// The decision that let it in.
    #[schema(value_type = String, format = "uuid")]
    decision: Uuid,
    /// `new`, `in_review`, `upheld` or `dismissed`.
    state: &'static str,
    /// What a change must name, so that nobody changes what somebody else has changed meanwhile.
    version: u64,
    /// The last word of a moderator; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    handled: Option<HandledShown>,
}

/// What a moderator has decided.
#[derive(Debug, Serialize, ToSchema)]
struct HandledShown {
    /// Number of the case; empty for none.
    case: String,
    /// Who.
    by: String,
    /// When, in milliseconds since the UNIX epoch.
    #[schema(value_type = u64)]
    at: Millis,
    /// Why.
    reason: String,
}

/// A report with what its messages prove.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Detail {
    #[serde(flatten)]
    report: ReportShown,
    /// What was found out about each message.
    verdicts: Vec<VerdictShown>,
}

/// What was found out about a message.
#[derive(Debug, Serialize, ToSchema)]
struct VerdictShown {
    /// Its position in the report.
    position: u64,
    /// `proven`, or the check that fails.
    verdict: &'static str,
    /// Its message identifier in hexadecimal; absent unless it is proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// When we are said to have accepted it, in milliseconds since the UNIX epoch; absent for a time that cannot be.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    accepted_at: Option<Millis>,
}

/// What was reported.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ContentShown {
    /// The report.
    #[schema(value_type = String, format = "uuid")]
    report: Uuid,
    /// The reporter's own words, as far as they are text.
    note: String,
    /// The messages.
    messages: Vec<MessageShown>,
}

/// A reported message.
#[derive(Debug, Serialize, ToSchema)]
struct MessageShown {
    /// Its position in the report.
    position: u64,
    /// Its text; absent for what is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Exactly what was reported.
    #[schema(value_type = String)]
    content: Base64,
}

/// What a moderator makes of a report.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// For the record, in the person's own words.
    #[schema(example = "CASE-7: insults, seen in the room")]
    reason: String,
    /// The version of the report that the person has seen.
    version: u64,
    /// Number of the case; what stands there stays when absent.
    case: Option<String>,
}

impl From<State> for ReportState {
    fn from(state: State) -> Self {
        match state {
            State::New => Self::New,
            State::InReview => Self::InReview,
            State::Upheld => Self::Upheld,
            State::Dismissed => Self::Dismissed,
        }
    }
}

impl From<Handled> for HandledShown {
    fn from(Handled { case, by, at, why }: Handled) -> Self {
        Self { case, by, at, reason: why }
    }
}

impl From<Report> for ReportShown {
    fn from(report: Report) -> Self {
        Self {
            provider: report.reporter.domain().to_string(),
            reporter: Some(report.reporter).filter(|reporter| !reporter.is_provider()),
            id: report.id,
            room: report.room,
            alleged: report.alleged,
            reason: report.reason,
            received_at: report.received_at,
            messages: report.messages,
            proven: report.proven,
            repeats: report.repeats,
            decision: report.decision,
            state: reports::name(report.state),
            version: report.version,
            handled: report.handled.map(HandledShown::from),
        }
    }
}

impl From<ReportedMessage> for VerdictShown {
    fn from(message: ReportedMessage) -> Self {
        let hex = |id: [u8; 32]| HEXLOWER.encode(&id);
        Self {
            position: message.position,
            verdict: verdict_code(&message.verdict),
            message: message.verdict.ok().map(|proof| hex(proof.message)),
            accepted_at: message.accepted_at,
        }
    }
}

impl From<(u64, AbusiveMessage)> for MessageShown {
    fn from((position, message): (u64, AbusiveMessage)) -> Self {
        let text = read(&message.content).and_then(|content| content.body.as_text().map(str::to_owned));
        Self { position, text, content: Base64(message.content) }
    }
}

impl Shown for Changed<Report> {
    fn reply(self) -> Result<Reply, GatewayError> {
        Reply::json(StatusCode::OK, &ReportShown::from(self.value), Some(self.decision))
    }
}

/// List reports of abuse
///
/// In the order in which they came.
#[utoipa::path(
    get,
    path = "/v1/reports",
    tag = "reports",
    params(Wanted),
    responses((status = 200, description = "A page of reports", body = Page<ReportShown>))
)]
pub(super) async fn list(
    operator: Operator,
    request: HttpRequest,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let wanted: Wanted = body::query(&request)?;
    let limit = page::limit(wanted.limit);
    let after = match wanted.cursor.as_deref().map(place::<2>).transpose()? {
        Some([at, id]) => Some((Millis(at.parse().map_err(misfit)?), id.parse().map_err(misfit)?)),
        None => None,
    };
    let filter = stored::Wanted {
        after,
        state: wanted.state.map(ReportState::from),
        room: wanted.room,
        alleged: wanted.alleged,
    };
    let read = move |conn: &mut _| stored::page(conn, &filter, limit + 1);
    let rows = gateway.view(operator, AdminAct::ViewReports, read).await?;
    let shown = rows.into_iter().map(ReportShown::from).collect();
    let place = |last: &ReportShown| cursor(&[&last.received_at.0.to_string(), &last.id.to_string()]);
    Ok(Reply::json(StatusCode::OK, &page::page(shown, limit, place), None)?.into())
}

/// Show a report of abuse
///
/// With what each of its messages proves, and without what it says.
#[utoipa::path(
    get,
    path = "/v1/reports/{report}",
    tag = "reports",
    params(("report" = String, Path, description = "Name of the report")),
    responses((status = 200, description = "The report", body = Detail))
)]
pub(super) async fn show(
    operator: Operator,
    path: Path<String>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let id = named(&path)?;
    let read = move |conn: &mut _| reports::whole(conn, id);
    let found = gateway.view(operator, AdminAct::ViewReports, read).await?;
    let (report, messages) = found.ok_or(GatewayError::NotFound)?;
    let verdicts = messages.into_iter().map(VerdictShown::from).collect();
    Ok(Reply::json(StatusCode::OK, &Detail { report: report.into(), verdicts }, None)?.into())
}

/// Read what was reported
///
/// In plain text, for roles that may. The audit log says who has read it, and when, before it is given.
#[utoipa::path(
    get,
    path = "/v1/reports/{report}/content",
    tag = "reports",
    params(("report" = String, Path, description = "Name of the report")),
    responses((status = 200, description = "What was reported", body = ContentShown))
)]
pub(super) async fn content(
    operator: Operator,
    path: Path<String>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let (report, reported) = gateway.read_reported(operator, named(&path)?).await?;
    let shown = ContentShown {
        report: report.id,
        note: String::from_utf8_lossy(&reported.note).into_owned(),
        messages: reported.messages.into_iter().map(MessageShown::from).collect(),
    };
    Ok(Reply::json(StatusCode::OK, &shown, None)?.into())
}

/// Begin to look at a report
///
/// One that nobody has looked at, or one that was decided.
#[utoipa::path(
    post,
    path = "/v1/reports/{report}/review",
    tag = "reports",
    params(("report" = String, Path, description = "Name of the report")),
    request_body(content = Change),
    responses((status = 200, description = "The report as it is now", body = ReportShown))
)]
pub(super) async fn review(post: Post, path: Path<String>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    change(post, path, gateway, ReportState::InReview).await
}

/// Find that a report is right
///
/// One that is in review. What follows from it is for the moderator to do.
#[utoipa::path(
    post,
    path = "/v1/reports/{report}/uphold",
    tag = "reports",
    params(("report" = String, Path, description = "Name of the report")),
    request_body(content = Change),
    responses((status = 200, description = "The report as it is now", body = ReportShown))
)]
pub(super) async fn uphold(post: Post, path: Path<String>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    change(post, path, gateway, ReportState::Upheld).await
}

/// Find that a report is not right, or shows nothing
///
/// One that is in review.
#[utoipa::path(
    post,
    path = "/v1/reports/{report}/dismiss",
    tag = "reports",
    params(("report" = String, Path, description = "Name of the report")),
    request_body(content = Change),
    responses((status = 200, description = "The report as it is now", body = ReportShown))
)]
pub(super) async fn dismiss(post: Post, path: Path<String>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    change(post, path, gateway, ReportState::Dismissed).await
}

async fn change(
    post: Post,
    path: Path<String>,
    gateway: Data<Gateway>,
    state: ReportState,
) -> Result<HttpResponse, Problem> {
    let report = named(&path)?;
    post.once(async move |once, operator, body| {
        let Change { reason, version, case } = json(&body)?;
        let case = case.map(worded).transpose()?;
        let handling = Handling { report, state, version, case, why: worded(reason)? };
        Ok(gateway.handle_report(once, operator, handling).await?)
    })
    .await
}

fn named(path: &str) -> Result<Uuid, Problem> {
    path.parse().map_err(|_| Problem::Malformed("the path segment is no name of a report".to_owned()))
}
