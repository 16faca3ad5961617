//! Real MLS clients, some of them dishonest, and the hub's group between them.

mod certificates;
mod commits;
mod external;
mod follower;
mod founding;
mod hostile;
mod members;
mod proposals;

use std::time::Duration;

use openmls::component::ComponentData;
use openmls::credentials::{BasicCredential, Credential, CredentialType, CredentialWithKey};
use openmls::extensions::{
    AppDataDictionary, AppDataDictionaryExtension, Extension, ExtensionType, Extensions, RequiredCapabilitiesExtension,
};
use openmls::framing::{MlsMessageOut, ProcessedMessageContent};
use openmls::group::{
    CommitMessageBundle, GroupContext, GroupId, MlsGroup, MlsGroupCreateConfig, MlsGroupJoinConfig,
    PURE_PLAINTEXT_WIRE_FORMAT_POLICY, StagedWelcome,
};
use openmls::key_packages::{KeyPackage, Lifetime};
use openmls::messages::proposals::{AppDataUpdateProposal, Proposal, ProposalType};
use openmls::prelude::{Capabilities, LeafNodeIndex, LeafNodeParameters, NewSignerBundle};
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::OpenMlsRustCrypto;
use openmls_traits::OpenMlsProvider;
use openmls_traits::types::{Ciphersuite, SignatureScheme};
use tls_codec::{Deserialize as _, Serialize as _, VLBytes};

use crate::time::Millis;
use crate::wire::Wire;
use crate::wire::components::{
    ComponentId, Dictionary, Participant, ParticipantList, ParticipantListUpdate, SafeAadComponents,
};
use crate::wire::mls::{GroupInfo, MlsMessage, Welcome};
use crate::wire::update::{
    CommitBundle, Extension as RawExtension, GroupInfoOption, PartialGroupInfo, RatchetTreeOption, RatchetTreePresence,
};
use crate::wire::uri::UserUri;

use super::component_updates::{ComponentUpdate, apply, component_update, dictionary, fill};
use super::{CheckId, Group, HandshakeError, StagedChange};

const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;
const GROUP: &str = "mimi://a.example/g/lobby";
const ROLE: u32 = 2;
const PROPOSAL: u8 = 2;
const COMMIT: u8 = 3;
const LIFETIME: Duration = Duration::from_hours(60 * 24);

/// The time that openmls reads from the system clock.
fn now() -> Millis {
    Millis((Lifetime::new(0).not_before() + 3600) * 1000)
}

fn client_uri(name: &str) -> String {
    let (user, device) = name.split_once('/').unwrap_or((name, "phone"));
    format!("mimi://a.example/d/{user}/{device}")
}

fn user(name: &str) -> UserUri {
    UserUri::parse(&format!("mimi://a.example/u/{name}")).unwrap()
}

fn key_pair() -> SignatureKeyPair {
    SignatureKeyPair::new(SignatureScheme::ED25519).unwrap()
}

/// Two clients of one user may share a key pair, as far as openmls is concerned.
fn shared(signer: &SignatureKeyPair) -> SignatureKeyPair {
    SignatureKeyPair::tls_deserialize_exact(signer.tls_serialize_detached().unwrap()).unwrap()
}

fn credential(identity: &str) -> Credential {
    BasicCredential::new(identity.as_bytes().to_vec()).into()
}

fn capabilities(proposals: &[ProposalType]) -> Capabilities {
    Capabilities::builder()
        .ciphersuites(vec![SUITE])
        .extensions(vec![ExtensionType::AppDataDictionary])
        .proposals(proposals.to_vec())
        .credentials(vec![CredentialType::Basic])
        .build()
}

fn all_capabilities() -> Capabilities {
    capabilities(&[ProposalType::AppDataUpdate, ProposalType::SelfRemove])
}

/// Lists users after the ones who are there.
fn listing(names: &[&str]) -> AppDataUpdateProposal {
    let added = names.iter().map(|name| Participant { user: user(name), role_index: ROLE }).collect();
    participants(ParticipantListUpdate { added, ..ParticipantListUpdate::default() })
}

fn participants(update: ParticipantListUpdate) -> AppDataUpdateProposal {
    AppDataUpdateProposal::update(ComponentId::PARTICIPANT_LIST.0, update.encode())
}

fn components(creator: &str) -> Dictionary {
    let mut dictionary = Dictionary::default();
    dictionary.write(&SafeAadComponents { components: vec![ComponentId::FRANK_AAD] });
    dictionary.write(&ParticipantList { participants: vec![Participant { user: user(creator), role_index: ROLE }] });
    dictionary
}

fn required() -> Extension {
    Extension::RequiredCapabilities(RequiredCapabilitiesExtension::new(
        &[ExtensionType::AppDataDictionary],
        &[ProposalType::AppDataUpdate, ProposalType::SelfRemove],
        &[CredentialType::Basic],
    ))
}

fn external_senders(hub: &SignatureKeyPair) -> Extension {
    let sender = openmls::extensions::ExternalSender::new(hub.public().into(), credential("mimi://a.example"));
    Extension::ExternalSenders(vec![sender])
}

fn app_data(components: &Dictionary) -> Extension {
    let mut dictionary = AppDataDictionary::new();
    for (id, data) in components.iter() {
        dictionary.insert(id.0, data.to_vec());
    }
    Extension::AppDataDictionary(AppDataDictionaryExtension::new(dictionary))
}

/// A client as openmls makes one, with every lever within reach.
struct Client {
    provider: OpenMlsRustCrypto,
    signer: SignatureKeyPair,
    identity: CredentialWithKey,
    capabilities: Capabilities,
    group: Option<MlsGroup>,
}

/// What a commit is to hold.
#[derive(Default)]
struct Draft {
    adds: Vec<KeyPackage>,
    removes: Vec<u32>,
    updates: Vec<AppDataUpdateProposal>,
    /// New data of components, instead of what the updates amount to.
    outcome: Option<Vec<(u16, Option<Vec<u8>>)>>,
    leaf: Option<LeafNodeParameters>,
    /// Leaves out the proposals that are pending.
    alone: bool,
}

impl Client {
    /// `alice` is Alice's phone, `alice/laptop` her laptop.
    fn new(name: &str) -> Self {
        Self::with_signer(name, key_pair())
    }

    fn with_signer(name: &str, signer: SignatureKeyPair) -> Self {
        let provider = OpenMlsRustCrypto::default();
        signer.store(provider.storage()).unwrap();
        let identity =
            CredentialWithKey { credential: credential(&client_uri(name)), signature_key: signer.public().into() };
        Self { provider, signer, identity, capabilities: all_capabilities(), group: None }
    }

    fn group(&mut self) -> &mut MlsGroup {
        self.group.as_mut().unwrap()
    }

    fn leaf(&self) -> u32 {
        self.group.as_ref().unwrap().own_leaf_index().u32()
    }

    fn key_package(&self) -> KeyPackage {
        self.key_package_with(Lifetime::new(LIFETIME.as_secs()), self.capabilities.clone())
    }

    fn key_package_with(&self, lifetime: Lifetime, capabilities: Capabilities) -> KeyPackage {
        let builder = KeyPackage::builder().key_package_lifetime(lifetime).leaf_node_capabilities(capabilities);
        builder.build(SUITE, &self.provider, &self.signer, self.identity.clone()).unwrap().into_key_package()
    }

    /// Creates a group and shows its GroupInfo and tree.
    fn create(&mut self, extensions: Vec<Extension>) -> (Vec<u8>, Vec<u8>) {
        let config = MlsGroupCreateConfig::builder()
            .ciphersuite(SUITE)
            .wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
            .capabilities(self.capabilities.clone())
            .with_group_context_extensions(Extensions::<GroupContext>::from_vec(extensions).unwrap())
            .build();
        let id = GroupId::from_slice(GROUP.as_bytes());
        let group =
            MlsGroup::new_with_group_id(&self.provider, &self.signer, &config, id, self.identity.clone()).unwrap();
        let shown = show(&group, &self.provider, &self.signer);
        self.group = Some(group);
        shown
    }

    fn commit(&mut self, draft: Draft) -> CommitBundle {
        let Self { provider, signer, group, .. } = self;
        let group = group.as_mut().unwrap();
        let before = dictionary(group.extensions().app_data_dictionary().map(|extension| extension.dictionary()));
        let renew = draft.adds.is_empty() && draft.removes.is_empty() && draft.updates.is_empty();
        let mut builder = group
            .commit_builder()
            .consume_proposal_store(!draft.alone)
            .force_self_update(renew || draft.leaf.is_some())
            .propose_adds(draft.adds)
            .propose_removals(draft.removes.into_iter().map(LeafNodeIndex::new))
            .add_proposals(draft.updates.into_iter().map(|update| Proposal::AppDataUpdate(Box::new(update))));
        if let Some(leaf) = draft.leaf {
            builder = builder.leaf_node_parameters(leaf);
        }
        let mut builder = builder.load_psks(provider.storage()).unwrap().create_group_info(true);
        let updates: Vec<ComponentUpdate> = builder.app_data_update_proposals().map(component_update).collect();
        let mut updater = builder.app_data_dictionary_updater();
        match draft.outcome {
            None => fill(&mut updater, apply(&before, &updates).unwrap()),
            Some(outcome) => {
                for (id, data) in outcome {
                    match data {
                        Some(data) => updater.set(ComponentData::from_parts(id, data.into())),
                        None => updater.remove(&id),
                    }
                }
            }
        }
        let changes = updater.changes();
        builder.with_app_data_dictionary_updates(changes);
        let built = builder.build(provider.rand(), provider.crypto(), signer, |_| true).unwrap();
        bundled(&built.stage_commit(provider).unwrap())
    }

    /// Renews the leaf with other keys.
    fn commit_with_signer(&mut self, signer: &SignatureKeyPair) -> CommitBundle {
        let identity =
            CredentialWithKey { credential: self.identity.credential.clone(), signature_key: signer.public().into() };
        let Self { provider, signer: own, group, .. } = self;
        let new = NewSignerBundle { signer, credential_with_key: identity };
        let builder = group.as_mut().unwrap().commit_builder().force_self_update(true);
        let builder = builder.load_psks(provider.storage()).unwrap().create_group_info(true);
        let built = builder.build_with_new_signer(provider.rand(), provider.crypto(), own, new, |_| true).unwrap();
        bundled(&built.stage_commit(provider).unwrap())
    }

    fn propose_update(&mut self, update: &AppDataUpdateProposal) -> MlsMessage {
        let Self { provider, signer, group, .. } = self;
        let (id, operation) = (update.component_id(), update.operation().clone());
        let (message, _) = group.as_mut().unwrap().propose_app_data_update(provider, signer, id, operation).unwrap();
        framed(&message)
    }

    fn propose_add(&mut self, key_package: &KeyPackage) -> MlsMessage {
        let Self { provider, signer, group, .. } = self;
        framed(&group.as_mut().unwrap().propose_add_member(provider, signer, key_package).unwrap().0)
    }

    fn propose_leaf(&mut self) -> MlsMessage {
        let Self { provider, signer, group, .. } = self;
        let leaf = LeafNodeParameters::default();
        framed(&group.as_mut().unwrap().propose_self_update(provider, signer, leaf).unwrap().0)
    }

    fn leave(&mut self) -> MlsMessage {
        let Self { provider, signer, group, .. } = self;
        framed(&group.as_mut().unwrap().leave_group_via_self_remove(provider, signer).unwrap())
    }

    fn settle(&mut self) {
        let Self { provider, group, .. } = self;
        group.as_mut().unwrap().merge_pending_commit(provider).unwrap();
    }

    fn discard(&mut self) {
        let Self { provider, group, .. } = self;
        group.as_mut().unwrap().clear_pending_commit(provider.storage()).unwrap();
    }

    /// Processes what the hub has fanned out.
    fn take(&mut self, message: &MlsMessage) {
        let Self { provider, group, .. } = self;
        let group = group.as_mut().unwrap();
        let processed = group.process_message(provider, message.protocol_message().unwrap()).unwrap();
        match processed.into_content() {
            ProcessedMessageContent::ProposalMessage(proposal)
            | ProcessedMessageContent::ExternalJoinProposalMessage(proposal) => {
                group.store_pending_proposal(provider.storage(), *proposal).unwrap();
            }
            ProcessedMessageContent::StagedCommitMessage(staged) => {
                group.merge_staged_commit(provider, *staged).unwrap();
            }
            ProcessedMessageContent::UnresolvedAppDataCommit(commit) => {
                let before =
                    dictionary(group.extensions().app_data_dictionary().map(|extension| extension.dictionary()));
                let updates: Vec<ComponentUpdate> = commit.app_data_update_proposals().map(component_update).collect();
                let mut updater = group.app_data_dictionary_updater();
                fill(&mut updater, apply(&before, &updates).unwrap());
                let changes = updater.changes();
                let staged = group.stage_app_data_commit(provider, *commit, changes).unwrap();
                group.merge_staged_commit(provider, staged).unwrap();
            }
            other => panic!("unexpected content: {other:?}"),
        }
    }

    fn join(&mut self, welcome: &Welcome, tree: &[u8]) {
        let config = MlsGroupJoinConfig::builder().wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY).build();
        let tree = openmls::treesync::RatchetTreeIn::tls_deserialize_exact(tree).unwrap();
        let welcome = welcome.clone().into_openmls().unwrap();
        let staged = StagedWelcome::new_from_welcome(&self.provider, &config, welcome, Some(tree)).unwrap();
        self.group = Some(staged.into_group(&self.provider).unwrap());
    }
}

fn show(group: &MlsGroup, provider: &OpenMlsRustCrypto, signer: &SignatureKeyPair) -> (Vec<u8>, Vec<u8>) {
    let group_info = group.export_group_info(provider.crypto(), signer, false).unwrap();
    let tree = group.export_ratchet_tree().tls_serialize_detached().unwrap();
    (group_info.tls_serialize_detached().unwrap(), tree)
}

fn framed(message: &MlsMessageOut) -> MlsMessage {
    MlsMessage::decode(&message.tls_serialize_detached().unwrap()).unwrap()
}

fn bundled(bundle: &CommitMessageBundle) -> CommitBundle {
    let group_info = bundle.group_info().unwrap().tls_serialize_detached().unwrap();
    CommitBundle {
        commit: framed(bundle.commit()),
        welcome: bundle.welcome().map(|it| Welcome::decode(&it.tls_serialize_detached().unwrap()).unwrap()),
        group_info: GroupInfoOption::Full(GroupInfo::decode(&group_info).unwrap()),
        ratchet_tree: RatchetTreeOption::DistributionService,
    }
}

/// The same bundle with only what the hub cannot know.
fn partial(bundle: &CommitBundle) -> CommitBundle {
    let GroupInfoOption::Full(whole) = &bundle.group_info else { return bundle.clone() };
    let extensions = whole.clone().into_openmls().unwrap().extensions().tls_serialize_detached().unwrap();
    // An Ed25519 signature is the last 64 octets.
    let signature = whole.as_bytes()[whole.as_bytes().len() - 64..].to_vec();
    let group_info = GroupInfoOption::Partial(PartialGroupInfo {
        ratchet_tree_presence: RatchetTreePresence::NoRatchetTree,
        extensions: Vec::<RawExtension>::tls_deserialize_exact(extensions).unwrap(),
        signature,
    });
    CommitBundle { group_info, ..bundle.clone() }
}

/// A room with its hub; everybody but the first was added by the first.
struct Room {
    hub: Group,
    hub_signer: SignatureKeyPair,
    clients: Vec<Client>,
}

impl Room {
    fn of(names: &[&str]) -> Self {
        let mut room = Self::started_by(names[0], Client::new(names[0]));
        if names.len() > 1 {
            room.invite(&names[1..]);
        }
        room
    }

    fn started_by(name: &str, mut creator: Client) -> Self {
        let hub_signer = key_pair();
        let extensions = vec![required(), external_senders(&hub_signer), app_data(&components(name))];
        let (group_info, tree) = creator.create(extensions);
        let hub = Group::found(&group_info, &tree).unwrap();
        Self { hub, hub_signer, clients: vec![creator] }
    }

    /// The first client adds a client of each user, and lists them.
    fn invite(&mut self, names: &[&str]) {
        self.invite_clients(names, names.iter().map(|name| Client::new(name)).collect());
    }

    fn invite_clients(&mut self, names: &[&str], mut guests: Vec<Client>) {
        let adds = guests.iter().map(Client::key_package).collect();
        let bundle = self.clients[0].commit(Draft { adds, updates: vec![listing(names)], ..Draft::default() });
        self.accept(0, &bundle);
        let (welcome, tree) = (bundle.welcome.unwrap(), self.hub.ratchet_tree().unwrap());
        for guest in &mut guests {
            guest.join(&welcome, tree.as_bytes());
        }
        self.clients.append(&mut guests);
    }

    fn inspect(&self, bundle: &CommitBundle) -> Result<StagedChange, HandshakeError> {
        self.hub.inspect_commit(bundle, now())
    }

    /// Which check refuses the commit.
    fn refusal(&self, bundle: &CommitBundle) -> CheckId {
        self.inspect(bundle).unwrap_err().check().unwrap()
    }

    /// The hub and all clients apply the commit of client `from`.
    fn accept(&mut self, from: usize, bundle: &CommitBundle) {
        let staged = self.inspect(bundle).unwrap();
        let components = &staged.change.after.components;
        let list = components.read::<ParticipantList>().unwrap();
        assert_eq!(components.participants().unwrap().as_deref(), list.as_ref(), "the list is what its bytes say");
        self.hub.merge(staged).unwrap();
        for (at, client) in self.clients.iter_mut().enumerate() {
            if at == from { client.settle() } else { client.take(&bundle.commit) }
        }
    }

    /// The hub and all clients but the proposer hear of a proposal.
    fn propose(&mut self, from: Option<usize>, proposal: &MlsMessage) {
        self.hub.inspect_proposals(std::slice::from_ref(proposal), now()).unwrap();
        self.hub.queue(proposal).unwrap();
        for (at, client) in self.clients.iter_mut().enumerate() {
            if Some(at) != from {
                client.take(proposal);
            }
        }
    }

    fn refused_proposal(&self, proposals: &[MlsMessage]) -> CheckId {
        self.hub.inspect_proposals(proposals, now()).unwrap_err().check().unwrap()
    }

    fn hub_remove(&self, leaf: u32) -> MlsMessage {
        super::external_proposal::remove(self.hub.view(), 0, leaf, &self.hub_signer).unwrap()
    }

    /// A handshake of client `from` that openmls would not make, truly signed, with tags that nobody here can check.
    fn hand_made(&self, from: usize, content_type: u8, body: &[u8]) -> MlsMessage {
        self.try_hand_made(from, content_type, body).unwrap()
    }

    /// The same; `None` when the body is none.
    fn try_hand_made(&self, from: usize, content_type: u8, body: &[u8]) -> Option<MlsMessage> {
        let public = self.hub.public().unwrap();
        let context = public.group_context();
        let client = &self.clients[from];
        let mut message = vec![0, 1, 0, 1];
        message.extend(raw(context.group_id().as_slice().to_vec()));
        message.extend(context.epoch().as_u64().to_be_bytes());
        message.push(1);
        message.extend(client.leaf().to_be_bytes());
        message.extend(raw(vec![0]));
        message.push(content_type);
        message.extend(body);
        let signed = [message.clone(), context.tls_serialize_detached().unwrap()].concat();
        message.extend(raw(super::labels::sign_with_label(&client.signer, "FramedContentTBS", &signed).unwrap()));
        for _ in 0..content_type - 1 {
            message.extend(raw(vec![0; 32]));
        }
        MlsMessage::decode(&message).ok()
    }

    /// A bundle around any commit, with a GroupInfo that is not that of the next epoch.
    fn with_commit(&self, commit: MlsMessage) -> CommitBundle {
        CommitBundle {
            commit,
            welcome: None,
            group_info: GroupInfoOption::Full(GroupInfo::decode(self.hub.group_info()).unwrap()),
            ratchet_tree: RatchetTreeOption::DistributionService,
        }
    }

    fn users(&self) -> Vec<String> {
        self.hub.view().leaves.iter().map(|leaf| leaf.user.last_segment().to_owned()).collect()
    }
}

/// The signature of a PublicMessage from a member: the 64 octets before its two tags of 33 octets, or its one tag.
fn forged(message: &MlsMessage, tags: usize) -> MlsMessage {
    let mut bytes = message.as_bytes().to_vec();
    let at = bytes.len() - 33 * tags - 1;
    bytes[at] ^= 1;
    MlsMessage::decode(&bytes).unwrap()
}

fn raw(bytes: Vec<u8>) -> Vec<u8> {
    VLBytes::from(bytes).tls_serialize_detached().unwrap()
}
