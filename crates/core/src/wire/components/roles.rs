//! roles_list: the roles of a room and what they may do (draft-ietf-mimi-room-policy).

use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

use crate::wire::{codec, wire};

use super::{Capability, Component, ComponentId};

/// `RoleData`.
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct RolesList {
    /// The roles, in no particular order; they are named by their index.
    pub roles: Vec<Role>,
}

/// A role. Limits count users of the role: listed ones, and active ones, who have a client in the group.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct Role {
    /// Its number; 0 stands for users who are not listed, 1 for banned ones.
    pub role_index: u32,
    /// Its name.
    #[tls_codec(with = "codec::text")]
    pub name: String,
    /// What it is for.
    #[tls_codec(with = "codec::text")]
    pub description: String,
    /// What it may do.
    pub capabilities: Vec<Capability>,
    /// Fewest listed users.
    pub min_participants: u32,
    /// Most listed users; `None` is without limit.
    pub max_participants: Option<u32>,
    /// Fewest active users.
    pub min_active: u32,
    /// Most active users; `None` is without limit.
    pub max_active: Option<u32>,
    /// Which changes of role it may make.
    pub authorized_role_changes: Vec<AuthorizedRoleChange>,
}

/// The roles into which users of one role may be moved.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct AuthorizedRoleChange {
    /// The role they have.
    pub from_role_index: u32,
    /// The roles they may get.
    pub target_role_indexes: Vec<u32>,
}

impl Component for RolesList {
    const ID: ComponentId = ComponentId::ROLES_LIST;
}

wire!(RolesList);
