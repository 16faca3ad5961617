//! What it does to messages under way when another bundle of 10,000 policies comes to decide, and how long that takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix_web::web::Bytes;
use portcullis::gateway::{Clock, Policy};
use portcullis::peer::{Endpoint, Peers};
use portcullis::server::{Server, Sockets};
use portcullis_core::wire::Wire;
use portcullis_core::wire::submit::{SubmitMessageResponse, SubmitOutcome};
use portcullis_core::wire::uri::Domain;

use crate::harness::{Lab, room};

const ROUNDS: usize = 7;
/// Links of one template, beside the shipped policies.
const LINKS: usize = 10_000;
/// Messages that arrive in a second, whatever becomes of those before.
const RATE: usize = 1000;
/// Messages of a round: two seconds, once with a reload and once without.
const MESSAGES: usize = 2 * RATE;
const CALLERS: usize = 24;

const SETTINGS: &str = "limits: { peer: { per_minute: 4000000000, burst: 4000000000 } }\n";
const TEMPLATE: &str = "@id(\"company.read-only\")\n@reason(\"READ_ONLY\")\nforbid (\n  principal == ?principal,\n  \
    action in Mimi::Action::\"MessageActs\",\n  resource == ?resource\n)\nwhen { principal.employment == \"guest\" };\n";

/// Who only reads where.
fn links(count: usize) -> String {
    let links = (0..count).map(|number| {
        let (user, room) = (number % 977, number / 13);
        format!("    - {{ user: mimi://b.example/u/user{user}-{number}, room: mimi://a.example/r/room{room} }}\n")
    });
    format!("- template: company.read-only\n  links:\n{}", links.collect::<String>())
}

pub(super) async fn run() {
    let mut lab = Lab::new(&["a.example", "b.example"]);
    let hub = lab.gateway("a.example");
    hub.configure(SETTINGS);
    let config = hub.config();
    let folder = config.policies.folder.clone();
    std::fs::write(folder.join("templates/read-only.cedar"), TEMPLATE).unwrap();
    std::fs::create_dir_all(folder.join("rooms")).unwrap();
    let file = folder.join("rooms/read-only.yaml");
    std::fs::write(&file, links(LINKS)).unwrap();
    let policy = Policy::open(&config.policies).unwrap();
    let server = Server::start(&config, policy, Sockets::bind(&config).unwrap(), Clock::default()).await.unwrap();
    lab.gateway_mut("b.example").restart().await;
    let (_alice, mut bob) = lab.alice_and_bob().await;
    let member = bob.member_mut();
    let messages: Vec<Bytes> = (0..2 * ROUNDS * MESSAGES)
        .map(|number| Bytes::from(member.text(&room(), &format!("message {number}")).unwrap().encode()))
        .collect();
    lab.quiet().await;
    lab.gateway_mut("b.example").kill();
    let peers = Peers::new(&lab.gateway("b.example").config()).unwrap();

    let mut rounds = messages.chunks(MESSAGES);
    let (mut took, mut quiet, mut busy) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        quiet.push(latencies(&peers, rounds.next().unwrap(), async {}).await);
        // Another bundle each time: one that decides already is not put in force.
        std::fs::write(&file, links(LINKS + round + 1)).unwrap();
        let before = server.gateway().policy().active().bundle.digest();
        let reload = async {
            actix_web::rt::time::sleep(Duration::from_millis(500)).await;
            let start = Instant::now();
            server.reload().await;
            took.push(start.elapsed());
        };
        busy.push(latencies(&peers, rounds.next().unwrap(), reload).await);
        assert_ne!(server.gateway().policy().active().bundle.digest(), before, "the other bundle decides");
    }
    took.sort();
    println!("reload of {LINKS} links: {:?}, slowest {:?}, of {ROUNDS}", took[ROUNDS / 2], took[ROUNDS - 1]);
    for (what, rounds) in [("without", quiet), ("with", busy)] {
        let of = |part: f64| {
            let mut found: Vec<Duration> =
                rounds.iter().map(|times| times[(part * (times.len() - 1) as f64) as usize]).collect();
            found.sort();
            found[ROUNDS / 2]
        };
        println!(
            "{RATE} messages/s, {what} a reload among them: all accepted, median {:?}, 99 % {:?}, slowest {:?}",
            of(0.5),
            of(0.99),
            of(1.0)
        );
    }
    server.drain().await;
}

/// How long each message took from when it was due, sorted, while something else is done.
async fn latencies(peers: &Peers, messages: &[Bytes], beside: impl Future<Output = ()>) -> Vec<Duration> {
    let (own, hub) = (Domain::parse("b.example").unwrap(), Domain::parse("a.example").unwrap());
    let (next, messages) = (Arc::new(AtomicUsize::new(0)), Arc::new(messages.to_vec()));
    let start = Instant::now();
    let callers = (0..CALLERS).map(|_| {
        let (peers, next, messages) = (peers.clone(), Arc::clone(&next), Arc::clone(&messages));
        let (own, hub) = (own.clone(), hub.clone());
        let call = async move {
            let mut times = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(message) = messages.get(number) else { return times };
                let due = start + Duration::from_micros((number * 1_000_000 / RATE) as u64);
                actix_web::rt::time::sleep_until(due.into()).await;
                let answer =
                    peers.post(&own, &hub, Endpoint::SubmitMessage(room()), message.clone(), None).await.unwrap();
                let outcome = SubmitMessageResponse::decode(&answer.body).unwrap().outcome;
                assert!(matches!(outcome, SubmitOutcome::Accepted { .. }), "{outcome:?}");
                times.push(due.elapsed());
            }
        };
        actix_web::rt::spawn(call)
    });
    let (times, ()) = futures_util::future::join(futures_util::future::join_all(callers), beside).await;
    let mut times: Vec<Duration> = times.into_iter().flat_map(Result::unwrap).collect();
    times.sort();
    times
}
