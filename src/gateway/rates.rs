//! Carries out the rate classes that policies oblige users to: token buckets in memory, one set a process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_core::policy::RateClass;
use portcullis_core::wire::uri::UserUri;

use crate::config::Rate;
use crate::limits::{Limiter, TooMany};
/// The buckets of users, for each rate that was named. Another bundle that names the same rate finds them as they are.
#[derive(Default)]
pub(super) struct Rates {
    limiters: Mutex<HashMap<(u32, u32), Buckets>>,
}

/// Those of all users at one rate.
type Buckets = Arc<Limiter<UserUri>>;

impl Rates {
    /// Takes one from what the class leaves the user.
    ///
    /// # Errors
    ///
    /// [`TooMany`] when nothing is left.
    pub(super) fn take(&self, class: &RateClass, user: &UserUri) -> Result<(), TooMany> {
        let Self { limiters } = self;
        let rate = Rate { per_minute: class.per_minute, burst: class.burst };
        let limiter = {
            let mut limiters = limiters.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = limiters.entry((class.per_minute.get(), class.burst.get()));
            Arc::clone(kept.or_insert_with(|| Arc::new(Limiter::new(rate))))
        };
        limiter.take(user)
    }
}
