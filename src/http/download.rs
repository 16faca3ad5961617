//! Files on their way to who has asked for them.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use actix_web::body::SizedStream;
use actix_web::http::{StatusCode, header};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::StreamExt as _;
use futures_util::stream::{Stream, poll_fn, unfold};
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use crate::assets::{Asked, Body, Download, FetchError, Place};

/// So much is handed to the connection at once, in bytes: less than what it buffers.
const PIECE_BYTES: usize = 16 << 10;

/// The next piece of bytes that are to be sent, which are shorter by it; `None` when nothing is left of them.
pub(crate) fn piece(bytes: &mut Bytes) -> Option<Bytes> {
    let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
    (!piece.is_empty()).then_some(piece)
}
/// How long the last bytes of a download may be on their way to who reads it.
const GRACE: Duration = Duration::from_secs(5);

/// What of a file a request asks for.
pub(crate) fn asked(request: &HttpRequest) -> Asked {
    Asked::read(|name| request.headers().get(name)?.to_str().ok())
}

/// The file as an answer. What it holds is for clients and never for a browser to run in our name.
pub(crate) fn answer(download: Download) -> HttpResponse {
    let status = StatusCode::from_u16(download.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = HttpResponse::build(status);
    for (name, value) in download.headers {
        response.insert_header((name, value));
    }
    response.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    response.insert_header((header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"));
    match download.body {
        Body::Empty => response.finish(),
        Body::Whole(bytes) => response.body(held(bytes, download.place)),
        Body::Flow { length, pieces } => {
            let pieces = bounded(pieces, download.place);
            match length {
                Some(length) => response.body(SizedStream::new(length, pieces)),
                None => response.streaming(pieces),
            }
        }
    }
}

/// Bytes as the body of an answer, with the place that they take until they are gone.
pub(crate) fn held(
    bytes: Bytes,
    place: Option<Arc<Place>>,
) -> SizedStream<impl Stream<Item = Result<Bytes, FetchError>>> {
    let length = bytes.len() as u64;
    let pieces = unfold(bytes, |mut bytes| async move {
        let piece = piece(&mut bytes)?;
        Some((Ok(piece), bytes))
    });
    SizedStream::new(length, bounded(Box::pin(pieces), place))
}

/// Pieces with the place that they take: until all are taken, and not for longer than it was taken for and [`GRACE`]. Then they are
/// let go of even when who reads them does not ask for another one, and whoever asks later finds the file broken off.
fn bounded<S>(pieces: S, place: Option<Arc<Place>>) -> impl Stream<Item = Result<Bytes, FetchError>> + use<S>
where
    S: Stream<Item = Result<Bytes, FetchError>> + Unpin + Send + 'static,
{
    let until = place.as_ref().map(|place| place.until() + GRACE);
    let held = Arc::new(Mutex::new(Some((pieces, place))));
    // Dropped with the stream, which ends the watch.
    let (reading, mut read) = oneshot::channel::<()>();
    if let Some(until) = until {
        let watched = Arc::downgrade(&held);
        tokio::spawn(async move {
            if timeout_at(until, &mut read).await.is_err()
                && let Some(held) = watched.upgrade()
            {
                held.lock().unwrap_or_else(PoisonError::into_inner).take();
            }
        });
    }
    poll_fn(move |context| {
        let _reading = &reading;
        match &mut *held.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((pieces, _)) => pieces.poll_next_unpin(context),
            None => Poll::Ready(Some(Err(FetchError::TimedOut))),
        }
    })
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::assets::Places;

    #[tokio::test]
    async fn who_does_not_read_on_keeps_neither_bytes_nor_place_beyond_its_time() {
        let places = Places::new(1, 1);
        let place = |until| Some(Arc::new(places.take("a", until).unwrap()));
        let pieces = || Box::pin(futures_util::stream::iter([b"a", b"b"].map(|piece| Ok(Bytes::from_static(piece)))));
        let mut stalled = bounded(pieces(), place(Instant::now()));
        assert_eq!(stalled.next().await.unwrap().unwrap(), "a");
        assert!(places.take("b", Instant::now()).is_err());
        drop(stalled);
        let mut stalled = bounded(pieces(), place(Instant::now().checked_sub(GRACE).unwrap()));
        // Until the watch has had its turn.
        while places.take("b", Instant::now()).is_err() {
            tokio::task::yield_now().await;
        }
        assert!(matches!(stalled.next().await, Some(Err(FetchError::TimedOut))));
    }
}
