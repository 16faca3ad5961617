//! The storage suite: every test runs on SQLite and on a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

#[macro_use]
mod harness;

mod appends;
mod assets;
mod audit;
mod consents;
mod crash;
mod devices;
mod follower;
mod hub_keys;
mod join_codes;
mod lanes;
mod leases;
mod leaves;
mod migrations;
mod outbox;
mod people;
mod postgres;
mod profiles;
mod records;
mod reports;
mod restrictions;
mod rooms;
mod search;
mod sequencer;
mod standings;
mod tree;
mod vault;
