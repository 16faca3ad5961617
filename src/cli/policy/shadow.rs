//! `policy shadow`: a bundle asked beside the one that decides.

use portcullis_store::StoreError;
use serde_json::json;

use super::rollout::{kept, named, take, unreadable};
use super::{Failure, output, simulate};
use crate::cli::host::Host;
use crate::gateway::ShadowView;
use crate::gateway::admin::worded;
use crate::gateway::rollout::{BundleId, Step};

/// Arguments of `portcullis policy shadow`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The bundle is asked what the running gateway decides from now on, behind the decisions, and nothing that it says is enforced.
One bundle is the shadow at a time: another one takes its place. It ends when it is activated.

Examples:
  portcullis policy shadow 3f1c09aa --config gw/gateway.yaml --reason 'CASE-7'
  portcullis policy shadow --report --config gw/gateway.yaml
  portcullis policy shadow --stop --config gw/gateway.yaml --reason 'CASE-7: seen enough'

Exit codes: 0 good, 2 it is the shadow or decides already, or there is none, 3 the bundle is not valid here, 64 usage.")]
pub(super) struct Args {
    #[command(flatten)]
    host: Host,

    /// The bundle: its digest, or how that begins
    #[arg(value_name = "DIGEST", required_unless_present_any = ["stop", "report"])]
    digest: Option<String>,

    /// End it
    #[arg(long, conflicts_with_all = ["digest", "report"])]
    stop: bool,

    /// Say what has come of it, or of the one before
    #[arg(long, conflicts_with_all = ["digest", "reason"])]
    report: bool,

    /// Print the report as one JSON object
    #[arg(long, requires = "report")]
    json: bool,

    /// Why; goes into the audit log
    #[arg(long, required_unless_present = "report", value_parser = worded)]
    reason: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (config, store) = (args.host.config()?.policies, args.host.open()?);
    let Some(reason) = &args.reason else {
        let view = store.read(ShadowView::latest).map_err(|error| match error {
            StoreError::Missing => Failure::failed("no bundle is or was the shadow"),
            error => unreadable(error),
        })?;
        return show(&view, args.json);
    };
    let step = match &args.digest {
        Some(digest) => Step::Shadow(kept(&store, named(&store, digest)?, &config)?),
        None => Step::StopShadow,
    };
    take(&store, config, step, reason)
}

fn show(ShadowView { shadow, report, behind }: &ShadowView, as_json: bool) -> Result<(), Failure> {
    let (digest, stopped) = (BundleId(shadow.digest).to_string(), shadow.stopped.as_ref());
    if as_json {
        return Ok(output::json(&json!({
            "run": shadow.run, "digest": digest, "started_by": shadow.started_by, "started_at": shadow.started_at,
            "stopped_by": stopped.map(|stopped| &stopped.by), "stopped_at": stopped.map(|stopped| stopped.at),
            "from": shadow.from, "to": shadow.position, "behind": behind, "report": report,
        }))?);
    }
    let state = if stopped.is_some() { "has ended" } else { "goes on" };
    output::line(format_args!("{digest}: shadow {} {state}, started by {}", shadow.run, shadow.started_by));
    output::line(format_args!("entries {} to {} of the log, {behind} behind", shadow.from, shadow.position));
    simulate::show(report);
    Ok(())
}
