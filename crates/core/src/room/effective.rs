//! Two views of a room (reading D-51): what its group says, and what accepted proposals have made of it already. Rights
//! end with the acceptance of a proposal and begin with the commit, so the stricter view counts.

use std::collections::{BTreeMap, BTreeSet};

use crate::mls::{ComponentOperation, Effect, Part, Proposer};
use crate::wire::components::{Capability, ComponentId};
use crate::wire::uri::UserUri;

use super::operations::list_moves;
use super::state::{BANNED, UNLISTED};
use super::{Action, Barred, RoomState, Rule};

/// A room together with the proposals that were accepted in its epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The role that each user concerned will have.
    pending_roles: BTreeMap<UserUri, u32>,
    blocked: BTreeSet<UserUri>,
    /// Whose rights have ended by another way than a proposal.
    barred: Barred,
    leaving: BTreeSet<UserUri>,
    imposed: bool,
}

impl Effective {
    /// The same, with those whose rights moderators have ended.
    pub fn barring(self, barred: Barred) -> Self {
        Self { barred, ..self }
    }

    /// Whether the rights of `user` have ended: it is removed, banned, leaving, about to lose every client, or barred.
    pub fn blocks(&self, user: &UserUri) -> bool {
        self.blocked.contains(user) || self.barred.contains(user)
    }

    /// Whether `user` is about to be taken off the list or banned, or a moderator has ended its rights; whatever becomes of its
    /// clients.
    pub fn is_out(&self, room: &RoomState, user: &UserUri) -> bool {
        let goes = |role: u32| role == UNLISTED || (role == BANNED && room.has_banned_role());
        self.barred.contains(user) || self.pending_role(room, user).is_some_and(goes)
    }

    /// Users who are listed and have proposed to leave.
    pub fn leaving(&self) -> &BTreeSet<UserUri> {
        &self.leaving
    }

    /// Whether somebody who is listed is about to get another role, or to go, by the proposal of somebody else.
    pub fn is_imposed(&self) -> bool {
        self.imposed
    }

    /// Whether the role that the actor is about to get gives no right to `action`, by capability, alternative and
    /// transition. Its own clients may always be taken out (reading P-22).
    pub fn takes_away(&self, room: &RoomState, action: &Action) -> bool {
        let pending = self.pending_role(room, &action.actor.uri());
        action.rule != Rule::RemoveOwnClient && pending.is_some_and(|role| !action.granted_to(role, room))
    }

    /// Whether application messages of `user` are let through both by its role in `room` and by the one it is about to
    /// get (reading P-25).
    pub fn may_send(&self, room: &RoomState, user: &UserUri) -> bool {
        let by_role = |role| room.role_has(role, Capability::SEND_MESSAGE) || room.role_may_react(role);
        let pending = self.pending_role(room, user);
        !self.blocks(user) && by_role(room.role_of(user)) && pending.is_none_or(by_role)
    }

    /// Whether `user` has `capability` both by its role in `room` and by the role it is about to get.
    pub fn holds(&self, room: &RoomState, user: &UserUri, capability: Capability) -> bool {
        let pending = self.pending_role(room, user);
        !self.blocks(user) && room.holds(user, capability) && pending.is_none_or(|role| room.role_has(role, capability))
    }

    /// The role that a listed user is about to get. To one that is not listed any role is a gain.
    fn pending_role(&self, room: &RoomState, user: &UserUri) -> Option<u32> {
        self.pending_roles.get(user).copied().filter(|_| room.is_listed(user))
    }
}

impl RoomState {
    /// The view with the accepted proposals `pending`.
    pub fn effective(&self, pending: &[Part]) -> Effective {
        let mut pending_roles = BTreeMap::new();
        let mut imposed = false;
        let mut leaving = BTreeSet::new();
        let mut going: BTreeMap<&UserUri, BTreeSet<u32>> = BTreeMap::new();
        for part in pending {
            match &part.effect {
                Effect::Component {
                    id: ComponentId::PARTICIPANT_LIST,
                    operation: ComponentOperation::Update(data),
                } => {
                    // Accepted ones fit the list; one that does not takes no right away.
                    let moves = list_moves(data, self).unwrap_or_default();
                    let by = proposer(part);
                    let leaves = moves.iter().filter(|(user, _, to)| *to == UNLISTED && Some(user) == by);
                    leaving.extend(leaves.map(|(user, ..)| user.clone()));
                    imposed |= moves.iter().any(|(user, from, _)| *from != UNLISTED && Some(user) != by);
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
            .filter(|(user, leaves)| {
                self.clients().get(*user).is_some_and(|own| own.iter().all(|leaf| leaves.contains(leaf)))
            })
            .map(|(user, _)| user.clone());
        let blocked = out.chain(without_clients).collect();
        Effective { pending_roles, blocked, barred: Barred::default(), leaving, imposed }
    }

    /// Users whose rights ended with one of the accepted proposals `pending`.
    pub fn blocked(&self, pending: &[Part]) -> BTreeSet<UserUri> {
        self.effective(pending).blocked
    }
}

/// The user that proposes; `None` for a provider.
fn proposer(part: &Part) -> Option<&UserUri> {
    match &part.proposer {
        Proposer::Member { user, .. } | Proposer::Joiner { user, .. } => Some(user),
        Proposer::ExternalSender { .. } => None,
    }
}
