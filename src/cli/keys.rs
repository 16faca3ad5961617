//! `portcullis keys`: every key that a gateway holds, and how one takes the place of another.

mod change;
mod files;

use clap::{Subcommand, ValueEnum};
use portcullis_core::identity::certificate::{not_after, spki_sha256};
use portcullis_core::mls::Group;
use portcullis_core::wire::components::FrankingAgent;
use portcullis_core::wire::uri::RoomUri;
use portcullis_store::rooms::{self, RoomStatus};
use portcullis_store::{Store, StoreError, hub_keys, ohttp_keys, vault};
use serde::Serialize;

use super::host::Host;
use super::{Failure, output};
use crate::config::Config;
use crate::gateway::admin::worded;
use crate::gateway::{OHTTP_PERIOD, ring};
pub(super) use files::sealing_key;
use files::{certificate, public_of, token_file, token_set};

/// Rooms read at once.
const PAGE: u32 = 200;

/// Arguments of `portcullis keys`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis keys list --config gw/gateway.yaml
  portcullis keys rotate hub --reason 'a year is over' --config gw/gateway.yaml
  portcullis keys rewrap --reason 'a year is over' --config gw/gateway.yaml
  portcullis keys revoke hub 3f1c09aa1b2c3d4e --reason CASE-7 --config gw/gateway.yaml

A gateway reads its files when it starts: start each of its processes again, with the same files. What stands in the database
holds for all of them within seconds.")]
pub(super) struct Args {
    #[command(flatten)]
    host: Host,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List every key: what it is, since or until when, and what still needs it.
    List {
        /// Also count the rooms whose groups name each hub and franking key; reads every group.
        #[arg(long)]
        rooms: bool,
        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Put a new key in the place of one. The former one goes on for what needs it, until it is revoked.
    Rotate {
        /// Which.
        which: Which,
        /// Why; goes into the audit log.
        #[arg(long, value_parser = worded)]
        reason: String,
    },
    /// Seal the keys in the database under the sealing key in use, once every host has it.
    Rewrap {
        /// Why; goes into the audit log.
        #[arg(long, value_parser = worded)]
        reason: String,
    },
    /// Let a former key be used for nothing any longer.
    Revoke {
        /// Which.
        which: Which,
        /// The key, as it is listed.
        key: String,
        /// Why; goes into the audit log.
        #[arg(long, value_parser = worded)]
        reason: String,
    },
}

/// What the keys of a gateway are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Which {
    /// The certificates by which other providers know this one.
    Tls,
    /// The hub as external sender of its rooms, and signer of groupInfo answers.
    Hub,
    /// The franking agent of its rooms.
    Franking,
    /// The secrets by which the hub knows its own franks again.
    Franks,
    /// The signer of the audit log's checkpoints.
    Log,
    /// The signer of development tokens, and the public keys of all token signers.
    Token,
    /// What wraps and seals the secrets in the database.
    Sealing,
    /// Under which group states, events and KeyPackages stand in the database.
    Data,
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Hub => "hub",
            Self::Franking => "franking",
            Self::Franks => "franks",
            Self::Log => "log",
            Self::Token => "token",
            Self::Sealing => "sealing",
            Self::Data => "data",
        }
    }
}

/// A key as it is listed.
#[derive(Debug, Serialize)]
struct Shown {
    which: &'static str,
    /// By what it is called.
    key: String,
    /// `current` or `former`.
    state: &'static str,
    /// What it is about: a domain, or a purpose.
    about: String,
    /// The file, or `database`.
    place: String,
    /// Since when it is used, in milliseconds since the UNIX epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<u64>,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    /// In how many rooms' groups it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<usize>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::List { rooms, json } => list(&args.host, *rooms, *json),
        Command::Rotate { which, reason } => change::rotate(&args.host, *which, reason),
        Command::Rewrap { reason } => change::rewrap(&args.host, reason),
        Command::Revoke { which, key, reason } => change::revoke(&args.host, *which, key, reason),
    }
}

fn list(host: &Host, with_rooms: bool, as_json: bool) -> Result<(), Failure> {
    let (config, store) = (host.config()?, host.open()?);
    let mut all = in_files(&config)?;
    all.extend(in_database(&store)?);
    if with_rooms {
        let named = named_by_rooms(&store)?;
        for shown in all.iter_mut().filter(|shown| ["hub", "franking"].contains(&shown.which)) {
            shown.rooms = Some(named.iter().filter(|(which, key)| *which == shown.which && *key == shown.key).count());
        }
    }
    if as_json {
        return Ok(all.iter().try_for_each(output::json)?);
    }
    let word = |time: Option<u64>| time.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let rows = all.into_iter().map(|shown| {
        let rooms = shown.rooms.map_or_else(|| "-".to_owned(), |rooms| rooms.to_string());
        let (since, until) = (word(shown.since), word(shown.until));
        [shown.which.to_owned(), shown.key, shown.state.to_owned(), shown.about, since, until, rooms, shown.place]
    });
    output::table(["which", "key", "state", "about", "since", "until", "rooms", "place"], rows);
    Ok(())
}

fn in_files(config: &Config) -> Result<Vec<Shown>, Failure> {
    let shown = |which: Which, key, state, about: String, place: String| Shown {
        which: which.name(),
        key,
        state,
        about,
        place,
        since: None,
        until: None,
        rooms: None,
    };
    let mut all = Vec::new();
    for tls in &config.keys.tls {
        let leaf = certificate(&tls.certificate)?;
        let unreadable = |_| Failure::failed(format!("`{}` does not decode", tls.certificate.display()));
        let (pin, until) = (spki_sha256(&leaf).map_err(unreadable)?, not_after(&leaf).map_err(unreadable)?);
        let pin = data_encoding::HEXLOWER.encode(&pin);
        let place = tls.certificate.display().to_string();
        all.push(Shown { until: Some(until.0), ..shown(Which::Tls, pin, "current", tls.domain.to_string(), place) });
    }
    let signers =
        [(Which::Hub, &config.keys.hub), (Which::Franking, &config.keys.franking), (Which::Log, &config.keys.log)];
    for (which, path) in signers {
        let former = ring::former(path).into_iter().map(|path| ("former", path));
        for (state, path) in std::iter::once(("current", path.clone())).chain(former) {
            let key = ring::fingerprint(&public_of(&path)?);
            all.push(shown(which, key, state, String::new(), path.display().to_string()));
        }
    }
    if let Some(set) = token_file(config) {
        for (number, key) in token_set(&set)?.keys.into_iter().enumerate() {
            let state = if number == 0 { "current" } else { "former" };
            let place = set.display().to_string();
            all.push(shown(Which::Token, key.common.key_id.unwrap_or_default(), state, String::new(), place));
        }
    }
    for (number, path) in files::sealing(config).into_iter().enumerate() {
        let state = if number == 0 { "current" } else { "former" };
        all.push(shown(Which::Sealing, files::sealing_id(&path)?, state, String::new(), path.display().to_string()));
    }
    Ok(all)
}

fn in_database(store: &Store) -> Result<Vec<Shown>, Failure> {
    let read =
        store.read(|conn| Ok::<_, StoreError>((hub_keys::all(conn)?, vault::all(conn)?, ohttp_keys::all(conn)?)));
    let (franks, data, oblivious) = read.map_err(anyhow::Error::from)?;
    let mut all: Vec<Shown> = Vec::new();
    let franks = franks.into_iter().map(|key| (Which::Franks, key.domain.to_string(), key.starts_at, None));
    let data = data.into_iter().map(|key| {
        let id = data_encoding::HEXLOWER.encode(&key.id);
        (Which::Data, key.purpose.name().to_owned(), key.begun_at, Some(id))
    });
    for (which, about, since, id) in franks.chain(data) {
        let key = id.unwrap_or_else(|| format!("{about}@{}", since.0));
        // The last one of each is in use.
        if let Some(former) = all.iter_mut().rev().find(|shown| shown.which == which.name() && shown.about == about) {
            former.state = "former";
        }
        all.push(Shown {
            which: which.name(),
            key,
            state: "current",
            about,
            place: "database".to_owned(),
            since: Some(since.0),
            until: None,
            rooms: None,
        });
    }
    let weeks = oblivious.len();
    for (number, (period, _)) in oblivious.into_iter().enumerate() {
        let begins = |period: u64| period.saturating_mul(u64::try_from(OHTTP_PERIOD.as_millis()).unwrap_or(u64::MAX));
        all.push(Shown {
            which: "ohttp",
            key: period.to_string(),
            state: if number + 1 == weeks { "current" } else { "former" },
            about: String::new(),
            place: "database".to_owned(),
            since: Some(begins(period)),
            until: Some(begins(period + 2)),
            rooms: None,
        });
    }
    Ok(all)
}

/// Which hub key and which franking key the group of each room of ours names.
fn named_by_rooms(store: &Store) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut named = Vec::new();
    let mut last: Option<RoomUri> = None;
    loop {
        let page = store.read(|conn| rooms::list(conn, last.as_ref(), PAGE)).map_err(anyhow::Error::from)?;
        for head in page.iter().filter(|head| head.status == RoomStatus::Active) {
            let row = store.read(|conn| rooms::load(conn, &head.room)).map_err(anyhow::Error::from)?;
            let Some(row) = row else { continue };
            let group = Group::restore(&row.snapshot).map_err(anyhow::Error::from)?;
            let senders = group.external_senders().map_err(anyhow::Error::from)?;
            named.extend(senders.iter().map(|sender| (Which::Hub.name(), ring::fingerprint(&sender.signature_key))));
            if let Ok(Some(agent)) = group.view().components.read::<FrankingAgent>() {
                named.push((Which::Franking.name(), ring::fingerprint(&agent.signature_key)));
            }
        }
        match page.into_iter().last() {
            Some(head) => last = Some(head.room),
            None => return Ok(named),
        }
    }
}
