//! Requests that may stand before the database at once. More than that are asked to come again, and no room or caller
//! takes the places of all others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_core::wire::uri::{Domain, RoomUri, UserUri};

use super::{Caller, GatewayError, Inner};

/// Fewer than the threads that block, so that nothing queues behind them unseen.
const ALL: usize = 192;

/// A room has one order, so that more of its requests at once would only wait for each other.
const OF_A_ROOM: usize = 48;

/// Half of all, so that one peer with many rooms is not alone here.
const OF_A_CALLER: usize = 96;

/// Half of a room's, so that its other participants get on while one caller, who may have no part in it, does not.
const OF_A_CALLER_IN_A_ROOM: usize = 24;

/// For people at the admin door alone, beside [`ALL`]: whoever is to end what fills the others must get in.
const OF_PEOPLE: usize = 32;

/// A quarter of those, so that a program with one person's token does not keep the others out.
const OF_A_PERSON: usize = 8;

/// Whose places they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Of {
    Room(RoomUri),
    User(UserUri),
    Peer(Domain),
    /// A person at the admin door, by the subject of the token.
    Person(String),
    /// The second one in the room that the first one names.
    In(RoomUri, Box<Of>),
}

#[derive(Default)]
pub(super) struct Places(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    all: usize,
    people: usize,
    of: HashMap<Of, usize>,
}

/// A place, given back when it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    of: Vec<Of>,
}

impl Of {
    fn most(&self) -> usize {
        match self {
            Self::Room(_) => OF_A_ROOM,
            Self::User(_) | Self::Peer(_) => OF_A_CALLER,
            Self::In(..) => OF_A_CALLER_IN_A_ROOM,
            Self::Person(_) => OF_A_PERSON,
        }
    }
}

impl From<&Caller> for Of {
    fn from(caller: &Caller) -> Self {
        match caller {
            Caller::Peer(domain) => Self::Peer(domain.clone()),
            Caller::User(user) => Self::User(user.clone()),
        }
    }
}

impl Places {
    /// # Errors
    ///
    /// [`GatewayError::Unavailable`] when all places are taken, or all that one of `of` may have.
    pub(super) fn take(self: &Arc<Self>, mut of: Vec<Of>) -> Result<Place, GatewayError> {
        if let [Of::Room(room), caller] = &of[..] {
            of.push(Of::In(room.clone(), Box::new(caller.clone())));
        }
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, most) = taken.count(&of);
        if *count >= most {
            return Err(GatewayError::busy("too many requests at once"));
        }
        if of.iter().any(|of| taken.of.get(of).is_some_and(|own| *own >= of.most())) {
            return Err(GatewayError::busy("too many requests at once for one room or caller"));
        }
        of.iter().for_each(|of| *taken.of.entry(of.clone()).or_default() += 1);
        *taken.count(&of).0 += 1;
        Ok(Place { places: Arc::clone(self), of })
    }
}

impl Taken {
    /// The places that these come out of: how many are taken, and how many there are.
    fn count(&mut self, of: &[Of]) -> (&mut usize, usize) {
        if of.iter().any(|of| matches!(of, Of::Person(_))) {
            (&mut self.people, OF_PEOPLE)
        } else {
            (&mut self.all, ALL)
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        *taken.count(&self.of).0 -= 1;
        for of in &self.of {
            if let Some(own) = taken.of.get_mut(of) {
                *own -= 1;
                if *own == 0 {
                    taken.of.remove(of);
                }
            }
        }
    }
}

impl Inner {
    /// Runs the synchronous part of a use case where it may take its time. A panic in it is this request's
    /// failure and nobody else's.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        of: Vec<Of>,
        work: impl FnOnce(&Arc<Self>) -> Result<T, GatewayError> + Send + 'static,
    ) -> Result<T, GatewayError> {
        let place = self.places.take(of)?;
        let work = move |inner: &Arc<Self>| {
            let outcome = work(inner);
            drop(place);
            outcome
        };
        self.aside(work).await
    }

    /// The same for a use case that holds its place by itself.
    pub(super) async fn aside<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> Result<T, GatewayError> + Send + 'static,
    ) -> Result<T, GatewayError> {
        let inner = Arc::clone(self);
        let span = tracing::Span::current();
        let work = move || span.in_scope(|| work(&inner));
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| Err(GatewayError::internal(panic)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: usize) -> Vec<Of> {
        vec![Of::Room(RoomUri::parse(&format!("mimi://a.example/r/{name}")).unwrap())]
    }

    #[test]
    fn a_hot_room_leaves_places_for_the_others() {
        let places = Arc::new(Places::default());
        let hot: Vec<Place> = (0..OF_A_ROOM).map(|_| places.take(room(0)).unwrap()).collect();
        assert!(matches!(places.take(room(0)), Err(GatewayError::Unavailable(_))));
        assert!(places.take(room(1)).is_ok());
        drop(hot);
        assert!(places.take(room(0)).is_ok());
    }

    #[test]
    fn a_peer_with_many_rooms_leaves_places_for_the_others() {
        let places = Arc::new(Places::default());
        let of = |number, peer| [room(number), vec![Of::Peer(Domain::parse(peer).unwrap())]].concat();
        let _taken: Vec<Place> = (0..OF_A_CALLER).map(|number| places.take(of(number, "b.example")).unwrap()).collect();
        assert!(matches!(places.take(of(ALL, "b.example")), Err(GatewayError::Unavailable(_))));
        assert!(places.take(of(ALL, "c.example")).is_ok());
    }

    #[test]
    fn a_caller_in_a_hot_room_leaves_places_there_for_the_others() {
        let places = Arc::new(Places::default());
        let of = |peer| [room(0), vec![Of::Peer(Domain::parse(peer).unwrap())]].concat();
        let taken: Vec<Place> = (0..OF_A_CALLER_IN_A_ROOM).map(|_| places.take(of("b.example")).unwrap()).collect();
        assert!(matches!(places.take(of("b.example")), Err(GatewayError::Unavailable(_))));
        assert!(places.take(of("c.example")).is_ok());
        drop(taken);
        assert!(places.0.lock().unwrap().of.is_empty());
    }

    #[test]
    fn people_get_in_however_many_requests_there_are_and_none_of_them_is_alone_there() {
        let places = Arc::new(Places::default());
        let _all: Vec<Place> = (0..ALL).map(|number| places.take(room(number)).unwrap()).collect();
        let person = |name: &str| vec![Of::Person(name.to_owned())];
        let busy: Vec<Place> = (0..OF_A_PERSON).map(|_| places.take(person("ops")).unwrap()).collect();
        assert!(matches!(places.take(person("ops")), Err(GatewayError::Unavailable(_))));
        assert!(places.take(person("boss")).is_ok());
        drop(busy);
        let crowd: Vec<Place> =
            (0..OF_PEOPLE).map(|number| places.take(person(&number.to_string())).unwrap()).collect();
        assert!(matches!(places.take(person("late")), Err(GatewayError::Unavailable(_))));
        drop(crowd);
        assert_eq!(places.0.lock().unwrap().people, 0);
    }

    #[test]
    fn there_is_an_end_to_all_places_and_none_is_lost() {
        let places = Arc::new(Places::default());
        for _ in 0..2 {
            let all: Vec<Place> = (0..ALL).map(|number| places.take(room(number)).unwrap()).collect();
            assert!(matches!(places.take(room(ALL)), Err(GatewayError::Unavailable(_))));
            drop(all);
        }
        assert!(places.0.lock().unwrap().of.is_empty());
    }
}
