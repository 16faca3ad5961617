//! MLS objects with their exact bytes, and cryptography that is given keys and ciphertexts of others.

use std::time::{Duration, UNIX_EPOCH};

use portcullis_core::mls::crypto::HubCrypto;
use portcullis_core::mls::{key_package, labels};
use portcullis_core::time::Millis;
use portcullis_core::wire::group_info::HpkeCiphertext;
use portcullis_core::wire::mls::{GroupInfo, KeyPackage, MlsMessage, RatchetTree, Welcome};

use super::Decoder;
use super::endpoints::{canonical, part};

pub(super) const OBJECTS: &[Decoder] = &[
    Decoder { name: "MlsMessage", run: message },
    Decoder { name: "Welcome", run: welcome },
    Decoder { name: "GroupInfo", run: group_info },
    Decoder { name: "KeyPackage", run: key_package },
    Decoder { name: "RatchetTree", run: ratchet_tree },
    Decoder { name: "signature", run: signature },
    Decoder { name: "HPKE public key", run: seal },
    Decoder { name: "HPKE ciphertext", run: open },
];

/// openmls compares lifetimes with the system clock, and so does whoever uses it.
pub(super) fn now() -> Millis {
    Millis(UNIX_EPOCH.elapsed().map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
}

fn message(bytes: &[u8]) -> bool {
    let Some(message) = canonical::<MlsMessage>(bytes) else { return false };
    assert!(message.clone().into_openmls().is_ok(), "what was parsed is parsed again");
    if let Some(welcome) = message.welcome() {
        assert!(welcome.message() == message);
    }
    if let Some(key_package) = message.key_package() {
        assert!(key_package.message() == message);
    }
    if let Some(group_info) = message.group_info() {
        assert!(bytes.ends_with(group_info.as_bytes()));
    }
    let of_group = message.epoch().is_some() && message.group_info().is_none();
    assert!(message.protocol_message().is_ok() == of_group, "a GroupInfo is no message of its group, and all else is");
    true
}

fn welcome(bytes: &[u8]) -> bool {
    canonical::<Welcome>(bytes).is_some_and(|welcome| welcome.references().len() <= bytes.len())
}

fn group_info(bytes: &[u8]) -> bool {
    canonical::<GroupInfo>(bytes).is_some_and(|group_info| group_info.into_openmls().is_ok())
}

fn key_package(bytes: &[u8]) -> bool {
    let Some(package) = canonical::<KeyPackage>(bytes) else { return false };
    if let Ok(info) = key_package::validate(&HubCrypto::default(), &package, Duration::ZERO, now()) {
        assert!(info.client.user().as_ref() == Some(&info.user));
    }
    true
}

fn ratchet_tree(bytes: &[u8]) -> bool {
    canonical::<RatchetTree>(bytes).is_some_and(|tree| tree.into_openmls().is_ok())
}

/// A suite, then key, content and signature.
fn signature(bytes: &[u8]) -> bool {
    let Some((suite, mut rest)) = bytes.split_first_chunk() else { return false };
    let (Some(key), Some(content)) = (part(&mut rest), part(&mut rest)) else { return false };
    let (crypto, suite) = (HubCrypto::default(), u16::from_be_bytes(*suite));
    labels::verify_with_label(&crypto, suite, key, labels::GROUP_INFO_REQUEST, content, rest).is_ok()
}

fn seal(bytes: &[u8]) -> bool {
    let Some((suite, key)) = bytes.split_first_chunk() else { return false };
    let (crypto, suite) = (HubCrypto::default(), u16::from_be_bytes(*suite));
    labels::encrypt_with_label(&crypto, suite, key, labels::GROUP_INFO_ENCRYPTION, b"room", b"secret").is_ok()
}

/// A suite, then a private key, an encapsulated key and a ciphertext.
fn open(bytes: &[u8]) -> bool {
    let Some((suite, mut rest)) = bytes.split_first_chunk() else { return false };
    let (Some(private), Some(kem_output)) = (part(&mut rest), part(&mut rest)) else { return false };
    let sealed = HpkeCiphertext { kem_output: kem_output.to_vec(), ciphertext: rest.to_vec() };
    let (crypto, suite) = (HubCrypto::default(), u16::from_be_bytes(*suite));
    labels::decrypt_with_label(&crypto, suite, private, labels::GROUP_INFO_ENCRYPTION, b"room", &sealed).is_ok()
}
