use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use portcullis_core::fanout::LOST_AFTER;
use portcullis_core::wire::uri::{GroupUri, RoomUri, UserUri};
use portcullis_store::events::{self, EventKind, NewEvent};
use portcullis_store::outbox::{LaneRow, LaneStatus};
use portcullis_store::rooms::{self, NewRoom};
use portcullis_store::{Options, Tx};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;
use crate::peer::testing::{Authority, domain, peer, serve};
use crate::peer::{DIRECTORY_PATH, directory_json};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// A hub that owes events to b.example, and a b.example that answers as it is told.
struct Lab {
    _folder: tempfile::TempDir,
    url: String,
    store: Store,
    clock: Clock,
    delivery: Delivery,
    peers: Peers,
    /// Room and body of everything b.example was sent.
    received: UnboundedReceiver<(String, Bytes)>,
    /// While this is true, b.example answers nothing.
    held: watch::Sender<bool>,
    /// What b.example answers next; 201 when there is nothing.
    answers: Arc<Mutex<VecDeque<u16>>>,
    follower: ServerHandle,
}

fn follower(
    received: UnboundedSender<(String, Bytes)>,
    answers: Arc<Mutex<VecDeque<u16>>>,
    held: watch::Receiver<bool>,
) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static {
    move |app| {
        let (received, answers, held) = (received.clone(), answers.clone(), held.clone());
        app.route(
            DIRECTORY_PATH,
            web::get().to(|| async { HttpResponse::Ok().body(directory_json("https://b.example").to_string()) }),
        )
        .route(
            "/v1/notify/{tail:.*}",
            web::post().to(move |request: HttpRequest, body: Bytes| {
                let room = request.uri().path().rsplit("%2F").next().unwrap_or_default().to_owned();
                received.send((room, body)).unwrap();
                let status = answers.lock().unwrap().pop_front().unwrap_or(201);
                let status = StatusCode::from_u16(status).unwrap();
                let mut held = held.clone();
                async move {
                    let _ = held.wait_for(|held| !*held).await;
                    HttpResponse::build(status).insert_header(("retry-after", "60")).finish()
                }
            }),
        );
    }
}

fn room(name: &str) -> RoomUri {
    RoomUri::parse(&format!("mimi://a.example/r/{name}")).unwrap()
}

impl Lab {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("hub.db").display());
        let opened = url.clone();
        let open = move || Store::open(&opened, &Options::default());
        let store = tokio::task::spawn_blocking(open).await.unwrap().unwrap();
        let authority = Authority::new();
        let (sender, received) = unbounded_channel();
        let answers = Arc::new(Mutex::new(VecDeque::new()));
        let (held, holding) = watch::channel(false);
        let (address, follower) = serve(
            &authority.material(vec![authority.identity(&["b.example"])]),
            follower(sender, answers.clone(), holding),
        );
        let ours = authority.material(vec![authority.identity(&["a.example"])]);
        let peers = Peers::with(&ours, &[peer("b.example", None, address)]).unwrap();
        let clock = Clock::default();
        let delivery = Delivery::new(store.clone(), peers.clone(), clock.clone());
        Self { _folder: folder, url, store, clock, delivery, peers, received, held, answers, follower }
    }

    async fn create(&self, name: &str) {
        let new = NewRoom {
            room: room(name),
            group: GroupUri::parse(&format!("mimi://a.example/g/{name}")).unwrap(),
            template: "strict".to_owned(),
            creator: UserUri::parse("mimi://a.example/u/alice").unwrap(),
        };
        let now = self.clock.now();
        self.store.write_async(name, move |tx: &mut Tx<'_>| rooms::create(tx, &new, now)).await.unwrap();
    }

    /// Lets the room accept an event that b.example is owed.
    async fn owe(&self, name: &str, event: &str) {
        self.owe_to(name, "b.example", event).await;
    }

    async fn owe_to(&self, name: &str, peer: &str, event: &str) {
        let peer = domain(peer);
        let (target, now) = (room(name), self.clock.now());
        let event = NewEvent {
            kind: EventKind::Message,
            epoch: 0,
            accepted_at: now,
            message_hash: [0; 32],
            fanout: event.as_bytes().to_vec(),
        };
        let write = move |tx: &mut Tx<'_>| -> Result<(), StoreError> {
            let seq = events::append(tx, &target, &event)?;
            outbox::enqueue(tx, &target, &peer, &domain("a.example"), seq)
        };
        self.store.write_async(name, write).await.unwrap();
    }

    fn answer_next(&self, statuses: &[u16]) {
        self.answers.lock().unwrap().extend(statuses);
    }

    /// What b.example was sent since the last call, as `room:body`.
    fn received(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.received.try_recv().ok())
            .map(|(room, body)| format!("{room}:{}", String::from_utf8(body.to_vec()).unwrap()))
            .collect()
    }

    fn lanes(&self) -> Vec<LaneRow> {
        self.store.read(|conn| outbox::lanes(conn, 10)).unwrap()
    }
}

#[actix_web::test]
async fn what_is_owed_arrives_in_order_and_is_owed_no_more() {
    let mut lab = Lab::new().await;
    lab.create("one").await;
    for event in ["a", "b", "c"] {
        lab.owe("one", event).await;
    }
    lab.delivery.drain().await.unwrap();
    assert_eq!(lab.received(), ["one:abc"]);
    assert_eq!(lab.lanes(), []);
    lab.follower.stop(false).await;
}

#[actix_web::test]
async fn a_retry_sends_the_same_bytes_though_more_is_owed_meanwhile() {
    let mut lab = Lab::new().await;
    lab.create("one").await;
    lab.owe("one", "a").await;
    lab.answer_next(&[503]);
    lab.delivery.drain().await.unwrap();
    lab.owe("one", "b").await;
    lab.clock.advance(HOUR);
    lab.delivery.drain().await.unwrap();
    assert_eq!(lab.received(), ["one:a", "one:a", "one:b"]);
    lab.follower.stop(false).await;
}

#[actix_web::test]
async fn a_peer_that_asks_for_time_gets_it() {
    let mut lab = Lab::new().await;
    lab.create("one").await;
    lab.owe("one", "a").await;
    lab.answer_next(&[429]);
    lab.delivery.drain().await.unwrap();
    lab.clock.advance(Duration::from_secs(30));
    lab.delivery.drain().await.unwrap();
    assert_eq!(lab.received(), ["one:a"]);
    lab.clock.advance(Duration::from_secs(31));
    lab.delivery.drain().await.unwrap();
    assert_eq!(lab.received(), ["one:a"]);
    lab.follower.stop(false).await;
}

#[actix_web::test]
async fn a_refused_lane_stands_still_and_other_rooms_go_on() {
    let mut lab = Lab::new().await;
    lab.create("one").await;
    lab.create("two").await;
    lab.owe("one", "a").await;
    lab.answer_next(&[400]);
    lab.delivery.drain().await.unwrap();
    lab.owe("one", "b").await;
    lab.owe("two", "c").await;
    lab.clock.advance(HOUR);
    lab.delivery.drain().await.unwrap();
    assert_eq!(lab.received(), ["one:a", "two:c"]);
    let lanes = lab.lanes();
    assert_eq!(lanes.len(), 1);
    assert_eq!((lanes[0].status, lanes[0].http_status, lanes[0].tail), (LaneStatus::Parked, 400, 2));
    lab.follower.stop(false).await;
}

#[actix_web::test]
async fn of_a_refused_batch_only_the_message_that_is_refused_stands_in_the_way() {
    let mut lab = Lab::new().await;
    lab.create("one").await;
    for event in ["a", "b", "c"] {
        lab.owe("one", event).await;
    }
    lab.answer_next(&[400, 201, 400, 400]);
    lab.delivery.drain().await.unwrap();
    assert_eq!(lab.received(), ["one:abc", "one:a", "one:bc", "one:b"]);
    let lanes = lab.lanes();
    assert_eq!((lanes[0].status, lanes[0].head, lanes[0].frozen), (LaneStatus::Parked, 1, 2));
    lab.follower.stop(false).await;
}

#[actix_web::test]
async fn after_seven_days_without_an_answer_a_lane_is_lost() {
    let mut lab = Lab::new().await;
    lab.create("one").await;
    lab.owe("one", "a").await;
    lab.answer_next(&[500, 500, 500]);
    lab.delivery.drain().await.unwrap();
    lab.clock.advance(LOST_AFTER - HOUR);
    lab.delivery.drain().await.unwrap();
    assert_eq!(lab.lanes()[0].status, LaneStatus::Open);
    lab.clock.advance(HOUR);
    lab.delivery.drain().await.unwrap();
    assert_eq!(lab.lanes()[0].status, LaneStatus::Parked);
    assert!(lab.lanes()[0].error.contains("seven days"), "{}", lab.lanes()[0].error);
    assert_eq!(lab.received().len(), 3);
    lab.follower.stop(false).await;
}

#[actix_web::test]
async fn a_lane_to_a_peer_that_this_process_does_not_know_waits_for_one_that_does() {
    let lab = Lab::new().await;
    lab.create("one").await;
    lab.owe_to("one", "c.example", "a").await;
    lab.delivery.drain().await.unwrap();
    let lanes = lab.lanes();
    assert_eq!((lanes[0].status, lanes[0].attempts), (LaneStatus::Open, 1));
    assert!(lanes[0].error.contains("is not among the peers"), "{}", lanes[0].error);
    lab.clock.advance(LOST_AFTER);
    lab.delivery.drain().await.unwrap();
    assert_eq!(lab.lanes()[0].status, LaneStatus::Parked);
    lab.follower.stop(false).await;
}

#[actix_web::test]
async fn two_processes_on_one_database_send_everything_once() {
    let mut lab = Lab::new().await;
    let rooms: Vec<String> = (0..20).map(|number| format!("room{number:02}")).collect();
    for name in &rooms {
        lab.create(name).await;
        lab.owe(name, "x").await;
    }
    let url = lab.url.clone();
    let store = tokio::task::spawn_blocking(move || Store::open(&url, &Options::default())).await.unwrap().unwrap();
    let other = Delivery::new(store, lab.peers.clone(), lab.clock.clone());
    let (first, second) = tokio::join!(lab.delivery.drain(), other.drain());
    first.and(second).unwrap();
    let mut received = lab.received();
    received.sort();
    assert_eq!(received, rooms.iter().map(|name| format!("{name}:x")).collect::<Vec<_>>());
    lab.follower.stop(false).await;
}

#[actix_web::test]
async fn the_worker_wakes_for_what_is_owed_and_ends_when_told() {
    let mut lab = Lab::new().await;
    lab.create("one").await;
    let (close, closing) = watch::channel(false);
    let delivery = lab.delivery.clone();
    let worker = actix_web::rt::spawn(async move { delivery.run(closing).await });
    for event in ["a", "b"] {
        lab.owe("one", event).await;
        let (_, body) = lab.received.recv().await.unwrap();
        assert_eq!(body, event);
    }
    close.send(true).unwrap();
    worker.await.unwrap();
    assert_eq!(lab.lanes(), []);
    lab.follower.stop(false).await;
}

#[actix_web::test]
async fn a_slow_peer_takes_no_more_than_its_share_and_others_are_served_meanwhile() {
    let mut lab = Lab::new().await;
    for number in 0..2 * slots::PER_PEER {
        let name = format!("room{number:02}");
        lab.create(&name).await;
        lab.owe(&name, "x").await;
    }
    lab.held.send_replace(true);
    let (close, closing) = watch::channel(false);
    let delivery = lab.delivery.clone();
    let worker = actix_web::rt::spawn(async move { delivery.run(closing).await });
    for _ in 0..slots::PER_PEER {
        lab.received.recv().await.unwrap();
    }
    // A lane to somebody else is due as well; it is seen to by and by, though nothing of b.example's has ended.
    lab.create("other").await;
    lab.owe_to("other", "c.example", "y").await;
    while lab.lanes().iter().all(|lane| lane.peer != domain("c.example") || lane.attempts == 0) {
        tokio::task::yield_now().await;
    }
    assert_eq!(lab.received(), Vec::<String>::new());
    lab.held.send_replace(false);
    close.send(true).unwrap();
    worker.await.unwrap();
    lab.delivery.drain().await.unwrap();
    assert_eq!(lab.received().len(), slots::PER_PEER);
    lab.follower.stop(false).await;
}
