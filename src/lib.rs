//! Portcullis, an enterprise gateway for MIMI. A module uses only those that stand above it.

pub mod config;

pub mod limits;

pub mod telemetry;

pub mod peer;

pub mod outside;

pub mod addresses;
pub mod assets;

pub mod gateway;

pub mod http;

pub mod delivery;

pub mod audit;

pub mod admin;

pub mod federation;

pub mod provider;
pub mod scim;

pub mod upkeep;

pub mod server;

pub mod member;

pub mod demo;

pub mod cli;

/// A request is many small allocations on several threads, which cost less here than with the allocator of the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
