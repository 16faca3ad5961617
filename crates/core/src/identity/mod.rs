//! Stage `identity`: who is it?

pub mod credential;
