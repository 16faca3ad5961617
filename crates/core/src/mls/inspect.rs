//! Inspecting a commit: is it valid, and what does it do?

use openmls::framing::{ProcessedMessageContent, Sender as MlsSender};
use openmls::group::StagedCommit;
use openmls::key_packages::KeyPackage;
use openmls::messages::proposals::{Proposal, ProposalOrRefType};
use openmls::prelude::{LeafNode, LeafNodeIndex};

use crate::identity::credential::bound_client;
use crate::time::Millis;
use crate::wire::mls::{MlsKind, MlsMessage};
use crate::wire::update::CommitBundle;
use crate::wire::uri::{ClientUri, UserUri};

use super::checks::citations::Owed;
use super::checks::{self, CheckId};
use super::component_updates::fill;
use super::error::{HandshakeError, MlsError, unprocessed, unstaged};
use super::framing::{self, Framed};
use super::group::Group;
use super::{Change, Effect, GroupView, Part, Proposer, Sender};

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
    before: GroupView,
    sender: Sender,
    /// The leaf that signs the GroupInfo of the next epoch.
    signer: LeafNodeIndex,
    parts: Vec<Part>,
    cited: Vec<Vec<u8>>,
    staged: StagedCommit,
}

impl Group {
    /// Checks a commit with its Welcome, GroupInfo and tree against this group, and says what it does. `now` is
    /// compared with the lifetimes of added KeyPackages; openmls compares them with the system clock besides.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`] naming the first check that refuses it.
    pub fn inspect_commit(&self, bundle: &CommitBundle, now: Millis) -> Result<StagedChange, HandshakeError> {
        let examined = self.examine(&bundle.commit, Owed::All, now)?;
        let welcome_refs = checks::welcome::check(bundle.welcome.as_ref(), &examined.parts, self.suite())?;
        let signer = examined.signer;
        let StagedChange { change, next } = self.entered(examined)?;
        let group_info = checks::group_info::check(&next, signer, &bundle.group_info)?;
        checks::tree::check(&next, &bundle.ratchet_tree)?;
        let change = Change { group_info: group_info.clone(), welcome_refs, ..change };
        Ok(StagedChange { change, next: Group { group_info, ..next } })
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
        let before = self.view().map_err(|_| CheckId::Credentials)?;
        let committer = match &framed.sender {
            MlsSender::Member(leaf) => Some(*leaf),
            MlsSender::NewMemberCommit => None,
            MlsSender::External(_) | MlsSender::NewMemberProposal => return Err(CheckId::Authenticity.into()),
        };
        let leaf = committer.map(|leaf| leaf.u32());
        checks::citations::check(&self.pending, leaf, &framed.proposals, owed)?;
        checks::proposal_types::by_value(&framed.proposals)?;
        checks::leaf_operations::check(leaf, &self.pending, &framed.proposals)?;

        let (staged, cited) = self.stage(framed, &before)?;
        let signer = match committer {
            Some(leaf) => leaf,
            None => self.public.ext_commit_sender_index(&staged).map_err(|_| CheckId::Validity)?,
        };
        let sender = self.sender(&staged, committer, &before)?;
        let parts = self.parts(&staged, &sender, &before)?;
        checks::external_remove::check(&sender, &parts)?;
        // What is cited was checked when it was proposed; that time has passed since must not hold the room up.
        let by_value = staged.queued_proposals().filter(|it| it.proposal_or_ref_type() == ProposalOrRefType::Proposal);
        checks::lifetimes::check(by_value.filter_map(|queued| added(queued.proposal())), now)?;
        Ok(Examined { before, sender, signer, parts, cited, staged })
    }

    /// The group with the commit merged, and the checks on it.
    fn entered(&self, examined: Examined) -> Result<StagedChange, HandshakeError> {
        let Examined { before, sender, parts, cited, staged, .. } = examined;
        let next = self.merged(staged)?;
        let after = next.view().map_err(|_| CheckId::Credentials)?;
        checks::context::required_capabilities(next.public.group_context())?;
        checks::context::external_senders(next.public.group_context())?;
        checks::signature_keys::check(&after)?;
        checks::leaf_support::agree(&next.public)?;
        checks::view(&after)?;
        let (group_info, welcome_refs) = (Vec::new(), Vec::new());
        Ok(StagedChange { change: Change { before, after, sender, parts, group_info, welcome_refs, cited }, next })
    }

    /// Moves the group into the epoch of an inspected commit. Pending proposals are gone with the old epoch.
    ///
    /// # Errors
    ///
    /// [`MlsError::Stale`] when the commit was inspected in another epoch; the group is then unchanged.
    pub fn merge(&mut self, staged: StagedChange) -> Result<(), MlsError> {
        let before = &staged.change.before;
        let context = self.public.group_context();
        if before.epoch != context.epoch().as_u64() || before.group.as_bytes() != context.group_id().as_slice() {
            return Err(MlsError::Stale);
        }
        *self = staged.next;
        Ok(())
    }

    /// Reads a handshake for this group and epoch, and checks what openmls must not see unchecked.
    pub(super) fn read(&self, message: &MlsMessage, kind: MlsKind) -> Result<Framed, HandshakeError> {
        let framed = framing::read(message, kind)?;
        let context = self.public.group_context();
        if message.group_id() != Some(context.group_id().as_slice()) {
            return Err(CheckId::Group.into());
        }
        let current = context.epoch().as_u64();
        if message.epoch() != Some(current) {
            return Err(HandshakeError::WrongEpoch { current });
        }
        checks::authenticated_data::check(&framed.authenticated_data, context)?;
        Ok(framed)
    }

    /// The commit as openmls stages it, and the pending proposals it cites.
    fn stage(&self, framed: Framed, before: &GroupView) -> Result<(StagedCommit, Vec<Vec<u8>>), HandshakeError> {
        let cited = framed.proposals.iter().filter_map(|cited| cited.reference().map(<[u8]>::to_vec)).collect();
        let processed = self
            .public
            .process_message(&self.crypto, framed.message)
            .map_err(|error| unprocessed(&error, before.epoch))?;
        let staged = match processed.into_content() {
            ProcessedMessageContent::StagedCommitMessage(staged) => *staged,
            ProcessedMessageContent::UnresolvedAppDataCommit(unresolved) => {
                let changes = checks::components::check(&before.components, &self.pending, &framed.proposals)?;
                let mut updater = self.public.app_data_dictionary_updater();
                fill(&mut updater, changes);
                self.public
                    .stage_app_data_commit(&self.crypto, *unresolved, updater.changes())
                    .map_err(|error| unstaged(&error))?
            }
            _ => return Err(CheckId::WireFormat.into()),
        };
        Ok((staged, cited))
    }

    fn sender(
        &self,
        staged: &StagedCommit,
        committer: Option<LeafNodeIndex>,
        before: &GroupView,
    ) -> Result<Sender, CheckId> {
        let named = |leaf: &LeafNode| bound_client(leaf.credential(), leaf.signature_key().as_slice());
        let renewed = staged.update_path_leaf_node().map(named).transpose();
        let renewed = renewed.map_err(|_| CheckId::Credentials)?;
        match committer {
            Some(leaf) => {
                let named = client_at(before, leaf.u32())?;
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

    fn parts(&self, staged: &StagedCommit, sender: &Sender, before: &GroupView) -> Result<Vec<Part>, HandshakeError> {
        let committer = match sender.clone() {
            Sender::Member { leaf, client, user } => Proposer::Member { leaf, client, user },
            Sender::Joiner { client, user } => Proposer::Joiner { client, user },
        };
        staged.queued_proposals().map(|proposal| self.part(proposal, &committer, before)).collect()
    }

    /// A copy of this group with the commit merged.
    fn merged(&self, staged: StagedCommit) -> Result<Self, CheckId> {
        // Neither failure depends on the commit: the parts are those of a group that stands.
        let mut next = Self::load(self.shelf.copy(), Vec::new()).map_err(|_| CheckId::Validity)?;
        next.public.merge_commit(&next.shelf, staged).map_err(|_| CheckId::Validity)?;
        Ok(next)
    }
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
