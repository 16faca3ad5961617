//! The same request again gets the same answer (readings D-27, D-33): the answer is stored with the effect. A refusal
//! has no effect, and is decided again, but for a request that names itself ([`super::Once`]).

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::RoomUri;
use portcullis_store::answers::{self, Recognised, StoredAnswer};
use portcullis_store::{StoreError, Tx};
use uuid::Uuid;

use super::once::KEPT_FOR;
use super::{Answer, Caller, GatewayError, Inner};

/// Requests that this process remembers to have been answered: as many as the busiest peer sends in some seconds.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(16_383);

/// What is known to have been answered, so that a repetition is looked up before it gets in the way of others: in the write
/// lane it would undo their transaction. What another process has answered is learnt there, once.
pub(super) struct Taken(Mutex<LruCache<[u8; 32], ()>>);

impl Taken {
    fn known(&self) -> MutexGuard<'_, LruCache<[u8; 32], ()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Taken {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

/// Names a request by who sent it, where to, and its exact bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replay([u8; 32]);

impl Replay {
    pub(super) fn of(endpoint: &str, caller: &Caller, room: &RoomUri, body: &[u8]) -> Self {
        let caller = match caller {
            Caller::Peer(domain) => domain.as_str(),
            Caller::User(user) => user.as_str(),
        };
        Self(answers::scope(&[endpoint.as_bytes(), caller.as_bytes(), room.as_bytes(), body]))
    }

    /// Whether it is remembered that this request was answered.
    pub(super) fn is_known(self, inner: &Inner) -> bool {
        inner.taken.known().get(&self.0).is_some()
    }

    /// Remembers that this request was answered.
    pub(super) fn remember(self, inner: &Inner) {
        inner.taken.known().put(self.0, ());
    }

    /// The stored answer, if this request was answered before.
    pub(super) fn stored(self, inner: &Inner) -> Result<Option<Answer>, GatewayError> {
        let now = inner.clock.now();
        let stored = inner.store.read_one(|conn| answers::lookup(conn, &self.0, now))?;
        Ok(stored.map(|stored: StoredAnswer| Answer { body: stored.body, decision: stored.decision }))
    }

    /// Stores the answer beside its effect; fails when the request has had its effect meanwhile.
    pub(super) fn store(self, tx: &mut Tx<'_>, body: &[u8], decision: Uuid, now: Millis) -> Result<(), StoreError> {
        let answer = StoredAnswer { status: 200, body: body.to_vec(), decision: Some(decision) };
        answers::store(tx, Recognised::ByBody, &self.0, &answer, now, now.plus(KEPT_FOR))
    }
}
