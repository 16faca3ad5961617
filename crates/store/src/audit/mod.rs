//! The audit log: staged with its effects, then put into one gapless order by the sequencer.
//!
//! A record becomes a *leaf* of salted commitments and, beside it, the *openings* that a reader needs. Leaves are kept
//! for ever; openings may be erased.

mod chain;
mod commitment;
mod entries;
pub(crate) mod known;
mod leaf;
mod record;
mod sequence;
mod tails;
pub(crate) mod writer;

pub use commitment::{Opening, Openings};
pub(crate) use commitment::{hex, sha256};
pub use entries::{AuditEntry, Filter, Order, entries, size};
pub use leaf::{Leaf, LeafError, Place};
pub use record::{AuditRecord, Outcome};
pub use sequence::{MAX_SEQUENCED, Sequenced, sequence, sequence_async};
pub(crate) use sequence::{lock_head, move_head};
pub use writer::Sealed;
