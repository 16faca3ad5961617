//! The development CA and the certificates it gives. A company's own CA takes its place in production.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use portcullis_core::wire::uri::Domain;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::gateway::Clock;

/// File names inside the CA's folder.
pub(super) const CERTIFICATE: &str = "ca.pem";
pub(super) const KEY: &str = "ca.key";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A CA that signs with a key on disk.
pub(super) struct Authority {
    certificate: String,
    key: KeyPair,
}

/// A certificate chain and its private key, both PEM.
pub(super) struct Identity {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn exists(folder: &Path) -> bool {
        folder.join(CERTIFICATE).exists()
    }

    pub(super) fn make() -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let certificate = params(10 * YEAR).self_signed(&key)?.pem();
        Ok(Self { certificate, key })
    }

    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        let text = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))
        };
        let key = KeyPair::from_pem(&text(KEY)?).with_context(|| format!("no key in `{KEY}` of the CA"))?;
        Ok(Self { certificate: text(CERTIFICATE)?, key })
    }

    pub(super) fn certificate(&self) -> &str {
        &self.certificate
    }

    pub(super) fn key(&self) -> String {
        self.key.serialize_pem()
    }

    /// A certificate for a provider's domain, good for both directions of mutual TLS (reading D-10: the domain is a
    /// `dNSName`).
    pub(super) fn issue(&self, domain: &Domain) -> anyhow::Result<Identity> {
        let key = KeyPair::generate()?;
        let mut wanted = CertificateParams::new(vec![domain.to_string()])?;
        valid(&mut wanted, 2 * YEAR);
        wanted.distinguished_name = DistinguishedName::new();
        wanted.distinguished_name.push(DnType::CommonName, domain.to_string());
        wanted.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        wanted.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        wanted.use_authority_key_identifier_extension = true;
        // Name and key are all that the issuer's parameters give to the certificate.
        let issuer = Issuer::new(params(YEAR), &self.key);
        let certificate = wanted.signed_by(&key, &issuer)?.pem();
        Ok(Identity { certificate, key: key.serialize_pem() })
    }
}

fn params(lifetime: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    valid(&mut params, lifetime);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Portcullis development CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params
}

/// Valid from yesterday, for clocks that are behind.
fn valid(params: &mut CertificateParams, lifetime: Duration) {
    let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_millis(Clock::default().now().0);
    params.not_before = now - DAY;
    params.not_after = now + lifetime;
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::crypto::aws_lc_rs::default_provider;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::server::WebPkiClientVerifier;

    use super::*;

    /// The certificate in `file` is signed by `trust`, names `domain`, and serves as server and as client.
    pub(in crate::cli::init) fn assert_chain(trust: &[u8], file: &Path, domain: &str) {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(trust).unwrap()).unwrap();
        let (roots, provider) = (Arc::new(roots), Arc::new(default_provider()));
        let leaf = CertificateDer::from_pem_file(file).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_millis(Clock::default().now().0));
        let server = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
        let name = ServerName::try_from(domain).unwrap();
        server.build().unwrap().verify_server_cert(&leaf, &[], &name, &[], now).unwrap();
        let client = WebPkiClientVerifier::builder_with_provider(roots, provider).build().unwrap();
        client.verify_client_cert(&leaf, &[], now).unwrap();
    }
}
