//! POST requests: each carries an `Idempotency-Key`, and the same request again gets the same answer
//! (draft-ietf-httpapi-idempotency-key-header).

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::web::{self, Bytes, Data};
use actix_web::{FromRequest, HttpRequest, HttpResponse, dev::Payload};
use portcullis_store::answers::StoredAnswer;
use portcullis_store::{Store, Tx, answers};
use serde::{Deserialize, Serialize};
use tracing::Instrument as _;

use super::body::{self, Base64};
use super::problem::Problem;
use super::reply::Reply;
use crate::gateway::{Clock, GatewayError};
use crate::peer::causes;

/// Header that names a request, chosen by the client; a repetition carries the same.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Longest key, in characters.
const MAX_KEY_CHARS: usize = 128;

/// How long an answer is kept for a repetition.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// What repetitions are recognised by, shared by all requests of the process.
pub(crate) struct Answered {
    store: Store,
    clock: Clock,
    /// Requests being worked on now. Two replicas may work on the same one; the use cases guard themselves.
    running: Mutex<HashSet<[u8; 32]>>,
}

impl Answered {
    pub(crate) fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock, running: Mutex::new(HashSet::new()) }
    }
}

/// Who may post at a door.
pub(crate) trait Caller: Clone + 'static {
    /// Keeps the doors' idempotency keys apart.
    const DOOR: &'static str;

    /// Whom a request speaks for.
    ///
    /// # Errors
    ///
    /// [`Problem::Auth`].
    fn authenticate(request: &HttpRequest) -> impl Future<Output = Result<Self, Problem>>;

    /// What the caller is called: its idempotency keys are its own.
    fn name(&self) -> &str;
}

/// A POST whose caller is known, whose key is there and whose body is within its limit, read in this order.
pub(crate) struct Post<C> {
    caller: C,
    body: Bytes,
    scope: [u8; 32],
    answered: Arc<Answered>,
}

impl<C: Caller> FromRequest for Post<C> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), web::Payload::from_request(request, payload));
        Box::pin(async move {
            let caller = C::authenticate(&request).await?;
            let key = request.headers().get(IDEMPOTENCY_KEY).and_then(|value| value.to_str().ok());
            let key =
                key.filter(|key| (1..=MAX_KEY_CHARS).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()));
            let key = key.ok_or(Problem::IdempotencyKeyMissing)?;
            let parts = [C::DOOR.as_bytes(), caller.name().as_bytes(), request.path().as_bytes(), key.as_bytes()];
            let scope = answers::scope(&parts);
            let answered = request.app_data::<Data<Answered>>().ok_or(Problem::Unconfigured)?.clone().into_inner();
            let payload = payload.await.map_err(|_| Problem::Unconfigured)?;
            let body = body::read(&request, payload).await?;
            Ok(Self { caller, body, scope, answered })
        })
    }
}

impl<C: Caller> Post<C> {
    /// Does `work` unless this request was answered before, and keeps its answer.
    ///
    /// The work goes on when the client leaves: whoever repeats the request gets its answer. A fault of ours is not
    /// kept, so that it can be tried again.
    pub(crate) async fn once<W, F>(self, work: W) -> Result<HttpResponse, Problem>
    where
        W: FnOnce(C, Bytes) -> F + 'static,
        F: Future<Output = Result<Reply, Problem>> + 'static,
    {
        let Self { caller, body, scope, answered } = self;
        let running = Running::enter(Arc::clone(&answered), scope).ok_or(Problem::InProgress)?;
        let fingerprint = answers::scope(&[&body]);
        let done = async move {
            let _running = running;
            if let Some(kept) = recall(&answered, scope).await? {
                return if kept.fingerprint.0 == fingerprint {
                    Ok(kept.reply)
                } else {
                    Err(Problem::IdempotencyKeyReused)
                };
            }
            let outcome = work(caller.clone(), body).await;
            let reply = match &outcome {
                Ok(reply) => Some(reply.clone()),
                Err(problem) => Reply::refusal(problem),
            };
            if let Some(reply) = reply {
                keep(&answered, scope, caller.name(), &Kept { fingerprint: Base64(fingerprint.to_vec()), reply }).await;
            }
            outcome
        };
        let done = actix_web::rt::spawn(done.instrument(tracing::Span::current()));
        let reply = done.await.map_err(GatewayError::internal)??;
        Ok(reply.into())
    }
}

/// What is kept of an answered request.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// SHA-256 of the request's body.
    fingerprint: Base64,
    reply: Reply,
}

async fn recall(answered: &Arc<Answered>, scope: [u8; 32]) -> Result<Option<Kept>, Problem> {
    let now = answered.clock.now();
    let store = answered.store.clone();
    let stored = tokio::task::spawn_blocking(move || store.read(|conn| answers::lookup(conn, &scope, now)));
    let stored = stored.await.map_err(GatewayError::internal)?.map_err(GatewayError::from)?;
    // An answer in a form this version does not know is as good as none.
    Ok(stored.and_then(|stored| serde_json::from_slice(&stored.body).ok()))
}

/// Keeps the answer. The effect is durable already, so a failure here is no failure of the request; it is logged.
async fn keep(answered: &Arc<Answered>, scope: [u8; 32], caller: &str, kept: &Kept) {
    let Ok(body) = serde_json::to_vec(kept) else { return };
    let answer = StoredAnswer { status: kept.reply.status(), body, decision: kept.reply.decision() };
    let now = answered.clock.now();
    let write = move |tx: &mut Tx<'_>| answers::store(tx, &scope, &answer, now, now.plus(KEPT_FOR));
    if let Err(error) = answered.store.write_async(caller, write).await {
        tracing::warn!(error = causes(&error), "answer not kept for repetitions");
    }
}

/// Stands in the set of running requests as long as it lives.
struct Running {
    answered: Arc<Answered>,
    scope: [u8; 32],
}

impl Running {
    fn enter(answered: Arc<Answered>, scope: [u8; 32]) -> Option<Self> {
        let entered = answered.running.lock().unwrap_or_else(PoisonError::into_inner).insert(scope);
        // Lazily: one that did not enter must not leave when it is dropped.
        entered.then(|| Self { answered, scope })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.answered.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.scope);
    }
}
