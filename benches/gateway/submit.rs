//! How many messages a hub accepts in a second over mutual TLS, with policy and audit on, beside what the same server
//! does when its handler only decodes the request and inserts one row. Both commit in groups, to the disk.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use actix_web::middleware::from_fn;
use actix_web::web::{Bytes, Data, post};
use actix_web::{App, HttpResponse, HttpServer};
use portcullis::config::Config;
use portcullis::gateway::{Clock, Policy};
use portcullis::peer::{Endpoint, Peers, TlsMaterial};
use portcullis::server::{Server, Sockets, open_store};
use portcullis_core::wire::Wire;
use portcullis_core::wire::submit::{SubmitMessageRequest, SubmitMessageResponse, SubmitOutcome};
use portcullis_core::wire::uri::Domain;
use portcullis_store::answers::{self, Recognised, StoredAnswer};
use portcullis_store::{Store, Tx};

use crate::harness::{Cluster, Lab, edit, room};

const ROUNDS: usize = 7;
/// Accepted in a round by each of the two.
const MESSAGES: usize = 10_000;
/// As many as one peer gets places for in one room.
const CALLERS: usize = 24;

/// No limit gets in the way, and diagnostics stay quiet.
pub(super) const SETTINGS: &str = "limits: { peer: { per_minute: 4000000000, burst: 4000000000 } }\n";

/// On SQLite, and on a PostgreSQL that syncs.
pub(super) async fn run() {
    compare("SQLite", None).await;
    let [ours, least] = [(); 2].map(|()| Cluster::with("-c fsync=on"));
    compare("PostgreSQL", Some([&ours, &least])).await;
}

async fn compare(name: &str, clusters: Option<[&Cluster; 2]>) {
    let mut lab = Lab::new(&["a.example", "b.example"]);
    let hub = lab.gateway("a.example");
    if let Some([ours, _]) = clusters {
        edit(&hub.config_file(), "database: sqlite:portcullis.db", &format!("database: {}", ours.url()));
    }
    hub.configure(SETTINGS);
    let config = hub.config();
    let server = Server::start(
        &config,
        Policy::open(&config.policies).unwrap(),
        Sockets::bind(&config).unwrap(),
        Clock::default(),
    )
    .await
    .unwrap();
    lab.gateway_mut("b.example").restart().await;
    let (_alice, mut bob) = lab.alice_and_bob().await;
    let member = bob.member_mut();
    let messages: Vec<Bytes> = (0..ROUNDS * MESSAGES)
        .map(|number| Bytes::from(member.text(&room(), &format!("message {number}")).unwrap().encode()))
        .collect();
    lab.quiet().await;
    // What is accepted is owed to b.example, and stays so: acceptance is measured, not delivery.
    lab.gateway_mut("b.example").kill();

    let ours = Peers::new(&lab.gateway("b.example").config()).unwrap();
    let floor = Floor::open(&config, clusters.map(|[_, least]| least.url())).await;
    let mut theirs = lab.gateway("b.example").config();
    for peer in &mut theirs.peers {
        peer.connect = Some(floor.address);
        peer.directory = Some(format!("{}{}", floor.url(), portcullis::peer::DIRECTORY_PATH));
    }
    let theirs = Peers::new(&theirs).unwrap();

    let (mut rates, mut ratios) = (Vec::new(), Vec::new());
    for round in messages.chunks(MESSAGES) {
        let (gateway, cost) = rate(&ours, round).await;
        let (least, least_cost) = rate(&theirs, round).await;
        println!(
            "{name}: gateway {gateway:.0}/s ({cost:.0} µs CPU each), one row {least:.0}/s ({least_cost:.0} µs), ratio {:.2}",
            gateway / least
        );
        rates.push((gateway, least));
        ratios.push(gateway / least);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "{name}: median ratio {:.2} of {ROUNDS} rounds of {MESSAGES} messages, {CALLERS} at a time",
        ratios[ROUNDS / 2]
    );
    floor.handle.stop(false).await;
    server.drain().await;
}

/// Posts `messages`, so many at a time, and gives how many were accepted in a second, and the CPU time of this process,
/// caller included, for each in microseconds.
async fn rate(peers: &Peers, messages: &[Bytes]) -> (f64, f64) {
    let (own, hub) = (Domain::parse("b.example").unwrap(), Domain::parse("a.example").unwrap());
    let (next, messages) = (Arc::new(AtomicUsize::new(0)), Arc::new(messages.to_vec()));
    let (start, cpu) = (Instant::now(), cpu_us());
    let callers = (0..CALLERS).map(|_| {
        let (peers, next, messages) = (peers.clone(), Arc::clone(&next), Arc::clone(&messages));
        let (own, hub) = (own.clone(), hub.clone());
        async move {
            while let Some(message) = messages.get(next.fetch_add(1, Ordering::Relaxed)) {
                let endpoint = Endpoint::SubmitMessage(room());
                let answer = peers.post(&own, &hub, endpoint, message.clone(), None).await.unwrap();
                let outcome = SubmitMessageResponse::decode(&answer.body).unwrap().outcome;
                assert!(matches!(outcome, SubmitOutcome::Accepted { .. }), "{outcome:?}");
            }
        }
    });
    futures_util::future::join_all(callers).await;
    let count = messages.len() as f64;
    (count / start.elapsed().as_secs_f64(), (cpu_us() - cpu) / count)
}

/// CPU time of this process so far, in microseconds; Linux counts it in hundredths of a second.
pub(super) fn cpu_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(") ").next().unwrap();
    let ticks: f64 = after_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    ticks * 10_000.0
}

/// The same server with the least that an honest handler could do.
struct Floor {
    address: SocketAddr,
    handle: actix_web::dev::ServerHandle,
}

fn url(address: SocketAddr) -> String {
    format!("https://a.example:{}", address.port())
}

impl Floor {
    fn url(&self) -> String {
        url(self.address)
    }

    async fn open(config: &Config, server: Option<&str>) -> Self {
        let mut config = config.clone();
        config.database = server.map_or_else(|| format!("{}.floor", config.database), str::to_owned);
        let store = Data::new(open_store(&config).await.unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let tls = TlsMaterial::load(&config.keys).unwrap().server_config().unwrap();
        let directory = portcullis::peer::directory_json(&url(address)).to_string();
        let app = move || {
            let directory = directory.clone();
            App::new()
                .wrap(from_fn(portcullis::telemetry::request))
                .app_data(portcullis::telemetry::Door::Federation)
                .app_data(store.clone())
                .route(
                    portcullis::peer::DIRECTORY_PATH,
                    actix_web::web::get().to(move || std::future::ready(directory.clone())),
                )
                .route("/v1/submitMessage/{tail:.*}", post().to(insert))
        };
        let server =
            HttpServer::new(app).tcp_nodelay(true).disable_signals().listen_rustls_0_23(listener, tls).unwrap().run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self { address, handle }
    }
}

async fn insert(body: Bytes, store: Data<Store>) -> HttpResponse {
    let request = SubmitMessageRequest::decode(&body).unwrap();
    let now = Clock::default().now();
    let accepted = SubmitMessageResponse {
        protocol: request.protocol,
        outcome: SubmitOutcome::Accepted { accepted_at: now, frank: None },
    };
    let hash = request.message.hash();
    let row = StoredAnswer { status: 200, body: body.to_vec(), decision: None };
    let write = move |tx: &mut Tx<'_>| answers::store(tx, Recognised::ByBody, &hash, &row, now, now);
    store.queue_append(room().as_str(), write).unwrap().done().await.unwrap();
    HttpResponse::Ok().body(accepted.encode())
}
