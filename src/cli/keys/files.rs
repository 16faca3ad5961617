//! Key files: what is in them, and how one takes the place of another. A file is whole or not there at any time.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::JwkSet;
use portcullis_core::mls::SigningKey;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::Config;
use crate::gateway::{Sealer, ring};

/// The leaf of a certificate file.
pub(super) fn certificate(path: &Path) -> anyhow::Result<CertificateDer<'static>> {
    CertificateDer::from_pem_file(path).with_context(|| format!("cannot read `{}`", path.display()))
}

/// The public half of an Ed25519 key file.
pub(super) fn public_of(path: &Path) -> anyhow::Result<Vec<u8>> {
    let der = PrivateKeyDer::from_pem_file(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let key = SigningKey::from_pkcs8(der.secret_der());
    Ok(key.with_context(|| format!("`{}` holds another kind of key", path.display()))?.public())
}

/// The public half of an Ed25519 key in PEM.
pub(super) fn public_of_pem(pem: &str) -> anyhow::Result<Vec<u8>> {
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes())?;
    Ok(SigningKey::from_pkcs8(der.secret_der())?.public())
}

/// The set of the public keys of tokens, where it is a file.
pub(super) fn token_file(config: &Config) -> Option<PathBuf> {
    let jwks = &config.listeners.provider.jwks;
    (!jwks.starts_with("http://") && !jwks.starts_with("https://")).then(|| PathBuf::from(jwks))
}

/// What is in it.
pub(super) fn token_set(path: &Path) -> anyhow::Result<JwkSet> {
    let text = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("`{}` is no key set", path.display()))
}

/// Every file whose key opens what is sealed; the first seals.
pub(super) fn sealing(config: &Config) -> Vec<PathBuf> {
    let named = config.keys.sealing.iter();
    let mut files: Vec<PathBuf> = named.clone().cloned().collect();
    files.extend(named.flat_map(|path| ring::former(path)));
    files
}

/// What a sealing key is called.
pub(super) fn sealing_id(path: &Path) -> anyhow::Result<String> {
    let sealer = Sealer::read_alone(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(data_encoding::HEXLOWER.encode(&sealer.id()))
}

/// 32 random octets in base64.
pub(in crate::cli) fn sealing_key() -> anyhow::Result<String> {
    let mut octets = [0; 32];
    aws_lc_rs::rand::fill(&mut octets)?;
    Ok(format!("{}\n", STANDARD.encode(octets)))
}

/// Writes a private file that nobody reads yet, and gives its name; one that a crash has left gives way.
pub(super) fn prepare(path: &Path, content: &str) -> anyhow::Result<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(".next");
    let next = PathBuf::from(name);
    match std::fs::remove_file(&next) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&next).with_context(|| format!("cannot write `{}`", next.display()))?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    Ok(next)
}

/// Puts a prepared file in its place, and what was there beside it under `former`.
pub(super) fn replace(path: &Path, next: &Path, former: &Path) -> anyhow::Result<()> {
    match std::fs::hard_link(path, former) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    std::fs::rename(next, path).with_context(|| format!("cannot replace `{}`", path.display()))
}
