use clap::Subcommand;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{Domain, RoomUri};
use portcullis_store::Store;
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::outbox::{self, LaneRow, LaneStatus};

use serde_json::json;
use uuid::Uuid;

use super::host::{Host, change, operator};
use super::{Failure, output};

/// Most lanes that are listed.
const LANES: u32 = 10_000;

/// Arguments of `portcullis outbox`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A lane is what one room owes one provider, in order. A lane that is parked waits for you: nothing overtakes it.

Examples:
  portcullis outbox lanes
  portcullis outbox retry --room mimi://a.example/r/clubhouse --peer b.example
  portcullis outbox skip --room mimi://a.example/r/clubhouse --peer b.example --reason 'peer cannot read it, CASE-7'
  portcullis outbox resend --room mimi://a.example/r/clubhouse --peer b.example --from 12")]
pub(super) struct Args {
    #[command(flatten)]
    host: Host,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the lanes with what waits in them.
    Lanes {
        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Try a lane again now, parked or not.
    Retry(Which),
    /// Leave out what a parked lane is stuck on, for good; the reason goes into the audit log.
    Skip {
        #[command(flatten)]
        lane: Which,
        /// Why it may be left out.
        #[arg(long)]
        reason: String,
        /// Leave out everything up to this position of the lane, not only its first message.
        #[arg(long, value_name = "POSITION")]
        through: Option<u64>,
    },
    /// Send a room's events again, byte for byte, from one on.
    Resend {
        #[command(flatten)]
        lane: Which,
        /// The first event, by its number in the room.
        #[arg(long, value_name = "EVENT")]
        from: u64,
    },
}

#[derive(Clone, Debug, clap::Args)]
struct Which {
    /// The room.
    #[arg(long)]
    room: RoomUri,
    /// The provider.
    #[arg(long, value_parser = Domain::parse)]
    peer: Domain,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let store = args.host.open()?;
    match &args.command {
        Command::Lanes { json } => list(&store, *json),
        Command::Retry(which) => {
            // What a process had taken that has died since would else wait until its lease has run out. One that lives
            // keeps what it has: it is trying right now.
            store.free_leases().map_err(anyhow::Error::from)?;
            let (asked, missing) = (which.clone(), none(which));
            change(&store, which.room.as_str(), &missing, move |tx, now| {
                outbox::retry(tx, &asked.room, &asked.peer, now)?;
                tx.stage(&record(&asked, now, "outbox.retry", "operator_asked", json!({})))
            })
        }
        Command::Skip { lane, reason, through } => {
            let parked = lane_of(&store, lane)?.filter(|row| row.status == LaneStatus::Parked);
            let row = parked.ok_or_else(|| Failure::failed(format!("{} is not parked", name(lane))))?;
            let through = through.unwrap_or(row.head + 1);
            let (asked, reason) = (lane.clone(), reason.clone());
            change(&store, lane.room.as_str(), "the lane owes nothing up to that position", move |tx, now| {
                outbox::skip(tx, &asked.room, &asked.peer, through, &reason, &operator(), now)
            })
        }
        Command::Resend { lane, from } => {
            let (asked, from) = (lane.clone(), *from);
            let count = change(&store, lane.room.as_str(), &none(lane), move |tx, now| {
                let count = outbox::resend(tx, &asked.room, &asked.peer, from)?;
                let detail = json!({ "from": from, "messages": count });
                tx.stage(&record(&asked, now, "outbox.resend", "operator_asked", detail))?;
                Ok(count)
            })?;
            output::line(format!("{count} messages are owed again"));
            Ok(())
        }
    }
}

fn list(store: &Store, json: bool) -> Result<(), Failure> {
    let lanes = store.read(|conn| outbox::lanes(conn, LANES)).map_err(anyhow::Error::from)?;
    if json {
        for lane in &lanes {
            output::json(&json!({
                "room": lane.room, "peer": lane.peer, "state": state(lane), "owed": lane.tail - lane.head,
                "attempts": lane.attempts, "next_at": lane.next_at, "http_status": lane.http_status,
                "error": lane.error,
            }))?;
        }
    } else {
        let rows = lanes.iter().map(|lane| {
            [
                lane.room.to_string(),
                lane.peer.to_string(),
                state(lane).to_owned(),
                (lane.tail - lane.head).to_string(),
                lane.attempts.to_string(),
                lane.error.clone(),
            ]
        });
        output::table(["room", "peer", "state", "owed", "attempts", "last error"], rows);
    }
    Ok(())
}

fn state(lane: &LaneRow) -> &'static str {
    match lane.status {
        LaneStatus::Open => "open",
        LaneStatus::Parked => "parked",
    }
}

fn lane_of(store: &Store, which: &Which) -> Result<Option<LaneRow>, Failure> {
    let lanes = store.read(|conn| outbox::lanes(conn, LANES)).map_err(anyhow::Error::from)?;
    Ok(lanes.into_iter().find(|lane| lane.room == which.room && lane.peer == which.peer))
}

fn name(which: &Which) -> String {
    format!("the lane of `{}` to `{}`", which.room, which.peer)
}

fn none(which: &Which) -> String {
    format!("there is no lane of `{}` to `{}`", which.room, which.peer)
}

fn record(which: &Which, now: Millis, kind: &str, reason: &str, detail: serde_json::Value) -> AuditRecord {
    AuditRecord {
        room: Some(which.room.clone()),
        peer: Some(which.peer.clone()),
        actor: Some(operator()),
        reason: reason.to_owned(),
        detail,
        ..AuditRecord::new(Uuid::now_v7(), now, kind, Outcome::Info)
    }
}
