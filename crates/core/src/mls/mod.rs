//! Stage `mls`: is a handshake valid, and what does it change? The only stage that knows openmls.

mod change;
mod checks;
mod error;
mod framing;
mod group;
mod inspect;
mod outline;
mod proposals;
mod says;
mod signing_key;
mod snapshot;
mod tree;

pub mod component_updates;
pub mod crypto;
pub mod external_proposal;
pub mod key_package;
pub mod labels;

pub use change::{Change, ComponentOperation, Effect, GroupView, Leaf, LeafCapabilities, Part, Proposer, Says, Sender};
pub use checks::CheckId;
pub use error::{HandshakeError, MlsError};
pub use group::Group;
pub use inspect::StagedChange;
pub use outline::{Outline, Unreadable, joining};
pub use proposals::Proposed;
pub use signing_key::{NotASigningKey, SigningKey};

#[cfg(test)]
mod tests;
