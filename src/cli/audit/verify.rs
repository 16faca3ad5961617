//! `portcullis audit checkpoint`, `prove` and `verify`: what the log can show of itself.

use std::path::Path;

use anyhow::Context;
use portcullis_store::audit::{self, Check, Finding, Report};
use portcullis_store::{Options, Store, StoreError};
use portcullis_tlog::{LogProof, SignedCheckpoint, VerifierKey};
use serde_json::json;

use super::super::host::Host;
use super::super::{Failure, output};
use super::Verify;
use crate::audit::log_signer;

pub(super) fn print_key(host: &Host) -> Result<(), Failure> {
    output::line(key_of(host)?);
    Ok(())
}

fn key_of(host: &Host) -> Result<VerifierKey, Failure> {
    let signer = log_signer(&host.config()?).map_err(anyhow::Error::from)?;
    Ok(signer.key().clone())
}

pub(super) fn print_checkpoint(store: &Store) -> Result<(), Failure> {
    match store.read(audit::last_checkpoint).map_err(anyhow::Error::from)? {
        Some(last) => output::line(last.note.trim_end()),
        None => return Err(Failure::failed("nothing of the log has been signed yet")),
    }
    Ok(())
}

pub(super) fn prove(store: &Store, seq: u64) -> Result<(), Failure> {
    let proof = store.read(|conn| {
        let last = audit::last_checkpoint(conn)?.filter(|last| seq < last.size).ok_or(StoreError::Missing)?;
        let checkpoint =
            SignedCheckpoint::parse(last.note.as_bytes()).map_err(|_| StoreError::Corrupt("checkpoint"))?;
        Ok(LogProof { extra: None, index: seq, path: audit::inclusion(conn, seq, last.size)?, checkpoint })
    });
    match proof {
        Ok(proof) => output::line(proof.to_string().trim_end()),
        Err(StoreError::Missing) => return Err(Failure::failed(format!("no checkpoint covers entry {seq}"))),
        Err(error) => return Err(anyhow::Error::from(error).into()),
    }
    Ok(())
}

pub(super) fn run(host: &Host, wanted: &Verify) -> Result<(), Failure> {
    let key = match &wanted.key {
        Some(key) => key.trim().parse().map_err(|error| Failure::usage(format!("--key: {error}")))?,
        None => key_of(host)?,
    };
    let kept = wanted.kept.iter().map(|file| read_kept(file, &key)).collect::<Result<Vec<_>, _>>()?;
    let store = match &wanted.database {
        Some(database) => {
            let url = if database.contains(':') { database.clone() } else { format!("sqlite:{database}") };
            let file = url.strip_prefix("sqlite:").map(|file| file.strip_prefix("//").unwrap_or(file));
            if file.is_some_and(|file| !Path::new(file).is_file()) {
                return Err(Failure::usage(format!("there is no database `{database}`")));
            }
            Store::open(&url, &Options::default()).context("cannot open the database")?
        }
        None => host.open()?,
    };
    let report = store.read(|conn| audit::verify(conn, &key, &kept)).map_err(anyhow::Error::from)?;
    show(&report, wanted.json)?;
    if report.is_good() { Ok(()) } else { Err(Failure::failed("the log is not as it was written")) }
}

/// A checkpoint that somebody kept.
fn read_kept(file: &Path, key: &VerifierKey) -> Result<portcullis_tlog::TreeHead, Failure> {
    let note = std::fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let wrong = || Failure::failed(format!("`{}` is no checkpoint that this log has signed", file.display()));
    let signed = SignedCheckpoint::parse(&note).map_err(|_| wrong())?;
    signed.verify([key]).map(|(checkpoint, _)| checkpoint.head()).map_err(|_| wrong())
}

fn show(report: &Report, as_json: bool) -> anyhow::Result<()> {
    for check in Check::ALL {
        let Some(Finding { checked, faults, wrong }) = report.findings.get(&check) else { continue };
        if as_json {
            output::json(&json!({ "check": check.name(), "checked": checked, "wrong": wrong, "faults": faults }))?;
            continue;
        }
        let verdict = if *wrong == 0 { "good" } else { "BAD " };
        output::line(format_args!("{verdict}  {:<12} {:>10}  {}", check.name(), checked, check.meaning()));
        faults.iter().for_each(|fault| output::line(format_args!("      {fault}")));
        if *wrong > faults.len() as u64 {
            output::line(format_args!("      and {} more", wrong - faults.len() as u64));
        }
    }
    let Report { head, covered, erased, staged, .. } = report;
    if as_json {
        return output::json(&json!({
            "entries": head.size, "root": head.root.to_string(), "covered": covered, "erased": erased,
            "staged": staged, "good": report.is_good(),
        }));
    }
    output::line(format_args!("{} entries, root {}", head.size, head.root));
    output::line(format_args!("{covered} of them covered by checkpoints; later ones could be cut off unnoticed"));
    if *erased > 0 {
        output::line(format_args!("{erased} without openings: whose these are cannot be checked"));
    }
    if *staged > 0 {
        output::line(format_args!("{staged} records wait for their positions"));
    }
    Ok(())
}
