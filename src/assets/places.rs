use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::FetchError;

/// How many downloads may run at once: in all, and for one caller.
#[derive(Debug)]
pub struct Places {
    most: usize,
    most_of_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by: HashMap<String, usize>,
}

/// One of them, until it is dropped: what goes out to a caller holds it as long as the caller takes.
#[derive(Debug)]
pub struct Place {
    of: Arc<Places>,
    who: String,
    until: Instant,
}

impl Places {
    /// At least one, whatever is said.
    pub fn new(most: usize, most_of_one: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), most_of_one: most_of_one.max(1), taken: Mutex::default() })
    }

    /// Takes one for a caller, until then at the latest.
    ///
    /// # Errors
    ///
    /// [`FetchError::Busy`] when there is none for this caller.
    pub fn take(self: &Arc<Self>, who: &str, until: Instant) -> Result<Place, FetchError> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.by.get(who).copied().unwrap_or_default();
        if taken.all >= self.most || own >= self.most_of_one {
            return Err(FetchError::Busy);
        }
        taken.all += 1;
        taken.by.insert(who.to_owned(), own + 1);
        Ok(Place { of: Arc::clone(self), who: who.to_owned(), until })
    }
}

impl Place {
    /// When what it was taken for is to be over: whoever holds it longer takes it from others.
    pub fn until(&self) -> Instant {
        self.until
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        let left = taken.by.get(&self.who).copied().unwrap_or_default().saturating_sub(1);
        if left == 0 {
            taken.by.remove(&self.who);
        } else {
            taken.by.insert(self.who.clone(), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_the_places_of_all_and_each_comes_back() {
        let (places, until) = (Places::new(3, 2), Instant::now());
        let (first, second) = (places.take("a", until).unwrap(), places.take("a", until).unwrap());
        assert!(places.take("a", until).is_err(), "a has its own two");
        let third = places.take("b", until).unwrap();
        assert!(places.take("c", until).is_err(), "all three are taken");
        drop((first, third));
        let _third = places.take("c", until).unwrap();
        let _first = places.take("a", until).unwrap();
        drop(second);
        assert!(places.take("a", until).is_ok());
        assert_eq!(places.taken.lock().unwrap().by.len(), 2, "nobody is remembered");
    }
}
