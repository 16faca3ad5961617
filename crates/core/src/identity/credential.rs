//! Clients and users: what an MLS credential says (reading D-7).

use openmls::credentials::{BasicCredential, Credential, CredentialType};

use super::x509;
use crate::wire::uri::{ClientUri, Domain, UriError, UserUri};

/// Why a credential names nobody here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The identity is not a canonical identifier of the kind asked for.
    #[error("identity of the credential is not a MIMI identifier of the expected kind")]
    Identity(#[from] UriError),
    /// The client's identifier does not name its user.
    #[error("identity of the credential is not of the form `mimi://host/d/user/client`")]
    NoUser,
    /// The content of an x509 credential is no chain of certificates.
    #[error("credential is no chain of certificates")]
    Chain,
    /// The certificate does not name exactly one client and one user of one provider, or exactly one provider.
    #[error("certificate of the credential does not name one client and its user")]
    Names,
    /// The certificate is for another key than the one that signs.
    #[error("certificate of the credential is for another key")]
    Key,
    /// Neither basic nor x509.
    #[error("credential is of the unknown type {0}")]
    UnknownType(u16),
}

/// The client and the user that a credential names: a basic one whose identity is `mimi://host/d/user/client`, or an
/// x509 one whose certificate names one client and one user by URI. For credentials whose key is known to be theirs;
/// where one first comes from outside, [`bound_client`].
///
/// No credential proves anything by itself; a client is believed to be whom its own provider says it is.
///
/// # Errors
///
/// [`CredentialError`] for any other credential.
pub fn client_of(credential: &Credential) -> Result<(ClientUri, UserUri), CredentialError> {
    if credential.credential_type() == CredentialType::X509 {
        return x509::client(credential);
    }
    let client = ClientUri::from_bytes(identity(credential)?)?;
    let user = client.user().ok_or(CredentialError::NoUser)?;
    Ok((client, user))
}

/// As [`client_of`], for a credential that comes with the key that is said to be its own.
///
/// # Errors
///
/// [`CredentialError::Key`] for a certificate of another key; as [`client_of`].
pub fn bound_client(credential: &Credential, signature_key: &[u8]) -> Result<(ClientUri, UserUri), CredentialError> {
    let named = client_of(credential)?;
    if credential.credential_type() == CredentialType::X509 && x509::signature_key(credential)? != signature_key {
        return Err(CredentialError::Key);
    }
    Ok(named)
}

/// Something that a certificate says of whom it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// What: an object identifier's body in DER.
    pub oid: Vec<u8>,
    /// The text that it has, in UTF-8.
    pub value: Vec<u8>,
}

impl Certified {
    pub(super) fn new(oid: &[u8], value: &str) -> Self {
        Self { oid: oid.to_vec(), value: value.as_bytes().to_vec() }
    }
}

/// What the certificate of a credential says; nothing for a basic one. Nobody has verified its chain.
pub fn certified(credential: &Credential) -> Vec<Certified> {
    if credential.credential_type() == CredentialType::X509 {
        return x509::certified(credential).unwrap_or_default();
    }
    Vec::new()
}

/// The provider of an external sender or franking agent: a basic credential whose identity is `mimi://host`, or an x509
/// one whose certificate names one domain (reading D-52). `None` for any other credential.
pub fn provider_of(credential: &Credential) -> Option<Domain> {
    if credential.credential_type() == CredentialType::X509 {
        return x509::provider(credential).ok();
    }
    let provider = UserUri::from_bytes(identity(credential).ok()?).ok()?;
    provider.is_provider().then(|| provider.domain())
}

/// The credential of a provider as external sender or franking agent: what [`provider_of`] reads.
pub fn provider_credential(provider: &Domain) -> Credential {
    BasicCredential::new(UserUri::provider(provider).as_bytes().to_vec()).into()
}

fn identity(credential: &Credential) -> Result<&[u8], CredentialError> {
    match credential.credential_type() {
        CredentialType::Basic => Ok(credential.serialized_content()),
        other => Err(CredentialError::UnknownType(other.into())),
    }
}

#[cfg(test)]
mod tests {
    use openmls::credentials::BasicCredential;

    use super::*;

    fn basic(identity: &str) -> Credential {
        BasicCredential::new(identity.into()).into()
    }

    #[test]
    fn a_basic_credential_names_a_client_and_its_user() {
        let (client, user) = client_of(&basic("mimi://a.example/d/alice/phone")).unwrap();
        assert_eq!(client.as_str(), "mimi://a.example/d/alice/phone");
        assert_eq!(user.as_str(), "mimi://a.example/u/alice");
    }

    #[test]
    fn a_credential_that_names_no_user_is_refused() {
        assert_eq!(client_of(&basic("mimi://a.example/d/phone")), Err(CredentialError::NoUser));
        assert_eq!(client_of(&basic("mimi://a.example/u/alice")), Err(UriError::Kind.into()));
        assert_eq!(client_of(&basic("alice")), Err(UriError::Scheme.into()));
        assert_eq!(client_of(&basic("")), Err(UriError::Scheme.into()));
    }

    #[test]
    fn other_types_of_credential_are_told_apart() {
        let of_type = |number: u16| Credential::new(number.into(), b"mimi://a.example/d/alice/phone".to_vec());
        assert_eq!(client_of(&of_type(3)), Err(CredentialError::UnknownType(3)));
        assert_eq!(client_of(&of_type(0x0a0a)), Err(CredentialError::UnknownType(0x0a0a)));
    }

    #[test]
    fn only_a_providers_own_identifier_names_a_provider() {
        assert_eq!(provider_of(&basic("mimi://a.example")), Domain::parse("a.example").ok());
        assert_eq!(provider_of(&basic("mimi://a.example/u/alice")), None);
        assert_eq!(provider_of(&basic("mimi://a.example/d/alice/phone")), None);
        assert_eq!(provider_of(&Credential::new(CredentialType::X509, b"mimi://a.example".to_vec())), None);
    }
}
