//! What the next group of a room starts with: what the last one had, without who has left it.

use crate::mls::GroupView;
use crate::wire::components::{FrankingAgent, ParticipantList};
use crate::wire::external_sender::ExternalSender;
use crate::wire::update::Extension;
use crate::wire::uri::UserUri;
use crate::wire::{DecodeError, Wire};

use super::templates::{APP_DATA_DICTIONARY, EXTERNAL_SENDERS, ExternalSenders};
use super::{Action, Grant, RoomState};

/// The GroupContext extensions of the group that follows `group`, whose own are `extensions` (both as
/// `Extension extensions<V>`): the same, but for the hub, its franking agent, and who takes part no longer by `gone`.
///
/// # Errors
///
/// [`DecodeError`] for what is no list of extensions, or no participant list.
pub fn successor(
    group: &GroupView,
    extensions: &[u8],
    (hub, franking_agent): (&ExternalSender, &FrankingAgent),
    gone: impl Fn(&UserUri) -> bool,
) -> Result<Vec<u8>, DecodeError> {
    let mut components = group.components.clone();
    let mut list = components.read::<ParticipantList>()?.unwrap_or_default();
    list.participants.retain(|listed| !gone(&listed.user));
    components.write(&list);
    components.write(franking_agent);
    let mut extensions = Vec::<Extension>::decode(extensions)?;
    for extension in &mut extensions {
        match extension.extension_type {
            APP_DATA_DICTIONARY => extension.data = components.encode(),
            EXTERNAL_SENDERS => extension.data = ExternalSenders { senders: vec![hub.clone()] }.encode(),
            _ => {}
        }
    }
    Ok(extensions.encode())
}

impl RoomState {
    /// A4 of a participant that comes in with a client of its own.
    pub fn own_client(&self, user: &UserUri) -> Action {
        Grant::OwnClient.action(user, self.role_of(user))
    }
}
