use std::time::Instant;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use tracing::{Instrument as _, field};

use super::metrics;

/// The door that a request came through: its application holds one as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// For other providers.
    Federation,
    /// For the chat backend.
    Provider,
    /// For people.
    Admin,
    /// For the company's identity provider.
    Directory,
}

impl Door {
    fn name(self) -> &'static str {
        match self {
            Self::Federation => "federation",
            Self::Provider => "provider",
            Self::Admin => "admin",
            Self::Directory => "directory",
        }
    }
}

/// Middleware that puts each request into a span and measures it. Paths are given as their pattern: identifiers of
/// people belong to the audit log.
///
/// # Errors
///
/// What the handler gives.
pub async fn request(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let route = request.match_pattern().unwrap_or_default();
    let door = request.app_data::<Door>().map_or("", |door| door.name());
    let method = method(request.method().as_str());
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        portcullis.door = door,
        http.request.method = method,
        http.route = route,
        http.response.status_code = field::Empty,
    );
    let began = Instant::now();
    let response = next.call(request).instrument(span.clone()).await;
    let status = match &response {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    span.record("http.response.status_code", status.as_u16());
    metrics::request(door, method, &route, status.as_u16(), began.elapsed());
    response
}

/// Callers invent methods; labels are few.
fn method(name: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
    KNOWN.into_iter().find(|known| *known == name).unwrap_or("_OTHER")
}
