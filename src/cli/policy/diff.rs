use std::path::PathBuf;

use portcullis_core::policy::{BundleDiff, Change, Changed, DecisionChange, Verdict, Written};
use serde_json::{Value, json};

use super::{Exit, Failure, Format, output, read};

/// Arguments of `portcullis policy diff`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What is written is compared by meaning: another form of a policy is no difference. Decisions are compared over the cases of
both bundles and over nothing else: that no case is decided otherwise proves nothing.

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

    /// End with 2 if there is a difference
    #[arg(long)]
    exit_code: bool,

    /// For whom the output is
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (old, new) = (read(&args.old, args.format)?, read(&args.new, args.format)?);
    let diff = BundleDiff::of(Written { bundle: &old.0, files: &old.1 }, Written { bundle: &new.0, files: &new.1 });
    match args.format {
        Format::Text => show(&diff),
        Format::Json => output::json(&as_json(&diff))?,
    }
    if args.exit_code && !diff.is_empty() { Err(Failure::shown(Exit::Failed)) } else { Ok(()) }
}

/// The parts of the difference that are written, by what they are called.
fn written(diff: &BundleDiff) -> [(&'static str, &Vec<Change>); 4] {
    [
        ("schema", &diff.schema),
        ("policies", &diff.policies),
        ("settings", &diff.settings),
        ("templates", &diff.templates),
    ]
}

fn show(diff: &BundleDiff) {
    for (name, changes) in written(diff).into_iter().filter(|(_, changes)| !changes.is_empty()) {
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
    output::line("this is no proof: questions that no case asks may be decided otherwise, too");
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
    format!("{decision} {} [{}]", verdict.reason, verdict.determining.join(", "))
}

fn as_json(diff: &BundleDiff) -> Value {
    let decided = |verdict: &Verdict| json!({ "allow": verdict.allow, "reason": verdict.reason, "policies": verdict.determining });
    let decisions = diff.decisions.iter().map(|change| {
        json!({
            "file": change.file, "line": change.line, "it": change.it,
            "old": decided(&change.old), "new": decided(&change.new),
        })
    });
    let mut json = json!({
        "compared": diff.compared, "decisions": decisions.collect::<Vec<_>>(), "proven": false,
    });
    for (name, changes) in written(diff) {
        let changes = changes.iter().map(|change| match &change.changed {
            Changed::Added => json!({ "name": change.name, "changed": "added" }),
            Changed::Removed => json!({ "name": change.name, "changed": "removed" }),
            Changed::Otherwise(how) => json!({ "name": change.name, "changed": "otherwise", "how": how }),
        });
        json[name] = changes.collect();
    }
    json
}
