//! Files on their way to who has asked for them.

use actix_web::body::SizedStream;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};

use crate::assets::{Asked, Body, Download};

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
        Body::Whole(bytes) => response.body(bytes),
        Body::Flow { length: Some(length), pieces } => response.body(SizedStream::new(length, pieces)),
        Body::Flow { length: None, pieces } => response.streaming(pieces),
    }
}
