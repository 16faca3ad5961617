//! `policy envelope`: which room policies a company accepts, as a note that others can verify.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use portcullis_core::wire::uri::Domain;
use portcullis_tlog::{KeyError, VerifierKey};

use super::{Failure, output};
use crate::cli::host::Host;
use crate::gateway::envelope::{believe, summary, verifier};
use crate::gateway::rollout::named;
use crate::gateway::{Active, Clock, HubKeys};

/// Arguments of `portcullis policy envelope`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A gateway publishes the same to its peers at https://DOMAIN/.well-known/portcullis-envelope, and to its users at GET /v1/envelope of
the provider door. Its keys are those of the hub, which rooms name as external senders: `key` prints the one in use first. Give it
to others once; after it was rotated the former one signs, too, until it is revoked.

Examples:
  portcullis policy envelope show --config gw/gateway.yaml
  portcullis policy envelope key --config gw/gateway.yaml
  portcullis policy envelope verify b.note --key \"$(head -1 b.vkey)\" --domain b.example

Exit codes: 0 good, 2 the note is not signed by a key of its domain, is about another one, or is over, 3 the configuration is not valid, 64 usage.")]
pub(super) struct Args {
    #[command(flatten)]
    host: Host,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the note of the bundle that decides.
    Show,
    /// Print what it is verified with: the key in use, and then former ones, one a line.
    Key,
    /// Print the text of a note if a key of its own domain has signed it and it still holds, and nothing of it otherwise.
    ///
    /// Whose it is and which key has signed it stands on the standard error.
    Verify {
        /// The note.
        note: PathBuf,
        /// A key of its company; more than one may be given
        #[arg(long, value_name = "KEY", value_parser = key, required = true)]
        key: Vec<VerifierKey>,
        /// Of whom it must be
        #[arg(long, value_parser = domain)]
        domain: Option<Domain>,
    },
}

fn domain(text: &str) -> Result<Domain, String> {
    Domain::parse(text).map_err(|error| error.to_string())
}

fn key(text: &str) -> Result<VerifierKey, KeyError> {
    text.trim().parse()
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Verify { note, key, domain } => {
            let read = std::fs::read(note).map_err(|error| Failure::usage(format!("`{}`: {error}", note.display())))?;
            let refused = |error| Failure::failed(format!("`{}`: {error}", note.display()));
            let believed = believe(&read, key, domain.as_ref(), Clock::default().now()).map_err(refused)?;
            let domains: Vec<&str> = believed.domains.iter().map(Domain::as_str).collect();
            let whose = format!("of {}, signed by {}, until {}", domains.join(", "), believed.key, believed.until);
            writeln!(std::io::stderr(), "{whose}").context("cannot say whose it is")?;
            output::line(believed.text.trim_end());
            Ok(())
        }
        Command::Key => {
            let config = args.host.config()?;
            let keys = HubKeys::read(&config.keys).context("cannot read the keys")?;
            let domain = config.domains.first().context("no domain is configured")?;
            for key in keys.hub.iter() {
                output::line(verifier(domain, key).map_err(anyhow::Error::from)?);
            }
            Ok(())
        }
        Command::Show => {
            let config = args.host.config()?;
            let keys = HubKeys::read(&config.keys).context("cannot read the keys")?;
            let store = args.host.open()?;
            // A database without a bundle is that of a gateway which has not started yet.
            let kept = store.read(|conn| named(conn, &config.policies)).map_err(anyhow::Error::from)?;
            let active = match kept {
                Some(active) => active,
                None => Active::read(&config.policies).map_err(anyhow::Error::from)?,
            };
            let note = summary(&config.domains, &active.bundle, &keys.hub, Clock::default().now());
            output::line(note.map_err(anyhow::Error::from)?.trim_end());
            Ok(())
        }
    }
}
