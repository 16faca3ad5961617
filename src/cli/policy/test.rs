use portcullis_core::policy::{CaseOutcome, Coverage, PolicyCoverage, run_cases};

use super::{Exit, Failure, Folder, Format, bundle, output};
use crate::gateway::shown;

/// Arguments of `portcullis policy test`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The tests are the files `tests/*.yaml` of the bundle: rooms, users, and what is to be decided, by which policies, and why.

Examples:
  portcullis policy test gw/policies
  portcullis policy test gw/policies --filter frozen
  portcullis policy test gw/policies --coverage

Exit codes: 0 all is as the tests say, 2 something is not, 3 the bundle is not valid, 64 usage.")]
pub(super) struct Args {
    #[command(flatten)]
    folder: Folder,

    /// Run only cases whose file or sentence has this in it
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// Show which policies decide in some case, and which conditions are seen to hold and not to hold
    #[arg(long, conflicts_with = "filter")]
    coverage: bool,

    /// For whom the output is
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let bundle = bundle(&args.folder.dir, args.format)?;
    let wanted = |outcome: &CaseOutcome| {
        args.filter.as_ref().is_none_or(|text| outcome.file.contains(text) || outcome.it.contains(text))
    };
    let outcomes: Vec<CaseOutcome> = run_cases(&bundle).into_iter().filter(wanted).collect();
    if outcomes.is_empty() && args.filter.is_some() {
        return Err(Failure::usage("no case has that in its file or sentence"));
    }
    let failed = outcomes.iter().filter(|outcome| !outcome.holds()).count();
    match args.format {
        Format::Text => {
            outcomes.iter().filter(|outcome| !outcome.holds()).for_each(show_failure);
            output::line(format_args!("{} cases, {failed} failed", outcomes.len()));
        }
        Format::Json => outcomes.iter().try_for_each(|outcome| output::json(&shown::outcome(outcome)))?,
    }
    if args.coverage {
        let coverage = Coverage::of(&bundle);
        match args.format {
            Format::Text => show_coverage(&coverage),
            Format::Json => {
                coverage.policies.iter().try_for_each(|policy| output::json(&shown::coverage(policy)))?;
            }
        }
    }
    if failed > 0 { Err(Failure::shown(Exit::Failed)) } else { Ok(()) }
}

fn show_failure(outcome: &CaseOutcome) {
    output::line(format_args!("{}:{}: {}", outcome.file, outcome.line, outcome.it));
    for difference in &outcome.differences {
        output::line(format_args!("  {}", difference.of));
        output::line(format_args!("    - expected  {}", difference.expected));
        output::line(format_args!("    + got       {}", difference.got));
    }
    let by = outcome.verdict.determining.join(", ");
    let by = if by.is_empty() { "no policy".to_owned() } else { by };
    output::line(format_args!("  decided by {by}, reason {}\n", outcome.verdict.reason));
}

fn show_coverage(coverage: &Coverage) {
    let rows = coverage.policies.iter().map(|policy| {
        let both = policy.clauses.iter().filter(|clause| clause.holds > 0 && clause.fails > 0).count();
        let conditions = format!("{both} of {}", policy.clauses.len());
        [policy.id.clone(), policy.decides.to_string(), policy.in_scope.to_string(), conditions]
    });
    output::table(["policy", "decides in", "in scope in", "conditions seen both ways"], rows);
    for policy in coverage.policies.iter().filter(|policy| !policy.is_full()) {
        if policy.decides == 0 {
            output::line(format_args!("{}:{}: `{}` decides in no case", policy.file, policy.line, policy.id));
        }
        for clause in &policy.clauses {
            let never = match (clause.holds, clause.fails) {
                (0, _) => "hold",
                (_, 0) => "fail",
                _ => continue,
            };
            let PolicyCoverage { id, file, line, .. } = policy;
            output::line(format_args!("{file}:{line}: `{id}` is never seen to {never}: {}", clause.text));
        }
    }
    let full = coverage.policies.iter().filter(|policy| policy.is_full()).count();
    let all = coverage.policies.len();
    output::line(format_args!(
        "{} of {all} policies decide in some case, {full} are seen from all sides",
        coverage.deciding()
    ));
}
