//! All that is on the record. Whoever reads it is on the record, too.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use jiff::tz::TimeZone;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{ClientUri, Domain, RoomUri};
use portcullis_store::audit::{self, Filter, Order, Outcome, StoredCheckpoint};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::page::{self, misfit};
use crate::audit::times::{self, By, TimeError};
use crate::audit::{Cursor, Query, Shown, prove, sha256};
use crate::gateway::Gateway;
use crate::gateway::access::{self, FAMILY, Reading};
use crate::gateway::admin::Operator;
use crate::http::body;
use crate::http::{Base64, Problem, Reply};

/// How long before the present is counted where nothing else is asked for.
const USUAL_MILLIS: u64 = 30 * 24 * 3600 * 1000;

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
    /// Only at this time or later: milliseconds since the UNIX epoch, or as `2026-11-22T09:30`, `2026-11-22T09:30+01:00`.
    since: Option<String>,
    /// Only before this time.
    until: Option<String>,
    /// Zone of times without an offset, and of those that are shown, such as `Europe/Berlin`; `UTC` when absent.
    zone: Option<String>,
    /// Only of this kind, such as `decision.commit`, or of a family, such as `decision.*`.
    kind: Option<String>,
    /// Only with this outcome: `allow`, `deny`, `error`, `info` or `alarm`.
    #[param(value_type = Option<String>)]
    outcome: Option<String>,
    /// Only about this room.
    #[param(value_type = Option<String>)]
    room: Option<RoomUri>,
    /// Only by this user, client, provider or person (`operator:SUBJECT`).
    actor: Option<String>,
    /// Only by this client, or about it.
    #[param(value_type = Option<String>)]
    client: Option<ClientUri>,
    /// Only what came from or went to this provider.
    #[param(value_type = Option<String>)]
    peer: Option<Domain>,
    /// Only what this policy has decided, perhaps beside others.
    policy: Option<String>,
    /// Only with this code of a reason.
    reason: Option<String>,
    /// Only what the policy bundle with this SHA-256 has decided.
    bundle: Option<String>,
    /// Only of this trace.
    trace: Option<String>,
    /// Only of this decision.
    #[param(value_type = Option<String>)]
    decision: Option<Uuid>,
    /// Only about the message with this SHA-256.
    exchange: Option<String>,
    /// Also who has read the log: `true`. A kind that is asked for by name is always found.
    access: Option<bool>,
    /// Which come first: `newest`, as usual, or `oldest`.
    #[param(value_type = Option<String>)]
    order: Option<OrderName>,
    /// Where to go on: `next` of the page before, to the same question.
    cursor: Option<String>,
    /// Items of the page, at most 500.
    limit: Option<u32>,
    /// For counts: `minute`, `hour`, `day` or `month` of the zone; everything together when absent.
    #[param(value_type = Option<String>)]
    by: Option<By>,
}

impl Wanted {
    fn zone(&self) -> Result<TimeZone, Problem> {
        self.zone.as_deref().map_or(Ok(TimeZone::UTC), times::zone).map_err(malformed)
    }

    fn filter(&self, zone: &TimeZone) -> Result<Filter, Problem> {
        let time = |text: &Option<String>| text.as_deref().map(|text| times::read(text, zone)).transpose();
        let hash = |text: &Option<String>| text.as_deref().map(sha256).transpose().map_err(Problem::Malformed);
        let outcome = |name: &str| {
            let found = Outcome::ALL.into_iter().find(|outcome| outcome.name() == name);
            found.ok_or_else(|| Problem::Malformed("there is no such outcome".to_owned()))
        };
        let shows_readers = self.access.unwrap_or(false) || self.kind.is_some();
        Ok(Filter {
            since: time(&self.since).map_err(malformed)?,
            until: time(&self.until).map_err(malformed)?,
            order: match self.order.unwrap_or_default() {
                OrderName::Newest => Order::Newest,
                OrderName::Oldest => Order::Oldest,
            },
            kind: self.kind.clone(),
            but: (!shows_readers).then(|| FAMILY.to_owned()),
            outcome: self.outcome.as_deref().map(outcome).transpose()?,
            room: self.room.clone(),
            actor: self.actor.clone(),
            client: self.client.clone(),
            peer: self.peer.clone(),
            policy: self.policy.clone(),
            reason: self.reason.clone(),
            bundle: hash(&self.bundle)?,
            trace: self.trace.clone(),
            decision: self.decision,
            exchange: hash(&self.exchange)?,
            limit: page::limit(self.limit),
            ..Filter::default()
        })
    }
}

fn malformed(error: TimeError) -> Problem {
    Problem::Malformed(error.to_string())
}

/// An entry of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Entry {
    /// When it happened, in the zone that was asked for.
    time: String,
    #[serde(flatten)]
    entry: Shown,
}

/// What was signed of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Signed {
    /// How many entries the log had.
    size: u64,
    /// When it was signed, in milliseconds since the UNIX epoch.
    #[schema(value_type = u64)]
    signed_at: Millis,
    /// The checkpoint, as C2SP has it.
    checkpoint: String,
}

impl From<StoredCheckpoint> for Signed {
    fn from(StoredCheckpoint { size, signed_at, note }: StoredCheckpoint) -> Self {
        Self { size, signed_at, checkpoint: note }
    }
}

/// A page of entries.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Entries {
    /// The entries, in the order that was asked for; perhaps fewer than were asked for, also where there are more.
    items: Vec<Entry>,
    /// The `cursor` of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// What all pages are read as of; absent while nothing is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<Signed>,
}

/// Search the audit log
///
/// As of one checkpoint, whatever is written while pages are read. Each search is on the record.
#[utoipa::path(
    get,
    path = "/v1/audit",
    tag = "audit",
    params(Wanted),
    responses((status = 200, description = "A page of entries", body = Entries))
)]
pub(super) async fn search(
    operator: Operator,
    request: HttpRequest,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let wanted: Wanted = body::query(&request)?;
    let zone = wanted.zone()?;
    let filter = wanted.filter(&zone)?;
    let cursor = wanted.cursor.as_deref().map(|text| Cursor::decode(text, &filter)).transpose().map_err(misfit)?;
    let reading = Reading { kind: "access.query", asked: access::asked(&filter) };
    let query = Query { filter: filter.clone(), cursor };
    let read = move |conn: &mut _| {
        query.answer(conn).map(|answer| {
            let count = answer.entries.len() as u64;
            (answer, count)
        })
    };
    let answer = gateway.read_log(operator, reading, read).await?;
    let page = Entries {
        next: answer.next.map(|cursor| cursor.encode(&filter)),
        as_of: answer.as_of.map(Signed::from),
        items: answer
            .entries
            .into_iter()
            .map(|entry| {
                let time = times::shown(entry.record.at, &zone);
                Entry { time, entry: Shown::from(entry) }
            })
            .collect(),
    };
    Ok(Reply::json(StatusCode::OK, &page, None)?.into())
}

/// How many entries there are of one span of time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Span {
    /// When it begins, in milliseconds since the UNIX epoch.
    #[schema(value_type = u64)]
    start: Millis,
    /// The same in the zone that was asked for.
    time: String,
    /// All of them.
    entries: u64,
    /// With the outcome `allow`.
    allow: u64,
    /// With the outcome `deny`.
    deny: u64,
    /// With the outcome `error`.
    error: u64,
    /// With the outcome `info`.
    info: u64,
    /// With the outcome `alarm`.
    alarm: u64,
}

/// How many entries there are.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Counts {
    /// All of them.
    entries: u64,
    /// The spans, in their order, those with nothing in them too.
    spans: Vec<Span>,
    /// What is counted as of; absent while nothing is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<Signed>,
}

/// Count entries of the audit log
///
/// By outcome, and by spans of time where `by` asks for them; of the last 30 days where no time is given. Each count is on
/// the record.
#[utoipa::path(
    get,
    path = "/v1/audit/counts",
    tag = "audit",
    params(Wanted),
    responses((status = 200, description = "The counts", body = Counts))
)]
pub(super) async fn counts(
    operator: Operator,
    request: HttpRequest,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let wanted: Wanted = body::query(&request)?;
    let zone = wanted.zone()?;
    let mut filter = wanted.filter(&zone)?;
    let starts = match wanted.by {
        None => vec![Millis(0)],
        Some(by) => {
            let until = *filter.until.get_or_insert_with(|| gateway.clock().now());
            let since = *filter.since.get_or_insert_with(|| Millis(until.0.saturating_sub(USUAL_MILLIS)));
            times::spans(since, until, by, &zone).map_err(malformed)?
        }
    };
    let reading = Reading { kind: "access.count", asked: access::asked(&filter) };
    let read = move |conn: &mut _| {
        let as_of = crate::audit::as_of(conn, None)?;
        let filter = Filter { before: Some(as_of.as_ref().map_or(0, |signed| signed.size)), ..filter };
        let buckets = audit::counts(conn, &filter, &starts)?;
        let entries = buckets.iter().map(audit::Bucket::total).sum();
        Ok(((buckets, as_of), entries))
    };
    let (buckets, as_of) = gateway.read_log(operator, reading, read).await?;
    let span = |bucket: audit::Bucket| {
        let of = |outcome| bucket.counts.iter().find(|(of, _)| *of == outcome).map_or(0, |(_, count)| *count);
        Span {
            start: bucket.start,
            time: times::shown(bucket.start, &zone),
            entries: bucket.total(),
            allow: of(Outcome::Allow),
            deny: of(Outcome::Deny),
            error: of(Outcome::Error),
            info: of(Outcome::Info),
            alarm: of(Outcome::Alarm),
        }
    };
    let entries = buckets.iter().map(audit::Bucket::total).sum();
    let spans = if wanted.by.is_some() { buckets.into_iter().map(span).collect() } else { Vec::new() };
    let counts = Counts { entries, spans, as_of: as_of.map(Signed::from) };
    Ok(Reply::json(StatusCode::OK, &counts, None)?.into())
}

/// An entry, with all that shows that it is in the log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Proof {
    entry: Shown,
    /// The leaf of the tree: deterministic CBOR that commits to the entry's fields.
    #[schema(value_type = String, format = "byte")]
    leaf: Base64,
    /// What opens the commitments: by field the salt and the value as JSON text.
    #[schema(value_type = Object)]
    openings: audit::Openings,
    /// The proof of inclusion, as C2SP has it (`c2sp.org/tlog-proof@v1`).
    proof: String,
}

/// Prove that an entry is in the audit log
///
/// By its position. Whoever has the proof, the leaf and the log's key needs nothing else. Each proof is on the record.
#[utoipa::path(
    get,
    path = "/v1/audit/{position}/proof",
    tag = "audit",
    params(("position" = u64, Path, description = "Position of the entry")),
    responses((status = 200, description = "The entry and its proof", body = Proof))
)]
pub(super) async fn proof(
    operator: Operator,
    position: Path<u64>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let position = position.into_inner();
    let reading = Reading { kind: "access.proof", asked: serde_json::json!({ "position": position }) };
    let read = move |conn: &mut _| Ok((prove(conn, position)?, 1));
    let (entry, proof) = gateway.read_log(operator, reading, read).await?;
    let (leaf, openings) = (Base64(entry.leaf.clone()), entry.openings.clone());
    let proof = Proof { entry: Shown::from(entry), leaf, openings, proof: proof.to_string() };
    Ok(Reply::json(StatusCode::OK, &proof, None)?.into())
}
