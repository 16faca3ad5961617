//! Two views of a room (reading D-51): what its group says, and what accepted proposals have made of it already. Rights
//! end with the acceptance of a proposal and begin with the commit, so the stricter view counts.

use std::collections::{BTreeMap, BTreeSet};

use crate::mls::{ComponentOperation, Effect, Part};
use crate::wire::components::{Capability, ComponentId};
use crate::wire::uri::UserUri;

use super::RoomState;
use super::operations::list_moves;
use super::state::{BANNED, UNLISTED};

/// A room together with the proposals that were accepted in its epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The role that each user concerned will have.
    pending_roles: BTreeMap<UserUri, u32>,
    blocked: BTreeSet<UserUri>,
}

impl Effective {
    /// Users whose rights have ended: removed, banned, leaving, or about to lose every client.
    pub fn blocked(&self) -> &BTreeSet<UserUri> {
        &self.blocked
    }

    /// Whether `user` has `capability` by its role in `room`, but not by the role it is about to get.
    pub fn takes_away(&self, room: &RoomState, user: &UserUri, capability: Capability) -> bool {
        room.holds(user, capability) && !self.holds(room, user, capability)
    }

    /// Whether `user` has `capability` both by its role in `room` and by the role it is about to get.
    pub fn holds(&self, room: &RoomState, user: &UserUri, capability: Capability) -> bool {
        let pending = self.pending_roles.get(user).copied().unwrap_or_else(|| room.role_of(user));
        !self.blocked.contains(user) && room.holds(user, capability) && room.role_has(pending, capability)
    }
}

impl RoomState {
    /// The view with the accepted proposals `pending`.
    pub fn effective(&self, pending: &[Part]) -> Effective {
        let mut pending_roles = BTreeMap::new();
        let mut going: BTreeMap<&UserUri, BTreeSet<u32>> = BTreeMap::new();
        for part in pending {
            match &part.effect {
                Effect::Component {
                    id: ComponentId::PARTICIPANT_LIST,
                    operation: ComponentOperation::Update(data),
                } => {
                    // Accepted ones fit the list; one that does not takes no right away.
                    let moves = list_moves(data, self).unwrap_or_default();
                    pending_roles.extend(moves.into_iter().map(|(user, _, to)| (user, to)));
                }
                Effect::Remove { leaf, user, .. } | Effect::SelfRemove { leaf, user, .. } => {
                    going.entry(user).or_default().insert(*leaf);
                }
                _ => {}
            }
        }
        let out = pending_roles
            .iter()
            .filter(|(_, role)| **role == UNLISTED || (**role == BANNED && self.has_banned_role()))
            .map(|(user, _)| user.clone());
        let without_clients = going
            .into_iter()
            .filter(|(user, leaves)| self.clients().get(*user).is_some_and(|clients| clients.is_subset(leaves)))
            .map(|(user, _)| user.clone());
        let blocked = out.chain(without_clients).collect();
        Effective { pending_roles, blocked }
    }

    /// Users whose rights ended with one of the accepted proposals `pending`.
    pub fn blocked(&self, pending: &[Part]) -> BTreeSet<UserUri> {
        self.effective(pending).blocked
    }
}
