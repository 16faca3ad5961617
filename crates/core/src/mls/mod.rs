//! Stage `mls`.

mod change;

pub use change::{Change, ComponentOperation, Effect, GroupView, Leaf, LeafCapabilities, Part, Proposer, Sender};
