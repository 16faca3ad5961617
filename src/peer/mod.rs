//! `peer`
