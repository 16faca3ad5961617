use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use portcullis_core::wire::uri::RoomUri;

use super::*;
use crate::peer::DIRECTORY_PATH;
use crate::peer::directory_json;
use crate::peer::testing::{Authority, domain, peer, serve};

const A: &str = "a.example";
const B: &str = "b.example";

fn update() -> Endpoint {
    Endpoint::Update(RoomUri::parse("mimi://a.example/r/clubhouse").unwrap())
}

/// Routes of a provider that answers every update with `answer`.
fn provider<F>(answer: F) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static
where
    F: Fn(HttpRequest, Bytes) -> HttpResponse + Clone + Send + 'static,
{
    move |app| {
        let answer = answer.clone();
        app.route(
            DIRECTORY_PATH,
            web::get().to(|| async { HttpResponse::Ok().body(directory_json("https://a.example").to_string()) }),
        )
        .route(
            "/v1/{endpoint}/{tail:.*}",
            web::post().to(move |request: HttpRequest, body: Bytes| {
                let answer = answer.clone();
                async move { answer(request, body) }
            }),
        );
    }
}

/// Serves a.example with `routes` and posts an update there in the name of b.example.
async fn post_to(routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static) -> Result<PeerAnswer, PeerError> {
    let authority = Authority::new();
    let (address, server) = serve(&authority.material(vec![authority.identity(&[A])]), routes);
    let peers = Peers::with(&authority.material(vec![authority.identity(&[B])]), &[peer(A, None, address)]).unwrap();
    let answer = peers.post(&domain(B), &domain(A), update(), Bytes::from_static(b"body"), Some("key-1")).await;
    server.stop(false).await;
    answer
}

fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
}

#[test]
fn retry_after_is_read_in_seconds_and_as_a_date() {
    assert_eq!(retry_after(&headers(&[(RETRY_AFTER, "120")])), Some(Duration::from_secs(120)));
    let later = (RETRY_AFTER, "Sun, 06 Nov 1994 08:49:37 GMT");
    let date = (DATE, "Sun, 06 Nov 1994 08:49:07 GMT");
    assert_eq!(retry_after(&headers(&[later.clone(), date])), Some(Duration::from_secs(30)));
    assert_eq!(retry_after(&headers(&[later])), None);
    assert_eq!(retry_after(&headers(&[(RETRY_AFTER, "soon")])), None);
}

#[actix_web::test]
async fn a_post_goes_where_the_directory_says_and_says_who_sends_it() {
    let answer = post_to(provider(|request, body| {
        let header = |name: &str| request.headers().get(name).unwrap().to_str().unwrap().to_owned();
        let seen = [
            request.uri().path().to_owned(),
            header("from"),
            header("content-type"),
            header("idempotency-key"),
            String::from_utf8(body.to_vec()).unwrap(),
        ];
        HttpResponse::Ok().body(seen.join(" "))
    }))
    .await
    .unwrap();
    assert_eq!(
        answer.body,
        "/v1/update/mimi%3A%2F%2Fa.example%2Fr%2Fclubhouse mimi@b.example application/octet-stream key-1 body"
    );
}

#[actix_web::test]
async fn statuses_are_permanent_or_transient_as_they_should_be() {
    for (status, transient) in
        [(302, true), (400, false), (403, false), (404, false), (408, true), (409, false), (413, false)]
            .into_iter()
            .chain([(421, false), (425, true), (429, true), (500, true), (503, true)])
    {
        let error = post_to(provider(move |_, _| {
            HttpResponse::build(StatusCode::from_u16(status).unwrap()).insert_header(("retry-after", "7")).finish()
        }))
        .await
        .unwrap_err();
        assert_eq!((error.status(), error.is_transient()), (Some(status), transient), "{error:?}");
        assert_eq!(error.retry_after(), transient.then_some(Duration::from_secs(7)), "{status}");
    }
}

#[actix_web::test]
async fn no_more_of_an_answer_is_read_than_its_endpoint_allows() {
    let limit_bytes = update().answer_limit_bytes();
    let full = post_to(provider(move |_, _| HttpResponse::Ok().body(vec![0; limit_bytes]))).await.unwrap();
    assert_eq!(full.body.len(), limit_bytes);
    let error = post_to(provider(move |_, _| HttpResponse::Ok().body(vec![0; limit_bytes + 1]))).await.unwrap_err();
    assert!(matches!(error, PeerError::Oversize { .. }), "{error:?}");
}

#[actix_web::test]
async fn a_directory_is_fetched_once_and_again_after_404() {
    let fetched = Arc::new(AtomicUsize::new(0));
    let fetches = fetched.clone();
    let routes = move |app: &mut ServiceConfig| {
        let fetches = fetches.clone();
        app.route(
            DIRECTORY_PATH,
            web::get().to(move || {
                let number = fetches.fetch_add(1, Ordering::SeqCst);
                let json = serde_json::json!({ "update": format!("https://a.example/{}/{{roomId}}", number.min(1)) });
                async move { HttpResponse::Ok().body(json.to_string()) }
            }),
        )
        .route("/1/{tail:.*}", web::post().to(HttpResponse::Ok));
    };
    let authority = Authority::new();
    let (address, server) = serve(&authority.material(vec![authority.identity(&[A])]), routes);
    let peers = Peers::with(&authority.material(vec![authority.identity(&[B])]), &[peer(A, None, address)]).unwrap();
    for _ in 0..3 {
        let answer = peers.post(&domain(B), &domain(A), update(), Bytes::new(), None).await.unwrap();
        assert_eq!(answer.status, 200);
    }
    assert_eq!(fetched.load(Ordering::SeqCst), 2);
    server.stop(false).await;
}

#[actix_web::test]
async fn who_is_not_on_the_list_is_not_called() {
    let authority = Authority::new();
    let peers = Peers::with(&authority.material(vec![authority.identity(&[B])]), &[]).unwrap();
    let error = peers.post(&domain(B), &domain(A), update(), Bytes::new(), None).await.unwrap_err();
    assert!(matches!(&error, PeerError::UnknownPeer(_)) && !error.is_transient(), "{error:?}");
}

#[actix_web::test]
async fn a_directory_of_another_domain_does_not_speak_for_the_provider() {
    let authority = Authority::new();
    let (address, server) = serve(
        &authority.material(vec![authority.identity(&["web.example"])]),
        provider(|_, _| HttpResponse::Ok().finish()),
    );
    let settings = peer(A, Some("https://web.example/.well-known/mimi-protocol-directory"), address);
    let peers = Peers::with(&authority.material(vec![authority.identity(&[B])]), &[settings]).unwrap();
    let error = peers.post(&domain(B), &domain(A), update(), Bytes::new(), None).await.unwrap_err();
    assert!(matches!(&error, PeerError::Directory(DirectoryError::Fetch(_))), "{error:?}");
    server.stop(false).await;
}

#[actix_web::test]
async fn a_server_whose_key_is_not_the_pinned_one_gets_nothing() {
    let authority = Authority::new();
    let (address, server) =
        serve(&authority.material(vec![authority.identity(&[A])]), provider(|_, _| HttpResponse::Ok().finish()));
    let settings = config::Peer { spki: vec!["ab".repeat(32)], ..peer(A, None, address) };
    let peers = Peers::with(&authority.material(vec![authority.identity(&[B])]), &[settings]).unwrap();
    let error = peers.post(&domain(B), &domain(A), update(), Bytes::new(), None).await.unwrap_err();
    assert!(matches!(&error, PeerError::Unreachable(_)), "{error:?}");
    server.stop(false).await;
}

#[actix_web::test]
async fn what_users_say_as_they_like_goes_to_nobody_else_in_our_name() {
    let authority = Authority::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let material = authority.material(vec![authority.identity(&[A]), authority.identity(&["third.example"])]);
    let (address, server) = serve(&material, move |app| {
        let (directory, count) = (directory_json("https://third.example").to_string(), Arc::clone(&count));
        app.route(DIRECTORY_PATH, web::get().to(move || ready(HttpResponse::Ok().body(directory.clone()))));
        app.default_service(web::to(move || {
            count.fetch_add(1, Ordering::SeqCst);
            ready(HttpResponse::Ok().finish())
        }));
    });
    let peers = Peers::with(&authority.material(vec![authority.identity(&[B])]), &[peer(A, None, address)]).unwrap();
    for request in [None, Some(Bytes::from_static(b"anything"))] {
        let error = peers.oblivious(&domain(B), &domain(A), request).await.unwrap_err();
        assert!(matches!(&error, PeerError::Unreachable(_)), "{error:?}");
    }
    let url = "https://files.a.example/secret";
    let error = peers.download(&domain(B), &domain(A), url, HeaderMap::new()).await.unwrap_err();
    assert!(matches!(&error, PeerError::Unreachable(_)) && !format!("{error:?}").contains("secret"), "{error:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    server.stop(false).await;
}

#[actix_web::test]
async fn a_provider_that_is_down_may_be_tried_again() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let authority = Authority::new();
    let peers = Peers::with(&authority.material(vec![authority.identity(&[B])]), &[peer(A, None, address)]).unwrap();
    let error = peers.post(&domain(B), &domain(A), update(), Bytes::new(), None).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
}
