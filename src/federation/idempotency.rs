use std::future::{Future, Ready, ready};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use portcullis_core::wire::uri::Domain;
use portcullis_store::answers::{self, StoredAnswer};
use portcullis_store::{StoreError, Tx};

use super::FederationError;
use crate::gateway::{Answer, Gateway, GatewayError};
use crate::peer::causes;

/// How long an answer is kept for a caller that did not get it.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Longest key that is honoured, in bytes; a longer one is as good as none.
const KEY_BYTES: usize = 256;

/// `Idempotency-Key` and path of a request, where it has such a key (reading D-15).
pub(super) struct IdempotencyKey(Option<KeyAndPath>);

struct KeyAndPath {
    key: Vec<u8>,
    path: String,
}

impl FromRequest for IdempotencyKey {
    type Error = FederationError;
    type Future = Ready<Result<Self, FederationError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let key = request.headers().get("idempotency-key").map(|key| key.as_bytes().to_vec());
        let key = key.filter(|key| (1..=KEY_BYTES).contains(&key.len()));
        ready(Ok(Self(key.map(|key| KeyAndPath { key, path: request.uri().path().to_owned() }))))
    }
}

impl IdempotencyKey {
    /// What names this request among all: caller, path, key, and the body too, so that a key used twice for different
    /// bodies never gives the answer to the other one.
    pub(super) fn scope(&self, from: &Domain, body: &[u8]) -> Option<Scope> {
        let KeyAndPath { key, path } = self.0.as_ref()?;
        let hash = answers::scope(&[b"federation", from.as_str().as_bytes(), path.as_bytes(), key, body]);
        Some(Scope { hash, lane: from.to_string() })
    }
}

/// Names one request.
pub(super) struct Scope {
    hash: [u8; 32],
    lane: String,
}

/// Does `work`, or gives the answer it gave before. The answer is kept after the effect is durable: a crash in
/// between leaves it to the use case to know the same bytes again (readings D-27, D-33).
pub(super) async fn once(
    gateway: &Gateway,
    scope: Option<Scope>,
    work: impl Future<Output = Result<Answer, GatewayError>>,
) -> Result<Answer, GatewayError> {
    let Some(scope) = scope else { return work.await };
    if let Some(answer) = recall(gateway, scope.hash).await? {
        return Ok(answer);
    }
    let answer = work.await?;
    match keep(gateway, scope, &answer).await {
        // Of two at the same time one was kept; both were answered.
        Ok(()) | Err(StoreError::AlreadyAnswered) => {}
        Err(error) => tracing::warn!(cause = causes(&error), "answer is not kept for a repeated request"),
    }
    Ok(answer)
}

async fn recall(gateway: &Gateway, hash: [u8; 32]) -> Result<Option<Answer>, GatewayError> {
    let (store, now) = (gateway.store().clone(), gateway.clock().now());
    let read = tokio::task::spawn_blocking(move || store.read(|conn| answers::lookup(conn, &hash, now)));
    let stored = read.await.unwrap_or(Err(StoreError::Panicked))?;
    Ok(stored.map(|stored| Answer { body: stored.body, decision: stored.decision }))
}

async fn keep(gateway: &Gateway, scope: Scope, answer: &Answer) -> Result<(), StoreError> {
    let now = gateway.clock().now();
    let stored = StoredAnswer { status: 200, body: answer.body.clone(), decision: answer.decision };
    let Scope { hash, lane } = scope;
    let write = move |tx: &mut Tx<'_>| answers::store(tx, &hash, &stored, now, now.plus(KEPT_FOR));
    gateway.store().write_async(&lane, write).await
}
