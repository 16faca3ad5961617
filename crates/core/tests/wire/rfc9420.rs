//! The official vectors of RFC 9420 through our decode path. They are read where `PORTCULLIS_VECTORS` says: their files have
//! no licence, so none is kept here.

use portcullis_core::mls::crypto::HubCrypto;
use portcullis_core::mls::labels::{LabelError, decrypt_with_label, verify_with_label};
use portcullis_core::wire::group_info::HpkeCiphertext;
use portcullis_core::wire::mls::{GroupInfo, KeyPackage, MlsKind, MlsMessage, RatchetTree, Welcome};

use super::*;

/// The vectors of a file; `None` where there are none.
#[expect(clippy::print_stderr, reason = "whoever runs the tests is told what was not read")]
fn official(file: &str) -> Option<Vec<Value>> {
    let Some(folder) = std::env::var_os("PORTCULLIS_VECTORS") else {
        eprintln!("SKIPPED: PORTCULLIS_VECTORS is not set, `{file}` of RFC 9420 was not read");
        return None;
    };
    let path = std::path::Path::new(&folder).join("mls-rfc9420").join(file);
    let vectors: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(!vectors.is_empty(), "{file} is empty");
    Some(vectors)
}

fn octets(vector: &Value, key: &str) -> Vec<u8> {
    unhex(vector[key].as_str().unwrap())
}

/// The message in these bytes, which are all that is kept of it.
fn message_in(bytes: &[u8], kind: MlsKind) -> MlsMessage {
    let message = any_message_in(bytes);
    assert_eq!(message.kind(), kind);
    message
}

fn any_message_in(bytes: &[u8]) -> MlsMessage {
    let message = MlsMessage::decode(bytes).unwrap();
    assert!(message.encode() == bytes && message.as_bytes() == bytes);
    assert!(MlsMessage::decode(&bytes[..bytes.len() - 1]).is_err());
    assert!(MlsMessage::decode(&[bytes, &[0]].concat()).is_err());
    assert!(message.clone().into_openmls().is_ok());
    message
}

fn tree_in(bytes: &[u8]) {
    let tree = RatchetTree::decode(bytes).unwrap();
    assert_eq!(tree.encode(), bytes);
    assert!(tree.into_openmls().is_ok());
    assert!(RatchetTree::decode(&bytes[..bytes.len() - 1]).is_err());
}

#[test]
fn official_messages_keep_every_byte_and_say_what_they_are() {
    for vector in official("messages.json").into_iter().flatten() {
        let read = |key, kind| message_in(&octets(&vector, key), kind);
        let welcome = read("mls_welcome", MlsKind::Welcome).welcome().unwrap();
        assert_eq!(Welcome::decode(welcome.as_bytes()).as_ref(), Ok(&welcome));
        assert!(!welcome.references().is_empty());
        assert_eq!(welcome.message().as_bytes(), octets(&vector, "mls_welcome"));
        let group_info = read("mls_group_info", MlsKind::GroupInfo);
        assert!(group_info.group_id().is_some() && group_info.epoch().is_some());
        let inside = group_info.group_info().unwrap();
        assert_eq!(GroupInfo::decode(inside.as_bytes()), Ok(inside));
        let key_package = read("mls_key_package", MlsKind::KeyPackage).key_package().unwrap();
        assert_eq!(KeyPackage::decode(key_package.as_bytes()).as_ref(), Ok(&key_package));
        assert_eq!(key_package.message().as_bytes(), octets(&vector, "mls_key_package"));
        for (key, kind) in [("public_message_proposal", MlsKind::Proposal), ("public_message_commit", MlsKind::Commit)]
        {
            let message = read(key, kind);
            assert!(message.group_id().is_some() && message.protocol_message().is_ok());
        }
        let private = any_message_in(&octets(&vector, "private_message"));
        assert!(matches!(private.kind(), MlsKind::Application | MlsKind::PrivateHandshake));
        assert!(private.authenticated_data().is_some() && private.protocol_message().is_ok());
        // Application data must be encrypted (RFC 9420, section 6), and nothing of it is let in that is not.
        assert!(MlsMessage::decode(&octets(&vector, "public_message_application")).is_err());
        tree_in(&octets(&vector, "ratchet_tree"));
    }
}

#[test]
fn official_trees_keep_every_byte() {
    for (file, key) in [("tree-validation.json", "tree"), ("treekem.json", "ratchet_tree")] {
        for vector in official(file).into_iter().flatten() {
            tree_in(&octets(&vector, key));
        }
    }
    for vector in official("tree-operations.json").into_iter().flatten() {
        tree_in(&octets(&vector, "tree_before"));
        tree_in(&octets(&vector, "tree_after"));
    }
}

#[test]
fn what_official_clients_send_each_other_keeps_every_byte() {
    for vector in official("welcome.json").into_iter().flatten() {
        message_in(&octets(&vector, "key_package"), MlsKind::KeyPackage);
        message_in(&octets(&vector, "welcome"), MlsKind::Welcome);
    }
    for vector in official("message-protection.json").into_iter().flatten() {
        for (key, kind) in [
            ("proposal_pub", MlsKind::Proposal),
            ("commit_pub", MlsKind::Commit),
            ("proposal_priv", MlsKind::PrivateHandshake),
            ("commit_priv", MlsKind::PrivateHandshake),
            ("application_priv", MlsKind::Application),
        ] {
            let message = message_in(&octets(&vector, key), kind);
            assert_eq!(message.group_id(), Some(octets(&vector, "group_id").as_slice()));
            assert_eq!(message.epoch(), vector["epoch"].as_u64());
        }
    }
    for file in ["passive-client-welcome.json", "passive-client-handling-commit.json", "passive-client-random.json"] {
        for vector in official(file).into_iter().flatten() {
            message_in(&octets(&vector, "key_package"), MlsKind::KeyPackage);
            message_in(&octets(&vector, "welcome"), MlsKind::Welcome);
            if !vector["ratchet_tree"].is_null() {
                tree_in(&octets(&vector, "ratchet_tree"));
            }
            for epoch in vector["epochs"].as_array().unwrap() {
                let message = |hex: &Value| any_message_in(&unhex(hex.as_str().unwrap()));
                let proposals = epoch["proposals"].as_array().unwrap().iter().map(message);
                for message in proposals.chain([message(&epoch["commit"])]) {
                    assert!(message.protocol_message().is_ok());
                }
            }
        }
    }
}

#[test]
fn labelled_signatures_and_ciphertexts_of_others_hold_in_every_suite_that_is_known_here() {
    let crypto = HubCrypto::default();
    let mut known = 0;
    let vectors = official("crypto-basics.json");
    for vector in vectors.iter().flatten() {
        let suite = u16::try_from(vector["cipher_suite"].as_u64().unwrap()).unwrap();
        let signed = &vector["sign_with_label"];
        let [key, content, signature] = ["pub", "content", "signature"].map(|key| octets(signed, key));
        let label = signed["label"].as_str().unwrap();
        let verified = verify_with_label(&crypto, suite, &key, label, &content, &signature);
        let sealed = &vector["encrypt_with_label"];
        let [key, context, kem_output, ciphertext] =
            ["priv", "context", "kem_output", "ciphertext"].map(|key| octets(sealed, key));
        let label = sealed["label"].as_str().unwrap();
        let opened =
            decrypt_with_label(&crypto, suite, &key, label, &context, &HpkeCiphertext { kem_output, ciphertext });
        if verified == Err(LabelError::Suite) {
            continue;
        }
        assert_eq!((verified, opened), (Ok(()), Ok(octets(sealed, "plaintext"))), "suite {suite}");
        known += 1;
    }
    assert!(vectors.is_none() || known >= 3, "{known} suites are known");
}
