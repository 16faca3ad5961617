//! Stage `room`.
