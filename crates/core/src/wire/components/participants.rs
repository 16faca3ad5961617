//! participant_list: who takes part, in which role (draft-ietf-mimi-protocol, "Participant List").

use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

use crate::wire::uri::UserUri;
use crate::wire::wire;

use super::{Component, ComponentId};

/// `ParticipantListData`. Updates refer to participants by their position in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct ParticipantList {
    /// In the order they were added.
    pub participants: Vec<Participant>,
}

/// `UserRolePair`.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct Participant {
    /// A user, or a provider in its own right (reading P-8).
    pub user: UserUri,
    /// Which role of the roles_list.
    pub role_index: u32,
}

/// `ParticipantListUpdate`: changes, then removals, then additions. Every index is a position in the list of the epoch
/// in which the update was sent (reading D-50).
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct ParticipantListUpdate {
    /// Participants that change their role.
    pub changed: Vec<RoleChange>,
    /// Positions of those who go.
    pub removed: Vec<u32>,
    /// Those who come, appended in this order.
    pub added: Vec<Participant>,
}

/// `UserindexRolePair`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct RoleChange {
    /// Position of the participant.
    pub user_index: u32,
    /// The role it gets.
    pub role_index: u32,
}

impl Component for ParticipantList {
    const ID: ComponentId = ComponentId::PARTICIPANT_LIST;
}

wire!(ParticipantList, ParticipantListUpdate);
