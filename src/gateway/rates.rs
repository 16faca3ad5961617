//! Carries out the rate classes that policies oblige users to: token buckets in memory, one set a process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_core::policy::RateClass;
use portcullis_core::wire::uri::UserUri;

use super::Inner;
use super::decide::Decision;
use super::replay::Replay;
use crate::config::Rate;
use crate::limits::{Limiter, TooMany};

/// What a request that was counted is remembered as, beside what it is answered as.
pub(super) const RATE: &str = "rate";

/// The buckets of users, for each class. Another bundle that has the same class at the same rate finds them as they are.
#[derive(Default)]
pub(super) struct Rates {
    /// Held from the look whether a request was counted until it is remembered: of two that are the same one counts.
    counting: Mutex<()>,
    limiters: Mutex<HashMap<RateClass, Buckets>>,
}

/// Those of all users in one class.
type Buckets = Arc<Limiter<UserUri>>;

impl Rates {
    /// Takes one from what the class leaves the user, unless the request is known to be counted.
    fn count(
        &self,
        class: &RateClass,
        user: &UserUri,
        is_known: impl FnOnce() -> bool,
        remember: impl FnOnce(),
    ) -> Result<(), TooMany> {
        let _turn = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_known() {
            self.take(class, user)?;
            remember();
        }
        Ok(())
    }

    /// Takes one from what the class leaves the user.
    ///
    /// # Errors
    ///
    /// [`TooMany`] when nothing is left.
    fn take(&self, class: &RateClass, user: &UserUri) -> Result<(), TooMany> {
        let limiter = {
            let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
            // Nearly always it is there, and its name need not be copied.
            limiters.get(class).cloned().unwrap_or_else(|| {
                let limiter = Arc::new(Limiter::new(Rate { per_minute: class.per_minute, burst: class.burst }));
                limiters.insert(class.clone(), Arc::clone(&limiter));
                limiter
            })
        };
        limiter.take(user)
    }
}

impl Inner {
    /// Counts what the decision allows in the class that it obliges the user to, if any. What comes again, because its answer
    /// was lost or there was none, has the name that `counted` gives it again, and takes nothing.
    ///
    /// # Errors
    ///
    /// [`TooMany`] when nothing is left to the user.
    pub(super) fn count(
        &self,
        user: &UserUri,
        decision: &Decision,
        counted: impl FnOnce() -> Replay,
    ) -> Result<(), TooMany> {
        let Some((class, _)) = &decision.rate else { return Ok(()) };
        let counted = counted();
        self.rates.count(class, user, || counted.is_known(self), || counted.remember(self))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn of_requests_that_are_the_same_and_come_at_once_one_counts() {
        let (rates, user) = (Rates::default(), "mimi://a.example/u/alice".parse().unwrap());
        let burst = NonZeroU32::new(100).unwrap();
        let class = RateClass { name: "guests".into(), per_minute: NonZeroU32::MIN, burst };
        let (known, together) = (Mutex::new(std::collections::HashSet::new()), std::sync::Barrier::new(8));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for request in 0..burst.get() {
                        together.wait();
                        let is_known = || {
                            let is_known = known.lock().unwrap().contains(&request);
                            std::thread::yield_now();
                            is_known
                        };
                        assert!(
                            rates
                                .count(&class, &user, is_known, || {
                                    known.lock().unwrap().insert(request);
                                })
                                .is_ok()
                        );
                    }
                });
            }
        });
        assert!(rates.count(&class, &user, || false, || {}).is_err(), "each of them took one, and no more is left");
    }

    #[test]
    fn classes_of_one_rate_count_for_themselves() {
        let (rates, user) = (Rates::default(), "mimi://a.example/u/alice".parse().unwrap());
        let class = |name: &str| RateClass { name: name.into(), per_minute: NonZeroU32::MIN, burst: NonZeroU32::MIN };
        assert!(rates.take(&class("guests"), &user).is_ok() && rates.take(&class("guests"), &user).is_err());
        assert!(rates.take(&class("bots"), &user).is_ok());
    }
}
