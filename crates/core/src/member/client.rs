//! A client of a user: its keys, its key packages and the rooms it is in.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use openmls::prelude::{
    BasicCredential, Capabilities, Ciphersuite, Credential, CredentialType, CredentialWithKey, ExtensionType,
    Extensions, GroupContext, GroupId, KeyPackage, KeyPackageBuilder, Lifetime, MlsGroup, MlsGroupCreateConfig,
    MlsGroupJoinConfig, PURE_PLAINTEXT_WIRE_FORMAT_POLICY, ProposalType, ProtocolVersion,
};
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::OpenMlsRustCrypto;
use openmls_traits::types::SignatureScheme;
use tls_codec::{Deserialize as _, Serialize as _, VLBytes};

use crate::identity::{credential, x509};
use crate::wire::Wire;
use crate::wire::mls::{GroupInfo, KeyPackage as KeyPackageBytes, MlsMessage, RatchetTree};
use crate::wire::uri::{ClientUri, GroupUri, RoomUri, UserUri};

use super::commit::Bundling;
use super::error::{MemberError, refused};
use super::membership::{Membership, Store};

/// Suite of a member that is not told otherwise: MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519.
const DEFAULT_SUITE: u16 = 1;
/// Messages of this many past epochs can still be read; openmls keeps none by default (C-13).
const PAST_EPOCHS: usize = 3;

/// One client of one user, in any number of rooms.
pub struct Member {
    pub(super) client: ClientUri,
    pub(super) user: UserUri,
    pub(super) suite: Ciphersuite,
    pub(super) signer: SignatureKeyPair,
    credential: Credential,
    /// Holds the key packages and the groups that were created or entered by a Welcome.
    pub(super) store: Store,
    pub(super) rooms: BTreeMap<RoomUri, Membership>,
    /// Private keys to which answers with a GroupInfo are sealed.
    pub(super) awaited: BTreeMap<RoomUri, Vec<u8>>,
    pub(super) bundling: Bundling,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the keys.
        f.debug_struct("Member").field("client", &self.client).field("rooms", &self.rooms.len()).finish_non_exhaustive()
    }
}

/// What a hub needs to found a room's group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstGroup {
    /// The GroupInfo of epoch 0, without the tree.
    pub group_info: GroupInfo,
    /// The tree of epoch 0.
    pub tree: RatchetTree,
}

impl Member {
    /// A client with new keys, of cipher suite 1 and with a basic credential (reading D-7).
    ///
    /// # Errors
    ///
    /// [`MemberError::Unusable`] when the identifier names no user.
    pub fn new(client: ClientUri) -> Result<Self, MemberError> {
        Self::with_suite(client, DEFAULT_SUITE)
    }

    /// A client with new keys of cipher suite `suite`: 1 (X25519, Ed25519), 2 (P-256) or 3.
    ///
    /// # Errors
    ///
    /// [`MemberError::Unusable`] when the identifier names no user or the suite is not supported.
    pub fn with_suite(client: ClientUri, suite: u16) -> Result<Self, MemberError> {
        let user = client.user().ok_or(MemberError::Unusable)?;
        let suite = crate::mls::crypto::suite(suite).map_err(|_| MemberError::Unusable)?;
        let signer = SignatureKeyPair::new(suite.signature_algorithm()).map_err(|_| MemberError::Unusable)?;
        let credential = BasicCredential::new(client.as_bytes().to_vec()).into();
        Ok(Self::of((client, user), suite, signer, credential))
    }

    /// A client of cipher suite 1 with an x509 credential: a chain in DER whose first certificate names the client and
    /// its user (reading D-7) and is for the Ed25519 key with this seed of 32 octets.
    ///
    /// # Errors
    ///
    /// [`MemberError::Unusable`] when the certificate does not name one client and its user.
    pub fn with_certificates(chain: &[Vec<u8>], seed: Vec<u8>) -> Result<Self, MemberError> {
        let unusable = |_| MemberError::Unusable;
        let encoded = chain.iter().map(|certificate| VLBytes::new(certificate.clone()).tls_serialize_detached());
        let encoded: Vec<Vec<u8>> = encoded.collect::<Result<_, _>>().map_err(refused("encode a certificate"))?;
        let own = Credential::new(CredentialType::X509, encoded.concat());
        let named = credential::client_of(&own).map_err(unusable)?;
        let key = x509::signature_key(&own).map_err(unusable)?;
        let suite = crate::mls::crypto::suite(DEFAULT_SUITE).map_err(|_| MemberError::Unusable)?;
        Ok(Self::of(named, suite, SignatureKeyPair::from_raw(SignatureScheme::ED25519, seed, key), own))
    }

    fn of(
        (client, user): (ClientUri, UserUri),
        suite: Ciphersuite,
        signer: SignatureKeyPair,
        credential: Credential,
    ) -> Self {
        Self {
            client,
            user,
            suite,
            signer,
            credential,
            store: Store::default(),
            rooms: BTreeMap::new(),
            awaited: BTreeMap::new(),
            bundling: Bundling::default(),
        }
    }

    /// This client.
    pub fn client(&self) -> &ClientUri {
        &self.client
    }

    /// The user it belongs to.
    pub fn user(&self) -> &UserUri {
        &self.user
    }

    /// The key that verifies its signatures.
    pub fn signature_key(&self) -> &[u8] {
        self.signer.public()
    }

    /// What its leaves and requests say it is.
    pub fn credential(&self) -> Credential {
        self.credential.clone()
    }

    /// The number of its cipher suite.
    pub fn suite(&self) -> u16 {
        u16::from(self.suite)
    }

    /// Chooses how its commits carry the GroupInfo and the tree.
    pub fn bundle(&mut self, bundling: Bundling) {
        self.bundling = bundling;
    }

    /// `count` new key packages, valid from an hour ago until `lifetime` from now.
    ///
    /// A hub takes none that are valid for more than 84 days and an hour in all.
    ///
    /// # Errors
    ///
    /// [`MemberError::Mls`] when openmls cannot make one.
    pub fn key_packages(&mut self, count: usize, lifetime: Duration) -> Result<Vec<KeyPackageBytes>, MemberError> {
        (0..count).map(|_| self.key_package(lifetime, |builder| builder)).collect()
    }

    /// A key package of last resort, which may be used again and again (draft-ietf-mls-extensions).
    ///
    /// # Errors
    ///
    /// As [`Self::key_packages`].
    pub fn last_resort(&mut self, lifetime: Duration) -> Result<KeyPackageBytes, MemberError> {
        // openmls marks it by an extension, which its leaf must know.
        let known = self.capable_of(vec![ExtensionType::AppDataDictionary, ExtensionType::LastResort]);
        self.key_package(lifetime, |builder| builder.leaf_node_capabilities(known.clone()).mark_as_last_resort())
    }

    fn key_package(
        &self,
        lifetime: Duration,
        mark: impl Fn(KeyPackageBuilder) -> KeyPackageBuilder,
    ) -> Result<KeyPackageBytes, MemberError> {
        let builder = KeyPackage::builder()
            .key_package_lifetime(Lifetime::new(lifetime.as_secs()))
            .leaf_node_capabilities(self.capabilities());
        let bundle = mark(builder)
            .build(self.suite, &*self.store, &self.signer, self.credential_with_key())
            .map_err(refused("make a key package"))?;
        let bytes = bundle.key_package().tls_serialize_detached().map_err(refused("encode a key package"))?;
        Ok(KeyPackageBytes::decode(&bytes)?)
    }

    /// Creates the first group of a room, alone in it, with the GroupContext extensions the hub asked for
    /// (`Extension extensions<V>`), and is in the room at once.
    ///
    /// # Errors
    ///
    /// [`MemberError::Mls`] when the extensions are malformed or ask for what this client does not support.
    pub fn create_room(
        &mut self,
        room: &RoomUri,
        group: &GroupUri,
        extensions: &[u8],
    ) -> Result<FirstGroup, MemberError> {
        let extensions = Extensions::<GroupContext>::tls_deserialize_exact(extensions)
            .map_err(refused("read the extensions of the room"))?;
        let config = MlsGroupCreateConfig::builder()
            .ciphersuite(self.suite)
            .wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
            .max_past_epochs(PAST_EPOCHS)
            .use_ratchet_tree_extension(false)
            .capabilities(self.capabilities())
            .with_group_context_extensions(extensions)
            .build();
        let group = MlsGroup::new_with_group_id(
            &*self.store,
            &self.signer,
            &config,
            GroupId::from_slice(group.as_bytes()),
            self.credential_with_key(),
        )
        .map_err(refused("create the group"))?;
        self.rooms.insert(room.clone(), Membership::new(group, self.store.clone()));
        self.group_info(room)
    }

    /// The signed GroupInfo and the tree of the current epoch, for a gateway that has to follow the room (C-2).
    ///
    /// # Errors
    ///
    /// [`MemberError::NotAMember`] for a room it is not in.
    pub fn group_info(&self, room: &RoomUri) -> Result<FirstGroup, MemberError> {
        let group = &self.membership(room)?.group;
        let message =
            group.export_group_info(self.crypto(), &self.signer, false).map_err(refused("export the GroupInfo"))?;
        let message = message.tls_serialize_detached().map_err(refused("encode the GroupInfo"))?;
        let tree = encoded_tree(&group.export_ratchet_tree())?;
        let group_info = MlsMessage::decode(&message)?.group_info().ok_or(MemberError::GroupInfo)?;
        Ok(FirstGroup { group_info, tree })
    }

    pub(super) fn crypto(&self) -> &<OpenMlsRustCrypto as openmls::prelude::OpenMlsProvider>::CryptoProvider {
        openmls::prelude::OpenMlsProvider::crypto(&*self.store)
    }

    pub(super) fn credential_with_key(&self) -> CredentialWithKey {
        CredentialWithKey { credential: self.credential(), signature_key: self.signer.public().into() }
    }

    /// What a room of MIMI requires: app_data_dictionary, AppDataUpdate, AppEphemeral and SelfRemove; and the types of
    /// credential that other members may have.
    pub(super) fn capabilities(&self) -> Capabilities {
        self.capable_of(vec![ExtensionType::AppDataDictionary])
    }

    fn capable_of(&self, extensions: Vec<ExtensionType>) -> Capabilities {
        Capabilities::builder()
            .versions(vec![ProtocolVersion::Mls10])
            .ciphersuites(vec![self.suite])
            .extensions(extensions)
            .proposals(vec![ProposalType::AppDataUpdate, ProposalType::AppEphemeral, ProposalType::SelfRemove])
            .credentials(vec![CredentialType::Basic, CredentialType::X509])
            .build()
    }

    pub(super) fn membership(&self, room: &RoomUri) -> Result<&Membership, MemberError> {
        self.rooms.get(room).ok_or_else(|| MemberError::NotAMember(room.clone()))
    }
}

/// How groups are run that this client joins.
pub(super) fn join_config() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
        .max_past_epochs(PAST_EPOCHS)
        .use_ratchet_tree_extension(false)
        .build()
}

pub(super) fn encoded_tree(tree: &openmls::treesync::RatchetTree) -> Result<RatchetTree, MemberError> {
    let bytes = tree.tls_serialize_detached().map_err(refused("encode the tree"))?;
    Ok(RatchetTree::decode(&bytes)?)
}
