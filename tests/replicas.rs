//! Two processes of one gateway on one PostgreSQL, behind one address: any of them takes any request, and whichever
//! ends, nothing is lost, doubled or left half done.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use data_encoding::HEXLOWER;
use portcullis::member::{Device, DeviceError, Sent};
use portcullis_core::member::Received;
use portcullis_core::wire::Wire;
use portcullis_core::wire::key_material::ClientKeyMaterial;
use portcullis_core::wire::uri::UserUri;
use portcullis_store::events::EventKind;
use tokio::sync::Notify;

use crate::federation::assert_in_step;
use crate::harness::{Cluster, Gateway, Lab, ORDINARY, Replicas, eventually, room};

const COMMITS: usize = 10;
const MESSAGES: usize = 24;
/// Of each of the two who claim: together more than there are packages.
const CLAIMS: usize = 20;
const PACKAGES: usize = 32;
const KILLS: usize = 4;

/// 16 octets in hexadecimal that say when which replica is killed; where it is not set they are random, and printed.
const CHANCE: &str = "PORTCULLIS_KILLS";

/// Somebody who races.
#[derive(Clone, Copy)]
enum Racer {
    Alice,
    Bob,
    Carol,
    Eve,
    Fred,
}

impl Racer {
    const ALL: [Self; 5] = [Self::Alice, Self::Bob, Self::Carol, Self::Eve, Self::Fred];

    /// How much it has to do.
    const fn steps(self) -> usize {
        match self {
            Self::Alice | Self::Bob => COMMITS,
            Self::Carol => MESSAGES,
            Self::Eve | Self::Fred => CLAIMS,
        }
    }
}

/// What has been done so far, for whoever ends processes in the middle of it. The work is in one part more than there are
/// kills, and nobody begins a part before the kill that falls into the part before: at every kill all have something to do.
#[derive(Default)]
struct Progress {
    steps: [AtomicUsize; Racer::ALL.len()],
    kills: AtomicUsize,
    moved: Notify,
}

impl Progress {
    async fn until(&self, reached: impl Fn() -> bool) {
        loop {
            let moved = self.moved.notified();
            if reached() {
                return;
            }
            moved.await;
        }
    }

    /// Waits until `racer` may take its next step.
    async fn turn(&self, racer: Racer) {
        let part = self.done(racer) * (KILLS + 1) / racer.steps();
        self.until(|| self.kills.load(Ordering::SeqCst) >= part).await;
    }

    fn done(&self, racer: Racer) -> usize {
        self.steps[racer as usize].load(Ordering::SeqCst)
    }

    fn step(&self, racer: Racer) {
        self.steps[racer as usize].fetch_add(1, Ordering::SeqCst);
        self.moved.notify_waiters();
    }

    fn killed(&self) {
        for racer in Racer::ALL {
            assert!(self.done(racer) < racer.steps(), "a kill came when some had nothing left to do");
        }
        self.kills.fetch_add(1, Ordering::SeqCst);
        self.moved.notify_waiters();
    }
}

/// Renews keys until that has gone well so often, whatever answer is lost on the way.
async fn commits(device: &mut Device, racer: Racer, progress: &Progress) {
    for _ in 0..racer.steps() {
        progress.turn(racer).await;
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
        progress.step(racer);
    }
}

async fn messages(device: &mut Device, racer: Racer, progress: &Progress) {
    for number in 0..racer.steps() {
        progress.turn(racer).await;
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
        progress.step(racer);
    }
}

/// What came of claims.
#[derive(Default)]
struct Claimed {
    /// The key packages that were given out.
    given: Vec<Vec<u8>>,
    /// Requests whose answer was lost, with what it perhaps gave out.
    unanswered: usize,
}

/// Claims key packages of `target`, and again where an answer is lost.
async fn claims(device: &Device, door: &Gateway, target: &UserUri, racer: Racer, progress: &Progress) -> Claimed {
    let body = device.member().key_material_request(target, None).unwrap().encode();
    let mut claimed = Claimed::default();
    for _ in 0..racer.steps() {
        progress.turn(racer).await;
        let client = door.client(device.user());
        let answer = eventually("a claim is answered", async || {
            let answered = client.key_material(target, body.clone()).await;
            claimed.unanswered += usize::from(answered.is_err());
            answered.ok()
        });
        for client in answer.await.value.clients {
            if let ClientKeyMaterial::Success { key_package, .. } = client {
                claimed.given.push(key_package.as_bytes().to_vec());
            }
        }
        progress.step(racer);
    }
    claimed
}

/// Sends the same request until there is an answer.
async fn persist(mut send: impl AsyncFnMut() -> Result<Sent, DeviceError>) -> Sent {
    eventually("an answer", async || send().await.ok()).await
}

/// Ends one replica after the other, and starts it again: each when somebody, whom `chance` names, is so far in a part.
async fn kills(replicas: &mut Replicas, chance: [u8; 16], progress: &Progress) {
    for (number, chance) in chance.chunks_exact(chance.len() / KILLS).enumerate() {
        let [racer, far, which] = [0, 1, 2].map(|at| usize::from(chance[at]));
        let racer = Racer::ALL[racer % Racer::ALL.len()];
        let step = racer.steps() * (number * 256 + far) / (256 * (KILLS + 1));
        progress.until(|| progress.done(racer) >= step).await;
        let replica = &mut replicas.gateways[which % 2];
        replica.kill();
        progress.killed();
        replica.restart().await;
    }
}

#[expect(clippy::print_stderr, reason = "whoever sees the test fail needs it to see it again")]
fn chance() -> [u8; 16] {
    let given = std::env::var(CHANCE).ok();
    let chance = given.map_or_else(
        || uuid::Uuid::new_v4().into_bytes(),
        |given| HEXLOWER.decode(given.as_bytes()).unwrap().try_into().unwrap(),
    );
    eprintln!("{CHANCE}={}", HEXLOWER.encode(&chance));
    chance
}

/// The messages that a device has heard, as they came.
fn heard(device: &Device) -> Vec<String> {
    let text = |received: &Received| match received {
        Received::Message(message) => Some(message.content.body.as_text().unwrap().to_owned()),
        _ => None,
    };
    device.heard(&room()).filter_map(text).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_two_replicas_race_for_each_thing_happens_once_though_they_are_killed() {
    let cluster = Cluster::start();
    let mut lab = Lab::new(&["a.example", "b.example"]);
    for gateway in &lab.gateways {
        let rate = "{ per_minute: 1000, burst: 1000 }";
        gateway.configure(&format!("limits: {{ claims: {rate}, claims_by_provider: {rate} }}\n"));
    }
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
        commits(&mut alice, Racer::Alice, &progress),
        commits(&mut bob, Racer::Bob, &progress),
        messages(&mut carol, Racer::Carol, &progress),
        claims(&eve, a, dora.user(), Racer::Eve, &progress),
        claims(&fred, b, dora.user(), Racer::Fred, &progress),
        kills(&mut replicas, chance(), &progress),
    );

    let unanswered = of_eve.unanswered + of_fred.unanswered;
    let given: Vec<_> = of_eve.given.into_iter().chain(of_fred.given).collect();
    assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), given.len(), "a key package was given out twice");
    // They asked for more than there were, so none is left; what nobody has got went with an answer that was lost.
    let of_dora = format!("SELECT count(*) FROM key_packages WHERE client = '{}'", dora.client());
    let rows = |which: &str| usize::try_from(a.database().number(&format!("{of_dora} AND {which}"))).unwrap();
    assert_eq!((rows("claimed_by IS NOT NULL"), rows("claimed_by IS NULL")), (PACKAGES, 0));
    assert!(
        given.len() <= PACKAGES && given.len() + unanswered >= PACKAGES,
        "{} given, {unanswered} lost",
        given.len()
    );
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
    let events = a.database().events();
    assert_eq!(events.iter().filter(|event| event.event.kind == EventKind::Message).count(), MESSAGES);
    // Carol sent each when the one before was answered: that is the hub's order.
    let said: Vec<String> = (0..MESSAGES).map(|number| format!("message {number}")).collect();
    assert_eq!((heard(&alice), heard(&bob)), (said.clone(), said));
    a.database().assert_one_commit_per_epoch();
    a.database().assert_gapless();
    a.database().assert_delivered(bob.client(), &b.database());
}
