//! What the doors with HTTP, JSON and bearer tokens have in common: tokens and the keys that sign them, bodies, answers
//! that can be given again, refusals, and the table of routes that is registered, described and tested.

pub(crate) mod auth;
pub(crate) mod download;
pub(crate) mod heads;
mod keys;
mod post;
mod problem;
mod reply;
mod resource;

pub(crate) mod body;
pub(crate) mod intake;
pub(crate) mod openapi;
pub mod token;

pub(crate) use crate::gateway::Reply;
pub use auth::{AuthError, Verifier};
pub use body::Base64;
pub(crate) use intake::Intake;
pub use keys::KeysError;
pub use post::IDEMPOTENCY_KEY;
pub(crate) use post::{Answered, Caller, Post};
pub use problem::{CODES, DECISION, MEDIA_TYPE, Problem, ProblemDetails};
pub(crate) use resource::{Resource, listed, register};

#[cfg(test)]
pub(crate) use body::Limit;
