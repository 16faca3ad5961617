//! Keys, trust and the rustls configurations of both directions, all on aws-lc-rs.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use portcullis_core::identity::certificate::{IdentityError, not_after, spki_sha256};
use portcullis_core::wire::uri::Domain;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, InconsistentKeys, RootCertStore, ServerConfig,
    SignatureScheme,
};

use super::{CertificateEnd, SetupError};
use crate::config::{Keys, next_path};

/// The certificate chain and key of one of our domains.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The domain that the certificate names.
    pub domain: Domain,
    certified: Arc<CertifiedKey>,
}

impl Identity {
    /// Puts together a chain, leaf first, and its key.
    ///
    /// # Errors
    ///
    /// [`SetupError::Identity`] when they do not fit.
    pub fn new(
        domain: Domain,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, SetupError> {
        match CertifiedKey::from_der(chain, key, &default_provider()) {
            Ok(certified) => Ok(Self { domain, certified: Arc::new(certified) }),
            Err(source) => Err(SetupError::Identity { domain, source }),
        }
    }
}

/// What both directions of the federation need: who we are, and whom we trust to say who others are.
#[derive(Clone, Debug)]
pub struct TlsMaterial {
    identities: Vec<Identity>,
    trust: Arc<RootCertStore>,
}

impl TlsMaterial {
    /// Takes identities (the first is shown to callers that name no domain) and trust anchors.
    pub fn new(identities: Vec<Identity>, trust: RootCertStore) -> Self {
        Self { identities, trust: Arc::new(trust) }
    }

    /// Reads the PEM files that the configuration names.
    ///
    /// # Errors
    ///
    /// [`SetupError`] names the file.
    pub fn load(keys: &Keys) -> Result<Self, SetupError> {
        let mut trust = RootCertStore::empty();
        for anchor in certificates(&keys.trust)? {
            trust.add(anchor).map_err(|source| SetupError::Anchor { path: keys.trust.clone(), source })?;
        }
        let mut identities = Vec::with_capacity(keys.tls.len());
        for files in &keys.tls {
            let chain = certificates(&files.certificate)?;
            let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|source| SetupError::Pem {
                what: "private key",
                path: files.key.clone(),
                source,
            })?;
            identities.push(Identity::new(files.domain.clone(), chain, key)?);
        }
        Ok(Self::new(identities, trust))
    }

    /// The domains we can speak for.
    pub(super) fn domains(&self) -> impl Iterator<Item = &Domain> {
        self.identities.iter().map(|identity| &identity.domain)
    }

    /// The leaf certificate of each of our domains.
    pub(super) fn leaves(&self) -> impl Iterator<Item = (&Domain, &CertificateDer<'static>)> {
        self.identities.iter().filter_map(|identity| Some((&identity.domain, identity.certified.cert.first()?)))
    }

    /// SHA-256 of the SubjectPublicKeyInfo of each key that waits for its certificate.
    ///
    /// # Errors
    ///
    /// [`SetupError`] for a file that holds no private key, or one of an unknown kind.
    pub(super) fn coming(keys: &Keys) -> Result<Vec<[u8; 32]>, SetupError> {
        let mut coming = Vec::new();
        for files in &keys.tls {
            let path = next_path(&files.key);
            if !path.is_file() {
                continue;
            }
            let key = PrivateKeyDer::from_pem_file(&path).map_err(|source| SetupError::Pem {
                what: "private key",
                path,
                source,
            })?;
            let unusable = |source| SetupError::Identity { domain: files.domain.clone(), source };
            let key = default_provider().key_provider.load_private_key(key).map_err(unusable)?;
            let public = key.public_key().ok_or_else(|| unusable(InconsistentKeys::Unknown.into()))?;
            let mut hash = [0; 32];
            hash.copy_from_slice(digest(&SHA256, &public).as_ref());
            coming.push(hash);
        }
        Ok(coming)
    }

    /// When our certificates end.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] for one that does not decode.
    pub fn ends(&self) -> Result<Vec<CertificateEnd>, IdentityError> {
        let ends = self.leaves().map(|(domain, leaf)| {
            let (spki_sha256, until) = (spki_sha256(leaf)?, not_after(leaf)?);
            Ok(CertificateEnd { domain: domain.clone(), spki_sha256, until })
        });
        ends.collect()
    }

    /// The federation door's side: a certificate by the name the caller asks for; the caller's own certificate is
    /// verified when it shows one. That one is needed is for the door to say, since the directory is open to all.
    ///
    /// # Errors
    ///
    /// [`SetupError`] when the trust anchors cannot be used.
    pub fn server_config(&self) -> Result<ServerConfig, SetupError> {
        let provider = Arc::new(default_provider());
        let callers = WebPkiClientVerifier::builder_with_provider(self.trust.clone(), provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(SetupError::Trust)?;
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(SetupError::Tls)?
            .with_client_cert_verifier(callers)
            .with_cert_resolver(Arc::new(ByName(self.identities.clone())));
        Ok(config)
    }

    /// The caller's side. `own` is shown as our certificate, where one is needed.
    pub(super) fn client_config(&self, own: Option<&Domain>, demand: Demand) -> Result<ClientConfig, SetupError> {
        let provider = Arc::new(default_provider());
        let webpki = WebPkiServerVerifier::builder_with_provider(self.trust.clone(), provider.clone())
            .build()
            .map_err(SetupError::Trust)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(SetupError::Tls)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(DemandingVerifier { webpki, demand }));
        let identity = self.identities.iter().find(|identity| Some(&identity.domain) == own);
        Ok(match identity {
            Some(identity) => {
                let certified = rustls::sign::SingleCertAndKey::from(identity.certified.clone());
                builder.with_client_cert_resolver(Arc::new(certified))
            }
            None => builder.with_no_client_auth(),
        })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let unreadable = |source| SetupError::Pem { what: "certificate", path: path.to_owned(), source };
    let certificates: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(unreadable)?.collect::<Result<_, _>>().map_err(unreadable)?;
    if certificates.is_empty() {
        Err(unreadable(rustls::pki_types::pem::Error::NoItemsFound))
    } else {
        Ok(certificates)
    }
}

/// Whether the SHA-256 of a certificate's SubjectPublicKeyInfo is among `pins` (64 hexadecimal digits each), or there are none.
pub fn has_pin(spki_sha256: [u8; 32], pins: &[String]) -> bool {
    let found = HEXLOWER.encode(&spki_sha256);
    pins.is_empty() || pins.iter().any(|pin| found.eq_ignore_ascii_case(pin))
}

/// Chooses our certificate by the name in the caller's hello; without one, or with an unknown one, the first.
#[derive(Debug)]
struct ByName(Vec<Identity>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = |identity: &&Identity| hello.server_name() == Some(identity.domain.as_str());
        self.0.iter().find(named).or_else(|| self.0.first()).map(|identity| identity.certified.clone())
    }
}

/// What a server's certificate must have beyond being valid for the host of the URL.
#[derive(Clone, Debug)]
pub(super) enum Demand {
    /// It must also be valid for this provider domain: a directory speaks for its provider (reading D-11).
    AlsoValidFor(ServerName<'static>),
    /// Its public key must be one of these.
    Pinned(Vec<String>),
    /// Nothing more: the directory that named the host was the provider's own.
    Nothing,
}

/// The usual verification, then [`Demand`]. It can refuse what the usual verification takes, never the reverse.
#[derive(Debug)]
struct DemandingVerifier {
    webpki: Arc<WebPkiServerVerifier>,
    demand: Demand,
}

impl ServerCertVerifier for DemandingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        match &self.demand {
            Demand::AlsoValidFor(domain) => {
                self.webpki.verify_server_cert(end_entity, intermediates, domain, ocsp_response, now)
            }
            Demand::Pinned(pins) if !spki_sha256(end_entity).is_ok_and(|found| has_pin(found, pins)) => {
                Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            Demand::Pinned(_) | Demand::Nothing => Ok(verified),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
