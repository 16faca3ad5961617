//! How soon a gateway with many rooms is ready, and how much memory it takes before anybody asks for anything.

use std::time::{Duration, Instant};

use crate::harness::{Lab, room};

const ROOMS: usize = 10_000;
const ROUNDS: usize = 5;

pub(super) async fn run() {
    let mut lab = Lab::new(&["a.example"]);
    let hub = &mut lab.gateways[0];
    hub.restart().await;
    let mut alice = hub.device(crate::harness::client("a.example/d/alice/phone")).await;
    assert!(alice.create_room(&room(), "strict", "Clubhouse").await.unwrap().answer.is_ok());
    hub.kill();
    // The same group under many names: what a start reads does not depend on what stands in it.
    let others = format!(
        "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {ROOMS} - 1) \
         INSERT INTO rooms SELECT uri || n, group_uri || n, status, epoch, version, last_accepted, last_seq, template, \
         creator, created_at FROM rooms, number; \
         INSERT INTO room_states SELECT uri, state.epoch, snapshot, group_info FROM rooms, room_states state \
         WHERE uri <> state.room;"
    );
    hub.database().sql(&others);
    assert_eq!(hub.database().number("SELECT count(*) FROM room_states"), i64::try_from(ROOMS).unwrap());

    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        hub.restart().await;
        times.push(start.elapsed());
        println!(
            "ready after {:?} with {ROOMS} rooms, {} MiB resident",
            times[times.len() - 1],
            resident_mib(hub.pid())
        );
        hub.signal("TERM");
        hub.ended().await;
    }
    times.sort();
    println!(
        "median of {ROUNDS} starts: {:?} (the doors are asked every {:?})",
        times[ROUNDS / 2],
        Duration::from_millis(20)
    );
}

/// Memory of a process that is in RAM.
fn resident_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap() / 1024
}
