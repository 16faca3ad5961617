//! Bodies of requests on their way in. How much of them a door has in memory is counted as they grow, and as long as
//! anybody works with them: beyond that a caller is asked to come again, and none takes the room of all others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::time::timeout;

use crate::gateway::GatewayError;

/// Most of all bodies at a door in each process, in bytes.
const OF_A_DOOR: usize = 256 << 20;

/// Most of the bodies of one peer, user or person at a door in each process, in bytes: a quarter of all, and two of the
/// longest that any endpoint takes.
const OF_A_CALLER: usize = 64 << 20;

/// How a door takes bodies in; clones share what they count.
#[derive(Clone)]
pub(crate) struct Intake {
    patience: Duration,
    held: Arc<Held>,
}

/// Why a body is not taken.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It is longer than the endpoint takes.
    Oversize,
    /// It did not arrive in time.
    Slow,
    /// It did not arrive whole.
    Broken(PayloadError),
    /// The door has too much of other bodies, or of this caller's: [`GatewayError::Unavailable`].
    Busy(GatewayError),
}

/// What a door has of bodies.
#[derive(Default)]
struct Held(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    all_bytes: usize,
    of: HashMap<String, usize>,
}

/// What one body takes of that, given back when this is dropped.
struct Share {
    held: Arc<Held>,
    caller: String,
    bytes: usize,
}

/// A body that has arrived. Whoever has a part of it keeps its share.
struct Whole {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Held {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intake {
    /// For one door, where a body may take so long to arrive.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, held: Arc::default() }
    }

    /// Reads a body of at most `limit_bytes`. A longer one is refused by its `Content-Length` before any of it is read, or
    /// as soon as it has grown too long.
    ///
    /// # Errors
    ///
    /// [`Refused`]; what was read by then is forgotten.
    pub(crate) async fn read(
        &self,
        request: &HttpRequest,
        payload: Payload,
        caller: &str,
        limit_bytes: usize,
    ) -> Result<Bytes, Refused> {
        let declared = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if declared.is_some_and(|bytes| usize::try_from(bytes).map_or(true, |bytes| bytes > limit_bytes)) {
            return Err(Refused::Oversize);
        }
        let share = self.share(caller);
        timeout(self.patience, grow(payload, share, limit_bytes)).await.unwrap_or(Err(Refused::Slow))
    }

    fn share(&self, caller: &str) -> Share {
        Share { held: Arc::clone(&self.held), caller: caller.to_owned(), bytes: 0 }
    }
}

async fn grow(mut payload: Payload, mut share: Share, limit_bytes: usize) -> Result<Bytes, Refused> {
    // Nothing is set aside for what is only announced.
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(Refused::Broken)?;
        if body.len() + chunk.len() > limit_bytes {
            return Err(Refused::Oversize);
        }
        share.grow(chunk.len()).map_err(Refused::Busy)?;
        body.extend_from_slice(&chunk);
    }
    Ok(Bytes::from_owner(Whole { bytes: body.freeze(), _share: share }))
}

impl Share {
    /// # Errors
    ///
    /// [`GatewayError::Unavailable`] when so much more is too much for the door, or of the caller.
    fn grow(&mut self, bytes: usize) -> Result<(), GatewayError> {
        let mut counts = self.held.counts();
        if counts.all_bytes + bytes > OF_A_DOOR {
            return Err(GatewayError::busy("bodies of too many octets at once"));
        }
        let own = counts.of.get(&self.caller).copied().unwrap_or_default();
        if own + bytes > OF_A_CALLER {
            return Err(GatewayError::busy("bodies of too many octets at once for one caller"));
        }
        counts.all_bytes += bytes;
        counts.of.insert(self.caller.clone(), own + bytes);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.held.counts();
        counts.all_bytes -= self.bytes;
        if let Some(own) = counts.of.get_mut(&self.caller) {
            *own -= self.bytes;
            if *own == 0 {
                counts.of.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use futures_util::stream;

    use super::*;

    fn intake() -> Intake {
        Intake::new(Duration::from_secs(60))
    }

    async fn read(intake: &Intake, caller: &str, chunks: &[&'static [u8]]) -> Result<Bytes, Refused> {
        let chunks: Vec<_> = chunks.iter().map(|chunk| Ok::<_, PayloadError>(Bytes::from_static(chunk))).collect();
        let payload = Payload::from(stream::iter(chunks).boxed_local());
        intake.read(&TestRequest::default().to_http_request(), payload, caller, 8).await
    }

    fn busy(outcome: Result<Bytes, Refused>) -> bool {
        matches!(outcome, Err(Refused::Busy(GatewayError::Unavailable(_))))
    }

    #[actix_web::test]
    async fn a_body_counts_for_its_caller_until_nobody_has_any_of_it() {
        let intake = intake();
        let body = read(&intake, "b.example", &[b"1234", b"5678"]).await.unwrap();
        let part = body.slice(6..);
        drop(body);
        assert_eq!((&part[..], intake.held.counts().all_bytes), (&b"78"[..], 8));
        drop(part);
        let counts = intake.held.counts();
        assert!(counts.all_bytes == 0 && counts.of.is_empty());
    }

    #[actix_web::test]
    async fn a_body_that_is_refused_counts_no_longer() {
        let intake = intake();
        assert!(matches!(read(&intake, "b.example", &[b"1234", b"56789"]).await, Err(Refused::Oversize)));
        assert_eq!(intake.held.counts().all_bytes, 0);
    }

    #[actix_web::test]
    async fn a_caller_whose_bodies_are_too_much_comes_again_and_others_are_served() {
        let intake = intake();
        let mut others = intake.share("b.example");
        others.grow(OF_A_CALLER - 4).unwrap();
        assert!(read(&intake, "b.example", &[b"1234"]).await.is_ok());
        assert!(busy(read(&intake, "b.example", &[b"1234", b"5"]).await));
        assert!(read(&intake, "c.example", &[b"1234", b"5"]).await.is_ok());
        drop(others);
        assert!(read(&intake, "b.example", &[b"1234", b"5"]).await.is_ok());
    }

    #[actix_web::test]
    async fn all_callers_together_have_no_more_than_the_door() {
        let intake = intake();
        let full = |caller: usize| {
            let mut share = intake.share(&caller.to_string());
            share.grow(OF_A_CALLER).unwrap();
            share
        };
        let mut taken: Vec<Share> = (0..OF_A_DOOR / OF_A_CALLER).map(full).collect();
        assert!(busy(read(&intake, "late", &[b"1"]).await));
        taken.pop();
        assert!(read(&intake, "late", &[b"1"]).await.is_ok());
    }
}
