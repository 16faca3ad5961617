use portcullis_core::policy::{Attribute, Clause, Explained, Holds, Joined, Part, PartKind, Why};

use super::question::{Open, Question};
use super::{Exit, Failure, Folder, Format, bundle, output};
use crate::gateway::shown;

/// Arguments of `portcullis policy why`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The question is a case of a file, or comes from flags; settings are the bundle's own unless the file has some.

Examples:
  portcullis policy why gw/policies --cases tests/company.yaml --it 'a muted user does not send'
  portcullis policy why gw/policies --action canBan --room mimi://a.example/r/lounge --template strict \\
      --participant mimi://a.example/u/alice=group_admin --participant mimi://b.example/u/bob=ordinary_user \\
      --actor mimi://a.example/u/alice --target mimi://b.example/u/bob
  portcullis policy why gw/policies --action readStream --actor mimi://a.example/u/alice

Exit codes: 0 allow, 2 deny, 3 the bundle or the file of cases is not valid, 64 usage.")]
pub(super) struct Args {
    #[command(flatten)]
    folder: Folder,

    #[command(flatten)]
    question: Question,

    /// Show what the policies know of the request, too
    #[arg(long)]
    facts: bool,

    /// For whom the output is
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Longest expression that is shown to people, in characters.
const MOST_CHARS: usize = 160;

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let dir = &args.folder.dir;
    let bundle = bundle(dir, args.format)?;
    let (suite, number) = args.question.read(dir, (&bundle, args.format), Open::default())?;
    let why = bundle.why(&suite, number).ok_or_else(|| Failure::usage("nothing decides that"))?;
    match args.format {
        Format::Text => show(&why, args.facts),
        Format::Json => output::json(&shown::why(&why))?,
    }
    if why.verdict.allow { Ok(()) } else { Err(Failure::shown(Exit::Failed)) }
}

fn show(why: &Why, facts: bool) {
    let decision = if why.verdict.allow { "allow" } else { "deny" };
    output::line(format_args!("{decision}  {}  {}", why.action, why.verdict.reason));
    if !why.verdict.allow {
        output::line(format_args!("peers and users read: {}", why.verdict.public_sentence()));
    }
    if !why.enforcement.is_here() {
        output::line(format_args!("not enforced here: `{}` is enforced by {}", why.action, why.enforcement.whom()));
    }
    why.verdict.notes.iter().for_each(|note| output::line(format_args!("note: {note}")));
    why.verdict.errors.iter().for_each(|error| output::line(format_args!("failed: {error}")));
    if facts {
        output::line("");
        why.facts.iter().for_each(|(name, value)| output::line(format_args!("{name} = {value}")));
        for (user, attributes) in &why.attributes {
            output::line(format_args!("\n{user}"));
            for Attribute { name, value, source } in attributes {
                output::line(format_args!("  {name} = {value}  ({source})"));
            }
        }
    }
    for (name, owed) in why.verdict.obligations.named() {
        output::line(format_args!("owed: {name} {}, because of {}", owed.value, owed.because.join(", ")));
    }
    why.deciding.iter().for_each(show_policy);
    if !why.verdict.allow && !why.permitted_by.is_empty() {
        output::line(format_args!("\nwithout that it would be allowed by {}", why.permitted_by.join(", ")));
    }
    if !why.near.is_empty() {
        output::line("\nnothing permits it; nearest come:");
        why.near.iter().for_each(show_policy);
    }
}

fn show_policy(policy: &Explained) {
    let effect = if policy.forbids { "forbid" } else { "permit" };
    let mark = if policy.advisory { ", advisory: not enforced here" } else { "" };
    output::line(format_args!("\n{effect} {} ({}:{}{mark})", policy.id, policy.file, policy.line));
    for Part { kind, clause } in &policy.parts {
        let keyword = match kind {
            PartKind::When => "when ",
            PartKind::Unless => "unless ",
            PartKind::Principal | PartKind::Action | PartKind::Resource => "",
        };
        show_clause(clause, keyword, 1);
    }
}

fn show_clause(clause: &Clause, keyword: &str, depth: usize) {
    let mark = match &clause.holds {
        Holds::Yes => "true",
        Holds::No => "false",
        Holds::Failed(_) => "failed",
        Holds::NotReached => "-",
    };
    let text = match clause.joined {
        Some(Joined::All) => "all of",
        Some(Joined::Any) => "any of",
        Some(Joined::Not) => "not",
        None => &short(&clause.text),
    };
    let indent = "  ".repeat(depth);
    output::line(format_args!("{indent}[{mark:<5}] {keyword}{text}"));
    if let Holds::Failed(error) = &clause.holds {
        output::line(format_args!("{indent}        {error}"));
    }
    for (of, value) in &clause.values {
        output::line(format_args!("{indent}        {of} = {value}"));
    }
    clause.parts.iter().for_each(|part| show_clause(part, "", depth + 1));
}

/// A scope may name many actions.
fn short(text: &str) -> String {
    match text.char_indices().nth(MOST_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
