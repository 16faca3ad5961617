//! `portcullis room code`: codes by which people join rooms.

use std::time::Duration;

use clap::Subcommand;
use portcullis_core::wire::uri::{Domain, RoomUri};
use portcullis_store::join_codes::{self as stored, JoinCode};
use portcullis_store::{Store, StoreError};
use serde_json::json;
use uuid::Uuid;

use super::host::{change, operator};
use super::{Failure, output};
use crate::gateway::Clock;
use crate::gateway::admin::worded;
use crate::gateway::join_codes::{self, NewJoinCode};

/// Codes read at once.
const PAGE: u32 = 500;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a code by which people join a room, and print it: it is kept nowhere.
    Create {
        /// The room.
        room: RoomUri,
        /// Index of the role it gives; without it the first that a code can give.
        #[arg(long)]
        role: Option<u32>,
        /// How often it may be used.
        #[arg(long, default_value_t = 1)]
        uses: u32,
        /// How long it lasts, in hours.
        #[arg(long, default_value_t = 168)]
        hours: u32,
        /// The provider whose users alone may use it.
        #[arg(long, value_parser = Domain::parse)]
        provider: Option<Domain>,
        /// Why; goes into the audit log.
        #[arg(long, value_parser = worded)]
        reason: String,
    },
    /// List the codes of a room, good or not.
    List {
        /// The room.
        room: RoomUri,
        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Let nobody use a code any longer.
    Revoke {
        /// The room.
        room: RoomUri,
        /// Identifier of the code, as it is listed.
        code: Uuid,
        /// Why; goes into the audit log.
        #[arg(long, value_parser = worded)]
        reason: String,
    },
}

pub(super) fn run(store: &Store, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Create { room, role, uses, hours, provider, reason } => {
            let lasts = Duration::from_secs(u64::from(*hours) * 3600);
            let (room, domain, reason) = (room.clone(), provider.clone(), reason.clone());
            create(store, &NewJoinCode { room, role: *role, uses: *uses, lasts, domain, reason })
        }
        Command::List { room, json } => list(store, room, *json),
        Command::Revoke { room, code, reason } => revoke(store, room, *code, reason),
    }
}

fn create(store: &Store, new: &NewJoinCode) -> Result<(), Failure> {
    let now = Clock::default().now();
    let made = store.read(|conn| Ok::<_, StoreError>(join_codes::make(conn, new, &operator(), now)));
    let made = made.map_err(anyhow::Error::from)?.map_err(|error| Failure::failed(error.to_string()))?;
    let (kept, code) = (made.kept.id, made.code.clone().unwrap_or_default());
    change(store, new.room.as_str(), "there is no such room here", move |tx, _| join_codes::keep(tx, &made))?;
    output::line(code);
    output::line(format!("note: revoke it as `{kept}`; the code itself is kept nowhere"));
    Ok(())
}

fn list(store: &Store, room: &RoomUri, as_json: bool) -> Result<(), Failure> {
    let mut all: Vec<JoinCode> = Vec::new();
    loop {
        let after = all.last().map(|last| last.id);
        let page = store.read(|conn| stored::of_room(conn, room, after, PAGE));
        let page = page.map_err(|error: StoreError| anyhow::Error::from(error))?;
        let last = page.len() < PAGE as usize;
        all.extend(page);
        if last {
            break;
        }
    }
    if as_json {
        for code in &all {
            output::json(&json!({
                "id": code.id, "room": code.room, "role": code.role, "uses": code.uses, "used": code.used,
                "provider": code.domain, "expires_at": code.expires_at, "by": code.created_by, "reason": code.reason,
                "created_at": code.created_at, "revoked_at": code.revoked_at,
            }))?;
        }
        return Ok(());
    }
    let rows = all.iter().map(|code| {
        let revoked = code.revoked_at.map_or_else(|| "-".to_owned(), |at| at.0.to_string());
        let provider = code.domain.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        let used = format!("{} of {}", code.used, code.uses);
        [code.id.to_string(), code.role.to_string(), used, provider, code.expires_at.0.to_string(), revoked]
    });
    output::table(["code", "role", "used", "provider", "expires", "revoked"], rows);
    Ok(())
}

fn revoke(store: &Store, room: &RoomUri, id: Uuid, reason: &str) -> Result<(), Failure> {
    let (uri, why, by) = (room.clone(), reason.to_owned(), operator());
    let missing = format!("room `{room}` has no such code, or it was revoked before");
    change(store, room.as_str(), &missing, move |tx, now| join_codes::revoke(tx, &uri, id, (&by, &why), now).map(drop))
}
