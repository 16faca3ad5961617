//! Signatures of bundles: lines of `KEY SIGNATURE` in the file `signature` beside the bundle's own, both in base64.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use data_encoding::HEXLOWER;
use portcullis_core::policy::SIGNATURE_FILE;

use crate::config::Signer;

/// What is signed: this, and the digest in hexadecimal. A key that signs other things, too, signs no bundle by chance.
const CONTEXT: &str = "portcullis policy bundle v1\n";

/// The line that says that the key has signed a bundle, and the key's public half.
pub fn sign(digest: &[u8; 32], key: &Ed25519KeyPair) -> (String, String) {
    let public = STANDARD.encode(key.public_key().as_ref());
    let signature = STANDARD.encode(key.sign(message(digest).as_bytes()).as_ref());
    (format!("{public} {signature}\n"), public)
}

/// The text of the signatures among the files of a bundle.
pub(super) fn in_files(files: &BTreeMap<String, Vec<u8>>) -> String {
    files.get(SIGNATURE_FILE).map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default()
}

/// Whether one of the signers has signed the bundle.
pub(super) fn is_signed(digest: &[u8; 32], signatures: &str, signers: &[Signer]) -> bool {
    let message = message(digest);
    signatures.lines().filter_map(|line| line.split_once(' ')).any(|(key, signature)| {
        let (key, signature) = (STANDARD.decode(key.trim()), STANDARD.decode(signature.trim()));
        let (Ok(key), Ok(signature)) = (key, signature) else { return false };
        signers.iter().any(|signer| signer.0.as_slice() == key.as_slice())
            && UnparsedPublicKey::new(&ED25519, key).verify(message.as_bytes(), &signature).is_ok()
    })
}

fn message(digest: &[u8; 32]) -> String {
    format!("{CONTEXT}{}\n", HEXLOWER.encode(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Ed25519KeyPair {
        Ed25519KeyPair::generate().unwrap()
    }

    fn signer(key: &Ed25519KeyPair) -> Signer {
        Signer(key.public_key().as_ref().try_into().unwrap())
    }

    #[test]
    fn a_bundle_is_signed_by_who_has_signed_this_one_and_is_known() {
        let (ann, bob) = (key(), key());
        let line = |digest: u8, key: &Ed25519KeyPair| sign(&[digest; 32], key).0;
        assert!(is_signed(&[1; 32], &line(1, &ann), &[signer(&bob), signer(&ann)]));
        assert!(is_signed(&[1; 32], &(line(1, &bob) + &line(1, &ann)), &[signer(&ann)]));
        assert!(!is_signed(&[1; 32], &line(1, &bob), &[signer(&ann)]));
        assert!(!is_signed(&[1; 32], &line(2, &ann), &[signer(&ann)]));
        // Somebody else's signature under a name that is known.
        let claimed = line(1, &bob).replacen(&sign(&[1; 32], &bob).1, &sign(&[1; 32], &ann).1, 1);
        assert!(!is_signed(&[1; 32], &claimed, &[signer(&ann)]));
        for nothing in ["", "\n", "x y\n", " ", "AAAA\n"] {
            assert!(!is_signed(&[1; 32], nothing, &[signer(&ann)]));
        }
    }
}
