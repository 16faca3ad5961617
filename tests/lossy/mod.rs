//! Two gateways joined by a wire that delays, drops, duplicates, cuts and half-closes: whatever is said in the room comes to every
//! client once, in the hub's order.

mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use portcullis::member::Device;
use portcullis::provider::client::Client;
use portcullis_core::wire::Wire as _;
use portcullis_core::wire::submit::SubmitOutcome;
use tokio::time::timeout;

use crate::harness::{Lab, ORDINARY, edit, eventually, room};
use wire::{FAULTS, Wire};

/// What each of the two says.
const SAID: usize = 5_000;
/// Messages of one user that are on their way at once.
const AT_ONCE: usize = 16;
/// When it is given up.
const PATIENCE: Duration = Duration::from_secs(540);

/// No limits but those of the wire.
const LIMITS: &str = "\
limits:
  user: { per_minute: 1000000000, burst: 1000000000 }
  peer: { per_minute: 1000000000, burst: 1000000000 }
";

/// An address at the same port, which only this process uses: in the directories stands the port.
fn other_end(of: SocketAddr) -> SocketAddr {
    let SocketAddr::V4(of) = of else { panic!("not of IPv4") };
    let [_, high, middle, low] = of.ip().octets();
    SocketAddr::from((Ipv4Addr::new(127, high ^ 0x80, middle, low), of.port()))
}

/// Gateways that reach each other by wires only: the one to a.example, and the one to b.example.
async fn joined(seed: u64) -> (Lab, [Wire; 2]) {
    let mut lab = Lab::new(&["a.example", "b.example"]);
    let mut wires = Vec::new();
    for (number, (to, by)) in [("a.example", "b.example"), ("b.example", "a.example")].into_iter().enumerate() {
        let door = lab.gateway(to).federation;
        let near = other_end(door);
        wires.push(Wire::lay(near, door, seed + number as u64).await);
        let by = lab.gateway(by);
        edit(&by.config_file(), &format!("connect: '{door}'"), &format!("connect: '{near}'"));
        by.configure(LIMITS);
    }
    lab.start().await;
    let [to_a, to_b] = wires.try_into().unwrap_or_else(|_| panic!("two wires"));
    (lab, [to_a, to_b])
}

/// Has everything said that was written, each until it is accepted, and tells how often that had to be tried.
async fn say_all(door: &Client, requests: Vec<Vec<u8>>) -> usize {
    let said = requests.into_iter().map(async |request| {
        for tried in 1.. {
            match door.submit(&room(), request.clone()).await {
                Ok(answer) => {
                    let outcome = answer.value.outcome;
                    assert!(matches!(outcome, SubmitOutcome::Accepted { .. }), "{outcome:?}");
                    return tried;
                }
                // The other provider was not reached, or nobody knows whether it was.
                Err(error) => assert!(error.problem().is_none_or(|problem| problem.status >= 500), "{error}"),
            }
        }
        unreachable!("it is tried for ever")
    });
    stream::iter(said).buffer_unordered(AT_ONCE).fold(0, async |all, tried| all + tried).await
}

fn written(by: &mut Device) -> Vec<Vec<u8>> {
    (0..SAID).map(|number| by.member_mut().text(&room(), &format!("number {number}")).unwrap().encode()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_messages_come_once_and_in_order_over_a_wire_that_loses_and_repeats() {
    let (lab, wires) = joined(20_261_122).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let (mut carol, mut dave) =
        (lab.device("a.example/d/carol/phone").await, lab.device("b.example/d/dave/phone").await);
    for guest in [&mut carol, &mut dave] {
        lab.bring_in(&mut alice, guest, ORDINARY).await;
    }
    bob.until_epoch(&room(), alice.member().epoch(&room()).unwrap()).await.unwrap();
    let (of_alice, of_bob) = (written(&mut alice), written(&mut bob));
    let before = lab.gateway("a.example").database().events().len();
    let doors = [&alice, &bob].map(|by| lab.gateway(by.client().domain().as_str()).client(by.user()));
    wires.iter().for_each(|wire| wire.calm(false));
    let said = async { tokio::join!(say_all(&doors[0], of_alice), say_all(&doors[1], of_bob)) };
    let (by_alice, by_bob) = timeout(PATIENCE, said).await.unwrap();
    assert_eq!(by_alice, SAID, "between her and her gateway is no such wire");
    assert!(by_bob > SAID, "his messages were lost on the way");
    // The faults go on until everything has come.
    timeout(PATIENCE, async {
        while lab.gateways.iter().any(|gateway| gateway.database().waiting() > 0) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await
    .unwrap();
    let met = wires.each_ref().map(Wire::met);
    for (at, fault) in FAULTS.iter().enumerate() {
        assert!(met.iter().all(|met| met[at] > 0), "no {fault:?} among {met:?}");
    }
    println!("pieces {:?}, faults {met:?}, tries {by_bob}", wires.each_ref().map(Wire::pieces));
    let hub = lab.gateway("a.example").database();
    assert_eq!(hub.events().len() - before, 2 * SAID);
    for device in [&alice, &bob, &carol, &dave] {
        let at = lab.gateway(device.client().domain().as_str()).database();
        hub.assert_delivered(device.client(), &at);
    }
    hub.assert_gapless();
    lab.gateway("b.example").database().assert_gapless();
    // And the room goes on.
    wires.iter().for_each(|wire| wire.calm(true));
    eventually("a word comes", async || alice.say(&room(), "the last word").await.ok().map(drop)).await;
    lab.quiet().await;
    hub.assert_delivered(bob.client(), &lab.gateway("b.example").database());
}
