//! The right edge of a tree: all that is needed to append to it.

use crate::tile::{TILE_HEIGHT, TILE_WIDTH};
use crate::{Hash, MAX_SIZE, TreeHead};

/// A tree as its complete subtrees, the largest first: one for each bit that is set in its size. Takes leaves for ever
/// in a few kilobytes, and gives the root at any time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    peaks: Vec<Hash>,
}

/// The hashes that an append has added to one tile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Level of the tile.
    pub level: u8,
    /// Index of the tile.
    pub index: u64,
    /// How many hashes the tile had before.
    pub offset: u16,
    /// The hashes after those, one after the other as they stand in the tile.
    pub bytes: Vec<u8>,
}

/// A tree of this size has another number of complete subtrees, or is too large.
#[derive(Debug, thiserror::Error)]
#[error("a tree of {0} leaves has no such edge")]
pub struct NotAnEdge(u64);

impl Edge {
    /// The edge of a tree with `size` leaves whose complete subtrees have these roots.
    ///
    /// # Errors
    ///
    /// [`NotAnEdge`] for another number of roots than such a tree has. Whether they are the right ones shows in
    /// [`Self::head`].
    pub fn new(size: u64, peaks: Vec<Hash>) -> Result<Self, NotAnEdge> {
        let fits = size <= MAX_SIZE && peaks.len() == size.count_ones() as usize;
        if fits { Ok(Self { size, peaks }) } else { Err(NotAnEdge(size)) }
    }

    /// The roots of the complete subtrees, the largest first: what to keep besides the size.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Size and root.
    pub fn head(&self) -> TreeHead {
        let root = self.peaks.iter().rev().copied().reduce(|right, left| Hash::node(&left, &right));
        TreeHead { size: self.size, root: root.unwrap_or(Hash::EMPTY) }
    }

    /// Appends a leaf by its hash. Allocates only when the tree gets as high as it has never been.
    pub fn push(&mut self, leaf: Hash) {
        self.push_and(leaf, |_, _| ());
    }

    /// Appends leaves by their hashes and gives what they add to the tiles, in the order of level and index.
    pub fn append(&mut self, leaves: impl IntoIterator<Item = Hash>) -> Vec<Span> {
        let mut levels: [Vec<Span>; 8] = Default::default();
        for leaf in leaves {
            let number = self.size;
            self.push_and(leaf, |height, hash| {
                let level = height / TILE_HEIGHT;
                if let (0, Some(spans)) = (height % TILE_HEIGHT, levels.get_mut(level as usize)) {
                    extend(spans, level as u8, number >> height, hash);
                }
            });
        }
        levels.into_iter().flatten().collect()
    }

    /// Appends a leaf and shows, with its height, every node that is complete by it, from the leaf upwards.
    fn push_and(&mut self, leaf: Hash, mut complete: impl FnMut(u32, Hash)) {
        let mut node = leaf;
        complete(0, leaf);
        for height in 1..=self.size.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            node = Hash::node(&left, &node);
            complete(height, node);
        }
        self.peaks.push(node);
        self.size += 1;
    }
}

/// Adds the hash number `number` of a level to the spans of this level.
fn extend(spans: &mut Vec<Span>, level: u8, number: u64, hash: Hash) {
    let (index, offset) = (number >> TILE_HEIGHT, (number % u64::from(TILE_WIDTH)) as u16);
    match spans.last_mut() {
        Some(span) if span.index == index => span.bytes.extend_from_slice(&hash.0),
        _ => spans.push(Span { level, index, offset, bytes: hash.0.to_vec() }),
    }
}
