//! Connections on which the head of a further request begins and never ends. The server looks at the time for the first head
//! of a connection alone (actix-http 3.20), and stops looking at the time for which an idle one is kept with the first octet
//! that comes. So a connection of HTTP/1.1 is cut off here when nothing has been under way on it for both times together;
//! one of HTTP/2 is asked for a sign of life by the server.

use std::any::Any;
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::Error;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Extensions, ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::rt;
use actix_web::rt::net::TcpStream;
use actix_web::web::Bytes;
use tokio::sync::oneshot;

/// How long an idle connection of HTTP/1.1 is kept.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(5);

/// What is under way on a connection.
struct Connection {
    requests: AtomicUsize,
    since: Mutex<Instant>,
    /// Goes with the connection.
    _open: oneshot::Sender<()>,
}

impl Connection {
    /// For how long nothing has been under way.
    fn idle(&self) -> Duration {
        if self.requests.load(Ordering::Acquire) > 0 {
            return Duration::ZERO;
        }
        self.since.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// Has a connection cut off on which nothing has been under way for `most`.
pub(crate) fn watch(connection: &dyn Any, extensions: &mut Extensions, most: Duration) {
    let Some(socket) = of_http_1(connection).and_then(|tcp| tcp.as_fd().try_clone_to_owned().ok()) else { return };
    let (open, mut closed) = oneshot::channel();
    let watched =
        Arc::new(Connection { requests: AtomicUsize::new(0), since: Mutex::new(Instant::now()), _open: open });
    extensions.insert(Arc::clone(&watched));
    let watched = Arc::downgrade(&watched);
    rt::spawn(async move {
        let socket = std::net::TcpStream::from(socket);
        let mut left = most;
        while !left.is_zero() {
            tokio::select! {
                _ = &mut closed => return,
                () = rt::time::sleep(left) => {}
            }
            let Some(watched) = watched.upgrade() else { return };
            left = most.saturating_sub(watched.idle());
        }
        // It may have ended by itself.
        let _ = socket.shutdown(Shutdown::Both);
    });
}

fn of_http_1(connection: &dyn Any) -> Option<&TcpStream> {
    if let Some(tls) = connection.downcast_ref::<TlsStream<TcpStream>>() {
        let (tcp, session) = tls.get_ref();
        return (session.alpn_protocol() != Some(b"h2")).then_some(tcp);
    }
    connection.downcast_ref::<TcpStream>()
}

/// A request, from its head to the last octet of its answer.
struct UnderWay(Arc<Connection>);

impl UnderWay {
    fn begin(connection: &Arc<Connection>) -> Self {
        connection.requests.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(connection))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        *self.0.since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Counts the requests of watched connections.
///
/// # Errors
///
/// Those of the service.
pub(crate) async fn count(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let under_way = request.conn_data::<Arc<Connection>>().map(UnderWay::begin);
    let response = next.call(request).await?;
    Ok(match under_way {
        None => response.map_into_left_body(),
        Some(under_way) => response
            .map_body(|_, body| BoxBody::new(Answer { body: body.boxed(), _under_way: under_way }))
            .map_into_right_body(),
    })
}

/// A body with the request that it answers. It stays a stream however short it is: its end is asked for when the rest has
/// been written, and the connection of a slow reader is not idle.
struct Answer {
    body: BoxBody,
    _under_way: UnderWay,
}

impl MessageBody for Answer {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}
