//! Portcullis, an enterprise gateway for MIMI. The modules stand in the order a request walks them.

pub mod config;

pub mod telemetry;

pub mod peer;

pub mod gateway;

pub mod delivery;

pub mod audit;

pub mod federation;

pub mod provider;

pub mod server;

pub mod demo;

pub mod cli;
