//! What must not be read in a copy of the database: sealed under keys that stand in files (AES-256-GCM).

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::keys::KeyError;
use super::ring;

/// Octets of a key.
const KEY_BYTES: usize = 32;
/// Octets that tell one key from another.
const ID_BYTES: usize = 4;
/// First octet of what is sealed.
const VERSION: u8 = 1;

/// What is sealed: bytes of one kind do not open as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A key with which the hub franks messages.
    HubKey,
    /// A key under which rows of the database are sealed.
    DataKey,
    /// What the key of a period is derived from that oblivious requests are encapsulated to.
    OhttpKey,
    /// What is reported, and what the reporter says about it.
    Report,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::HubKey => "hub key",
            Self::DataKey => "data key",
            Self::OhttpKey => "ohttp key",
            Self::Report => "report",
        }
    }
}

/// Sealed bytes that do not open: they are damaged, of another kind or of something else, or their key is not among ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sealed bytes do not open with any of the keys")]
pub struct Closed;

/// The keys: the first seals, and all open, so that one can be replaced by another. Their files are read again when something names
/// a key that is not among them: a process opens what was sealed under a new key without being started again.
#[derive(Debug)]
pub struct Sealer {
    /// None for a key without those before it, which is not read again.
    files: Vec<PathBuf>,
    keys: RwLock<Arc<Keys>>,
}

#[derive(Debug)]
struct Keys {
    first: Key,
    others: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    id: [u8; ID_BYTES],
    key: RandomizedNonceKey,
}

impl Sealer {
    /// Reads key files: each holds 32 octets in base64. Those that stood in their place before open too ([`ring::former`]).
    ///
    /// # Errors
    ///
    /// [`KeyError`] naming the file that cannot be used.
    pub fn read(files: &[PathBuf]) -> Result<Self, KeyError> {
        let keys = RwLock::new(Arc::new(Keys::read(files)?));
        Ok(Self { files: files.to_vec(), keys })
    }

    /// The key of one file, without those before it.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn read_alone(file: &Path) -> Result<Self, KeyError> {
        let keys = Keys { first: Key::read(file)?, others: Vec::new() };
        Ok(Self { files: Vec::new(), keys: RwLock::new(Arc::new(keys)) })
    }

    /// By what the key that seals is known.
    pub fn id(&self) -> [u8; ID_BYTES] {
        self.keys().first.id
    }

    fn keys(&self) -> Arc<Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys, among which is the one of that name.
    fn keys_with(&self, id: [u8; ID_BYTES]) -> Result<Arc<Keys>, Closed> {
        let known = self.keys();
        if known.named(id).is_some() {
            return Ok(known);
        }
        let read = Keys::read(&self.files).map_err(|error| {
            tracing::warn!(%error, "a sealing key is not known, and the files cannot be read again");
            Closed
        })?;
        let read = Arc::new(read);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = read.clone();
        Ok(read)
    }

    /// What everything begins with that is sealed under the key `id`.
    pub fn prefix(id: &[u8]) -> Vec<u8> {
        [&[VERSION], id].concat()
    }

    /// Seals `plain`, which is about the thing that `of` names.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the system gives no randomness.
    pub fn seal(&self, purpose: Purpose, of: &[u8], plain: &[u8]) -> Result<Vec<u8>, Closed> {
        let mut text = plain.to_vec();
        let keys = self.keys();
        let nonce = keys.first.key.seal_in_place_append_tag(Aad::from(bound(purpose, of)), &mut text);
        let nonce = nonce.map_err(|_| Closed)?;
        Ok([&[VERSION], keys.first.id.as_slice(), nonce.as_ref(), &text].concat())
    }

    /// Opens what was sealed for the same purpose and thing.
    ///
    /// # Errors
    ///
    /// [`Closed`].
    pub fn open(&self, purpose: Purpose, of: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Closed> {
        let rest = sealed.strip_prefix(&[VERSION]).ok_or(Closed)?;
        let (id, rest) = rest.split_first_chunk::<ID_BYTES>().ok_or(Closed)?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Closed)?;
        let keys = self.keys_with(*id)?;
        let key = keys.named(*id).ok_or(Closed)?;
        let mut text = text.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = key.key.open_in_place(nonce, Aad::from(bound(purpose, of)), &mut text).map_err(|_| Closed)?;
        Ok(plain.to_vec())
    }
}

impl Keys {
    fn read(files: &[PathBuf]) -> Result<Self, KeyError> {
        let named = files.iter().map(|path| Key::read(path)).collect::<Result<Vec<_>, _>>()?;
        // Listed after the others were read: a key that gives way meanwhile is read twice, not missed.
        let former = files.iter().flat_map(|path| ring::former(path)).map(|path| Key::read(&path));
        let mut keys = named.into_iter().map(Ok).chain(former);
        let first = keys.next().ok_or(KeyError::NoSealing)??;
        Ok(Self { first, others: keys.collect::<Result<_, _>>()? })
    }

    fn named(&self, id: [u8; ID_BYTES]) -> Option<&Key> {
        std::iter::once(&self.first).chain(&self.others).find(|key| key.id == id)
    }
}

impl Key {
    fn read(path: &Path) -> Result<Self, KeyError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| KeyError::Sealing { path: path.to_owned(), source: Some(source) })?;
        let unusable = || KeyError::Sealing { path: path.to_owned(), source: None };
        let octets = STANDARD.decode(text.trim()).ok().filter(|octets| octets.len() == KEY_BYTES);
        let octets = octets.ok_or_else(unusable)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &octets).map_err(|_| unusable())?;
        let id = digest(&SHA256, &[b"portcullis sealing key".as_slice(), &octets].concat());
        Ok(Self { id: id.as_ref().first_chunk().copied().unwrap_or_default(), key })
    }
}

fn bound(purpose: Purpose, of: &[u8]) -> Vec<u8> {
    [purpose.name().as_bytes(), &[0], of].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(dir: &tempfile::TempDir, keys: &[u8]) -> Sealer {
        let file = |key: &u8| {
            let path = dir.path().join(format!("{key}.key"));
            std::fs::write(&path, format!("{}\n", STANDARD.encode([*key; KEY_BYTES]))).unwrap();
            path
        };
        Sealer::read(&keys.iter().map(file).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_for_the_same_purpose_and_thing_only() {
        let dir = tempfile::tempdir().unwrap();
        let keys = sealer(&dir, &[1]);
        let sealed = keys.seal(Purpose::HubKey, b"a.example", b"secret").unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        assert_eq!(keys.open(Purpose::HubKey, b"a.example", &sealed).as_deref(), Ok(b"secret".as_slice()));
        assert_eq!(keys.open(Purpose::HubKey, b"b.example", &sealed), Err(Closed));
        assert_eq!(keys.open(Purpose::Report, b"a.example", &sealed), Err(Closed));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(keys.open(Purpose::HubKey, b"a.example", &changed), Err(Closed), "octet {at}");
            assert_eq!(keys.open(Purpose::HubKey, b"a.example", &sealed[..at]), Err(Closed), "{at} octets");
        }
    }

    #[test]
    fn a_key_is_replaced_by_putting_another_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let old = sealer(&dir, &[1]).seal(Purpose::HubKey, b"", b"old").unwrap();
        let both = sealer(&dir, &[2, 1]);
        assert!(both.open(Purpose::HubKey, b"", &old).is_ok());
        let new = both.seal(Purpose::HubKey, b"", b"new").unwrap();
        let after = sealer(&dir, &[2]);
        assert!(after.open(Purpose::HubKey, b"", &new).is_ok());
        assert_eq!(after.open(Purpose::HubKey, b"", &old), Err(Closed));
    }

    #[test]
    fn what_is_sealed_under_a_key_that_came_later_opens_and_what_was_sealed_before_too() {
        let dir = tempfile::tempdir().unwrap();
        let running = sealer(&dir, &[1]);
        let old = running.seal(Purpose::HubKey, b"", b"old").unwrap();
        let path = dir.path().join("1.key");
        std::fs::rename(&path, ring::former_path(&path, "1")).unwrap();
        std::fs::write(&path, STANDARD.encode([2; KEY_BYTES])).unwrap();
        let new = Sealer::read(std::slice::from_ref(&path)).unwrap().seal(Purpose::HubKey, b"", b"new").unwrap();
        assert_eq!(running.open(Purpose::HubKey, b"", &new).as_deref(), Ok(b"new".as_slice()));
        assert_eq!(running.open(Purpose::HubKey, b"", &old).as_deref(), Ok(b"old".as_slice()));
        assert!(running.seal(Purpose::HubKey, b"", b"").unwrap().starts_with(&new[..=ID_BYTES]), "the new one seals");
        let elsewhere = sealer(&dir, &[3]).seal(Purpose::HubKey, b"", b"").unwrap();
        assert_eq!(running.open(Purpose::HubKey, b"", &elsewhere), Err(Closed));
    }

    #[test]
    fn a_file_that_is_no_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("short.key");
        std::fs::write(&path, STANDARD.encode([1; 31])).unwrap();
        let error = Sealer::read(std::slice::from_ref(&path)).unwrap_err();
        assert_eq!(error.path(), Some(path.as_path()));
        assert!(Sealer::read(&[]).is_err());
    }
}
