//! `policy simulate`: recorded decisions asked again of another bundle.

use std::collections::BTreeMap;

use anyhow::Context as _;
use portcullis_core::policy::Told;
use portcullis_core::time::Millis;
use portcullis_store::{Options, Store};

use super::{Exit, Failure, Folder, Format, bundle, output};
use crate::cli::host::{Host, change, operator};
use crate::gateway::{Change, Changes, Patience, Report, Sample, Window, keep_simulation, simulate};

/// How many policies, rooms and peers are shown of each.
const SHOWN: usize = 20;

/// Arguments of `portcullis policy simulate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each decision of the log is asked again of the bundle that made it. Where that gives the recorded answer, the bundle in DIR is
asked, and what it decides otherwise is counted by policy, room and peer. Everything else is not replayable, with the reason:
nothing is known of it. What users would have done under other decisions is not known, either.

Examples:
  portcullis policy simulate candidate/policies --config gw/gateway.yaml
  portcullis policy simulate candidate/policies --database sqlite:copy.db --since 2026-11-01T00:00:00Z --limit 100000
  portcullis policy simulate candidate/policies --config gw/gateway.yaml --exit-code --json
  portcullis policy simulate candidate/policies --config gw/gateway.yaml --keep

Exit codes: 0 good, 2 with --exit-code: something would change, or is not replayable, 3 the bundle is not valid, 64 usage.")]
pub(super) struct Args {
    #[command(flatten)]
    folder: Folder,

    #[command(flatten)]
    host: Host,

    /// The database, `sqlite:PATH` or `postgres://…`, in place of the configuration's. Its schema is brought up to date: of
    /// what is to stay as it is, give a copy
    #[arg(long, value_name = "FILE-OR-URL")]
    database: Option<String>,

    /// Only decisions made at this time or later, such as 2026-11-20T21:30:00+01:00
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Millis>,

    /// Only decisions made before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Millis>,

    /// Only the latest so many
    #[arg(long, value_name = "DECISIONS")]
    limit: Option<u64>,

    /// Keep the result with the bundle, which must have been pushed, for the record of its activation
    #[arg(long)]
    keep: bool,

    /// End with 2 if anything would change, or is not replayable
    #[arg(long)]
    exit_code: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn moment(text: &str) -> Result<Millis, &'static str> {
    Millis::from_rfc3339(text).ok_or("expected a point in time such as 2026-11-20T21:30:00Z, from 1970 on")
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let candidate = bundle(&args.folder.dir, if args.json { Format::Json } else { Format::Text })?;
    let store = match &args.database {
        Some(url) => Store::open(url, &Options::default()).context("cannot open the database")?,
        None => args.host.open()?,
    };
    let window = Window { since: args.since, until: args.until, limit: args.limit };
    let report = simulate(&store, &candidate, window, Patience::default()).context("cannot read the log")?;
    if args.keep {
        keep(&store, candidate.digest(), window, report.clone())?;
    }
    if args.json {
        output::json(&report)?
    } else {
        show(&report)
    }
    let differs = report.changed.total() > 0 || report.unknown() > 0;
    if args.exit_code && differs { Err(Failure::shown(Exit::Failed)) } else { Ok(()) }
}

fn keep(store: &Store, digest: [u8; 32], window: Window, report: Report) -> Result<(), Failure> {
    change(store, "policy", "the bundle is not kept: push it first", move |tx, now| {
        keep_simulation(tx, &digest, (window, &report), &operator(), now)
    })
}

/// A report for people.
pub(super) fn show(report: &Report) {
    let Report { records, questions, same, changed, .. } = report;
    let Changes { newly_allowed, newly_denied, by_others } = changed;
    output::line(format_args!("{records} decisions, {questions} questions"));
    output::line(format_args!("  same               {same}"));
    output::line(format_args!("  newly allowed      {newly_allowed}"));
    output::line(format_args!("  newly denied       {newly_denied}"));
    output::line(format_args!("  decided by others  {by_others}"));
    output::line(format_args!("  not replayable     {}", report.unknown()));
    for (reason, count) in &report.not_replayable {
        output::line(format_args!("    {reason}: {count}"));
    }
    for (what, names) in [("policy", &report.by_policy), ("room", &report.by_room), ("peer", &report.by_peer)] {
        by_name(what, names);
    }
    if !report.samples.is_empty() {
        output::line("samples");
    }
    report.samples.iter().for_each(sample);
    if report.unknown() > 0 {
        output::line("nothing is known of what is not replayable");
    }
}

fn by_name(what: &str, names: &BTreeMap<String, Changes>) {
    if names.is_empty() {
        return;
    }
    let mut sorted: Vec<(&String, &Changes)> = names.iter().collect();
    sorted.sort_by_key(|(_, changes)| std::cmp::Reverse(changes.total()));
    let rows = sorted.iter().take(SHOWN).map(|(name, changes)| {
        let Changes { newly_allowed, newly_denied, by_others } = changes;
        [(*name).clone(), newly_allowed.to_string(), newly_denied.to_string(), by_others.to_string()]
    });
    output::table([what, "newly allowed", "newly denied", "by others"], rows);
    if sorted.len() > SHOWN {
        output::line(format_args!("and {} more", sorted.len() - SHOWN));
    }
}

fn sample(sample: &Sample) {
    let Sample { change, seq, decision, kind, question, .. } = sample;
    let change = match change {
        Change::NewlyAllowed => "newly allowed",
        Change::NewlyDenied => "newly denied",
        Change::ByOthers => "decided by others",
    };
    output::line(format_args!("  {change}: {kind} {decision}, entry {seq}"));
    output::line(format_args!("    {question}"));
    output::line(format_args!("    - {}", verdict(&sample.recorded)));
    output::line(format_args!("    + {}", verdict(&sample.candidate)));
}

fn verdict(told: &Told) -> String {
    let decision = if told.allow { "allow" } else { "deny" };
    format!("{decision} {} [{}]", told.reason, told.policy.join(", "))
}
