use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use actix_web::web::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use portcullis::http::token::{ADMIN_AUDIENCE, Grant};
use portcullis::peer::Endpoint;
use reqwest::{Body, Certificate, Client, Identity, RequestBuilder, Response};
use tokio::time::{interval, timeout};

use crate::admin::{address, sign};
use crate::harness::{Gateway, Lab, eventually, room, user};

/// Time from one octet to the next.
const DROP: Duration = Duration::from_millis(20);

/// When a door that has a second for something should have given up long ago.
const DEADLINE: Duration = Duration::from_secs(20);

/// Octets of bodies that together are all that one caller may have at a door, each no longer than an endpoint takes.
const FILLING: [usize; 3] = [22 << 20, 22 << 20, 20 << 20];

async fn in_time<T>(given_up: impl Future<Output = T>) -> T {
    timeout(DEADLINE, given_up).await.unwrap_or_else(|_| panic!("a door waits for what does not come"))
}

/// A request that stops half-way is given up by the door, and so is one that goes on for ever, an octet at a time.
pub(super) async fn assert_given_up(by: &Gateway, to: &Gateway, endpoint: &Endpoint, good: &[u8]) {
    let [stopped, dripping] = unfinished(good).map(|body| post(by, to, endpoint, body).send());
    let (stopped, dripping) = in_time(async { tokio::join!(stopped, dripping) }).await;
    assert_eq!([stopped.unwrap().status(), dripping.unwrap().status()].map(|status| status.as_u16()), [408; 2]);
}

/// A body that stops half-way, and one that comes an octet at a time and has no end.
fn unfinished(good: &[u8]) -> [Body; 2] {
    let half = Bytes::copy_from_slice(&good[..good.len() / 2]);
    let stops = stream::once(async move { half }).chain(stream::pending());
    let drip = stream::unfold(interval(DROP), |mut drops| async {
        drops.tick().await;
        Some((Bytes::from_static(b" "), drops))
    });
    let bodies: [BoxStream<'static, Bytes>; 2] = [stops.boxed(), drip.boxed()];
    bodies.map(|body| Body::wrap_stream(body.map(Ok::<_, std::io::Error>)))
}

fn post(by: &Gateway, to: &Gateway, endpoint: &Endpoint, body: Body) -> RequestBuilder {
    let path = match endpoint {
        Endpoint::KeyMaterial(user) => format!("keyMaterial/{}", tail(user.as_str())),
        Endpoint::Update(room) => format!("update/{}", tail(room.as_str())),
        Endpoint::SubmitMessage(room) => format!("submitMessage/{}", tail(room.as_str())),
        Endpoint::Notify(room) => format!("notify/{}", tail(room.as_str())),
        Endpoint::GroupInfo(room) => format!("groupInfo/{}", tail(room.as_str())),
        Endpoint::RequestConsent(user) => format!("requestConsent/{}", user.domain()),
        Endpoint::IdentifierQuery(domain) => format!("identifierQuery/{domain}"),
        Endpoint::UpdateConsent(user) => format!("updateConsent/{}", user.domain()),
        Endpoint::ReportAbuse(room) => format!("reportAbuse/{}", tail(room.as_str())),
        Endpoint::ProxyDownload(_) => panic!("a download has no body"),
    };
    let url = format!("https://{}:{}/v1/{path}", to.domain, to.federation.port());
    client(by, to).post(url).header("from", format!("mimi@{}", by.domain)).body(body)
}

fn tail(uri: &str) -> String {
    uri.replace(':', "%3A").replace('/', "%2F")
}

pub(super) fn client(by: &Gateway, to: &Gateway) -> Client {
    let keys = by.folder.join("keys");
    let read = |name: &str| std::fs::read(keys.join(name)).unwrap();
    let mut identity = read(&format!("{}.pem", by.domain));
    identity.extend(read(&format!("{}.key", by.domain)));
    Client::builder()
        .tls_certs_only([Certificate::from_pem(&read("ca.pem")).unwrap()])
        .identity(Identity::from_pem(&identity).unwrap())
        .resolve(to.domain.as_str(), to.federation)
        .build()
        .unwrap()
}

/// A gateway whose doors have a second for what the limit names.
async fn hasty(limit: &str) -> Lab {
    let mut lab = Lab::new(&["a.example"]);
    lab.gateways[0].configure(&format!("limits: {{ {limit}: 1 }}\n"));
    lab.gateways[0].restart().await;
    lab
}

fn admin_door(of: &Gateway) -> SocketAddr {
    address(&of.log()).parse().unwrap()
}

#[tokio::test]
async fn bodies_that_never_end_are_given_up_at_the_doors_with_bearer_tokens() {
    let lab = hasty("body_seconds").await;
    let gateway = &lab.gateways[0];
    let (alice, roles) = (user("a.example/u/alice"), ["operator".to_owned()]);
    let person = Grant {
        subject: "ops",
        audience: ADMIN_AUDIENCE,
        issuer: None,
        scope: "",
        roles: Some(("roles", &roles)),
        lifetime_seconds: 3600,
    };
    let doors = [
        (gateway.provider, "rooms", gateway.token(&alice)),
        (admin_door(gateway), "peers/b.example/block", sign(gateway, &person)),
    ];
    for (door, path, token) in doors {
        for body in unfinished(br#"{"room":"mimi://a.example/r/clubhouse","reason":"CASE-7"}"#) {
            let url = format!("http://{door}/v1/{path}");
            let request = Client::new().post(url).bearer_auth(&token).header("idempotency-key", "1").body(body);
            let answer: Response = in_time(request.send()).await.unwrap();
            assert_eq!(answer.status(), 408, "{path}");
            let problem: serde_json::Value = answer.json().await.unwrap();
            assert_eq!(problem["code"], "slow_body", "{path}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_stops_in_the_head_of_a_request_is_closed() {
    let lab = hasty("head_seconds").await;
    let gateway = &lab.gateways[0];
    for (door, start, answered) in [
        (gateway.provider, &b"POST /v1/rooms HTTP/1.1\r\nHost: a.exam"[..], &b"HTTP/1.1 408 "[..]),
        (admin_door(gateway), &b"GET /v1/status HTTP/1.1\r\nHost: a.exam"[..], &b"HTTP/1.1 408 "[..]),
        // The start of a TLS record that is longer: there is no answer to it.
        (gateway.federation, &[0x16, 3, 1, 2, 0, 1][..], &[][..]),
    ] {
        let closed = tokio::task::spawn_blocking(move || {
            let mut connection = std::net::TcpStream::connect(door).unwrap();
            connection.set_read_timeout(Some(DEADLINE)).unwrap();
            connection.write_all(start).unwrap();
            let mut answer = Vec::new();
            // Whether it was shut or reset, it has ended: what runs out of time fails otherwise.
            match connection.read_to_end(&mut answer) {
                Ok(_) => answer,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => answer,
                Err(error) => panic!("{door} waits for what does not come: {error}"),
            }
        });
        let answer = closed.await.unwrap();
        let text = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(answered) && answer.is_empty() == answered.is_empty(), "{door}: {text}");
    }
}

/// A body of so many octets and no end.
fn endless(octets: usize) -> Body {
    const PIECE: &[u8] = &[b' '; 1 << 16];
    let pieces = stream::iter(std::iter::repeat_n(Bytes::from_static(PIECE), octets / PIECE.len()));
    Body::wrap_stream(pieces.chain(stream::pending()).map(Ok::<_, std::io::Error>))
}

/// Sends a body that has no end, and again where it meets another one and is refused for it.
async fn fill(request: &impl Fn(Body) -> RequestBuilder, octets: usize) {
    while request(endless(octets)).send().await.map_or(true, |answer| answer.status() == 503) {}
}

/// Who has all that a caller may have of a door is told to come again with the least body until that is over, and others are
/// not.
async fn assert_own_share(greedy: impl Fn(Body) -> RequestBuilder, other: impl Fn(Body) -> RequestBuilder) {
    let full = async {
        let refused = eventually("the share is full", async || {
            let answer = greedy(Body::from(" ")).send().await.unwrap();
            (answer.status() == 503).then_some(answer)
        });
        assert!(refused.await.headers().contains_key("retry-after"));
        assert_ne!(other(Body::from(" ")).send().await.unwrap().status(), 503);
    };
    tokio::select! {
        _ = join_all(FILLING.map(|octets| fill(&greedy, octets))) => panic!("a body without an end is taken"),
        () = full => {}
    }
    eventually("the share is free", async || {
        (greedy(Body::from(" ")).send().await.unwrap().status() != 503).then_some(())
    })
    .await;
}

#[tokio::test]
async fn bodies_of_one_caller_fill_its_own_share_of_a_door_and_no_more() {
    let mut lab = Lab::new(&["a.example", "b.example", "c.example"]);
    lab.gateways[0].restart().await;
    let [a, b, c] = &lab.gateways[..] else { panic!("there are three gateways") };
    let endpoint = Endpoint::Notify(room());
    let by = |peer| {
        let endpoint = &endpoint;
        move |body: Body| post(peer, a, endpoint, body)
    };
    assert_own_share(by(b), by(c)).await;
    let url = format!("http://{}/v1/rooms/{}/group", a.provider, tail(room().as_str()));
    let by = |name| {
        let (url, token) = (url.clone(), a.token(&user(name)));
        move |body: Body| Client::new().put(&url).bearer_auth(&token).body(body)
    };
    assert_own_share(by("a.example/u/alice"), by("a.example/u/bob")).await;
}
