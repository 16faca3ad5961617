//! One binary for all integration tests, so that it is linked once.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod abuse;
mod addresses;
mod admin;
mod assets;
mod bad_input;
mod conformance;
mod crash;
#[path = "../fuzz/src/lib.rs"]
pub mod decoders;
mod demo;
mod directory;
mod drain;
mod federation;
mod follower;
mod fuzz;
mod harness;
mod hostile;
mod hot_room;
mod keys;
mod lossy;
mod names;
mod peers;
mod policy;
mod repeats;
mod replay;
mod replicas;
mod rights;
mod telemetry;
mod tidy;
