//! A client in one room: its group, and what it has sent and not yet heard of.

use std::collections::VecDeque;
use std::sync::Arc;

use openmls::ciphersuite::hash_ref::ProposalRef;
use openmls::prelude::{LeafNodeIndex, MlsGroup, OpenMlsProvider};
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::OpenMlsRustCrypto;

use crate::franking::Scheme;
use crate::identity::credential::client_of;
use crate::mls::component_updates::dictionary;
use crate::wire::components::{Component, Dictionary, Participant, ParticipantList};
use crate::wire::uri::{ClientUri, RoomUri};

use super::Member;
use super::error::{MemberError, refused};

/// Where openmls keeps keys and groups; a client that joins from outside starts with an empty one, so that a refused
/// attempt leaves nothing behind.
pub(super) type Store = Arc<OpenMlsRustCrypto>;

/// So many hashes of sent messages are kept to recognise their echo (reading D-37).
const ECHOES: usize = 256;

pub(super) struct Membership {
    pub(super) group: MlsGroup,
    pub(super) store: Store,
    pub(super) waiting: Waiting,
    sent: VecDeque<[u8; 32]>,
}

/// An update that was sent and not yet answered.
pub(super) enum Waiting {
    Nothing,
    /// openmls holds it.
    Commit,
    Proposals(Vec<ProposalRef>),
    /// This membership itself, with the one it replaces.
    Join(Option<Box<Membership>>),
}

impl Membership {
    pub(super) fn new(group: MlsGroup, store: Store) -> Self {
        Self { group, store, waiting: Waiting::Nothing, sent: VecDeque::new() }
    }

    /// The membership of an external commit that the hub has not answered yet.
    pub(super) fn joining(group: MlsGroup, store: Store, previous: Option<Box<Self>>) -> Self {
        Self { waiting: Waiting::Join(previous), ..Self::new(group, store) }
    }

    /// Remembers that this client has sent the message, to drop it when it comes back.
    pub(super) fn note_sent(&mut self, hash: [u8; 32]) {
        if self.sent.len() == ECHOES {
            self.sent.pop_front();
        }
        self.sent.push_back(hash);
    }

    /// Whether this client has sent the message.
    pub(super) fn has_sent(&self, hash: &[u8; 32]) -> bool {
        self.sent.contains(hash)
    }

    pub(super) fn idle(&self) -> Result<(), MemberError> {
        match self.waiting {
            Waiting::Nothing => Ok(()),
            Waiting::Commit | Waiting::Proposals(_) | Waiting::Join(_) => Err(MemberError::Waiting),
        }
    }

    pub(super) fn components(&self) -> Dictionary {
        dictionary(self.group.extensions().app_data_dictionary().map(|extension| extension.dictionary()))
    }

    pub(super) fn component<T: Component>(&self) -> Result<Option<T>, MemberError> {
        Ok(self.components().read::<T>()?)
    }

    /// How messages of the group are framed and franked.
    pub(super) fn franking(&self) -> Result<Scheme, MemberError> {
        Ok(Scheme::of(&self.components(), self.group.ciphersuite().into())?)
    }

    pub(super) fn participants(&self) -> Result<Vec<Participant>, MemberError> {
        Ok(self.component::<ParticipantList>()?.unwrap_or_default().participants)
    }

    /// Every leaf whose credential names a client.
    pub(super) fn clients(&self) -> Vec<(LeafNodeIndex, ClientUri)> {
        let named = |member: openmls::prelude::Member| Some((member.index, client_of(&member.credential).ok()?.0));
        self.group.members().filter_map(named).collect()
    }

    /// Drops proposals that no hub has accepted.
    pub(super) fn forget(&mut self, references: &[ProposalRef]) -> Result<(), MemberError> {
        let Self { group, store, .. } = self;
        references.iter().try_for_each(|reference| {
            group.remove_pending_proposal(store.storage(), reference).map_err(refused("drop a proposal"))
        })
    }

    pub(super) fn settle(&mut self) -> Result<(), MemberError> {
        match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
            Waiting::Nothing | Waiting::Proposals(_) | Waiting::Join(_) => Ok(()),
            Waiting::Commit => {
                self.group.merge_pending_commit(&*self.store).map_err(refused("apply the accepted commit"))
            }
        }
    }
}

impl Member {
    /// The rooms this client is in, those of unanswered external joins included.
    pub fn rooms(&self) -> impl Iterator<Item = &RoomUri> {
        self.rooms.iter().filter(|(_, membership)| membership.group.is_active()).map(|(room, _)| room)
    }

    /// The epoch of the room as far as this client has heard.
    ///
    /// # Errors
    ///
    /// [`MemberError::NotAMember`] for a room it is not in.
    pub fn epoch(&self, room: &RoomUri) -> Result<u64, MemberError> {
        Ok(self.membership(room)?.group.epoch().as_u64())
    }

    /// The clients in the room, in the order of the tree.
    ///
    /// # Errors
    ///
    /// [`MemberError::NotAMember`] for a room it is not in.
    pub fn clients(&self, room: &RoomUri) -> Result<Vec<ClientUri>, MemberError> {
        Ok(self.membership(room)?.clients().into_iter().map(|(_, client)| client).collect())
    }

    /// The participant list of the room.
    ///
    /// # Errors
    ///
    /// [`MemberError::NotAMember`] for a room it is not in, [`MemberError::Decode`] when the list is malformed.
    pub fn participants(&self, room: &RoomUri) -> Result<Vec<Participant>, MemberError> {
        self.membership(room)?.participants()
    }

    /// A component of the room's GroupContext; `None` when it is absent.
    ///
    /// # Errors
    ///
    /// [`MemberError::NotAMember`] for a room it is not in, [`MemberError::Decode`] when the component is malformed.
    pub fn component<T: Component>(&self, room: &RoomUri) -> Result<Option<T>, MemberError> {
        self.membership(room)?.component()
    }

    /// A secret that is the same for all members of an epoch and for nobody else: shows that clients agree.
    ///
    /// # Errors
    ///
    /// [`MemberError::NotAMember`] for a room it is not in.
    pub fn epoch_authenticator(&self, room: &RoomUri) -> Result<Vec<u8>, MemberError> {
        Ok(self.membership(room)?.group.epoch_authenticator().as_slice().to_vec())
    }

    /// The hub has accepted what this client sent last to the room: applies it. Does nothing when the echo of the
    /// message has already said so.
    ///
    /// # Errors
    ///
    /// [`MemberError::NotAMember`] for a room it is not in.
    pub fn accepted(&mut self, room: &RoomUri) -> Result<(), MemberError> {
        self.membership_mut(room)?.settle()
    }

    /// The hub has refused what this client sent last to the room: takes it back. Does nothing when the commit of
    /// somebody else has already done so.
    ///
    /// # Errors
    ///
    /// [`MemberError::NotAMember`] for a room it is not in.
    pub fn rejected(&mut self, room: &RoomUri) -> Result<(), MemberError> {
        let membership = self.membership_mut(room)?;
        let storage = membership.store.clone();
        match std::mem::replace(&mut membership.waiting, Waiting::Nothing) {
            Waiting::Nothing => {}
            Waiting::Commit => {
                membership.group.clear_pending_commit(storage.storage()).map_err(refused("drop the commit"))?;
            }
            Waiting::Proposals(references) => {
                membership.forget(&references)?;
            }
            Waiting::Join(None) => {
                self.rooms.remove(room);
            }
            Waiting::Join(Some(previous)) => {
                self.rooms.insert(room.clone(), *previous);
            }
        }
        Ok(())
    }

    /// The membership and the keys, of a room that this client is in and has not left.
    pub(super) fn seat(&mut self, room: &RoomUri) -> Result<(&mut Membership, &SignatureKeyPair), MemberError> {
        let membership = self.rooms.get_mut(room).filter(|membership| membership.group.is_active());
        Ok((membership.ok_or_else(|| MemberError::NotAMember(room.clone()))?, &self.signer))
    }

    pub(super) fn membership_mut(&mut self, room: &RoomUri) -> Result<&mut Membership, MemberError> {
        self.rooms.get_mut(room).ok_or_else(|| MemberError::NotAMember(room.clone()))
    }
}
