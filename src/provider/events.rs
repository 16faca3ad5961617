//! What a device is sent, as a resumable stream of server-sent events.
//!
//! The cursor is the position in the store's stream. Positions become visible in one order and without gaps
//! (correction C-4), so whoever continues after the last position it has seen misses nothing and sees nothing twice.

use std::time::Duration;

use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut, Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use portcullis_core::wire::uri::{ClientUri, RoomUri};
use portcullis_store::streams::{StreamItem, StreamRow};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use utoipa::{IntoParams, ToSchema};

use super::Problem;
use super::auth::EvenOut;
use super::body::{Base64, Id};
use crate::gateway::{DeviceStream, Gateway, GatewayError, Wake};
use crate::http::download;
use crate::peer::causes;
use crate::telemetry::metrics::OpenStream;

/// Silence after which a comment is sent, so that dead connections show. The stream is read again then, too.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Name of the last event of a stream whose device is read by a newer one.
pub(super) const SUPERSEDED: &str = "superseded";

/// First words on every stream: how long a browser waits before it connects again, in milliseconds.
const GREETING: &[u8] = b"retry: 1000\n\n";

/// Where the streams come from, and when they end.
pub(super) struct Streams {
    /// Lets users read.
    pub(super) gateway: Gateway,
    /// Becomes true when the gateway drains; all streams end then.
    pub(super) closing: watch::Receiver<bool>,
}

/// One event of a device; stands in the `data` of a server-sent event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// The room it happened in, or that it is about; absent where it is about none.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomUri>,
    /// What it is. From the hub: `commit`, `proposal`, `application` or `welcome`. From this gateway, of rooms that
    /// other providers host: `group_info_wanted`, it no longer knows the group and asks for an upload; `leave`, the
    /// company wants its users out: the client proposes that it leaves, in every epoch anew until that is committed.
    /// Between users: `consent_request` and `consent_cancel`, somebody asks for the user's consent, or no longer does;
    /// `consent_grant` and `consent_revoke`, somebody gives the user consent, or takes it back. A grant may hold
    /// KeyPackages, by which the one who gives it is added to a room that this gateway hosts; each is good for one use.
    /// Clients pass over kinds that they do not know.
    pub kind: String,
    /// When the hub accepted it, or the gateway said so, in milliseconds since the UNIX epoch.
    pub at: u64,
    /// The `FanoutMessage` of the hub, TLS-encoded, in base64; between users a `ConsentEntry`; empty for what the gateway
    /// says itself.
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
/// with the token, and when policy no longer lets the user read. A device has one stream: a newer one ends the older,
/// whose last event is `superseded`, without `id`; it does not connect again. A user has at most 32 streams at once in
/// each process of the gateway, and more get 429; so do more than 64 with those that were replaced and whose
/// connections are not closed yet. Of a user who is deactivated only a device with rooms of other providers to leave is
/// sent anything: `leave`, and their commits and proposals. At most 16 events or 1 MiB are sent together; one event may
/// be larger.
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
    EvenOut(caller): EvenOut,
    device: Id<ClientUri>,
    request: HttpRequest,
    streams: Data<Streams>,
) -> Result<HttpResponse, Problem> {
    let after = cursor(&request)?;
    let now = Duration::from_secs(jsonwebtoken::get_current_timestamp());
    let until = Instant::now() + Duration::from_secs(caller.until).saturating_sub(now);
    let feed = Feed {
        stream: streams.gateway.open_stream(caller.uri, device.0).await?,
        after,
        unsent: Bytes::new(),
        closing: streams.closing.clone(),
        over: false,
        _open: OpenStream::new(),
        until,
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
    let last = request.headers().get("Last-Event-ID");
    let after = match last {
        Some(last) => last.to_str().ok().and_then(|text| text.parse().ok()),
        None => Query::<From>::from_query(request.query_string()).ok().map(|from| from.cursor.unwrap_or_default()),
    };
    after.filter(|after| i64::try_from(*after).is_ok()).ok_or_else(malformed)
}

/// A stream being sent.
struct Feed {
    stream: DeviceStream,
    after: u64,
    /// Events that were read, as far as the connection has not taken them.
    unsent: Bytes,
    closing: watch::Receiver<bool>,
    /// The last was said.
    over: bool,
    _open: OpenStream,
    until: Instant,
}

impl Feed {
    /// What to send next. Ends when the gateway drains, when the token ends, when policy says so, when the device is read
    /// by a newer stream, when it was deleted, or when the database does not answer: the device then comes again with its cursor.
    async fn next(mut self) -> Option<(Result<Bytes, Problem>, Self)> {
        loop {
            // What is begun is said to its end: whatever came after a part of an event would be taken for the rest of it.
            if let Some(piece) = download::piece(&mut self.unsent) {
                return Some((Ok(piece), self));
            }
            if self.over || *self.closing.borrow() || self.until <= Instant::now() {
                return None;
            }
            if let Some(why) = self.stream.ended() {
                return self.end(why);
            }
            match self.read().await {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => {
                    self.unsent = bytes;
                    continue;
                }
                Err(GatewayError::NotFound) => return None,
                Err(error) => {
                    let device = self.stream.device();
                    tracing::warn!(error = causes(&error), %device, "event stream not read");
                    return None;
                }
            }
            let wake = tokio::select! {
                _ = self.closing.wait_for(|closing| *closing) => return None,
                () = sleep_until(self.until) => return None,
                wake = self.stream.wake(self.after) => Some(wake),
                () = sleep(HEARTBEAT) => None,
            };
            match wake {
                Some(Wake::Read) => {}
                Some(why) => return self.end(why),
                None => return Some((Ok(Bytes::from_static(b":\n\n")), self)),
            }
        }
    }

    /// The last words of a stream, where it has any.
    fn end(mut self, why: Wake) -> Option<(Result<Bytes, Problem>, Self)> {
        self.over = true;
        let last = Bytes::from(format!("event: {SUPERSEDED}\ndata: {{}}\n\n"));
        (why == Wake::Superseded).then(|| (Ok(last), self))
    }

    /// The next events as they go over the wire; moves the cursor.
    async fn read(&mut self) -> Result<Bytes, GatewayError> {
        let mut bytes = BytesMut::new();
        for StreamRow { position, item } in self.stream.read(self.after).await? {
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
