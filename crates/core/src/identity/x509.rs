//! Clients and providers by X.509 credentials: what the first certificate of the chain names, and whose key it is.
//!
//! Chains are not verified here: as with a basic credential, a client is believed to be whom its own provider, which is
//! authenticated by TLS, says it is.

use openmls::credentials::Credential;
use tls_codec::{Deserialize as _, VLBytes};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::credential::{Certified, CredentialError};
use crate::wire::uri::{ClientUri, Domain, UserUri};

/// The one client and the one user that the certificate names by URI, of one provider (reading D-7). A client whose own
/// name says whose it is, is of nobody else.
pub(super) fn client(credential: &Credential) -> Result<(ClientUri, UserUri), CredentialError> {
    read(credential, |certificate| {
        let uris = names(certificate, |name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        })?;
        let clients: Vec<ClientUri> = uris.iter().filter_map(|uri| ClientUri::parse(uri).ok()).collect();
        let users = uris.iter().filter_map(|uri| UserUri::parse(uri).ok());
        let users: Vec<UserUri> = users.filter(|user| !user.is_provider()).collect();
        match (<[_; 1]>::try_from(clients), <[_; 1]>::try_from(users)) {
            (Ok([client]), Ok([user]))
                if client.domain() == user.domain() && client.user().is_none_or(|implied| implied == user) =>
            {
                Ok((client, user))
            }
            _ => Err(CredentialError::Names),
        }
    })
}

/// The one provider that the certificate names by dNSName (reading D-52).
pub(super) fn provider(credential: &Credential) -> Result<Domain, CredentialError> {
    read(credential, |certificate| {
        let domains = names(certificate, |name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        })?;
        match domains[..] {
            [name] => Domain::parse(&name.to_ascii_lowercase()).map_err(|_| CredentialError::Names),
            _ => Err(CredentialError::Names),
        }
    })
}

/// subjectAltName as its object identifier's body in DER (RFC 5280, section 4.2.1.6).
pub(crate) const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// Each name by URI, domain or address that the certificate has, and each attribute of its subject that is text, under its
/// object identifier.
pub(super) fn certified(credential: &Credential) -> Result<Vec<Certified>, CredentialError> {
    read(credential, |certificate| {
        let names = names(certificate, |name| match name {
            GeneralName::URI(name) | GeneralName::DNSName(name) | GeneralName::RFC822Name(name) => Some(*name),
            _ => None,
        })?;
        let names = names.into_iter().map(|name| Certified::new(SUBJECT_ALT_NAME, name));
        let attributes = certificate.subject().iter_attributes();
        let attributes = attributes.filter_map(|it| Some(Certified::new(it.attr_type().as_bytes(), it.as_str().ok()?)));
        Ok(names.chain(attributes).collect())
    })
}

/// The signature key that the certificate is for, in the encoding of RFC 9420, section 5.1.1: that of the certificate's
/// subjectPublicKey for every scheme in use here.
pub(crate) fn signature_key(credential: &Credential) -> Result<Vec<u8>, CredentialError> {
    read(credential, |certificate| Ok(certificate.public_key().subject_public_key.data.to_vec()))
}

/// Reads the first certificate of `Certificate certificates<V>` (RFC 9420, section 5.3).
fn read<T>(
    credential: &Credential,
    look: impl FnOnce(&X509Certificate<'_>) -> Result<T, CredentialError>,
) -> Result<T, CredentialError> {
    let first = VLBytes::tls_deserialize(&mut credential.serialized_content()).map_err(|_| CredentialError::Chain)?;
    match X509Certificate::from_der(first.as_slice()) {
        Ok(([], certificate)) => look(&certificate),
        Ok(_) | Err(_) => Err(CredentialError::Chain),
    }
}

fn names<'a>(
    certificate: &'a X509Certificate<'a>,
    wanted: impl FnMut(&'a GeneralName<'a>) -> Option<&'a str>,
) -> Result<Vec<&'a str>, CredentialError> {
    let names = certificate.subject_alternative_name().map_err(|_| CredentialError::Chain)?;
    Ok(names.map(|names| names.value.general_names.iter().filter_map(wanted).collect()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, SanType};
    use tls_codec::Serialize as _;

    use super::super::credential::{bound_client, client_of, provider_of};
    use super::*;

    const PHONE: &str = "mimi://a.example/d/phone-of-alice";
    const ALICE: &str = "mimi://a.example/u/alice";

    fn credential(names: &[SanType]) -> (Credential, Vec<u8>) {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.to_vec();
        let certificate = params.self_signed(&key).unwrap();
        let chain = VLBytes::new(certificate.der().to_vec()).tls_serialize_detached().unwrap();
        (Credential::new(openmls::credentials::CredentialType::X509, chain), key.public_key_raw().to_vec())
    }

    fn uris(uris: &[&str]) -> Vec<SanType> {
        uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect()
    }

    #[test]
    fn a_certificate_names_its_client_and_its_user_and_is_bound_to_its_key() {
        let (credential, key) = credential(&uris(&[PHONE, ALICE, "https://a.example/alice"]));
        let (client, user) = bound_client(&credential, &key).unwrap();
        assert_eq!((client.as_str(), user.as_str()), (PHONE, ALICE));
        assert_eq!(bound_client(&credential, &[7; 32]), Err(CredentialError::Key));
    }

    #[test]
    fn a_certificate_says_its_names_and_the_text_of_its_subject() {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = uris(&[PHONE, ALICE]);
        params.subject_alt_names.push(SanType::Rfc822Name("alice@a.example".try_into().unwrap()));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::OrganizationalUnitName, "Engineering");
        let certificate = params.self_signed(&key).unwrap();
        let chain = VLBytes::new(certificate.der().to_vec()).tls_serialize_detached().unwrap();
        let credential = Credential::new(openmls::credentials::CredentialType::X509, chain);
        let said: Vec<(Vec<u8>, Vec<u8>)> =
            super::super::credential::certified(&credential).into_iter().map(|it| (it.oid, it.value)).collect();
        let name = |value: &str| (SUBJECT_ALT_NAME.to_vec(), value.as_bytes().to_vec());
        let unit = (vec![0x55, 0x04, 0x0b], b"Engineering".to_vec());
        assert_eq!(said, [name(PHONE), name(ALICE), name("alice@a.example"), unit]);
        let basic = openmls::credentials::BasicCredential::new(PHONE.into()).into();
        assert_eq!(super::super::credential::certified(&basic), []);
    }

    #[test]
    fn a_certificate_that_names_nobody_or_several_is_refused() {
        let two = "mimi://a.example/u/bob";
        for names in [&[PHONE][..], &[ALICE], &[PHONE, ALICE, two], &[PHONE, "mimi://b.example/u/alice"], &[]] {
            assert_eq!(client_of(&credential(&uris(names)).0), Err(CredentialError::Names), "{names:?}");
        }
    }

    #[test]
    fn a_client_that_names_its_user_is_of_that_user() {
        let phone = "mimi://a.example/d/alice/phone";
        let (own, key) = credential(&uris(&[phone, ALICE]));
        assert_eq!(bound_client(&own, &key).unwrap().1.as_str(), ALICE);
        for user in ["mimi://a.example/u/bob", "mimi://a.example/p/alice"] {
            assert_eq!(client_of(&credential(&uris(&[phone, user])).0), Err(CredentialError::Names), "{user}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for content in [&b""[..], b"\x03abc", b"mimi://a.example/d/alice/phone"] {
            let credential = Credential::new(openmls::credentials::CredentialType::X509, content.to_vec());
            assert_eq!(client_of(&credential), Err(CredentialError::Chain));
            assert_eq!(provider_of(&credential), None);
        }
    }

    #[test]
    fn a_provider_is_the_only_domain_of_its_certificate() {
        let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
        assert_eq!(provider_of(&credential(&[dns("A.example")]).0), Domain::parse("a.example").ok());
        assert_eq!(provider_of(&credential(&[dns("a.example"), dns("b.example")]).0), None);
        assert_eq!(provider_of(&credential(&uris(&["mimi://a.example"])).0), None);
    }
}
