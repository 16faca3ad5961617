//! `portcullis directory`: tokens by which the company's identity provider comes in.

use std::time::Duration;

use clap::Subcommand;
use portcullis_store::{Store, StoreError, people as stored};
use serde_json::json;
use uuid::Uuid;

use super::host::{Host, change, operator};
use super::{Failure, output};
use crate::gateway::Clock;
use crate::gateway::admin::worded;
use crate::gateway::people::{self, NewToken};

/// Arguments of `portcullis directory`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The identity provider is given the URL of `listeners.directory` with /scim/v2 behind it, and a token.

Example:
  portcullis directory token create okta --reason 'CASE-7: provisioning' --config gw/gateway.yaml")]
pub(super) struct Args {
    #[command(flatten)]
    host: Host,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tokens by which an identity provider comes in.
    #[command(subcommand)]
    Token(Token),
}

#[derive(Debug, Subcommand)]
enum Token {
    /// Make a token, and print it: it is kept nowhere.
    Create {
        /// What the audit log calls whoever comes with it.
        #[arg(value_parser = named)]
        name: String,
        /// How long it lasts, in days.
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3660))]
        days: u32,
        /// Why; goes into the audit log.
        #[arg(long, value_parser = worded)]
        reason: String,
    },
    /// List all tokens, good or not.
    List {
        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Let nobody in by a token any longer.
    Revoke {
        /// Its identifier, as it is listed.
        token: Uuid,
        /// Why; goes into the audit log.
        #[arg(long, value_parser = worded)]
        reason: String,
    },
}

fn named(name: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if fits { Ok(name.to_owned()) } else { Err("a name has 1 to 64 letters, digits, `-`, `_` and `.`".to_owned()) }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let store = args.host.open()?;
    let Command::Token(command) = &args.command;
    match command {
        Token::Create { name, days, reason } => {
            let lasts = Duration::from_secs(u64::from(*days) * 24 * 60 * 60);
            create(&store, &NewToken { name: name.clone(), lasts, reason: reason.clone() })
        }
        Token::List { json } => list(&store, *json),
        Token::Revoke { token, reason } => {
            let (id, why, by) = (*token, reason.clone(), operator());
            let missing = format!("there is no token `{id}`, or it was revoked before");
            change(&store, "people", &missing, move |tx, now| people::revoke_token(tx, id, (&by, &why), now))
        }
    }
}

fn create(store: &Store, new: &NewToken) -> Result<(), Failure> {
    let made = people::make_token(new, &operator(), Clock::default().now()).map_err(anyhow::Error::from)?;
    let (id, token) = (made.kept.id, made.token.clone());
    change(store, "people", "the token cannot be made", move |tx, _| people::keep_token(tx, &made))?;
    output::line(token);
    output::line(format!("note: revoke it as `{id}`; the token itself is kept nowhere"));
    Ok(())
}

fn list(store: &Store, as_json: bool) -> Result<(), Failure> {
    let all = store.read(stored::tokens).map_err(|error: StoreError| anyhow::Error::from(error))?;
    if as_json {
        for token in &all {
            output::json(&json!({
                "id": token.id, "name": token.name, "by": token.created_by, "reason": token.reason,
                "created_at": token.created_at, "expires_at": token.expires_at, "revoked_at": token.revoked_at,
            }))?;
        }
        return Ok(());
    }
    let rows = all.iter().map(|token| {
        let revoked = token.revoked_at.map_or_else(|| "-".to_owned(), |at| at.0.to_string());
        [token.id.to_string(), token.name.clone(), token.expires_at.0.to_string(), revoked]
    });
    output::table(["token", "name", "expires", "revoked"], rows);
    Ok(())
}
