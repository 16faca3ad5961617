use std::net::TcpListener;

use actix_web::dev::ServerHandle;
use actix_web::web::{self, Data};
use actix_web::{App, HttpServer};
use portcullis_core::wire::uri::RoomUri;
use portcullis_store::streams::StreamItem;
use portcullis_store::{StoreError, Tx, audit, streams};
use tokio::sync::watch;

use super::{ALICE, BOB, World, phone};
use crate::provider::client::{Client, ClientError, EventStream};
use crate::provider::events::{Streams, stream};

/// A door with nothing but event streams.
struct Door {
    world: World,
    closing: watch::Sender<bool>,
    port: u16,
    server: ServerHandle,
}

impl Door {
    async fn open() -> Self {
        let world = World::new().await;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, closing) = (listener.local_addr().unwrap().port(), watch::Sender::new(false));
        let server = serve(&world, listener, closing.subscribe());
        Self { world, closing, port, server }
    }

    /// Ends all connections at once, and opens the same port again.
    async fn restart(&mut self) {
        self.server.stop(false).await;
        let listener = TcpListener::bind(("127.0.0.1", self.port)).unwrap();
        self.server = serve(&self.world, listener, self.closing.subscribe());
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
            room: room.clone(),
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

fn serve(world: &World, listener: TcpListener, closing: watch::Receiver<bool>) -> ServerHandle {
    let (tokens, limit) = (world.tokens.clone(), world.limit.clone());
    let streams = Data::new(Streams { store: world.store.clone(), closing });
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
