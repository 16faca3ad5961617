//! Stage `policy`.
