use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

use super::number;

/// How long what has served its time is kept; nothing of a room under legal hold goes.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Days for which a report of abuse is kept after it was decided, with what was reported.
    pub closed_reports_days: NonZeroU32,
    /// Days for which an event is kept that was only for devices which are all deleted.
    pub unsent_days: NonZeroU32,
}

impl Retention {
    /// [`Self::closed_reports_days`].
    pub fn closed_reports(&self) -> Duration {
        days(self.closed_reports_days)
    }

    /// [`Self::unsent_days`].
    pub fn unsent(&self) -> Duration {
        days(self.unsent_days)
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { closed_reports_days: number(365), unsent_days: number(30) }
    }
}

fn days(days: NonZeroU32) -> Duration {
    Duration::from_secs(u64::from(days.get()) * 24 * 60 * 60)
}
