//! Where jobs wait that somebody else keeps from a lock: whoever holds a room for long, in a transaction of another
//! process say, holds up that room and no other that shares its write lane.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The keys of jobs that were handed to the lane beside all others, with their number. While there is one, those that come
/// for its key follow it, so that jobs of one key keep their order and never run beside each other.
#[derive(Default)]
pub(crate) struct Held(Mutex<BTreeMap<Arc<str>, usize>>);

impl Held {
    /// Whether jobs of this key wait there or run.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.keys().contains_key(key)
    }

    /// One more is handed over.
    pub(crate) fn add(&self, key: &Arc<str>) {
        *self.keys().entry(Arc::clone(key)).or_default() += 1;
    }

    /// One of them is done.
    pub(crate) fn done(&self, key: &str) {
        let mut keys = self.keys();
        if let Some(count) = keys.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                keys.remove(key);
            }
        }
    }

    fn keys(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
