use std::io::{Read as _, Write as _};
use std::time::Duration;

use actix_web::web::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use portcullis::peer::Endpoint;
use reqwest::{Body, Certificate, Client, Identity};
use tokio::time::interval;

use crate::harness::Gateway;

/// Time from one octet to the next.
const DROP: Duration = Duration::from_millis(20);

/// A request that stops half-way is given up by the door, and so is one that goes on for ever, an octet at a time.
pub(super) async fn assert_given_up(by: &Gateway, to: &Gateway, endpoint: &Endpoint, good: &[u8]) {
    let half = Bytes::copy_from_slice(&good[..good.len() / 2]);
    let stops = stream::once(async move { half }).chain(stream::pending());
    let drip = stream::unfold(interval(DROP), |mut drops| async {
        drops.tick().await;
        Some((Bytes::from_static(b"\0"), drops))
    });
    let stopped = assert_answered_408(by, to, endpoint, stops.boxed());
    tokio::join!(stopped, assert_answered_408(by, to, endpoint, drip.boxed()));
}

async fn assert_answered_408(by: &Gateway, to: &Gateway, endpoint: &Endpoint, body: BoxStream<'static, Bytes>) {
    let body = body.map(Ok::<_, std::io::Error>);
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
    };
    let url = format!("https://{}:{}/v1/{path}", to.domain, to.federation.port());
    let request = client(by, to).post(url).header("from", format!("mimi@{}", by.domain)).body(Body::wrap_stream(body));
    assert_eq!(request.send().await.unwrap().status(), 408);
}

fn tail(uri: &str) -> String {
    uri.replace(':', "%3A").replace('/', "%2F")
}

fn client(by: &Gateway, to: &Gateway) -> Client {
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

#[tokio::test]
async fn a_connection_that_stops_in_the_head_of_a_request_is_closed() {
    let mut lab = crate::harness::Lab::new(&["a.example"]);
    lab.gateways[0].configure("limits: { head_seconds: 1 }\n");
    lab.gateways[0].restart().await;
    let gateway = &lab.gateways[0];
    for (door, start) in [
        (gateway.provider, &b"POST /v1/rooms HTTP/1.1\r\nHost: a.exam"[..]),
        // The start of a TLS record that is longer.
        (gateway.federation, &[0x16, 3, 1, 2, 0, 1][..]),
    ] {
        let closed = tokio::task::spawn_blocking(move || {
            let mut connection = std::net::TcpStream::connect(door).unwrap();
            connection.write_all(start).unwrap();
            let mut answer = Vec::new();
            connection.read_to_end(&mut answer).map(|_| answer)
        });
        // Whether it says why or not, it ends.
        let _ = closed.await.unwrap();
    }
}
