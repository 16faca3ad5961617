//! Stage `mls`.
