//! The gateway's own keys, read once at start.

use std::path::{Path, PathBuf};

use portcullis_core::mls::{NotASigningKey, SigningKey};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

/// What the hub signs with.
#[derive(Debug)]
pub struct HubKeys {
    /// External sender of our rooms' groups; also signs groupInfo answers.
    pub hub: SigningKey,
    /// Named as franking agent in our rooms' groups.
    pub franking: SigningKey,
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
}

impl KeyError {
    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Read { path, .. } | Self::Kind { path, .. } => path,
        }
    }
}

impl HubKeys {
    /// Reads both keys from PEM files.
    ///
    /// # Errors
    ///
    /// [`KeyError`] naming the file that cannot be used.
    pub fn read(hub: &Path, franking: &Path) -> Result<Self, KeyError> {
        Ok(Self { hub: read(hub)?, franking: read(franking)? })
    }
}

fn read(path: &Path) -> Result<SigningKey, KeyError> {
    let der = PrivateKeyDer::from_pem_file(path).map_err(|source| KeyError::Read { path: path.to_owned(), source })?;
    SigningKey::from_pkcs8(der.secret_der()).map_err(|source| KeyError::Kind { path: path.to_owned(), source })
}
