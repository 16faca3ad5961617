//! What was decided, read from the positions of the audit log.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use portcullis_core::policy::{AdminAct, Attribute};
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{Domain, RoomUri, UserUri};
use portcullis_store::audit::{self, Filter, Order, Outcome};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::page::{self, Page, cursor, misfit, place};
use crate::audit::Shown;
use crate::gateway::admin::Operator;
use crate::gateway::{Gateway, GatewayError};
use crate::http::body::{self, Id};
use crate::http::{Problem, Reply};

/// How a decision fell.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OutcomeName {
    Allow,
    Deny,
    Error,
    Info,
}

/// Which come first.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OrderName {
    #[default]
    Newest,
    Oldest,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Only about this room.
    #[param(value_type = Option<String>)]
    room: Option<RoomUri>,
    /// Only by this user, client, provider or person (`operator:SUBJECT`).
    actor: Option<String>,
    /// Only what came from or went to this provider.
    #[param(value_type = Option<String>)]
    peer: Option<Domain>,
    /// Only with this outcome: `allow`, `deny`, `error` or `info`.
    #[param(value_type = Option<String>)]
    outcome: Option<OutcomeName>,
    /// Only of this kind, such as `decision.commit`.
    kind: Option<String>,
    /// Only at this time or later, in milliseconds since the UNIX epoch.
    since: Option<u64>,
    /// Only before this time, in milliseconds since the UNIX epoch.
    until: Option<u64>,
    /// Which come first: `newest`, as usual, or `oldest`.
    #[param(value_type = Option<String>)]
    order: Option<OrderName>,
    /// Where to go on: `next` of the page before, in the same order.
    cursor: Option<String>,
    /// Items of the page, at most 500.
    limit: Option<u32>,
}

impl Wanted {
    fn filter(self, limit: u32) -> Result<Filter, Problem> {
        let order = match self.order.unwrap_or_default() {
            OrderName::Newest => Order::Newest,
            OrderName::Oldest => Order::Oldest,
        };
        let last = self.cursor.as_deref().map(place::<1>).transpose()?;
        let last = last.map(|[seq]| seq.parse::<u64>()).transpose().map_err(misfit)?;
        let (from, before) = match order {
            Order::Newest => (0, last),
            Order::Oldest => (last.map_or(0, |last| last.saturating_add(1)), None),
        };
        Ok(Filter {
            from,
            before,
            since: self.since.map(Millis),
            until: self.until.map(Millis),
            decisions: true,
            order,
            limit: limit + 1,
            kind: self.kind,
            outcome: self.outcome.map(|outcome| match outcome {
                OutcomeName::Allow => Outcome::Allow,
                OutcomeName::Deny => Outcome::Deny,
                OutcomeName::Error => Outcome::Error,
                OutcomeName::Info => Outcome::Info,
            }),
            room: self.room,
            actor: self.actor,
            peer: self.peer,
            ..Filter::default()
        })
    }
}

/// List decisions
///
/// With the reason and the policies that decided. A decision shows here once it has its position in the audit log.
#[utoipa::path(
    get,
    path = "/v1/decisions",
    tag = "decisions",
    params(Wanted),
    responses((status = 200, description = "A page of decisions", body = Page<Shown>))
)]
pub(super) async fn list(
    operator: Operator,
    request: HttpRequest,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let wanted: Wanted = body::query(&request)?;
    let limit = page::limit(wanted.limit);
    let filter = wanted.filter(limit)?;
    let read = move |conn: &mut _| audit::entries(conn, &filter);
    let entries = gateway.view(operator, AdminAct::ViewDecisions, read).await?;
    let shown = entries.into_iter().map(Shown::from).collect();
    let page = page::page(shown, limit, |last: &Shown| cursor(&[&last.seq.to_string()]));
    Ok(Reply::json(StatusCode::OK, &page, None)?.into())
}

/// A decision with what held for the users whom it concerns.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Explained {
    #[serde(flatten)]
    shown: Shown,
    /// By the bundle that decided, and what was known of them then; empty where that is not kept.
    concerned: Vec<Concerned>,
}

/// A user whom a decision concerns.
#[derive(Debug, Serialize, ToSchema)]
struct Concerned {
    /// The user.
    #[schema(value_type = String)]
    user: UserUri,
    /// What held for it.
    attributes: Vec<AttributeShown>,
}

/// Something that held for a user.
#[derive(Debug, Serialize, ToSchema)]
struct AttributeShown {
    /// As the schema of the policies names it.
    name: &'static str,
    /// Its value.
    value: String,
    /// Who says so: a place in `settings.yaml`, such as `directory.rules[2]`, or `directory`, the identity provider itself.
    source: String,
}

impl From<Attribute> for AttributeShown {
    fn from(Attribute { name, value, source }: Attribute) -> Self {
        Self { name, value, source }
    }
}

/// Show a decision
///
/// By the identifier that callers are told. With what held for the users whom it concerns, and who says so.
#[utoipa::path(
    get,
    path = "/v1/decisions/{decision}",
    tag = "decisions",
    params(("decision" = String, Path, description = "Identifier of the decision")),
    responses((status = 200, description = "The decision", body = Explained))
)]
pub(super) async fn show(
    operator: Operator,
    decision: Id<Uuid>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let filter = Filter { decision: Some(decision.0), limit: 1, ..Filter::default() };
    let read = move |conn: &mut _| audit::entries(conn, &filter);
    let mut entries = gateway.view(operator, AdminAct::ViewDecisions, read).await?;
    let entry = entries.pop().ok_or(GatewayError::NotFound)?;
    let concerned = gateway.decided_by(entry.record.clone()).await?;
    let concerned = concerned.into_iter().map(|(user, attributes)| Concerned {
        user,
        attributes: attributes.into_iter().map(AttributeShown::from).collect(),
    });
    let explained = Explained { shown: Shown::from(entry), concerned: concerned.collect() };
    Ok(Reply::json(StatusCode::OK, &explained, None)?.into())
}
