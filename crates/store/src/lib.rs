//! Storage of Portcullis: one schema on SQLite and PostgreSQL, and the only place that opens a transaction.
//!
//! Nothing is decided here. [`Store::read`] runs queries on one snapshot; [`Store::write`] runs a job on a write lane,
//! which groups jobs into one durable transaction. Functions that only read take a [`Conn`]; those that write take a
//! [`Tx`], which only a write lane can make.

#[macro_use]
mod conn;
#[macro_use]
mod row;

mod aside;
mod changes;
mod convert;
mod cursor;
mod driver;
mod effects;
mod error;
mod failpoint;
mod fixed;
mod heads;
mod job;
mod lane;
mod later;
mod listen;
mod look;
mod migrate;
mod options;
mod pool;
mod postgres;
mod presence;
mod schema;
mod sqlite;
mod store;
mod turn;
mod tx;

pub mod admission;
pub mod answers;
pub mod asset_hosts;
pub mod audit;
pub mod backlog;
pub mod bundles;
pub mod consents;
pub mod devices;
pub mod events;
pub mod follower;
pub mod hub_keys;
pub mod inbox;
pub mod join_codes;
pub mod key_packages;
pub mod leaves;
pub mod ohttp_keys;
pub mod outbox;
pub mod overview;
pub mod people;
pub mod profiles;
pub mod proposals;
pub mod purge;
pub mod reports;
pub mod restrictions;
pub mod role_sets;
pub mod rooms;
pub mod routes;
pub mod shadows;
pub mod simulations;
pub mod sinks;
pub mod standings;
pub mod streams;
pub mod ties;
pub mod vault;

pub use changes::Topic;
pub use conn::Conn;
pub use error::StoreError;
pub use failpoint::failpoint;
pub use lane::SEQUENCER;
pub use look::look;
pub use options::Options;
pub use store::{DatabaseKind, Queued, Store};
pub use tx::Tx;
