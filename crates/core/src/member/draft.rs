//! What an update is to change, in the words of the room.

use openmls::prelude::{AppDataUpdateProposal, LeafNodeIndex};

use crate::identity::credential::client_of;
use crate::wire::Wire;
use crate::wire::components::{ComponentId, Participant, ParticipantListUpdate, RoleChange};
use crate::wire::mls::KeyPackage;
use crate::wire::uri::UserUri;

use super::error::MemberError;
use super::membership::Membership;

/// What one commit, or one bundle of proposals, is to change. An empty one commits what is pending, or only renews the
/// keys of the committer.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    add: Vec<KeyPackage>,
    remove: Vec<UserUri>,
    list: Vec<Participant>,
    unlist: Vec<UserUri>,
    roles: Vec<(UserUri, u32)>,
    components: Vec<(ComponentId, Option<Vec<u8>>)>,
}

impl Draft {
    /// Adds clients by their key packages.
    #[must_use]
    pub fn clients(mut self, key_packages: impl IntoIterator<Item = KeyPackage>) -> Self {
        self.add.extend(key_packages);
        self
    }

    /// Lists a user in a role.
    #[must_use]
    pub fn participant(mut self, user: UserUri, role_index: u32) -> Self {
        self.list.push(Participant { user, role_index });
        self
    }

    /// Removes the clients of a user.
    #[must_use]
    pub fn without_clients(mut self, user: UserUri) -> Self {
        self.remove.push(user);
        self
    }

    /// Removes a user from the participant list.
    #[must_use]
    pub fn without_participant(mut self, user: UserUri) -> Self {
        self.unlist.push(user);
        self
    }

    /// Gives a participant another role.
    #[must_use]
    pub fn role(mut self, user: UserUri, role_index: u32) -> Self {
        self.roles.push((user, role_index));
        self
    }

    /// Updates a component, or removes it when there is no data. The participant list has methods of its own.
    #[must_use]
    pub fn component(mut self, id: ComponentId, data: Option<Vec<u8>>) -> Self {
        self.components.push((id, data));
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.add.is_empty()
            && self.remove.is_empty()
            && self.list.is_empty()
            && self.unlist.is_empty()
            && self.roles.is_empty()
            && self.components.is_empty()
    }

    pub(super) fn key_packages(&self) -> &[KeyPackage] {
        &self.add
    }

    /// The leaves of the users whose clients go.
    pub(super) fn removed_leaves(&self, membership: &Membership) -> Vec<LeafNodeIndex> {
        let goes = |member: &openmls::prelude::Member| {
            client_of(&member.credential).is_ok_and(|(_, user)| self.remove.contains(&user))
        };
        membership.group.members().filter(goes).map(|member| member.index).collect()
    }

    /// The updates of components, that of the participant list first.
    pub(super) fn updates(&self, membership: &Membership) -> Result<Vec<AppDataUpdateProposal>, MemberError> {
        let participants = self.participants(membership)?.map(|update| (ComponentId::PARTICIPANT_LIST, Some(update)));
        let updates = participants.into_iter().chain(self.components.iter().cloned());
        Ok(updates
            .map(|(id, data)| match data {
                Some(data) => AppDataUpdateProposal::update(id.0, data),
                None => AppDataUpdateProposal::remove(id.0),
            })
            .collect())
    }

    /// Positions are those of the current list (reading D-50).
    fn participants(&self, membership: &Membership) -> Result<Option<Vec<u8>>, MemberError> {
        if self.list.is_empty() && self.unlist.is_empty() && self.roles.is_empty() {
            return Ok(None);
        }
        let listed = membership.participants()?;
        let position = |user: &UserUri| {
            let at = listed.iter().position(|participant| participant.user == *user);
            at.and_then(|at| u32::try_from(at).ok()).ok_or_else(|| MemberError::NotAParticipant(user.clone()))
        };
        let change = |(user, role_index): &(UserUri, u32)| {
            Ok::<_, MemberError>(RoleChange { user_index: position(user)?, role_index: *role_index })
        };
        let update = ParticipantListUpdate {
            changed: self.roles.iter().map(change).collect::<Result<_, _>>()?,
            removed: self.unlist.iter().map(position).collect::<Result<_, _>>()?,
            added: self.list.clone(),
        };
        Ok(Some(update.encode()))
    }
}
