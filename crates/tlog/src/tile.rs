//! Tiles, entry bundles and their paths (c2sp.org/tlog-tiles).

use std::fmt;
use std::str::FromStr;

use crate::{Hash, MAX_SIZE};

/// Levels of the tree in one level of tiles.
pub(crate) const TILE_HEIGHT: u32 = 8;

/// Hashes of a full tile, and entries of a full bundle.
pub const TILE_WIDTH: u16 = 1 << TILE_HEIGHT;

/// Longest entry of a bundle.
pub const MAX_ENTRY_BYTES: usize = u16::MAX as usize;

/// A run of hashes that stand beside each other in the tree: the hash number `i` of the tile is the root over the
/// leaves from (`index` · 256 + i) · 256^`level` on, 256^`level` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tile {
    /// 0 for the hashes of leaves; at most 7.
    pub level: u8,
    /// The first tile of a level is 0.
    pub index: u64,
    /// Number of hashes, 1 to [`TILE_WIDTH`]. A narrower tile is the beginning of the wider one at its place.
    pub width: u16,
}

impl Tile {
    /// All tiles of a tree with `size` leaves, each as wide as this tree has it, in the order of level and index.
    pub fn all(size: u64) -> impl Iterator<Item = Self> {
        Self::between(0, size)
    }

    /// The tiles that a tree with `new` leaves has and the one with its first `old` leaves had not, or had narrower.
    pub fn between(old: u64, new: u64) -> impl Iterator<Item = Self> {
        let levels = (0..8_u8).take_while(move |level| new >> (TILE_HEIGHT * u32::from(*level)) > 0);
        levels.flat_map(move |level| {
            let nodes = |size: u64| size >> (TILE_HEIGHT * u32::from(level));
            let (had, has) = (nodes(old), nodes(new));
            let first = had >> TILE_HEIGHT;
            let behind = if had < has { has.div_ceil(TILE_WIDTH.into()) } else { first };
            (first..behind).map(move |index| Self::at(level, index, has))
        })
    }

    /// The tile of a level with `nodes` hashes. `index` must be less than a 256th of them, rounded up.
    pub(crate) fn at(level: u8, index: u64, nodes: u64) -> Self {
        let rest = nodes.saturating_sub(index << TILE_HEIGHT);
        let width = u16::try_from(rest).map_or(TILE_WIDTH, |rest| rest.min(TILE_WIDTH));
        Self { level, index, width }
    }
}

/// What a log serves below its prefix. Its text is the path, without a slash before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// The last signed checkpoint.
    Checkpoint,
    /// Hashes.
    Tile(Tile),
    /// The entries whose hashes are the tile of this index and width at level 0.
    Entries {
        /// The first bundle is 0.
        index: u64,
        /// Number of entries, 1 to [`TILE_WIDTH`].
        width: u16,
    },
}

/// The path names nothing that a log has.
#[derive(Debug, thiserror::Error)]
#[error("not the path of a checkpoint, a tile or a bundle")]
pub struct NotAResource;

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, width) = match self {
            Self::Checkpoint => return f.write_str("checkpoint"),
            Self::Tile(tile) => {
                write!(f, "tile/{}", tile.level)?;
                (tile.index, tile.width)
            }
            Self::Entries { index, width } => {
                f.write_str("tile/entries")?;
                (*index, *width)
            }
        };
        // The highest power of 1,000 in the index, and then one group of three digits after the other.
        let mut unit = 1_u64;
        while index / unit >= 1000 {
            unit *= 1000;
        }
        while unit > 1 {
            write!(f, "/x{:03}", index / unit % 1000)?;
            unit /= 1000;
        }
        write!(f, "/{:03}", index % 1000)?;
        if width < TILE_WIDTH { write!(f, ".p/{width}") } else { Ok(()) }
    }
}

impl FromStr for Resource {
    type Err = NotAResource;

    fn from_str(path: &str) -> Result<Self, NotAResource> {
        if path == "checkpoint" {
            return Ok(Self::Checkpoint);
        }
        parse_tile(path).filter(|parsed| parsed.to_string() == path).ok_or(NotAResource)
    }
}

/// Reads a path leniently; the caller compares it with the one spelling that the result has.
fn parse_tile(path: &str) -> Option<Resource> {
    let (level, place) = path.strip_prefix("tile/")?.split_once('/')?;
    let (index, width) = match place.split_once(".p/") {
        Some((index, width)) => (index, width.parse().ok().filter(|width| (1..TILE_WIDTH).contains(width))?),
        None => (place, TILE_WIDTH),
    };
    let mut number = 0_u64;
    for group in index.split('/') {
        let group: u64 = group.strip_prefix('x').unwrap_or(group).parse().ok().filter(|group| *group < 1000)?;
        number = number.checked_mul(1000)?.checked_add(group)?;
    }
    // The last leaf below the tile's last hash must be one that a tree may have.
    let level: u8 = if level == "entries" { 0 } else { level.parse().ok().filter(|level| *level < 8)? };
    let last = number.checked_mul(TILE_WIDTH.into())?.checked_add(u64::from(width))?;
    last.checked_mul(1 << (TILE_HEIGHT * u32::from(level))).filter(|size| *size <= MAX_SIZE)?;
    Some(if path.starts_with("tile/entries/") {
        Resource::Entries { index: number, width }
    } else {
        Resource::Tile(Tile { level, index: number, width })
    })
}

/// Why entries are no bundle, or bytes are none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// An entry is longer than [`MAX_ENTRY_BYTES`].
    #[error("an entry of {0} bytes is too long for a bundle")]
    Entry(usize),
    /// There are none, or more than [`TILE_WIDTH`].
    #[error("a bundle has 1 to 256 entries")]
    Width,
    /// The bytes end within an entry.
    #[error("a bundle ends within an entry")]
    Cut,
}

/// Writes entries one after the other, each after its length.
///
/// # Errors
///
/// [`BundleError`] for too many or too long ones.
pub fn encode_bundle<'e>(entries: impl IntoIterator<Item = &'e [u8]>) -> Result<Vec<u8>, BundleError> {
    let (mut bundle, mut width) = (Vec::new(), 0);
    for entry in entries {
        let length = u16::try_from(entry.len()).map_err(|_| BundleError::Entry(entry.len()))?;
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(entry);
        width += 1;
        if width > TILE_WIDTH {
            return Err(BundleError::Width);
        }
    }
    if width == 0 { Err(BundleError::Width) } else { Ok(bundle) }
}

/// The entries of a bundle.
///
/// # Errors
///
/// [`BundleError`] for bytes that are none.
pub fn decode_bundle(mut bundle: &[u8]) -> Result<Vec<&[u8]>, BundleError> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk() {
        let (entry, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into()).ok_or(BundleError::Cut)?;
        if entries.len() == TILE_WIDTH.into() {
            return Err(BundleError::Width);
        }
        entries.push(entry);
        bundle = rest;
    }
    match (bundle, entries.as_slice()) {
        ([], [_, ..]) => Ok(entries),
        ([], []) => Err(BundleError::Width),
        _ => Err(BundleError::Cut),
    }
}

/// The hashes of a tile, as far as the bytes go.
pub(crate) fn hashes(bytes: &[u8]) -> impl Iterator<Item = Hash> {
    bytes.as_chunks().0.iter().map(|hash| Hash(*hash))
}
