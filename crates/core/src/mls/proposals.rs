//! Standalone proposals: inspecting them, keeping the accepted ones, and saying what any proposal does.

use openmls::framing::{ProcessedMessageContent, Sender as MlsSender};
use openmls::group::QueuedProposal;
use openmls::messages::proposals::{Proposal, ProposalOrRefType};

use crate::identity::credential::{bound_client, provider_of};
use crate::time::Millis;
use crate::wire::mls::{MlsKind, MlsMessage};
use crate::wire::uri::{Domain, UserUri};

use super::checks::{self, CheckId};
use super::component_updates::component_update;
use super::error::{HandshakeError, unprocessed};
use super::framing::external_index;
use super::group::Group;
use super::inspect::client_at;
use super::key_package::{KeyPackageError, describe};
use super::says::says;
use super::{Effect, Part, Proposer};

/// A proposal that waits for a commit.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) part: Part,
    pub(super) queued: QueuedProposal,
}

impl Pending {
    /// Its ProposalRef.
    pub(super) fn reference(&self) -> &[u8] {
        self.part.reference.as_deref().unwrap_or_default()
    }

    pub(super) fn proposal(&self) -> &Proposal {
        self.queued.proposal()
    }
}

/// Valid proposals of one bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// What each would do, in the order of the bundle; each has its reference.
    pub parts: Vec<Part>,
    user: UserUri,
}

impl Proposed {
    /// Who proposes: a user, or the provider that an external sender is of.
    pub fn user(&self) -> &UserUri {
        &self.user
    }

    /// The ProposalRefs, in the order of the bundle.
    pub fn references(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().filter_map(|part| part.reference.as_deref())
    }
}

impl Group {
    /// Checks a bundle of standalone proposals: one sender, this epoch, and each of them such that a commit can cite
    /// it together with everything that is pending already.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`] naming the first check that refuses one of them. The bundle is then refused as a whole.
    pub fn inspect_proposals(&self, proposals: &[MlsMessage], now: Millis) -> Result<Proposed, HandshakeError> {
        let mut accepted: Vec<Pending> = Vec::new();
        let mut sender = None;
        for (position, message) in proposals.iter().enumerate() {
            let proposal = self.authentic(message)?;
            let sender = sender.get_or_insert_with(|| proposal.sender().clone());
            if sender != proposal.sender() {
                return Err(CheckId::Bundle.into());
            }
            let reference = proposal.proposal_reference_ref().as_slice().to_vec();
            let refused = |error: HandshakeError| error.about(Some(&reference), Some(position));
            let pending = self.pending_of(proposal.clone()).map_err(refused)?;
            checks::standalone::check(self, &accepted, &pending, now).map_err(refused)?;
            accepted.push(pending);
        }
        let parts: Vec<Part> = accepted.into_iter().map(|pending| pending.part).collect();
        let user = parts.first().and_then(|part| user_of(&part.proposer)).ok_or(CheckId::ExternalSenders)?;
        Ok(Proposed { parts, user })
    }

    /// Puts an accepted proposal among the pending ones, also after the group was restored. Only its signature is
    /// checked again; an Add whose KeyPackage has expired since is refused, and no commit could cite it.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`] when it is not a proposal of this epoch.
    pub fn queue(&mut self, proposal: &MlsMessage) -> Result<Part, HandshakeError> {
        let pending = self.pending_of(self.authentic(proposal)?)?;
        let part = pending.part.clone();
        if self.pending.iter().all(|known| known.reference() != pending.reference()) {
            self.add(pending)?;
        }
        Ok(part)
    }

    /// A proposal of this epoch whose signature verifies.
    fn authentic(&self, message: &MlsMessage) -> Result<QueuedProposal, HandshakeError> {
        let framed = self.read(message, MlsKind::Proposal)?;
        let processed = self
            .public()?
            .process_message(&self.crypto, framed.message)
            .map_err(|error| unprocessed(&error, self.view.epoch))?;
        match processed.into_content() {
            ProcessedMessageContent::ProposalMessage(proposal)
            | ProcessedMessageContent::ExternalJoinProposalMessage(proposal) => Ok(*proposal),
            _ => Err(CheckId::WireFormat.into()),
        }
    }

    fn pending_of(&self, queued: QueuedProposal) -> Result<Pending, HandshakeError> {
        let proposer = self.proposer(&queued)?;
        let part = self.part(&queued, &proposer)?;
        Ok(Pending { part, queued })
    }

    fn proposer(&self, proposal: &QueuedProposal) -> Result<Proposer, HandshakeError> {
        match proposal.sender() {
            MlsSender::Member(leaf) => {
                let (client, user) = client_at(&self.view, leaf.u32()).map_err(|_| CheckId::Authenticity)?;
                Ok(Proposer::Member { leaf: leaf.u32(), client, user })
            }
            sender @ MlsSender::External(_) => {
                let index = external_index(sender).ok_or(CheckId::ExternalSenders)?;
                let domain = self.provider_at(index).ok_or(CheckId::ExternalSenders)?;
                Ok(Proposer::ExternalSender { index, domain: Some(domain) })
            }
            MlsSender::NewMemberProposal => match proposal.proposal() {
                Proposal::Add(add) => {
                    let leaf = add.key_package().leaf_node();
                    let named = bound_client(leaf.credential(), leaf.signature_key().as_slice());
                    let (client, user) = named.map_err(|_| CheckId::Credentials)?;
                    Ok(Proposer::Joiner { client, user })
                }
                _ => Err(CheckId::Authenticity.into()),
            },
            MlsSender::NewMemberCommit => Err(CheckId::Authenticity.into()),
        }
    }

    /// The provider that the external sender at `index` is of.
    fn provider_at(&self, index: u32) -> Option<Domain> {
        let senders = self.external_senders().ok()?;
        provider_of(&senders.get(usize::try_from(index).ok()?)?.credential)
    }

    /// What a proposal does; by value it is `committer` who proposes it.
    pub(super) fn part(&self, proposal: &QueuedProposal, committer: &Proposer) -> Result<Part, HandshakeError> {
        let (proposer, reference) = match proposal.proposal_or_ref_type() {
            ProposalOrRefType::Proposal => (committer.clone(), None),
            ProposalOrRefType::Reference => {
                let reference = proposal.proposal_reference_ref().as_slice().to_vec();
                (self.proposer(proposal)?, Some(reference))
            }
        };
        let effect = self.effect(proposal).map_err(|error| error.about(reference.as_deref(), None))?;
        Ok(Part { effect, proposer, reference })
    }

    fn effect(&self, proposal: &QueuedProposal) -> Result<Effect, HandshakeError> {
        let at = |leaf: u32| client_at(&self.view, leaf).map_err(HandshakeError::proposals);
        Ok(match proposal.proposal() {
            Proposal::Add(add) => {
                let info = describe(&self.crypto, add.key_package()).map_err(|error| {
                    HandshakeError::proposals(match error {
                        KeyPackageError::Credential(_) => CheckId::Credentials,
                        _ => CheckId::Validity,
                    })
                })?;
                Effect::Add {
                    client: info.client,
                    user: info.user,
                    key_package_ref: info.reference,
                    lifetime_s: info.lifetime_s,
                    says: info.says,
                }
            }
            Proposal::Remove(remove) => {
                let leaf = remove.removed().u32();
                let (client, user) = at(leaf)?;
                Effect::Remove { leaf, client, user }
            }
            Proposal::SelfRemove => {
                let leaf = own_leaf(proposal)?;
                let (client, user) = at(leaf)?;
                Effect::SelfRemove { leaf, client, user }
            }
            Proposal::Update(update) => {
                let leaf = own_leaf(proposal)?;
                let before = at(leaf)?;
                let leaf_node = update.leaf_node();
                let renewed = bound_client(leaf_node.credential(), leaf_node.signature_key().as_slice())
                    .map_err(|_| HandshakeError::proposals(CheckId::Credentials))?;
                checks::credentials::continued(&before, Some(&renewed)).map_err(HandshakeError::proposals)?;
                let (client, user) = before;
                Effect::Update { leaf, client, user, says: says(leaf_node).into() }
            }
            Proposal::AppDataUpdate(update) => {
                let update = component_update(update);
                Effect::Component { id: update.component, operation: update.operation }
            }
            Proposal::ExternalInit(_) => Effect::ExternalInit,
            Proposal::GroupContextExtensions(_) => Effect::GroupContextExtensions,
            Proposal::ReInit(_) => Effect::ReInit,
            Proposal::PreSharedKey(_) => Effect::Psk,
            other @ (Proposal::AppEphemeral(_) | Proposal::Custom(_)) => Effect::Other(other.proposal_type().into()),
        })
    }
}

/// The leaf of a proposal that only a member can make.
fn own_leaf(proposal: &QueuedProposal) -> Result<u32, HandshakeError> {
    match proposal.sender() {
        MlsSender::Member(leaf) => Ok(leaf.u32()),
        MlsSender::External(_) | MlsSender::NewMemberProposal | MlsSender::NewMemberCommit => {
            Err(HandshakeError::proposals(CheckId::ProposalTypes))
        }
    }
}

fn user_of(proposer: &Proposer) -> Option<UserUri> {
    match proposer {
        Proposer::Member { user, .. } | Proposer::Joiner { user, .. } => Some(user.clone()),
        Proposer::ExternalSender { domain, .. } => domain.as_ref().map(UserUri::provider),
    }
}
