use std::sync::Arc;
use std::time::Duration;

use portcullis_core::wire::uri::RoomUri;
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::restrictions::{self, Imposed, Place, Restriction};
use portcullis_store::{StoreError, Tx, rooms};
use serde_json::json;
use tokio::sync::watch as channel;
use tokio::time::sleep;
use uuid::Uuid;

use super::super::rooms::Hosted;
use super::super::{Gateway, GatewayError, Inner};
use super::{room_of, uphold};
use crate::peer::causes;

/// How often it is looked for what is owed: a crash, or a command at another process, may have left it.
const PAUSE: Duration = Duration::from_secs(1);
/// Rooms read at once.
const PAGE: u32 = 500;

/// Has carried out what moderators have imposed, and raises the alarm over what waits for its commit for longer than
/// `patience`, until `closing` becomes true. Any number of replicas may.
pub async fn watch(gateway: Gateway, patience: Duration, mut closing: channel::Receiver<bool>) {
    while !*closing.borrow() {
        let inner = Arc::clone(&gateway.0);
        // Beside the requests, which may be too many to take another one.
        let looked = tokio::task::spawn_blocking(move || look(&inner, patience)).await;
        if let Err(error) = looked.unwrap_or_else(|panic| Err(GatewayError::internal(panic))) {
            tracing::warn!(cause = causes(&error), "what moderators have imposed cannot be looked at");
        }
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            () = sleep(PAUSE) => {}
        }
    }
}

fn look(inner: &Inner, patience: Duration) -> Result<(), GatewayError> {
    let before = inner.clock.now().minus(patience);
    let (owing, overdue) = inner
        .store
        .read(|conn| Ok::<_, StoreError>((restrictions::owing(conn)?, restrictions::overdue(conn, before)?)))?;
    for place in owing {
        let done = match &place {
            Place::Room(room) => uphold(inner, room),
            Place::Everywhere => spread(inner),
        };
        if let Err(error) = done {
            tracing::warn!(?place, cause = causes(&error), "clients that are to go are not proposed yet");
        }
    }
    overdue.into_iter().try_for_each(|imposed| alarm(inner, imposed))
}

/// Has clients of what is imposed everywhere go from each room of ours that they are in: from then on it stands among that
/// room's own restrictions. Begun again after a crash, it finds what it has done.
fn spread(inner: &Inner) -> Result<(), GatewayError> {
    let imposed: Vec<Imposed> = inner.store.read(|conn| restrictions::at(conn, &Place::Everywhere))?;
    let owed: Vec<Imposed> = imposed.into_iter().filter(|imposed| imposed.owed).collect();
    let mut after: Option<RoomUri> = None;
    let mut failed = false;
    loop {
        let page = inner.store.read(|conn| rooms::list(conn, after.as_ref(), PAGE))?;
        for room in page.iter().map(|head| &head.room) {
            if let Err(error) = reach(inner, room, &owed) {
                tracing::warn!(%room, cause = causes(&error), "what is imposed everywhere has not come to the room yet");
                failed = true;
            }
        }
        if page.len() < PAGE as usize {
            break;
        }
        after = page.last().map(|head| head.room.clone());
    }
    if failed {
        return Ok(()); // it stays owed, and the rooms are looked at again
    }
    let now = inner.clock.now();
    Ok(inner.store.write("admin", move |tx: &mut Tx<'_>| {
        for imposed in &owed {
            if stands(tx, imposed)? {
                restrictions::settle(tx, &Place::Everywhere, &imposed.restriction, now)?;
            }
        }
        Ok::<_, StoreError>(())
    })?)
}

/// Imposes on a room what takes out clients that are in it.
fn reach(inner: &Inner, room: &RoomUri, owed: &[Imposed]) -> Result<(), GatewayError> {
    // Past the cache, which is for rooms that somebody uses.
    let hosted = match inner.read_hosted(room) {
        Ok(hosted) => hosted,
        Err(GatewayError::NotFound) => return Ok(()),
        Err(error) => return Err(error),
    };
    for imposed in owed.iter().filter(|imposed| concerns(&imposed.restriction, &hosted)) {
        let (place, imposed, now) = (Place::from(room), imposed.clone(), inner.clock.now());
        let written = inner.store.write(room.as_str(), move |tx: &mut Tx<'_>| {
            restrictions::impose(tx, &place, &imposed.restriction, &imposed.grounds, now)?;
            // Asked with the room held: whoever lifts it everywhere has to hold the room too.
            if stands(tx, &imposed)? { Ok(()) } else { Err(StoreError::Missing) }
        });
        match written {
            Ok(()) | Err(StoreError::Missing) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether what was imposed everywhere still is, and was not lifted and imposed again.
fn stands(tx: &mut Tx<'_>, imposed: &Imposed) -> Result<bool, StoreError> {
    let now = restrictions::find(tx, &Place::Everywhere, &imposed.restriction)?;
    Ok(now.is_some_and(|now| now.ended_at.is_none() && now.at == imposed.at))
}

fn concerns(restriction: &Restriction, hosted: &Hosted) -> bool {
    hosted.view().leaves.iter().any(|leaf| restriction.takes_out(&leaf.client, &leaf.user))
        || hosted.state.participants().keys().any(|user| restriction.ends_rights_of(user))
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
