//! What a hub spends on a commit in a room of 1,000, from the octets on its federation door to those of the answer, with
//! policy, audit and the transaction on SQLite, beside what openmls alone needs to process and merge the same commit.

use portcullis::gateway::{Clock, Policy};
use portcullis::peer::{Endpoint, Peers};
use portcullis::server::{Server, Sockets};
use portcullis_core::member::Member;
use portcullis_core::wire::Wire;
use portcullis_core::wire::update::UpdateResponse;
use portcullis_core::wire::uri::Domain;

use super::crowd::{Alone, Crowd, KINDS, PEOPLE, bundle};
use super::submit::SETTINGS;
use crate::harness::{Lab, room};

const ROUNDS: usize = 5;
/// Commits of a kind in a round.
const COMMITS: usize = 12;

pub(super) async fn run() {
    let mut lab = Lab::new(&["a.example", "b.example"]);
    let hub = lab.gateway("a.example");
    hub.configure(SETTINGS);
    let config = hub.config();
    let (policy, sockets) = (Policy::open(&config.policies).unwrap(), Sockets::bind(&config).unwrap());
    let server = Server::start(&config, policy, sockets, Clock::default()).await.unwrap();
    lab.gateway_mut("b.example").restart().await;
    let (_alice, mut bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    // What is accepted is owed to b.example, and stays so: acceptance is measured, not delivery.
    lab.gateway_mut("b.example").kill();
    let peers = Peers::new(&lab.gateway("b.example").config()).unwrap();

    let nobody = Member::new(bob.client().clone()).unwrap();
    let (mut crowd, updates) = Crowd::gathered(std::mem::replace(bob.member_mut(), nobody), room());
    for update in updates {
        accept(&peers, update).await;
    }
    for kind in &KINDS {
        let (mut alone, mut ratios) = (Alone::at(&crowd.group()), Vec::new());
        for round in 0..ROUNDS {
            let updates = crowd.commits(kind, round * COMMITS..(round + 1) * COMMITS);
            let commits: Vec<_> = updates.iter().map(|update| bundle(update).commit.as_bytes().to_vec()).collect();
            let start = cpu_ms();
            commits.iter().for_each(|commit| alone.merge(commit));
            let middle = cpu_ms();
            for update in updates {
                accept(&peers, update).await;
            }
            let (theirs, ours) = ((middle - start) / COMMITS as f64, (cpu_ms() - middle) / COMMITS as f64);
            println!("{}: openmls {theirs:.2} ms, gateway {ours:.2} ms, {:.2} times", kind.name, ours / theirs);
            ratios.push(ours / theirs);
        }
        ratios.sort_by(f64::total_cmp);
        println!("commit in a room of {PEOPLE}, {}: {:.2} times openmls", kind.name, ratios[ROUNDS / 2]);
    }
    server.drain().await;
}

async fn accept(peers: &Peers, update: Vec<u8>) {
    let (own, hub) = (Domain::parse("b.example").unwrap(), Domain::parse("a.example").unwrap());
    let answer = peers.post(&own, &hub, Endpoint::Update(room()), update.into(), None).await.unwrap();
    let answer = UpdateResponse::decode(&answer.body).unwrap();
    assert!(matches!(answer, UpdateResponse::Success { .. }), "{answer:?}");
}

/// CPU time of all threads of this process, in milliseconds.
fn cpu_ms() -> f64 {
    std::thread::yield_now();
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let spent = threads.filter_map(|thread| std::fs::read_to_string(thread.unwrap().path().join("schedstat")).ok());
    spent.map(|text| text.split(' ').next().unwrap().parse::<f64>().unwrap()).sum::<f64>() / 1e6
}
