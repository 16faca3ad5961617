//! Stage `member`: a real MLS client, bytes in and bytes out, without a network.
//!
//! It builds what a client submits to a hub (key packages, commits, proposals, messages) and reads what a hub fans out.
//! What it commits stays pending until the hub's answer is known, as with any client of a chat server:
//! [`Member::accepted`] applies it, [`Member::rejected`] takes it back.
//!
//! A member checks what only a member can: membership and confirmation tags, the binding of a message to its sender,
//! franks. It relies on its hub for the room's policy.

mod client;
mod commit;
mod draft;
mod error;
mod external;
mod membership;
mod receive;
mod requests;
mod resolve;
mod send;

#[cfg(test)]
mod tests;

pub use client::{FirstGroup, Member};
pub use commit::Bundling;
pub use draft::Draft;
pub use error::MemberError;
pub use receive::{Message, Proposer, Received};
