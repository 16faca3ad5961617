//! The command line. Each command is a file: its arguments and what it runs.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod audit;
mod check;
mod demo;
mod diagnostics;
mod directory;
mod exit;
mod host;
mod init;
mod join_code;
mod keys;
mod letters;
mod outbox;
mod output;
mod peer;
mod policy;
mod report;
mod room;
mod room_template;
mod serve;
mod token;

pub use exit::{Exit, Failure};
pub use room_template::Printed;

/// An enterprise gateway for MIMI: Cedar policy decides every MLS commit and message, and every decision is recorded.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, propagate_version = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  portcullis demo                                  three providers on loopback, real MLS, every decision shown
  portcullis init gw --domain a.example            a configuration, a development CA and a policy bundle
  portcullis serve --config gw/gateway.yaml        run one gateway until SIGTERM
  portcullis policy check gw/policies              everything that is wrong with a policy bundle
  portcullis audit list --config gw/gateway.yaml   what was decided, and why

Exit codes: 0 good, 1 internal fault, 2 deny or failed check, 3 invalid file, 64 usage.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Show, prove and check the audit log.
    Audit(audit::Args),
    /// Check a configuration, its keys and its policy bundle without opening a door.
    Check(check::Args),
    /// Play the draft's example flow between three providers on loopback.
    Demo(demo::Args),
    /// Make and revoke tokens by which the company's identity provider says who its users are (SCIM).
    Directory(directory::Args),
    /// Write a configuration, a development CA and a policy bundle into a folder.
    Init(init::Args),
    /// List every key that a gateway holds, and put others in their place.
    Keys(keys::Args),
    /// List and mend what other providers are to be told of consent.
    Letters(letters::Args),
    /// List and mend what waits to be delivered to other providers.
    Outbox(outbox::Args),
    /// Make this gateway and another provider known to each other.
    Peer(peer::Args),
    /// Check, test and format a policy bundle, and ask why it decides as it does.
    Policy(policy::Args),
    /// List, read and decide reports of abuse.
    Report(report::Args),
    /// Show rooms, moderate them, and release what is withheld.
    Room(room::Args),
    /// Compile room templates to the components that a room starts with, and show them.
    RoomTemplate(room_template::Args),
    /// Run one gateway until SIGTERM, then drain.
    Serve(serve::Args),
    /// Issue a development token for the provider or the admin door.
    Token(token::Args),
}

/// Parses the arguments, runs the command and gives the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let asked_for = !error.use_stderr();
            let _ = error.print();
            return if asked_for { Exit::Good } else { Exit::Usage }.into();
        }
    };
    let outcome = match cli.command {
        Command::Audit(args) => audit::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Directory(args) => directory::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Keys(args) => keys::run(&args),
        Command::Letters(args) => letters::run(&args),
        Command::Outbox(args) => outbox::run(&args),
        Command::Peer(args) => peer::run(&args),
        Command::Policy(args) => policy::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Room(args) => room::run(&args),
        Command::RoomTemplate(args) => room_template::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Token(args) => token::run(&args),
    };
    match outcome {
        Ok(()) => Exit::Good.into(),
        Err(failure) => failure.report(),
    }
}
