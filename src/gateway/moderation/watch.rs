use std::sync::Arc;
use std::time::Duration;

use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{ClientUri, RoomUri};
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::leaves::{self, Whose};
use portcullis_store::restrictions::{self, GoneLeaf, Grounds, Imposed, Place, Restriction};
use portcullis_store::{StoreError, Tx, devices};
use serde_json::json;
use tokio::sync::watch as channel;
use tokio::time::sleep;
use uuid::Uuid;

use super::super::{Gateway, GatewayError, Inner};
use super::{room_of, uphold};
use crate::peer::causes;

/// How often it is looked for what is owed: a crash, or a command at another process, may have left it.
const PAUSE: Duration = Duration::from_secs(1);
/// Rooms read at once.
const PAGE: u32 = 500;
/// How long it is not noted again that it is looked whether devices are there.
const NOTED: Duration = Duration::from_secs(60);
/// Longest time without a look that still counts as watched.
const BREAK: Duration = Duration::from_secs(60 * 60);

/// Has carried out what moderators have imposed, and raises the alarm over what waits for its commit for longer than
/// `patience`, and takes devices of ours for lost that were not there for `absence`; until `closing` becomes true. Any number
/// of replicas may.
pub async fn watch(
    gateway: Gateway,
    (patience, absence): (Duration, Option<Duration>),
    mut closing: channel::Receiver<bool>,
) {
    while !*closing.borrow() {
        let inner = Arc::clone(&gateway.0);
        // Beside the requests, which may be too many to take another one.
        let looked = tokio::task::spawn_blocking(move || look(&inner, patience, absence)).await;
        if let Err(error) = looked.unwrap_or_else(|panic| Err(GatewayError::internal(panic))) {
            tracing::warn!(cause = causes(&error), "what moderators have imposed cannot be looked at");
        }
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            () = sleep(PAUSE) => {}
        }
    }
}

fn look(inner: &Inner, patience: Duration, absence: Option<Duration>) -> Result<(), GatewayError> {
    let before = inner.clock.now().minus(patience);
    let (owing, overdue) = inner
        .store
        .read(|conn| Ok::<_, StoreError>((restrictions::owing(conn)?, restrictions::overdue(conn, before)?)))?;
    let complete = take_stock(inner)?;
    for place in owing {
        let done = match &place {
            Place::Room(room) => uphold(inner, room),
            Place::Everywhere => spread(inner, complete),
        };
        if let Err(error) = done {
            tracing::warn!(?place, cause = causes(&error), "clients that are to go are not proposed yet");
        }
    }
    for imposed in overdue {
        let place = imposed.place.clone();
        if let Err(error) = alarm(inner, imposed) {
            tracing::warn!(?place, cause = causes(&error), "the alarm over what is overdue is not raised yet");
        }
    }
    // A device that is in rooms whose leaves do not stand here would be taken out of the others only.
    match absence {
        Some(absence) if complete => miss(inner, absence),
        Some(_) | None => Ok(()),
    }
}

/// Has it stand here which clients are in rooms that another build has moved on. Tells whether all of them are done.
fn take_stock(inner: &Inner) -> Result<bool, GatewayError> {
    let (mut complete, mut last) = (true, None);
    loop {
        let behind = inner.store.read(|conn| leaves::unrecorded(conn, last.as_ref(), PAGE))?;
        for room in &behind {
            if let Err(error) = record(inner, room) {
                tracing::warn!(%room, cause = causes(&error), "the clients in a room do not stand in its rows yet");
                complete = false;
            }
        }
        last = behind.into_iter().last();
        if last.is_none() {
            return Ok(complete);
        }
    }
}

/// Takes devices of ours for lost that were not there for so long: their leaves go, and come back with the device. Only time
/// counts in which it was seen who is there: neither an outage nor the age of a restored database makes a device absent.
fn miss(inner: &Inner, absence: Duration) -> Result<(), GatewayError> {
    let now = inner.clock.now();
    let before = now.minus(absence);
    if watched_since(inner, now)? > before {
        return Ok(());
    }
    for device in inner.store.read(|conn| devices::unseen(conn, before, PAGE))? {
        if let Err(error) = take_for_lost(inner, &device, before) {
            tracing::warn!(%device, cause = causes(&error), "a device that is not there is not taken for lost yet");
        }
    }
    Ok(())
}

fn watched_since(inner: &Inner, now: Millis) -> Result<Millis, GatewayError> {
    if let Some((noted_at, since)) = inner.store.read(devices::watched)?
        && noted_at <= now
        && noted_at > now.minus(NOTED)
    {
        return Ok(since);
    }
    Ok(inner.store.write("devices", move |tx: &mut Tx<'_>| devices::watch(tx, BREAK, now))?)
}

fn take_for_lost(inner: &Inner, device: &ClientUri, before: Millis) -> Result<(), GatewayError> {
    let (device, now) = (device.clone(), inner.clock.now());
    let lane = device.to_string();
    Ok(inner.store.write(&lane, move |tx: &mut Tx<'_>| {
        if !devices::take_for_lost(tx, &device, before)? {
            return Ok(());
        }
        let reason = "not_seen_for_too_long".to_owned();
        let grounds = Grounds { by: "gateway".to_owned(), reason: reason.clone(), ..Grounds::default() };
        restrictions::take_out(tx, Whose::Client(&device), None, &grounds, now)?;
        tx.stage(&AuditRecord {
            actor: device.user().map(|user| user.to_string()),
            reason,
            detail: json!({ "device": device }),
            ..AuditRecord::new(Uuid::now_v7(), now, "device.lost", Outcome::Info)
        })
    })?)
}

fn record(inner: &Inner, room: &RoomUri) -> Result<(), GatewayError> {
    // Past the cache, which is for rooms that somebody uses.
    let hosted = inner.read_hosted(room)?;
    let (room, epoch, leaves) = (room.clone(), hosted.seen.epoch, hosted.view().leaves.clone());
    Ok(inner.store.write(hosted.room.as_str(), move |tx: &mut Tx<'_>| leaves::record(tx, &room, epoch, &leaves))?)
}

/// Has clients of what is imposed everywhere go from each room of ours that they are in: from then on it stands among that
/// room's own restrictions. Begun again after a crash, it finds what it has done.
fn spread(inner: &Inner, complete: bool) -> Result<(), GatewayError> {
    let owed: Vec<Imposed> = inner.store.read(restrictions::owed_everywhere)?;
    for imposed in owed {
        let whose = match &imposed.restriction {
            Restriction::Device(client) => Whose::Client(client),
            Restriction::Removal(user) | Restriction::Deprovisioned(user) => Whose::User(user),
            Restriction::Provider(domain) => Whose::Provider(domain),
            // These are imposed on single rooms.
            Restriction::Freeze
            | Restriction::LegalHold
            | Restriction::Mute(_)
            | Restriction::Ban(_)
            | Restriction::Kick(_)
            | Restriction::Leaf(_) => continue,
        };
        let mut found = inner.store.read(|conn| leaves::find(conn, whose))?;
        if !matches!(imposed.restriction, Restriction::Device(_)) {
            found.dedup_by(|(next, _), (room, _)| next == room);
        }
        let mut reached = complete;
        for (room, leaf) in found {
            if let Err(error) = reach(inner, &room, leaf, imposed.clone()) {
                tracing::warn!(%room, cause = causes(&error), "what is imposed everywhere has not come to a room yet");
                reached = false;
            }
        }
        let now = inner.clock.now();
        if reached {
            inner.store.write("admin", move |tx: &mut Tx<'_>| {
                if stands(tx, &imposed)? {
                    restrictions::settle(tx, &Place::Everywhere, &imposed.restriction, now)?;
                }
                Ok::<_, StoreError>(())
            })?;
        }
    }
    Ok(())
}

/// Imposes on a room what takes out a client that is in it.
fn reach(inner: &Inner, room: &RoomUri, leaf: GoneLeaf, imposed: Imposed) -> Result<(), GatewayError> {
    let (place, uri, now) = (Place::from(room), room.clone(), inner.clock.now());
    let goes = match &imposed.restriction {
        Restriction::Device(_) => Restriction::Leaf(leaf),
        restriction => restriction.clone(),
    };
    // A room that it has come to is not disturbed again and again while another one is not to be reached.
    if inner.store.read(|conn| restrictions::is_in_force(conn, &place, &goes))? {
        return Ok(());
    }
    let written = inner.store.write(room.as_str(), move |tx: &mut Tx<'_>| {
        match &goes {
            Restriction::Leaf(_) => drop(restrictions::impose(tx, &place, &goes, &imposed.grounds, now)?),
            goes => restrictions::spread(tx, &uri, goes, &imposed.grounds, now)?,
        }
        // Asked with the room held: whoever lifts it everywhere has to hold the room too.
        if stands(tx, &imposed)? { Ok(()) } else { Err(StoreError::Missing) }
    });
    match written {
        Ok(()) | Err(StoreError::Missing) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether what was imposed everywhere still is, and was not lifted and imposed again.
fn stands(tx: &mut Tx<'_>, imposed: &Imposed) -> Result<bool, StoreError> {
    let now = restrictions::find(tx, &Place::Everywhere, &imposed.restriction)?;
    Ok(now.is_some_and(|now| now.ended_at.is_none() && now.at == imposed.at))
}

fn alarm(inner: &Inner, imposed: Imposed) -> Result<(), GatewayError> {
    let now = inner.clock.now();
    let (place, restriction) = (imposed.place.clone(), imposed.restriction.name());
    let raised = inner.store.write("admin", move |tx: &mut Tx<'_>| {
        let Imposed { place, restriction, grounds, at, obstacle, .. } = &imposed;
        if !restrictions::alarm(tx, place, restriction, now)? {
            return Ok(false);
        }
        tx.stage(&AuditRecord {
            room: room_of(place),
            actor: Some(grounds.by.clone()),
            policy: grounds.policies.clone(),
            reason: "commit_is_overdue".to_owned(),
            detail: json!({
                "restriction": restriction.name(),
                "subject": restriction.subject(),
                "case": grounds.case,
                "effective_since": at,
                "obstacle": obstacle,
            }),
            ..AuditRecord::new(Uuid::now_v7(), now, "moderation.overdue", Outcome::Alarm)
        })?;
        Ok::<_, StoreError>(true)
    })?;
    if raised {
        tracing::warn!(?place, restriction, "no commit has carried out what moderators have imposed");
    }
    Ok(())
}
