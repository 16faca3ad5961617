//! Key files: what is in them, and how one takes the place of another. A file is whole or not there at any time.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::JwkSet;
use portcullis_core::mls::SigningKey;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::{Config, next_path};
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

/// Writes a private file that nobody reads yet, and gives its name; one that a crash has left gives way. It has the owner and the
/// mode of what it is to replace, so that whoever reads that reads it too.
pub(super) fn prepare(path: &Path, content: &str) -> anyhow::Result<PathBuf> {
    match std::fs::remove_file(next_path(path)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => prepare_beside(path, content),
    }
}

/// As [`prepare`], but for a file that stays where it was prepared before: it may be the only copy of a key.
pub(super) fn prepare_beside(path: &Path, content: &str) -> anyhow::Result<PathBuf> {
    let next = next_path(path);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let file = options.open(&next).with_context(|| format!("cannot write `{}`", next.display()))?;
    if let Err(error) = fill(file, path, content) {
        // Nobody knows it yet, and it would keep the next one from its place.
        let _ = std::fs::remove_file(&next);
        return Err(error.context(format!("cannot write `{}`", next.display())));
    }
    sync_folder(path)?;
    Ok(next)
}

fn fill(mut file: File, path: &Path, content: &str) -> anyhow::Result<()> {
    file.write_all(content.as_bytes())?;
    match std::fs::metadata(path) {
        Ok(replaced) => {
            let own = file.metadata()?;
            if (own.uid(), own.gid()) != (replaced.uid(), replaced.gid()) {
                fchown(&file, Some(replaced.uid()), Some(replaced.gid()))
                    .with_context(|| format!("cannot give it to the owner of `{}`", path.display()))?;
            }
            file.set_permissions(replaced.permissions())?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    Ok(file.sync_all()?)
}

/// Puts a prepared file in its place, and what was there beside it under `former`.
pub(super) fn replace(path: &Path, next: &Path, former: &Path) -> anyhow::Result<()> {
    match std::fs::hard_link(path, former) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    // What was there has its other name for good before it loses this one.
    sync_folder(path)?;
    rename(next, path)
}

/// Gives a file another name in its folder; no crash after this takes it back.
pub(super) fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::rename(from, to).with_context(|| format!("cannot move `{}` to `{}`", from.display(), to.display()))?;
    sync_folder(to)
}

fn sync_folder(path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("cannot make `{}` durable", folder.display()))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use super::*;

    fn of_whom(path: &Path) -> (u32, u32, u32) {
        let known = std::fs::metadata(path).unwrap();
        (known.uid(), known.gid(), known.mode() & 0o7777)
    }

    #[test]
    fn what_takes_the_place_of_a_file_has_its_owner_and_mode() {
        let dir = tempfile::tempdir().unwrap();
        let (path, former) = (dir.path().join("key"), dir.path().join("former"));
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        // Only a superuser may give it to somebody else; for others it stays with them.
        let _ = chown(&path, Some(65534), Some(65534));
        let before = of_whom(&path);
        let next = prepare(&path, "new").unwrap();
        replace(&path, &next, &former).unwrap();
        assert_eq!((of_whom(&path), before.2), (before, 0o640));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::read_to_string(&former).unwrap(), "old");
        let fresh = prepare(&dir.path().join("other"), "new").unwrap();
        assert_eq!(of_whom(&fresh).2, 0o600);
    }

    #[test]
    fn what_was_prepared_gives_way_only_where_it_is_no_only_copy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let next = prepare_beside(&path, "first").unwrap();
        assert!(prepare_beside(&path, "second").is_err());
        assert_eq!(std::fs::read_to_string(&next).unwrap(), "first");
        prepare(&path, "third").unwrap();
        assert_eq!(std::fs::read_to_string(&next).unwrap(), "third");
    }
}
