//! A tree seen from outside, and the proofs about it (RFC 9162, sections 2.1.3.2 and 2.1.4.2).

use crate::Hash;

/// Leaves a tree may have: the formats know no more than 63 hashes in a proof.
pub const MAX_SIZE: u64 = (1 << 63) - 1;

/// Hashes a proof may have.
pub const MAX_PATH: usize = 63;

/// How large a tree is and what its root hash is; nobody has vouched for it yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// Number of leaves, at most [`MAX_SIZE`].
    pub size: u64,
    /// Root hash.
    pub root: Hash,
}

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// There is no such leaf, or no such older tree.
    #[error("the proof is about what the tree does not have")]
    Range,
    /// It has more or fewer hashes than a proof between these places has.
    #[error("the proof has the wrong number of hashes")]
    Length,
    /// The hashes lead to another root.
    #[error("the proof leads to another root")]
    Root,
}

impl TreeHead {
    /// The tree without leaves.
    pub const EMPTY: Self = Self { size: 0, root: Hash::EMPTY };

    /// Checks that the leaf number `index`, the first being 0, has the hash `leaf`.
    ///
    /// # Errors
    ///
    /// [`ProofError`] where `path` does not prove it.
    pub fn verify_inclusion(&self, index: u64, leaf: &Hash, path: &[Hash]) -> Result<(), ProofError> {
        if index >= self.size {
            return Err(ProofError::Range);
        }
        let mut walk = Walk { at: index, last: self.size - 1 };
        let mut root = *leaf;
        for sibling in path {
            root = if walk.is_right()? { Hash::node(sibling, &root) } else { Hash::node(&root, sibling) };
            walk.up();
        }
        walk.arrived()?;
        if root == self.root { Ok(()) } else { Err(ProofError::Root) }
    }

    /// Checks that this tree begins with all the leaves of `old`.
    ///
    /// # Errors
    ///
    /// [`ProofError`] where `path` does not prove it. Between trees of one size, and from the tree without leaves, it
    /// must be empty.
    pub fn verify_consistency(&self, old: &Self, path: &[Hash]) -> Result<(), ProofError> {
        if old.size > self.size {
            return Err(ProofError::Range);
        }
        if old.size == 0 || old.size == self.size {
            let holds = (old.size > 0 || *old == Self::EMPTY) && (old.size < self.size || old == self);
            return match path {
                [] if holds => Ok(()),
                [] => Err(ProofError::Root),
                _ => Err(ProofError::Length),
            };
        }
        let mut walk = Walk { at: old.size - 1, last: self.size - 1 };
        walk.skip_right();
        // A complete old tree is a node of the new one, and whoever asks knows its hash.
        let (first, path) = match path {
            _ if old.size.is_power_of_two() => (&old.root, path),
            [first, path @ ..] => (first, path),
            [] => return Err(ProofError::Length),
        };
        let (mut old_root, mut root) = (*first, *first);
        for sibling in path {
            if walk.is_right()? {
                old_root = Hash::node(sibling, &old_root);
                root = Hash::node(sibling, &root);
            } else {
                root = Hash::node(&root, sibling);
            }
            walk.up();
        }
        walk.arrived()?;
        if old_root == old.root && root == self.root { Ok(()) } else { Err(ProofError::Root) }
    }
}

/// The way of a node to the root, beside that of the last node of its level.
struct Walk {
    at: u64,
    last: u64,
}

impl Walk {
    /// Whether the sibling that comes next stands to the left. The last node of a level may have none: it rises until it
    /// is a right child.
    fn is_right(&mut self) -> Result<bool, ProofError> {
        if self.last == 0 {
            return Err(ProofError::Length);
        }
        if self.at == self.last && self.at & 1 == 0 {
            let levels = self.at.trailing_zeros();
            self.at >>= levels;
            self.last >>= levels;
        }
        Ok(self.at & 1 == 1)
    }

    fn up(&mut self) {
        self.at >>= 1;
        self.last >>= 1;
    }

    fn skip_right(&mut self) {
        let levels = self.at.trailing_ones();
        self.at >>= levels;
        self.last >>= levels;
    }

    fn arrived(&self) -> Result<(), ProofError> {
        if self.last == 0 { Ok(()) } else { Err(ProofError::Length) }
    }
}
