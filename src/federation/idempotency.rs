use std::future::{Future, Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use portcullis_core::wire::uri::Domain;
use portcullis_store::answers;

use super::FederationError;
use crate::gateway::{Gateway, GatewayError, Kept, Once};

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
    /// Does `work`, or gives the answer that it gave before. Caller, path, key and the body too name the request, so that
    /// a key used twice for different bodies never gives the answer to the other one. What is refused without an answer
    /// of the protocol is decided again.
    pub(super) async fn once<F>(
        &self,
        gateway: &Gateway,
        from: &Domain,
        body: &[u8],
        work: impl FnOnce(Once) -> F,
    ) -> Result<Kept, GatewayError>
    where
        F: Future<Output = Result<Kept, GatewayError>>,
    {
        let Some(KeyAndPath { key, path }) = &self.0 else { return work(Once::unnamed()).await };
        let scope = answers::scope(&[b"federation", from.as_str().as_bytes(), path.as_bytes(), key, body]);
        let once = Once::named(scope, body, gateway.clock().now(), |_| None);
        once.answer(gateway.store(), work(once)).await
    }
}
