//! KeyPackages: whose they are, and whether they are good for being given away.
//!
//! openmls checks signatures, keys and that a KeyPackage is valid now; everything about how long it stays valid is
//! ours to check (RFC 9420, section 7.3: applications must define a maximum lifetime).

use std::sync::Arc;
use std::time::Duration;

use openmls::extensions::{ExtensionType, Extensions};
use openmls::key_packages::errors::KeyPackageVerifyError;
use openmls::key_packages::{KeyPackage, KeyPackageIn, Lifetime};
use openmls::treesync::errors::LifetimeError;
use openmls::versions::ProtocolVersion;
use openmls_traits::crypto::OpenMlsCrypto;
use tls_codec::Deserialize as _;

use crate::identity::credential::{CredentialError, bound_client};
use crate::time::Millis;
use crate::wire::components::ComponentId;
use crate::wire::key_material::RequiredCapabilities;
use crate::wire::mls::KeyPackage as KeyPackageBytes;
use crate::wire::uri::{ClientUri, UserUri};

use super::crypto::suite;
use super::says::says;
use super::{LeafCapabilities, Says};

/// How long a KeyPackage must still be valid when it is uploaded, given away or used: the longest time a member may be
/// offline before it can no longer process the commit that added it (openmls refuses expired leaves).
pub const MINIMUM_REMAINING: Duration = Duration::from_secs(30 * 24 * 3600);

/// A valid KeyPackage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPackageInfo {
    /// Its KeyPackageRef.
    pub reference: Vec<u8>,
    /// The client its credential names.
    pub client: ClientUri,
    /// The user the client belongs to.
    pub user: UserUri,
    /// Number of the ciphersuite.
    pub suite: u16,
    /// The client's signature public key.
    pub signature_key: Vec<u8>,
    /// When it expires.
    pub not_after: Millis,
    /// `not_after - not_before`, in seconds.
    pub lifetime_s: u64,
    /// What its leaf says of it.
    pub says: Arc<Says>,
    /// Marked as a last resort, by extension or by component: not to be given away over MIMI (reading D-22).
    pub last_resort: bool,
}

/// Why a KeyPackage is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyPackageError {
    /// The bytes are no KeyPackage.
    #[error("key package is malformed")]
    Malformed,
    /// A suite that cannot be used here.
    #[error("cipher suite is not supported")]
    Suite,
    /// A signature in it does not verify.
    #[error("key package is not signed by its own key")]
    Signature,
    /// Any other rule of RFC 9420, section 10.1.
    #[error("key package is not valid")]
    Invalid,
    /// The lifetime has not begun.
    #[error("key package is not valid yet")]
    NotYetValid,
    /// The lifetime is over.
    #[error("key package has expired")]
    Expired,
    /// The lifetime is longer than 84 days and one hour.
    #[error("key package has too long a lifetime")]
    LifetimeTooLong,
    /// The lifetime ends too soon.
    #[error("key package expires too soon")]
    ExpiresTooSoon,
    /// The credential names no client.
    #[error("credential of the key package is not accepted")]
    Credential(#[from] CredentialError),
}

/// Checks a KeyPackage before it is stored or given away: that it is valid (RFC 9420, section 10.1), that its
/// credential names a client, and that it stays valid for `minimum_remaining` after `now` but not longer than anyone
/// should keep one.
///
/// # Errors
///
/// [`KeyPackageError`]; the owner's fault throughout.
pub fn validate(
    crypto: &impl OpenMlsCrypto,
    key_package: &KeyPackageBytes,
    minimum_remaining: Duration,
    now: Millis,
) -> Result<KeyPackageInfo, KeyPackageError> {
    let bytes = key_package.as_bytes();
    // Version and suite come first. Checked here, because nothing below could tell an unknown suite from a forgery.
    let number = bytes.get(2..4).and_then(|suite| suite.try_into().ok()).map(u16::from_be_bytes);
    suite(number.ok_or(KeyPackageError::Malformed)?).map_err(|_| KeyPackageError::Suite)?;
    let parsed = KeyPackageIn::tls_deserialize_exact(bytes).map_err(|_| KeyPackageError::Malformed)?;
    let valid = parsed.validate(crypto, ProtocolVersion::Mls10).map_err(|error| match error {
        KeyPackageVerifyError::LifetimeError(LifetimeError::NotValidYet { .. }) => KeyPackageError::NotYetValid,
        KeyPackageVerifyError::LifetimeError(_) => KeyPackageError::Expired,
        KeyPackageVerifyError::InvalidSignature | KeyPackageVerifyError::InvalidLeafNodeSignature => {
            KeyPackageError::Signature
        }
        _ => KeyPackageError::Invalid,
    })?;
    check_lifetime(valid.life_time(), minimum_remaining, now)?;
    describe(crypto, &valid)
}

/// Checks a lifetime: its range, and that `now` lies in it with `minimum_remaining` to go.
///
/// # Errors
///
/// One of the four [`KeyPackageError`]s that speak of lifetimes.
pub fn check_lifetime(lifetime: &Lifetime, minimum_remaining: Duration, now: Millis) -> Result<(), KeyPackageError> {
    let now_s = now.0 / 1000;
    if !lifetime.has_acceptable_range() {
        Err(KeyPackageError::LifetimeTooLong)
    } else if now_s < lifetime.not_before() {
        Err(KeyPackageError::NotYetValid)
    } else if now_s >= lifetime.not_after() {
        Err(KeyPackageError::Expired)
    } else if lifetime.not_after() - now_s < minimum_remaining.as_secs() {
        Err(KeyPackageError::ExpiresTooSoon)
    } else {
        Ok(())
    }
}

/// What there is to know about a KeyPackage that openmls has validated.
pub(super) fn describe(
    crypto: &impl OpenMlsCrypto,
    key_package: &KeyPackage,
) -> Result<KeyPackageInfo, KeyPackageError> {
    let leaf = key_package.leaf_node();
    let (client, user) = bound_client(leaf.credential(), leaf.signature_key().as_slice())?;
    let lifetime = key_package.life_time();
    Ok(KeyPackageInfo {
        reference: key_package.hash_ref(crypto).map_err(|_| KeyPackageError::Invalid)?.as_slice().to_vec(),
        client,
        user,
        suite: key_package.ciphersuite().into(),
        signature_key: leaf.signature_key().as_slice().to_vec(),
        not_after: Millis(lifetime.not_after().saturating_mul(1000)),
        lifetime_s: lifetime.not_after().saturating_sub(lifetime.not_before()),
        says: says(leaf).into(),
        last_resort: last_resort(key_package.extensions()),
    })
}

fn last_resort(extensions: &Extensions<KeyPackage>) -> bool {
    let component = extensions
        .app_data_dictionary()
        .is_some_and(|extension| extension.dictionary().contains(&ComponentId::LAST_RESORT_KEY_PACKAGE.0));
    component || extensions.contains(ExtensionType::LastResort)
}

impl LeafCapabilities {
    /// Whether a client that can do this can do all of `required`. Types that RFC 9420 defines are never listed and
    /// always supported (section 7.2); credential types have no such default.
    pub fn satisfy(&self, required: &RequiredCapabilities) -> bool {
        let extension = |kind: &u16| (1..=5).contains(kind) || self.extensions.contains(kind);
        let proposal = |kind: &u16| (1..=7).contains(kind) || self.proposals.contains(kind);
        required.extension_types.iter().all(extension)
            && required.proposal_types.iter().all(proposal)
            && required.credential_types.iter().all(|kind| self.credentials.contains(kind))
    }
}

#[cfg(test)]
mod tests {
    use openmls::credentials::{BasicCredential, Credential, CredentialType, CredentialWithKey};
    use openmls::prelude::Capabilities;
    use openmls_basic_credential::SignatureKeyPair;
    use openmls_rust_crypto::OpenMlsRustCrypto;
    use openmls_traits::types::{Ciphersuite, SignatureScheme};
    use tls_codec::{Serialize as _, VLBytes};

    use super::*;
    use crate::mls::crypto::HubCrypto;
    use crate::wire::Wire;

    const DAY_S: u64 = 24 * 3600;

    fn key_package(identity: &str, lifetime: Lifetime, last_resort: bool) -> Vec<u8> {
        let signer = SignatureKeyPair::new(SignatureScheme::ED25519).unwrap();
        signed(&signer, BasicCredential::new(identity.as_bytes().to_vec()).into(), lifetime, last_resort)
    }

    fn signed(signer: &SignatureKeyPair, credential: Credential, lifetime: Lifetime, last_resort: bool) -> Vec<u8> {
        let provider = OpenMlsRustCrypto::default();
        let types = [credential.credential_type()];
        let credential_with_key = CredentialWithKey { credential, signature_key: signer.public().into() };
        let capabilities = Capabilities::new(None, None, Some(&[ExtensionType::LastResort]), None, Some(&types));
        let builder = KeyPackage::builder().key_package_lifetime(lifetime).leaf_node_capabilities(capabilities);
        let builder = if last_resort { builder.mark_as_last_resort() } else { builder };
        let suite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;
        let bundle = builder.build(suite, &provider, signer, credential_with_key).unwrap();
        bundle.key_package().tls_serialize_detached().unwrap()
    }

    /// The time at which openmls made the lifetime.
    fn now(lifetime: &Lifetime) -> Millis {
        Millis((lifetime.not_before() + 3600) * 1000)
    }

    fn check(bytes: &[u8], lifetime: &Lifetime) -> Result<KeyPackageInfo, KeyPackageError> {
        let key_package = KeyPackageBytes::decode(bytes).unwrap();
        validate(&HubCrypto::default(), &key_package, MINIMUM_REMAINING, now(lifetime))
    }

    #[test]
    fn a_good_key_package_tells_whose_it_is() {
        let lifetime = Lifetime::new(60 * DAY_S);
        let info = check(&key_package("mimi://b.example/d/bob/phone", lifetime, false), &lifetime).unwrap();
        assert_eq!(info.client.as_str(), "mimi://b.example/d/bob/phone");
        assert_eq!(info.user.as_str(), "mimi://b.example/u/bob");
        assert_eq!((info.suite, info.reference.len(), info.last_resort), (1, 32, false));
        assert_eq!(info.not_after, Millis(lifetime.not_after() * 1000));
        assert_eq!(info.lifetime_s, 60 * DAY_S + 3600);
    }

    #[test]
    fn a_key_package_with_a_certificate_is_its_client_s_if_the_certificate_is_for_its_key() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let mut params = rcgen::CertificateParams::default();
        let names = ["mimi://b.example/d/phone", "mimi://b.example/u/bob"];
        params.subject_alt_names = names.map(|name| rcgen::SanType::URI(name.try_into().unwrap())).to_vec();
        let certificate = params.self_signed(&key).unwrap();
        let chain = VLBytes::new(certificate.der().to_vec()).tls_serialize_detached().unwrap();
        let credential = Credential::new(CredentialType::X509, chain);
        // An Ed25519 key in PKCS#8 has its seed after 16 octets (RFC 8410, section 7).
        let seed = key.serialize_der()[16..48].to_vec();
        let own = SignatureKeyPair::from_raw(SignatureScheme::ED25519, seed, key.public_key_raw().to_vec());
        let lifetime = Lifetime::new(60 * DAY_S);
        let info = check(&signed(&own, credential.clone(), lifetime, false), &lifetime).unwrap();
        assert_eq!((info.client.as_str(), info.user.as_str()), (names[0], names[1]));
        let other = SignatureKeyPair::new(SignatureScheme::ED25519).unwrap();
        let refused = check(&signed(&other, credential, lifetime, false), &lifetime).unwrap_err();
        assert_eq!(refused, KeyPackageError::Credential(CredentialError::Key));
    }

    #[test]
    fn a_last_resort_key_package_is_marked() {
        let lifetime = Lifetime::new(60 * DAY_S);
        assert!(check(&key_package("mimi://b.example/d/bob/phone", lifetime, true), &lifetime).unwrap().last_resort);
    }

    #[test]
    fn lifetimes_have_a_longest_range_and_a_least_remainder() {
        for (lifetime, expected) in [
            (Lifetime::new(85 * DAY_S), Some(KeyPackageError::LifetimeTooLong)),
            (Lifetime::init(0, u64::MAX), Some(KeyPackageError::LifetimeTooLong)),
            (Lifetime::new(84 * DAY_S), None),
            (Lifetime::new(30 * DAY_S), None),
            (Lifetime::new(30 * DAY_S - 1), Some(KeyPackageError::ExpiresTooSoon)),
        ] {
            let at = now(&Lifetime::new(0));
            let found = check_lifetime(&lifetime, MINIMUM_REMAINING, at).err();
            assert_eq!(found, expected, "{lifetime:?} at {at}");
        }
        let lifetime = Lifetime::init(100, 200);
        let at = |seconds: u64| check_lifetime(&lifetime, Duration::ZERO, Millis(seconds * 1000));
        assert_eq!(at(99), Err(KeyPackageError::NotYetValid));
        assert_eq!(at(100), Ok(()));
        assert_eq!(at(200), Err(KeyPackageError::Expired));
    }

    #[test]
    fn a_forged_one_and_one_of_nobody_are_refused() {
        let lifetime = Lifetime::new(60 * DAY_S);
        let mut forged = key_package("mimi://b.example/d/bob/phone", lifetime, false);
        *forged.last_mut().unwrap() ^= 1;
        assert_eq!(check(&forged, &lifetime), Err(KeyPackageError::Signature));
        let nobody = key_package("mimi://b.example/d/phone", lifetime, false);
        assert_eq!(check(&nobody, &lifetime), Err(KeyPackageError::Credential(CredentialError::NoUser)));
    }

    #[test]
    fn required_types_are_met_by_default_or_by_listing() {
        let capabilities =
            LeafCapabilities { extensions: vec![6], proposals: vec![8], credentials: vec![1], ..Default::default() };
        let satisfied = |extensions: &[u16], proposals: &[u16], credentials: &[u16]| {
            capabilities.satisfy(&RequiredCapabilities {
                extension_types: extensions.to_vec(),
                proposal_types: proposals.to_vec(),
                credential_types: credentials.to_vec(),
            })
        };
        assert!(satisfied(&[3, 6], &[1, 8], &[1]));
        assert!(!satisfied(&[7], &[], &[]));
        assert!(!satisfied(&[], &[10], &[]));
        assert!(!satisfied(&[], &[], &[2]));
    }
}
