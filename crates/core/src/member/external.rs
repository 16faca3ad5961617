//! Joining from outside: ask for the GroupInfo, open the answer, commit oneself in.

use openmls::prelude::{
    AppDataUpdateProposal, ExternalCommitBuilder, ExternalSender, LeafNodeParameters, MlsMessageBodyIn, OpenMlsCrypto,
    OpenMlsProvider, OpenMlsRand, PublicMessageIn,
};
use openmls::treesync::RatchetTreeIn;

use crate::identity::credential::provider_of;
use crate::mls::component_updates::dictionary;
use crate::mls::labels;
use crate::wire::components::{ComponentId, Participant, ParticipantListUpdate};
use crate::wire::group_info::{
    GroupInfoOutcome, GroupInfoRatchetTree, GroupInfoRequest, GroupInfoResponse, PendingProposal,
};
use crate::wire::mls::MlsKind;
use crate::wire::update::{RatchetTreeOption, UpdateRequest};
use crate::wire::uri::RoomUri;
use crate::wire::{Protocol, Wire};

use super::Member;
use super::client::join_config;
use super::commit::Bundling;
use super::error::{MemberError, refused};
use super::membership::{Membership, Store};
use super::resolve::resolve;

impl Member {
    /// Asks for the GroupInfo of a room. The answer can be opened once, by this client.
    ///
    /// # Errors
    ///
    /// [`MemberError::Mls`] when no key can be made.
    pub fn group_info_request(
        &mut self,
        room: &RoomUri,
        joining_code: Option<Vec<u8>>,
    ) -> Result<GroupInfoRequest, MemberError> {
        let ikm = self.store.rand().random_vec(32).map_err(refused("draw randomness"))?;
        let pair =
            self.crypto().derive_hpke_keypair(self.suite.hpke_config(), &ikm).map_err(refused("make an HPKE key"))?;
        self.awaited.insert(room.clone(), pair.private.to_vec());
        let mut request = GroupInfoRequest {
            protocol: Protocol::Mls10,
            suite: self.suite(),
            signature_key: self.signature_key().to_vec(),
            credential: self.credential(),
            group_info_public_key: pair.public,
            joining_code,
            signature: Vec::new(),
        };
        request.signature = labels::sign_with_label(&self.signer, labels::GROUP_INFO_REQUEST, &request.tbs())?;
        Ok(request)
    }

    /// Opens the answer to [`Self::group_info_request`] and checks that it is the room's hub that answers.
    ///
    /// # Errors
    ///
    /// [`MemberError::GroupInfo`] for a refusal, an answer nobody asked for, one for another room or by somebody who is
    /// not the hub; [`MemberError::Label`] when the signature or the ciphertext does not hold.
    pub fn open_group_info_response(
        &mut self,
        room: &RoomUri,
        response: &GroupInfoResponse,
    ) -> Result<GroupInfoRatchetTree, MemberError> {
        let GroupInfoOutcome::Success(sealed) = &response.outcome else { return Err(MemberError::GroupInfo) };
        if response.room != *room || sealed.suite != self.suite() {
            return Err(MemberError::GroupInfo);
        }
        let (hub, signed) = (&sealed.hub_sender, response.tbs().ok_or(MemberError::GroupInfo)?);
        labels::verify_with_label(
            self.crypto(),
            sealed.suite,
            &hub.signature_key,
            labels::GROUP_INFO_RESPONSE,
            &signed,
            &sealed.signature,
        )?;
        let private = self.awaited.get(room).ok_or(MemberError::GroupInfo)?;
        let opened = labels::decrypt_with_label(
            self.crypto(),
            sealed.suite,
            private,
            labels::GROUP_INFO_ENCRYPTION,
            room.as_bytes(),
            &sealed.encrypted,
        )?;
        let material = GroupInfoRatchetTree::decode(&opened)?;
        let group_info = material.group_info.clone().into_openmls()?;
        let listed = ExternalSender::new(hub.signature_key.as_slice().into(), hub.credential.clone());
        let senders = group_info.group_context().extensions().external_senders();
        if provider_of(&hub.credential) != Some(room.domain())
            || !senders.is_some_and(|senders| senders.contains(&listed))
        {
            return Err(MemberError::GroupInfo);
        }
        self.awaited.remove(room);
        Ok(material)
    }

    /// An external commit that brings this client into the room, and lists its user in `role_index` unless it is
    /// listed already (`None`). A former leaf of this client is removed; pending SelfRemoves are cited.
    ///
    /// Until the hub has [accepted](Self::accepted) it the client is in the room only in its own view.
    ///
    /// # Errors
    ///
    /// [`MemberError::Waiting`] while another update waits for its answer, [`MemberError::Tree`] without the whole
    /// tree, [`MemberError::Mls`] when the GroupInfo is not valid or does not allow it.
    pub fn external_join(
        &mut self,
        room: &RoomUri,
        material: &GroupInfoRatchetTree,
        role_index: Option<u32>,
    ) -> Result<UpdateRequest, MemberError> {
        if let Some(membership) = self.rooms.get(room) {
            membership.idle()?;
        }
        let store = Store::default();
        let group_info = material.group_info.clone().into_openmls()?;
        let before = group_info.group_context().extensions().app_data_dictionary();
        let before = dictionary(before.map(|extension| extension.dictionary()));
        let mut builder = ExternalCommitBuilder::new()
            .with_config(join_config())
            .with_ratchet_tree(whole(&material.ratchet_tree)?)
            .with_proposals(self_removes(&material.pending_proposals)?)
            // Leaves outlive their key packages: only who adds them has to look at the clock.
            .skip_lifetime_validation()
            .build_group(&*store, group_info, self.credential_with_key())
            .map_err(refused("take the GroupInfo"))?
            .leaf_node_parameters(LeafNodeParameters::builder().with_capabilities(self.capabilities()).build());
        if let Some(role_index) = role_index {
            let added = vec![Participant { user: self.user.clone(), role_index }];
            let update = ParticipantListUpdate { added, ..ParticipantListUpdate::default() };
            let id = ComponentId::PARTICIPANT_LIST.0;
            builder = builder.add_app_data_update_proposal(AppDataUpdateProposal::update(id, update.encode()));
        }
        let mut builder =
            builder.load_psks(store.storage()).map_err(refused("start an external commit"))?.create_group_info(true);
        let changes = resolve(&before, builder.app_data_dictionary_updater(), builder.app_data_update_proposals())?;
        builder.with_app_data_dictionary_updates(changes);
        let (group, bundle) = builder
            .build(store.rand(), store.crypto(), &self.signer, |_| true)
            .map_err(refused("build the external commit"))?
            .finalize(&*store)
            .map_err(refused("finish the external commit"))?;
        let tree = match self.bundling {
            Bundling::Light => None,
            Bundling::Full => Some(group.export_ratchet_tree()),
        };
        let previous = self.rooms.remove(room).map(Box::new);
        self.rooms.insert(room.clone(), Membership::joining(group, store, previous));
        self.bundled(room, &bundle, tree.as_ref())
    }
}

pub(super) fn whole(tree: &RatchetTreeOption) -> Result<RatchetTreeIn, MemberError> {
    match tree {
        RatchetTreeOption::Full(tree) => Ok(tree.clone().into_openmls()?),
        RatchetTreeOption::HttpsUri { .. }
        | RatchetTreeOption::OutOfBand { .. }
        | RatchetTreeOption::DistributionService => Err(MemberError::Tree),
    }
}

/// openmls picks the SelfRemoves among them.
fn self_removes(pending: &[PendingProposal]) -> Result<Vec<PublicMessageIn>, MemberError> {
    let mut proposals = Vec::new();
    for proposal in pending.iter().map(|pending| &pending.proposal) {
        if proposal.kind() == MlsKind::Proposal
            && let MlsMessageBodyIn::PublicMessage(message) = proposal.clone().into_openmls()?.extract()
        {
            proposals.push(message);
        }
    }
    Ok(proposals)
}
