//! Stage `mls`: is a handshake valid, and what does it change? The only stage that knows openmls.

mod change;

pub mod component_updates;
pub mod crypto;
pub mod key_package;
pub mod labels;

pub use change::{Change, ComponentOperation, Effect, GroupView, Leaf, LeafCapabilities, Part, Proposer, Sender};
