use portcullis::peer::Endpoint;
use portcullis_core::wire::Wire;
use portcullis_core::wire::components::Dictionary;
use portcullis_core::wire::consent::{ConsentEntry, ConsentOperation};

use super::{ATTACKS, Attack, Scene, malformed, slow};
use crate::harness::user;

/// What attacks the two endpoints.
pub(super) const SUITES: [fn(); 2] = [requests_for_consent, answers_to_requests_for_consent];

/// Steps of `actor`, a user of b.example, towards Alice; one of them undoes the other.
fn steps(scene: &Scene, forward: ConsentOperation, actor: &str) -> [ConsentEntry; 2] {
    let (alice, actor) = (scene.alice.user().clone(), user(actor));
    let back = if forward == ConsentOperation::Request { ConsentOperation::Cancel } else { ConsentOperation::Revoke };
    [forward, back].map(|operation| {
        let (requester, target) =
            if operation.is_requester_s() { (actor.clone(), alice.clone()) } else { (alice.clone(), actor.clone()) };
        let (key_packages, extensions) = (Vec::new(), Dictionary::default());
        ConsentEntry { operation, requester, target, room: None, key_packages, extensions }
    })
}

/// Whether a request stands between the two of an entry, or consent.
fn stands(scene: &Scene, of: &ConsentEntry) -> bool {
    let ConsentEntry { requester, target, .. } = of;
    let of_both = format!("requester = '{requester}' AND target = '{target}'");
    let standing = format!("SELECT count(*) FROM consents WHERE {of_both} AND (asked_at IS NOT NULL OR told = 1)");
    scene.gateway("a.example").database().number(&standing) > 0
}

async fn attacked(forward: ConsentOperation) {
    let mut scene = Scene::open().await;
    let alice = scene.alice.user().clone();
    for (number, attack) in ATTACKS.into_iter().enumerate() {
        // Each attack has an actor of its own, so that none meets what another left.
        let [step, back] = steps(&scene, forward, &format!("b.example/u/{number}"));
        let endpoint = || match forward.is_requester_s() {
            true => Endpoint::RequestConsent(alice.clone()),
            false => Endpoint::UpdateConsent(alice.clone()),
        };
        let send = async |from: &str, entry: &ConsentEntry| {
            let answered = scene.post_as(from, endpoint(), entry.encode()).await;
            answered.map_or_else(|error| error.status().unwrap(), |_| 201)
        };
        let heard = |scene: &Scene| scene.gateway("a.example").database().stream(scene.alice.client()).len();
        let before = heard(&scene);
        let expected = match attack {
            // The same step again changes nothing, and nobody hears of it.
            Attack::Replay => {
                assert_eq!([send("b.example", &step).await, send("b.example", &step).await], [201; 2]);
                1
            }
            Attack::Duplicate => {
                let (first, second) = tokio::join!(send("b.example", &step), send("b.example", &step));
                assert_eq!([first, second], [201; 2]);
                1
            }
            // What takes back nothing is taken, and what comes after it stands.
            Attack::Reorder => {
                assert_eq!([send("b.example", &back).await, send("b.example", &step).await], [201; 2]);
                1
            }
            Attack::Truncate | Attack::Oversize => {
                malformed(scene.gateway("b.example"), "a.example", endpoint(), &step.encode(), 256 << 10, attack).await;
                0
            }
            Attack::WrongIdentity => {
                assert_eq!(send("c.example", &step).await, 403);
                0
            }
            // There is neither time nor number in an entry: it is known again by the key that it came with, and revives nothing.
            Attack::Stale => {
                let b = scene.gateway("b.example");
                let under = async |key: &str, entry: &ConsentEntry| {
                    b.post_under(Some(key), "a.example", endpoint(), entry.encode()).await.unwrap();
                    stands(&scene, entry)
                };
                let (first, last) = (under("first", &step).await, under("second", &back).await);
                assert!(first && !last, "{first}, {last}");
                assert!(!under("first", &step).await, "what was taken back stands again");
                2
            }
            // In the name of somebody at Alice's own provider.
            Attack::Forged => {
                let [forged, _] = steps(&scene, forward, "a.example/u/carol");
                assert_eq!(send("b.example", &forged).await, 403);
                0
            }
            Attack::Slow => {
                let (a, b) = (scene.gateway("a.example"), scene.gateway("b.example"));
                slow::assert_given_up(b, a, &endpoint(), &step.encode()).await;
                0
            }
        };
        scene.lab.quiet().await;
        assert_eq!(heard(&scene) - before, expected, "{attack:?}");
        scene.assert_unharmed().await;
    }
}

#[tokio::test]
async fn requests_for_consent() {
    attacked(ConsentOperation::Request).await;
}

#[tokio::test]
async fn answers_to_requests_for_consent() {
    attacked(ConsentOperation::Grant).await;
}
