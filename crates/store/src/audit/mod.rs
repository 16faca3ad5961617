//! The audit log: staged with its effects, then put into one gapless order by the sequencer.
//!
//! A record becomes a *leaf* of salted commitments and, beside it, the *openings* that a reader needs. Leaves are kept
//! for ever; openings may be erased.

mod commitment;
mod leaf;
mod record;
pub(crate) mod writer;

pub use commitment::{Opening, Openings};
pub use leaf::{Leaf, LeafError, Place};
pub use record::{AuditRecord, Outcome};
