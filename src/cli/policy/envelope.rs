//! `policy envelope`: which room policies a company accepts, as a note that others can verify.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use portcullis_tlog::{KeyError, Note, VerifierKey};

use super::{Failure, output};
use crate::cli::host::Host;
use crate::gateway::envelope::{summary, verifier};
use crate::gateway::rollout::named;
use crate::gateway::{Active, Clock, HubKeys};

/// Arguments of `portcullis policy envelope`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A gateway publishes the same at https://DOMAIN/.well-known/portcullis-envelope. Its key is that of the hub, which rooms name as external
sender; give it to others once, and again when it is rotated.

Examples:
  portcullis policy envelope show --config gw/gateway.yaml
  portcullis policy envelope key --config gw/gateway.yaml
  portcullis policy envelope verify b.note --key \"$(cat b.vkey)\"

Exit codes: 0 good, 2 the note is not signed by the key, 3 the configuration is not valid, 64 usage.")]
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
    /// Print what it is verified with.
    Key,
    /// Print the text of a note if one of these keys has signed it, and nothing of it otherwise.
    Verify {
        /// The note.
        note: PathBuf,
        /// A key of its company; more than one may be given
        #[arg(long, value_name = "KEY", value_parser = key, required = true)]
        key: Vec<VerifierKey>,
    },
}

fn key(text: &str) -> Result<VerifierKey, KeyError> {
    text.trim().parse()
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Verify { note, key } => {
            let read = std::fs::read(note).map_err(|error| Failure::usage(format!("`{}`: {error}", note.display())))?;
            let refused = |error| Failure::failed(format!("`{}`: {error}", note.display()));
            let note = Note::parse(&read).map_err(refused)?;
            note.verify(key).map_err(refused)?;
            output::line(note.text().trim_end());
            Ok(())
        }
        Command::Key => {
            let config = args.host.config()?;
            let keys = HubKeys::read(&config.keys).context("cannot read the keys")?;
            let domain = config.domains.first().context("no domain is configured")?;
            output::line(verifier(domain, keys.hub.current()).map_err(anyhow::Error::from)?);
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
            let note = summary(&config.domains, &active.bundle, keys.hub.current(), Clock::default().now());
            output::line(note.map_err(anyhow::Error::from)?.trim_end());
            Ok(())
        }
    }
}
