//! How much one peer, one user or one requester may ask for in a time: token buckets in memory, one set a process.

use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::config::Rate;

/// Buckets kept, at least, before those that are full again are forgotten.
const MOST_BUCKETS: usize = 16_384;

/// A bucket for each key.
pub struct Limiter<K: Clone + Eq + Hash> {
    buckets: DefaultKeyedRateLimiter<K>,
    /// Buckets kept before those that are full again are forgotten the next time.
    most: AtomicUsize,
    clock: DefaultClock,
}

/// More than the limit allows. HTTP 429 with Retry-After.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more requests than the limit allows")]
pub struct TooMany {
    /// How long until the next one is taken.
    pub wait: Duration,
}

impl<K: Clone + Eq + Hash> Limiter<K> {
    /// Full buckets of this rate.
    pub fn new(rate: Rate) -> Self {
        let quota = Quota::per_minute(rate.per_minute).allow_burst(rate.burst);
        let most = AtomicUsize::new(MOST_BUCKETS);
        Self { buckets: RateLimiter::keyed(quota), most, clock: DefaultClock::default() }
    }

    /// Takes one from the bucket of `key`.
    ///
    /// # Errors
    ///
    /// [`TooMany`] when it is empty.
    pub fn take(&self, key: &K) -> Result<(), TooMany> {
        if self.buckets.len() > self.most.load(Ordering::Relaxed) {
            self.buckets.retain_recent();
            // Where hardly any is full again, looking at all of them is not worth it with every request.
            self.most.store(MOST_BUCKETS.max(self.buckets.len().saturating_mul(2)), Ordering::Relaxed);
        }
        self.buckets.check_key(key).map_err(|until| TooMany { wait: until.wait_time_from(self.clock.now()) })
    }
}

impl TooMany {
    /// Whole seconds for the header `Retry-After`, at least one.
    pub fn seconds(self) -> u64 {
        self.wait.as_secs().saturating_add(u64::from(self.wait.subsec_nanos() > 0)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn a_bucket_is_one_key_s_own_and_says_when_to_come_again() {
        let two = NonZeroU32::new(2).unwrap();
        let limiter = Limiter::new(Rate { per_minute: two, burst: two });
        assert_eq!((limiter.take(&"a"), limiter.take(&"a")), (Ok(()), Ok(())));
        let refused = limiter.take(&"a").unwrap_err();
        assert!((1..=30).contains(&refused.seconds()), "{refused:?}");
        assert_eq!(limiter.take(&"b"), Ok(()));
    }

    #[test]
    fn keys_that_are_never_seen_again_are_forgotten() {
        let limiter = Limiter::new(Rate { per_minute: NonZeroU32::MAX, burst: NonZeroU32::MIN });
        (0..4 * MOST_BUCKETS).for_each(|key| limiter.take(&key).unwrap());
        assert!(limiter.buckets.len() <= MOST_BUCKETS + 1);
    }

    #[test]
    fn buckets_that_are_in_use_are_looked_through_again_when_they_are_twice_as_many() {
        let limiter = Limiter::new(Rate { per_minute: NonZeroU32::MIN, burst: NonZeroU32::MIN });
        (0..=MOST_BUCKETS + 1).for_each(|key| limiter.take(&key).unwrap());
        assert_eq!(limiter.most.load(Ordering::Relaxed), 2 * (MOST_BUCKETS + 1));
        (0..=MOST_BUCKETS + 1).for_each(|key| assert!(limiter.take(&key).is_err()));
    }
}
