//! Where jobs wait that somebody else keeps from a lock: whoever holds a room for long, in a transaction of another
//! process say, holds up that room and no other that shares its write lane.

use std::collections::{BTreeMap, VecDeque};
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

/// Jobs by key, those of one key in their order. The keys take turns.
pub(crate) struct Turns<J>(VecDeque<(Arc<str>, VecDeque<J>)>);

impl<J> Default for Turns<J> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<J> Turns<J> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a job behind those of its key.
    pub(crate) fn add(&mut self, key: Arc<str>, job: J) {
        self.of(key).push_back(job);
    }

    /// The first job of the key whose turn it is.
    pub(crate) fn next(&mut self) -> Option<J> {
        let (key, mut jobs) = self.0.pop_front()?;
        let job = jobs.pop_front();
        if !jobs.is_empty() {
            self.0.push_back((key, jobs));
        }
        job
    }

    /// Puts a job before those of its key, which waits until all others have had their turn.
    pub(crate) fn again(&mut self, key: Arc<str>, job: J) {
        self.of(key).push_front(job);
    }

    fn of(&mut self, key: Arc<str>) -> &mut VecDeque<J> {
        let place = self.0.iter().position(|(other, _)| *other == key).unwrap_or_else(|| {
            self.0.push_back((key, VecDeque::new()));
            self.0.len() - 1
        });
        &mut self.0[place].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_take_turns_and_jobs_of_one_key_keep_their_order() {
        let mut turns = Turns::default();
        for (key, job) in [("a", 1), ("a", 2), ("b", 3), ("a", 4), ("c", 5)] {
            turns.add(Arc::from(key), job);
        }
        assert_eq!(turns.next(), Some(1));
        turns.again(Arc::from("a"), 1);
        let order: Vec<i32> = std::iter::from_fn(|| turns.next()).collect();
        assert_eq!(order, [3, 5, 1, 2, 4]);
        assert!(turns.is_empty());
    }
}
