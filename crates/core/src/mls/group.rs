//! A group as its hub, or a follower, sees it: the public state, and the proposals that wait for a commit.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openmls::group::{GroupContext, ProposalStore, PublicGroup};
use openmls::prelude::LeafNodeIndex;
use openmls_traits::types::Ciphersuite;
use tls_codec::{Deserialize as _, Serialize as _, VLBytes};

use crate::identity::credential::bound_client;
use crate::wire::Wire;
use crate::wire::external_sender::ExternalSender;
use crate::wire::mls::{GroupInfo, RatchetTree};
use crate::wire::uri::GroupUri;

use super::checks::{self, CheckId};
use super::component_updates::dictionary;
use super::crypto::HubCrypto;
use super::error::{MlsError, unfounded};
use super::proposals::Pending;
use super::says::says;
use super::snapshot::Shelf;
use super::{GroupView, Leaf, Part, tree};

/// The public state of a group. Inspecting a handshake changes nothing; what was inspected can be merged.
///
/// The group of the next epoch takes the tree over instead of copying it: whoever then still asks this one waits until
/// it is read again from its parts.
#[derive(Debug)]
pub struct Group {
    live: Live,
    shelf: Shelf,
    pub(super) suite: Ciphersuite,
    pub(super) crypto: HubCrypto,
    pub(super) view: GroupView,
    pub(super) pending: Vec<Pending>,
    pub(super) group_info: Vec<u8>,
}

/// The group in memory, unless another has taken it over.
type Live = Mutex<Option<Arc<PublicGroup>>>;

/// MLS 1.0 and the wire format of a GroupInfo: no GroupInfo starts with them, because cipher suite 4 is not supported.
const GROUP_INFO_FRAME: &[u8] = &[0, 1, 0, 4];

impl Group {
    /// Takes in a whole group: a GroupInfo, raw or as an MLSMessage, and its `optional<Node> ratchet_tree<V>`.
    ///
    /// openmls verifies tree, leaves and signature, and that no KeyPackage in the tree has expired by the system clock
    /// (C-12).
    ///
    /// # Errors
    ///
    /// [`MlsError::Malformed`] for bytes that do not decode, [`MlsError::Refused`] for a group that is not valid or
    /// cannot be a room's.
    pub fn found(group_info: &[u8], tree: &[u8]) -> Result<Self, MlsError> {
        let group_info = GroupInfo::decode(group_info.strip_prefix(GROUP_INFO_FRAME).unwrap_or(group_info))?;
        let (verifiable, tree) = (group_info.clone().into_openmls()?, RatchetTree::decode(tree)?.into_openmls()?);
        checks::group_info::extensions(verifiable.extensions())?;
        let shelf = Shelf::default();
        let (public, _) =
            PublicGroup::from_external(&HubCrypto::default(), &shelf, tree, verifiable, ProposalStore::new())
                .map_err(|error| MlsError::Refused(unfounded(&error)))?;
        let view = view(&public)?;
        checks::context::required_capabilities(public.group_context())?;
        checks::context::external_senders(public.group_context())?;
        checks::view(&view)?;
        Ok(Self::of(public, shelf, view, group_info.as_bytes().to_vec()))
    }

    pub(super) fn of(public: PublicGroup, shelf: Shelf, view: GroupView, group_info: Vec<u8>) -> Self {
        let (suite, crypto) = (public.ciphersuite(), HubCrypto::default());
        Self { live: Mutex::new(Some(Arc::new(public))), shelf, suite, crypto, view, pending: Vec::new(), group_info }
    }

    /// Takes in the group of a running room, as one of its members describes it to a follower (C-2), and says which
    /// client has signed. As [`Self::found`] otherwise: what a GroupInfo cannot show, such as that its members agree
    /// with it, shows when the next commit fits, or does not.
    ///
    /// # Errors
    ///
    /// As [`Self::found`].
    pub fn take_up(group_info: &[u8], tree: &[u8]) -> Result<(Self, Leaf), MlsError> {
        let group = Self::found(group_info, tree)?;
        let signer = signer(&group.group_info).ok_or(CheckId::GroupInfo)?;
        let leaf = group.view.leaves.iter().find(|leaf| leaf.index == signer).ok_or(CheckId::GroupInfo)?;
        let leaf = Leaf::clone(leaf);
        Ok((group, leaf))
    }

    /// Reads what [`Self::snapshot`] wrote. Nothing is verified again.
    ///
    /// Pending proposals are not in the snapshot: [queue](Self::queue) them.
    ///
    /// # Errors
    ///
    /// [`MlsError::Snapshot`] for a blob of another version, or none at all.
    pub fn restore(snapshot: &[u8]) -> Result<Self, MlsError> {
        let (shelf, group_info) = Shelf::unpack(snapshot)?;
        let public = shelf.load()?;
        let view = view(&public)?;
        Ok(Self::of(public, shelf, view, group_info))
    }

    /// The group of this epoch as one blob, without pending proposals.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn snapshot(&self) -> Result<Vec<u8>, MlsError> {
        Ok(self.shelf.pack(&self.group_info))
    }

    /// The group in words of MIMI.
    pub fn view(&self) -> &GroupView {
        &self.view
    }

    /// The tree of this epoch.
    ///
    /// # Errors
    ///
    /// [`MlsError::Library`] when openmls cannot encode the tree that it holds.
    pub fn ratchet_tree(&self) -> Result<RatchetTree, MlsError> {
        let tree = tree::encode(self.public()?.treesync(), self.shelf.tree_bytes());
        tree.map(RatchetTree::encoded).map_err(|_| MlsError::Library)
    }

    /// The raw GroupInfo of this epoch, whole and verified, without the tree.
    pub fn group_info(&self) -> &[u8] {
        &self.group_info
    }

    /// `Extension extensions<V>` of the GroupContext.
    ///
    /// # Errors
    ///
    /// [`MlsError::Library`] when openmls cannot encode the extensions that it holds.
    pub fn extensions(&self) -> Result<Vec<u8>, MlsError> {
        self.public()?.group_context().extensions().tls_serialize_detached().map_err(|_| MlsError::Library)
    }

    /// Who may propose from outside, in the order by which proposals name them.
    ///
    /// # Errors
    ///
    /// [`MlsError::Library`] when openmls encodes them in another way than we decode them.
    pub fn external_senders(&self) -> Result<Vec<ExternalSender>, MlsError> {
        let public = self.public()?;
        let own = |sender: &openmls::extensions::ExternalSender| {
            let bytes = sender.tls_serialize_detached().map_err(|_| MlsError::Library)?;
            ExternalSender::decode(&bytes).map_err(|_| MlsError::Library)
        };
        public.group_context().extensions().external_senders().into_iter().flatten().map(own).collect()
    }

    /// The accepted proposals of this epoch, in the order they were queued.
    pub fn pending(&self) -> Vec<Part> {
        self.pending.iter().map(|pending| pending.part.clone()).collect()
    }

    /// The group to read.
    pub(super) fn public(&self) -> Result<Arc<PublicGroup>, CheckId> {
        let mut live = self.live();
        let public = match live.take() {
            Some(public) => public,
            None => Arc::new(self.read_again()?),
        };
        *live = Some(Arc::clone(&public));
        Ok(public)
    }

    /// The group to change: the one in memory, or a copy while somebody reads that one.
    pub(super) fn take(&self) -> Result<PublicGroup, CheckId> {
        let mut live = self.live();
        match live.take().map(Arc::try_unwrap) {
            Some(Ok(public)) => Ok(public),
            Some(Err(read)) => {
                *live = Some(read);
                self.read_again()
            }
            None => self.read_again(),
        }
    }

    /// Adds to the proposals that are pending.
    pub(super) fn add(&mut self, pending: Pending) -> Result<(), CheckId> {
        let mut public = self.take()?;
        // The shelf keeps no proposals: nothing is written.
        public.add_proposal(&self.shelf, pending.queued.clone()).map_err(|_| CheckId::Validity)?;
        self.live = Mutex::new(Some(Arc::new(public)));
        self.pending.push(pending);
        Ok(())
    }

    // The parts are those of a group that stands, so that nothing here depends on what a peer has sent.
    fn read_again(&self) -> Result<PublicGroup, CheckId> {
        let mut public = self.shelf.load().map_err(|_| CheckId::Validity)?;
        for pending in &self.pending {
            public.add_proposal(&self.shelf, pending.queued.clone()).map_err(|_| CheckId::Validity)?;
        }
        Ok(public)
    }

    fn live(&self) -> MutexGuard<'_, Option<Arc<PublicGroup>>> {
        // It is there or not, also after a panic.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A group in words of MIMI.
pub(super) fn view(public: &PublicGroup) -> Result<GroupView, CheckId> {
    let last = public.members().map(|member| member.index.u32()).last();
    view_after(public, &[], last)
}

/// The same for the next epoch: `kept` are the leaves that the commit leaves as they are, ascending, and `last` is the
/// last index at which there can be one.
pub(super) fn view_after(public: &PublicGroup, kept: &[Arc<Leaf>], last: Option<u32>) -> Result<GroupView, CheckId> {
    let context = public.group_context();
    let group = GroupUri::from_bytes(context.group_id().as_slice()).map_err(|_| CheckId::Group)?;
    let mut kept = kept.iter().peekable();
    let mut leaves: Vec<Arc<Leaf>> = Vec::with_capacity(kept.len());
    for index in last.into_iter().flat_map(|last| 0..=last) {
        let known = kept.next_if(|leaf| leaf.index == index);
        let Some(node) = public.leaf(LeafNodeIndex::new(index)) else { continue };
        let signature_key = node.signature_key().as_slice();
        leaves.push(match known.filter(|leaf| leaf.signature_key == signature_key) {
            Some(leaf) => Arc::clone(leaf),
            None => {
                let named = bound_client(node.credential(), signature_key);
                let (client, user) = named.map_err(|_| CheckId::Credentials)?;
                let says = says(node);
                let like = leaves.last().or_else(|| kept.peek().copied()).map(|leaf| &leaf.says);
                let says = like.filter(|like| ***like == says).map_or_else(|| says.into(), Arc::clone);
                Arc::new(Leaf { index, client, user, signature_key: signature_key.to_vec(), says })
            }
        });
    }
    let components = dictionary(context.extensions().app_data_dictionary().map(|extension| extension.dictionary()));
    let (epoch, suite) = (context.epoch().as_u64(), public.ciphersuite().into());
    Ok(GroupView { group, epoch, suite, leaves, components })
}

/// The leaf that a GroupInfo says has signed it (RFC 9420, section 12.4.3). openmls does not tell.
fn signer(group_info: &[u8]) -> Option<u32> {
    let mut reader = group_info;
    GroupContext::tls_deserialize(&mut reader).ok()?;
    let (_extensions, _confirmation_tag) =
        (VLBytes::tls_deserialize(&mut reader).ok()?, VLBytes::tls_deserialize(&mut reader).ok()?);
    u32::tls_deserialize(&mut reader).ok()
}
