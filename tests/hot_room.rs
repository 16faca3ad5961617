//! A room that is asked for more than it has places: it says so, and nobody else's room is held up.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis::http::IDEMPOTENCY_KEY;
use portcullis::member::Device;
use portcullis::peer::{Endpoint, PeerError, Peers};
use portcullis_core::wire::Wire;
use portcullis_core::wire::submit::{SubmitMessageResponse, SubmitOutcome};
use portcullis_core::wire::uri::{Domain, RoomUri};
use portcullis_store::events::EventKind;
use reqwest::Client;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::harness::{Cluster, Gateway, Lab, ORDINARY, bring_into, edit, room};

/// Requests of one caller that may stand before one room.
const OF_A_CALLER_IN_A_ROOM: usize = 24;

/// How many each caller sends to the hot room at once.
const SENT: usize = 60;

/// Messages to another room meanwhile, by each of two callers.
const ELSEWHERE: usize = 12;

/// An answer of either door: its status, after how many seconds to come again, and its body.
type Told = (u16, Option<u64>, Vec<u8>);

/// The provider door of a.example.
#[derive(Clone)]
struct Door {
    http: Client,
    origin: String,
}

fn other(name: &str) -> RoomUri {
    RoomUri::parse(&format!("mimi://a.example/r/{name}")).unwrap()
}

/// So many different messages of a device to a room.
fn messages(device: &mut Device, room: &RoomUri, count: usize) -> Vec<Vec<u8>> {
    let member = device.member_mut();
    (0..count).map(|number| member.text(room, &format!("message {number}")).unwrap().encode()).collect()
}

/// Sends a message through b.example's mutual TLS.
async fn by_peer(peers: Arc<Peers>, room: RoomUri, body: Vec<u8>) -> Told {
    let [b, a] = ["b.example", "a.example"].map(|domain| Domain::parse(domain).unwrap());
    match peers.post(&b, &a, Endpoint::SubmitMessage(room), body.into(), None).await {
        Ok(answer) => (answer.status, None, answer.body.to_vec()),
        Err(PeerError::Transient { status, retry_after }) => (status, retry_after.map(|it| it.as_secs()), Vec::new()),
        Err(error) => panic!("{error:?}"),
    }
}

/// Sends a message of a.example's own user.
async fn by_user(door: Door, token: String, room: RoomUri, body: Vec<u8>) -> Told {
    let room = room.as_str().replace(':', "%3A").replace('/', "%2F");
    let request = door.http.post(format!("{}/v1/rooms/{room}/messages", door.origin)).bearer_auth(token);
    let response = request.header(IDEMPOTENCY_KEY, Uuid::new_v4().to_string()).body(body).send().await.unwrap();
    let again = response.headers().get("retry-after").map(|value| value.to_str().unwrap().parse().unwrap());
    (response.status().as_u16(), again, response.bytes().await.unwrap().to_vec())
}

fn assert_accepted((status, _, body): &Told) {
    assert_eq!(*status, 200);
    let outcome = SubmitMessageResponse::decode(body).unwrap().outcome;
    assert!(matches!(outcome, SubmitOutcome::Accepted { .. }), "{outcome:?}");
}

/// Of the requests that are under way, those that find no place are told so at once, and all others wait.
async fn assert_full(under_way: &mut JoinSet<Told>) {
    while under_way.len() > OF_A_CALLER_IN_A_ROOM {
        let (status, again, _) = under_way.join_next().await.unwrap().unwrap();
        assert_eq!(status, 503, "{} are under way", under_way.len());
        assert!(again.is_some_and(|seconds| seconds > 0), "nobody says when to come again");
    }
}

fn count_of_messages(gateway: &Gateway) -> usize {
    gateway.database().events().iter().filter(|event| event.event.kind == EventKind::Message).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_with_more_requests_than_places_sends_some_away_and_holds_up_no_other_room() {
    let cluster = Cluster::start();
    let mut lab = Lab::new(&["a.example", "b.example"]);
    let database = format!("database: {}", cluster.url());
    edit(&lab.gateway("a.example").config_file(), "database: sqlite:portcullis.db", &database);
    lab.start().await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    // More than there are lanes.
    let others = ["attic", "cellar", "garden", "kitchen", "porch", "saloon"].map(other);
    for other in &others {
        assert!(alice.create_room(other, "strict", "Another").await.unwrap().answer.is_ok());
        bring_into(other, &mut alice, &mut bob, ORDINARY).await;
    }
    lab.quiet().await;
    let a = lab.gateway("a.example");
    let peers = Arc::new(Peers::new(&lab.gateway("b.example").config()).unwrap());
    let door = Door { http: Client::new(), origin: format!("http://{}", a.provider) };
    let token = a.token(alice.user());
    let user = |room: &RoomUri, body| by_user(door.clone(), token.clone(), room.clone(), body);
    let carol = lab.device("a.example/d/carol/phone").await;
    // All messages are made before, so that nobody waits longer than a peer has patience.
    let [by_bob, by_alice] = [&mut bob, &mut alice].map(|device| messages(device, &room(), SENT));
    let mut elsewhere = BTreeMap::new();
    for other in others {
        let messages = [&mut bob, &mut alice].map(|device| messages(device, &other, ELSEWHERE));
        elsewhere.insert(other, messages);
    }
    let of_nobody = messages(&mut alice, &room(), 1).remove(0);

    // Whoever writes to the room waits from now on, and keeps the place.
    let held = cluster.session(&format!("SELECT 1 FROM rooms WHERE uri = '{}' FOR UPDATE", room()));
    let (mut of_bob, mut of_alice) = (JoinSet::new(), JoinSet::new());
    for body in by_bob {
        of_bob.spawn(by_peer(Arc::clone(&peers), room(), body));
    }
    assert_full(&mut of_bob).await;
    for body in by_alice {
        of_alice.spawn(user(&room(), body));
    }
    assert_full(&mut of_alice).await;
    // Half the places each: for somebody who has none of them there is none left.
    let (status, again, _) = by_user(door.clone(), a.token(carol.user()), room(), of_nobody).await;
    assert_eq!((status, again.is_some()), (503, true));

    // Rooms share write lanes with each other, as many do with the one that waits.
    for (other, [by_bob, by_alice]) in elsewhere {
        for (by_bob, by_alice) in by_bob.into_iter().zip(by_alice) {
            assert_accepted(&by_peer(Arc::clone(&peers), other.clone(), by_bob).await);
            assert_accepted(&user(&other, by_alice).await);
        }
    }
    assert_eq!((of_bob.len(), of_alice.len()), (OF_A_CALLER_IN_A_ROOM, OF_A_CALLER_IN_A_ROOM));

    drop(held);
    for told in of_bob.join_all().await.iter().chain(&of_alice.join_all().await) {
        assert_accepted(told);
    }
    assert_eq!(count_of_messages(a), 2 * OF_A_CALLER_IN_A_ROOM);
    bob.say(&room(), "there is room again").await.unwrap().answer.unwrap();
}
