//! When a delivery is tried again, and when it is given up.

use std::time::Duration;

use crate::time::Millis;

/// How long an unreachable provider is tried before its lane is lost (reading D-39).
pub const LOST_AFTER: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Longest pause between two attempts.
pub const LONGEST_DELAY: Duration = Duration::from_secs(60 * 60);

/// A provider could not be reached for [`LOST_AFTER`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("provider was not reachable for seven days")]
pub struct GaveUp;

/// How long to wait before retry number `retry` (1 is the first): 2^`retry` seconds, at most an hour, and never past
/// the last moment, [`LOST_AFTER`] after `first`, so that one attempt is made just before giving up.
///
/// # Errors
///
/// [`GaveUp`] once seven days have passed since the first attempt at `first`; the caller parks the whole lane, it
/// never drops or overtakes.
///
/// Source: draft-ietf-mimi-protocol, "Fanout Messages and Room Events": the hub SHOULD retry; reading D-39.
pub fn retry_delay(retry: u32, first: Millis, now: Millis) -> Result<Duration, GaveUp> {
    let left = first.plus(LOST_AFTER).since(now);
    if left.is_zero() {
        return Err(GaveUp);
    }
    let delay = 2_u64.checked_pow(retry).map_or(LONGEST_DELAY, Duration::from_secs).min(LONGEST_DELAY);
    Ok(delay.min(left))
}

/// `delay` shortened by up to a half, so that lanes which failed together do not come back together. `random` is
/// uniform over all of `u32`.
pub fn jittered(delay: Duration, random: u32) -> Duration {
    delay - delay.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0)
}

/// The pause before the next attempt: the other side's Retry-After wins over our own backoff when it is longer, but
/// never beyond [`LONGEST_DELAY`], so that no header can silence a lane.
pub fn no_sooner_than(delay: Duration, retry_after: Option<Duration>) -> Duration {
    retry_after.map_or(delay, |asked| asked.min(LONGEST_DELAY).max(delay))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Millis = Millis(1_000);

    #[test]
    fn the_pause_doubles_up_to_an_hour() {
        let delays: Vec<u64> = [1, 2, 3, 11, 12, 13, 63, 64, u32::MAX]
            .map(|retry| retry_delay(retry, FIRST, FIRST).unwrap().as_secs())
            .to_vec();
        assert_eq!(delays, [2, 4, 8, 2048, 3600, 3600, 3600, 3600, 3600]);
    }

    #[test]
    fn the_last_attempt_is_made_at_seven_days_and_none_after() {
        let end = FIRST.plus(LOST_AFTER);
        assert_eq!(retry_delay(200, FIRST, end.minus(Duration::from_secs(5))), Ok(Duration::from_secs(5)));
        assert_eq!(retry_delay(200, FIRST, end), Err(GaveUp));
    }

    #[test]
    fn jitter_takes_away_at_most_a_half_and_adds_nothing() {
        let delay = Duration::from_secs(8);
        assert_eq!(jittered(delay, 0), delay);
        assert_eq!(jittered(delay, u32::MAX), delay / 2);
    }

    #[test]
    fn retry_after_lengthens_the_pause_but_not_beyond_an_hour() {
        let second = Duration::from_secs(1);
        assert_eq!(no_sooner_than(2 * second, None), 2 * second);
        assert_eq!(no_sooner_than(2 * second, Some(second)), 2 * second);
        assert_eq!(no_sooner_than(2 * second, Some(90 * second)), 90 * second);
        assert_eq!(no_sooner_than(2 * second, Some(Duration::MAX)), LONGEST_DELAY);
    }
}
