use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{Bytes, Data};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};

use super::FederationError;
use super::caller::LetIn;
use super::door::Door;
use crate::http::intake::Refused;
use crate::peer::OHTTP_PATH;

/// Longest `update`, in bytes: commit, Welcome, GroupInfo and tree of a large group.
pub(super) const UPDATE_BYTES: usize = 16 << 20;

/// Longest `submitMessage`, in bytes.
pub(super) const SUBMIT_BYTES: usize = 1 << 20;

/// Longest `notify`, in bytes: a batch of events, or one alone that may be a Welcome with the tree of a large room. Above
/// what a hub takes as an update, so that nothing it accepts is refused here.
pub(super) const NOTIFY_BYTES: usize = 24 << 20;

/// Longest `reportAbuse`, in bytes: sixteen messages as long as policies usually let them be.
pub(super) const REPORT_BYTES: usize = 5 << 20;

/// Longest body of every other endpoint, in bytes.
pub(super) const OTHER_BYTES: usize = 256 << 10;

/// The type of an encapsulated request (RFC 9458, section 4.3).
const OBLIVIOUS: &str = "message/ohttp-req";

/// The bytes of a body that is not longer than `LIMIT_BYTES`, of a [`Peer`](super::caller::Peer) that stands before it
/// among what a handler takes: nothing is read of anybody else. A longer one is refused by its `Content-Length`, or as
/// soon as it has grown too long, and nothing of it is parsed.
pub(super) struct Body<const LIMIT_BYTES: usize>(pub(super) Bytes);

impl<const LIMIT_BYTES: usize> FromRequest for Body<LIMIT_BYTES> {
    type Error = FederationError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, FederationError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        // What a relay hands in for somebody whom it does not check is for the gateway that opens it, and for no other endpoint.
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let relayed = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(OBLIVIOUS));
        let strays = relayed && request.path() != OHTTP_PATH;
        let from = request.extensions().get::<LetIn>().map(|LetIn(from)| from.clone());
        Box::pin(async move {
            if strays {
                return Err(FederationError::Strayed);
            }
            let door = request.app_data::<Data<Door>>().ok_or(FederationError::NotSetUp)?;
            let from = from.ok_or(FederationError::NotSetUp)?;
            let read = door.intake.read(&request, payload, from.as_str(), LIMIT_BYTES).await;
            read.map(Self).map_err(|refused| match refused {
                Refused::Oversize => FederationError::Oversize { limit_bytes: LIMIT_BYTES },
                Refused::Slow => FederationError::SlowBody,
                Refused::Broken(error) => FederationError::BrokenBody(error),
                Refused::Busy(error) => error.into(),
            })
        })
    }
}
