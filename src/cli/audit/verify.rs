//! `portcullis audit checkpoint`, `prove` and `verify`: what the log can show of itself.

use std::path::{Path, PathBuf};

use anyhow::Context;
use portcullis_store::audit::{self, AuditRecord, Check, Finding, Outcome, Report};
use portcullis_store::{Options, Store, StoreError};
use portcullis_tlog::witness::AddCheckpoint;
use portcullis_tlog::{Policy, SignedCheckpoint, TreeHead, VerifierKey};
use serde_json::json;
use uuid::Uuid;

use super::super::host::{Host, operator};
use super::super::{Failure, output};
use super::Verify;
use crate::audit::extract::Trust;
use crate::audit::{log_signer, log_verifiers};
use crate::gateway::Clock;
use crate::gateway::access::Reading;

pub(super) fn print_key(host: &Host) -> Result<(), Failure> {
    output::line(key_of(host)?);
    Ok(())
}

pub(super) fn key_of(host: &Host) -> Result<VerifierKey, Failure> {
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
    let (_, proof) = match store.read(|conn| crate::audit::prove(conn, seq)) {
        Ok(proved) => proved,
        Err(StoreError::Missing) => return Err(Failure::failed(format!("no checkpoint covers entry {seq}"))),
        Err(error) => return Err(anyhow::Error::from(error).into()),
    };
    note(store, "access.proof", json!({ "position": seq }), 1)?;
    output::line(proof.to_string().trim_end());
    Ok(())
}

/// Writes down who reads from the log, before anything is shown.
pub(super) fn note(store: &Store, kind: &'static str, asked: serde_json::Value, entries: u64) -> Result<(), Failure> {
    let mut by = AuditRecord::new(Uuid::now_v7(), Clock::default().now(), kind, Outcome::Info);
    by.actor = Some(operator());
    Ok(Reading { kind, asked }.note(store, by, entries).context("cannot write down who reads")?)
}

/// Proves that the log goes on from an earlier checkpoint.
pub(super) fn consistency(store: &Store, from: &Path) -> Result<(), Failure> {
    let old = parsed(from)?.head();
    let proved = store.read(|conn| {
        let last = audit::last_checkpoint(conn)?.filter(|last| old.size <= last.size).ok_or(StoreError::Missing)?;
        let checkpoint =
            SignedCheckpoint::parse(last.note.as_bytes()).map_err(|_| StoreError::Corrupt("checkpoint"))?;
        Ok(AddCheckpoint { old_size: old.size, proof: audit::consistency(conn, old.size, last.size)?, checkpoint })
    });
    let proved = match proved {
        Ok(proved) => proved,
        Err(StoreError::Missing) => return Err(Failure::failed("the log is shorter than that of the checkpoint")),
        Err(error) => return Err(anyhow::Error::from(error).into()),
    };
    if proved.checkpoint.head().verify_consistency(&old, &proved.proof).is_err() {
        return Err(Failure::failed("the log does not go on from that checkpoint"));
    }
    output::line(proved.to_string().trim_end());
    Ok(())
}

pub(super) fn run(host: &Host, wanted: &Verify) -> Result<(), Failure> {
    let trust = match (&wanted.policy, wanted.key.as_slice()) {
        (Some(file), keys) => {
            let bytes = std::fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))?;
            let policy = Policy::parse(&bytes).map_err(|error| Failure::usage(format!("--policy: {error}")))?;
            let keys = policy.logs().map(|log| log.key.clone()).chain(keys.iter().cloned()).collect();
            Some(Trust { keys, policy: Some(policy) })
        }
        (None, []) => None,
        (None, keys) => Some(Trust { keys: keys.to_vec(), policy: None }),
    };
    if let Some(folder) = &wanted.export {
        return super::export::verify(host, folder, trust, &wanted.kept, wanted.json);
    }
    let keys = match trust {
        Some(trust) => trust.keys,
        None => log_verifiers(&host.config()?).map_err(anyhow::Error::from)?,
    };
    let kept = read_all(&wanted.kept, &keys)?;
    let (url, options) = match &wanted.database {
        Some(database) => {
            (if database.contains(':') { database.clone() } else { format!("sqlite:{database}") }, Options::default())
        }
        None => host.database()?,
    };
    let file = url.strip_prefix("sqlite:").map(|file| file.strip_prefix("//").unwrap_or(file));
    if file.is_some_and(|file| !Path::new(file).is_file()) {
        return Err(Failure::usage(format!("there is no database `{url}`")));
    }
    let report = portcullis_store::look(&url, &options, |conn| audit::verify(conn, &keys, &kept));
    let report = report.map_err(anyhow::Error::from)?;
    show(&report, wanted.json)?;
    if report.is_good() { Ok(()) } else { Err(Failure::failed("the log is not as it was written")) }
}

pub(super) fn parsed(file: &Path) -> Result<SignedCheckpoint, Failure> {
    let note = std::fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    SignedCheckpoint::parse(&note).map_err(|_| Failure::failed(format!("`{}` is no checkpoint", file.display())))
}

/// Checkpoints that somebody kept.
pub(super) fn read_all(files: &[PathBuf], keys: &[VerifierKey]) -> Result<Vec<TreeHead>, Failure> {
    files.iter().map(|file| read_kept(file, keys)).collect()
}

fn read_kept(file: &Path, keys: &[VerifierKey]) -> Result<TreeHead, Failure> {
    let signed = parsed(file)?;
    let head = signed.verify(keys).map(|(checkpoint, _)| checkpoint.head());
    head.map_err(|_| Failure::failed(format!("`{}` is no checkpoint that this log has signed", file.display())))
}

/// Prints what checks came to, a line each: name, meaning, and how many were looked at, how many are wrong, which.
pub(super) fn print_checks<'a>(
    findings: impl Iterator<Item = (&'a str, &'a str, (u64, u64, &'a [String]))>,
    as_json: bool,
) -> anyhow::Result<()> {
    for (name, meaning, (checked, wrong, faults)) in findings {
        if as_json {
            output::json(&json!({ "check": name, "checked": checked, "wrong": wrong, "faults": faults }))?;
            continue;
        }
        let verdict = if wrong == 0 { "good" } else { "BAD " };
        output::line(format_args!("{verdict}  {name:<12} {checked:>10}  {meaning}"));
        faults.iter().for_each(|fault| output::line(format_args!("      {fault}")));
        if wrong > faults.len() as u64 {
            output::line(format_args!("      and {} more", wrong - faults.len() as u64));
        }
    }
    Ok(())
}

fn show(report: &Report, as_json: bool) -> anyhow::Result<()> {
    let found = Check::ALL.into_iter().filter_map(|check| {
        let Finding { checked, faults, wrong } = report.findings.get(&check)?;
        Some((check.name(), check.meaning(), (*checked, *wrong, faults.as_slice())))
    });
    print_checks(found, as_json)?;
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
