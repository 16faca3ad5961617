//! Providers: the certificate of a peer, its `From`, and the `Host` it asks for.

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::time::Millis;
use crate::wire::uri::Domain;

/// Why it is not known which provider speaks, or which one is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The certificate does not decode. HTTP 401.
    #[error("certificate of the peer is malformed")]
    Certificate,
    /// `From` is not `mimi@` and a provider domain. HTTP 400.
    #[error("`From` is not `mimi@` and the domain of a provider")]
    From,
    /// The certificate is of another provider. HTTP 403.
    #[error("certificate of the peer does not name `{claimed}`")]
    Mismatch {
        /// The domain that `From` claims.
        claimed: Domain,
    },
    /// `Host` is no authority of ours. HTTP 421.
    #[error("`Host` names none of our domains")]
    Host,
}

/// What a peer's certificate says, read once for all requests of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// SHA-256 over the DER of its SubjectPublicKeyInfo: what a pin is compared with.
    pub spki_sha256: [u8; 32],
    /// When it ends.
    pub until: Millis,
    names: Vec<String>,
}

impl PeerCertificate {
    /// Reads DER. That the certificate is valid and trusted is for TLS.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Certificate`] for a certificate that does not decode.
    pub fn read(der: &[u8]) -> Result<Self, IdentityError> {
        let certificate = parse(der)?;
        let names = certificate.subject_alternative_name().map_err(|_| IdentityError::Certificate)?;
        let names = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
        Ok(Self { spki_sha256: hash(&certificate), until: end(&certificate)?, names: names.collect() })
    }

    /// The provider that speaks: the domain in `from`, provided the certificate has it among its dNSName subject
    /// alternative names. Upper and lower case are the same; a wildcard names nobody (reading D-10). That the provider is
    /// one of our peers is for the caller.
    ///
    /// # Errors
    ///
    /// [`IdentityError::From`] for anything but an addr-spec `mimi@domain`, [`IdentityError::Mismatch`] for the
    /// certificate of somebody else.
    pub fn speaks_for(&self, from: &str) -> Result<Domain, IdentityError> {
        let claimed = claimed(from)?;
        let named = self.names.iter().any(|name| name.eq_ignore_ascii_case(claimed.as_str()));
        if named { Ok(claimed) } else { Err(IdentityError::Mismatch { claimed }) }
    }
}

fn claimed(from: &str) -> Result<Domain, IdentityError> {
    let claimed = from.strip_prefix("mimi@").ok_or(IdentityError::From)?;
    Domain::parse(&claimed.to_ascii_lowercase()).map_err(|_| IdentityError::From)
}

/// When a certificate ends.
///
/// # Errors
///
/// [`IdentityError::Certificate`] for a certificate that does not decode, or ended before 1970.
pub fn not_after(certificate_der: &[u8]) -> Result<Millis, IdentityError> {
    end(&parse(certificate_der)?)
}

fn end(certificate: &X509Certificate<'_>) -> Result<Millis, IdentityError> {
    let seconds = u64::try_from(certificate.validity().not_after.timestamp());
    Ok(Millis(seconds.map_err(|_| IdentityError::Certificate)?.saturating_mul(1000)))
}

/// SHA-256 over the DER of the certificate's SubjectPublicKeyInfo: what a pin is compared with.
///
/// # Errors
///
/// [`IdentityError::Certificate`] for a certificate that does not decode.
pub fn spki_sha256(certificate_der: &[u8]) -> Result<[u8; 32], IdentityError> {
    parse(certificate_der).map(|certificate| hash(&certificate))
}

fn hash(certificate: &X509Certificate<'_>) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.public_key().raw);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

/// Which of our `domains` is spoken to: the one that `host` names, or the first for one of the further `authorities`
/// under which we are reached. Ports and case do not count (reading D-11).
///
/// # Errors
///
/// [`IdentityError::Host`] when it is neither.
pub fn host_tenant(host: &str, domains: &[Domain], authorities: &[String]) -> Result<Domain, IdentityError> {
    let name = without_port(host);
    let named = domains.iter().find(|domain| domain.as_str().eq_ignore_ascii_case(name));
    let reached = || {
        let ours = authorities.iter().any(|authority| without_port(authority).eq_ignore_ascii_case(name));
        domains.first().filter(|_| ours)
    };
    named.or_else(reached).cloned().ok_or(IdentityError::Host)
}

fn parse(certificate_der: &[u8]) -> Result<X509Certificate<'_>, IdentityError> {
    match X509Certificate::from_der(certificate_der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) | Err(_) => Err(IdentityError::Certificate),
    }
}

/// `authority` without its port; the brackets of an IPv6 address stay.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PublicKeyData, SanType};

    use super::*;

    fn certificate(names: Vec<SanType>) -> (Vec<u8>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        (params.self_signed(&key).unwrap().der().to_vec(), key)
    }

    fn dns(name: &str) -> SanType {
        SanType::DnsName(name.try_into().unwrap())
    }

    fn domain(name: &str) -> Domain {
        Domain::parse(name).unwrap()
    }

    fn peer_domain(der: &[u8], from: &str) -> Result<Domain, IdentityError> {
        PeerCertificate::read(der)?.speaks_for(from)
    }

    #[test]
    fn a_peer_is_whom_its_certificate_names() {
        let (der, _) = certificate(vec![dns("mimi.a.example"), dns("A.example")]);
        assert_eq!(peer_domain(&der, "mimi@a.example"), Ok(domain("a.example")));
        assert_eq!(peer_domain(&der, "mimi@MIMI.a.Example"), Ok(domain("mimi.a.example")));
        let mismatch = IdentityError::Mismatch { claimed: domain("b.example") };
        assert_eq!(peer_domain(&der, "mimi@b.example"), Err(mismatch));
    }

    #[test]
    fn neither_a_wildcard_nor_a_name_of_another_type_names_a_peer() {
        let names = vec![
            dns("*.example"),
            SanType::URI("https://a.example".try_into().unwrap()),
            SanType::Rfc822Name("mimi@a.example".try_into().unwrap()),
        ];
        for names in [names, Vec::new()] {
            let (der, _) = certificate(names);
            let mismatch = IdentityError::Mismatch { claimed: domain("a.example") };
            assert_eq!(peer_domain(&der, "mimi@a.example"), Err(mismatch));
        }
    }

    #[test]
    fn the_common_name_names_nobody() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "a.example");
        let der = params.self_signed(&key).unwrap().der().to_vec();
        assert!(matches!(peer_domain(&der, "mimi@a.example"), Err(IdentityError::Mismatch { .. })));
    }

    #[test]
    fn from_is_a_bare_address_of_the_user_mimi() {
        let (der, _) = certificate(vec![dns("a.example")]);
        for from in [
            "",
            "mimi",
            "mimi@",
            "a.example",
            "alice@a.example",
            "MIMI@a.example",
            "<mimi@a.example>",
            "MIMI <mimi@a.example>",
            "mimi@a.example, mimi@b.example",
            "mimi@a.example.",
            "mimi@*.example",
            "mimi@example",
            "mimi@a.example:443",
            " mimi@a.example",
        ] {
            assert_eq!(peer_domain(&der, from), Err(IdentityError::From), "{from}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let (der, _) = certificate(vec![dns("a.example")]);
        for der in [&[][..], b"certificate", &der[..der.len() - 1], &[der.as_slice(), &[0]].concat()] {
            assert_eq!(peer_domain(der, "mimi@a.example"), Err(IdentityError::Certificate));
            assert_eq!(spki_sha256(der), Err(IdentityError::Certificate));
        }
    }

    #[test]
    fn a_pin_is_over_the_public_key_alone() {
        let (der, key) = certificate(vec![dns("a.example")]);
        let expected = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &key.subject_public_key_info());
        assert_eq!(spki_sha256(&der).unwrap(), expected.as_ref());
        assert_eq!(PeerCertificate::read(&der).unwrap().spki_sha256, expected.as_ref());
        let renewed = CertificateParams::new(vec!["a.example".into()]).unwrap().self_signed(&key).unwrap();
        assert_ne!(renewed.der().as_ref(), der);
        assert_eq!(spki_sha256(renewed.der()), spki_sha256(&der));
    }

    #[test]
    fn a_host_is_one_of_our_domains_or_an_authority_of_the_first() {
        let domains = [domain("a.example"), domain("b.example")];
        let authorities = ["mimi.a.example:8443".to_owned(), "[::1]".to_owned(), "127.0.0.1".to_owned()];
        let tenant = |host: &str| host_tenant(host, &domains, &authorities);
        for host in ["a.example", "A.example:8443", "mimi.a.example", "MIMI.a.example:443", "[::1]:8443", "127.0.0.1:1"]
        {
            assert_eq!(tenant(host), Ok(domain("a.example")), "{host}");
        }
        assert_eq!(tenant("b.example:443"), Ok(domain("b.example")));
        for host in ["", "c.example", "xa.example", "a.example.c.example", "a.example:x", "::1"] {
            assert_eq!(tenant(host), Err(IdentityError::Host), "{host}");
        }
        assert_eq!(host_tenant("127.0.0.1", &[], &authorities), Err(IdentityError::Host));
    }
}
