//! The gateway's own keys, read once at start.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;
use portcullis_core::mls::{NotASigningKey, SigningKey};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::ring::Ring;
use super::seal::Sealer;
use crate::config::Keys;

/// What the hub signs with, and what keeps its secrets in the database.
#[derive(Debug)]
pub struct HubKeys {
    /// External sender of our rooms' groups; also signs groupInfo answers.
    pub hub: Ring,
    /// Named as franking agent in our rooms' groups.
    pub franking: Ring,
    /// Seals what must not be read in a copy of the database.
    pub sealer: Sealer,
    /// How long the hub franks messages with one key (reading D-34).
    pub hub_key_period: Duration,
    /// How long such a key is kept after it was last used, and so how long messages can be reported.
    pub hub_key_kept: Duration,
}

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read as a PEM private key.
    #[error("cannot read a private key from `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// It holds a key of another kind.
    #[error("`{}` does not hold an ed25519 key in pkcs#8", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// Why.
        source: NotASigningKey,
    },
    /// It does not hold a sealing key.
    #[error("`{}` does not hold a key of 32 octets in base64", path.display())]
    Sealing {
        /// The file.
        path: PathBuf,
        /// Why it cannot be read; `None` when it can.
        source: Option<std::io::Error>,
    },
    /// No sealing key is named.
    #[error("no sealing key is named")]
    NoSealing,
    /// No domain is named that the log could be called by.
    #[error("no domain is named")]
    NoDomain,
}

impl KeyError {
    /// The file.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Read { path, .. } | Self::Kind { path, .. } | Self::Sealing { path, .. } => Some(path),
            Self::NoSealing | Self::NoDomain => None,
        }
    }
}

impl HubKeys {
    /// Reads the files that a configuration names.
    ///
    /// # Errors
    ///
    /// [`KeyError`] naming the file that cannot be used.
    pub fn read(keys: &Keys) -> Result<Self, KeyError> {
        Ok(Self {
            hub: Ring::read(&keys.hub)?,
            franking: Ring::read(&keys.franking)?,
            sealer: Sealer::read(&keys.sealing)?,
            hub_key_period: days(keys.hub_key_days.get()),
            hub_key_kept: days(keys.hub_key_kept_days.get()),
        })
    }
}

fn days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 24 * 60 * 60)
}

pub(super) fn read(path: &Path) -> Result<SigningKey, KeyError> {
    let der = read_pem(path)?;
    SigningKey::from_pkcs8(der.secret_der()).map_err(|source| KeyError::Kind { path: path.to_owned(), source })
}

/// Reads the key that signs the checkpoints of the audit log.
///
/// # Errors
///
/// [`KeyError`] naming the file.
pub fn log_key(path: &Path) -> Result<Ed25519KeyPair, KeyError> {
    let der = read_pem(path)?;
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_der());
    pair.map_err(|_| KeyError::Kind { path: path.to_owned(), source: NotASigningKey })
}

fn read_pem(path: &Path) -> Result<PrivateKeyDer<'static>, KeyError> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| KeyError::Read { path: path.to_owned(), source })
}
