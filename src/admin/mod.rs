//! The admin door: HTTP and JSON for the company's people, with bearer tokens whose roles decide. A listener of its own.

mod addresses;
mod asks;
mod audit;
mod decisions;
mod exports;
mod join_codes;
mod lanes;
mod letters;
mod moderation;
mod openapi;
mod operator;
mod page;
mod peers;
mod policies;
mod problems;
mod reports;
mod rooms;
mod routes;
mod shadows;
mod status;

pub use problems::CODES;
pub use routes::routes;

use std::net::TcpListener;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web::{Data, ServiceConfig};
use actix_web::{App, HttpServer};

use crate::config::{AdminListener, Limits, Rate};
use crate::gateway::Gateway;
use crate::gateway::admin::Operator;
use crate::http::heads::{self, KEPT_FOR};
use crate::http::{self, Answered, Intake, KeysError};
use crate::limits::Limiter;
use crate::telemetry;
use operator::Operators;
use status::Started;

/// A POST by one of the company's people.
type Post = http::Post<Operator>;

/// Threads that take requests; the work itself is done on the runtime's blocking threads.
const WORKERS: usize = 1;

/// How long requests under way may take once a stop is asked for.
const DRAIN_SECONDS: u64 = 10;

/// Opens the door on a bound socket. The server runs while it is awaited and stops by its handle; signals are the
/// caller's business.
///
/// # Errors
///
/// When the key set is a file that cannot be read, or the socket cannot be listened on.
pub async fn open(
    gateway: Gateway,
    listener: &AdminListener,
    limits: &Limits,
    socket: TcpListener,
) -> Result<Server, OpenError> {
    let door = Door::new(gateway, Operators::open(listener).await?, limits.operator);
    let intake = Intake::new(limits.body());
    let head = limits.head();
    let server = HttpServer::new(move || {
        let door = door.clone();
        App::new()
            .wrap(from_fn(heads::count))
            .wrap(from_fn(telemetry::request))
            .app_data(telemetry::Door::Admin)
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
        .listen(socket)?;
    Ok(server.run())
}

/// Why the door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The key set that signs the tokens.
    #[error("key set of the admin door is not usable")]
    Keys(#[from] KeysError),
    /// The socket.
    #[error("cannot listen for the admin door")]
    Listen(#[from] std::io::Error),
}

/// What all workers of the door share.
#[derive(Clone)]
struct Door {
    gateway: Data<Gateway>,
    operators: Data<Operators>,
    limit: Data<Limiter<String>>,
    answered: Data<Answered>,
    started: Data<Started>,
}

impl Door {
    fn new(gateway: Gateway, operators: Operators, limit: Rate) -> Self {
        Self {
            answered: Data::new(Answered::new(gateway.store().clone(), gateway.clock().clone())),
            started: Data::new(Started(gateway.clock().now())),
            operators: Data::new(operators),
            limit: Data::new(Limiter::new(limit)),
            gateway: Data::new(gateway),
        }
    }

    /// Registers the routes and what they need.
    fn configure(&self, service: &mut ServiceConfig) {
        service
            .app_data(self.gateway.clone())
            .app_data(self.operators.clone())
            .app_data(self.limit.clone())
            .app_data(self.answered.clone())
            .app_data(self.started.clone());
        http::register(routes::RESOURCES, service);
    }
}
