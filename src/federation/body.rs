use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{Bytes, BytesMut, Data};
use actix_web::{FromRequest, HttpRequest};
use futures_util::StreamExt;

use super::FederationError;
use super::door::Door;
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

/// The bytes of a body that is not longer than `LIMIT_BYTES`. A longer one is refused by its `Content-Length`, or as
/// soon as it has grown too long, and nothing of it is parsed.
pub(super) struct Body<const LIMIT_BYTES: usize>(pub(super) Bytes);

impl<const LIMIT_BYTES: usize> FromRequest for Body<LIMIT_BYTES> {
    type Error = FederationError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, FederationError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let payload = payload.take();
        // What a relay hands in for somebody whom it does not check is for the gateway that opens it, and for no other endpoint.
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let relayed = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(OBLIVIOUS));
        let strays = relayed && request.path() != OHTTP_PATH;
        let patience = request.app_data::<Data<Door>>().map(|door| door.body);
        Box::pin(async move {
            if strays {
                return Err(FederationError::Strayed);
            }
            let patience = patience.ok_or(FederationError::NotSetUp)?;
            let reading = read(payload, announced, LIMIT_BYTES);
            tokio::time::timeout(patience, reading).await.map_err(|_| FederationError::SlowBody)?.map(Self)
        })
    }
}

async fn read(
    mut payload: Payload,
    announced_bytes: Option<usize>,
    limit_bytes: usize,
) -> Result<Bytes, FederationError> {
    if announced_bytes.is_some_and(|announced| announced > limit_bytes) {
        return Err(FederationError::Oversize { limit_bytes });
    }
    let mut body = BytesMut::with_capacity(announced_bytes.unwrap_or_default().min(OTHER_BYTES));
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(FederationError::BrokenBody)?;
        if body.len() + chunk.len() > limit_bytes {
            return Err(FederationError::Oversize { limit_bytes });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
