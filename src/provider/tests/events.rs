use std::future::poll_fn;
use std::net::TcpListener;
use std::time::Duration;

use actix_web::body::MessageBody as _;
use actix_web::dev::ServerHandle;
use actix_web::http::header::AUTHORIZATION;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::web::{self, Data};
use actix_web::{App, HttpServer};
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{ClientUri, Domain, RoomUri};
use portcullis_store::audit::{Filter, Outcome};
use portcullis_store::streams::StreamItem;
use portcullis_store::{StoreError, Tx, audit, devices, streams};
use tokio::sync::watch;

use super::door::configuration;
use super::{ALICE, BOB, PHONE, World, alice, phone};
use crate::addresses::Resolver;
use crate::assets::Fetcher;
use crate::gateway::{Claims, Gateway, GatewayError, HubKeys, Parts, Policy, Reporters};
use crate::peer::Peers;
use crate::provider::client::{Client, ClientError, EventStream};
use crate::provider::events::{Streams, stream};

/// A door with nothing but event streams.
struct Door {
    world: World,
    gateway: Gateway,
    closing: watch::Sender<bool>,
    port: u16,
    server: ServerHandle,
}

impl Door {
    async fn open() -> Self {
        let world = World::new().await;
        let config = configuration(world.dir.path());
        let gateway = Gateway::new(Parts {
            domains: config.domains.clone(),
            store: world.store.clone(),
            policy: Policy::open(&config.policies).unwrap(),
            peers: Peers::new(&config).unwrap(),
            keys: HubKeys::read(&config.keys).unwrap(),
            clock: world.clock.clone(),
            claims: Claims::new(&config.limits),
            reporters: Reporters::new(&config.limits),
            assets: Fetcher::new(&config.assets, &[]).unwrap(),
            addresses: Resolver::new(&config).unwrap(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, closing) = (listener.local_addr().unwrap().port(), watch::Sender::new(false));
        let server = serve(&world, &gateway, listener, closing.subscribe());
        Self { world, gateway, closing, port, server }
    }

    /// Ends all connections at once, and opens the same port again.
    async fn restart(&mut self) {
        self.server.stop(false).await;
        let listener = TcpListener::bind(("127.0.0.1", self.port)).unwrap();
        self.server = serve(&self.world, &self.gateway, listener, self.closing.subscribe());
    }

    fn client(&self, token: String) -> Client {
        Client::new(&format!("http://127.0.0.1:{}", self.port), token).unwrap()
    }

    fn events(&self, after: u64) -> EventStream {
        self.client(self.world.token(ALICE)).events(&phone(), after)
    }

    /// Pushes payloads in one transaction and gives them their positions.
    async fn push(&self, payloads: std::ops::Range<u8>) {
        let room: RoomUri = "mimi://a.example/r/clubhouse".parse().unwrap();
        let now = self.world.clock.now();
        let items = payloads.map(|byte| StreamItem {
            room: Some(room.clone()),
            kind: "application".to_owned(),
            payload: vec![byte],
            at: now,
        });
        let items: Vec<_> = items.collect();
        let push = move |tx: &mut Tx<'_>| -> Result<(), StoreError> {
            items.iter().try_for_each(|item| streams::push(tx, &[phone()], item))
        };
        self.world.store.write_async("room", push).await.unwrap();
        audit::sequence_async(&self.world.store, 1000, now).await.unwrap();
    }
}

fn serve(world: &World, gateway: &Gateway, listener: TcpListener, closing: watch::Receiver<bool>) -> ServerHandle {
    let (tokens, limit) = (world.tokens.clone(), world.limit.clone());
    let streams = Data::new(Streams { gateway: gateway.clone(), closing });
    let server = HttpServer::new(move || {
        let path = web::resource("/v1/devices/{device}/events").route(web::get().to(stream));
        App::new().app_data(tokens.clone()).app_data(limit.clone()).app_data(streams.clone()).service(path)
    });
    let server = server.workers(1).disable_signals().listen(listener).unwrap().run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    handle
}

async fn take(events: &mut EventStream, count: usize) -> Vec<u8> {
    let mut payloads = Vec::new();
    for _ in 0..count {
        payloads.extend(events.next().await.unwrap().event.payload.0);
    }
    payloads
}

fn counted(payloads: std::ops::Range<u8>) -> Vec<u8> {
    payloads.collect()
}

#[actix_web::test]
async fn a_device_gets_what_was_there_and_what_comes_in_order() {
    let door = Door::open().await;
    door.push(0..40).await;
    let mut events = door.events(0);
    assert_eq!(take(&mut events, 40).await, counted(0..40));
    door.push(40..50).await;
    assert_eq!(take(&mut events, 10).await, counted(40..50));
}

#[actix_web::test]
async fn a_device_that_listens_for_long_is_there_all_the_while() {
    let door = Door::open().await;
    let mut events = door.events(0);
    door.push(0..1).await;
    take(&mut events, 1).await;
    door.world.clock.advance(Duration::from_secs(2 * 60 * 60));
    door.push(1..2).await;
    take(&mut events, 1).await;
    let of_late = door.world.clock.now().minus(Duration::from_secs(60));
    let unseen = move |conn: &mut _| devices::is_unseen(conn, &phone(), of_late);
    let store = door.world.store.clone();
    assert!(!tokio::task::spawn_blocking(move || store.read(unseen)).await.unwrap().unwrap());
}

#[actix_web::test]
async fn who_continues_after_its_last_position_loses_nothing_and_repeats_nothing() {
    let door = Door::open().await;
    door.push(0..20).await;
    let mut first = door.events(0);
    assert_eq!(take(&mut first, 7).await, counted(0..7));
    let position = first.position();
    drop(first);
    door.push(20..30).await;
    assert_eq!(take(&mut door.events(position), 23).await, counted(7..30));
}

#[actix_web::test]
async fn a_stream_goes_on_over_a_restart_of_the_gateway() {
    let mut door = Door::open().await;
    door.push(0..5).await;
    let mut events = door.events(0);
    assert_eq!(take(&mut events, 5).await, counted(0..5));
    door.restart().await;
    door.push(5..10).await;
    assert_eq!(take(&mut events, 5).await, counted(5..10));
}

#[actix_web::test]
async fn only_its_user_reads_a_device() {
    let door = Door::open().await;
    let bob = door.client(door.world.token(BOB));
    for client in [bob, door.client(door.world.service()).acting_for(BOB.parse().unwrap())] {
        match client.events(&phone(), 0).next().await {
            Err(ClientError::Refused(problem)) => assert_eq!(problem.code, "not_found"),
            other => panic!("{other:?}"),
        }
    }
    let unknown = "mimi://a.example/d/alice/tablet".parse().unwrap();
    let refused = door.client(door.world.token(ALICE)).events(&unknown, 0).next().await;
    assert!(matches!(refused, Err(ClientError::Refused(problem)) if problem.status == 404));
}

#[actix_web::test]
async fn a_stream_ends_when_the_gateway_closes_and_when_the_token_ends() {
    let door = Door::open().await;
    let get = async |token: String| {
        let url =
            format!("http://127.0.0.1:{}/v1/devices/{}/events", door.port, "mimi:%2F%2Fa.example%2Fd%2Falice%2Fphone");
        reqwest::Client::new().get(url).bearer_auth(token).send().await.unwrap()
    };
    // The token ended, within the allowed difference of clocks: none of it is left for a stream.
    let ended = get(door.world.sign(ALICE, "", 0)).await;
    assert_eq!(ended.headers().get("content-type").unwrap(), "text/event-stream");
    let open = get(door.world.token(ALICE)).await;
    door.closing.send_replace(true);
    assert!(open.text().await.unwrap().starts_with("retry:"));
}

#[actix_web::test]
async fn a_cursor_that_is_no_position_is_refused_and_the_header_stands_above_the_query() {
    let door = Door::open().await;
    door.push(0..3).await;
    let url = format!("http://127.0.0.1:{}/v1/devices/mimi:%2F%2Fa.example%2Fd%2Falice%2Fphone/events", door.port);
    let get = async |url: String| reqwest::Client::new().get(url).bearer_auth(door.world.token(ALICE)).send().await;
    assert_eq!(get(format!("{url}?cursor=x")).await.unwrap().status(), 400);
    door.closing.send_replace(true);
    let request = reqwest::Client::new().get(format!("{url}?cursor=x")).bearer_auth(door.world.token(ALICE));
    assert_eq!(request.header("Last-Event-ID", "2").send().await.unwrap().status(), 200);
}

/// The stream as it comes over the wire.
async fn raw(door: &Door, device: &str) -> reqwest::Response {
    let device = device.replace(':', "%3A").replace('/', "%2F");
    let url = format!("http://127.0.0.1:{}/v1/devices/{device}/events", door.port);
    reqwest::Client::new().get(url).bearer_auth(door.world.token(ALICE)).send().await.unwrap()
}

#[actix_web::test]
async fn who_is_suspended_reads_no_further_and_begins_no_more_and_both_are_on_record() {
    let door = Door::open().await;
    door.push(0..1).await;
    let open = raw(&door, PHONE).await;
    assert_eq!(open.status(), 200);
    door.gateway.policy().suspend([Domain::parse("a.example").unwrap()].into());
    let said = open.text().await.unwrap();
    assert!(said.starts_with("retry:") && !said.contains("superseded"), "{said}");
    door.push(1..2).await;
    let refused = raw(&door, PHONE).await;
    assert_eq!(refused.status(), 403);
    let decision = refused.headers()["portcullis-decision"].to_str().unwrap().to_owned();
    let entries = loop {
        audit::sequence_async(&door.world.store, 1000, door.world.clock.now()).await.unwrap();
        let filter = Filter { kind: Some("decision.stream".to_owned()), limit: 9, ..Filter::default() };
        let entries = door.world.store.read(|conn| audit::entries(conn, &filter)).unwrap();
        if entries.len() == 3 {
            break entries;
        }
        tokio::task::yield_now().await;
    };
    let allowed = entries.iter().filter(|entry| entry.record.outcome == Outcome::Allow);
    assert_eq!(allowed.count(), 1);
    let denied = entries.iter().filter(|entry| entry.record.policy == ["company.suspended-at-door"]);
    assert!(denied.map(|entry| entry.record.decision.unwrap().to_string()).any(|id| id == decision));
    door.gateway.policy().suspend([].into());
    assert_eq!(take(&mut door.events(0), 2).await, counted(0..2));
}

#[actix_web::test]
async fn of_two_streams_of_a_device_the_newer_goes_on_and_the_older_is_told() {
    let door = Door::open().await;
    door.push(0..1).await;
    let (mut older, mut newer) = (door.events(0), door.events(0));
    assert_eq!(take(&mut older, 1).await, counted(0..1));
    assert_eq!(take(&mut newer, 1).await, counted(0..1));
    assert!(matches!(older.next().await, Err(ClientError::Superseded)));
    door.push(1..2).await;
    assert_eq!(take(&mut newer, 1).await, counted(1..2));
    assert_eq!(take(&mut older, 1).await, counted(1..2));
    assert!(matches!(newer.next().await, Err(ClientError::Superseded)));
}

#[actix_web::test]
async fn a_user_has_so_many_streams_at_once_and_a_place_that_is_left_is_free() {
    let door = Door::open().await;
    let names: Vec<String> = (0..33).map(|number| format!("mimi://a.example/d/alice/device-{number}")).collect();
    let devices: Vec<ClientUri> = names.iter().map(|name| name.parse().unwrap()).collect();
    let register = move |tx: &mut Tx<'_>| -> Result<(), StoreError> {
        devices.iter().try_for_each(|device| devices::register_device(tx, device, &alice(), Millis(0)))
    };
    door.world.store.write_async(ALICE, register).await.unwrap();
    let mut open = Vec::new();
    for name in &names[..32] {
        open.push(raw(&door, name).await);
    }
    assert!(open.iter().all(|open| open.status() == 200));
    let refused = raw(&door, &names[32]).await;
    assert_eq!((refused.status().as_u16(), refused.headers().contains_key("retry-after")), (429, true));
    // The same device again takes the place of its older stream.
    assert_eq!(raw(&door, &names[0]).await.status(), 200);
}

#[actix_web::test]
async fn streams_that_were_replaced_count_as_long_as_they_are_there() {
    let door = Door::open().await;
    let open = async || door.gateway.open_stream(alice(), phone()).await;
    let mut streams = Vec::new();
    for _ in 0..64 {
        streams.push(open().await.unwrap());
    }
    assert!(matches!(open().await, Err(GatewayError::TooMany(_))));
    streams.truncate(63);
    assert!(open().await.is_ok());
}

#[actix_web::test]
async fn a_batch_goes_to_the_connection_in_pieces_and_comes_whole() {
    let door = Door::open().await;
    let payload: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
    let room = "mimi://a.example/r/clubhouse".parse().ok();
    let item = StreamItem { room, kind: "application".to_owned(), payload: payload.clone(), at: Millis(0) };
    let push = move |tx: &mut Tx<'_>| -> Result<(), StoreError> { streams::push(tx, &[phone()], &item) };
    door.world.store.write_async("room", push).await.unwrap();
    audit::sequence_async(&door.world.store, 1000, door.world.clock.now()).await.unwrap();
    door.push(7..8).await;
    assert_eq!(take(&mut door.events(0), 2).await, [payload.clone(), vec![7]].concat());

    let streams = Data::new(Streams { gateway: door.gateway.clone(), closing: door.closing.subscribe() });
    let path = web::resource("/v1/devices/{device}/events").route(web::get().to(stream));
    let (tokens, limit) = (door.world.tokens.clone(), door.world.limit.clone());
    let app = App::new().app_data(tokens).app_data(limit).app_data(streams).service(path);
    let request = TestRequest::get()
        .uri("/v1/devices/mimi%3A%2F%2Fa.example%2Fd%2Falice%2Fphone/events")
        .insert_header((AUTHORIZATION, format!("Bearer {}", door.world.token(ALICE))));
    let mut body = std::pin::pin!(call_service(&init_service(app).await, request.to_request()).await.into_body());
    let mut left_bytes = payload.len();
    while left_bytes > 0 {
        let piece = poll_fn(|context| body.as_mut().poll_next(context)).await.unwrap().unwrap();
        assert!(piece.len() <= 16 << 10, "{}", piece.len());
        left_bytes = left_bytes.saturating_sub(piece.len());
    }
}
