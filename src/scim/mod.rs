//! The directory door: SCIM 2.0 (RFC 7644) for the company's identity provider, with bearer tokens of its own. A listener of its
//! own: who comes here is neither the chat backend nor one of the company's people, comes from outside as often as not, and says
//! who has rights at all.

mod caller;
mod discovery;
mod groups;
mod problem;
mod query;
mod routes;
mod users;

pub use routes::routes;

use std::net::TcpListener;
use std::sync::Arc;

use actix_web::dev::Server;
use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{App, HttpResponse, HttpResponseBuilder, HttpServer};
use serde::Serialize;

use crate::config::{Config, DirectoryListener};
use crate::gateway::Gateway;
use crate::gateway::people::Place;
use crate::http::heads::{self, KEPT_FOR};
use crate::http::{self, Intake};
use crate::limits::Limiter;
use crate::telemetry;

/// Threads that take requests; the work itself is done on the runtime's blocking threads.
const WORKERS: usize = 1;

/// How long requests under way may take once a stop is asked for.
const DRAIN_SECONDS: u64 = 10;

/// Media type of all bodies.
const MEDIA_TYPE: &str = "application/scim+json";

/// Where the door's own paths begin.
const BASE: &str = "/scim/v2";

/// Opens the door on a bound socket. The server runs while it is awaited and stops by its handle; signals are the caller's
/// business.
///
/// # Errors
///
/// When the socket cannot be listened on.
pub fn open(
    gateway: Gateway,
    listener: &DirectoryListener,
    config: &Config,
    socket: TcpListener,
) -> std::io::Result<Server> {
    let place = Data::new(Arc::new(Place {
        base: format!("{}{BASE}", listener.url.trim_end_matches('/')),
        domains: config.domains.clone(),
        mail_domains: listener.mail_domains.clone(),
    }));
    let (gateway, limit) = (Data::new(gateway), Data::new(Limiter::<String>::new(config.limits.user)));
    let intake = Intake::new(config.limits.body());
    let head = config.limits.head();
    let server = HttpServer::new(move || {
        App::new()
            .wrap(from_fn(heads::count))
            .wrap(from_fn(telemetry::request))
            .app_data(telemetry::Door::Directory)
            .app_data(intake.clone())
            .app_data(gateway.clone())
            .app_data(limit.clone())
            .app_data(place.clone())
            .configure(|service| http::register(routes::RESOURCES, service))
    });
    let server = server
        .workers(WORKERS)
        .tcp_nodelay(true)
        .client_request_timeout(head)
        .keep_alive(KEPT_FOR)
        .on_connect(move |connection, extensions| heads::watch(connection, extensions, head + KEPT_FOR))
        .shutdown_timeout(DRAIN_SECONDS)
        .disable_signals()
        .listen(socket)?;
    Ok(server.run())
}

/// An answer with a body.
fn answer(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    begin(status).body(serde_json::to_vec(body).unwrap_or_default())
}

fn begin(status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponseBuilder::new(status);
    response.content_type(MEDIA_TYPE);
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    response
}
