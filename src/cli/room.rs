use clap::Subcommand;
use portcullis_core::wire::uri::{RoomUri, UserUri};
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::restrictions::{self, Restriction};
use portcullis_store::rooms::{self, RoomHead};
use portcullis_store::{Store, StoreError, follower};
use serde_json::json;
use uuid::Uuid;

use super::host::{Host, change, operator};
use super::{Failure, output};

/// Rooms read at once.
const PAGE: u32 = 500;

/// Arguments of `portcullis room`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis room list
  portcullis room mute mimi://a.example/r/clubhouse mimi://c.example/u/cathy --reason 'CASE-7: spam'
  portcullis room release mimi://b.example/r/away --reason 'CASE-8: seen and accepted'")]
pub(super) struct Args {
    #[command(flatten)]
    host: Host,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the rooms that this gateway is the hub of.
    List {
        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Refuse a user's messages in a room from now on.
    Mute(Which),
    /// Take a user's messages in a room again.
    Unmute(Which),
    /// Let what is withheld of a room that another provider hosts go to our users' devices, and stop telling them to
    /// leave it.
    Release {
        /// The room.
        room: RoomUri,
        /// Why; goes into the audit log.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Clone, Debug, clap::Args)]
struct Which {
    /// The room.
    room: RoomUri,
    /// The user.
    user: UserUri,
    /// Why; goes into the audit log.
    #[arg(long)]
    reason: String,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let store = args.host.open()?;
    match &args.command {
        Command::List { json } => list(&store, *json),
        Command::Mute(which) => moderate(&store, which, "moderation.mute", |tx, which, by, now| {
            restrictions::impose(tx, &which.room, &Restriction::Mute(which.user.clone()), by, now)
        }),
        Command::Unmute(which) => moderate(&store, which, "moderation.unmute", |tx, which, _, _| {
            restrictions::lift(tx, &which.room, &Restriction::Mute(which.user.clone()))
        }),
        Command::Release { room, reason } => release(&store, room, reason),
    }
}

fn list(store: &Store, json: bool) -> Result<(), Failure> {
    let mut heads: Vec<RoomHead> = Vec::new();
    loop {
        let after = heads.last().map(|head| head.room.clone());
        let page = store.read(|conn| rooms::list(conn, after.as_ref(), PAGE)).map_err(anyhow::Error::from)?;
        let last = page.len() < PAGE as usize;
        heads.extend(page);
        if last {
            break;
        }
    }
    if json {
        for head in &heads {
            output::json(&json!({
                "room": head.room, "group": head.group, "epoch": head.epoch, "events": head.last_seq,
                "template": head.template, "creator": head.creator,
            }))?;
        }
    } else {
        let rows = heads.iter().map(|head| {
            [head.room.to_string(), head.epoch.to_string(), head.last_seq.to_string(), head.template.clone()]
        });
        output::table(["room", "epoch", "events", "template"], rows);
    }
    Ok(())
}

fn release(store: &Store, room: &RoomUri, reason: &str) -> Result<(), Failure> {
    let (uri, reason, by) = (room.clone(), reason.to_owned(), operator());
    let missing = format!("nothing of room `{room}` is withheld");
    change(store, room.as_str(), &missing, move |tx, now| {
        let released = follower::release(tx, &uri)?;
        tx.stage(&AuditRecord {
            room: Some(uri.clone()),
            actor: Some(by.clone()),
            reason: reason.clone(),
            detail: json!({ "released": released }),
            ..AuditRecord::new(Uuid::now_v7(), now, "moderation.release", Outcome::Info)
        })
    })
}

fn moderate(
    store: &Store,
    which: &Which,
    kind: &'static str,
    apply: fn(&mut portcullis_store::Tx<'_>, &Which, &str, portcullis_core::time::Millis) -> Result<(), StoreError>,
) -> Result<(), Failure> {
    let (asked, by) = (which.clone(), operator());
    let missing = format!("room `{}` is not hosted here", which.room);
    change(store, which.room.as_str(), &missing, move |tx, now| {
        apply(tx, &asked, &by, now)?;
        tx.stage(&AuditRecord {
            room: Some(asked.room.clone()),
            actor: Some(by.clone()),
            reason: asked.reason.clone(),
            detail: json!({ "user": asked.user }),
            ..AuditRecord::new(Uuid::now_v7(), now, kind, Outcome::Info)
        })
    })
}
