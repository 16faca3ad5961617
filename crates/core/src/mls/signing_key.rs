//! The gateway's own signature keys: the hub as external sender, the franking agent.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use openmls_traits::signatures::{Signer, SignerError};
use openmls_traits::types::SignatureScheme;

/// An Ed25519 key held in memory. MLS suites with other signature schemes need another key (draft-ietf-mimi-protocol:
/// the key type follows the group's suite).
#[derive(Debug)]
pub struct SigningKey {
    pair: Ed25519KeyPair,
}

/// The file is no Ed25519 key in PKCS#8.
#[derive(Debug, thiserror::Error)]
#[error("not an ed25519 key in pkcs#8")]
pub struct NotASigningKey;

impl SigningKey {
    /// Takes the DER bytes of a PKCS#8 document, version 1 or 2.
    ///
    /// # Errors
    ///
    /// [`NotASigningKey`] for anything else.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, NotASigningKey> {
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(|pair| Self { pair }).map_err(|_| NotASigningKey)
    }

    /// Signs the text of a note (c2sp.org/signed-note), which begins with `# `. Whatever else this key signs begins with the
    /// length of a label and the label (RFC 9420, section 5.1.2), so that neither is ever taken for the other.
    pub fn sign_note(&self, text: &str) -> Vec<u8> {
        self.pair.sign(text.as_bytes()).as_ref().to_vec()
    }

    /// The public key, 32 bytes.
    pub fn public(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }
}

impl Signer for SigningKey {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.pair.sign(payload).as_ref().to_vec())
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}
