//! Two processes of one gateway on one PostgreSQL, behind one address: any of them takes any request, and whichever
//! ends, nothing is lost, doubled or left half done.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis::member::{Device, DeviceError, Sent};
use portcullis_core::wire::Wire;
use portcullis_core::wire::key_material::ClientKeyMaterial;
use portcullis_core::wire::uri::UserUri;
use tokio::sync::Notify;

use crate::federation::assert_in_step;
use crate::harness::{Cluster, Gateway, Lab, ORDINARY, Replicas, eventually, room};

const COMMITS: usize = 10;
const MESSAGES: usize = 24;
const CLAIMS: usize = 16;
const PACKAGES: usize = 12;
const KILLS: usize = 4;

/// What has been done so far, for whoever ends processes in the middle of it.
#[derive(Default)]
struct Progress {
    steps: AtomicUsize,
    moved: Notify,
}

impl Progress {
    fn step(&self) {
        self.steps.fetch_add(1, Ordering::SeqCst);
        self.moved.notify_waiters();
    }

    async fn reached(&self, steps: usize) {
        loop {
            let moved = self.moved.notified();
            if self.steps.load(Ordering::SeqCst) >= steps {
                return;
            }
            moved.await;
        }
    }
}

/// Renews keys until that has gone well so often, whatever answer is lost on the way.
async fn commits(device: &mut Device, progress: &Progress) {
    for _ in 0..COMMITS {
        loop {
            let commit = device.member_mut().commit_pending(&room()).unwrap();
            let sent = persist(async || device.update(&room(), &commit).await).await;
            let epoch = device.member().epoch(&room()).unwrap();
            match &sent.answer {
                Ok(_) => break device.until_echo(&sent).await.unwrap(),
                Err(refusal) => assert_eq!(refusal.code, "wrong_epoch"),
            }
            device.until_epoch(&room(), epoch + 1).await.unwrap();
        }
        progress.step();
    }
}

async fn messages(device: &mut Device, progress: &Progress) {
    for number in 0..MESSAGES {
        loop {
            let message = device.member_mut().text(&room(), &format!("message {number}")).unwrap();
            let sent = persist(async || device.submit(&room(), &message).await).await;
            let epoch = device.member().epoch(&room()).unwrap();
            match sent.answer {
                Ok(_) => break,
                Err(refusal) => assert_eq!(refusal.code, "epoch_too_old"),
            }
            device.until_epoch(&room(), epoch + 1).await.unwrap();
        }
        progress.step();
    }
}

/// The key packages of `target` that come from so many claims; an answer that is lost is asked for again.
async fn claims(device: &Device, door: &Gateway, target: &UserUri, progress: &Progress) -> Vec<Vec<u8>> {
    let body = device.member().key_material_request(target, None).unwrap().encode();
    let mut given = Vec::new();
    for _ in 0..CLAIMS {
        let client = door.client(device.user());
        let answer = eventually("a claim is answered", async || client.key_material(target, body.clone()).await.ok());
        for client in answer.await.value.clients {
            if let ClientKeyMaterial::Success { key_package, .. } = client {
                given.push(key_package.as_bytes().to_vec());
            }
        }
        progress.step();
    }
    given
}

/// Sends the same request until there is an answer.
async fn persist(mut send: impl AsyncFnMut() -> Result<Sent, DeviceError>) -> Sent {
    eventually("an answer", async || send().await.ok()).await
}

/// Ends one replica after the other at moments that nobody chose, and starts it again.
async fn kills(replicas: &mut Replicas, progress: &Progress) {
    let all = 2 * COMMITS + MESSAGES + 2 * CLAIMS;
    for number in 0..KILLS {
        let random = usize::from(uuid::Uuid::new_v4().as_bytes()[0]);
        progress.reached(all * number / KILLS + random % (all / KILLS)).await;
        let replica = &mut replicas.gateways[random % 2];
        replica.kill();
        replica.restart().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_two_replicas_race_for_each_thing_happens_once_though_they_are_killed() {
    let cluster = Cluster::start();
    let mut lab = Lab::new(&["a.example", "b.example"]);
    let mut replicas = lab.replicas("a.example", cluster.url()).await;
    lab.gateway_mut("b.example").restart().await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut carol = lab.device("a.example/d/carol/phone").await;
    lab.bring_in(&mut alice, &mut carol, ORDINARY).await;
    bob.until_epoch(&room(), 2).await.unwrap();
    let mut dora = lab.device("a.example/d/dora/phone").await;
    dora.publish_key_packages(PACKAGES).await.unwrap();
    let (eve, fred) = (lab.device("a.example/d/eve/phone").await, lab.device("b.example/d/fred/phone").await);

    let progress = Progress::default();
    let (a, b) = (lab.gateway("a.example"), lab.gateway("b.example"));
    let ((), (), (), of_eve, of_fred, ()) = tokio::join!(
        commits(&mut alice, &progress),
        commits(&mut bob, &progress),
        messages(&mut carol, &progress),
        claims(&eve, a, dora.user(), &progress),
        claims(&fred, b, dora.user(), &progress),
        kills(&mut replicas, &progress),
    );

    let given: Vec<_> = of_eve.into_iter().chain(of_fred).collect();
    assert!(!given.is_empty());
    assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), given.len(), "a key package was given out twice");
    let last = 2 + 2 * u64::try_from(COMMITS).unwrap();
    for device in [&mut alice, &mut bob, &mut carol] {
        device.until_epoch(&room(), last).await.unwrap();
    }
    for device in [&mut alice, &mut bob] {
        device.until_text(&room(), &format!("message {}", MESSAGES - 1)).await.unwrap();
    }
    assert_in_step(&[&alice, &bob, &carol]);
    eventually("all gateways come to rest", async || {
        (a.database().waiting() == 0 && b.database().waiting() == 0).then_some(())
    })
    .await;
    a.database().assert_one_commit_per_epoch();
    a.database().assert_gapless();
    a.database().assert_delivered(bob.client(), &b.database());
}
