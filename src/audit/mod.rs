//! The audit log: positions for what was staged, an index, signed checkpoints, export to a collector, and queries.
//!
//! Writing is not here: a record is written in the transaction of its effect, by whoever has the effect.

mod checkpoints;
mod export;
mod indexer;
mod otlp;
mod query;
mod record;
mod sequencer;

pub mod extract;
pub mod times;

use checkpoints::checkpoint;
pub use checkpoints::{log_signer, log_verifiers, origin, sign};
pub use export::{ExportError, Exporter, SINK, Step, export};
pub use indexer::follow;
pub use otlp::collected;
pub use query::{Answer, Cursor, Misfit, Query, as_of, list, prove, sha256};
pub use record::Shown;
pub use sequencer::sequence;

#[cfg(test)]
mod tests;
