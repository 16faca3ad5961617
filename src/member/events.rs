//! What a device hears: its event stream, taken in by its MLS client event by event.

use std::time::Duration;

use portcullis_core::member::{Member, Message, Received};
use portcullis_core::wire::Wire;
use portcullis_core::wire::notify::FanoutMessage;
use portcullis_core::wire::uri::RoomUri;

use super::device::Device;
use super::error::DeviceError;
use crate::provider::client::EventStream;

/// When waiting is given up: nothing that is waited for takes so long unless something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// The stream of a device, and what has come out of it.
#[derive(Debug)]
pub(super) struct Feed {
    stream: EventStream,
    heard: Vec<(RoomUri, Received)>,
}

impl Feed {
    pub(super) fn new(stream: EventStream) -> Self {
        Self { stream, heard: Vec::new() }
    }

    async fn step(&mut self, member: &mut Member) -> Result<(), DeviceError> {
        let event = self.stream.next().await?.event;
        let fanout = FanoutMessage::decode(&event.payload.0).map_err(DeviceError::Event)?;
        let received = member.receive(&event.room, &fanout)?;
        self.heard.extend(received.into_iter().map(|received| (event.room.clone(), received)));
        Ok(())
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

    async fn until<T>(&mut self, wanted: &str, mut reached: impl FnMut(&Self) -> Option<T>) -> Result<T, DeviceError> {
        let followed = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(found) = reached(self) {
                    return Ok(found);
                }
                self.feed.step(&mut self.member).await?;
            }
        })
        .await;
        let silent = |_| Err(DeviceError::Silent { device: self.client().clone(), wanted: wanted.to_owned() });
        followed.unwrap_or_else(silent)
    }
}
