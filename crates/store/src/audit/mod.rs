//! The audit log: written with its effects, in one gapless order.
//!
//! A record becomes a *leaf* of salted commitments and, beside it, the *openings* that a reader needs. Leaves are kept
//! for ever; openings may be erased.

mod chain;
mod commitment;
mod entries;
pub(crate) mod known;
mod leaf;
pub(crate) mod place;
mod record;
mod search;
mod sequence;
mod tails;
mod tree;
mod verify;
pub(crate) mod writer;

pub(crate) use commitment::sha256;
pub use commitment::{Opening, Openings};
pub use entries::{AuditEntry, Filter, Order, entries, size};
pub use leaf::{Leaf, LeafError, Place};
pub use record::{AuditRecord, Outcome};
pub use search::{Bits, Bucket, Found, counts, index, matches, search};
pub use sequence::{MAX_SEQUENCED, Sequenced, sequence, sequence_async};
pub use tails::Dimension;
pub use tree::{
    StoredCheckpoint, checkpoints, consistency, head_at, inclusion, inclusions, last_checkpoint, put_checkpoint,
    tree_head,
};
pub use verify::{Check, Finding, Report, verify};
pub use writer::Sealed;
