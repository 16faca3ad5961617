//! Proofs from tiles (RFC 6962, sections 2.1.1 and 2.1.2).

use crate::tile::{TILE_HEIGHT, TILE_WIDTH, hashes};
use crate::{Edge, Hash, MAX_SIZE, Tile, TreeHead};

/// Makes proofs in a tree of a given size. Gets the bytes of a tile from a function, which may give more hashes than the
/// tile is wide. Keeps two tiles of each level, so that proofs for leaves that follow each other read each tile once.
///
/// What it reads it believes: a proof from wrong tiles is wrong, and whoever verifies it finds out.
pub struct Prover<R> {
    size: u64,
    read: R,
    /// For each level the tile that was used last, and the last tile of the tree.
    kept: [[Option<Subtree>; 2]; 8],
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProveError<E> {
    /// There is no such leaf, no such older tree, or the tree is larger than [`MAX_SIZE`].
    #[error("the tree of {0} leaves has no such part")]
    Range(u64),
    /// The tile could not be read.
    #[error("tile {} of level {} cannot be read", .0.index, .0.level)]
    Read(Tile, #[source] E),
    /// The tile has fewer hashes than it must have.
    #[error("tile {} of level {} has less than {} hashes", .0.index, .0.level, .0.width)]
    Short(Tile),
}

impl<R, E> Prover<R>
where
    R: FnMut(Tile) -> Result<Vec<u8>, E>,
{
    /// Proves in the tree of the first `size` leaves.
    ///
    /// # Errors
    ///
    /// [`ProveError::Range`] for more than [`MAX_SIZE`].
    pub fn new(size: u64, read: R) -> Result<Self, ProveError<E>> {
        if size > MAX_SIZE {
            return Err(ProveError::Range(size));
        }
        Ok(Self { size, read, kept: Default::default() })
    }

    /// What is needed to go on appending to the tree, its size and its root.
    ///
    /// # Errors
    ///
    /// [`ProveError`] of reading.
    pub fn edge(&mut self) -> Result<Edge, ProveError<E>> {
        let peaks = self.complete(0, self.size)?;
        Edge::new(self.size, peaks).map_err(|_| ProveError::Range(self.size))
    }

    /// Size and root.
    ///
    /// # Errors
    ///
    /// [`ProveError`] of reading.
    pub fn head(&mut self) -> Result<TreeHead, ProveError<E>> {
        self.edge().map(|edge| edge.head())
    }

    /// Proves that the leaf number `index`, the first being 0, is in the tree: for [`TreeHead::verify_inclusion`].
    ///
    /// # Errors
    ///
    /// [`ProveError`] for a leaf behind the last one, and of reading.
    pub fn inclusion(&mut self, index: u64) -> Result<Vec<Hash>, ProveError<E>> {
        if index >= self.size {
            return Err(ProveError::Range(self.size));
        }
        let (mut start, mut end) = (0, self.size);
        let mut siblings = Vec::new();
        while end - start > 1 {
            let middle = start + split(end - start);
            if index < middle {
                siblings.push((middle, end));
                end = middle;
            } else {
                siblings.push((start, middle));
                start = middle;
            }
        }
        self.roots(siblings)
    }

    /// Proves that the tree begins with all leaves of the one that had `old` leaves: for [`TreeHead::verify_consistency`].
    ///
    /// # Errors
    ///
    /// [`ProveError`] for an old tree that is larger than this one, and of reading.
    pub fn consistency(&mut self, old: u64) -> Result<Vec<Hash>, ProveError<E>> {
        if old > self.size {
            return Err(ProveError::Range(self.size));
        }
        if old == 0 {
            return Ok(Vec::new());
        }
        let (mut start, mut end) = (0, self.size);
        let mut subtrees = Vec::new();
        while old < end {
            let middle = start + split(end - start);
            if old <= middle {
                subtrees.push((middle, end));
                end = middle;
            } else {
                subtrees.push((start, middle));
                start = middle;
            }
        }
        // The old tree is a subtree of the new one where no leaf stands before it; its root is known.
        if start > 0 {
            subtrees.push((start, end));
        }
        self.roots(subtrees)
    }

    /// The roots over ranges that go from the root downwards, in the order of a proof: upwards.
    fn roots(&mut self, ranges: Vec<(u64, u64)>) -> Result<Vec<Hash>, ProveError<E>> {
        ranges.into_iter().rev().map(|(start, end)| self.range(start, end)).collect()
    }

    /// The root over the leaves from `start` up to `end`, a node of the tree.
    fn range(&mut self, start: u64, end: u64) -> Result<Hash, ProveError<E>> {
        let subtrees = self.complete(start, end)?;
        let root = subtrees.into_iter().rev().reduce(|right, left| Hash::node(&left, &right));
        root.ok_or(ProveError::Range(self.size))
    }

    /// The roots of the complete subtrees that make up the leaves from `start` up to `end`, the largest first.
    fn complete(&mut self, mut start: u64, end: u64) -> Result<Vec<Hash>, ProveError<E>> {
        let mut roots = Vec::new();
        while let Some(height) = (end - start).checked_ilog2() {
            roots.push(self.node(height, start >> height)?);
            start += 1 << height;
        }
        Ok(roots)
    }

    /// The node number `index` of a height, over 2^`height` leaves all of which are in the tree.
    fn node(&mut self, height: u32, index: u64) -> Result<Hash, ProveError<E>> {
        let (level, row) = (height / TILE_HEIGHT, height % TILE_HEIGHT);
        let place = index >> (TILE_HEIGHT - row);
        let nodes = self.size >> (TILE_HEIGHT * level);
        let tile = Tile::at(level as u8, place, nodes);
        let is_last = place == nodes >> TILE_HEIGHT;
        let Some(kept) = self.kept.get_mut(level as usize).and_then(|kept| kept.get_mut(usize::from(is_last))) else {
            return Err(ProveError::Range(self.size));
        };
        let subtree = match kept {
            Some(subtree) if subtree.tile == tile => subtree,
            _ => {
                let bytes = (self.read)(tile).map_err(|error| ProveError::Read(tile, error))?;
                kept.insert(Subtree::over(tile, &bytes).ok_or(ProveError::Short(tile))?)
            }
        };
        subtree.node(row, index).ok_or(ProveError::Short(tile))
    }
}

/// The largest power of two below `width`, which is more than 1: where a node's right child begins.
fn split(width: u64) -> u64 {
    width.next_power_of_two() / 2
}

/// A tile and the nodes above its hashes.
struct Subtree {
    tile: Tile,
    rows: Vec<Vec<Hash>>,
}

impl Subtree {
    /// `None` for fewer hashes than the tile is wide.
    fn over(tile: Tile, bytes: &[u8]) -> Option<Self> {
        let width = usize::from(tile.width);
        let mut row: Vec<Hash> = hashes(bytes).take(width).collect();
        if row.len() < width {
            return None;
        }
        let mut rows = Vec::new();
        while !row.is_empty() {
            let above = row.as_chunks().0.iter().map(|[left, right]| Hash::node(left, right)).collect();
            rows.push(std::mem::replace(&mut row, above));
        }
        Some(Self { tile, rows })
    }

    /// The node number `index` of the tree's row that is the row number `row` of the tile.
    fn node(&self, row: u32, index: u64) -> Option<Hash> {
        let inside = index % (u64::from(TILE_WIDTH) >> row);
        self.rows.get(row as usize)?.get(usize::try_from(inside).ok()?).copied()
    }
}
