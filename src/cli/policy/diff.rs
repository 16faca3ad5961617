use std::path::PathBuf;

use portcullis_core::policy::{BundleDiff, Changed, DecisionChange, Verdict, Written};
use portcullis_prove::Differences;

use super::prove::{SolverArgs, show_witness};
use super::{Exit, Failure, Format, output, read};
use crate::gateway::shown;

/// Arguments of `portcullis policy diff`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What is written is compared by meaning: another form of a policy is no difference. Decisions are compared over the cases of
both bundles, and by cvc5 (`apt-get install cvc5`; the environment variable CVC5 names another one) over every question that
can be asked, whatever the settings say. What is not proven is never called the same.

Examples:
  portcullis policy diff gw/policies candidate/policies
  portcullis policy diff gw/policies candidate/policies --exit-code --format json

Exit codes: 0 good, 2 with --exit-code: there is a difference, 3 a bundle is not valid, 64 usage.")]
pub(super) struct Args {
    /// The folder of the old bundle
    #[arg(value_name = "OLD")]
    old: PathBuf,

    /// The folder of the new bundle
    #[arg(value_name = "NEW")]
    new: PathBuf,

    /// End with 2 if there is a difference, or something is not proven to be the same
    #[arg(long)]
    exit_code: bool,

    #[command(flatten)]
    solver: SolverArgs,

    /// For whom the output is
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (old, new) = (read(&args.old, args.format)?, read(&args.new, args.format)?);
    let diff = BundleDiff::of(Written { bundle: &old.0, files: &old.1 }, Written { bundle: &new.0, files: &new.1 });
    let proof = shown::compared(&diff, (&old.0, &new.0), &mut args.solver.solver()?);
    match args.format {
        Format::Text => show(&diff, &proof),
        Format::Json => output::json(&shown::diff(&diff, &proof))?,
    }
    if args.exit_code && !(diff.is_empty() && proof.is_same()) { Err(Failure::shown(Exit::Failed)) } else { Ok(()) }
}

fn show(diff: &BundleDiff, proof: &Differences) {
    for (name, changes) in shown::written(diff).into_iter().filter(|(_, changes)| !changes.is_empty()) {
        output::line(name);
        for change in changes {
            match &change.changed {
                Changed::Added => output::line(format_args!("  + {}", change.name)),
                Changed::Removed => output::line(format_args!("  - {}", change.name)),
                Changed::Otherwise(how) => output::line(format_args!("  ~ {}: {}", change.name, how.join("; "))),
            }
        }
    }
    let of = |wanted: fn(&DecisionChange) -> bool| diff.decisions.iter().filter(move |change| wanted(change));
    let allowed = of(|change| change.new.allow && !change.old.allow);
    let denied = of(|change| change.old.allow && !change.new.allow);
    let otherwise = of(|change| change.old.allow == change.new.allow);
    show_decisions("newly allowed", allowed);
    show_decisions("newly denied", denied);
    show_decisions("decided by others", otherwise);
    output::line(format_args!("{} cases compared, {} decided otherwise", diff.compared, diff.decisions.len()));
    show_proof(proof);
}

/// What is decided otherwise of all that can be asked.
fn show_proof(proof: &Differences) {
    for (name, witnesses) in [("newly allowed", &proof.newly_allowed), ("newly denied", &proof.newly_denied)] {
        for (witness, was) in witnesses {
            output::line(format_args!("{name}, for example, and before: {}", verdict(was)));
            show_witness(witness);
        }
    }
    for left in &proof.not_proven {
        output::line(format_args!("not proven  {left}"));
    }
    if proof.is_same() {
        output::line("proven: the policies of both decide every question the same, whatever the settings say");
    } else {
        let found = proof.newly_allowed.len() + proof.newly_denied.len();
        output::line(format_args!(
            "of the kinds of questions, {} are proven to be decided the same, {} are not proven; {found} differences shown",
            proof.same,
            proof.not_proven.len()
        ));
    }
}

fn show_decisions<'a>(name: &str, changes: impl Iterator<Item = &'a DecisionChange>) {
    for (number, change) in changes.enumerate() {
        if number == 0 {
            output::line(name);
        }
        output::line(format_args!("  {}:{}: {}", change.file, change.line, change.it));
        output::line(format_args!("    - {}", verdict(&change.old)));
        output::line(format_args!("    + {}", verdict(&change.new)));
    }
}

fn verdict(verdict: &Verdict) -> String {
    let decision = if verdict.allow { "allow" } else { "deny" };
    let owed = verdict.obligations.named().into_iter().map(|(name, owed)| format!(", owed {name} {}", owed.value));
    format!("{decision} {} [{}]{}", verdict.reason, verdict.determining.join(", "), owed.collect::<String>())
}
