//! Stage `identity`.
