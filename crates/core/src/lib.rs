//! The pure stages of Portcullis, in the order a request walks them. No clock, no network, no database:
//! time and randomness come in as arguments.

pub mod time;
pub mod yaml;

pub mod wire;

pub mod identity;

pub mod mls;

pub mod room;

pub mod consent;
pub mod scim;
pub mod search;

pub mod policy;

pub mod fanout;

pub mod content;

pub mod franking;

pub mod member;
