//! The provider door: HTTP and JSON for the company's chat backend and its clients, with bearer tokens.

mod assets;
mod auth;
mod consent;
mod devices;
mod events;
mod group_info;
mod key_material;
mod key_packages;
mod messages;
mod ohttp;
mod openapi;
mod profile;
mod reports;
mod rooms;
mod routes;
mod updates;
mod users;

pub mod client;

#[cfg(test)]
mod tests;

pub use crate::http::{
    AuthError, Base64, CODES, DECISION, IDEMPOTENCY_KEY, KeysError, MEDIA_TYPE, Problem, ProblemDetails, token,
};
pub use auth::{ACTING_USER, Tokens, User};
pub use consent::{ChangeConsent, Consents, StandingConsent};
pub use events::Event;
pub use key_packages::{KeyPackageCount, KeyPackages};
pub use profile::{Profile, ProfileField};
pub use rooms::{CreateRoom, FirstGroup, RoomCreated};
pub use routes::routes;

use std::net::TcpListener;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web::{Data, ServiceConfig};
use actix_web::{App, HttpServer};
use portcullis_core::wire::uri::UserUri;
use tokio::sync::watch;

use crate::config::{Config, ProviderListener, Rate};
use crate::gateway::Gateway;
use crate::http::heads::{self, KEPT_FOR};
use crate::http::{self, Answered, Intake, Reply, body};
use crate::limits::Limiter;
use crate::telemetry;
use events::Streams;

/// A POST by a user of ours.
type Post = http::Post<UserUri>;

/// The same by a user who may be deactivated.
type LastPost = http::Post<auth::EvenOut>;

/// Threads that take requests; the work itself is done on the runtime's blocking threads.
const WORKERS: usize = 2;

/// How long requests under way may take once a stop is asked for.
const DRAIN_SECONDS: u64 = 10;

/// Opens the door on a bound socket. The server runs while it is awaited and stops by its handle; signals are the
/// caller's business. Event streams, which have no end of their own, end when `closing` becomes true: set it before
/// stopping the server, or the stop waits for them.
///
/// # Errors
///
/// When the key set is a file that cannot be read, or the socket cannot be listened on.
pub async fn open(
    gateway: Gateway,
    config: &Config,
    listener: TcpListener,
    closing: watch::Receiver<bool>,
) -> Result<Server, OpenError> {
    let ProviderListener { jwks, issuer, claims, .. } = &config.listeners.provider;
    let tokens = Tokens::open(jwks, issuer.clone(), config.domains.clone()).await?;
    let tokens = tokens.but_for(gateway.clone()).keeping(claims.clone());
    let door = Door::new(gateway, tokens, config.limits.user, closing);
    let intake = Intake::new(config.limits.body());
    let head = config.limits.head();
    let server = HttpServer::new(move || {
        let door = door.clone();
        App::new()
            .wrap(from_fn(heads::count))
            .wrap(from_fn(telemetry::request))
            .app_data(telemetry::Door::Provider)
            .app_data(intake.clone())
            .configure(move |service| door.configure(service))
    });
    let server = server
        .workers(WORKERS)
        .tcp_nodelay(true)
        .client_request_timeout(head)
        .keep_alive(KEPT_FOR)
        .on_connect(move |connection, extensions| heads::watch(connection, extensions, head + KEPT_FOR))
        .shutdown_timeout(DRAIN_SECONDS)
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}

/// Why the door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The key set that signs the tokens.
    #[error("key set of the provider door is not usable")]
    Keys(#[from] KeysError),
    /// The socket.
    #[error("cannot listen for the provider door")]
    Listen(#[from] std::io::Error),
}

/// What all workers of the door share.
#[derive(Clone)]
struct Door {
    gateway: Data<Gateway>,
    tokens: Data<Tokens>,
    limit: Data<Limiter<UserUri>>,
    answered: Data<Answered>,
    streams: Data<Streams>,
}

impl Door {
    fn new(gateway: Gateway, tokens: Tokens, limit: Rate, closing: watch::Receiver<bool>) -> Self {
        let store = gateway.store().clone();
        Self {
            answered: Data::new(Answered::new(store, gateway.clock().clone())),
            streams: Data::new(Streams { gateway: gateway.clone(), closing }),
            tokens: Data::new(tokens),
            limit: Data::new(Limiter::new(limit)),
            gateway: Data::new(gateway),
        }
    }

    /// Registers the routes and what they need.
    fn configure(&self, service: &mut ServiceConfig) {
        service
            .app_data(self.gateway.clone())
            .app_data(self.tokens.clone())
            .app_data(self.limit.clone())
            .app_data(self.answered.clone())
            .app_data(self.streams.clone());
        http::register(routes::RESOURCES, service);
    }
}
