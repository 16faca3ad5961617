mod export;
mod query;
mod verify;

use std::path::PathBuf;

use clap::Subcommand;
use portcullis_core::wire::uri::{Domain, RoomUri};
use portcullis_store::audit::{Filter, Outcome};
use portcullis_store::{Store, Tx, sinks};
use portcullis_tlog::{KeyError, VerifierKey};
use serde_json::json;
use uuid::Uuid;

use super::host::{Host, change, operator};
use super::{Failure, output};
use crate::audit::{SINK, Shown, list, sha256};
use crate::gateway::exports::{Letters, redeliver};

/// Arguments of `portcullis audit`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis audit list --outcome deny
  portcullis audit list --decision 01931c5e-7d5a-7b3e-9c6e-0d5a3b1f2e4d --json
  portcullis audit list --room mimi://a.example/r/clubhouse --from 120 --limit 50
  portcullis audit query --policy ceiling.no-guests --since 2026-11-01 --zone Europe/Berlin
  portcullis audit query --kind 'decision.*' --peer b.example --reason MUTED --json --all
  portcullis audit count --outcome deny --by day
  portcullis audit dead-letters
  portcullis audit redeliver --from 120 --to 180
  portcullis audit checkpoint
  portcullis audit prove 120 > 120.tlog-proof
  portcullis audit export --room mimi://a.example/r/clubhouse --out clubhouse
  portcullis audit verify --export clubhouse --key \"$(cat log.vkey)\"
  portcullis audit verify
  portcullis audit verify --key \"$(cat log.vkey)\" --json")]
pub(super) struct Args {
    #[command(flatten)]
    host: Host,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the entries of the log in their order, those that are not signed yet too.
    List(List),
    /// Search the signed log, newest first, by all that stands in it. Who searches is on the record.
    Query(query::Search),
    /// Count what is in the signed log, in spans of time. Who counts is on the record.
    Count(query::Count),
    /// List the entries that the collector refused for good; all of them still stand in the log.
    DeadLetters {
        /// The first position.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Most entries.
        #[arg(long, default_value_t = 1000)]
        limit: u32,
        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Send once more what the collector refused for good, after it or its rules have been mended.
    Redeliver {
        /// The sink.
        #[arg(long, default_value = SINK)]
        sink: String,
        /// The first position.
        #[arg(long, default_value_t = 0, value_name = "POSITION")]
        from: u64,
        /// The last position; all from the first on where it is left out.
        #[arg(long, value_name = "POSITION")]
        to: Option<u64>,
    },
    /// Print the last signed checkpoint, as C2SP has it. Whoever keeps it can tell later whether the log still begins so.
    Checkpoint {
        /// Print the public key that signs instead, as C2SP writes it.
        #[arg(long)]
        key: bool,
    },
    /// Print the proof that an entry is in the log, as C2SP has it.
    Prove {
        /// Position of the entry.
        #[arg(value_name = "POSITION")]
        seq: u64,
    },
    /// Write entries to a folder, with all that proves them offline; all entries of one room, actor or peer with the proof
    /// that there are no others. Who does so is on the record.
    Export(export::Export),
    /// Print the proof that the log of the last checkpoint goes on from an earlier one, as C2SP has it for witnesses.
    Consistency {
        /// The earlier checkpoint.
        #[arg(value_name = "FILE")]
        from: PathBuf,
    },
    /// Check the whole log: leaves, tree, checkpoints, chains, pointers, openings and index; or an export, offline.
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
struct Verify {
    /// The database, `sqlite:PATH` or `postgres://…`, in place of the configuration's. It is only read, and must have the schema
    /// of this version.
    #[arg(long, value_name = "FILE-OR-URL", requires = "trust", conflicts_with = "export")]
    database: Option<String>,
    /// A folder that `portcullis audit export` has written, in place of a database.
    #[arg(long, value_name = "DIR")]
    export: Option<PathBuf>,
    /// A public key of the log, as `portcullis audit checkpoint --key` prints it; that of the configuration where none is
    /// given. A log whose key was changed has several. Whoever can change the database may be able to change that of the
    /// configuration, too: keep keys elsewhere.
    #[arg(long, group = "trust", value_parser = key)]
    key: Vec<VerifierKey>,
    /// A policy file as C2SP has it, which names the keys of the log, and the witnesses that the checkpoint of an export must
    /// have been seen by.
    #[arg(long, value_name = "FILE", group = "trust")]
    policy: Option<PathBuf>,
    /// Checkpoints that were kept elsewhere, a file each: the log must still begin as they say.
    #[arg(long, value_name = "FILE")]
    kept: Vec<PathBuf>,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct List {
    /// The first position.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Most entries.
    #[arg(long, default_value_t = 1000)]
    limit: u32,
    /// Only this kind, such as `decision.commit`.
    #[arg(long)]
    kind: Option<String>,
    /// Only this outcome.
    #[arg(long, value_parser = outcome)]
    outcome: Option<Outcome>,
    /// Only this room.
    #[arg(long)]
    room: Option<RoomUri>,
    /// Only what this user or provider did.
    #[arg(long)]
    actor: Option<String>,
    /// Only what came from this provider.
    #[arg(long, value_parser = Domain::parse)]
    peer: Option<Domain>,
    /// Only this decision.
    #[arg(long, value_name = "ID")]
    decision: Option<Uuid>,
    /// Only what is about the message with this SHA-256.
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    exchange: Option<[u8; 32]>,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let host = &args.host;
    match &args.command {
        Command::List(wanted) => entries(&host.open()?, wanted),
        Command::Query(wanted) => query::search(&host.open()?, wanted),
        Command::Count(wanted) => query::count(&host.open()?, wanted),
        Command::DeadLetters { from, limit, json } => dead_letters(&host.open()?, *from, *limit, *json),
        Command::Redeliver { sink, from, to } => {
            send_again(&host.open()?, Letters { sink: sink.clone(), from: *from, to: *to })
        }
        Command::Checkpoint { key: true } => verify::print_key(host),
        Command::Checkpoint { key: false } => verify::print_checkpoint(&host.open()?),
        Command::Prove { seq } => verify::prove(&host.open()?, *seq),
        Command::Export(wanted) => export::run(host, wanted),
        Command::Consistency { from } => verify::consistency(&host.open()?, from),
        Command::Verify(wanted) => verify::run(host, wanted),
    }
}

fn entries(store: &Store, wanted: &List) -> Result<(), Failure> {
    let filter = Filter {
        from: wanted.from,
        limit: wanted.limit,
        kind: wanted.kind.clone(),
        outcome: wanted.outcome,
        room: wanted.room.clone(),
        actor: wanted.actor.clone(),
        peer: wanted.peer.clone(),
        decision: wanted.decision,
        exchange: wanted.exchange,
        ..Filter::default()
    };
    let entries = list(store, filter).map_err(anyhow::Error::from)?;
    if wanted.json {
        entries.iter().try_for_each(output::json)?;
    } else {
        let header = ["seq", "kind", "outcome", "actor", "policy", "reason", "room"];
        output::table(header, entries.iter().map(row));
    }
    Ok(())
}

fn dead_letters(store: &Store, from: u64, limit: u32, json: bool) -> Result<(), Failure> {
    let letters = store.read(|conn| sinks::dead_letters(conn, SINK, from, limit)).map_err(anyhow::Error::from)?;
    if json {
        for letter in &letters {
            output::json(&json!({
                "seq": letter.seq, "given_up_at": letter.given_up_at, "http_status": letter.http_status,
                "reason": letter.reason,
            }))?;
        }
        return Ok(());
    }
    let rows =
        letters.iter().map(|letter| [letter.seq.to_string(), letter.http_status.to_string(), letter.reason.clone()]);
    output::table(["seq", "status", "reason"], rows);
    Ok(())
}

fn send_again(store: &Store, letters: Letters) -> Result<(), Failure> {
    let sink = letters.sink.clone();
    let missing = format!("nothing was refused for good by `{sink}` between these positions");
    let send = move |tx: &mut Tx<'_>, now| redeliver(tx, &letters, &operator(), "operator_asked", now);
    let count = change(store, &sink, &missing, send)?;
    output::line(format!("{count} records are sent again"));
    Ok(())
}

fn row(entry: &Shown) -> [String; 7] {
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    [
        entry.seq.to_string(),
        entry.kind.clone(),
        entry.outcome.to_owned(),
        text(entry.actor.clone()),
        if entry.policy.is_empty() { "-".to_owned() } else { entry.policy.join(" ") },
        entry.reason.clone(),
        text(entry.room.as_ref().map(ToString::to_string)),
    ]
}

fn outcome(name: &str) -> Result<Outcome, String> {
    let found = Outcome::ALL.into_iter().find(|outcome| outcome.name() == name);
    found.ok_or_else(|| format!("expected one of {}", Outcome::ALL.map(Outcome::name).join(", ")))
}

/// A key as it is printed, with the end of its line or without.
fn key(text: &str) -> Result<VerifierKey, KeyError> {
    text.trim().parse()
}
