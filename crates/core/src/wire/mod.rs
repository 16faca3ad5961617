//! Stage `wire`: bytes and the typed structs of MIMI.

pub mod uri;
