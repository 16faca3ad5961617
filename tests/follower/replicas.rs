use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::*;
use crate::federation::assert_in_step;
use crate::harness::{Cluster, ORDINARY, Replicas};

/// Rounds of a message and a commit while first one, then the other replica is away.
const TURNS: usize = 2;
/// Rounds while replicas end and come back at moments that nobody chose.
const ROUNDS: usize = 8;
const KILLS: usize = 2;

/// The company of a room's guests runs two processes on one database, and each of them has a guest.
struct Guests {
    lab: Lab,
    replicas: Replicas,
    alice: Device,
    /// At the first replica, then at the second.
    guests: [Device; 2],
    _cluster: Cluster,
}

impl Guests {
    async fn arrive() -> Self {
        let cluster = Cluster::start();
        let mut lab = Lab::new(&TWO);
        let replicas = lab.replicas("b.example", cluster.url()).await;
        lab.gateway_mut("a.example").restart().await;
        let mut alice = lab.device("a.example/d/alice/phone").await;
        let [first, second] = &replicas.gateways[..] else { panic!("there are two replicas") };
        let mut guests =
            [first.device(client("b.example/d/bob/phone")).await, second.device(client("b.example/d/bea/phone")).await];
        assert_accepted(&alice.create_room(&room(), "strict", "Clubhouse").await.unwrap());
        for guest in &mut guests {
            lab.bring_in(&mut alice, guest, ORDINARY).await;
        }
        guests[0].until_epoch(&room(), 2).await.unwrap();
        Self { lab, replicas, alice, guests, _cluster: cluster }
    }

    /// Waits until nobody has anything to do, and holds what the guests got against what the hub has accepted.
    async fn assert_all_came_once_and_in_order(&self) {
        let (a, b) = (self.lab.gateway("a.example").database(), self.lab.gateway("b.example").database());
        eventually("all come to rest", async || (a.waiting() == 0 && b.waiting() == 0).then_some(())).await;
        a.assert_gapless();
        b.assert_gapless();
        for guest in &self.guests {
            a.assert_delivered(guest.client(), &b);
            // The stream is the same at both replicas.
            let rows = b.stream(guest.client());
            for replica in &self.replicas.gateways {
                let mut stream = replica.client(guest.user()).events(guest.client(), 0);
                for row in &rows {
                    let next = stream.next().await.unwrap();
                    assert_eq!((next.position, &next.event.payload.0), (row.position, &row.item.payload));
                }
            }
        }
        assert_eq!(outcomes(self.lab.gateway("b.example"), "follower.lost"), []);
    }
}

/// A message, then a commit.
async fn round(alice: &mut Device, text: &str) {
    assert_accepted(&alice.say(&room(), text).await.unwrap());
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_replica_the_hub_reaches_users_of_both_get_everything_once_and_in_order() {
    let mut at = Guests::arrive().await;
    for turn in 0..TURNS {
        let away = turn % 2;
        at.replicas.gateways[away].kill();
        let text = format!("without replica {away}, turn {turn}");
        round(&mut at.alice, &text).await;
        let epoch = at.alice.member().epoch(&room()).unwrap();
        let present = &mut at.guests[1 - away];
        present.until_text(&room(), &text).await.unwrap();
        present.until_epoch(&room(), epoch).await.unwrap();
        at.replicas.gateways[away].restart().await;
        at.guests[away].until_epoch(&room(), epoch).await.unwrap();
    }

    let (done, moved) = (AtomicUsize::new(0), Notify::new());
    let Guests { replicas, alice, .. } = &mut at;
    let rounds = async {
        for number in 0..ROUNDS {
            round(alice, &format!("round {number}")).await;
            done.store(number + 1, Ordering::SeqCst);
            moved.notify_one();
        }
    };
    let kills = async {
        for kill in 0..KILLS {
            while done.load(Ordering::SeqCst) < kill * ROUNDS / KILLS {
                moved.notified().await;
            }
            let replica = &mut replicas.gateways[usize::from(uuid::Uuid::new_v4().as_bytes()[0]) % 2];
            replica.kill();
            replica.restart().await;
        }
    };
    tokio::join!(rounds, kills);

    let epoch = at.alice.member().epoch(&room()).unwrap();
    for guest in &mut at.guests {
        guest.until_epoch(&room(), epoch).await.unwrap();
    }
    assert_in_step(&[&at.alice, &at.guests[0], &at.guests[1]]);
    assert_eq!(tracked_epoch(at.lab.gateway("b.example")), i64::try_from(epoch).unwrap());
    at.assert_all_came_once_and_in_order().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_reaches_both_replicas_at_once_and_backwards_takes_effect_once_and_forwards() {
    let mut at = Guests::arrive().await;
    at.lab.quiet().await;
    let before = fanned_out(&at.lab).len();
    at.replicas.gateways.iter_mut().for_each(Gateway::kill);
    for text in ["one", "two", "three"] {
        assert_accepted(&at.alice.commit_pending(&room()).await.unwrap());
        assert_accepted(&at.alice.say(&room(), text).await.unwrap());
    }
    let events = fanned_out(&at.lab).split_off(before);
    at.lab.gateway_mut("a.example").kill();
    for replica in &mut at.replicas.gateways {
        replica.restart().await;
    }
    // Each is sent on connections of its own, which go to the replicas in turn.
    for event in events.iter().rev() {
        let sent = || notify(&at.lab, event.clone());
        tokio::join!(sent(), sent(), sent(), sent());
    }
    for guest in &mut at.guests {
        guest.until_text(&room(), "three").await.unwrap();
    }
    let b = at.lab.gateway("b.example");
    assert_eq!(tracked_epoch(b), 5);
    assert_eq!(b.database().number("SELECT count(*) FROM kept_events"), 0);
    assert_eq!(records(b, "arrival.commit").len(), 4);
    // The hub knows of none of this and sends everything again.
    at.lab.gateway("a.example").database().sql("UPDATE outbox_lanes SET next_at = 0, lease_until = 0");
    at.lab.gateway_mut("a.example").restart().await;
    at.assert_all_came_once_and_in_order().await;
    assert_eq!(records(at.lab.gateway("b.example"), "arrival.commit").len(), 4);
}
