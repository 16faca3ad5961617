//! What a device hears: its event stream, taken in by its MLS client event by event.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portcullis_core::member::{Member, Message, Received};
use portcullis_core::wire::Wire;
use portcullis_core::wire::consent::{ConsentEntry, ConsentOperation};
use portcullis_core::wire::notify::FanoutMessage;
use portcullis_core::wire::uri::RoomUri;

use super::answer::Sent;
use super::device::Device;
use super::error::DeviceError;
use crate::provider::Event;
use crate::provider::client::EventStream;

/// When waiting is given up: nothing that is waited for takes so long unless something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// The stream of a device, and what has come out of it.
#[derive(Debug)]
pub(super) struct Feed {
    stream: EventStream,
    heard: Vec<(RoomUri, Received)>,
    consents: Vec<ConsentEntry>,
    /// Hash of the MLSMessage that came last.
    last: Option<[u8; 32]>,
    /// Rooms of other providers whose group the gateway is to be told.
    untold: BTreeSet<RoomUri>,
    /// Rooms that are to be left, with the epoch in which that was proposed last.
    leaving: BTreeMap<RoomUri, Option<u64>>,
}

impl Feed {
    pub(super) fn new(stream: EventStream) -> Self {
        Self {
            stream,
            heard: Vec::new(),
            consents: Vec::new(),
            last: None,
            untold: BTreeSet::new(),
            leaving: BTreeMap::new(),
        }
    }

    /// Takes in the next event, and gives its room where it is of one.
    async fn step(&mut self, member: &mut Member) -> Result<Option<RoomUri>, DeviceError> {
        let Event { room, kind, payload, .. } = self.stream.next().await?.event;
        if kind.starts_with("consent_") {
            self.consents.push(ConsentEntry::decode(&payload.0).map_err(DeviceError::Event)?);
            return Ok(None);
        }
        let Some(room) = room else { return Ok(None) };
        match kind.as_str() {
            "group_info_wanted" => drop(self.untold.insert(room.clone())),
            "leave" => drop(self.leaving.entry(room.clone()).or_default()),
            "commit" | "proposal" | "application" | "welcome" => {
                let fanout = FanoutMessage::decode(&payload.0).map_err(DeviceError::Event)?;
                self.last = Some(fanout.body.message().hash());
                let received = member.receive(&room, &fanout)?;
                if received.iter().any(|received| matches!(received, Received::Joined { .. })) {
                    self.joined(&room, member);
                }
                self.heard.extend(received.into_iter().map(|received| (room.clone(), received)));
            }
            _ => {}
        }
        Ok(Some(room))
    }

    /// The gateway has no other way to know the group of a room that it does not host (correction C-2).
    pub(super) fn joined(&mut self, room: &RoomUri, member: &Member) {
        if room.domain() != member.client().domain() {
            self.untold.insert(room.clone());
        }
    }
}

impl Device {
    /// Everything this device has heard in `room`, in the hub's order.
    pub fn heard(&self, room: &RoomUri) -> impl Iterator<Item = &Received> {
        self.feed.heard.iter().filter(move |(of, _)| of == room).map(|(_, received)| received)
    }

    /// Follows its stream until it is in `epoch` of `room`, or beyond.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Silent`] when that does not come, [`DeviceError`] for what cannot be taken in.
    pub async fn until_epoch(&mut self, room: &RoomUri, epoch: u64) -> Result<(), DeviceError> {
        let reached = |device: &Self| device.member.epoch(room).is_ok_and(|now| now >= epoch).then_some(());
        self.until(&format!("epoch {epoch}"), reached).await
    }

    /// Follows its stream until what it has just sent comes back. A device that goes on without doing so runs ahead of
    /// its stream, and cannot read messages of epochs that it has left long ago.
    ///
    /// # Errors
    ///
    /// As [`Self::until_epoch`].
    pub async fn until_echo(&mut self, sent: &Sent) -> Result<(), DeviceError> {
        let echo = |device: &Self| (device.feed.last == sent.exchange).then_some(());
        self.until("its own message", echo).await
    }

    /// Follows its stream until it has decrypted a message that says `text`.
    ///
    /// # Errors
    ///
    /// As [`Self::until_epoch`].
    pub async fn until_text(&mut self, room: &RoomUri, text: &str) -> Result<Message, DeviceError> {
        let said = |device: &Self| {
            device.heard(room).find_map(|received| match received {
                Received::Message(message) if message.content.body.as_text() == Some(text) => {
                    Some(message.as_ref().clone())
                }
                _ => None,
            })
        };
        self.until(&format!("`{text}`"), said).await
    }

    /// Follows its stream until `count` proposals in all have come.
    ///
    /// # Errors
    ///
    /// As [`Self::until_epoch`].
    pub async fn until_proposed(&mut self, room: &RoomUri, count: usize) -> Result<(), DeviceError> {
        let proposed = |device: &Self| {
            let proposals = device.heard(room).filter(|received| matches!(received, Received::Proposed { .. }));
            (proposals.count() >= count).then_some(())
        };
        self.until(&format!("{count} proposals"), proposed).await
    }

    /// Follows its stream until somebody has taken this step towards its user, `count` times in all; gives the last.
    ///
    /// # Errors
    ///
    /// As [`Self::until_epoch`].
    pub async fn until_consent(
        &mut self,
        operation: ConsentOperation,
        count: usize,
    ) -> Result<ConsentEntry, DeviceError> {
        let told = |device: &Self| {
            let mut told = device.feed.consents.iter().filter(|entry| entry.operation == operation);
            told.nth(count.saturating_sub(1)).cloned()
        };
        self.until(&format!("{count} times `{}`", operation.name()), told).await
    }

    /// Follows its stream until it has been removed from `room`.
    ///
    /// # Errors
    ///
    /// As [`Self::until_epoch`].
    pub async fn until_removed(&mut self, room: &RoomUri) -> Result<(), DeviceError> {
        let removed = |device: &Self| {
            device.heard(room).any(|received| matches!(received, Received::Removed { .. })).then_some(())
        };
        self.until("its removal", removed).await
    }

    /// Follows its stream until it has been told to leave `room`, and has proposed so.
    ///
    /// # Errors
    ///
    /// As [`Self::until_epoch`].
    pub async fn until_leaving(&mut self, room: &RoomUri) -> Result<(), DeviceError> {
        let leaving = |device: &Self| device.feed.leaving.get(room).copied().flatten().map(drop);
        self.until("that it is to leave", leaving).await
    }

    /// Takes in the next event and does what it asks for.
    async fn step(&mut self) -> Result<(), DeviceError> {
        let Some(room) = self.feed.step(&mut self.member).await? else { return Ok(()) };
        self.tell_group(&room).await?;
        self.obey(&room).await
    }

    /// Describes the group of a room to the gateway, where it does not know it. What it does not take yet, because the
    /// room has moved on or nobody answers, is tried again after the next event.
    pub(super) async fn tell_group(&mut self, room: &RoomUri) -> Result<(), DeviceError> {
        if !self.feed.untold.contains(room) || self.member.epoch(room).is_err() {
            return Ok(());
        }
        let group = self.member.group_info(room)?;
        let (group_info, tree) = (group.group_info.as_bytes().to_vec(), group.tree.as_bytes().to_vec());
        let later = match self.door.take_up(room, group_info, tree).await {
            Ok(_) => false,
            Err(error) => error.problem().is_none_or(|it| it.status >= 500 || it.code == "group_info_stale"),
        };
        if !later {
            self.feed.untold.remove(room);
        }
        Ok(())
    }

    /// Leaves a room that the gateway wants it out of: a proposal ends with its epoch, so in every epoch anew.
    async fn obey(&mut self, room: &RoomUri) -> Result<(), DeviceError> {
        let Some(proposed) = self.feed.leaving.get(room).copied() else { return Ok(()) };
        let Ok(epoch) = self.member.epoch(room) else { return Ok(()) };
        if proposed == Some(epoch) || !self.member.rooms().any(|of| of == room) {
            return Ok(());
        }
        // Refused where the room has moved on meanwhile: the commit that did is on its way.
        if self.leave(room).await?.answer.is_ok() {
            self.feed.leaving.insert(room.clone(), Some(epoch));
        }
        Ok(())
    }

    async fn until<T>(&mut self, wanted: &str, mut reached: impl FnMut(&Self) -> Option<T>) -> Result<T, DeviceError> {
        let followed = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(found) = reached(self) {
                    return Ok(found);
                }
                self.step().await?;
            }
        })
        .await;
        let silent = |_| Err(DeviceError::Silent { device: self.client().clone(), wanted: wanted.to_owned() });
        followed.unwrap_or_else(silent)
    }
}
