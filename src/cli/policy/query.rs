//! `who-can`, `what-can` and `where-can`: one question over all users, capabilities or rooms.

use std::collections::BTreeSet;

use portcullis_core::policy::{Answer, OpenFact, Over, Possible};

use super::question::{Open, Question};
use super::{Failure, Folder, Format, bundle, output};
use crate::gateway::shown;

/// Arguments of `portcullis policy who-can`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Lists the participants of the room. What is not given of time (--now) and size (--bytes) stays open: the answer then says
under which conditions it is allowed.

Examples:
  portcullis policy who-can gw/policies --action canSendMessage --cases tests/company.yaml --room lounge
  portcullis policy who-can gw/policies --action canBan --room mimi://a.example/r/x --template strict \\
      --participant mimi://a.example/u/alice=group_admin --participant mimi://b.example/u/bob=ordinary_user

Exit codes: 0 good, whatever the answers are, 3 the bundle or the file of cases is not valid, 64 usage.")]
pub(super) struct WhoCan {
    #[command(flatten)]
    asked: Asked,
}

/// Arguments of `portcullis policy what-can`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Lists every capability. What is not given of time (--now) and size (--bytes) stays open: the answer then says under which
conditions it is allowed. What is done to somebody, and a change of role, is marked where --target or --to-role is not given.

Examples:
  portcullis policy what-can gw/policies --actor mimi://a.example/u/alice --cases tests/company.yaml --room lounge

Exit codes: 0 good, whatever the answers are, 3 the bundle or the file of cases is not valid, 64 usage.")]
pub(super) struct WhatCan {
    #[command(flatten)]
    asked: Asked,
}

/// Arguments of `portcullis policy where-can`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Lists the rooms of the file of cases. What is not given of time (--now) and size (--bytes) stays open: the answer then says
under which conditions it is allowed.

Examples:
  portcullis policy where-can gw/policies --actor mimi://a.example/u/alice --action canSendMessage \\
      --cases tests/company.yaml

Exit codes: 0 good, whatever the answers are, 3 the bundle or the file of cases is not valid, 64 usage.")]
pub(super) struct WhereCan {
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, clap::Args)]
struct Asked {
    #[command(flatten)]
    folder: Folder,

    #[command(flatten)]
    question: Question,

    /// Show what is not allowed, too
    #[arg(long)]
    all: bool,

    /// For whom the output is
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn who_can(args: &WhoCan) -> Result<(), Failure> {
    run(&args.asked, Over::Users, Open { actor: true, ..Open::default() })
}

pub(super) fn what_can(args: &WhatCan) -> Result<(), Failure> {
    run(&args.asked, Over::Actions, Open { action: true, ..Open::default() })
}

pub(super) fn where_can(args: &WhereCan) -> Result<(), Failure> {
    run(&args.asked, Over::Rooms, Open { room: true, ..Open::default() })
}

fn run(args: &Asked, over: Over, open: Open) -> Result<(), Failure> {
    let dir = &args.folder.dir;
    args.question.fits(open)?;
    let bundle = bundle(dir, args.format)?;
    let (suite, number) = args.question.read(dir, (&bundle, args.format), open)?;
    let facts: BTreeSet<OpenFact> = args.question.open_facts();
    let answers = bundle.query(&suite, number, over, &facts);
    let answers = answers.ok_or_else(|| Failure::usage("that is not about a room: give --room"))?;
    if answers.is_empty() && over == Over::Users {
        let message = "nobody is known to be in that room: give --template and --participant, or a room of --cases that \
                       has participants";
        return Err(Failure::usage(message));
    }
    let shown = answers.iter().filter(|answer| args.all || answer.possible != Possible::No);
    match args.format {
        Format::Text => {
            shown.for_each(show);
            let of = |possible| answers.iter().filter(|answer| answer.possible == possible).count();
            let (yes, under, no) = (of(Possible::Yes), of(Possible::If), of(Possible::No));
            output::line(format_args!("{yes} yes, {under} under conditions, {no} no"));
        }
        Format::Json => answers.iter().try_for_each(|answer| output::json(&shown::answer(answer)))?,
    }
    Ok(())
}

fn show(answer: &Answer) {
    let by = if answer.by.is_empty() { String::new() } else { format!("  by {}", answer.by.join(", ")) };
    let mark = if answer.enforcement.is_here() { "" } else { "  (not enforced here)" };
    let unnamed = match &answer.unnamed[..] {
        [] => String::new(),
        names => format!("  (asked without --{})", names.join(" and --").replace('_', "-")),
    };
    output::line(format_args!("{:<3}  {}{by}{mark}{unnamed}", shown::possible(answer.possible), answer.subject));
    for condition in &answer.conditions {
        let word = if condition.forbids { "unless" } else { "if" };
        output::line(format_args!("       {word} {}  ({})", condition.text, condition.policy));
    }
}
