//! Certificates and servers for tests: real TLS on loopback.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use actix_web::dev::ServerHandle;
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpServer};
use portcullis_core::wire::uri::Domain;
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::Client;
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;

use super::tls::{Demand, Identity, TlsMaterial};
use crate::config;

/// A certificate authority of its own.
pub(crate) struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// An identity of the first name, with a certificate for all of them.
    pub(crate) fn identity(&self, names: &[&str]) -> Identity {
        let (certificate, key) = self.certify(names);
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Identity::new(domain(names[0]), vec![certificate.der().clone()], key).unwrap()
    }

    /// Writes the authority's certificate to `ca.pem`, and a certificate and key for `name` to `{name}.crt` and
    /// `{name}.key`.
    pub(crate) fn write(&self, folder: &Path, name: &str) {
        let (certificate, key) = self.certify(&[name]);
        std::fs::write(folder.join("ca.pem"), self.certificate.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.crt")), certificate.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    fn certify(&self, names: &[&str]) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        (CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// Key material of somebody who trusts this authority.
    pub(crate) fn material(&self, identities: Vec<Identity>) -> TlsMaterial {
        let mut trust = RootCertStore::empty();
        trust.add(self.certificate.der().clone()).unwrap();
        TlsMaterial::new(identities, trust)
    }
}

pub(crate) fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

/// A client that finds every host at `connect`.
pub(crate) fn client(material: &TlsMaterial, own: Option<&str>, connect: SocketAddr) -> Client {
    super::client::client(material, own.map(domain).as_ref(), Demand::Nothing, Some(connect)).unwrap()
}

/// The same for HTTP/1.1, which finds only the host `name` at `connect`.
pub(crate) fn http1_client(material: &TlsMaterial, own: &str, name: &str, connect: SocketAddr) -> Client {
    let mut tls = material.client_config(Some(&domain(own)), Demand::Nothing).unwrap();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Client::builder().tls_backend_preconfigured(tls).http1_only().no_proxy().resolve(name, connect).build().unwrap()
}

/// Settings of a peer whose directory is where `directory` says, or at its own name, and whose hosts are all at
/// `connect`.
pub(crate) fn peer(name: &str, directory: Option<&str>, connect: SocketAddr) -> config::Peer {
    let directory = directory.map(str::to_owned).unwrap_or_else(|| format!("https://{name}{}", super::DIRECTORY_PATH));
    config::Peer { directory: Some(directory), connect: Some(connect), ..config::Peer::named(domain(name)) }
}

/// A server with the given routes.
pub(crate) fn serve(
    material: &TlsMaterial,
    routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> (SocketAddr, ServerHandle) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = HttpServer::new(move || App::new().configure(routes.clone()))
        .workers(1)
        .disable_signals()
        .listen_rustls_0_23(listener, material.server_config().unwrap())
        .unwrap()
        .run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    (address, handle)
}
