use anyhow::Context as _;
use clap::Subcommand;
use portcullis_core::wire::uri::{Domain, RoomUri, UserUri};
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::restrictions::{self, Grounds, Imposed, Place};
use portcullis_store::rooms::{self, RoomHead};
use portcullis_store::{Store, StoreError, follower};
use serde_json::json;
use uuid::Uuid;

use super::host::{Host, change, operator};
use super::{Failure, join_code, output};
use crate::config::Config;
use crate::gateway::admin::worded;
use crate::gateway::moderation::{self, Carried, Change, Stands};
use crate::gateway::{Clock, GatewayError, Order};
use crate::server::assemble;

/// Rooms read at once.
const PAGE: u32 = 500;

/// Arguments of `portcullis room`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What takes a user out of a room holds at once; the hub then proposes that the user's clients go, and a member commits that.

Examples:
  portcullis room list
  portcullis room ban mimi://a.example/r/clubhouse mimi://c.example/u/cathy --case CASE-7 --reason 'threats'
  portcullis room restrictions mimi://a.example/r/clubhouse
  portcullis room freeze mimi://a.example/r/clubhouse --case CASE-7 --reason 'until somebody has looked'
  portcullis room destroy mimi://a.example/r/clubhouse --case CASE-7 --reason 'made for fraud'
  portcullis room code create mimi://a.example/r/clubhouse --uses 20 --provider c.example --reason 'town hall'
  portcullis room remove-provider c.example --case CASE-8 --reason 'keys leaked'
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
    /// List what is imposed on a room, and what was; without a room what is imposed on all.
    Restrictions {
        /// The room.
        room: Option<RoomUri>,
        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Take a user out of a room, and let it neither back nor be added again until it is unbanned.
    Ban(Which),
    /// Let a user that was banned come back.
    Unban(Which),
    /// Take a user's clients out of a room; it may come back.
    Kick(Which),
    /// Take a user out of a room until a member adds it again.
    Remove(Which),
    /// End a removal.
    Readmit(Which),
    /// Refuse a user's messages in a room from now on.
    Mute(Which),
    /// Take a user's messages in a room again.
    Unmute(Which),
    /// Let nobody change a room or write to it; leaving, reports, and moderators' removals and bans go on.
    Freeze(Where),
    /// End a freeze.
    Unfreeze(Where),
    /// End a room for everybody, with those that depend on it; its name stays taken. Nothing brings it back: freeze it to hold it.
    Destroy(Where),
    /// Take a user out of every room, those to come included.
    RemoveUser(User),
    /// End that.
    ReadmitUser(User),
    /// Take all users of a provider out of every room, those to come included.
    RemoveProvider(Provider),
    /// End that.
    ReadmitProvider(Provider),
    /// Codes by which people join a room by themselves.
    #[command(subcommand)]
    Code(join_code::Command),
    /// Let what is withheld of a room that another provider hosts go to our users' devices, and stop telling them to
    /// leave it.
    Release {
        /// The room.
        room: RoomUri,
        /// Why; goes into the audit log.
        #[arg(long, value_parser = worded)]
        reason: String,
    },
}

#[derive(Clone, Debug, clap::Args)]
struct Because {
    /// Why; goes into the audit log.
    #[arg(long, value_parser = worded)]
    reason: String,
    /// Number of the case.
    #[arg(long, default_value = "")]
    case: String,
}

#[derive(Clone, Debug, clap::Args)]
struct Which {
    /// The room.
    room: RoomUri,
    /// The user.
    user: UserUri,
    #[command(flatten)]
    because: Because,
}

#[derive(Clone, Debug, clap::Args)]
struct Where {
    /// The room.
    room: RoomUri,
    #[command(flatten)]
    because: Because,
}

#[derive(Clone, Debug, clap::Args)]
struct User {
    /// The user.
    user: UserUri,
    #[command(flatten)]
    because: Because,
}

#[derive(Clone, Debug, clap::Args)]
struct Provider {
    /// Domain of the provider.
    #[arg(value_parser = Domain::parse)]
    domain: Domain,
    #[command(flatten)]
    because: Because,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.host.config()?;
    let store = args.host.open()?;
    let in_room = |which: &Which, change: fn(UserUri) -> Change| {
        moderate(&store, &config, Place::Room(which.room.clone()), change(which.user.clone()), &which.because)
    };
    let room = |of: &Where, change| moderate(&store, &config, Place::Room(of.room.clone()), change, &of.because);
    let everywhere = |change, because: &Because| moderate(&store, &config, Place::Everywhere, change, because);
    match &args.command {
        Command::List { json } => list(&store, *json),
        Command::Restrictions { room, json } => imposed(&store, &config, room.as_ref(), *json),
        Command::Ban(which) => in_room(which, Change::Ban),
        Command::Unban(which) => in_room(which, Change::Unban),
        Command::Kick(which) => in_room(which, Change::Kick),
        Command::Remove(which) => in_room(which, Change::Remove),
        Command::Readmit(which) => in_room(which, Change::Readmit),
        Command::Mute(which) => in_room(which, Change::Mute),
        Command::Unmute(which) => in_room(which, Change::Unmute),
        Command::Freeze(of) => room(of, Change::Freeze),
        Command::Unfreeze(of) => room(of, Change::Unfreeze),
        Command::Destroy(of) => destroy(&args.host, &config, of),
        Command::RemoveUser(User { user, because }) => everywhere(Change::Remove(user.clone()), because),
        Command::ReadmitUser(User { user, because }) => everywhere(Change::Readmit(user.clone()), because),
        Command::RemoveProvider(Provider { domain, because }) => {
            everywhere(Change::RemoveProvider(domain.clone()), because)
        }
        Command::ReadmitProvider(Provider { domain, because }) => {
            everywhere(Change::ReadmitProvider(domain.clone()), because)
        }
        Command::Code(command) => join_code::run(&store, command),
        Command::Release { room, reason } => release(&store, room, reason),
    }
}

fn destroy(host: &Host, config: &Config, of: &Where) -> Result<(), Failure> {
    let policy = host.policy()?;
    let Because { reason, case } = of.because.clone();
    let order = Order { by: operator(), reason, case };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    let destroyed = runtime.block_on(async {
        let gateway = assemble(config, policy, Clock::default()).await?;
        gateway.open_data_keys().await.context("cannot open the keys that the database is sealed under")?;
        Ok::<_, anyhow::Error>(gateway.destroy_room_from_host(of.room.clone(), order).await)
    });
    destroyed?.map_err(|error| match error {
        GatewayError::NotFound => Failure::failed(format!("`{}` is no room of this gateway", of.room)),
        GatewayError::Refused { .. } => Failure::failed("the room, or one that depends on it, is under legal hold"),
        error => Failure::from(anyhow::Error::from(error)),
    })
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

fn stands(imposed: Imposed, config: &Config) -> Stands {
    let hosted = match &imposed.place {
        Place::Room(room) => config.domains.contains(&room.domain()),
        Place::Everywhere => true,
    };
    Stands { imposed, hosted }
}

fn imposed(store: &Store, config: &Config, room: Option<&RoomUri>, json: bool) -> Result<(), Failure> {
    let place = room.map_or(Place::Everywhere, Place::from);
    let mut all: Vec<Imposed> = Vec::new();
    loop {
        let after = all.last().map(|last| last.restriction.clone());
        let page = store.read(|conn| restrictions::at(conn, &place, after.as_ref(), PAGE));
        let page = page.map_err(|error: StoreError| anyhow::Error::from(error))?;
        let last = page.len() < PAGE as usize;
        all.extend(page);
        if last {
            break;
        }
    }
    let all: Vec<Stands> = all.into_iter().map(|imposed| stands(imposed, config)).collect();
    if json {
        for Stands { imposed, .. } in &all {
            output::json(&json!({
                "room": room, "restriction": imposed.restriction.name(), "subject": imposed.restriction.subject(),
                "reason": imposed.grounds.reason, "case": imposed.grounds.case, "by": imposed.grounds.by,
                "policies": imposed.grounds.policies, "decision": imposed.grounds.decision,
                "effective_since": imposed.at, "cryptographic_since": imposed.committed_at,
                "owed": imposed.owed, "overdue": imposed.owed && imposed.alarmed_at.is_some(),
                "obstacle": imposed.obstacle, "ended_at": imposed.ended_at,
            }))?;
        }
        return Ok(());
    }
    let rows = all.iter().map(|stands| {
        let Imposed { restriction, grounds, at, committed_at, ended_at, obstacle, .. } = &stands.imposed;
        let carried = match (stands.carried(), committed_at) {
            (_, Some(at)) => at.0.to_string(),
            (Carried::Owed, None) if !obstacle.is_empty() => format!("obstructed: {obstacle}"),
            (Carried::Owed, None) => "owed".to_owned(),
            (Carried::ByTheHub, None) => "by the hub".to_owned(),
            (Carried::Done | Carried::Never, None) => "-".to_owned(),
        };
        let ended = ended_at.map_or("-".to_owned(), |at| at.0.to_string());
        let (name, subject) = (restriction.name().to_owned(), restriction.subject().to_owned());
        [name, subject, at.0.to_string(), carried, ended, grounds.case.clone(), grounds.reason.clone()]
    });
    output::table(
        ["restriction", "subject", "effective since", "cryptographic since", "ended", "case", "reason"],
        rows,
    );
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

fn moderate(store: &Store, config: &Config, place: Place, wanted: Change, because: &Because) -> Result<(), Failure> {
    wanted.check(&config.domains).map_err(Failure::failed)?;
    let Because { reason, case } = because.clone();
    let grounds = Grounds { by: operator(), reason, case, ..Grounds::default() };
    let (lane, missing) = match &place {
        Place::Room(room) => {
            (room.to_string(), format!("nothing is known here of room `{room}`, or there is nothing to be lifted"))
        }
        Place::Everywhere => ("admin".to_owned(), "there is nothing to be lifted".to_owned()),
    };
    let done = change(store, &lane, &missing, move |tx, now| moderation::change(tx, &place, &wanted, &grounds, now))?;
    let stands = stands(done, config);
    if stands.imposed.ended_at.is_none() {
        stands.limits().into_iter().for_each(|limit| output::line(format!("note: {limit}")));
    }
    Ok(())
}
