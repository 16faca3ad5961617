//! A signing key of the hub and those before it. A room's group names the key that was in use when it started, and nothing in the
//! group can change that (correction C-6): so the former keys go on signing for the rooms that name them, until they are revoked.
//!
//! In the folder of `hub.key` the former ones stand as `hub.key.former-FINGERPRINT`, and what was revoked as
//! `hub.key.revoked-FINGERPRINT`, which is never read.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use portcullis_core::mls::SigningKey;

use super::keys::{KeyError, read};

/// Octets of the digest that stand for a key.
const FINGERPRINT_BYTES: usize = 8;
/// What follows the name of a file when its key is no longer the one in use.
const FORMER: &str = ".former-";
/// The same for one that is not to be used at all.
const REVOKED: &str = ".revoked-";

/// The key in use and those before it.
#[derive(Debug)]
pub struct Ring {
    current: SigningKey,
    former: Vec<SigningKey>,
}

impl Ring {
    /// Reads the key of a file, and the former ones beside it.
    ///
    /// # Errors
    ///
    /// [`KeyError`] naming the file that cannot be used.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let former = former(path).iter().map(|path| read(path)).collect::<Result<_, _>>()?;
        Ok(Self { current: read(path)?, former })
    }

    /// The key in use: new rooms name it.
    pub fn current(&self) -> &SigningKey {
        &self.current
    }

    /// All of them, the one in use first.
    pub fn iter(&self) -> impl Iterator<Item = &SigningKey> {
        std::iter::once(&self.current).chain(&self.former)
    }
}

/// The files of the former keys of `path`, by their names. A folder that cannot be read has none: the key itself says why.
pub fn former(path: &Path) -> Vec<PathBuf> {
    let Some((folder, name)) = path.parent().zip(path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let beside = std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let prefix = format!("{name}{FORMER}");
    let named =
        |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(|it| it.starts_with(&prefix));
    let mut files: Vec<PathBuf> = beside.filter(named).collect();
    files.sort();
    files
}

/// Where the key of `path` goes when another one takes its place.
pub fn former_path(path: &Path, fingerprint: &str) -> PathBuf {
    beside(path, FORMER, fingerprint)
}

/// Where a former key of `path` goes when it is revoked.
pub fn revoked_path(path: &Path, fingerprint: &str) -> PathBuf {
    beside(path, REVOKED, fingerprint)
}

fn beside(path: &Path, mark: &str, fingerprint: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(mark);
    name.push(fingerprint);
    PathBuf::from(name)
}

/// What a key is called: the beginning of the SHA-256 of its public half.
pub fn fingerprint(public: &[u8]) -> String {
    let digest = digest(&SHA256, public);
    HEXLOWER.encode(&digest.as_ref()[..FINGERPRINT_BYTES])
}
