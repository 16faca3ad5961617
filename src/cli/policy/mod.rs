//! `portcullis policy`: what authors of policies do with a bundle before it decides anything, and how it comes to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use portcullis_core::policy::{Bundle, Diagnostic};

use super::{Exit, Failure, diagnostics, output};
use crate::gateway::admin::answer_policy;
use crate::gateway::{PolicyError, policy_files, shown};

mod check;
mod diff;
mod envelope;
mod fmt;
mod prove;
mod query;
mod question;
mod rollout;
mod shadow;
mod simulate;
mod test;
mod why;

/// Arguments of `portcullis policy`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis policy check gw/policies
  portcullis policy test gw/policies --coverage
  portcullis policy fmt gw/policies --check
  portcullis policy why gw/policies --cases tests/company.yaml --it 'a muted user does not send'
  portcullis policy who-can gw/policies --action canSendMessage --cases tests/company.yaml --room lounge
  portcullis policy prove gw/policies
  portcullis policy diff gw/policies candidate/policies
  portcullis policy simulate candidate/policies --config gw/gateway.yaml
  portcullis policy push candidate/policies --config gw/gateway.yaml --reason CASE-7
  portcullis policy shadow 3f1c09aa --config gw/gateway.yaml --reason CASE-7
  portcullis policy rollback --config gw/gateway.yaml --reason CASE-8

Exit codes: 0 good, 2 deny or failed test, 3 invalid bundle, 64 usage.")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say everything that is wrong with a bundle at once, and what in it is perhaps not meant so.
    Check(check::Args),
    /// Run the tests of a bundle.
    Test(test::Args),
    /// Write policies in their one form.
    Fmt(fmt::Args),
    /// Say why a question is decided as it is, clause by clause.
    Why(Box<why::Args>),
    /// List who in a room can do something, and under which conditions.
    WhoCan(Box<query::WhoCan>),
    /// List what somebody can do in a room, and under which conditions.
    WhatCan(Box<query::WhatCan>),
    /// List the rooms in which somebody can do something, and under which conditions.
    WhereCan(Box<query::WhereCan>),
    /// Prove what a bundle promises, for every question that can be asked.
    Prove(prove::Args),
    /// Say what changes from one bundle to another: as it is written, over the cases of both, and for every question.
    Diff(diff::Args),
    /// Say what a bundle would have decided otherwise, of what a gateway has recorded.
    Simulate(Box<simulate::Args>),
    /// Say which room policies the company accepts, as a signed note, and verify those of others.
    Envelope(envelope::Args),
    /// List the bundles that a gateway keeps, and which of them decides.
    List(rollout::List),
    /// Show a bundle that is kept, or write its files into a folder.
    Show(rollout::Show),
    /// Prove a bundle and keep it as a draft.
    Push(rollout::Push),
    /// Agree with a bundle that somebody else has brought.
    Approve(rollout::Approve),
    /// Ask a bundle beside the one that decides, and say what has come of it.
    Shadow(shadow::Args),
    /// Let a bundle decide, at every process of the gateway.
    Activate(rollout::Activate),
    /// Let a bundle decide again that has decided before: break-glass, which raises the alarm.
    Rollback(rollout::RollBack),
    /// Sign a bundle.
    Sign(rollout::Sign),
    /// Answer one question that stands on the standard input; what the gateway asks itself.
    #[command(hide = true)]
    Answer {
        /// After so many seconds it ends
        seconds: u64,
    },
}

/// The bundle that a command is about.
#[derive(Debug, clap::Args)]
struct Folder {
    /// The folder of the bundle
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// For whom the output is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// People
    #[default]
    Text,
    /// Programs: one JSON object a line
    Json,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Check(args) => check::run(args),
        Command::Test(args) => test::run(args),
        Command::Fmt(args) => fmt::run(args),
        Command::Why(args) => why::run(args),
        Command::WhoCan(args) => query::who_can(args),
        Command::WhatCan(args) => query::what_can(args),
        Command::WhereCan(args) => query::where_can(args),
        Command::Prove(args) => prove::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Simulate(args) => simulate::run(args),
        Command::Envelope(args) => envelope::run(args),
        Command::List(args) => rollout::list(args),
        Command::Show(args) => rollout::show(args),
        Command::Push(args) => rollout::push(args),
        Command::Approve(args) => rollout::approve(args),
        Command::Shadow(args) => shadow::run(args),
        Command::Activate(args) => rollout::activate(args),
        Command::Rollback(args) => rollout::roll_back(args),
        Command::Sign(args) => rollout::sign(args),
        Command::Answer { seconds } => std::process::exit(answer_policy(*seconds)),
    }
}

/// The files of a bundle.
fn files(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    policy_files(dir).map_err(|error| match error {
        PolicyError::Read { path, source } if path == dir => {
            Failure::usage(format!("there is no bundle in `{}`: {source}", dir.display()))
        }
        error => Failure::invalid([miette::Report::msg(format!("{:#}", anyhow::Error::from(error)))]),
    })
}

/// A bundle that is good.
fn bundle(dir: &Path, format: Format) -> Result<Bundle, Failure> {
    read(dir, format).map(|(bundle, _)| bundle)
}

/// A bundle that is good, and its files.
fn read(dir: &Path, format: Format) -> Result<(Bundle, BTreeMap<String, Vec<u8>>), Failure> {
    let files = files(dir)?;
    match Bundle::load(files.clone()) {
        Ok(bundle) => Ok((bundle, files)),
        Err(wrong) => Err(invalid(dir, &files, format, wrong)),
    }
}

/// What is wrong with files, to standard output for programs.
fn invalid(dir: &Path, files: &BTreeMap<String, Vec<u8>>, format: Format, wrong: Vec<Diagnostic>) -> Failure {
    match format {
        Format::Text => Failure::invalid(diagnostics::reports(dir, files, wrong)),
        Format::Json => match show(dir, files, format, &wrong) {
            Ok(()) => Failure::shown(Exit::InvalidFile),
            Err(error) => error.into(),
        },
    }
}

/// Shows diagnostics as they are wanted.
fn show(
    dir: &Path,
    files: &BTreeMap<String, Vec<u8>>,
    format: Format,
    found: &[Diagnostic],
) -> Result<(), anyhow::Error> {
    match format {
        Format::Text => {
            for report in diagnostics::reports(dir, files, found.iter().cloned()) {
                output::line(format_args!("{report:?}"));
            }
        }
        Format::Json => found.iter().try_for_each(|diagnostic| output::json(&shown::diagnostic(diagnostic)))?,
    }
    Ok(())
}
