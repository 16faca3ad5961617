//! The cryptography of the hub: RustCrypto, with aws-lc-rs for what every commit needs most.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use openmls_rust_crypto::{RandError, RustCrypto};
use openmls_traits::crypto::OpenMlsCrypto;
use openmls_traits::random::OpenMlsRand;
use openmls_traits::types::{
    AeadType, Ciphersuite, CryptoError, ExporterSecret, HashType, HpkeCiphertext, HpkeConfig, HpkeKeyPair, KemOutput,
    SignatureScheme,
};
use tls_codec::SecretVLBytes;

/// RustCrypto with the verification of signatures and the hashing by aws-lc-rs, which does P-256 five times as fast.
///
/// Holds the state of a random number generator; cheap to make, and shared by reference.
#[derive(Debug, Default)]
pub struct HubCrypto {
    rust: RustCrypto,
    hashed: Option<Hashed>,
}

/// What was hashed with one hash function.
#[derive(Debug)]
struct Hashed {
    by: HashType,
    known: Mutex<HashMap<Beginning, Known>>,
}

/// The nodes of a tree begin with their place, or with a key or hash; of two that begin alike the last is known.
type Beginning = [u8; 16];

#[derive(Debug)]
struct Known {
    data: Box<[u8]>,
    hash: Vec<u8>,
}

impl HubCrypto {
    /// For one commit of a group of this suite. openmls hashes the tree of the new epoch twice: what was hashed is kept until
    /// this is dropped, about 300 octets a node.
    pub(super) fn for_a_commit(suite: Ciphersuite, nodes: usize) -> Self {
        let hashed = Hashed { by: suite.hash_algorithm(), known: HashMap::with_capacity(nodes).into() };
        Self { hashed: Some(hashed), ..Self::default() }
    }
}

/// The suite with this number.
///
/// # Errors
///
/// [`CryptoError::UnsupportedCiphersuite`] for a number that is not known, or that [`HubCrypto`] cannot compute with.
pub fn suite(number: u16) -> Result<Ciphersuite, CryptoError> {
    let suite = Ciphersuite::try_from(number).map_err(|_| CryptoError::UnsupportedCiphersuite)?;
    HubCrypto::default().supports(suite)?;
    Ok(suite)
}

/// Verifies one signature with aws-lc-rs. The length is checked first: the library also takes keys in encodings that
/// RFC 9420, section 5.1.1 does not allow.
fn verify(
    algorithm: &'static dyn VerificationAlgorithm,
    key_bytes: usize,
    data: &[u8],
    public_key: &[u8],
    signature: &[u8],
) -> Result<(), CryptoError> {
    if public_key.len() != key_bytes {
        return Err(CryptoError::InvalidPublicKey);
    }
    UnparsedPublicKey::new(algorithm, public_key).verify(data, signature).map_err(|_| CryptoError::InvalidSignature)
}

impl OpenMlsCrypto for HubCrypto {
    fn hash(&self, hash_type: HashType, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let algorithm = match hash_type {
            HashType::Sha2_256 => &digest::SHA256,
            HashType::Sha2_384 => &digest::SHA384,
            HashType::Sha2_512 => &digest::SHA512,
        };
        let hash = || digest::digest(algorithm, data).as_ref().to_vec();
        let hashed = self.hashed.as_ref().filter(|hashed| hashed.by == hash_type);
        let (Some(hashed), Some(beginning)) = (hashed, data.first_chunk::<16>()) else { return Ok(hash()) };
        let mut known = hashed.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(beginning).filter(|known| *known.data == *data) {
            return Ok(known.hash.clone());
        }
        let hash = hash();
        known.insert(*beginning, Known { data: data.into(), hash: hash.clone() });
        Ok(hash)
    }

    fn verify_signature(
        &self,
        scheme: SignatureScheme,
        data: &[u8],
        public_key: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        match scheme {
            SignatureScheme::ED25519 => verify(&ED25519, 32, data, public_key, signature),
            SignatureScheme::ECDSA_SECP256R1_SHA256 => verify(&ECDSA_P256_SHA256_ASN1, 65, data, public_key, signature),
            SignatureScheme::ECDSA_SECP384R1_SHA384
            | SignatureScheme::ECDSA_SECP521R1_SHA512
            | SignatureScheme::ED448 => self.rust.verify_signature(scheme, data, public_key, signature),
        }
    }

    fn supports(&self, suite: Ciphersuite) -> Result<(), CryptoError> {
        self.rust.supports(suite)
    }

    fn supported_ciphersuites(&self) -> Vec<Ciphersuite> {
        self.rust.supported_ciphersuites()
    }

    fn hkdf_extract(&self, hash_type: HashType, salt: &[u8], ikm: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        self.rust.hkdf_extract(hash_type, salt, ikm)
    }

    fn hmac(&self, hash_type: HashType, key: &[u8], message: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        self.rust.hmac(hash_type, key, message)
    }

    fn hkdf_expand(
        &self,
        hash_type: HashType,
        prk: &[u8],
        info: &[u8],
        okm_len: usize,
    ) -> Result<SecretVLBytes, CryptoError> {
        self.rust.hkdf_expand(hash_type, prk, info, okm_len)
    }

    fn aead_encrypt(
        &self,
        aead: AeadType,
        key: &[u8],
        data: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        self.rust.aead_encrypt(aead, key, data, nonce, aad)
    }

    fn aead_decrypt(
        &self,
        aead: AeadType,
        key: &[u8],
        ciphertext: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        self.rust.aead_decrypt(aead, key, ciphertext, nonce, aad)
    }

    fn signature_key_gen(&self, scheme: SignatureScheme) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        self.rust.signature_key_gen(scheme)
    }

    fn sign(&self, scheme: SignatureScheme, data: &[u8], key: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.rust.sign(scheme, data, key)
    }

    fn hpke_seal(
        &self,
        config: HpkeConfig,
        public_key: &[u8],
        info: &[u8],
        aad: &[u8],
        plaintext: &[u8],
    ) -> Result<HpkeCiphertext, CryptoError> {
        self.rust.hpke_seal(config, public_key, info, aad, plaintext)
    }

    fn hpke_open(
        &self,
        config: HpkeConfig,
        input: &HpkeCiphertext,
        private_key: &[u8],
        info: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        self.rust.hpke_open(config, input, private_key, info, aad)
    }

    fn hpke_setup_sender_and_export(
        &self,
        config: HpkeConfig,
        public_key: &[u8],
        info: &[u8],
        exporter_context: &[u8],
        exporter_length: usize,
    ) -> Result<(KemOutput, ExporterSecret), CryptoError> {
        self.rust.hpke_setup_sender_and_export(config, public_key, info, exporter_context, exporter_length)
    }

    fn hpke_setup_receiver_and_export(
        &self,
        config: HpkeConfig,
        enc: &[u8],
        private_key: &[u8],
        info: &[u8],
        exporter_context: &[u8],
        exporter_length: usize,
    ) -> Result<ExporterSecret, CryptoError> {
        self.rust.hpke_setup_receiver_and_export(config, enc, private_key, info, exporter_context, exporter_length)
    }

    fn derive_hpke_keypair(&self, config: HpkeConfig, ikm: &[u8]) -> Result<HpkeKeyPair, CryptoError> {
        self.rust.derive_hpke_keypair(config, ikm)
    }
}

impl OpenMlsRand for HubCrypto {
    type Error = RandError;

    fn random_array<const N: usize>(&self) -> Result<[u8; N], Self::Error> {
        self.rust.random_array()
    }

    fn random_vec(&self, len: usize) -> Result<Vec<u8>, Self::Error> {
        self.rust.random_vec(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_of_rustcrypto_verify_and_a_changed_one_does_not() {
        let crypto = HubCrypto::default();
        for scheme in
            [SignatureScheme::ED25519, SignatureScheme::ECDSA_SECP256R1_SHA256, SignatureScheme::ECDSA_SECP384R1_SHA384]
        {
            let (private, public) = crypto.signature_key_gen(scheme).unwrap();
            let signature = crypto.sign(scheme, b"data", &private).unwrap();
            assert_eq!(crypto.verify_signature(scheme, b"data", &public, &signature), Ok(()), "{scheme:?}");
            assert!(crypto.verify_signature(scheme, b"date", &public, &signature).is_err(), "{scheme:?}");
            assert!(crypto.verify_signature(scheme, b"data", &public, &[]).is_err(), "{scheme:?}");
            assert!(crypto.verify_signature(scheme, b"data", &[], &signature).is_err(), "{scheme:?}");
        }
    }

    #[test]
    fn a_compressed_p256_key_is_refused() {
        let crypto = HubCrypto::default();
        let scheme = SignatureScheme::ECDSA_SECP256R1_SHA256;
        let (private, public) = crypto.signature_key_gen(scheme).unwrap();
        let signature = crypto.sign(scheme, b"data", &private).unwrap();
        let compressed = [&[2 | (public[64] & 1)], &public[1..33]].concat();
        assert_eq!(
            crypto.verify_signature(scheme, b"data", &compressed, &signature),
            Err(CryptoError::InvalidPublicKey)
        );
    }

    #[test]
    fn both_libraries_hash_alike() {
        for hash_type in [HashType::Sha2_256, HashType::Sha2_384, HashType::Sha2_512] {
            let ours = HubCrypto::default().hash(hash_type, b"abc");
            assert_eq!(ours, RustCrypto::default().hash(hash_type, b"abc"));
            let remembering = HubCrypto::for_a_commit(suite(1).unwrap(), 1);
            let alike = [b"begins like the other, one", b"begins like the other, two"];
            for data in [b"abc".as_slice(), alike[0], alike[1], alike[1], alike[0], b"abc"] {
                let plain = HubCrypto::default().hash(hash_type, data);
                assert_eq!(remembering.hash(hash_type, data), plain);
            }
        }
    }

    #[test]
    fn only_suites_that_can_be_computed_are_suites() {
        assert!(suite(1).is_ok() && suite(2).is_ok() && suite(3).is_ok());
        assert_eq!(suite(7), Err(CryptoError::UnsupportedCiphersuite));
        assert_eq!(suite(0x0a0a), Err(CryptoError::UnsupportedCiphersuite));
    }
}
