/// Ends the process at once, as a power cut would, when the environment names this point in `PORTCULLIS_CRASH_AT`.
///
/// Does nothing without the cargo feature `failpoints`, which only tests switch on.
#[cfg(feature = "failpoints")]
pub fn failpoint(label: &str) {
    if std::env::var_os("PORTCULLIS_CRASH_AT").is_some_and(|armed| armed == label) {
        std::process::abort();
    }
}

/// Does nothing: the cargo feature `failpoints` is off.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn failpoint(_label: &str) {}
