//! A POST that names itself takes effect once, with one record and one answer, wherever a gateway ends meanwhile, and on
//! however many replicas it is worked on at once.

use std::ffi::OsStr;

use actix_web::http::Method;
use futures_util::future::join;
use portcullis::http::token::{ADMIN_AUDIENCE, Grant};
use portcullis::http::{DECISION, IDEMPOTENCY_KEY};
use portcullis::{admin, provider};
use portcullis_core::wire::Wire;
use portcullis_core::wire::key_material::{ClientKeyMaterial, KeyMaterialResponse};
use portcullis_core::wire::uri::{RoomUri, UserUri};
use portcullis_store::audit::Outcome;
use serde_json::{Value, json};

use crate::admin::{address, sign};
use crate::harness::{Cluster, Gateway, Lab, eventually, user};
use crate::rights::{encoded, filled};

const TWO: [&str; 2] = ["a.example", "b.example"];

/// A request, the same every time it is sent.
#[derive(Clone)]
struct Request {
    admin: bool,
    path: String,
    token: String,
    key: &'static str,
    body: Vec<u8>,
    /// Rows that it leaves behind, as a query.
    effect: &'static str,
    /// Kind of its record.
    record: &'static str,
}

#[derive(Debug, PartialEq, Eq)]
struct Told {
    status: u16,
    decision: Option<String>,
    body: Vec<u8>,
}

impl Told {
    /// The KeyPackages that a claim got.
    fn given(&self) -> Vec<Vec<u8>> {
        let clients = KeyMaterialResponse::decode(&self.body).unwrap().clients.into_iter();
        let given = clients.filter_map(|client| match client {
            ClientKeyMaterial::Success { key_package, .. } => Some(key_package.as_bytes().to_vec()),
            ClientKeyMaterial::Exhausted { .. } | ClientKeyMaterial::NothingCompatible { .. } => None,
        });
        given.collect()
    }

    fn code(&self) -> String {
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        problem["code"].as_str().unwrap().to_owned()
    }
}

impl Request {
    /// `creator` makes a room.
    fn room(at: &Gateway, creator: &UserUri, name: &str) -> Self {
        let room = format!("mimi://a.example/r/{name}");
        let body = json!({ "room": room, "template": "strict", "name": name });
        Self {
            admin: false,
            path: "rooms".to_owned(),
            token: at.token(creator),
            key: "room",
            body: serde_json::to_vec(&body).unwrap(),
            effect: "SELECT count(*) FROM rooms",
            record: "decision.room",
        }
    }

    /// `request` claims KeyPackages of `target`.
    fn claim(at: &Gateway, claimant: &UserUri, target: &UserUri, request: Vec<u8>) -> Self {
        Self {
            admin: false,
            path: format!("key-material/{}", encoded(target.as_str())),
            token: at.token(claimant),
            key: "claim",
            body: request,
            effect: "SELECT count(*) FROM key_packages WHERE claimed_by IS NOT NULL",
            record: "decision.key_material",
        }
    }

    /// Somebody blocks b.example.
    fn block(at: &Gateway, role: &str) -> Self {
        let roles = [role.to_owned()];
        let grant = Grant {
            subject: "ops",
            audience: ADMIN_AUDIENCE,
            issuer: None,
            scope: "",
            roles: Some(("roles", &roles)),
            lifetime_seconds: 3600,
        };
        Self {
            admin: true,
            path: "peers/b.example/block".to_owned(),
            token: sign(at, &grant),
            key: "block",
            body: br#"{ "reason": "CASE-7" }"#.to_vec(),
            effect: "SELECT count(*) FROM peer_standings",
            record: "decision.admin",
        }
    }

    async fn send(&self, to: &Gateway) -> Result<Told, reqwest::Error> {
        let door = if self.admin { address(&to.log()) } else { to.provider.to_string() };
        let request = reqwest::Client::new().post(format!("http://{door}/v1/{}", self.path)).bearer_auth(&self.token);
        let response = request.header(IDEMPOTENCY_KEY, self.key).body(self.body.clone()).send().await?;
        let decision = response.headers().get(DECISION).map(|id| id.to_str().unwrap().to_owned());
        Ok(Told { status: response.status().as_u16(), decision, body: response.bytes().await?.to_vec() })
    }

    async fn answered(&self, by: &Gateway) -> Told {
        eventually("an answer", async || self.send(by).await.ok().filter(|told| told.status < 500)).await
    }

    /// How often it has taken effect at a gateway that has come to rest, and how often with this outcome on the record.
    async fn effects(&self, at: &Gateway, outcome: Outcome) -> (i64, usize) {
        let database = at.database();
        eventually("the gateway comes to rest", async || (database.waiting() == 0).then_some(())).await;
        let entries = database.entries();
        let records = entries.iter().filter(|it| it.record.kind == self.record && it.record.outcome == outcome);
        (database.number(self.effect), records.count())
    }
}

/// Starts gateways of which one is to end at a point, once it is armed.
async fn armed(domains: &[&str], ends: &str, point: &str) -> Lab {
    let mut lab = Lab::new(domains);
    for gateway in &mut lab.gateways {
        let armed = gateway.folder.join("armed");
        let environment: [(&str, &OsStr); 2] =
            [("PORTCULLIS_CRASH_AT", point.as_ref()), ("PORTCULLIS_CRASH_ARMED", armed.as_os_str())];
        gateway.start_with(if gateway.domain.as_str() == ends { &environment } else { &[] });
    }
    for gateway in &mut lab.gateways {
        gateway.ready().await;
    }
    lab
}

/// Sends `request` to a.example, which or whose peer `ends` meanwhile, and after that until there is an answer.
async fn through_a_crash(lab: &mut Lab, ends: &str, request: &Request) -> Told {
    lab.quiet().await;
    std::fs::write(lab.gateway(ends).folder.join("armed"), "").unwrap();
    let lost = request.send(lab.gateway("a.example")).await.ok().filter(|told| told.status < 500);
    assert_eq!(lost, None, "it is not told before it is kept");
    lab.gateway_mut(ends).crashed().await;
    lab.gateway_mut(ends).restart().await;
    let hub = lab.gateway("a.example");
    let told = request.answered(hub).await;
    assert_eq!(request.answered(hub).await, told, "the answer is another one the second time");
    told
}

/// A request that a.example alone has to do with takes effect once, though the process ends at `point`.
async fn once(point: &str, status: u16, outcome: Outcome, make: impl AsyncFnOnce(&Lab) -> Request) {
    let mut lab = armed(&["a.example"], "a.example", point).await;
    let request = make(&lab).await;
    let told = through_a_crash(&mut lab, "a.example", &request).await;
    assert_eq!(told.status, status, "{told:?}");
    let effects = i64::from(outcome == Outcome::Allow);
    assert_eq!(request.effects(lab.gateway("a.example"), outcome).await, (effects, 1));
    lab.gateway("a.example").database().assert_gapless();
}

async fn a_room(lab: &Lab) -> Request {
    let alice = lab.device("a.example/d/alice/phone").await;
    Request::room(lab.gateway("a.example"), alice.user(), "clubhouse")
}

async fn a_room_of_no_template(lab: &Lab) -> Request {
    let request = a_room(lab).await;
    let body = String::from_utf8(request.body).unwrap().replace("strict", "none");
    Request { body: body.into_bytes(), ..request }
}

async fn a_claim(lab: &Lab) -> Request {
    let alice = lab.device("a.example/d/alice/phone").await;
    let mut bob = lab.device("a.example/d/bob/phone").await;
    bob.publish_key_packages(3).await.unwrap();
    let request = alice.member().key_material_request(bob.user(), None).unwrap().encode();
    Request::claim(lab.gateway("a.example"), alice.user(), bob.user(), request)
}

async fn a_block(lab: &Lab) -> Request {
    Request::block(lab.gateway("a.example"), "operator")
}

async fn a_block_by_nobody(lab: &Lab) -> Request {
    Request::block(lab.gateway("a.example"), "nobody")
}

/// Alice asks Bob of b.example for his consent.
async fn a_consent(lab: &Lab) -> Request {
    let alice = lab.device("a.example/d/alice/phone").await;
    let body = json!({ "operation": "request", "user": "mimi://b.example/u/bob" });
    Request {
        admin: false,
        path: "consent".to_owned(),
        token: lab.gateway("a.example").token(alice.user()),
        key: "consent",
        body: serde_json::to_vec(&body).unwrap(),
        effect: "SELECT count(*) FROM consents",
        record: "decision.consent",
    }
}

/// A further device of Alice's asks for what lets it into a room of hers, which there is from now on.
async fn a_group_info(lab: &Lab) -> Request {
    let lounge = RoomUri::parse("mimi://a.example/r/lounge").unwrap();
    let mut alice = lab.device("a.example/d/alice/phone").await;
    let created = alice.create_room(&lounge, "strict", "Lounge").await.unwrap();
    assert!(created.answer.is_ok(), "{created:?}");
    let mut laptop = lab.device("a.example/d/alice/laptop").await;
    Request {
        admin: false,
        path: format!("rooms/{}/group-info", encoded(lounge.as_str())),
        token: lab.gateway("a.example").token(alice.user()),
        key: "group-info",
        body: laptop.member_mut().group_info_request(&lounge, None).unwrap().encode(),
        effect: "SELECT count(*) FROM admissions",
        record: "decision.group_info",
    }
}

macro_rules! crashes {
    ($($name:ident: $what:ident, $status:literal and $outcome:ident, at $point:literal;)*) => {
        $(#[tokio::test]
        async fn $name() {
            once($point, $status, Outcome::$outcome, $what).await;
        })*
    };
}

crashes! {
    a_room_is_created_once_when_the_gateway_ends_before_that_is_durable:
        a_room, 201 and Allow, at "lane.before_commit";
    a_room_is_created_once_when_the_gateway_ends_before_it_answers:
        a_room, 201 and Allow, at "lane.after_commit";
    a_room_is_refused_once_when_the_gateway_ends_before_it_answers:
        a_room_of_no_template, 403 and Deny, at "lane.after_commit";
    key_packages_are_claimed_once_when_the_gateway_ends_before_that_is_durable:
        a_claim, 200 and Allow, at "lane.before_commit";
    key_packages_are_claimed_once_when_the_gateway_ends_before_it_answers:
        a_claim, 200 and Allow, at "lane.after_commit";
    a_peer_is_blocked_once_when_the_gateway_ends_before_that_is_durable:
        a_block, 200 and Allow, at "lane.before_commit";
    a_peer_is_blocked_once_when_the_gateway_ends_before_it_answers:
        a_block, 200 and Allow, at "lane.after_commit";
    a_person_is_refused_once_when_the_gateway_ends_before_it_answers:
        a_block_by_nobody, 403 and Deny, at "lane.after_commit";
}

/// Alice of a.example claims KeyPackages of Bob of b.example through her gateway.
async fn a_claim_elsewhere(lab: &Lab) -> Request {
    let alice = lab.device("a.example/d/alice/phone").await;
    let mut bob = lab.device("b.example/d/bob/phone").await;
    bob.publish_key_packages(3).await.unwrap();
    let request = alice.member().key_material_request(bob.user(), None).unwrap().encode();
    Request::claim(lab.gateway("a.example"), alice.user(), bob.user(), request)
}

#[tokio::test]
async fn key_packages_are_claimed_once_elsewhere_when_the_gateway_ends_before_it_keeps_the_answer() {
    let mut lab = armed(&TWO, "a.example", "passed_on.answered").await;
    let request = a_claim_elsewhere(&lab).await;
    let told = through_a_crash(&mut lab, "a.example", &request).await;
    assert_eq!(told.given().len(), 1, "{told:?}");
    // It has left twice, each time with a decision.
    assert_eq!(request.effects(lab.gateway("a.example"), Outcome::Allow).await.1, 2);
    assert_eq!(request.effects(lab.gateway("b.example"), Outcome::Allow).await, (1, 1));
}

#[tokio::test]
async fn key_packages_are_claimed_once_when_the_other_provider_ends_before_it_answers() {
    let mut lab = armed(&TWO, "b.example", "lane.after_commit").await;
    let request = a_claim_elsewhere(&lab).await;
    let told = through_a_crash(&mut lab, "b.example", &request).await;
    assert_eq!(told.given().len(), 1, "{told:?}");
    assert_eq!(request.effects(lab.gateway("b.example"), Outcome::Allow).await, (1, 1));
}

/// Sends both at once, each to its own replica, so that both have done what they do before either has kept its answer.
async fn race(cluster: &Cluster, replicas: &[Gateway], [first, second]: [&Request; 2]) -> [Told; 2] {
    const WAITING: &str = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    let held = cluster.session("LOCK TABLE answers IN SHARE MODE");
    let both = join(first.send(&replicas[0]), second.send(&replicas[1]));
    let released = async {
        eventually("both wait", async || (replicas[0].database().number(WAITING) == 2).then_some(())).await;
        drop(held);
    };
    let ((first, second), ()) = join(both, released).await;
    [first.unwrap(), second.unwrap()]
}

/// What both replicas are asked for at once is done once, and whichever is asked from then on gives the same answer.
async fn assert_done_once(cluster: &Cluster, replicas: &[Gateway], request: &Request) {
    let [here, there] = race(cluster, replicas, [request, request]).await;
    assert!(here.status < 300, "{here:?}");
    assert_eq!(here, there);
    assert_eq!(request.effects(&replicas[0], Outcome::Allow).await, (1, 1), "{}", request.path);
    for replica in replicas {
        assert_eq!(request.answered(replica).await, here);
    }
    assert_eq!(request.effects(&replicas[0], Outcome::Allow).await, (1, 1), "{}", request.path);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_replicas_are_asked_for_at_once_is_done_once_and_both_give_its_answer() {
    let cluster = Cluster::start();
    let mut lab = Lab::new(&TWO);
    lab.gateway_mut("b.example").restart().await;
    let replicas = lab.replicas("a.example", cluster.url()).await;
    let front = lab.gateway("a.example");
    for request in [a_room(&lab).await, a_claim(&lab).await, a_consent(&lab).await, a_block(&lab).await] {
        assert_done_once(&cluster, &replicas.gateways, &request).await;
    }
    let refused = Request { key: "refused", ..a_room_of_no_template(&lab).await };
    let [here, there] = race(&cluster, &replicas.gateways, [&refused, &refused]).await;
    assert_eq!((here.status, &here), (403, &there));
    assert_eq!(refused.effects(front, Outcome::Deny).await, (1, 1));
    // What is sealed is another one each time that it is made.
    assert_done_once(&cluster, &replicas.gateways, &a_group_info(&lab).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_two_replicas_get_at_once_with_different_bodies_is_refused_with_one_of_them() {
    let cluster = Cluster::start();
    let mut lab = Lab::new(&["a.example"]);
    let replicas = lab.replicas("a.example", cluster.url()).await;
    let front = lab.gateway("a.example");
    let alice = user("a.example/u/alice");
    let _phone = lab.device("a.example/d/alice/phone").await;
    let [one, other] = ["one", "other"].map(|name| Request::room(front, &alice, name));
    let mut told = race(&cluster, &replicas.gateways, [&one, &other]).await;
    told.sort_by_key(|told| told.status);
    let [created, refused] = &told;
    assert_eq!((created.status, refused.status), (201, 422), "{told:?}");
    assert_eq!(refused.code(), "idempotency_key_reused");
    assert_eq!(one.effects(front, Outcome::Allow).await, (1, 1));
    let mut again = [one.answered(&replicas.gateways[1]).await, other.answered(&replicas.gateways[0]).await];
    again.sort_by_key(|told| told.status);
    assert_eq!(again, told);
}

#[tokio::test]
async fn every_post_of_the_doors_with_tokens_names_itself() {
    let lab = Lab::open(&TWO).await;
    let (alice, _bob) = lab.alice_and_bob().await;
    let gateway = lab.gateway("a.example");
    let person = Request::block(gateway, "admin");
    let admin_door = address(&gateway.log());
    let doors = [
        (gateway.provider.to_string(), gateway.token(alice.user()), provider::routes()),
        (admin_door, person.token, admin::routes()),
    ];
    for (door, token, routes) in doors {
        for (_, path) in routes.iter().filter(|(method, _)| *method == Method::POST) {
            let url = format!("http://{door}{}", filled(path, &alice));
            let response = reqwest::Client::new().post(url).bearer_auth(&token).body("{}").send().await.unwrap();
            let (status, body): (_, Value) = (response.status().as_u16(), response.json().await.unwrap());
            assert_eq!((status, body["code"].as_str()), (400, Some("idempotency_key_missing")), "{path}");
        }
    }
}
