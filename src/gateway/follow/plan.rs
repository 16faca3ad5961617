//! What is to be written about a room of another hub: collected while it is decided, written as one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use portcullis_core::time::Millis;
use portcullis_core::wire::Wire;
use portcullis_core::wire::notify::FanoutMessage;
use portcullis_core::wire::uri::{ClientUri, Domain, GroupUri, RoomUri, UserUri};
use portcullis_store::audit::{AuditRecord, Outcome, Sealed};
use portcullis_store::follower::{self, Kept, KeptRow, Progress, Standing, Why};
use portcullis_store::inbox::{self, Seen as Noted};
use portcullis_store::proposals::{self, PendingProposal};
use portcullis_store::restrictions::{self, Place, Restriction, Restrictions};
use portcullis_store::rooms::{self, GroupState, Seen};
use portcullis_store::streams::{self, StreamItem};
use portcullis_store::{StoreError, Tx, devices};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::devices::drop_if_out;
use super::super::policy::Active;
use super::super::rooms::Hosted;
use super::super::{GatewayError, Inner};
use super::arrival::Arrival;
use super::{EARLY, EARLY_BYTES, Followed, PATIENCE, PROPOSAL_BYTES, PROPOSALS, Waiting};
use crate::telemetry;

/// Most messages of a batch that its record lists.
const LISTED: usize = 1000;

/// Tells a device that the gateway no longer knows the group and takes an upload.
pub(super) const GROUP_INFO_WANTED: &str = "group_info_wanted";
/// Tells a device to leave the room.
pub(in super::super) const LEAVE: &str = "leave";

/// One thing to be written.
pub(super) enum Effect {
    Join(ClientUri),
    Gone(ClientUri),
    Deliver(Vec<ClientUri>, StreamItem),
    Keep(Kept),
    LetGo(u64),
    KeepProposal(Kept),
    /// Those of epochs before this one, or all.
    ForgetProposals(Option<u64>),
    Follow {
        group: GroupUri,
        state: GroupState,
        by: UserUri,
    },
    Advance {
        seen: Seen,
        next: GroupState,
    },
    AcceptProposals {
        seen: Seen,
    },
    Pend {
        epoch: u64,
        proposal: PendingProposal,
    },
    Lose(Seen),
    /// The clients that a restriction takes out are out.
    Settle(Restriction),
    Release,
    Record(AuditRecord),
    /// A record as it is handed to the lane, which then has less to do.
    Sealed(Sealed),
}

/// A plan in the making: the room as it will be after what is planned so far.
pub(super) struct Plan<'a> {
    pub(super) inner: &'a Inner,
    pub(super) active: Arc<Active>,
    pub(super) room: RoomUri,
    pub(super) hub: Domain,
    pub(super) now: Millis,
    pub(super) devices: BTreeSet<ClientUri>,
    /// The version of the room at which each of them joined; the last there is for one that joins by this plan.
    pub(super) joined: BTreeMap<ClientUri, u64>,
    pub(super) progress: Progress,
    pub(super) tracked: Option<Arc<Hosted>>,
    /// What is imposed on the room, whether its group is tracked or not.
    pub(super) imposed: Restrictions,
    pub(super) next_version: u64,
    /// Names the batch that it is made for.
    pub(super) batch: Option<[u8; 32]>,
    /// Whether anything of the room has come before.
    pub(super) known: bool,
    pub(super) effects: Vec<Effect>,
    version: u64,
    early: Vec<Arrival>,
    hashes: Vec<[u8; 32]>,
    /// What came before, and is put before devices now.
    again: Vec<[u8; 32]>,
    /// What had waited and is taken by this plan, with the devices that were there then.
    released: BTreeMap<[u8; 32], BTreeSet<ClientUri>>,
    taken: Vec<([u8; 32], usize)>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(inner: &'a Inner, followed: Followed) -> Self {
        let Followed { room, known, devices, early, imposed, tracked, next_version } = followed;
        let start = Progress { seen_epoch: 0, taken_up: 0, taken_up_at: Millis(0), standing: Standing::Open };
        let mut plan = Self {
            inner,
            active: inner.policy.active(),
            hub: room.domain(),
            now: inner.clock.now(),
            devices: devices.keys().cloned().collect(),
            joined: devices,
            progress: known.map_or(start, |known| known.progress),
            tracked,
            imposed,
            next_version,
            batch: None,
            known: known.is_some(),
            effects: Vec::new(),
            version: known.map_or(0, |known| known.version),
            early: Vec::new(),
            hashes: Vec::new(),
            again: Vec::new(),
            released: BTreeMap::new(),
            taken: Vec::new(),
            room,
        };
        plan.early = early.into_iter().filter_map(waiting).collect();
        plan
    }

    /// When the hub accepted something, as far as that can be: its clock is its own, and goes into ours nowhere.
    pub(super) fn accepted_at(&self, arrival: &Arrival) -> Millis {
        arrival.message.timestamp.min(self.now)
    }

    /// Whether something waits for what should have come before it.
    pub(super) fn is_waiting(&self) -> bool {
        !self.early.is_empty()
    }

    /// Takes something new, and whatever has waited for it.
    pub(super) fn arrive(&mut self, arrival: Arrival) -> Result<(), GatewayError> {
        self.hashes.push(arrival.hash);
        self.early.push(arrival);
        self.take_due()
    }

    /// Takes what came before. What still waits goes to all devices when it is taken.
    pub(super) fn arrive_again(&mut self, arrival: &Arrival, version: u64) {
        if self.early.iter().any(|waiting| waiting.hash == arrival.hash) {
            return;
        }
        let had = self.released.get(&arrival.hash);
        let since = |device: &&ClientUri| {
            self.joined.get(*device).is_some_and(|joined| *joined > version)
                && !had.is_some_and(|had| had.contains(*device))
        };
        let late: BTreeSet<ClientUri> = self.devices.iter().filter(since).cloned().collect();
        let devices = self.take_again(arrival, late);
        if devices > 0 {
            self.again.push(arrival.hash);
            self.taken.push((arrival.hash, devices));
        }
    }

    /// Takes what belongs to the epoch of the group or to one before it; all, where no group is tracked. In the order
    /// of epochs, in each as it came, the commit that ends it last.
    pub(super) fn take_due(&mut self) -> Result<(), GatewayError> {
        loop {
            let tracked = self.tracked.as_ref().map(|tracked| tracked.view().epoch);
            let due = |arrival: &Arrival| tracked.is_none_or(|epoch| arrival.epoch().is_none_or(|of| of <= epoch));
            let next = self.early.iter().enumerate().filter(|(_, arrival)| due(arrival));
            let Some((at, _)) = next.min_by_key(|(_, arrival)| arrival.turn()) else { return Ok(()) };
            let arrival = self.early.remove(at);
            if let Some(waiting) = arrival.kept {
                self.effects.push(Effect::LetGo(waiting.ordinal));
                self.again.push(arrival.hash);
                self.released.insert(arrival.hash, self.devices.clone());
            }
            let devices = self.take(&arrival)?;
            self.taken.push((arrival.hash, devices));
        }
    }

    /// Keeps what is still early, or gives up waiting where that is too much or has taken too long.
    pub(super) fn finish(&mut self) -> Result<(), GatewayError> {
        let since = |arrival: &Arrival| arrival.kept.map_or(self.now, |waiting| waiting.since);
        let oldest = self.early.iter().map(since).min();
        let too_long = oldest.is_some_and(|oldest| oldest < self.now.minus(PATIENCE));
        let bytes: usize = self.early.iter().map(|arrival| arrival.bytes.len()).sum();
        if self.early.len() > EARLY as usize || bytes > EARLY_BYTES || too_long {
            self.lose("commit_is_missing");
            self.take_due()?;
        }
        for arrival in std::mem::take(&mut self.early).into_iter().filter(|arrival| arrival.kept.is_none()) {
            let (why, epoch, at) = (Why::Early, arrival.kept_epoch(), self.accepted_at(&arrival));
            let item = self.item(arrival.kind(), arrival.bytes, at);
            self.effects.push(Effect::Keep(Kept { why, epoch, item, kept_at: self.now, devices: Vec::new() }));
        }
        Ok(())
    }

    pub(super) fn item(&self, kind: &str, payload: Vec<u8>, at: Millis) -> StreamItem {
        StreamItem { room: Some(self.room.clone()), kind: kind.to_owned(), payload, at }
    }

    /// Sends something of the hub to devices, or keeps it for them while the room is withheld.
    pub(super) fn deliver(&mut self, arrival: &Arrival, devices: Vec<ClientUri>) {
        let item = self.item(arrival.kind(), arrival.bytes.clone(), self.accepted_at(arrival));
        self.effects.push(match self.progress.standing {
            Standing::Withheld => {
                let (epoch, kept_at) = (arrival.kept_epoch(), self.now);
                Effect::Keep(Kept { why: Why::Withheld, epoch, item, kept_at, devices })
            }
            Standing::Open | Standing::Leaving => Effect::Deliver(devices, item),
        });
    }

    /// Sends a word of our own to all devices in the room.
    pub(super) fn tell(&mut self, kind: &str) {
        let item = self.item(kind, Vec::new(), self.now);
        self.effects.push(Effect::Deliver(self.devices.iter().cloned().collect(), item));
    }

    pub(super) fn record(&mut self, kind: &str, outcome: Outcome, reason: &str, detail: Value) {
        self.effects.push(Effect::Record(AuditRecord {
            room: Some(self.room.clone()),
            peer: Some(self.hub.clone()),
            reason: reason.to_owned(),
            epoch: self.tracked.as_ref().map(|tracked| tracked.view().epoch),
            trace: telemetry::current_trace_id(),
            detail,
            ..AuditRecord::new(Uuid::now_v7(), self.now, kind, outcome)
        }));
    }

    /// The group is no longer known: says so in the log, and asks the devices for it. Does nothing where it was not.
    pub(super) fn lose(&mut self, reason: &str) {
        if let Some(tracked) = self.tracked.clone() {
            tracing::warn!(room = %self.room, reason, "group of `{}` is no longer tracked", self.room);
            self.record("follower.lost", Outcome::Error, reason, json!({}));
            self.effects.push(Effect::Lose(tracked.seen));
            self.tracked = None;
            self.tell(GROUP_INFO_WANTED);
        }
    }

    /// Writes all of it, or nothing.
    pub(super) fn write(mut self) -> Result<(), StoreError> {
        if self.batch.is_some() {
            let detail = received(&std::mem::take(&mut self.taken));
            self.record("delivery.received", Outcome::Info, "fanned_out_by_the_hub", detail);
        }
        if self.effects.is_empty() {
            return Ok(());
        }
        let Self { inner, room, now, progress, batch, effects, version, hashes, again, .. } = self;
        let effects = effects.into_iter().map(Effect::seal).collect::<Result<Vec<_>, _>>()?;
        let lane = room.to_string();
        inner.store.write(&lane, move |tx: &mut Tx<'_>| {
            let repeated = match &batch {
                Some(key) => inbox::see_batch(tx, key, now)? == Noted::Again,
                None => false,
            };
            // The same bytes may come for another of our domains, whose devices have joined meanwhile.
            if repeated && again.is_empty() {
                return Ok(());
            }
            follower::know(tx, &room, now)?;
            follower::advance(tx, &room, version, &progress)?;
            effects.iter().try_for_each(|effect| effect.write(tx, &room, now))?;
            // Devices that join by this plan have moved the version, too.
            let reached = follower::version(tx, &room)?;
            for hash in &hashes {
                if inbox::see_message(tx, &room, hash, reached, now)? == Noted::Again {
                    return Err(StoreError::AlreadyAnswered);
                }
            }
            again.iter().try_for_each(|hash| inbox::see_again(tx, &room, hash, reached))
        })
    }
}

/// What waits for its predecessor, read back.
fn waiting(row: KeptRow) -> Option<Arrival> {
    let kept = Some(Waiting { ordinal: row.ordinal, since: row.kept.kept_at });
    let bytes = row.kept.item.payload;
    let message = FanoutMessage::decode(&bytes).ok()?;
    let hash = message.body.message().hash();
    Some(Arrival { message, bytes, hash, welcomed: Vec::new(), again: None, kept })
}

/// What a record says of a batch: it has its limit, and a batch may hold many messages. The hash is over those of all
/// of them, one after the other.
fn received(taken: &[([u8; 32], usize)]) -> Value {
    let hashes: Vec<&[u8]> = taken.iter().map(|(hash, _)| hash.as_slice()).collect();
    let shown: Vec<Value> = taken
        .iter()
        .take(LISTED)
        .map(|(hash, devices)| json!({ "message": HEXLOWER.encode(hash), "devices": devices }))
        .collect();
    json!({ "count": taken.len(), "sha256": HEXLOWER.encode(&digest(&hashes.concat())), "messages": shown })
}

fn digest(bytes: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec()
}

impl Effect {
    /// # Errors
    ///
    /// [`StoreError::AuditUnavailable`] for a record that cannot be kept.
    fn seal(self) -> Result<Self, StoreError> {
        match self {
            Self::Record(record) => record.seal().map(Self::Sealed),
            other => Ok(other),
        }
    }

    fn write(&self, tx: &mut Tx<'_>, room: &RoomUri, now: Millis) -> Result<(), StoreError> {
        match self {
            Self::Join(device) => follower::join(tx, room, device, now),
            Self::Gone(device) => {
                follower::leave(tx, room, device)?;
                let retired = devices::standing(tx, device)?.is_some_and(|(.., retired)| retired);
                if retired { drop_if_out(tx, device) } else { Ok(()) }
            }
            Self::Deliver(devices, item) => streams::push(tx, devices, item),
            Self::Keep(kept) => follower::keep(tx, kept),
            Self::LetGo(ordinal) => follower::let_go(tx, room, *ordinal),
            Self::KeepProposal(kept) => follower::keep_proposal(tx, kept, PROPOSALS, PROPOSAL_BYTES).map(|kept| {
                if !kept {
                    tracing::warn!(%room, "room has too many proposals for one that is not tracked, one is not kept");
                }
            }),
            Self::ForgetProposals(before) => follower::forget_proposals(tx, room, *before),
            Self::Follow { group, state, by } => rooms::follow(tx, room, group, state, by, now),
            Self::Advance { seen, next } => rooms::advance_epoch(tx, room, *seen, next, now).map(drop),
            Self::AcceptProposals { seen } => rooms::accept_proposals(tx, room, *seen, now).map(drop),
            Self::Pend { epoch, proposal } => proposals::add(tx, room, *epoch, proposal),
            Self::Lose(seen) => rooms::lose(tx, room, *seen),
            Self::Settle(restriction) => restrictions::settle(tx, &Place::from(room), restriction, now),
            Self::Release => follower::flush(tx, room).map(drop),
            Self::Record(record) => tx.stage(record),
            Self::Sealed(record) => tx.stage_sealed(record),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_messages_a_batch_has_its_record_can_be_written() {
        let taken: Vec<([u8; 32], usize)> = (0..100_000).map(|_| ([7; 32], usize::MAX)).collect();
        let detail = received(&taken);
        assert!(detail.to_string().len() < 256 * 1024);
        assert_eq!(detail["count"], 100_000);
        assert_ne!(detail["sha256"], received(&taken[1..])["sha256"]);
    }
}
