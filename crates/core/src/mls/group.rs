//! A group as its hub, or a follower, sees it: the public state, and the proposals that wait for a commit.

use openmls::group::{GroupContext, GroupId, ProposalStore, PublicGroup};
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
use super::snapshot::Shelf;
use super::{GroupView, Leaf, Part};

/// The public state of a group. Inspecting a handshake changes nothing; what was inspected can be merged.
#[derive(Debug)]
pub struct Group {
    pub(super) public: PublicGroup,
    pub(super) shelf: Shelf,
    pub(super) crypto: HubCrypto,
    pub(super) pending: Vec<Pending>,
    pub(super) group_info: Vec<u8>,
}

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
        let (shelf, crypto) = (Shelf::default(), HubCrypto::default());
        let (public, _) = PublicGroup::from_external(&crypto, &shelf, tree, verifiable, ProposalStore::new())
            .map_err(|error| MlsError::Refused(unfounded(&error)))?;
        let group = Self { public, shelf, crypto, pending: Vec::new(), group_info: group_info.as_bytes().to_vec() };
        let view = group.view()?;
        checks::context::required_capabilities(group.public.group_context())?;
        checks::context::external_senders(group.public.group_context())?;
        checks::view(&view)?;
        Ok(group)
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
        let leaf = group.view()?.leaves.into_iter().find(|leaf| leaf.index == signer).ok_or(CheckId::GroupInfo)?;
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
        Self::load(shelf, group_info)
    }

    pub(super) fn load(shelf: Shelf, group_info: Vec<u8>) -> Result<Self, MlsError> {
        // The shelf holds one group and does not ask which.
        let public = PublicGroup::load(&shelf, &GroupId::from_slice(&[])).map_err(|_| MlsError::Snapshot)?;
        let public = public.ok_or(MlsError::Snapshot)?;
        Ok(Self { public, shelf, crypto: HubCrypto::default(), pending: Vec::new(), group_info })
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
    ///
    /// # Errors
    ///
    /// [`MlsError::Refused`] when the group's identifier or a member's credential is not one of MIMI; never for a
    /// group that was founded or restored.
    pub fn view(&self) -> Result<GroupView, MlsError> {
        let context = self.public.group_context();
        let group = GroupUri::from_bytes(context.group_id().as_slice()).map_err(|_| CheckId::Group)?;
        let leaf = |member: openmls::group::Member| {
            let named = bound_client(&member.credential, &member.signature_key);
            let (client, user) = named.map_err(|_| CheckId::Credentials)?;
            Ok::<_, CheckId>(Leaf { index: member.index.u32(), client, user, signature_key: member.signature_key })
        };
        Ok(GroupView {
            group,
            epoch: context.epoch().as_u64(),
            suite: self.suite().into(),
            leaves: self.public.members().map(leaf).collect::<Result<_, _>>()?,
            components: dictionary(context.extensions().app_data_dictionary().map(|extension| extension.dictionary())),
        })
    }

    /// The tree of this epoch: `optional<Node> ratchet_tree<V>`, as `RatchetTreeOption` carries it.
    pub fn ratchet_tree(&self) -> Vec<u8> {
        // A tree that was decoded is short enough to be encoded.
        self.public.export_ratchet_tree().tls_serialize_detached().unwrap_or_default()
    }

    /// The raw GroupInfo of this epoch, whole and verified, without the tree.
    pub fn group_info(&self) -> &[u8] {
        &self.group_info
    }

    /// `Extension extensions<V>` of the GroupContext.
    pub fn extensions(&self) -> Vec<u8> {
        self.public.group_context().extensions().tls_serialize_detached().unwrap_or_default()
    }

    /// Who may propose from outside, in the order by which proposals name them.
    ///
    /// # Errors
    ///
    /// [`MlsError::Library`] when openmls encodes them in another way than we decode them.
    pub fn external_senders(&self) -> Result<Vec<ExternalSender>, MlsError> {
        let senders = self.public.group_context().extensions().external_senders();
        let own = |sender: &openmls::extensions::ExternalSender| {
            let bytes = sender.tls_serialize_detached().map_err(|_| MlsError::Library)?;
            ExternalSender::decode(&bytes).map_err(|_| MlsError::Library)
        };
        senders.into_iter().flatten().map(own).collect()
    }

    /// The accepted proposals of this epoch, in the order they were queued.
    pub fn pending(&self) -> Vec<Part> {
        self.pending.iter().map(|pending| pending.part.clone()).collect()
    }

    pub(super) fn suite(&self) -> Ciphersuite {
        self.public.ciphersuite()
    }
}

/// The leaf that a GroupInfo says has signed it (RFC 9420, section 12.4.3). openmls does not tell.
fn signer(group_info: &[u8]) -> Option<u32> {
    let mut reader = group_info;
    GroupContext::tls_deserialize(&mut reader).ok()?;
    let (_extensions, _confirmation_tag) =
        (VLBytes::tls_deserialize(&mut reader).ok()?, VLBytes::tls_deserialize(&mut reader).ok()?);
    u32::tls_deserialize(&mut reader).ok()
}
