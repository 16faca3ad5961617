//! `portcullis audit export`: entries in files, with their proofs.

use std::path::{Path, PathBuf};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use portcullis_store::audit::{Filter, Order};
use portcullis_tlog::SignedCheckpoint;
use serde_json::json;

use super::super::host::{Host, operator};
use super::super::{Failure, output};
use super::query::Wanted;
use super::verify::{parsed, print_checks, read_all};
use crate::audit::extract::{self, Checked, ExtractError, Part, Trust, Wish};
use crate::audit::{log_signer, log_verifiers};
use crate::gateway::Clock;

#[derive(Debug, clap::Args)]
pub(super) struct Export {
    #[command(flatten)]
    wanted: Wanted,
    /// The folder to write to; what was interrupted goes on there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Earlier checkpoints, a file each: the export proves that the log goes on from them.
    #[arg(long, value_name = "FILE")]
    kept: Vec<PathBuf>,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(host: &Host, wanted: &Export) -> Result<(), Failure> {
    let signer = log_signer(&host.config()?).map_err(anyhow::Error::from)?;
    let kept = wanted.kept.iter().map(|file| Ok(parsed(file)?.head().size)).collect::<Result<_, Failure>>()?;
    let filter = wanted.wanted.filter(Order::Oldest, 0)?;
    // Who has read belongs to all of a room, an actor or a peer as well.
    let whole = Filter { but: None, ..filter.clone() };
    let filter = if whole.all_of().is_some() { whole } else { filter };
    let wish =
        Wish { out: wanted.out.clone(), filter, zone: wanted.wanted.zone().clone(), since: kept, by: operator() };
    let bar = ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} entries, {per_sec}, {eta} left").context("progress")?,
    );
    let made = extract::extract(&host.open()?, &signer, &Clock::default(), &wish, |done, of| {
        bar.set_length(of.max(done));
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let made = made.map_err(|error| match error {
        ExtractError::Finished(_) | ExtractError::Another(_) | ExtractError::Longer(_) => {
            Failure::usage(error.to_string())
        }
        ExtractError::Unsigned => Failure::failed(error.to_string()),
        error => anyhow::Error::from(error).into(),
    })?;
    let head = SignedCheckpoint::parse(made.checkpoint.as_bytes()).context("the checkpoint is none")?.head();
    let of = made.all_of.as_ref().map(|of| of.name.clone());
    if wanted.json {
        output::json(
            &json!({ "entries": made.entries, "size": head.size, "root": head.root.to_string(), "all_of": of }),
        )?;
        return Ok(());
    }
    output::line(format_args!("{} entries of the first {} of the log, root {}", made.entries, head.size, head.root));
    if let Some(of) = of {
        output::line(format_args!("these are all there are of `{of}`, and that is proved"));
    }
    Ok(())
}

/// Checks what was taken out.
pub(super) fn verify(
    host: &Host,
    folder: &Path,
    trust: Option<Trust>,
    kept: &[PathBuf],
    as_json: bool,
) -> Result<(), Failure> {
    let trust = match trust {
        Some(trust) => trust,
        None => Trust { keys: log_verifiers(&host.config()?).map_err(anyhow::Error::from)?, policy: None },
    };
    if !folder.is_dir() {
        return Err(Failure::usage(format!("there is no export in `{}`", folder.display())));
    }
    let kept = read_all(kept, &trust.keys)?;
    let checked = extract::check(folder, &trust, &kept).context("cannot read the export")?;
    show(&checked, as_json)?;
    if checked.is_good() { Ok(()) } else { Err(Failure::failed("the export is not as it was taken out")) }
}

fn show(checked: &Checked, as_json: bool) -> anyhow::Result<()> {
    let found = Part::ALL.into_iter().filter_map(|part| {
        let found = checked.findings.get(&part)?;
        Some((part.name(), part.meaning(), (found.checked, found.wrong, found.faults.as_slice())))
    });
    print_checks(found, as_json)?;
    let Checked { head, entries, all_of, .. } = checked;
    if as_json {
        return output::json(&json!({
            "entries": entries, "size": head.map(|head| head.size), "root": head.map(|head| head.root.to_string()),
            "all_of": all_of, "good": checked.is_good(),
        }));
    }
    if let Some(head) = head {
        output::line(format_args!("{entries} entries of the first {} of the log, root {}", head.size, head.root));
    }
    match all_of {
        Some(of) => output::line(format_args!("they are said to be all there are of `{of}`")),
        None => output::line("that there are no others is not claimed"),
    }
    Ok(())
}
