//! What this process has written itself, so that it need not check its own signatures when it gives records their place.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;

use super::commitment::sha256;

/// Most records that are remembered; what is forgotten is checked like anybody's.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(8191);

/// Hashes of staged records.
pub(crate) struct Known(Mutex<LruCache<[u8; 32], ()>>);

impl Known {
    pub(crate) fn add(&self, core: &[u8], signature: &[u8], openings: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(hash(core, signature, openings), ());
    }

    /// Whether exactly these bytes were written here. Asked once: a record gets its place once.
    pub(crate) fn take(&self, core: &[u8], signature: &[u8], openings: &[u8]) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop(&hash(core, signature, openings)).is_some()
    }
}

impl Default for Known {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

/// A signature is of one length, and a core says its own.
fn hash(core: &[u8], signature: &[u8], openings: &[u8]) -> [u8; 32] {
    sha256(&[signature, &(core.len() as u64).to_be_bytes(), core, openings])
}
