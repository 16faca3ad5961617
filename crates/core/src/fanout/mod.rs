//! Stage `fanout`.
