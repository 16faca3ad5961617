//! How soon a gateway with many rooms is ready, and how much memory it takes before anybody asks for anything: when the clients
//! of every room stand in its rows, as they do after a normal stop, and when those of none do, as after an upgrade from a build
//! that did not write them.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use portcullis::server::store_options;
use portcullis_core::wire::uri::RoomUri;
use portcullis_store::{Store, StoreError, rooms};

use crate::harness::{Gateway, Lab, room};

const ROOMS: usize = 10_000;
const ROUNDS: usize = 5;
/// How often it is looked whether the passes are done.
const STEP: Duration = Duration::from_millis(20);
/// When the passes over all rooms are given up.
const PATIENCE: Duration = Duration::from_secs(600);

/// Rooms whose clients are still to be written down.
const BEHIND: &str = "SELECT count(*) FROM rooms WHERE status = 1 AND leaves_epoch <> epoch";

pub(super) async fn run() {
    let mut lab = Lab::new(&["a.example"]);
    let hub = &mut lab.gateways[0];
    hub.restart().await;
    let mut alice = hub.device(crate::harness::client("a.example/d/alice/phone")).await;
    assert!(alice.create_room(&room(), "strict", "Clubhouse").await.unwrap().answer.is_ok());
    hub.kill();
    fill(hub);

    starts(hub, "with the clients of all in their rows", "").await;
    let behind = "DELETE FROM room_leaves; UPDATE rooms SET leaves_epoch = -1;";
    starts(hub, "with the clients of none in their rows", behind).await;
}

/// The same group under many names: what a start reads does not depend on what stands in it. States stand there unsealed, for
/// sealed bytes open in their own row only.
fn fill(hub: &Gateway) {
    let (snapshot, group_info) = unsealed(hub, room());
    let rest = "status, epoch, version, last_accepted, last_seq, template, creator, created_at, leaves_epoch";
    let others = format!(
        "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {ROOMS} - 1) \
         INSERT INTO rooms (uri, group_uri, {rest}) SELECT uri || n, group_uri || n, {rest} FROM rooms, number; \
         INSERT INTO room_states (room, epoch, snapshot, group_info) \
         SELECT rooms.uri, state.epoch, {snapshot}, {group_info} FROM rooms, room_states AS state \
         WHERE rooms.uri <> state.room; \
         INSERT INTO room_leaves (room, signature_key, client, user_uri, provider) \
         SELECT rooms.uri, leaf.signature_key, leaf.client, leaf.user_uri, leaf.provider \
         FROM rooms, room_leaves AS leaf WHERE rooms.uri <> leaf.room;"
    );
    let database = hub.database();
    database.sql(&others);
    for (table, what) in [("rooms", "leaves_epoch = epoch"), ("room_states", "1 = 1"), ("room_leaves", "1 = 1")] {
        let rows = database.number(&format!("SELECT count(*) FROM {table} WHERE {what}"));
        assert_eq!(rows, i64::try_from(ROOMS).unwrap(), "{table}");
    }
}

/// Snapshot and GroupInfo of a room, as SQL writes bytes.
fn unsealed(hub: &Gateway, room: RoomUri) -> (String, String) {
    let config = hub.config();
    let read = || {
        let store = Store::open(&config.database, &store_options(&config).unwrap()).unwrap();
        store.read(|conn| Ok::<_, StoreError>(rooms::load(conn, &room)?.unwrap())).unwrap()
    };
    // On a thread of its own, because the store blocks.
    let row = std::thread::scope(|scope| scope.spawn(read).join().unwrap());
    (literal(&row.snapshot), literal(&row.group_info))
}

fn literal(bytes: &[u8]) -> String {
    let mut text = "X'".to_owned();
    bytes.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
    text + "'"
}

/// Starts the gateway so many times, each after `before` was done to its database.
async fn starts(hub: &mut Gateway, what: &str, before: &str) {
    println!("{ROOMS} rooms, {what}:");
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        // An answer that has expired: with it goes the first of what is forgotten after a start.
        let expired = "INSERT INTO answers (scope, status, body, expires_at) VALUES (zeroblob(32), 200, X'', 1);";
        hub.database().sql(&format!("{before}{expired}"));
        let start = Instant::now();
        hub.restart().await;
        let ready = start.elapsed();
        let at_ready = memory(hub.pid());
        passed(hub).await;
        let done = start.elapsed();
        println!("  ready after {ready:?} {at_ready}; after its first passes, {done:?} {}", memory(hub.pid()));
        times.push(ready);
        hub.signal("TERM");
        hub.ended().await;
    }
    times.sort();
    println!("  median of {ROUNDS} starts: {:?} (the doors are asked every {STEP:?})", times[ROUNDS / 2]);
}

/// Waits until the passes that follow a start have been made.
async fn passed(hub: &Gateway) {
    let database = hub.database();
    let began = Instant::now();
    let expired = "SELECT count(*) FROM answers WHERE expires_at = 1";
    while database.number(BEHIND) + database.number(expired) + database.waiting() > 0 {
        assert!(began.elapsed() < PATIENCE, "{} rooms are behind", database.number(BEHIND));
        tokio::time::sleep(STEP).await;
    }
}

/// Memory of a process that is in RAM now, and the most there has been.
fn memory(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mib = |name: &str| {
        let kib =
            status.lines().find_map(|line| line.strip_prefix(name)?.strip_suffix("kB")?.trim().parse::<u64>().ok());
        kib.unwrap() / 1024
    };
    format!("({} MiB resident, {} MiB at most)", mib("VmRSS:"), mib("VmHWM:"))
}
