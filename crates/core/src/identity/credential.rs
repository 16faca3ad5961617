//! MLS credential → whose client it is, or which provider (readings D-7 and D-52).

use openmls::credentials::{Credential, CredentialType};

use crate::wire::uri::{ClientUri, Domain, UriError, UserUri};

/// Why a credential names no client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// X.509 credentials cannot be checked here yet.
    #[error("x509 credentials are not supported")]
    X509,
    /// A credential type that MIMI does not use.
    #[error("credential type {0} is not supported")]
    Type(u16),
    /// The identity is no client identifier.
    #[error("identity is no client")]
    Identity(#[from] UriError),
    /// The identity names a client without its user.
    #[error("identity names no user")]
    NoUser,
}

/// The client that `credential` names, and the user it belongs to (reading D-7: a basic credential whose identity is
/// `mimi://host/d/{user}/{client}`).
///
/// # Errors
///
/// [`CredentialError`] for any other credential.
pub fn client_of(credential: &Credential) -> Result<(ClientUri, UserUri), CredentialError> {
    match credential.credential_type() {
        CredentialType::Basic => {
            let client = ClientUri::from_bytes(credential.serialized_content())?;
            let user = client.user().ok_or(CredentialError::NoUser)?;
            Ok((client, user))
        }
        CredentialType::X509 => Err(CredentialError::X509),
        CredentialType::Grease(number) | CredentialType::Other(number) => Err(CredentialError::Type(number)),
    }
}

/// The provider that the credential of an external sender names: `mimi://{domain}` in a basic credential
/// (reading D-52); `None` when it names none.
pub fn provider_of(credential: &Credential) -> Option<Domain> {
    match credential.credential_type() {
        CredentialType::Basic => {
            let identity = std::str::from_utf8(credential.serialized_content()).ok()?;
            Domain::parse(identity.strip_prefix("mimi://")?).ok()
        }
        CredentialType::X509 | CredentialType::Grease(_) | CredentialType::Other(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use openmls::credentials::BasicCredential;

    use super::*;

    fn basic(identity: &str) -> Credential {
        BasicCredential::new(identity.as_bytes().to_vec()).into()
    }

    #[test]
    fn a_basic_credential_names_a_client_and_its_user() {
        let (client, user) = client_of(&basic("mimi://b.example/d/bob/phone")).unwrap();
        assert_eq!(client.as_str(), "mimi://b.example/d/bob/phone");
        assert_eq!(user.as_str(), "mimi://b.example/u/bob");
    }

    #[test]
    fn anything_else_names_no_client() {
        assert_eq!(client_of(&basic("mimi://b.example/d/phone")), Err(CredentialError::NoUser));
        assert!(matches!(client_of(&basic("mimi://b.example/u/bob")), Err(CredentialError::Identity(_))));
        assert!(matches!(client_of(&basic("bob")), Err(CredentialError::Identity(_))));
        assert_eq!(client_of(&Credential::new(CredentialType::X509, vec![1])), Err(CredentialError::X509));
        assert_eq!(client_of(&Credential::new(CredentialType::Other(9), vec![])), Err(CredentialError::Type(9)));
    }

    #[test]
    fn an_external_sender_names_its_provider() {
        assert_eq!(provider_of(&basic("mimi://a.example")).unwrap().as_str(), "a.example");
        assert_eq!(provider_of(&basic("mimi://a.example/u/alice")), None);
        assert_eq!(provider_of(&Credential::new(CredentialType::X509, vec![1])), None);
    }
}
