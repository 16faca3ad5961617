//! MLS objects as a real client makes them, inside the bodies that carry them.

use openmls::prelude::tls_codec::Serialize as _;
use openmls::prelude::*;
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::OpenMlsRustCrypto;
use portcullis_core::time::Millis;
use portcullis_core::wire::group_info::{GroupInfoRatchetTree, PendingProposal};
use portcullis_core::wire::mls::{self, MlsKind, MlsMessage, RatchetTree};
use portcullis_core::wire::notify::FanoutBody;
use portcullis_core::wire::update::{CommitBundle, GroupInfoOption, RatchetTreeOption};

use super::*;

const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;
const GROUP: &[u8] = b"mimi://a.example/g/clubhouse";

struct Client {
    provider: OpenMlsRustCrypto,
    signer: SignatureKeyPair,
    credential: CredentialWithKey,
}

impl Client {
    fn new(identity: &str) -> Self {
        let signer = SignatureKeyPair::new(SUITE.signature_algorithm()).unwrap();
        let credential = BasicCredential::new(identity.into()).into();
        let credential = CredentialWithKey { credential, signature_key: signer.public().into() };
        Self { provider: OpenMlsRustCrypto::default(), signer, credential }
    }

    fn group(&self, policy: WireFormatPolicy) -> MlsGroup {
        let config = MlsGroupCreateConfig::builder().ciphersuite(SUITE).wire_format_policy(policy).build();
        let id = GroupId::from_slice(GROUP);
        MlsGroup::new_with_group_id(&self.provider, &self.signer, &config, id, self.credential.clone()).unwrap()
    }

    fn key_package(&self) -> KeyPackage {
        let bundle = KeyPackage::builder().build(SUITE, &self.provider, &self.signer, self.credential.clone()).unwrap();
        bundle.key_package().clone()
    }
}

fn message(out: &MlsMessageOut) -> MlsMessage {
    MlsMessage::decode(&out.to_bytes().unwrap()).unwrap()
}

/// A commit of Alice that adds Bob, with all that goes with it in full, and Bob's KeyPackageRef.
fn adding_bob() -> (CommitBundle, Vec<u8>) {
    let (alice, bob) = (Client::new("mimi://a.example/d/alice/phone"), Client::new("mimi://b.example/d/bob/phone"));
    let mut group = alice.group(PURE_PLAINTEXT_WIRE_FORMAT_POLICY);
    let key_package = bob.key_package();
    let (commit, welcome, _) =
        group.add_members(&alice.provider, &alice.signer, std::slice::from_ref(&key_package)).unwrap();
    group.merge_pending_commit(&alice.provider).unwrap();
    let group_info = group.export_group_info(alice.provider.crypto(), &alice.signer, false).unwrap();
    let bundle = CommitBundle {
        commit: message(&commit),
        welcome: message(&welcome).welcome(),
        group_info: GroupInfoOption::Full(message(&group_info).group_info().unwrap()),
        ratchet_tree: RatchetTreeOption::Full(
            RatchetTree::decode(&group.export_ratchet_tree().tls_serialize_detached().unwrap()).unwrap(),
        ),
    };
    (bundle, key_package.hash_ref(alice.provider.crypto()).unwrap().as_slice().to_vec())
}

#[test]
fn an_update_in_full_keeps_every_object_byte_for_byte() {
    let (bundle, reference) = adding_bob();
    assert_eq!((bundle.commit.kind(), bundle.commit.group_id()), (MlsKind::Commit, Some(GROUP)));
    assert_eq!(bundle.welcome.as_ref().unwrap().references(), [reference]);
    let request = UpdateRequest::Commit(bundle);
    let bytes = request.encode();
    assert_eq!(UpdateRequest::decode(&bytes), Ok(request));
    for length in 0..bytes.len() {
        assert!(UpdateRequest::decode(&bytes[..length]).is_err());
    }
}

#[test]
fn a_spans_bytes_are_those_that_openmls_parses() {
    let (bundle, _) = adding_bob();
    assert!(bundle.commit.protocol_message().is_ok());
    let (GroupInfoOption::Full(group_info), RatchetTreeOption::Full(tree)) = (bundle.group_info, bundle.ratchet_tree)
    else {
        panic!("not in full")
    };
    assert_eq!(group_info.clone().into_openmls().unwrap().epoch().as_u64(), 1);
    assert_eq!(tree.clone().into_openmls().unwrap().leaves().count(), 2);
    let welcome = bundle.welcome.unwrap();
    assert!(welcome.message().protocol_message().is_err());
    assert_eq!(welcome.clone().into_openmls().unwrap().secrets().len(), 1);
}

#[test]
fn the_plaintext_of_a_group_info_answer_survives_its_encoding() {
    let (bundle, _) = adding_bob();
    let GroupInfoOption::Full(group_info) = bundle.group_info else { panic!("not in full") };
    let pending = PendingProposal { proposal: bundle.commit, accepted_at: Millis(7) };
    let plaintext =
        GroupInfoRatchetTree { group_info, ratchet_tree: bundle.ratchet_tree, pending_proposals: vec![pending] };
    assert_eq!(GroupInfoRatchetTree::decode(&plaintext.encode()), Ok(plaintext));
}

#[test]
fn a_welcome_is_fanned_out_with_its_tree() {
    let (bundle, _) = adding_bob();
    let body = FanoutBody::Welcome { message: bundle.welcome.unwrap().message(), tree: bundle.ratchet_tree };
    let fanout = FanoutMessage { timestamp: Millis(9), body };
    assert_eq!(FanoutMessage::decode(&fanout.encode()), Ok(fanout));
}

#[test]
fn a_group_info_and_a_key_package_show_themselves_behind_their_frame() {
    let alice = Client::new("mimi://a.example/d/alice/phone");
    let group = alice.group(PURE_PLAINTEXT_WIRE_FORMAT_POLICY);
    let group_info = message(&group.export_group_info(alice.provider.crypto(), &alice.signer, true).unwrap());
    assert_eq!(
        (group_info.kind(), group_info.epoch(), group_info.group_id()),
        (MlsKind::GroupInfo, Some(0), Some(GROUP))
    );
    assert_eq!(group_info.key_package(), None);

    let raw = alice.key_package().tls_serialize_detached().unwrap();
    let key_package = mls::KeyPackage::decode(&raw).unwrap();
    assert_eq!(key_package.message().kind(), MlsKind::KeyPackage);
    assert_eq!(MlsMessage::decode(key_package.message().as_bytes()), Ok(key_package.message()));
}

#[test]
fn a_private_commit_decodes_as_an_update_that_a_hub_can_refuse() {
    let alice = Client::new("mimi://a.example/d/alice/phone");
    let mut group = alice.group(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY);
    let bundle = group.self_update(&alice.provider, &alice.signer, LeafNodeParameters::default()).unwrap();
    let commit = message(bundle.commit());
    assert_eq!((commit.kind(), commit.epoch()), (MlsKind::PrivateHandshake, Some(0)));
    let request = UpdateRequest::Commit(CommitBundle { commit: commit.clone(), ..adding_bob().0 });
    assert_eq!(UpdateRequest::decode(&request.encode()), Ok(request));

    let fanned_out = [&[0; 8][..], commit.as_bytes(), &[0]].concat();
    assert!(FanoutMessage::decode(&fanned_out).is_err());
}

#[test]
fn two_messages_hash_alike_only_when_they_are_the_same() {
    let (first, second) = (adding_bob().0.commit, adding_bob().0.commit);
    assert_eq!(first.hash(), first.clone().hash());
    assert_ne!(first.hash(), second.hash());
}
