use clap::Subcommand;
use portcullis_core::wire::uri::{Domain, RoomUri};
use portcullis_store::Store;
use portcullis_store::outbox::{self, LaneRow, LaneStatus};
use serde_json::json;

use super::host::{Host, change, operator};
use super::{Failure, output};
use crate::gateway::admin::worded;
use crate::gateway::lanes::{self, Lane};

/// Reason of what needs none, for the audit log.
const ASKED: &str = "operator_asked";

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
        #[arg(long, value_parser = worded)]
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

impl From<Which> for Lane {
    fn from(Which { room, peer }: Which) -> Self {
        Self { room, peer }
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let store = args.host.open()?;
    match &args.command {
        Command::Lanes { json } => list(&store, *json),
        Command::Retry(which) => {
            // What a process had taken that has died since would else wait until its lease has run out. One that lives
            // keeps what it has: it is trying right now.
            store.free_leases().map_err(anyhow::Error::from)?;
            let lane = Lane::from(which.clone());
            change(&store, which.room.as_str(), &none(which), move |tx, now| {
                lanes::retry(tx, &lane, &operator(), ASKED, now)
            })
        }
        Command::Skip { lane: which, reason, through } => {
            let (lane, reason, through) = (Lane::from(which.clone()), reason.clone(), *through);
            let missing = format!("{} is not parked, or owes nothing up to that position", name(which));
            change(&store, which.room.as_str(), &missing, move |tx, now| {
                lanes::skip(tx, &lane, through, &operator(), &reason, now)
            })
            .map(drop)
        }
        Command::Resend { lane: which, from } => {
            let (lane, from) = (Lane::from(which.clone()), *from);
            let count = change(&store, which.room.as_str(), &none(which), move |tx, now| {
                lanes::resend(tx, &lane, from, &operator(), ASKED, now)
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

fn name(which: &Which) -> String {
    format!("the lane of `{}` to `{}`", which.room, which.peer)
}

fn none(which: &Which) -> String {
    format!("there is no lane of `{}` to `{}`", which.room, which.peer)
}
