//! Commits and proposals, as a client submits them to the hub.

use openmls::ciphersuite::hash_ref::ProposalRef;
use openmls::prelude::{
    AppDataUpdateOperation, CommitMessageBundle, KeyPackage, MlsGroup, MlsMessageOut, OpenMlsProvider, Proposal,
    ProposalOrRefType, Propose, ProtocolVersion,
};
use openmls::treesync::RatchetTree;
use openmls_basic_credential::SignatureKeyPair;
use tls_codec::{Deserialize as _, Serialize as _, VLBytes};

use crate::wire::Wire;
use crate::wire::mls::{GroupInfo, KeyPackage as KeyPackageBytes, MlsMessage, Welcome};
use crate::wire::update::{
    CommitBundle, Extension, GroupInfoOption, PartialGroupInfo, RatchetTreeOption, RatchetTreePresence, UpdateRequest,
};
use crate::wire::uri::{RoomUri, UserUri};

use super::Member;
use super::client::encoded_tree;
use super::draft::Draft;
use super::error::{MemberError, refused};
use super::membership::{Membership, Waiting};
use super::resolve::resolve;

/// How a commit carries the GroupInfo and the tree of its epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bundling {
    /// Only what the hub cannot know: a partial GroupInfo and no tree (readings D-25, D-26).
    #[default]
    Light,
    /// The whole GroupInfo and the whole tree.
    Full,
}

impl Member {
    /// A commit that adds clients and lists their users.
    ///
    /// # Errors
    ///
    /// As [`Self::commit`].
    pub fn add(
        &mut self,
        room: &RoomUri,
        key_packages: impl IntoIterator<Item = KeyPackageBytes>,
        participants: impl IntoIterator<Item = (UserUri, u32)>,
    ) -> Result<UpdateRequest, MemberError> {
        let draft = Draft::default().clients(key_packages);
        let list = |draft: Draft, (user, role_index)| draft.participant(user, role_index);
        self.commit(room, &participants.into_iter().fold(draft, list))
    }

    /// A commit that removes a user with all clients.
    ///
    /// # Errors
    ///
    /// As [`Self::commit`].
    pub fn remove(&mut self, room: &RoomUri, user: &UserUri) -> Result<UpdateRequest, MemberError> {
        self.commit(room, &Draft::default().without_clients(user.clone()).without_participant(user.clone()))
    }

    /// A commit that removes the clients of a user and keeps the user listed in another role, such as that of the
    /// banned.
    ///
    /// # Errors
    ///
    /// As [`Self::commit`].
    pub fn ban(&mut self, room: &RoomUri, user: &UserUri, role_index: u32) -> Result<UpdateRequest, MemberError> {
        self.commit(room, &Draft::default().without_clients(user.clone()).role(user.clone(), role_index))
    }

    /// A commit that gives a participant another role.
    ///
    /// # Errors
    ///
    /// As [`Self::commit`].
    pub fn set_role(&mut self, room: &RoomUri, user: &UserUri, role_index: u32) -> Result<UpdateRequest, MemberError> {
        self.commit(room, &Draft::default().role(user.clone(), role_index))
    }

    /// A commit of what is pending; renews this client's keys in any case.
    ///
    /// # Errors
    ///
    /// As [`Self::commit`].
    pub fn commit_pending(&mut self, room: &RoomUri) -> Result<UpdateRequest, MemberError> {
        self.commit(room, &Draft::default())
    }

    /// A commit of `draft` and of all pending proposals. It changes nothing here until it is
    /// [accepted](Self::accepted).
    ///
    /// # Errors
    ///
    /// [`MemberError::Waiting`] while another update waits for its answer, [`MemberError::NotAMember`] for a room it is
    /// not in, [`MemberError::NotAParticipant`] when the draft changes somebody who is not listed,
    /// [`MemberError::Component`] and [`MemberError::Mls`] when the change is not valid.
    pub fn commit(&mut self, room: &RoomUri, draft: &Draft) -> Result<UpdateRequest, MemberError> {
        let added = self.checked(draft.key_packages())?;
        let bundling = self.bundling;
        let (membership, signer) = self.seat(room)?;
        membership.idle()?;
        let removed = draft.removed_leaves(membership);
        let updates = draft.updates(membership)?;
        let before = membership.components();
        let Membership { group, store, waiting, .. } = membership;

        let mut builder = group
            .commit_builder()
            .force_self_update(draft.is_empty())
            .propose_adds(added)
            .propose_removals(removed)
            .add_proposals(updates.into_iter().map(|update| Proposal::AppDataUpdate(Box::new(update))))
            .load_psks(store.storage())
            .map_err(refused("start a commit"))?
            .create_group_info(true);
        let changes = resolve(&before, builder.app_data_dictionary_updater(), builder.app_data_update_proposals())?;
        builder.with_app_data_dictionary_updates(changes);
        let bundle = builder
            .build(store.rand(), store.crypto(), signer, |_| true)
            .map_err(refused("build the commit"))?
            .stage_commit(&**store)
            .map_err(refused("stage the commit"))?;
        *waiting = Waiting::Commit;

        let tree = match bundling {
            Bundling::Light => None,
            Bundling::Full => Some(staged_tree(membership)?),
        };
        self.bundled(room, &bundle, tree.as_ref())
    }

    /// The changes of `draft` as proposals for somebody else to commit. This client's own leaf is never among those
    /// they remove: that is what [`Self::leave`] is for.
    ///
    /// # Errors
    ///
    /// As [`Self::commit`].
    pub fn propose(&mut self, room: &RoomUri, draft: &Draft) -> Result<UpdateRequest, MemberError> {
        let added = self.checked(draft.key_packages())?;
        let (membership, signer) = self.seat(room)?;
        Bundle::of(membership, signer, |bundle| {
            bundle.adds(&added)?;
            bundle.changes(draft)
        })
    }

    /// Leaves the room: SelfRemove for this client, Remove for the user's other clients, and the user's entry taken out
    /// of the participant list (reading D-53). Somebody else has to commit it.
    ///
    /// # Errors
    ///
    /// As [`Self::commit`].
    pub fn leave(&mut self, room: &RoomUri) -> Result<UpdateRequest, MemberError> {
        let draft = Draft::default().without_clients(self.user.clone()).without_participant(self.user.clone());
        let (membership, signer) = self.seat(room)?;
        Bundle::of(membership, signer, |bundle| {
            bundle.self_remove()?;
            bundle.changes(&draft)
        })
    }

    fn checked(&self, key_packages: &[KeyPackageBytes]) -> Result<Vec<KeyPackage>, MemberError> {
        let check = |key_package: &KeyPackageBytes| {
            let parsed = key_package.clone().into_openmls()?;
            parsed.validate(self.crypto(), ProtocolVersion::Mls10).map_err(refused("take a key package"))
        };
        key_packages.iter().map(check).collect()
    }

    /// Puts a commit into the body of an update and remembers that it was sent.
    pub(super) fn bundled(
        &mut self,
        room: &RoomUri,
        bundle: &CommitMessageBundle,
        tree: Option<&RatchetTree>,
    ) -> Result<UpdateRequest, MemberError> {
        let commit = framed(bundle.commit())?;
        self.membership_mut(room)?.note_sent(commit.hash());
        let welcome = bundle.welcome().map(|welcome| -> Result<_, MemberError> {
            let bytes = welcome.tls_serialize_detached().map_err(refused("encode the Welcome"))?;
            Ok(Welcome::decode(&bytes)?)
        });
        let ratchet_tree = match tree {
            Some(tree) => RatchetTreeOption::Full(encoded_tree(tree)?),
            None => RatchetTreeOption::DistributionService,
        };
        let group_info = bundle.group_info().ok_or(MemberError::GroupInfo)?;
        let group_info = match self.bundling {
            Bundling::Full => {
                let bytes = group_info.tls_serialize_detached().map_err(refused("encode the GroupInfo"))?;
                GroupInfoOption::Full(GroupInfo::decode(&bytes)?)
            }
            Bundling::Light => {
                let bytes = group_info.extensions().tls_serialize_detached().map_err(refused("encode extensions"))?;
                GroupInfoOption::Partial(PartialGroupInfo {
                    ratchet_tree_presence: RatchetTreePresence::NoRatchetTree,
                    extensions: Vec::<Extension>::tls_deserialize_exact(&bytes).map_err(refused("read extensions"))?,
                    signature: signature(group_info)?,
                })
            }
        };
        Ok(UpdateRequest::Commit(CommitBundle { commit, welcome: welcome.transpose()?, group_info, ratchet_tree }))
    }
}

/// The tree of the epoch that the pending commit leads to.
fn staged_tree(membership: &Membership) -> Result<RatchetTree, MemberError> {
    let before = membership.group.export_ratchet_tree();
    let staged = membership.group.pending_commit().ok_or(MemberError::Tree)?;
    let tree = staged.export_ratchet_tree(membership.store.crypto(), before).map_err(refused("export the tree"))?;
    tree.ok_or(MemberError::Tree)
}

fn references(group: &MlsGroup) -> impl Iterator<Item = ProposalRef> {
    group.pending_proposals().map(|proposal| proposal.proposal_reference_ref().clone())
}

/// openmls shows a signature only in its encoding, `opaque signature<V>`.
fn signature(group_info: &openmls::messages::group_info::GroupInfo) -> Result<Vec<u8>, MemberError> {
    let bytes = group_info.signature().tls_serialize_detached().map_err(refused("encode a signature"))?;
    Ok(VLBytes::tls_deserialize_exact(&bytes).map_err(refused("read a signature"))?.into())
}

fn framed(message: &MlsMessageOut) -> Result<MlsMessage, MemberError> {
    let bytes = message.tls_serialize_detached().map_err(refused("encode a message"))?;
    Ok(MlsMessage::decode(&bytes)?)
}

/// Proposals that are accepted or refused together (reading D-28).
struct Bundle<'a> {
    membership: &'a mut Membership,
    signer: &'a SignatureKeyPair,
    messages: Vec<MlsMessage>,
    references: Vec<ProposalRef>,
}

impl<'a> Bundle<'a> {
    /// Collects what `propose` proposes; when any of it fails, none of it stays pending.
    fn of(
        membership: &'a mut Membership,
        signer: &'a SignatureKeyPair,
        propose: impl FnOnce(&mut Self) -> Result<(), MemberError>,
    ) -> Result<UpdateRequest, MemberError> {
        membership.idle()?;
        let mut bundle = Self { membership, signer, messages: Vec::new(), references: Vec::new() };
        let proposed = propose(&mut bundle);
        let Self { membership, messages, references, .. } = bundle;
        match proposed {
            Ok(()) if messages.is_empty() => Err(MemberError::Nothing),
            Ok(()) => {
                membership.waiting = Waiting::Proposals(references);
                Ok(UpdateRequest::Proposals(messages))
            }
            Err(error) => {
                membership.forget(&references)?;
                Err(error)
            }
        }
    }

    fn adds(&mut self, key_packages: &[KeyPackage]) -> Result<(), MemberError> {
        for key_package in key_packages {
            let (signer, Membership { group, store, .. }) = (self.signer, &mut *self.membership);
            let proposed =
                group.propose_add_member(&**store, signer, key_package).map_err(refused("propose to add a client"))?;
            self.push(proposed)?;
        }
        Ok(())
    }

    /// Removals, that of this client's own leaf excepted, and updates of components.
    fn changes(&mut self, draft: &Draft) -> Result<(), MemberError> {
        let (leaves, updates) = (draft.removed_leaves(self.membership), draft.updates(self.membership)?);
        let own = self.membership.group.own_leaf_index();
        for leaf in leaves.into_iter().filter(|leaf| *leaf != own) {
            let (signer, Membership { group, store, .. }) = (self.signer, &mut *self.membership);
            let proposed =
                group.propose_remove_member(&**store, signer, leaf).map_err(refused("propose to remove a client"))?;
            self.push(proposed)?;
        }
        for update in updates {
            let (signer, Membership { group, store, .. }) = (self.signer, &mut *self.membership);
            let component_id = update.component_id();
            let propose = match update.operation() {
                AppDataUpdateOperation::Update(data) => {
                    Propose::UpdateAppDataComponent { component_id, update: data.as_slice().to_vec() }
                }
                AppDataUpdateOperation::Remove => Propose::RemoveAppDataComponent { component_id },
            };
            // openmls's `propose_app_data_update` would have a later commit of this client carry it by value.
            let proposed = group
                .propose(&**store, signer, propose, ProposalOrRefType::Reference)
                .map_err(refused("propose to update a component"))?;
            self.push(proposed)?;
        }
        Ok(())
    }

    fn self_remove(&mut self) -> Result<(), MemberError> {
        let (signer, Membership { group, store, .. }) = (self.signer, &mut *self.membership);
        let before: Vec<ProposalRef> = references(group).collect();
        let message =
            group.leave_group_via_self_remove(&**store, signer).map_err(refused("propose to remove itself"))?;
        let reference = references(group).find(|reference| !before.contains(reference));
        match reference {
            Some(reference) => self.push((message, reference)),
            // The same proposal was pending already.
            None => Err(MemberError::Waiting),
        }
    }

    fn push(&mut self, (message, reference): (MlsMessageOut, ProposalRef)) -> Result<(), MemberError> {
        let message = framed(&message)?;
        self.membership.note_sent(message.hash());
        self.messages.push(message);
        self.references.push(reference);
        Ok(())
    }
}
