mod endpoints;

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU32;

use actix_web::dev::ServerHandle;
use actix_web::web::{post, resource};
use portcullis_core::wire::uri::RoomUri;
use reqwest::{Body as RequestBody, Response};

use super::body::{Body, OTHER_BYTES};
use super::caller::Peer;
use super::target::Target;
use super::*;
use crate::config::{self, Limits, Rate};
use crate::http::Intake;
use crate::limits::Limiter;
use crate::peer::testing::{Authority, client, domain, http1_client, peer};
use crate::peer::{DIRECTORY_PATH, Identity, Peers};

const ECHO: &str = "https://a.example/v1/echo/mimi%3A%2F%2Fa.example%2Fr%2Fclubhouse";

/// Says back who called, about what, and with how much.
async fn echo(Peer(from): Peer, Target(room): Target<RoomUri>, Body(body): Body<OTHER_BYTES>) -> String {
    format!("{from} {room} {}", body.len())
}

struct Lab {
    authority: Authority,
    address: SocketAddr,
    server: ServerHandle,
}

impl Lab {
    /// The door of a.example, reached under `names`, for b.example and, with a pinned key, c.example.
    fn open() -> Self {
        Self::with(Limits::default().peer)
    }

    fn with(rate: Rate) -> Self {
        let authority = Authority::new();
        let identity = authority.identity(&["a.example", "gateway.a.example", "other.example"]);
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        let b = peer("b.example", None, nowhere);
        let c = config::Peer { spki: vec!["ab".repeat(32)], ..peer("c.example", None, nowhere) };
        let door = Door {
            domains: vec![domain("a.example")],
            authorities: vec!["gateway.a.example".to_owned()],
            origin: "https://a.example".to_owned(),
            peers: Peers::with(&authority.material(vec![]), &[b, c]).unwrap(),
            rates: Default::default(),
            rate: Limiter::new(rate),
            head: Limits::default().head(),
            intake: Intake::new(Limits::default().body()),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let tls = authority.material(vec![identity]).server_config().unwrap();
        let server = listen(listener, tls, door, |app| {
            app.service(resource("/v1/echo/{tail:.*}").route(post().to(echo)));
        })
        .unwrap();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self { authority, address, server: handle }
    }

    fn identity(&self, name: &str) -> Identity {
        self.authority.identity(&[name])
    }

    async fn send(&self, material: &TlsMaterial, own: &str, request: Request<'_>) -> reqwest::Result<Response> {
        let mut post = client(material, Some(own), self.address).post(request.url).body(request.body);
        for from in request.from {
            post = post.header("from", *from);
        }
        post.send().await
    }

    /// Posts as `own`, with a certificate of the lab's authority, and gives status and body.
    async fn post(&self, own: &str, request: Request<'_>) -> (u16, String) {
        let material = self.authority.material(vec![self.identity(own)]);
        let response = self.send(&material, own, request).await.unwrap();
        let status = response.status().as_u16();
        if status >= 400 {
            assert_eq!(response.headers()["content-type"], "application/problem+json");
        }
        (status, response.text().await.unwrap())
    }

    async fn close(self) {
        self.server.stop(false).await;
    }
}

struct Request<'a> {
    url: &'a str,
    from: &'a [&'a str],
    body: RequestBody,
}

/// What b.example sends when all is well.
fn good() -> Request<'static> {
    Request { url: ECHO, from: &["mimi@b.example"], body: RequestBody::from("12345") }
}

#[actix_web::test]
async fn a_peer_with_certificate_and_from_is_let_in() {
    let lab = Lab::open();
    assert_eq!(lab.post("b.example", good()).await, (200, "b.example mimi://a.example/r/clubhouse 5".to_owned()));
    let pictured = Request { url: "https://a.example/v1/echo/a.example/r/clubhouse", ..good() };
    assert_eq!(lab.post("b.example", pictured).await, (200, "b.example mimi://a.example/r/clubhouse 5".to_owned()));
    lab.close().await;
}

#[actix_web::test]
async fn a_peer_beyond_its_limit_is_told_when_to_come_again_and_others_are_served() {
    let one = NonZeroU32::MIN;
    let lab = Lab::with(Rate { per_minute: one, burst: one });
    assert_eq!(lab.post("b.example", good()).await.0, 200);
    let material = lab.authority.material(vec![lab.identity("b.example")]);
    let refused = lab.send(&material, "b.example", good()).await.unwrap();
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let directory = client(&material, None, lab.address).get(format!("https://a.example{DIRECTORY_PATH}"));
    assert_eq!(directory.send().await.unwrap().status(), 200);
    lab.close().await;
}

#[actix_web::test]
async fn the_directory_is_open_to_all_and_nothing_else_is() {
    let lab = Lab::open();
    let stranger = client(&lab.authority.material(vec![]), None, lab.address);
    let directory = stranger.get(format!("https://a.example{DIRECTORY_PATH}")).send().await.unwrap();
    assert_eq!(directory.status(), 200);
    assert_eq!(directory.headers()["content-type"], "application/json");
    let directory: serde_json::Value = directory.json().await.unwrap();
    assert_eq!(directory["notify"], "https://a.example/v1/notify/{roomId}");
    let refused = stranger.post(ECHO).header("from", "mimi@b.example").send().await.unwrap();
    assert_eq!(refused.status(), 401);
    lab.close().await;
}

#[actix_web::test]
async fn a_certificate_of_a_foreign_authority_ends_the_handshake() {
    let lab = Lab::open();
    let material = lab.authority.material(vec![Authority::new().identity(&["b.example"])]);
    assert!(lab.send(&material, "b.example", good()).await.is_err());
    lab.close().await;
}

#[actix_web::test]
async fn from_must_stand_once_be_well_formed_and_be_in_the_certificate() {
    let lab = Lab::open();
    for (from, status) in [
        (&[][..], 400),
        (&["mimi@b.example", "mimi@b.example"], 400),
        (&["<mimi@b.example>"], 400),
        (&["bob@b.example"], 400),
        (&["mimi@c.example"], 403),
    ] {
        let (found, body) = lab.post("b.example", Request { from, ..good() }).await;
        assert_eq!(found, status, "{from:?} {body}");
    }
    lab.close().await;
}

#[actix_web::test]
async fn who_is_not_a_peer_or_has_not_the_pinned_key_is_refused() {
    let lab = Lab::open();
    for own in ["d.example", "c.example"] {
        let from = format!("mimi@{own}");
        let (status, body) = lab.post(own, Request { from: &[&from], ..good() }).await;
        assert_eq!(status, 403, "{body}");
        assert!(body.contains("\"code\":\"wrong_identity\""), "{body}");
    }
    lab.close().await;
}

#[actix_web::test]
async fn a_host_that_is_not_ours_is_misdirected_and_a_configured_one_is_not() {
    let lab = Lab::open();
    for (host, status) in [("other.example", 421), ("gateway.a.example", 200), ("a.example:443", 200)] {
        let url = ECHO.replacen("a.example", host, 1);
        assert_eq!(lab.post("b.example", Request { url: &url, ..good() }).await.0, status, "{host}");
        let directory = client(&lab.authority.material(vec![]), None, lab.address)
            .get(format!("https://{host}{DIRECTORY_PATH}"))
            .send()
            .await
            .unwrap();
        assert_eq!(directory.status(), status, "{host}");
    }
    lab.close().await;
}

#[actix_web::test]
async fn a_body_may_fill_its_limit_but_not_pass_it_announced_or_not() {
    let lab = Lab::open();
    let streamed = |length: usize| {
        let chunks = (0..length).step_by(1000).map(move |at| Ok::<_, io::Error>(vec![0_u8; (length - at).min(1000)]));
        RequestBody::wrap_stream(futures_util::stream::iter(chunks))
    };
    for (body, status) in [
        (RequestBody::from(vec![0; OTHER_BYTES]), 200),
        (RequestBody::from(vec![0; OTHER_BYTES + 1]), 413),
        (streamed(OTHER_BYTES), 200),
        (streamed(OTHER_BYTES + 1), 413),
    ] {
        let (found, body) = lab.post("b.example", Request { body, ..good() }).await;
        assert_eq!(found, status, "{body}");
    }
    lab.close().await;
}

#[actix_web::test]
async fn a_path_that_names_no_room_is_malformed_and_an_unknown_path_is_not_found() {
    let lab = Lab::open();
    for (url, status) in [
        ("https://a.example/v1/echo/mimi%3A%2F%2Fa.example%2Fu%2Falice", 400),
        ("https://a.example/v1/echo/", 400),
        ("https://a.example/v1/ehco/mimi%3A%2F%2Fa.example%2Fr%2Fclubhouse", 404),
        ("https://a.example/", 404),
        ("https://a.example/.well-known/mimi-protocol-directory", 405),
    ] {
        assert_eq!(lab.post("b.example", Request { url, ..good() }).await.0, status, "{url}");
    }
    lab.close().await;
}

#[actix_web::test]
async fn http_1_serves_as_well_and_its_host_header_counts() {
    let lab = Lab::open();
    let material = lab.authority.material(vec![lab.identity("b.example")]);
    let client = http1_client(&material, "b.example", "a.example", lab.address);
    let long = vec![0; OTHER_BYTES + 1];
    for (host, body, status) in [
        ("a.example", vec![0; 5], 200),
        ("A.example:8443", vec![0; 5], 200),
        ("other.example", vec![0; 5], 421),
        ("a.example", long, 413),
    ] {
        let post = client.post(ECHO).header("host", host).header("from", "mimi@b.example").body(body);
        assert_eq!(post.send().await.unwrap().status(), status, "{host}");
    }
    lab.close().await;
}
