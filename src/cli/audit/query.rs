//! `portcullis audit query` and `count`: what stands in the signed log.

use anyhow::Context;
use jiff::tz::TimeZone;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{ClientUri, Domain, RoomUri};
use portcullis_store::audit::{AuditEntry, Bucket, Filter, Order, Outcome, StoredCheckpoint, counts};
use portcullis_store::{Store, StoreError};
use serde_json::json;
use uuid::Uuid;

use super::super::{Failure, output};
use super::verify::note;
use crate::audit::times::{self, By};
use crate::audit::{Answer, Cursor, Query, Shown, as_of, sha256};
use crate::gateway::Clock;
use crate::gateway::access::{FAMILY, asked};

/// How long before the present is counted where nothing else is asked for.
const USUAL_MILLIS: u64 = 30 * 24 * 3600 * 1000;

/// Widest bar of a chart, in characters.
const WIDEST: u64 = 40;

#[derive(Debug, clap::Args)]
pub(super) struct Wanted {
    /// Only at this time or later: `2026-11-22`, `2026-11-22T09:30`, `2026-11-22T09:30+01:00`, or milliseconds.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Zone of times without an offset, and of those that are shown, such as `Europe/Berlin`.
    #[arg(long, default_value = "UTC", value_parser = times::zone)]
    zone: TimeZone,
    /// Only of this kind, such as `decision.commit`, or of a family, such as `decision.*`.
    #[arg(long)]
    kind: Option<String>,
    /// Only with this outcome: allow, deny, error, info or alarm.
    #[arg(long, value_parser = super::outcome)]
    outcome: Option<Outcome>,
    /// Only about this room.
    #[arg(long)]
    room: Option<RoomUri>,
    /// Only by this user, client, provider or person.
    #[arg(long)]
    actor: Option<String>,
    /// Only by this client, or about it.
    #[arg(long)]
    client: Option<ClientUri>,
    /// Only what came from or went to this provider.
    #[arg(long, value_parser = Domain::parse)]
    peer: Option<Domain>,
    /// Only what this policy has decided, perhaps beside others.
    #[arg(long)]
    policy: Option<String>,
    /// Only with this code of a reason.
    #[arg(long)]
    reason: Option<String>,
    /// Only what the policy bundle with this SHA-256 has decided.
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    bundle: Option<[u8; 32]>,
    /// Only of this trace.
    #[arg(long)]
    trace: Option<String>,
    /// Only of this decision.
    #[arg(long, value_name = "ID")]
    decision: Option<Uuid>,
    /// Only about the message with this SHA-256.
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    exchange: Option<[u8; 32]>,
    /// Also who has read the log.
    #[arg(long)]
    access: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Search {
    #[command(flatten)]
    wanted: Wanted,
    /// The oldest first.
    #[arg(long)]
    oldest: bool,
    /// Entries of a page.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Where to go on, as the page before says.
    #[arg(long)]
    cursor: Option<String>,
    /// All pages.
    #[arg(long)]
    all: bool,
    /// Print one JSON object a line; the last one says where to go on.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Count {
    #[command(flatten)]
    wanted: Wanted,
    /// The spans that are counted; everything together where it is left out. Of the last 30 days unless you say more.
    #[arg(long, value_enum)]
    by: Option<By>,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

impl Wanted {
    pub(super) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    pub(super) fn filter(&self, order: Order, limit: u32) -> Result<Filter, Failure> {
        let time = |text: &Option<String>| text.as_deref().map(|text| times::read(text, &self.zone)).transpose();
        let time = |text| time(text).map_err(|error| Failure::usage(error.to_string()));
        Ok(Filter {
            since: time(&self.since)?,
            until: time(&self.until)?,
            order,
            limit,
            kind: self.kind.clone(),
            but: (!self.access && self.kind.is_none()).then(|| FAMILY.to_owned()),
            outcome: self.outcome,
            room: self.room.clone(),
            actor: self.actor.clone(),
            client: self.client.clone(),
            peer: self.peer.clone(),
            policy: self.policy.clone(),
            reason: self.reason.clone(),
            bundle: self.bundle,
            trace: self.trace.clone(),
            decision: self.decision,
            exchange: self.exchange,
            ..Filter::default()
        })
    }
}

pub(super) fn search(store: &Store, wanted: &Search) -> Result<(), Failure> {
    let order = if wanted.oldest { Order::Oldest } else { Order::Newest };
    let filter = wanted.wanted.filter(order, wanted.limit)?;
    let cursor = wanted.cursor.as_deref().map(|text| Cursor::decode(text, &filter)).transpose();
    let cursor = cursor.map_err(|error| Failure::usage(format!("--cursor: {error}")))?;
    let mut query = Query { filter, cursor };
    loop {
        let Answer { entries, next, as_of } = store.read(|conn| query.answer(conn)).map_err(failure)?;
        note(store, "access.query", asked(&query.filter), entries.len() as u64)?;
        show(entries, wanted)?;
        query.cursor = next;
        if next.is_none() || !wanted.all {
            return end(next.map(|next| next.encode(&query.filter)), as_of, wanted);
        }
    }
}

fn failure(error: StoreError) -> Failure {
    match error {
        StoreError::OutOfRange => Failure::usage("no such time".to_owned()),
        StoreError::Missing => Failure::usage("--cursor: nothing of this size was signed".to_owned()),
        error => anyhow::Error::from(error).into(),
    }
}

fn show(entries: Vec<AuditEntry>, wanted: &Search) -> Result<(), Failure> {
    let zone = &wanted.wanted.zone;
    let shown = entries.into_iter().map(Shown::from);
    if wanted.json {
        for entry in shown {
            let mut entry = serde_json::to_value(&entry).context("cannot show an entry")?;
            let at = entry_time(&entry);
            if let (Some(fields), Some(at)) = (entry.as_object_mut(), at) {
                fields.insert("time".to_owned(), times::shown(at, zone).into());
            }
            output::json(&entry)?;
        }
        return Ok(());
    }
    let header = ["time", "seq", "kind", "outcome", "actor", "policy", "reason", "room"];
    let rows = shown.map(|entry| {
        let time = times::shown(entry.at, zone);
        let [seq, kind, outcome, actor, policy, reason, room] = super::row(&entry);
        [time, seq, kind, outcome, actor, policy, reason, room]
    });
    output::table(header, rows);
    Ok(())
}

fn entry_time(entry: &serde_json::Value) -> Option<Millis> {
    entry.get("at")?.as_u64().map(Millis)
}

/// Says what was searched, and where to go on.
fn end(next: Option<String>, as_of: Option<StoredCheckpoint>, wanted: &Search) -> Result<(), Failure> {
    let size = as_of.as_ref().map_or(0, |signed| signed.size);
    let signed = as_of.map(|signed| times::shown(signed.signed_at, &wanted.wanted.zone));
    if wanted.json {
        output::json(&json!({ "next": next, "as_of": { "size": size, "signed": signed } }))?;
        return Ok(());
    }
    match signed {
        Some(signed) => output::line(format_args!("\nof the first {size} entries, signed {signed}")),
        None => output::line("\nnothing of the log has been signed yet"),
    }
    if let Some(next) = next {
        output::line(format_args!("more: --cursor {next}"));
    }
    Ok(())
}

pub(super) fn count(store: &Store, wanted: &Count) -> Result<(), Failure> {
    let zone = &wanted.wanted.zone;
    let mut filter = wanted.wanted.filter(Order::Oldest, 0)?;
    let starts = match wanted.by {
        None => vec![Millis(0)],
        Some(by) => {
            let until = *filter.until.get_or_insert_with(|| Clock::default().now());
            let since = *filter.since.get_or_insert_with(|| Millis(until.0.saturating_sub(USUAL_MILLIS)));
            times::spans(since, until, by, zone).map_err(|error| Failure::usage(error.to_string()))?
        }
    };
    let counted = store.read(|conn| {
        let size = as_of(conn, None)?.map_or(0, |signed| signed.size);
        counts(conn, &Filter { before: Some(size), ..filter.clone() }, &starts)
    });
    let buckets = counted.map_err(failure)?;
    let total: u64 = buckets.iter().map(Bucket::total).sum();
    note(store, "access.count", asked(&filter), total)?;
    let most = buckets.iter().map(Bucket::total).max().unwrap_or_default().max(1);
    if wanted.json {
        for bucket in &buckets {
            let counts: serde_json::Map<_, _> =
                bucket.counts.iter().map(|(outcome, count)| (outcome.name().to_owned(), (*count).into())).collect();
            let time = wanted.by.map(|_| times::shown(bucket.start, zone));
            output::json(&json!({ "time": time, "entries": bucket.total(), "outcomes": counts }))?;
        }
        return Ok(());
    }
    let header = ["time", "entries", "allow", "deny", "error", "info", "alarm", ""];
    let rows = buckets.iter().map(|bucket| {
        let time = wanted.by.map_or_else(|| "all".to_owned(), |_| times::shown(bucket.start, zone));
        let [allow, deny, error, info, alarm] = bucket.counts.map(|(_, count)| count.to_string());
        let bar = "▇".repeat(usize::try_from(bucket.total() * WIDEST / most).unwrap_or_default());
        [time, bucket.total().to_string(), allow, deny, error, info, alarm, bar]
    });
    output::table(header, rows);
    output::line(format_args!("\n{total} entries"));
    Ok(())
}
