//! POST requests: each carries an `Idempotency-Key`, and the same request again gets the same answer
//! (draft-ietf-httpapi-idempotency-key-header), which is durable with what it tells of ([`Once`]).

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::web::{self, Bytes, Data};
use actix_web::{FromRequest, HttpRequest, HttpResponse, dev::Payload};
use portcullis_store::{Store, answers};
use tracing::Instrument as _;

use super::body;
use super::problem::Problem;
use crate::gateway::{Clock, GatewayError, Kept, Once, Reply};

/// Header that names a request, chosen by the client; a repetition carries the same.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Longest key, in characters.
const MAX_KEY_CHARS: usize = 128;

/// What repetitions are recognised by, shared by all requests of the process.
pub(crate) struct Answered {
    store: Store,
    clock: Clock,
    /// Requests being worked on now. Two replicas may work on the same one: who keeps its answer first has done it.
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
            let body = body::read(&request, payload, caller.name()).await?;
            Ok(Self { caller, body, scope, answered })
        })
    }
}

impl<C: Caller> Post<C> {
    /// Caller and body of a request whose answer is of no use to a repetition, and is not kept.
    pub(crate) fn unkept(self) -> (C, Bytes) {
        (self.caller, self.body)
    }

    /// Does `work` unless this request was answered before. Nothing is answered that is not kept: the work gets it from
    /// the transaction of its effect, and a refusal without one is kept here.
    ///
    /// The work goes on when the client leaves: whoever repeats the request gets its answer. A fault of ours is not
    /// kept, so that it can be tried again.
    pub(crate) async fn once<W, F>(self, work: W) -> Result<HttpResponse, Problem>
    where
        W: FnOnce(Once, C, Bytes) -> F + 'static,
        F: Future<Output = Result<Kept, Problem>> + 'static,
    {
        let Self { caller, body, scope, answered } = self;
        let running = Running::enter(Arc::clone(&answered), scope).ok_or(Problem::InProgress)?;
        let once = Once::named(scope, &body, answered.clock.now(), |error| Reply::refusal(&error.into()));
        let done = async move {
            let _running = running;
            let (store, lane) = (&answered.store, caller.name().to_owned());
            let problem = match once.answer(store, work(once, caller, body)).await {
                Ok(kept) => return Ok(kept),
                Err(problem) => problem,
            };
            let Some(refusal) = Reply::refusal(&problem) else { return Err(problem) };
            problem.log();
            Ok(once.keep_refusal(store, &lane, refusal).await?)
        };
        let done = actix_web::rt::spawn(done.instrument(tracing::Span::current()));
        Ok(done.await.map_err(GatewayError::internal)??.into_reply().into())
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
