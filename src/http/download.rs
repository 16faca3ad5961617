//! Files on their way to who has asked for them.

use std::convert::Infallible;
use std::sync::Arc;

use actix_web::body::SizedStream;
use actix_web::http::{StatusCode, header};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::StreamExt as _;
use futures_util::stream::{Stream, unfold};

use crate::assets::{Asked, Body, Download, Place};

/// So much is handed to the connection at once, in bytes: less than what it buffers.
const PIECE_BYTES: usize = 16 << 10;

/// The next piece of bytes that are to be sent, which are shorter by it; `None` when nothing is left of them.
pub(crate) fn piece(bytes: &mut Bytes) -> Option<Bytes> {
    let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
    (!piece.is_empty()).then_some(piece)
}

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
            let pieces = unfold((pieces, download.place), |(mut pieces, place)| async move {
                Some((pieces.next().await?, (pieces, place)))
            });
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
) -> SizedStream<impl Stream<Item = Result<Bytes, Infallible>>> {
    let length = bytes.len() as u64;
    let pieces = unfold((bytes, place), |(mut bytes, place)| async move {
        let piece = piece(&mut bytes)?;
        Some((Ok(piece), (bytes, place)))
    });
    SizedStream::new(length, pieces)
}
