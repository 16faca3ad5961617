/// Ends the process at once, as a power cut would, when the environment names this point in `PORTCULLIS_CRASH_AT`:
/// `label`, or `label:n` for the n-th time that it is passed. Where `PORTCULLIS_CRASH_ARMED` names a file, only times
/// count at which that file exists, so that a test can first bring a process to where it is to end.
///
/// Does nothing without the cargo feature `failpoints`, which only tests switch on.
#[cfg(feature = "failpoints")]
pub fn failpoint(label: &str) {
    use std::sync::atomic::{AtomicU64, Ordering};

    static PASSED: AtomicU64 = AtomicU64::new(0);
    let Some(armed) = std::env::var("PORTCULLIS_CRASH_AT").ok() else { return };
    let (name, time) = match armed.split_once(':') {
        Some((name, time)) => (name, time.parse().unwrap_or(1)),
        None => (armed.as_str(), 1),
    };
    if name != label
        || std::env::var_os("PORTCULLIS_CRASH_ARMED").is_some_and(|file| !std::path::Path::new(&file).exists())
    {
        return;
    }
    if PASSED.fetch_add(1, Ordering::Relaxed) + 1 == time {
        std::process::abort();
    }
}

/// Does nothing: the cargo feature `failpoints` is off.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn failpoint(_label: &str) {}
