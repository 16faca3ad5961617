//! What a device is sent, as a resumable stream of server-sent events.
//!
//! The cursor is the position in the store's stream. Positions are given after commit, in one order and without gaps
//! (correction C-4), so whoever continues after the last position it has seen misses nothing and sees nothing twice.

use std::time::Duration;

use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut, Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use portcullis_core::wire::uri::{ClientUri, RoomUri};
use portcullis_store::streams::{StreamItem, StreamRow};
use portcullis_store::{Store, Topic, devices, streams};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use utoipa::{IntoParams, ToSchema};

use super::Problem;
use super::auth::User;
use super::body::{Base64, Id};
use crate::gateway::GatewayError;
use crate::peer::causes;
use crate::telemetry::metrics::OpenStream;

/// Silence after which a comment is sent, so that dead connections show. The stream is read again then, too.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Events read and sent at once.
const BATCH: u32 = 16;

/// First words on every stream: how long a browser waits before it connects again, in milliseconds.
const GREETING: &[u8] = b"retry: 1000\n\n";

/// Where the streams come from, and when they end.
pub(super) struct Streams {
    /// The database.
    pub(super) store: Store,
    /// Becomes true when the gateway drains; all streams end then.
    pub(super) closing: watch::Receiver<bool>,
}

/// One event of a device; stands in the `data` of a server-sent event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// The room it happened in.
    #[schema(value_type = String)]
    pub room: RoomUri,
    /// What it is. From the hub: `commit`, `proposal`, `application` or `welcome`. From this gateway, of rooms that
    /// other providers host: `group_info_wanted`, it no longer knows the group and asks for an upload; `leave`, the
    /// company wants its users out: the client proposes that it leaves, in every epoch anew until that is committed.
    /// Clients pass over kinds that they do not know.
    pub kind: String,
    /// When the hub accepted it, or the gateway said so, in milliseconds since the UNIX epoch.
    pub at: u64,
    /// The `FanoutMessage` of the hub, TLS-encoded, in base64; empty for what the gateway says itself.
    #[schema(value_type = String, format = Byte)]
    pub payload: Base64,
}

/// Where to continue.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct From {
    /// Position of the last event the device has; what comes after it is sent. Without it, everything kept is sent.
    /// The header `Last-Event-ID` stands above it.
    cursor: Option<u64>,
}

/// Stream a device's events
///
/// Server-sent events: `id` is the position to continue after, `event` the kind, `data` an `Event` in JSON. Nothing is
/// lost or repeated when the next request names the last `id`. Comments keep the connection alive. The stream ends
/// with the token.
#[utoipa::path(
    get,
    path = "/v1/devices/{device}/events",
    tag = "devices",
    params(
        ("device" = String, Path, description = "Client identifier, percent-encoded"),
        ("Last-Event-ID" = Option<u64>, Header, description = "Position of the last event the device has"),
        From
    ),
    responses((status = 200, description = "Events, without end", body = String, content_type = "text/event-stream"))
)]
pub(super) async fn stream(
    caller: User,
    device: Id<ClientUri>,
    request: HttpRequest,
    streams: Data<Streams>,
) -> Result<HttpResponse, Problem> {
    let after = cursor(&request)?;
    let (store, named) = (streams.store.clone(), device.0.clone());
    let owner = tokio::task::spawn_blocking(move || store.read(move |conn| devices::device_user(conn, &named)));
    let owner = owner.await.map_err(GatewayError::internal)?.map_err(GatewayError::from)?;
    if owner.is_none_or(|owner| owner != caller.uri) {
        return Err(GatewayError::NotFound.into());
    }
    let now = Duration::from_secs(jsonwebtoken::get_current_timestamp());
    let feed = Feed {
        store: streams.store.clone(),
        device: device.0,
        after,
        changed: streams.store.changes(Topic::Streams),
        closing: streams.closing.clone(),
        _open: OpenStream::new(),
        until: Instant::now() + Duration::from_secs(caller.until).saturating_sub(now),
    };
    let greeting = futures_util::stream::iter([Ok(Bytes::from_static(GREETING))]);
    let events = futures_util::stream::unfold(feed, Feed::next);
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // Proxies must not hold events back.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(futures_util::StreamExt::chain(greeting, events)))
}

fn cursor(request: &HttpRequest) -> Result<u64, Problem> {
    let malformed = || Problem::Malformed("the cursor is not the `id` of an event".to_owned());
    if let Some(last) = request.headers().get("Last-Event-ID") {
        return last.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(malformed);
    }
    let from = Query::<From>::from_query(request.query_string()).map_err(|_| malformed())?;
    Ok(from.cursor.unwrap_or_default())
}

/// A stream being sent.
struct Feed {
    store: Store,
    device: ClientUri,
    after: u64,
    changed: watch::Receiver<u64>,
    closing: watch::Receiver<bool>,
    _open: OpenStream,
    until: Instant,
}

impl Feed {
    /// What to send next. Ends when the gateway drains, when the token ends, or when the database does not answer:
    /// the device then comes again with its cursor.
    async fn next(mut self) -> Option<(Result<Bytes, Problem>, Self)> {
        loop {
            if *self.closing.borrow() || self.until <= Instant::now() {
                return None;
            }
            // Seen before reading, so that what is positioned meanwhile wakes us again.
            self.changed.mark_unchanged();
            match self.read().await {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Some((Ok(bytes), self)),
                Err(error) => {
                    tracing::warn!(error = causes(&error), device = %self.device, "event stream not read");
                    return None;
                }
            }
            let silent = tokio::select! {
                _ = self.closing.wait_for(|closing| *closing) => return None,
                () = sleep_until(self.until) => return None,
                changed = self.changed.changed() => match changed {
                    Ok(()) => false,
                    Err(_) => return None,
                },
                () = sleep(HEARTBEAT) => true,
            };
            if silent {
                return Some((Ok(Bytes::from_static(b":\n\n")), self));
            }
        }
    }

    /// The next events as they go over the wire; moves the cursor.
    async fn read(&mut self) -> Result<Bytes, GatewayError> {
        let (store, device, after) = (self.store.clone(), self.device.clone(), self.after);
        let rows =
            tokio::task::spawn_blocking(move || store.read(move |conn| streams::read(conn, &device, after, BATCH)));
        let rows = rows.await.map_err(GatewayError::internal)??;
        let mut bytes = BytesMut::new();
        for StreamRow { position, item } in rows {
            let StreamItem { room, kind, payload, at } = item;
            let event = Event { room, kind, at: at.0, payload: Base64(payload) };
            let data = serde_json::to_string(&event).map_err(GatewayError::internal)?;
            let frame = format!("id: {position}\nevent: {}\ndata: {data}\n\n", event.kind);
            bytes.extend_from_slice(frame.as_bytes());
            self.after = position;
        }
        Ok(bytes.freeze())
    }
}
