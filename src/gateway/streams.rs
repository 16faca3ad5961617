//! Who reads the stream of a device, and until when. A device has one reader at a time in each process: the newest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portcullis_core::policy::{DoorAct, DoorQuestion};
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{ClientUri, UserUri};
use portcullis_store::streams::{self, StreamRow};
use portcullis_store::{StoreError, Topic, devices};
use serde_json::json;
use tokio::sync::{Semaphore, watch};

use super::decide::{Case, Decision};
use super::devices::SIGHT;
use super::follow::LEAVE;
use super::once::Once;
use super::places::Of;
use super::{Gateway, GatewayError, Inner, people};
use crate::limits::TooMany;

/// Most streams of one user's devices at once, in each process.
const OF_A_USER: usize = 32;

/// The same with those that have ended for us and are still there: one whose reader does not read does not hear that it was
/// replaced, and keeps what it has read until its connection ends.
const ALIVE_OF_A_USER: usize = 2 * OF_A_USER;

/// When to come again beyond [`OF_A_USER`] or [`ALIVE_OF_A_USER`].
const LATER: Duration = Duration::from_secs(5);

/// Streams that read the database at once; the others wait for their turn.
const READERS: usize = 32;

/// What is read by a device that is there only to leave rooms: that it is to, and what moves the epoch in which it proposes so.
const FOR_LEAVING: [&str; 3] = [LEAVE, "commit", "proposal"];

/// Most events, and most bytes of their payloads, that are read at once; one event may be larger.
const BATCH: u32 = 16;
const BATCH_BYTES: u64 = 1 << 20;

/// What happened to a stream that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// There may be something to read.
    Read,
    /// The device is read by a newer stream.
    Superseded,
    /// Policy does not let the user read any longer; that is on the record.
    Denied,
    /// The gateway has ended.
    Closed,
}

/// What a stream hears of.
enum Happened {
    Newer,
    Policy,
    Positioned,
}

/// The stream of a device, which its user may read.
pub struct DeviceStream {
    inner: Arc<Inner>,
    entered: Entered,
    /// Since when the device is registered: another one of its name is none of ours.
    since: Millis,
    policy: watch::Receiver<u64>,
    positioned: watch::Receiver<u64>,
    /// When it was noted last that the device is there.
    noted: Millis,
}

/// The open streams of this process.
pub(super) struct Streams {
    /// By the name of the user in small letters, by which the identity provider ends them.
    open: Mutex<HashMap<UserUri, OfUser>>,
    readers: Semaphore,
    arrivals: tokio::sync::Mutex<Arrivals>,
}

/// The streams of one user.
#[derive(Default)]
struct OfUser {
    /// The newest of each device, until it is ended.
    newest: HashMap<ClientUri, watch::Sender<bool>>,
    /// Those that are there, ended or not.
    alive: usize,
}

/// A stream's place among those of its user, given back when it is dropped.
struct Entered {
    streams: Arc<Streams>,
    user: UserUri,
    device: ClientUri,
    /// Becomes true when a newer one is opened.
    superseded: watch::Receiver<bool>,
}

/// What came last for the devices that have a stream, as of one growth of the streams: read once for all.
#[derive(Default)]
struct Arrivals {
    /// The count of [`Topic::Streams`] then; `None` before the first.
    count: Option<u64>,
    through: u64,
    last: HashMap<ClientUri, u64>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { open: Mutex::default(), readers: Semaphore::new(READERS), arrivals: tokio::sync::Mutex::default() }
    }
}

impl Streams {
    fn open(&self) -> MutexGuard<'_, HashMap<UserUri, OfUser>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the device's older stream.
    fn enter(self: &Arc<Self>, user: UserUri, device: ClientUri) -> Result<Entered, TooMany> {
        let mut open = self.open();
        let own = open.entry(user.folded()).or_default();
        let too_many_devices = own.newest.len() >= OF_A_USER && !own.newest.contains_key(&device);
        if too_many_devices || own.alive >= ALIVE_OF_A_USER {
            return Err(TooMany { wait: LATER });
        }
        let (newer, superseded) = watch::channel(false);
        if let Some(older) = own.newest.insert(device.clone(), newer) {
            let _ = older.send(true);
        }
        own.alive += 1;
        Ok(Entered { streams: Arc::clone(self), user, device, superseded })
    }

    /// Ends the stream of a device that is no more.
    pub(super) fn end(&self, user: &UserUri, device: &ClientUri) {
        let mut open = self.open();
        if let Some(ended) = open.get_mut(&user.folded()).and_then(|own| own.newest.remove(device)) {
            let _ = ended.send(true);
        }
    }

    /// The devices of a user that have a stream here.
    pub(super) fn of(&self, user: &UserUri) -> Vec<ClientUri> {
        self.open().get(&user.folded()).into_iter().flat_map(|own| own.newest.keys()).cloned().collect()
    }

    fn is_open(&self, device: &ClientUri) -> bool {
        let open = self.open();
        device.user().and_then(|user| open.get(&user.folded())).is_some_and(|own| own.newest.contains_key(device))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let Self { streams, user, device, superseded } = &*self;
        let (mut open, user) = (streams.open(), &user.folded());
        let Some(own) = open.get_mut(user) else { return };
        // Unless a newer one has its place.
        if own.newest.get(device).is_some_and(|newer| newer.subscribe().same_channel(superseded)) {
            own.newest.remove(device);
        }
        own.alive -= 1;
        if own.alive == 0 {
            open.remove(user);
        }
    }
}

impl Gateway {
    /// Lets `user` read what its device is sent. The decision is on the record before anything is read.
    ///
    /// # Errors
    ///
    /// [`GatewayError::NotFound`] for a device that is not the user's, [`GatewayError::TooMany`] beyond 32 streams of the
    /// user, or 64 with those that were ended and are not dropped yet, [`GatewayError::Refused`] by policy.
    pub async fn open_stream(&self, user: UserUri, device: ClientUri) -> Result<DeviceStream, GatewayError> {
        let of = vec![Of::User(user.clone())];
        let opened = move |inner: &Arc<Inner>| {
            let registered = || inner.store.read(|conn| devices::standing(conn, &device));
            let own = |(owner, since, _): (UserUri, Millis, bool)| (owner == user).then_some(since);
            if registered()?.and_then(own).is_none() {
                // Whoever has no rights has no device any more but those that have a room to leave.
                let out = people::is_out(inner, &user);
                return if out { people::refuse(inner, &user, "read_stream") } else { Err(GatewayError::NotFound) };
            }
            let entered = inner.streams.enter(user.clone(), device.clone())?;
            // Asked once more: whoever deletes it now finds the stream, and whoever has done so is seen.
            let since = registered()?.and_then(own).ok_or(GatewayError::NotFound)?;
            // Seen before deciding, so that what changes meanwhile is decided again.
            let (policy, positioned) = (inner.policy.changes(), inner.store.changes(Topic::Streams));
            let (noted, inner) = (inner.clock.now(), Arc::clone(inner));
            let stream = DeviceStream { inner, entered, since, policy, positioned, noted };
            let inner = &stream.inner;
            let decision = stream.decide();
            if !decision.allow {
                return inner.refuse(Once::unnamed(), user.as_str(), &decision);
            }
            inner.record(user.as_str(), &decision)?;
            super::devices::seen(inner, &user, &device)?;
            Ok(stream)
        };
        self.0.blocking(of, opened).await
    }
}

impl DeviceStream {
    /// The device.
    pub fn device(&self) -> &ClientUri {
        &self.entered.device
    }

    /// The next events after position `after`, at most 16 with 1 MiB of payloads together; one may be larger. Waits for
    /// its turn.
    ///
    /// # Errors
    ///
    /// [`GatewayError::NotFound`] when the device was deleted, here or by another process; [`GatewayError`] of the
    /// database.
    pub async fn read(&mut self, after: u64) -> Result<Vec<StreamRow>, GatewayError> {
        // Seen before reading, so that what is positioned meanwhile wakes us again.
        self.positioned.mark_unchanged();
        let _turn = self.inner.streams.readers.acquire().await.map_err(GatewayError::internal)?;
        let (inner, device, registered) =
            (Arc::clone(&self.inner), self.device().clone(), (self.entered.user.clone(), self.since));
        // Whoever listens for long is there for long.
        let now = inner.clock.now();
        let is_news = self.noted < now.minus(SIGHT);
        let rows = blocking(move || {
            let rows = inner.store.read(|conn| {
                let (owner, since, retired) = devices::standing(conn, &device)?.ok_or(StoreError::Missing)?;
                if (owner, since) != registered {
                    return Err(StoreError::Missing);
                }
                let (mut rows, mut after) = (Vec::new(), after);
                loop {
                    let more = streams::read_within(conn, &device, after, BATCH, BATCH_BYTES)?;
                    let Some(last) = more.last() else { break };
                    after = last.position;
                    rows.extend(
                        more.into_iter().filter(|row| !retired || FOR_LEAVING.contains(&row.item.kind.as_str())),
                    );
                    if !rows.is_empty() {
                        break;
                    }
                }
                Ok(rows)
            })?;
            if is_news {
                super::devices::seen(&inner, &registered.0, &device)?;
            }
            Ok::<_, GatewayError>(rows)
        });
        let rows = rows.await?;
        if is_news {
            self.noted = now;
        }
        Ok(rows)
    }

    /// Why nothing more may be read, if that is so.
    pub fn ended(&mut self) -> Option<Wake> {
        if *self.entered.superseded.borrow() {
            return Some(Wake::Superseded);
        }
        let changed = self.policy.has_changed().unwrap_or(true);
        self.policy.mark_unchanged();
        (changed && !self.still_allowed()).then_some(Wake::Denied)
    }

    /// Waits until something happens that concerns the device, which has read up to position `after`. Dropping the wait
    /// loses nothing for whoever reads again then.
    pub async fn wake(&mut self, after: u64) -> Wake {
        loop {
            let happened = tokio::select! {
                biased;
                superseded = self.entered.superseded.wait_for(|superseded| *superseded) => superseded.is_ok().then_some(Happened::Newer),
                changed = self.policy.changed() => changed.is_ok().then_some(Happened::Policy),
                changed = self.positioned.changed() => changed.is_ok().then_some(Happened::Positioned),
            };
            match happened {
                Some(Happened::Newer) => return Wake::Superseded,
                Some(Happened::Policy) if !self.still_allowed() => return Wake::Denied,
                Some(Happened::Positioned) if self.concerned(after).await => return Wake::Read,
                Some(Happened::Policy | Happened::Positioned) => {}
                None => return Wake::Closed,
            }
        }
    }

    /// Whether something came for this device since `after`. When the database does not tell: perhaps.
    async fn concerned(&mut self, after: u64) -> bool {
        let count = *self.positioned.borrow_and_update();
        let streams = Arc::clone(&self.inner.streams);
        let mut arrivals = streams.arrivals.lock().await;
        if arrivals.count.is_none_or(|seen| seen != count) {
            let (inner, through, first) = (Arc::clone(&self.inner), arrivals.through, arrivals.count.is_none());
            let read = blocking(move || {
                inner.store.read(|conn| {
                    if first {
                        return Ok((Vec::new(), streams::last_position(conn)?));
                    }
                    let came = streams::devices_after(conn, through)?;
                    let last = came.iter().map(|(_, last)| *last).max().unwrap_or(through);
                    Ok::<_, StoreError>((came, last))
                })
            });
            let Ok((came, through)) = read.await else { return true };
            arrivals.last.retain(|device, _| streams.is_open(device));
            arrivals.last.extend(came.into_iter().filter(|(device, _)| streams.is_open(device)));
            (arrivals.count, arrivals.through) = (Some(count), through);
            if first {
                return true;
            }
        }
        arrivals.last.get(self.device()).is_some_and(|last| *last > after)
    }

    /// Whether policy still lets the user read. That it does not is recorded; the stream does not wait for that.
    fn still_allowed(&self) -> bool {
        let decision = self.decide();
        if decision.allow {
            return true;
        }
        let (inner, user, device) = (Arc::clone(&self.inner), self.entered.user.clone(), self.device().clone());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = inner.record(user.as_str(), &decision) {
                tracing::error!(%error, %device, "the end of an event stream is not on the record");
            }
        });
        false
    }

    fn decide(&self) -> Decision {
        let (user, now) = (&self.entered.user, self.inner.clock.now());
        let (domain, is_out) = (user.domain(), people::is_out(&self.inner, user));
        let case = Case {
            kind: "decision.stream",
            room: None,
            actor: Some(user.to_string()),
            peer: domain.clone(),
            epoch: None,
            exchange: None,
            now,
        };
        if is_out {
            // No policy holds somebody in a room; what is read then is what it takes to leave.
            let record = case.note("deactivated_and_has_rooms_to_leave", json!({ "device": self.entered.device }));
            return Decision { allow: true, record, code: "", sentence: String::new(), rate: None };
        }
        let question = DoorQuestion { act: DoorAct::ReadStream, actor: user, door: &domain, source: &domain, now };
        case.decide_door(&self.inner.policy.active(), &question)
    }
}

/// Beside the requests: streams have bounds of their own.
async fn blocking<T: Send + 'static, E: Into<GatewayError> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, GatewayError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(Into::into),
        Err(panic) => Err(GatewayError::internal(panic)),
    }
}
