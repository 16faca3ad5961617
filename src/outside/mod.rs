//! Servers of whom nobody here knows anything but the name: which addresses they may have, and the client that asks them. Whose names
//! count is decided elsewhere.

mod address;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::wire::uri::Domain;
use reqwest::{Certificate, Client, redirect};

use crate::config;
use crate::peer::causes;
use address::Lookup;

/// How long a connection may take to come up, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client for such servers: `https:` alone, held against the authorities of the system and of `assets.trust`, past every proxy
/// of the environment, at public addresses but where `assets.connect` says; it follows no redirect. `None`, which is said in the
/// log, where there is no certificate to hold servers against.
///
/// # Errors
///
/// When a file with certificates cannot be read.
pub fn client(config: &config::Assets) -> std::io::Result<Option<Client>> {
    let mut trust = Vec::new();
    for path in &config.trust {
        trust.extend(certificates(path)?);
    }
    let client = Client::builder()
        .tls_certs_merge(trust)
        .https_only(true)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .dns_resolver(Arc::new(Lookup::new(config.connect.clone())))
        .build();
    if let Err(error) = &client {
        tracing::warn!(error = causes(error), "nothing can be asked of asset hosts and mail domains");
    }
    warn_of(&config.connect);
    Ok(client.ok())
}

fn certificates(path: &Path) -> std::io::Result<Vec<Certificate>> {
    let read = Certificate::from_pem_bundle(&std::fs::read(path)?);
    read.map_err(|error| std::io::Error::other(format!("{}: {error}", path.display())))
}

fn warn_of(connect: &BTreeMap<Domain, SocketAddr>) {
    if !connect.is_empty() {
        let hosts: Vec<&str> = connect.keys().map(Domain::as_str).collect();
        tracing::warn!(?hosts, "hosts are where `assets.connect` says, whatever addresses those are: for labs");
    }
}
