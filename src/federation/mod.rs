//! The federation door: MIMI endpoints for other providers, over mutual TLS. The directory is open to all; everything
//! else needs a certificate, and a `From` that the certificate bears out.

mod body;
mod caller;
mod door;
mod error;
mod idempotency;
mod routes;
mod target;

pub use routes::routes;

use error::FederationError;

use std::any::Any;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::{Extensions, Server};
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::web::{Data, ServiceConfig};
use actix_web::{App, HttpServer};
use portcullis_core::identity::certificate::PeerCertificate;
use rustls::ServerConfig;

use crate::config::Config;
use crate::gateway::Gateway;
use crate::http::heads::{self, KEPT_FOR};
use crate::peer::{SetupError, TlsMaterial};
use crate::telemetry;
use caller::Certificate;
use door::Door;

/// How long an idle connection of HTTP/2 is kept, which then is asked for a sign of life.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// How long running requests may take after the door has been told to close, in seconds. Short, because the server
/// waits as long for idle HTTP/2 connections too, and peers keep theirs open.
const DRAIN_SECONDS: u64 = 5;

/// Opens the door on a bound socket. The server runs once it is awaited or spawned; its handle stops it, gracefully if
/// asked: no new connections, requests that run are finished.
///
/// # Errors
///
/// [`SetupError`] when keys, trust anchors or the socket cannot be used.
pub fn open(gateway: Gateway, config: &Config, listener: TcpListener) -> Result<Server, SetupError> {
    let tls = TlsMaterial::load(&config.keys)?.server_config()?;
    let door = Door::new(config, gateway.peers().clone());
    let gateway = Data::new(gateway);
    let endpoints = move |app: &mut ServiceConfig| {
        app.app_data(gateway.clone());
        routes::endpoints(app);
    };
    listen(listener, tls, door, endpoints).map_err(SetupError::Socket)
}

fn listen(
    listener: TcpListener,
    tls: ServerConfig,
    door: Door,
    endpoints: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> io::Result<Server> {
    let (head, door) = (door.head, Data::new(door));
    let app = move || {
        App::new()
            .wrap(from_fn(heads::count))
            .wrap(from_fn(telemetry::request))
            .app_data(telemetry::Door::Federation)
            .app_data(door.clone())
            .configure(routes::directory)
            .configure(endpoints.clone())
            .default_service(actix_web::web::to(routes::unknown))
    };
    let server = HttpServer::new(app)
        .on_connect(move |connection, extensions| {
            remember_certificate(connection, extensions);
            heads::watch(connection, extensions, head + KEPT_FOR);
        })
        .client_request_timeout(head)
        .tls_handshake_timeout(head)
        .tcp_nodelay(true)
        .keep_alive(IDLE_TIMEOUT)
        .shutdown_timeout(DRAIN_SECONDS)
        .disable_signals()
        .listen_rustls_0_23(listener, tls)?;
    Ok(server.run())
}

/// Keeps what the leaf of the caller's verified chain says beside the connection.
fn remember_certificate(connection: &dyn Any, extensions: &mut Extensions) {
    let tls = connection.downcast_ref::<TlsStream<TcpStream>>();
    let leaf = tls.and_then(|tls| tls.get_ref().1.peer_certificates()?.first());
    if let Some(leaf) = leaf {
        extensions.insert(Certificate(PeerCertificate::read(leaf)));
    }
}

#[cfg(test)]
mod tests;
