//! The one place that reads the machine's clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_core::time::Millis;

/// Where the present comes from: the machine, or a test.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    ahead_millis: Arc<AtomicU64>,
}

impl Clock {
    /// The present.
    #[expect(clippy::disallowed_methods, reason = "every other place asks this clock")]
    pub fn now(&self) -> Millis {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        Millis(millis.saturating_add(self.ahead_millis.load(Ordering::Relaxed)))
    }

    /// Lets the present run ahead of the machine's clock from now on, for tests.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.ahead_millis.fetch_add(by, Ordering::Relaxed);
    }
}
