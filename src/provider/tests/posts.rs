use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CONTENT_LENGTH, WWW_AUTHENTICATE};
use actix_web::test::{TestRequest, call_service, init_service, read_body, read_body_json};
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpResponse};
use portcullis_store::{Store, Tx};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{ALICE, BOB, World};
use crate::config::Limits;
use crate::gateway::{Answer, GatewayError};
use crate::http::{Answered, DECISION, IDEMPOTENCY_KEY, Intake, Limit, MEDIA_TYPE, Problem, ProblemDetails};
use crate::provider::{ACTING_USER, Post};

const LIMIT_BYTES: usize = 16;

/// What the handler under test works with: how often it worked, and permission to finish.
struct Work {
    runs: AtomicUsize,
    finish: Semaphore,
    store: Store,
}

/// Answers with caller, body and the number of runs; a body that starts with `refuse` or `fail` says how.
async fn echo(post: Post, work: Data<Work>) -> Result<HttpResponse, Problem> {
    post.once(async move |once, user, body| {
        let run = work.runs.fetch_add(1, Ordering::SeqCst);
        work.finish.acquire().await.unwrap().forget();
        let decision = Some(Uuid::now_v7());
        if body.starts_with(b"refuse") {
            let sentence = "no".to_owned();
            return Err(GatewayError::Refused { code: "not_allowed", sentence, decision }.into());
        }
        if body.starts_with(b"fail") {
            return Err(GatewayError::Unavailable("full".into()).into());
        }
        let body = format!("{user} {} {run}", String::from_utf8_lossy(&body)).into_bytes();
        let answer = Answer { body, decision };
        let kept = work.store.write_async("echo", move |tx: &mut Tx<'_>| once.keep(tx, answer.clone())).await;
        Ok(kept.map_err(GatewayError::from)?)
    })
    .await
}

type Call = Box<dyn Fn(TestRequest) -> Pin<Box<dyn Future<Output = ServiceResponse>>>>;

struct Door {
    world: World,
    work: Data<Work>,
    call: Call,
}

impl Door {
    /// A door whose work may be finished so many times.
    async fn open(permits: usize) -> Self {
        let world = World::new().await;
        let work =
            Data::new(Work { runs: AtomicUsize::new(0), finish: Semaphore::new(permits), store: world.store.clone() });
        let app = App::new()
            .app_data(world.tokens.clone())
            .app_data(world.limit.clone())
            .app_data(Intake::new(Limits::default().body()))
            .app_data(Data::new(Answered::new(world.store.clone(), world.clock.clone())))
            .app_data(work.clone())
            .service(web::resource("/echo").app_data(Limit(LIMIT_BYTES)).route(web::post().to(echo)));
        let app = Rc::new(init_service(app).await);
        let call: Call = Box::new(move |request| {
            let app = Rc::clone(&app);
            Box::pin(async move { call_service(&*app, request.to_request()).await })
        });
        Self { world, work, call }
    }

    async fn post(&self, user: &str, key: &str, body: &'static str) -> ServiceResponse {
        (self.call)(self.request(user, key, body)).await
    }

    fn request(&self, user: &str, key: &str, body: &'static str) -> TestRequest {
        TestRequest::post()
            .uri("/echo")
            .insert_header((AUTHORIZATION, format!("Bearer {}", self.world.token(user))))
            .insert_header((IDEMPOTENCY_KEY, key))
            .set_payload(body)
    }

    fn runs(&self) -> usize {
        self.work.runs.load(Ordering::SeqCst)
    }
}

async fn code(response: ServiceResponse) -> (u16, String) {
    assert_eq!(response.headers().get("content-type").unwrap(), MEDIA_TYPE);
    let status = response.status().as_u16();
    let details: ProblemDetails = read_body_json(response).await;
    assert_eq!(details.status, status);
    (status, details.code)
}

fn decision(response: &ServiceResponse) -> String {
    response.headers().get(DECISION).unwrap().to_str().unwrap().to_owned()
}

#[actix_web::test]
async fn the_same_request_again_gets_the_same_answer_and_takes_effect_once() {
    let door = Door::open(9).await;
    let (first, again) = (door.post(ALICE, "k", "hello").await, door.post(ALICE, "k", "hello").await);
    assert_eq!(decision(&first), decision(&again));
    let (first, again) = (read_body(first).await, read_body(again).await);
    assert_eq!((first.clone(), door.runs()), (again, 1));
    assert_eq!(first, Bytes::from(format!("{ALICE} hello 0")));
}

#[actix_web::test]
async fn the_same_key_with_another_body_is_refused() {
    let door = Door::open(9).await;
    door.post(ALICE, "k", "hello").await;
    assert_eq!(code(door.post(ALICE, "k", "other").await).await, (422, "idempotency_key_reused".to_owned()));
    assert_eq!(door.runs(), 1);
}

#[actix_web::test]
async fn keys_of_different_users_have_nothing_in_common() {
    let door = Door::open(9).await;
    door.post(ALICE, "k", "hello").await;
    assert_eq!(read_body(door.post(BOB, "k", "hello").await).await, Bytes::from(format!("{BOB} hello 1")));
}

#[actix_web::test]
async fn a_refusal_is_kept_and_a_fault_is_not() {
    let door = Door::open(9).await;
    let (first, again) = (door.post(ALICE, "k", "refuse").await, door.post(ALICE, "k", "refuse").await);
    assert_eq!(decision(&first), decision(&again));
    assert_eq!(code(again).await, (403, "not_allowed".to_owned()));
    assert_eq!(door.runs(), 1);
    for run in 2..4 {
        let fault = door.post(ALICE, "l", "fail").await;
        assert_eq!(fault.headers().get("retry-after").unwrap(), "1");
        assert_eq!((code(fault).await, door.runs()), ((503, "unavailable".to_owned()), run));
    }
}

#[actix_web::test]
async fn while_a_request_is_worked_on_its_repetition_waits_outside() {
    let door = Rc::new(Door::open(0).await);
    let running = {
        let door = Rc::clone(&door);
        actix_web::rt::spawn(async move { door.post(ALICE, "k", "hello").await.status() })
    };
    while door.runs() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(code(door.post(ALICE, "k", "hello").await).await, (409, "in_progress".to_owned()));
    door.work.finish.add_permits(1);
    assert_eq!(running.await.unwrap(), StatusCode::OK);
    assert_eq!((door.post(ALICE, "k", "hello").await.status(), door.runs()), (StatusCode::OK, 1));
}

#[actix_web::test]
async fn the_work_goes_on_when_the_client_leaves() {
    let door = Rc::new(Door::open(0).await);
    let leaving = {
        let door = Rc::clone(&door);
        actix_web::rt::spawn(async move { door.post(ALICE, "k", "hello").await.status() })
    };
    while door.runs() == 0 {
        tokio::task::yield_now().await;
    }
    leaving.abort();
    door.work.finish.add_permits(1);
    let mut response = door.post(ALICE, "k", "hello").await;
    while response.status() == StatusCode::CONFLICT {
        tokio::task::yield_now().await;
        response = door.post(ALICE, "k", "hello").await;
    }
    assert_eq!((response.status(), door.runs()), (StatusCode::OK, 1));
}

#[actix_web::test]
async fn a_post_without_a_key_or_with_an_unfit_one_is_refused() {
    let door = Door::open(9).await;
    let long = "k".repeat(129);
    for key in ["", "two words", long.as_str()] {
        let refused = code(door.post(ALICE, key, "hello").await).await;
        assert_eq!(refused, (400, "idempotency_key_missing".to_owned()), "{key}");
    }
    assert_eq!(door.runs(), 0);
}

#[actix_web::test]
async fn a_body_beyond_the_limit_is_refused_whether_it_says_so_or_not() {
    let door = Door::open(9).await;
    let long = "seventeen letters";
    assert_eq!(code(door.post(ALICE, "k", long).await).await, (413, "oversize".to_owned()));
    let declared = door.request(ALICE, "l", "short").insert_header((CONTENT_LENGTH, "17"));
    assert_eq!(code((door.call)(declared).await).await, (413, "oversize".to_owned()));
    assert_eq!(door.post(ALICE, "m", "sixteen letters!").await.status(), StatusCode::OK);
    assert_eq!(door.runs(), 1);
}

#[actix_web::test]
async fn without_a_token_nothing_else_is_looked_at() {
    let door = Door::open(9).await;
    let request = TestRequest::post().uri("/echo").set_payload("seventeen letters");
    let refused = (door.call)(request).await;
    assert_eq!(refused.headers().get(WWW_AUTHENTICATE).unwrap(), "Bearer");
    assert_eq!(code(refused).await, (401, "token_missing".to_owned()));
}

#[actix_web::test]
async fn a_service_posts_for_the_user_it_names() {
    let door = Door::open(9).await;
    let request = TestRequest::post()
        .uri("/echo")
        .insert_header((AUTHORIZATION, format!("Bearer {}", door.world.service())))
        .insert_header((ACTING_USER, BOB))
        .insert_header((IDEMPOTENCY_KEY, "k"));
    assert_eq!(read_body((door.call)(request).await).await, Bytes::from(format!("{BOB}  0")));
}
