//! `policy list`, `show`, `push`, `approve`, `activate`, `rollback`: which bundle decides, on the gateway's own database.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use portcullis_core::policy::Bundle;
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::bundles::{self, KeptBundle};
use portcullis_store::{Store, StoreError, Tx};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Failure, Folder, diagnostics, files, output};
use crate::cli::host::{Host, operator};
use crate::config::Policies;
use crate::gateway::admin::{BundleView, Marks, worded};
use crate::gateway::rollout::{self, Author, BundleId, RolloutError, Step};
use crate::gateway::{Active, Clock, PolicyError, log_key, sign_bundle};

/// How many bundles are listed, and looked through for a digest.
const MOST: u32 = 10_000;
/// Fewest digits that name a bundle.
const FEWEST_DIGITS: usize = 8;

/// Arguments of `portcullis policy list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis policy list --config gw/gateway.yaml
  portcullis policy list --config gw/gateway.yaml --json

Exit codes: 0 good, 3 the configuration is not valid, 64 usage.")]
pub(super) struct List {
    #[command(flatten)]
    host: Host,

    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Arguments of `portcullis policy show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis policy show 3f1c09aa --config gw/gateway.yaml
  portcullis policy show 3f1c09aa --config gw/gateway.yaml --to old-policies

Exit codes: 0 good, 2 there is no such bundle, 3 the configuration is not valid, 64 usage.")]
pub(super) struct Show {
    #[command(flatten)]
    host: Host,

    /// The bundle: its digest, or how that begins
    #[arg(value_name = "DIGEST")]
    digest: String,

    /// Write its files into this folder, which must not exist
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// Arguments of `portcullis policy push`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The bundle is proved and kept as a draft: nothing is decided by it yet.

Examples:
  portcullis policy push candidate/policies --config gw/gateway.yaml --reason 'CASE-7: no guests in the archive'

Exit codes: 0 good, 3 the bundle is not valid or not signed, 64 usage.")]
pub(super) struct Push {
    #[command(flatten)]
    host: Host,

    #[command(flatten)]
    folder: Folder,

    /// Why; goes into the audit log
    #[arg(long, value_parser = worded)]
    reason: String,
}

/// Arguments of `portcullis policy approve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
As the second person where it takes two (`policies.approvals`).

Examples:
  portcullis policy approve 3f1c09aa --config gw/gateway.yaml --reason 'CASE-7: read and tested'

Where it takes two, both come the same way: from the host, under user names of their own, or both at the admin door.

Exit codes: 0 good, 2 it was brought by the same person or another way, 64 usage.")]
pub(super) struct Approve {
    #[command(flatten)]
    which: Which,
}

/// Arguments of `portcullis policy activate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The bundle decides from now on, at every process that works on this database.

Examples:
  portcullis policy activate 3f1c09aa --config gw/gateway.yaml --reason 'CASE-7'

Exit codes: 0 good, 2 it takes a second person, or it decides already, 3 the bundle is not valid here, 64 usage.")]
pub(super) struct Activate {
    #[command(flatten)]
    which: Which,
}

/// Arguments of `portcullis policy rollback`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
To a bundle that has decided before. It takes neither a second person nor the identity provider, and raises the alarm: an
audit record with the outcome `alarm`, an error in the log of every process, and a metric.

Examples:
  portcullis policy rollback --config gw/gateway.yaml --reason 'CASE-8: nobody can write'
  portcullis policy rollback 3f1c09aa --config gw/gateway.yaml --reason 'CASE-8'

Exit codes: 0 good, 2 no such bundle has decided before, 3 the bundle is not valid here, 64 usage.")]
pub(super) struct RollBack {
    #[command(flatten)]
    host: Host,

    /// The bundle: its digest, or how that begins [default: what decided before, unless that was gone back from]
    #[arg(value_name = "DIGEST")]
    digest: Option<String>,

    /// Why; goes into the audit log
    #[arg(long, value_parser = worded)]
    reason: String,
}

#[derive(Debug, clap::Args)]
struct Which {
    #[command(flatten)]
    host: Host,

    /// The bundle: its digest, or how that begins
    #[arg(value_name = "DIGEST")]
    digest: String,

    /// Why; goes into the audit log
    #[arg(long, value_parser = worded)]
    reason: String,
}

/// Arguments of `portcullis policy sign`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes a line into the file `signature` of the bundle, which is not part of what is signed, and prints the public half of the
key: what `policies.signers` in gateway.yaml names.

Examples:
  openssl genpkey -algorithm ed25519 -out ann.key
  portcullis policy sign gw/policies --key ann.key

Exit codes: 0 good, 3 the bundle is not valid or the key is none, 64 usage.")]
pub(super) struct Sign {
    #[command(flatten)]
    folder: Folder,

    /// The Ed25519 key (PKCS#8, PEM)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

pub(super) fn list(args: &List) -> Result<(), Failure> {
    let views = views(&args.host.open()?)?;
    if args.json {
        return Ok(views.iter().try_for_each(|view| output::json(&as_json(view)))?);
    }
    let rows = views.iter().map(|view| {
        let approved = view.kept.approved.as_ref().map_or_else(|| "-".to_owned(), |(by, _)| by.clone());
        let activated = view.kept.activated_at.map_or_else(|| "-".to_owned(), |at| at.0.to_string());
        let (digest, state) = (BundleId(view.kept.digest).to_string(), view.state().to_owned());
        [digest, state, view.kept.pushed_by.clone(), approved, activated]
    });
    output::table(["digest", "state", "pushed by", "approved by", "activated at"], rows);
    Ok(())
}

pub(super) fn show(args: &Show) -> Result<(), Failure> {
    let store = args.host.open()?;
    let digest = named(&store, &args.digest)?;
    let read = |conn: &mut _| {
        let (kept, content) = (bundles::find(conn, &digest)?, bundles::load(conn, &digest)?);
        let view = Marks::read(conn)?.view(kept);
        Ok::<_, StoreError>((view, content.ok_or(StoreError::Missing)?))
    };
    let (view, content) = store.read(read).map_err(|error| match error {
        StoreError::Missing => Failure::failed("no such bundle is kept"),
        error => unreadable(error),
    })?;
    let files: BTreeMap<String, String> = serde_json::from_slice(&content).map_err(anyhow::Error::from)?;
    output::json(&as_json(&view))?;
    if args.to.is_some()
        && let Some(name) = files.keys().find(|name| leads_out(Path::new(name)))
    {
        return Err(Failure::failed(format!("nothing is written: `{name}` may lead out of the folder")));
    }
    match &args.to {
        None => files.keys().for_each(output::line),
        Some(folder) => {
            let failed =
                |error: std::io::Error| Failure::usage(format!("cannot write `{}`: {error}", folder.display()));
            std::fs::create_dir(folder).map_err(failed)?;
            for (name, text) in &files {
                let path = folder.join(name);
                std::fs::create_dir_all(path.parent().unwrap_or(folder)).map_err(failed)?;
                std::fs::write(&path, text).map_err(failed)?;
            }
        }
    }
    Ok(())
}

pub(super) fn push(args: &Push) -> Result<(), Failure> {
    let config = args.host.config()?.policies;
    let active = Active::prove(files(&args.folder.dir)?, &config, &args.folder.dir).map_err(not_good)?;
    take(&args.host.open()?, config, Step::Push(Arc::new(active)), &args.reason)
}

pub(super) fn approve(args: &Approve) -> Result<(), Failure> {
    let (config, store) = (args.which.host.config()?.policies, args.which.host.open()?);
    let digest = named(&store, &args.which.digest)?;
    take(&store, config, Step::Approve(digest), &args.which.reason)
}

pub(super) fn activate(args: &Activate) -> Result<(), Failure> {
    let (config, store) = (args.which.host.config()?.policies, args.which.host.open()?);
    let active = kept(&store, named(&store, &args.which.digest)?, &config)?;
    take(&store, config, Step::Activate(active), &args.which.reason)
}

pub(super) fn roll_back(args: &RollBack) -> Result<(), Failure> {
    let (config, store) = (args.host.config()?.policies, args.host.open()?);
    let digest = match &args.digest {
        Some(digest) => named(&store, digest)?,
        None => recorded(&store, ("rollBack", None, &args.reason), store.read(rollout::previous))?,
    };
    let active = kept(&store, digest, &config)?;
    take(&store, config, Step::BreakGlass(active), &args.reason)
}

pub(super) fn sign(args: &Sign) -> Result<(), Failure> {
    let dir = &args.folder.dir;
    let files = files(dir)?;
    let loaded = Bundle::load(files.clone());
    let bundle = loaded.map_err(|wrong| Failure::invalid(diagnostics::reports(dir, &files, wrong)))?;
    let key = log_key(&args.key).map_err(|error| Failure::invalid([miette::Report::msg(error.to_string())]))?;
    let (line, public) = sign_bundle(&bundle.digest(), &key);
    let path = dir.join(portcullis_core::policy::SIGNATURE_FILE);
    let before = files.get(portcullis_core::policy::SIGNATURE_FILE);
    let before = before.map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default();
    // What the same key has signed before was another bundle, or this one.
    let others: String =
        before.lines().filter(|line| !line.starts_with(&public)).map(|line| format!("{line}\n")).collect();
    let written = std::fs::write(&path, others + &line);
    written.map_err(|error| Failure::usage(format!("cannot write `{}`: {error}", path.display())))?;
    output::line(public);
    Ok(())
}

/// Whether a file of that name could be written elsewhere than in the folder that it is put into. What is pushed today has no
/// such names; what was kept before may.
fn leads_out(name: &Path) -> bool {
    name.components().any(|part| !matches!(part, Component::Normal(_)))
}

pub(super) fn unreadable(error: StoreError) -> Failure {
    anyhow::Error::from(error).into()
}

fn not_good(error: PolicyError) -> Failure {
    match error {
        PolicyError::Invalid { path, files, diagnostics } => {
            Failure::invalid(diagnostics::reports(&path, &files, diagnostics))
        }
        error => Failure::invalid([miette::Report::msg(format!("{:#}", anyhow::Error::from(error)))]),
    }
}

fn refused(error: RolloutError) -> Failure {
    match error {
        RolloutError::State(sentence) => Failure::failed(sentence),
        RolloutError::Bundle(error) => not_good(error),
        RolloutError::Store(error) => unreadable(error),
    }
}

pub(super) fn kept(store: &Store, digest: [u8; 32], config: &Policies) -> Result<Arc<Active>, Failure> {
    store.read(|conn| rollout::kept(conn, &digest, config)).map_err(refused)
}

pub(super) fn take(store: &Store, config: Policies, step: Step, reason: &str) -> Result<(), Failure> {
    let author = Author { by: operator(), reason: reason.to_owned(), ..Author::default() };
    let now = Clock::default().now();
    let (operation, digest) = (step.name(), step.digest());
    let taken = store.write("policy", move |tx: &mut Tx<'_>| {
        let kept: KeptBundle = rollout::take(tx, &step, &author, &config, now)?;
        Ok::<_, RolloutError>(Marks::read(tx)?.view(kept))
    });
    output::json(&as_json(&recorded(store, (operation, digest, reason), taken)?))?;
    Ok(())
}

/// A step that the state of things does not let somebody take is an attempt all the same, and on the record as at the admin
/// door.
fn recorded<T>(
    store: &Store,
    (operation, digest, why): (&'static str, Option<[u8; 32]>, &str),
    outcome: Result<T, RolloutError>,
) -> Result<T, Failure> {
    let missing = match outcome {
        Err(RolloutError::State(missing)) => missing,
        outcome => return outcome.map_err(refused),
    };
    let digest = digest.map(|digest| BundleId(digest).to_string());
    let refusal = AuditRecord {
        actor: Some(operator()),
        reason: "bundle_is_not_ready".to_owned(),
        detail: json!({ "operation": operation, "digest": digest, "missing": missing, "why": why }),
        ..AuditRecord::new(Uuid::now_v7(), Clock::default().now(), "policy.refused", Outcome::Deny)
    };
    store.write("policy", move |tx: &mut Tx<'_>| tx.stage(&refusal)).map_err(unreadable)?;
    Err(Failure::failed(missing))
}

fn views(store: &Store) -> Result<Vec<BundleView>, Failure> {
    let read = |conn: &mut _| {
        let (marks, all) = (Marks::read(conn)?, bundles::list(conn, MOST)?);
        Ok::<_, StoreError>(all.into_iter().map(|kept| marks.view(kept)).collect())
    };
    store.read(read).map_err(unreadable)
}

/// The bundle whose digest begins so.
pub(super) fn named(store: &Store, beginning: &str) -> Result<[u8; 32], Failure> {
    if beginning.len() < FEWEST_DIGITS {
        return Err(Failure::usage(format!("a bundle is named by at least {FEWEST_DIGITS} digits of its digest")));
    }
    if let Ok(BundleId(digest)) = beginning.parse() {
        return Ok(digest);
    }
    let fitting = views(store)?.into_iter().map(|view| view.kept.digest);
    let fitting: Vec<[u8; 32]> =
        fitting.filter(|digest| BundleId(*digest).to_string().starts_with(beginning)).collect();
    match fitting[..] {
        [digest] => Ok(digest),
        [] => Err(Failure::failed(format!("no bundle is kept whose digest begins with `{beginning}`"))),
        _ => Err(Failure::usage(format!("several digests begin with `{beginning}`: give more of it"))),
    }
}

fn as_json(view: &BundleView) -> Value {
    let KeptBundle { digest, pushed_by, pushed_at, approved, activated_at } = &view.kept;
    let (by, at) = (approved.as_ref().map(|(by, _)| by), approved.as_ref().map(|(_, at)| at));
    json!({
        "digest": BundleId(*digest).to_string(), "state": view.state(), "in_files": view.in_files,
        "pushed_by": pushed_by, "pushed_at": pushed_at, "approved_by": by, "approved_at": at,
        "activated_at": activated_at,
    })
}
