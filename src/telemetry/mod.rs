//! What the process says about itself.

/// The trace that the present work belongs to, in hexadecimal.
pub fn current_trace_id() -> Option<String> {
    None
}
