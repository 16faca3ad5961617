//! Stage `room`: what a handshake means to its room. Reads the room's own policy from the components of its group,
//! turns a change into [`Action`]s with actor and target, and refuses what breaks a rule that holds for the commit as
//! a whole. Whether each action may be done is for the stage `policy`; the facts it needs stand in the action.
//!
//! Numbers `A1`..`A28` name the actions that draft-ietf-mimi-room-policy knows. What the draft has and this build does
//! not carry out is refused as [`Breach::NotSupported`].

mod action;
mod actions;
mod admission;
mod assets;
mod barred;
mod capable;
mod effective;
mod envelope;
mod found;
mod invariants;
mod membership;
mod operations;
mod parent;
mod preauth;
mod settings;
mod state;
mod successor;
mod templates;
mod violation;
mod well_formed;

pub use action::{Action, Actor, Rule};
pub use actions::{Consequences, Prospect, actions, proposed_actions};
pub use admission::{Admission, Grant};
pub use assets::{AssetHost, asset_hosts};
pub use barred::Barred;
pub use effective::Effective;
pub use envelope::{Choice, Envelope, Field, Granted, Outside, Trait};
pub use found::{found, running};
pub use parent::Parent;
pub use preauth::Applicant;
pub use state::{Leaves, RoomError, RoomState};
pub use successor::successor;
pub use templates::{About, DescribeError, Template, TemplateError, TemplateInput};
pub use violation::{Breach, Violation};

#[cfg(test)]
mod tests;
