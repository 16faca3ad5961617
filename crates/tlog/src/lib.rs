//! Transparency logs: append-only Merkle trees (RFC 6962) whose heads are signed, and proofs about them that can be
//! verified without the log. The formats are those of C2SP, so that other people's tools verify them too.
//!
//! No IO, no clock, no randomness: tiles are read by a function that the caller gives, times and key pairs are arguments.
//! Everything that is parsed may come from a stranger. Parsers are bounded, never panic, and take one spelling only, so
//! that what they take is written as the same bytes again.
//!
//! | to | use |
//! |---|---|
//! | hash what is logged | [`Hash::leaf`] |
//! | append, get the tiles to write and the new root; verify many leaves | [`Edge`] |
//! | store and serve tiles and entries | [`Tile`], [`Resource`], [`encode_bundle`], [`decode_bundle`] |
//! | make proofs from stored tiles | [`Prover`] |
//! | verify them | [`TreeHead`] |
//! | sign a head, and read signed ones | [`Checkpoint`], [`Signer`], [`SignedCheckpoint`] |
//! | let others witness a head, and witness theirs | [`witness`], [`Cosigner`] |
//! | say whom to believe | [`Policy`] |
//! | give a proof away | [`LogProof`] |
//!
//! ```
//! use portcullis_tlog::{Edge, Hash, Prover, Tile};
//!
//! let leaves: Vec<Hash> = (0..300_u32).map(|number| Hash::leaf(&number.to_be_bytes())).collect();
//! let mut edge = Edge::default();
//! let spans = edge.append(leaves.iter().copied());
//!
//! // A log stores the spans; whoever reads a tile gets their bytes back.
//! let read = |tile: Tile| -> std::io::Result<Vec<u8>> {
//!     let stored = spans.iter().find(|span| (span.level, span.index) == (tile.level, tile.index));
//!     stored.map(|span| span.bytes.clone()).ok_or(std::io::ErrorKind::NotFound.into())
//! };
//! let path = Prover::new(300, read)?.inclusion(7)?;
//! edge.head().verify_inclusion(7, &leaves[7], &path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A new kind of key is a new variant of [`SignatureType`]; signatures of kinds that are unknown here are kept and
//! passed over.

mod checkpoint;
mod edge;
mod hash;
mod head;
mod key;
mod log_proof;
mod note;
mod policy;
mod prover;
mod text;
mod tile;

pub mod witness;

pub use checkpoint::{Checkpoint, CheckpointError, NotACheckpoint, SignedCheckpoint};
pub use edge::{Edge, NotAnEdge, Span};
pub use hash::{Hash, NotAHash};
pub use head::{MAX_PATH, MAX_SIZE, ProofError, TreeHead};
pub use key::{Cosigner, KeyError, KeyId, KeyName, SignatureType, Signer, VerifierKey};
pub use log_proof::{LogProof, LogProofError, MAX_LOG_PROOF_BYTES, Unproven};
pub use note::{MAX_NOTE_BYTES, MAX_SIGNATURES, Note, NoteError, Signature, Verified};
pub use policy::{MAX_POLICY_BYTES, Mistake, Party, Policy, PolicyError, Trusted, Untrusted};
pub use prover::{ProveError, Prover};
pub use tile::{BundleError, MAX_ENTRY_BYTES, NotAResource, Resource, TILE_WIDTH, Tile, decode_bundle, encode_bundle};
