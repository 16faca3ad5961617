use clap::Subcommand;
use portcullis_core::wire::uri::Domain;
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::consents::{self, Waiting};
use portcullis_store::{Store, StoreError};
use serde_json::json;
use uuid::Uuid;

use super::host::{Host, change, operator};
use super::{Failure, output};

/// Letters read at once.
const PAGE: u32 = 500;

/// Arguments of `portcullis letters`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What other providers are to be told of consent. What one of them refuses for good is parked, and the letters behind it go on.

Examples:
  portcullis letters list --parked
  portcullis letters retry b.example --reason 'they have mended it'
  portcullis letters skip b.example --reason 'they will not take it, CASE-7'")]
pub(super) struct Args {
    #[command(flatten)]
    host: Host,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the letters that are not delivered.
    List {
        /// Only those that wait for you.
        #[arg(long)]
        parked: bool,
        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Tell a provider once more what it has refused, and whatever waits for another try at once.
    Retry(Which),
    /// Give up what a provider has refused, for good.
    Skip(Which),
}

#[derive(Clone, Debug, clap::Args)]
struct Which {
    /// The provider.
    #[arg(value_parser = Domain::parse)]
    peer: Domain,
    /// Why; goes into the audit log.
    #[arg(long)]
    reason: String,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let store = args.host.open()?;
    match &args.command {
        Command::List { parked, json } => list(&store, *parked, *json),
        Command::Retry(which) => mend(&store, which, "letters.retry"),
        Command::Skip(which) => mend(&store, which, "letters.skip"),
    }
}

fn list(store: &Store, parked: bool, json: bool) -> Result<(), Failure> {
    let mut all: Vec<Waiting> = Vec::new();
    loop {
        let after = all.last().map(|last| (last.peer.clone(), last.position));
        let page = store.read(|conn| {
            let after = after.as_ref().map(|(peer, position)| (peer, *position));
            consents::waiting(conn, after, PAGE)
        });
        let page = page.map_err(|error: StoreError| anyhow::Error::from(error))?;
        let last = page.len() < PAGE as usize;
        all.extend(page);
        if last {
            break;
        }
    }
    let state = |letter: &Waiting| if letter.parked_at.is_some() { "parked" } else { "open" };
    let wanted = all.iter().filter(|letter| !parked || letter.parked_at.is_some());
    if json {
        for letter in wanted {
            output::json(&json!({
                "peer": letter.peer, "position": letter.position, "state": state(letter),
                "operation": letter.entry.operation.name(), "requester": letter.entry.requester,
                "target": letter.entry.target, "room": letter.entry.room, "owed_at": letter.owed_at,
                "http_status": letter.http_status, "error": letter.error,
            }))?;
        }
        return Ok(());
    }
    let rows = wanted.map(|letter| {
        let entry = &letter.entry;
        [
            letter.peer.to_string(),
            letter.position.to_string(),
            state(letter).to_owned(),
            entry.operation.name().to_owned(),
            entry.requester.to_string(),
            entry.target.to_string(),
            letter.error.clone(),
        ]
    });
    output::table(["peer", "position", "state", "step", "requester", "target", "error"], rows);
    Ok(())
}

fn mend(store: &Store, which: &Which, kind: &'static str) -> Result<(), Failure> {
    let (asked, by) = (which.clone(), operator());
    let missing = match kind {
        "letters.retry" => format!("`{}` was never owed a letter", which.peer),
        _ => format!("nothing is parked for `{}`", which.peer),
    };
    let count = change(store, which.peer.as_str(), &missing, move |tx, now| {
        let count = match kind {
            "letters.retry" => consents::retry(tx, &asked.peer, now),
            _ => consents::drop_parked(tx, &asked.peer),
        }?;
        tx.stage(&AuditRecord {
            peer: Some(asked.peer.clone()),
            actor: Some(by.clone()),
            reason: asked.reason.clone(),
            detail: json!({ "letters": count }),
            ..AuditRecord::new(Uuid::now_v7(), now, kind, Outcome::Info)
        })?;
        Ok(count)
    })?;
    output::line(format!("{count} letters"));
    Ok(())
}
