//! base_room_policy: membership style and limits (draft-ietf-mimi-room-policy).

use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

use crate::wire::uri::RoomUri;
use crate::wire::{codec, wire};

use super::{Component, ComponentId};

/// `BaseRoomPolicy`.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct BaseRoomPolicy {
    /// Nobody but the first participants may take part.
    #[tls_codec(with = "codec::flag")]
    pub fixed_membership: bool,
    /// Participants must take part in the parent room.
    #[tls_codec(with = "codec::flag")]
    pub parent_dependant: bool,
    /// The parent room (reading P-2).
    #[tls_codec(with = "codec::at_most_one")]
    pub parent_room: Option<RoomUri>,
    /// Users may have several clients in the group.
    #[tls_codec(with = "codec::flag")]
    pub multi_device: bool,
    /// Most clients in the group; `None` is without limit.
    pub max_clients: Option<u32>,
    /// Most users in the participant list; `None` is without limit.
    pub max_users: Option<u32>,
    /// Users may take part under a pseudonym.
    #[tls_codec(with = "codec::flag")]
    pub pseudonyms_allowed: bool,
    /// The room outlives its last active participant.
    #[tls_codec(with = "codec::flag")]
    pub persistent_room: bool,
    /// The room may be listed.
    #[tls_codec(with = "codec::flag")]
    pub discoverable: bool,
    /// The policy components in force.
    pub policy_component_ids: Vec<ComponentId>,
}

impl Component for BaseRoomPolicy {
    const ID: ComponentId = ComponentId::BASE_ROOM_POLICY;
}

wire!(BaseRoomPolicy);
