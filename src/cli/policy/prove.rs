use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use portcullis_core::policy::Verdict;
use portcullis_prove::{Found, Proof, Solver, Witness, prove};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Exit, Failure, Folder, Format, bundle, output};
use crate::gateway::shown;

/// Most memory that the solver takes, and this process beside it.
const MEMORY_BYTES: u64 = 4 << 30;

/// Arguments of `portcullis policy prove`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
An invariant is a policy in `invariants/*.cedar`: what a `forbid` says is never allowed, what a `permit` says always is.
It is proven for every question that can be asked, whatever the settings say, by cvc5 (`apt-get install cvc5`; the
environment variable CVC5 names another one). What is not proven may hold or not.

Examples:
  portcullis policy prove gw/policies
  portcullis policy prove gw/policies --time-limit 60 --format json

Exit codes: 0 all are proven, 2 one is broken or not proven, 3 the bundle is not valid, 64 usage.")]
pub(super) struct Args {
    #[command(flatten)]
    folder: Folder,

    #[command(flatten)]
    solver: SolverArgs,

    /// For whom the output is
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The solver, and how long it may take.
#[derive(Debug, clap::Args)]
pub(super) struct SolverArgs {
    /// How long the solver may take for a query
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    time_limit: u64,

    /// The solver
    #[arg(long, env = "CVC5", value_name = "FILE", default_value = "cvc5", hide = true)]
    cvc5: PathBuf,
}

impl SolverArgs {
    /// The solver. It may have as much memory as this process may from now on, which a proof is not to take from the machine.
    pub(super) fn solver(&self) -> Result<Solver, Failure> {
        let limit = getrlimit(Resource::Data);
        let most = limit.current.map_or(MEMORY_BYTES, |now| now.min(MEMORY_BYTES));
        setrlimit(Resource::Data, Rlimit { current: Some(most), ..limit }).context("cannot limit the memory")?;
        let solver = Solver::new(&self.cvc5, Duration::from_secs(self.time_limit)).context("cannot start")?;
        Ok(solver)
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let bundle = bundle(&args.folder.dir, args.format)?;
    let proofs = prove(&bundle, &mut args.solver.solver()?);
    match args.format {
        Format::Text => show(&proofs),
        Format::Json => proofs.iter().try_for_each(|proof| output::json(&shown::proof(proof)))?,
    }
    let is_proven = |proof: &Proof| matches!(proof.found, Found::Proven(_));
    if proofs.iter().all(is_proven) { Ok(()) } else { Err(Failure::shown(Exit::Failed)) }
}

fn show(proofs: &[Proof]) {
    for Proof { id, doc, file, line, found } in proofs {
        let about = if doc.is_empty() { id.clone() } else { format!("{id}: {doc}") };
        match found {
            Found::Proven(kinds) => output::line(format_args!("proven      {about} ({kinds} kinds of questions)")),
            Found::Broken(witness) => {
                output::line(format_args!("broken      {about} ({file}:{line})"));
                show_witness(witness);
            }
            Found::BrokenByCase(case_file, case_line, it) => {
                output::line(format_args!("broken      {about} ({file}:{line})"));
                output::line(format_args!("  {case_file}:{case_line}: {it}"));
            }
            Found::NotProven(left) => {
                output::line(format_args!("not proven  {about} ({file}:{line})"));
                left.iter().for_each(|why| output::line(format_args!("  {why}")));
            }
        }
    }
    let proven = proofs.iter().filter(|proof| matches!(proof.found, Found::Proven(_))).count();
    output::line(format_args!("{proven} of {} invariants proven", proofs.len()));
}

/// A question that shows something, with what is known of all that it speaks of.
pub(super) fn show_witness(witness: &Witness) {
    let Witness { principal, action, resource, context, entities, verdict, .. } = witness;
    output::line(format_args!("  {principal} asks for {action} on {resource}"));
    output::line(format_args!("    {}", decided(verdict)));
    for (name, value) in context {
        output::line(format_args!("    context.{name} = {value}"));
    }
    for (uid, said) in entities {
        let said: Vec<String> = said.iter().map(|(name, value)| format!("{name} {value}")).collect();
        output::line(format_args!("    {uid}: {}", said.join(", ")));
    }
}

fn decided(verdict: &Verdict) -> String {
    let decision = if verdict.allow { "allow" } else { "deny" };
    format!("{decision} {} [{}]", verdict.reason, verdict.determining.join(", "))
}
