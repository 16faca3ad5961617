//! `provider`
