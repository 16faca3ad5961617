//! Rooms of other hubs. What their hub fans out is decided before our users get it; once a client of ours has uploaded
//! the group (correction C-2), by its roles and participants too.
//!
//! Whatever happens here is planned on a snapshot and written in one transaction, which goes through only while the
//! room's row is as it was seen: [`plan::Plan`].

mod arrival;
mod commit;
mod judge;
mod outbound;
mod plan;
mod take_up;

pub(super) use outbound::{Judged, group_info, message, report, update};
pub(super) use plan::LEAVE;
pub(super) use take_up::take_up;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::time::Millis;
use portcullis_core::wire::notify::{FanoutBody, FanoutMessage, decode_batch};
use portcullis_core::wire::uri::{ClientUri, Domain, RoomUri};
use portcullis_store::follower::{self, FollowedRoom, KeptRow, Why};
use portcullis_store::restrictions::{self, Restrictions};
use portcullis_store::{Conn, StoreError, answers, inbox, key_packages, rooms};

use super::rooms::Hosted;
use super::{GatewayError, Inner};
use arrival::Arrival;
use plan::Plan;

/// How often a plan is made again because the room moved on while it was made.
const ATTEMPTS: usize = 16;
/// Most messages of a room that wait for one before them.
const EARLY: u32 = 64;
/// Most octets that they may have.
const EARLY_BYTES: usize = 8 * 1024 * 1024;
/// Most proposals that are kept for whoever takes the group up, and most octets of them.
const PROPOSALS: u64 = 256;
const PROPOSAL_BYTES: u64 = 4 * 1024 * 1024;
/// Last epoch of a group: the databases count to 2^63 - 1, and a commit leads to the next.
const LAST_EPOCH: u64 = u64::MAX / 2 - 1;
/// How long hubs try to deliver something (reading D-39): what is older comes late.
const LATE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long they wait.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long what has come from a hub may take to be followed here, before something of a later epoch is decided without
/// it.
pub(super) const CATCHING_UP: Duration = Duration::from_secs(2);

/// A room of another hub as it stands here.
struct Followed {
    room: RoomUri,
    /// `None` when nothing of it has come yet.
    known: Option<FollowedRoom>,
    /// Our devices in it, each with the version of the room at which it joined.
    devices: BTreeMap<ClientUri, u64>,
    /// What waits for its predecessor.
    early: Vec<KeptRow>,
    /// What is imposed on it here, whether its group is tracked or not.
    imposed: Restrictions,
    tracked: Option<Arc<Hosted>>,
    /// The version that its group has once it is taken up.
    next_version: u64,
}

impl Followed {
    fn load(inner: &Inner, room: &RoomUri) -> Result<Self, GatewayError> {
        Self::seen(inner, room)?.with_group(inner)
    }

    /// The room in one snapshot, all but its group.
    fn seen(inner: &Inner, room: &RoomUri) -> Result<Self, GatewayError> {
        inner.store.read(|conn| {
            Ok(Self {
                room: room.clone(),
                known: follower::room(conn, room)?,
                devices: follower::devices(conn, room)?,
                early: follower::kept(conn, room, Why::Early, EARLY)?,
                imposed: restrictions::restrictions(conn, room)?,
                tracked: None,
                next_version: rooms::head(conn, room)?.map_or(0, |head| head.version + 1),
            })
        })
    }

    /// With the group, which is read after the room: what moves in between has the room's row move, and the plan is made
    /// again. The other way round, a plan would be made on an old group, and go through.
    fn with_group(self, inner: &Inner) -> Result<Self, GatewayError> {
        Ok(Self { tracked: inner.tracked(&self.room)?, ..self })
    }
}

/// Takes one batch: all of it, or nothing of it.
pub(super) fn accept(inner: &Arc<Inner>, from: &Domain, room: &RoomUri, body: &[u8]) -> Result<(), GatewayError> {
    if room.domain() != *from {
        return Err(GatewayError::WrongIdentity);
    }
    let batch = tracing::info_span!("decode").in_scope(|| decode_batch(body)).map_err(GatewayError::decode)?;
    let key = answers::scope(&[from.as_str().as_bytes(), room.as_bytes(), body]);
    planned(inner, room, |followed| {
        let arrivals = inner.store.read(|conn| new_arrivals(conn, room, &batch))?;
        let mut plan = Plan::new(inner, followed);
        plan.batch = Some(key);
        for arrival in arrivals {
            match arrival.again {
                Some(version) => plan.arrive_again(&arrival, version),
                None => plan.arrive(arrival)?,
            }
        }
        plan.finish()?;
        Ok(plan)
    })
}

/// Rooms in which something waits for what should have come before it, for longer than they may.
pub(super) fn overdue(inner: &Arc<Inner>) -> Result<Vec<RoomUri>, GatewayError> {
    let before = inner.clock.now().minus(PATIENCE);
    Ok(inner.store.read(|conn| follower::overdue(conn, before))?)
}

/// Gives up waiting for what should have come before something that is kept.
pub(super) fn give_up_waiting(inner: &Arc<Inner>, room: &RoomUri) -> Result<(), GatewayError> {
    planned(inner, room, |followed| {
        let mut plan = Plan::new(inner, followed);
        plan.finish()?;
        Ok(plan)
    })
}

/// Plans and writes, again and again until the room stands still in between.
fn planned<'a>(
    inner: &'a Inner,
    room: &RoomUri,
    plan: impl Fn(Followed) -> Result<Plan<'a>, GatewayError>,
) -> Result<(), GatewayError> {
    for _ in 0..ATTEMPTS {
        match plan(Followed::load(inner, room)?)?.write() {
            Err(StoreError::EpochMoved { .. } | StoreError::AlreadyAnswered) => inner.rooms.forget(room),
            written => return Ok(written?),
        }
    }
    Err(GatewayError::busy("the room changes faster than this can be decided"))
}

/// What of a batch has not come before (reading D-40), with the owners of what Welcomes are for; and what has, but not for
/// every device: the hub sends to each of our domains, and to one of them perhaps before it has let in a device of the
/// other.
fn new_arrivals(
    conn: &mut Conn,
    room: &RoomUri,
    batch: &[(FanoutMessage, Vec<u8>)],
) -> Result<Vec<Arrival>, StoreError> {
    let hashes: Vec<[u8; 32]> = batch.iter().map(|(message, _)| message.body.message().hash()).collect();
    let seen = inbox::seen(conn, room, &hashes)?;
    let mut here = BTreeSet::new();
    let mut arrivals = Vec::new();
    for ((message, bytes), hash) in batch.iter().zip(hashes) {
        let again = seen.get(&hash).copied();
        if !here.insert(hash) {
            continue;
        }
        let welcomed = match &message.body {
            FanoutBody::Welcome { .. } if again.is_some() => continue,
            FanoutBody::Welcome { message, .. } => {
                let references = message.welcome().map(|welcome| welcome.references()).unwrap_or_default();
                key_packages::owners(conn, &references)?
            }
            FanoutBody::Application { .. } | FanoutBody::Proposal { .. } | FanoutBody::Commit { .. } => Vec::new(),
        };
        arrivals.push(Arrival { message: message.clone(), bytes: bytes.clone(), hash, welcomed, again, kept: None });
    }
    Ok(arrivals)
}

/// When something that is kept came, and its place.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    ordinal: u64,
    since: Millis,
}
