//! The crate from outside: against other implementations, published examples, and strangers.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod examples;
mod hostile;
mod notes;
mod oracles;
mod policies;
mod proofs;
mod tiles;
mod witnesses;

use std::collections::BTreeMap;

use aws_lc_rs::signature::Ed25519KeyPair;
use portcullis_tlog::{
    Checkpoint, Cosigner, Edge, Hash, KeyName, Prover, SignedCheckpoint, Signer, Span, Tile, TreeHead,
};

/// When the witnesses of these tests cosign, in seconds since the UNIX epoch.
const AT: u64 = 1_795_298_400;

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn name(name: &str) -> KeyName {
    name.parse().unwrap()
}

fn signer(origin: &str, seed: u8) -> Signer {
    Signer::new(name(origin), pair(seed))
}

fn cosigner(number: u8) -> Cosigner {
    Cosigner::new(name(&format!("witness{number}.example")), pair(100 + number))
}

fn leaf(number: u64) -> Hash {
    Hash::leaf(&number.to_be_bytes())
}

/// A log in memory.
#[derive(Clone, Default)]
struct Log {
    edge: Edge,
    tiles: BTreeMap<(u8, u64), Vec<u8>>,
}

impl Log {
    /// The log of [`leaf`]s up to `size`, appended in one batch.
    fn of(size: u64) -> Self {
        let mut log = Self::default();
        log.append((0..size).map(leaf));
        log
    }

    fn append(&mut self, leaves: impl IntoIterator<Item = Hash>) -> Vec<Span> {
        let spans = self.edge.append(leaves);
        for span in &spans {
            let tile = self.tiles.entry((span.level, span.index)).or_default();
            assert_eq!(tile.len(), usize::from(span.offset) * Hash::BYTES, "{span:?}");
            tile.extend_from_slice(&span.bytes);
        }
        spans
    }

    fn head(&self) -> TreeHead {
        self.edge.head()
    }

    fn read(&self, tile: Tile) -> Result<Vec<u8>, Missing> {
        self.tiles.get(&(tile.level, tile.index)).cloned().ok_or(Missing)
    }

    /// Proves in the tree of the first `size` leaves.
    fn prover(&self, size: u64) -> Prover<impl FnMut(Tile) -> Result<Vec<u8>, Missing>> {
        Prover::new(size, |tile| self.read(tile)).unwrap()
    }

    fn checkpoint(&self, by: &Signer) -> SignedCheckpoint {
        let checkpoint = Checkpoint::new(by.key().name(), self.head());
        SignedCheckpoint::sign(checkpoint, by).unwrap()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no such tile")]
struct Missing;
