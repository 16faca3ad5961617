//! `SignWithLabel` and `EncryptWithLabel` (RFC 9420, sections 5.1.2 and 5.1.3) for the structs of MIMI, which openmls
//! does not know.

use openmls::ciphersuite::signature::SignContent;
use openmls_traits::crypto::OpenMlsCrypto;
use openmls_traits::signatures::Signer;
use openmls_traits::types::{HpkeCiphertext as OpenMlsCiphertext, SignatureScheme};
use tls_codec::{Serialize as _, TlsSerialize, TlsSize, VLBytes};

use crate::wire::group_info::HpkeCiphertext;

use super::crypto::suite;

/// Over a KeyMaterialRequestTBS, by the requesting client.
pub const KEY_MATERIAL_REQUEST: &str = "KeyMaterialRequestTBS";
/// Over a GroupInfoRequestTBS, by the requesting client.
pub const GROUP_INFO_REQUEST: &str = "GroupInfoRequestTBS";
/// Over a GroupInfoResponseTBS, by the hub's external sender.
pub const GROUP_INFO_RESPONSE: &str = "GroupInfoResponseTBS";
/// Around a GroupInfoRatchetTreeTBE; the context is the room's identifier (reading D-45).
pub const GROUP_INFO_ENCRYPTION: &str = "GroupInfo and ratchet_tree encryption";
/// Over a franking context, by the hub's franking agent.
pub const FRANKING_INTEGRITY: &str = "FrankingIntegrityTBS";

/// Why a label operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// The cipher suite is unknown or not supported here.
    #[error("cipher suite is not supported")]
    Suite,
    /// The signature does not fit the key, the label and the content.
    #[error("signature is not valid")]
    Signature,
    /// The public key cannot be encrypted to.
    #[error("public key is not valid for the cipher suite")]
    PublicKey,
    /// The ciphertext does not open under the key, the label and the context.
    #[error("ciphertext does not open")]
    Ciphertext,
    /// The signer failed; never a peer's fault.
    #[error("signing failed")]
    Signer,
    /// The content is too long to be framed (2^30 octets).
    #[error("content is too long")]
    Length,
}

/// The signature of `signer` over `content` under `label` ("MLS 1.0 " is put before it).
///
/// # Errors
///
/// [`LabelError::Signer`] when the signer fails, [`LabelError::Length`] for content of 2^30 octets or more.
pub fn sign_with_label(signer: &impl Signer, label: &str, content: &[u8]) -> Result<Vec<u8>, LabelError> {
    signer.sign(&sign_content(label, content)?).map_err(|_| LabelError::Signer)
}

/// Checks a signature made by [`sign_with_label`] with the signature scheme of `cipher_suite`.
///
/// # Errors
///
/// [`LabelError::Suite`] for a suite that is not supported here, [`LabelError::Signature`] when the signature is not
/// one of this key over this content under this label.
pub fn verify_with_label(
    crypto: &impl OpenMlsCrypto,
    cipher_suite: u16,
    public_key: &[u8],
    label: &str,
    content: &[u8],
    signature: &[u8],
) -> Result<(), LabelError> {
    let scheme = signature_scheme(cipher_suite)?;
    crypto
        .verify_signature(scheme, &sign_content(label, content)?, public_key, signature)
        .map_err(|_| LabelError::Signature)
}

/// The signature scheme of a cipher suite.
///
/// # Errors
///
/// [`LabelError::Suite`] for a suite that is not supported here.
pub fn signature_scheme(cipher_suite: u16) -> Result<SignatureScheme, LabelError> {
    Ok(suite(cipher_suite).map_err(|_| LabelError::Suite)?.signature_algorithm())
}

/// Seals `plaintext` to `public_key` under `label` and `context` (single-shot HPKE base mode, empty aad).
///
/// # Errors
///
/// [`LabelError::Suite`] for a suite that is not supported here, [`LabelError::PublicKey`] for a key it cannot use.
pub fn encrypt_with_label(
    crypto: &impl OpenMlsCrypto,
    cipher_suite: u16,
    public_key: &[u8],
    label: &str,
    context: &[u8],
    plaintext: &[u8],
) -> Result<HpkeCiphertext, LabelError> {
    let config = suite(cipher_suite).map_err(|_| LabelError::Suite)?.hpke_config();
    let info = encrypt_context(label, context)?;
    let sealed = crypto.hpke_seal(config, public_key, &info, &[], plaintext).map_err(|_| LabelError::PublicKey)?;
    Ok(HpkeCiphertext { kem_output: sealed.kem_output.into(), ciphertext: sealed.ciphertext.into() })
}

/// Opens what [`encrypt_with_label`] sealed.
///
/// # Errors
///
/// [`LabelError::Suite`] for a suite that is not supported here, [`LabelError::Ciphertext`] when anything differs from
/// what it was sealed with.
pub fn decrypt_with_label(
    crypto: &impl OpenMlsCrypto,
    cipher_suite: u16,
    private_key: &[u8],
    label: &str,
    context: &[u8],
    sealed: &HpkeCiphertext,
) -> Result<Vec<u8>, LabelError> {
    let config = suite(cipher_suite).map_err(|_| LabelError::Suite)?.hpke_config();
    let info = encrypt_context(label, context)?;
    let sealed = OpenMlsCiphertext {
        kem_output: sealed.kem_output.as_slice().into(),
        ciphertext: sealed.ciphertext.as_slice().into(),
    };
    crypto.hpke_open(config, &sealed, private_key, &info, &[]).map_err(|_| LabelError::Ciphertext)
}

#[derive(TlsSerialize, TlsSize)]
struct EncryptContext {
    label: VLBytes,
    context: VLBytes,
}

fn encrypt_context(label: &str, context: &[u8]) -> Result<Vec<u8>, LabelError> {
    let label = format!("MLS 1.0 {label}").into_bytes();
    let context = EncryptContext { label: label.into(), context: context.into() };
    context.tls_serialize_detached().map_err(|_| LabelError::Length)
}

fn sign_content(label: &str, content: &[u8]) -> Result<Vec<u8>, LabelError> {
    SignContent::new(label, content.into()).tls_serialize_detached().map_err(|_| LabelError::Length)
}

#[cfg(test)]
mod tests {
    use openmls_basic_credential::SignatureKeyPair;

    use super::*;
    use crate::mls::crypto::HubCrypto;

    #[test]
    fn a_signature_holds_for_its_label_only() {
        let signer = SignatureKeyPair::new(SignatureScheme::ED25519).unwrap();
        let signature = sign_with_label(&signer, KEY_MATERIAL_REQUEST, b"content").unwrap();
        let verify = |label, content: &[u8]| {
            verify_with_label(&HubCrypto::default(), 1, signer.public(), label, content, &signature)
        };
        assert_eq!(verify(KEY_MATERIAL_REQUEST, b"content"), Ok(()));
        assert_eq!(verify(GROUP_INFO_REQUEST, b"content"), Err(LabelError::Signature));
        assert_eq!(verify(KEY_MATERIAL_REQUEST, b"contend"), Err(LabelError::Signature));
    }

    #[test]
    fn what_is_signed_is_the_label_with_its_prefix_and_the_content() {
        let framed = sign_content("Frank", b"abc").unwrap();
        assert_eq!(framed, [b"\x0dMLS 1.0 Frank".as_slice(), b"\x03abc"].concat());
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_label_and_context_only() {
        let crypto = HubCrypto::default();
        for number in [1, 2, 3] {
            let config = suite(number).unwrap().hpke_config();
            let pair = crypto.derive_hpke_keypair(config, &[7; 64]).unwrap();
            let sealed =
                encrypt_with_label(&crypto, number, &pair.public, GROUP_INFO_ENCRYPTION, b"room", b"tree").unwrap();
            let open =
                |label, context: &[u8]| decrypt_with_label(&crypto, number, &pair.private, label, context, &sealed);
            assert_eq!(open(GROUP_INFO_ENCRYPTION, b"room"), Ok(b"tree".to_vec()));
            assert_eq!(open(GROUP_INFO_ENCRYPTION, b"moor"), Err(LabelError::Ciphertext));
            assert_eq!(open(GROUP_INFO_REQUEST, b"room"), Err(LabelError::Ciphertext));
        }
    }

    #[test]
    fn a_bad_key_or_suite_of_a_peer_is_an_error() {
        let crypto = HubCrypto::default();
        for number in [1, 2, 3] {
            assert_eq!(encrypt_with_label(&crypto, number, b"short", "x", b"", b""), Err(LabelError::PublicKey));
            let sealed = HpkeCiphertext { kem_output: vec![1], ciphertext: vec![] };
            assert_eq!(decrypt_with_label(&crypto, number, &[1; 32], "x", b"", &sealed), Err(LabelError::Ciphertext));
        }
        assert_eq!(encrypt_with_label(&crypto, 7, &[0; 32], "x", b"", b""), Err(LabelError::Suite));
        assert_eq!(verify_with_label(&crypto, 0, &[0; 32], "x", b"", b""), Err(LabelError::Suite));
    }
}
