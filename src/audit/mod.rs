//! The audit log: positions for what was staged, signed checkpoints, export to a collector, and queries.
//!
//! Writing is not here: a record is written in the transaction of its effect, by whoever has the effect.

mod checkpoints;
mod export;
mod otlp;
mod query;
mod record;
mod sequencer;

pub use checkpoints::{log_signer, origin, sign};
pub use export::{ExportError, Exporter, SINK, Step, export};
pub use otlp::collected;
pub use query::list;
pub use record::Shown;
pub use sequencer::sequence;

#[cfg(test)]
mod tests;
