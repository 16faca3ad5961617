//! `federation`
