//! SHA-256 over leaves and nodes (RFC 6962, section 2.1).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256, digest};

use crate::text;

/// A hash in a tree. Its text is base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash(pub [u8; Self::BYTES]);

/// The text is not the base64 of 32 bytes.
#[derive(Debug, thiserror::Error)]
#[error("not a hash of 32 bytes in base64")]
pub struct NotAHash;

impl Hash {
    /// Length of a hash.
    pub const BYTES: usize = 32;

    /// The root of a tree without leaves: SHA-256 of nothing.
    pub const EMPTY: Self = Self([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae,
        0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ]);

    /// The hash of a leaf: SHA-256(0x00 ‖ `entry`).
    pub fn leaf(entry: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&[0]);
        context.update(entry);
        Self::from_digest(context.finish().as_ref())
    }

    /// The hash of the node above `left` and `right`: SHA-256(0x01 ‖ `left` ‖ `right`).
    pub fn node(left: &Self, right: &Self) -> Self {
        let mut both = [1; 1 + 2 * Self::BYTES];
        both[1..=Self::BYTES].copy_from_slice(&left.0);
        both[1 + Self::BYTES..].copy_from_slice(&right.0);
        Self::plain(&both)
    }

    pub(crate) fn plain(bytes: &[u8]) -> Self {
        Self::from_digest(digest(&SHA256, bytes).as_ref())
    }

    fn from_digest(bytes: &[u8]) -> Self {
        let mut hash = [0; Self::BYTES];
        hash.copy_from_slice(bytes);
        Self(hash)
    }
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::base64(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = NotAHash;

    fn from_str(base64: &str) -> Result<Self, NotAHash> {
        text::from_base64(base64).and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(NotAHash)
    }
}
