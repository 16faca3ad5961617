//! The line in which a room's messages are handed in. The hub franks a message for the moment at which it accepts it, and
//! only the room's write lane knows that; whoever stands in line knows it before, and signs without holding the lane up.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::RoomUri;

/// How many rooms are remembered.
const ROOMS: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// When the last message was handed in for, by room.
pub(super) struct Lines(Mutex<LruCache<RoomUri, Arc<Mutex<Millis>>>>);

impl Default for Lines {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(ROOMS)))
    }
}

impl Lines {
    /// Does `hand_in` while no other message of the room is handed in, with the moment at which this one will be accepted
    /// if no other replica accepts one in between.
    ///
    /// # Errors
    ///
    /// Those of `hand_in`.
    pub(super) fn next<T, E>(
        &self,
        room: &RoomUri,
        now: Millis,
        hand_in: impl FnOnce(Millis) -> Result<T, E>,
    ) -> Result<T, E> {
        let line = self.of(room);
        let mut last = locked(&line);
        let next = now.max(Millis(last.0.saturating_add(1)));
        let handed_in = hand_in(next)?;
        *last = next;
        Ok(handed_in)
    }

    /// Notes that a message was accepted later than the line knew.
    pub(super) fn reached(&self, room: &RoomUri, at: Millis) {
        let line = self.of(room);
        let mut last = locked(&line);
        *last = at.max(*last);
    }

    fn of(&self, room: &RoomUri) -> Arc<Mutex<Millis>> {
        Arc::clone(locked(&self.0).get_or_insert_ref(room, Default::default))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomUri {
        RoomUri::parse(&format!("mimi://a.example/r/{name}")).unwrap()
    }

    fn next(lines: &Lines, name: &str, now: u64) -> u64 {
        lines.next(&room(name), Millis(now), |at| Ok::<_, ()>(at.0)).unwrap()
    }

    #[test]
    fn each_message_of_a_room_has_a_moment_of_its_own_and_rooms_do_not_disturb_each_other() {
        let lines = Lines::default();
        assert_eq!([next(&lines, "a", 7), next(&lines, "a", 7), next(&lines, "a", 3)], [7, 8, 9]);
        assert_eq!([next(&lines, "b", 7), next(&lines, "a", 20)], [7, 20]);
    }

    #[test]
    fn what_was_not_handed_in_takes_no_moment_and_the_line_learns_what_it_did_not_know() {
        let lines = Lines::default();
        assert_eq!(lines.next(&room("a"), Millis(7), |_| Err::<(), _>("full")), Err("full"));
        assert_eq!(next(&lines, "a", 7), 7);
        lines.reached(&room("a"), Millis(50));
        lines.reached(&room("a"), Millis(40));
        assert_eq!(next(&lines, "a", 8), 51);
    }
}
