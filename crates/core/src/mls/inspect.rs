//! Inspecting a commit: is it valid, and what does it do?

use std::collections::BTreeSet;
use std::sync::Arc;

use openmls::framing::{ProcessedMessageContent, Sender as MlsSender};
use openmls::group::{PublicGroup, StagedCommit};
use openmls::key_packages::KeyPackage;
use openmls::messages::proposals::{Proposal, ProposalOrRefType};
use openmls::prelude::{LeafNode, LeafNodeIndex};

use crate::identity::credential::bound_client;
use crate::time::Millis;
use crate::wire::components::ParticipantList;
use crate::wire::mls::{MlsKind, MlsMessage};
use crate::wire::update::CommitBundle;
use crate::wire::uri::{ClientUri, UserUri};

use super::checks::citations::Owed;
use super::checks::{self, CheckId};
use super::component_updates::fill;
use super::crypto::HubCrypto;
use super::error::{HandshakeError, MlsError, unprocessed, unstaged};
use super::framing::{self, Framed};
use super::group::{Group, view_after};
use super::snapshot::Shelf;
use super::{Change, Effect, GroupView, Leaf, Part, Proposer, Sender};

/// A valid commit, and the group as it is with it. The group it was inspected against has not changed.
#[derive(Debug)]
pub struct StagedChange {
    /// What the commit does.
    pub change: Change,
    next: Group,
}

impl StagedChange {
    /// The group in the next epoch.
    pub fn group(&self) -> &Group {
        &self.next
    }

    /// What the commit does, and the group in the next epoch.
    pub fn into_parts(self) -> (Change, Group) {
        (self.change, self.next)
    }
}

/// A commit that is valid as far as it can be told before it is merged.
struct Examined {
    sender: Sender,
    /// The leaf that signs the GroupInfo of the next epoch.
    signer: LeafNodeIndex,
    parts: Vec<Part>,
    cited: Vec<Vec<u8>>,
    staged: StagedCommit,
    /// The participant list with the commit, where the commit changes it.
    list: Option<ParticipantList>,
}

type Staged = (StagedCommit, Vec<Vec<u8>>, Option<ParticipantList>);

impl Group {
    /// Checks a commit with its Welcome, GroupInfo and tree against this group, and says what it does. `now` is
    /// compared with the lifetimes of added KeyPackages; openmls compares them with the system clock besides.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`] naming the first check that refuses it.
    pub fn inspect_commit(&self, bundle: &CommitBundle, now: Millis) -> Result<StagedChange, HandshakeError> {
        let examined = self.examine(&bundle.commit, Owed::All, now)?;
        let welcome_refs = checks::welcome::check(bundle.welcome.as_ref(), &examined.parts, self.suite)?;
        let signer = examined.signer;
        let StagedChange { change, mut next } = self.entered(examined)?;
        let group_info = checks::group_info::check(&*next.public()?, signer, &bundle.group_info)?;
        checks::tree::check(&next, &bundle.ratchet_tree)?;
        next.group_info = group_info.clone();
        Ok(StagedChange { change: Change { group_info, welcome_refs, ..change }, next })
    }

    /// Checks a commit that the hub of the room has accepted and fanned out, as far as a follower can: it is not given
    /// GroupInfo and tree (checks 6 and 18), gets the Welcome of its own clients only (check 7), and cannot know whether
    /// everything that was pending is cited (half of check 16). `accepted_at` is what lifetimes are compared with.
    ///
    /// The change names no GroupInfo, and no Welcome.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`] naming the first check that refuses it.
    pub fn inspect_fanned_out(&self, commit: &MlsMessage, accepted_at: Millis) -> Result<StagedChange, HandshakeError> {
        self.entered(self.examine(commit, Owed::Unknown, accepted_at)?)
    }

    /// Everything about a commit that can be told before it is merged.
    fn examine(&self, commit: &MlsMessage, owed: Owed, now: Millis) -> Result<Examined, HandshakeError> {
        let framed = self.read(commit, MlsKind::Commit)?;
        let committer = match &framed.sender {
            MlsSender::Member(leaf) => Some(*leaf),
            MlsSender::NewMemberCommit => None,
            MlsSender::External(_) | MlsSender::NewMemberProposal => return Err(CheckId::Authenticity.into()),
        };
        let leaf = committer.map(|leaf| leaf.u32());
        checks::citations::check(&self.pending, leaf, &framed.proposals, owed)?;
        checks::proposal_types::by_value(&framed.proposals)?;
        checks::leaf_operations::check(leaf, &self.pending, &framed.proposals)?;

        let public = self.public()?;
        let (staged, cited, list) = self.stage(&public, framed)?;
        let signer = match committer {
            Some(leaf) => leaf,
            None => public.ext_commit_sender_index(&staged).map_err(|_| CheckId::Validity)?,
        };
        let sender = self.sender(&staged, committer)?;
        let parts = self.parts(&staged, &sender)?;
        checks::external_remove::check(&sender, &parts)?;
        // What is cited was checked when it was proposed; that time has passed since must not hold the room up.
        let by_value = staged.queued_proposals().filter(|it| it.proposal_or_ref_type() == ProposalOrRefType::Proposal);
        checks::lifetimes::check(by_value.filter_map(|queued| added(queued.proposal())), now)?;
        Ok(Examined { sender, signer, parts, cited, staged, list })
    }

    /// The group with the commit merged, and the checks on it.
    fn entered(&self, examined: Examined) -> Result<StagedChange, HandshakeError> {
        let Examined { sender, parts, cited, staged, list, signer: _ } = examined;
        let before = self.view.clone();
        let (mut public, shelf) = (self.take()?, Shelf::default());
        // It does not depend on the commit whether its parts can be put on the shelf.
        public.merge_commit(&shelf, staged).map_err(|_| CheckId::Validity)?;
        let mut after = next_view(&public, &before, &sender, &parts)?;
        if let Some(list) = list {
            after.components.know_participants(list);
        }
        checks::context::required_capabilities(public.group_context())?;
        checks::context::external_senders(public.group_context())?;
        checks::signature_keys::check(&after)?;
        checks::leaf_support::agree(&public, &after)?;
        checks::next_view(&before, &parts, &after)?;
        let (group_info, welcome_refs) = (Vec::new(), Vec::new());
        let next = Self::of(public, shelf, after.clone(), Vec::new());
        Ok(StagedChange { change: Change { before, after, sender, parts, group_info, welcome_refs, cited }, next })
    }

    /// Moves the group into the epoch of an inspected commit. Pending proposals are gone with the old epoch.
    ///
    /// # Errors
    ///
    /// [`MlsError::Stale`] when the commit was inspected in another epoch; the group is then unchanged.
    pub fn merge(&mut self, staged: StagedChange) -> Result<(), MlsError> {
        let before = &staged.change.before;
        if before.epoch != self.view.epoch || before.group != self.view.group {
            return Err(MlsError::Stale);
        }
        *self = staged.next;
        Ok(())
    }

    /// Reads a handshake for this group and epoch, and checks what openmls must not see unchecked.
    pub(super) fn read(&self, message: &MlsMessage, kind: MlsKind) -> Result<Framed, HandshakeError> {
        let framed = framing::read(message, kind)?;
        if message.group_id() != Some(self.view.group.as_bytes()) {
            return Err(CheckId::Group.into());
        }
        let current = self.view.epoch;
        if message.epoch() != Some(current) {
            return Err(HandshakeError::WrongEpoch { current });
        }
        checks::authenticated_data::check(&framed.authenticated_data, self.public()?.group_context())?;
        Ok(framed)
    }

    /// The commit as openmls stages it, the pending proposals it cites, and the participant list if it changes.
    fn stage(&self, public: &PublicGroup, framed: Framed) -> Result<Staged, HandshakeError> {
        let cited = framed.proposals.iter().filter_map(|cited| cited.reference().map(<[u8]>::to_vec)).collect();
        let mut list = None;
        let crypto = HubCrypto::for_a_commit(self.suite, self.view.leaves.len().saturating_mul(3));
        let processed =
            public.process_message(&crypto, framed.message).map_err(|error| unprocessed(&error, self.view.epoch))?;
        let staged = match processed.into_content() {
            ProcessedMessageContent::StagedCommitMessage(staged) => *staged,
            ProcessedMessageContent::UnresolvedAppDataCommit(unresolved) => {
                let changes;
                (changes, list) = checks::components::check(&self.view.components, &self.pending, &framed.proposals)?;
                let mut updater = public.app_data_dictionary_updater();
                fill(&mut updater, changes);
                public
                    .stage_app_data_commit(&crypto, *unresolved, updater.changes())
                    .map_err(|error| unstaged(&error))?
            }
            _ => return Err(CheckId::WireFormat.into()),
        };
        Ok((staged, cited, list))
    }

    fn sender(&self, staged: &StagedCommit, committer: Option<LeafNodeIndex>) -> Result<Sender, CheckId> {
        let named = |leaf: &LeafNode| bound_client(leaf.credential(), leaf.signature_key().as_slice());
        let renewed = staged.update_path_leaf_node().map(named).transpose();
        let renewed = renewed.map_err(|_| CheckId::Credentials)?;
        match committer {
            Some(leaf) => {
                let named = client_at(&self.view, leaf.u32())?;
                checks::credentials::continued(&named, renewed.as_ref())?;
                let (client, user) = named;
                Ok(Sender::Member { leaf: leaf.u32(), client, user })
            }
            None => {
                let (client, user) = renewed.ok_or(CheckId::Validity)?;
                Ok(Sender::Joiner { client, user })
            }
        }
    }

    fn parts(&self, staged: &StagedCommit, sender: &Sender) -> Result<Vec<Part>, HandshakeError> {
        let committer = match sender.clone() {
            Sender::Member { leaf, client, user } => Proposer::Member { leaf, client, user },
            Sender::Joiner { client, user } => Proposer::Joiner { client, user },
        };
        staged.queued_proposals().map(|proposal| self.part(proposal, &committer)).collect()
    }
}

/// The group with the commit merged. Its leaves are those before it, but for the committer's and those that its
/// proposals are about.
fn next_view(public: &PublicGroup, before: &GroupView, sender: &Sender, parts: &[Part]) -> Result<GroupView, CheckId> {
    let mut changed: BTreeSet<u32> = parts.iter().filter_map(Part::leaf).collect();
    if let Sender::Member { leaf, .. } = sender {
        changed.insert(*leaf);
    }
    let kept: Vec<Arc<Leaf>> = before.leaves.iter().filter(|leaf| !changed.contains(&leaf.index)).cloned().collect();
    let last = before.leaves.last().map_or(0, |leaf| leaf.index);
    // Each proposal brings one leaf at most, and so does a joiner.
    let more = u32::try_from(parts.len()).unwrap_or(u32::MAX).saturating_add(1);
    view_after(public, &kept, Some(last.saturating_add(more)))
}

/// The KeyPackage that an Add adds.
fn added(proposal: &Proposal) -> Option<&KeyPackage> {
    match proposal {
        Proposal::Add(add) => Some(add.key_package()),
        _ => None,
    }
}

/// The client at a leaf.
pub(super) fn client_at(view: &GroupView, index: u32) -> Result<(ClientUri, UserUri), CheckId> {
    let leaf = view.leaves.iter().find(|leaf| leaf.index == index).ok_or(CheckId::Standalone)?;
    Ok((leaf.client.clone(), leaf.user.clone()))
}

impl Part {
    /// The leaf that its Update, Remove or SelfRemove is about.
    pub(super) fn leaf(&self) -> Option<u32> {
        match &self.effect {
            Effect::Remove { leaf, .. } | Effect::SelfRemove { leaf, .. } | Effect::Update { leaf, .. } => Some(*leaf),
            Effect::Add { .. }
            | Effect::Component { .. }
            | Effect::ExternalInit
            | Effect::GroupContextExtensions
            | Effect::ReInit
            | Effect::Psk
            | Effect::Other(_) => None,
        }
    }
}
