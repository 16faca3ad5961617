//! Stage `member`.
