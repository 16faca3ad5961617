//! A peer that means harm, on every endpoint: it is answered as the protocol says, and nobody else notices.

mod complete;
mod consents;
mod downloads;
mod heads;
mod oblivious;
mod reports;
mod scene;
mod searches;
mod slow;

use portcullis::member::Device;
use portcullis::peer::{Endpoint, PeerError};
use portcullis_core::time::Millis;
use portcullis_core::wire::Wire;
use portcullis_core::wire::group_info::{GroupInfoOutcome, GroupInfoRequest, GroupInfoResponse};
use portcullis_core::wire::key_material::{
    ClientKeyMaterial, KeyMaterialRequest, KeyMaterialResponse, KeyMaterialUserCode,
};
use portcullis_core::wire::notify::{FanoutBody, FanoutMessage};
use portcullis_core::wire::submit::{SubmitMessageRequest, SubmitMessageResponse, SubmitOutcome};
use portcullis_core::wire::update::{UpdateRequest, UpdateResponse};
use portcullis_store::events::EventKind;

use crate::federation::{assert_accepted, forged};
use crate::follower::tracked_epoch;
use crate::harness::{Gateway, room, user};
use scene::Scene;

/// What is done to a request that is good in itself.
#[derive(Clone, Copy, Debug)]
enum Attack {
    /// Again, after it was answered.
    Replay,
    /// The second before the first.
    Reorder,
    /// Twice at the same time.
    Duplicate,
    /// Without its end.
    Truncate,
    /// Longer than the endpoint takes.
    Oversize,
    /// By a provider that it is not from.
    WrongIdentity,
    /// When its time has passed.
    Stale,
    /// Changed after it was signed.
    Forged,
    /// Never whole.
    Slow,
}

const ATTACKS: [Attack; 9] = {
    use Attack::*;
    [Replay, Reorder, Duplicate, Truncate, Oversize, WrongIdentity, Stale, Forged, Slow]
};

/// Messages of so many epochs before the current one are taken.
const PAST_EPOCHS: usize = 2;

/// What no endpoint looks at: it is refused before it is understood.
async fn malformed(by: &Gateway, to: &str, endpoint: Endpoint, good: &[u8], limit_bytes: usize, attack: Attack) {
    let bodies = match attack {
        Attack::Truncate => (0..good.len()).step_by(1 + good.len() / 24).map(|end| good[..end].to_vec()).collect(),
        _ => vec![vec![0; limit_bytes + 1]],
    };
    let status = if matches!(attack, Attack::Truncate) { 400 } else { 413 };
    for body in bodies {
        let length = body.len();
        let refused = by.post(to, endpoint.clone(), body).await.unwrap_err();
        assert_eq!(refused.status(), Some(status), "{endpoint:?} with {length} bytes");
    }
}

#[tokio::test]
async fn claims_of_key_material() {
    let mut scene = Scene::open().await;
    scene.alice.publish_key_packages(40).await.unwrap();
    let tablet = scene.lab.device("b.example/d/bob/tablet").await;
    let target = scene.alice.user().clone();
    for attack in ATTACKS {
        let endpoint = Endpoint::KeyMaterial(target.clone());
        let good = scene.bob.member().key_material_request(&target, None).unwrap();
        let claim = async |from: &str, request: &KeyMaterialRequest| {
            let answer = scene.post_as(from, Endpoint::KeyMaterial(target.clone()), request.encode()).await.unwrap();
            KeyMaterialResponse::decode(&answer).unwrap()
        };
        let unclaimed = scene.unclaimed().await;
        let given = match attack {
            // The signature repeats too, so that two are alike and both good: each gets a package of its own.
            Attack::Replay => assert_distinct(&[claim("b.example", &good).await, claim("b.example", &good).await]),
            // Neither says that it is the first.
            Attack::Reorder => {
                let second = tablet.member().key_material_request(&target, None).unwrap();
                assert_ne!(second.encode(), good.encode());
                assert_distinct(&[claim("b.example", &second).await, claim("b.example", &good).await])
            }
            Attack::Duplicate => {
                let (first, second) = tokio::join!(claim("b.example", &good), claim("b.example", &good));
                assert_distinct(&[first, second])
            }
            Attack::Truncate | Attack::Oversize => {
                let b = scene.gateway("b.example");
                malformed(b, "a.example", endpoint, &good.encode(), 256 << 10, attack).await;
                0
            }
            Attack::WrongIdentity => assert_nothing(&claim("c.example", &good).await),
            // A request carries no time that could pass: what is old is a signature for another target, taken along.
            Attack::Stale => {
                let other = scene.bob.member().key_material_request(&user("a.example/u/dora"), None).unwrap();
                assert_nothing(&claim("b.example", &KeyMaterialRequest { signature: other.signature, ..good }).await)
            }
            Attack::Forged => {
                let mut signature = good.signature.clone();
                signature[7] ^= 1;
                assert_nothing(&claim("b.example", &KeyMaterialRequest { signature, ..good }).await)
            }
            Attack::Slow => {
                slow::assert_given_up(
                    scene.gateway("b.example"),
                    scene.gateway("a.example"),
                    &endpoint,
                    &good.encode(),
                )
                .await;
                0
            }
        };
        assert_eq!(scene.unclaimed().await, unclaimed - given, "{attack:?}");
        scene.assert_unharmed().await;
    }
}

fn assert_distinct(answers: &[KeyMaterialResponse; 2]) -> u64 {
    let package = |answer: &KeyMaterialResponse| match &answer.clients[..] {
        [ClientKeyMaterial::Success { key_package, .. }] => key_package.clone(),
        other => panic!("{other:?}"),
    };
    assert_ne!(package(&answers[0]), package(&answers[1]));
    2
}

fn assert_nothing(answer: &KeyMaterialResponse) -> u64 {
    assert_eq!((answer.status, answer.clients.len()), (KeyMaterialUserCode::NoConsent, 0));
    0
}

#[tokio::test]
async fn updates() {
    let mut scene = Scene::open().await;
    for attack in ATTACKS {
        let epoch = scene.bob.member().epoch(&room()).unwrap();
        let good = scene.bob.member_mut().commit_pending(&room()).unwrap();
        let before = scene.accepted();
        let send = async |from: &str, request: &UpdateRequest| {
            let answer = scene.post_as(from, Endpoint::Update(room()), request.encode()).await.unwrap();
            UpdateResponse::decode(&answer).unwrap()
        };
        let accepted = match attack {
            Attack::Replay => {
                assert_eq!(taken(send("b.example", &good).await), taken(send("b.example", &good).await));
                1
            }
            Attack::Duplicate => {
                let (first, second) = tokio::join!(send("b.example", &good), send("b.example", &good));
                assert_eq!(taken(first), taken(second));
                1
            }
            Attack::Reorder => {
                let member = scene.bob.member_mut();
                member.accepted(&room()).unwrap();
                let second = member.commit_pending(&room()).unwrap();
                let send = async |request: &UpdateRequest| {
                    let answer = scene.post(Endpoint::Update(room()), request.encode()).await.unwrap();
                    UpdateResponse::decode(&answer).unwrap()
                };
                assert!(matches!(send(&second).await, UpdateResponse::WrongEpoch { .. }));
                taken(send(&good).await);
                taken(send(&second).await);
                2
            }
            Attack::Truncate | Attack::Oversize => {
                let b = scene.gateway("b.example");
                malformed(b, "a.example", Endpoint::Update(room()), &good.encode(), 16 << 20, attack).await;
                0
            }
            Attack::WrongIdentity => scene.assert_hidden(Endpoint::Update(room()), good.encode()).await,
            Attack::Forged => assert_refused(send("b.example", &forged(&good)).await),
            Attack::Stale => {
                assert_accepted(&scene.alice.commit_pending(&room()).await.unwrap());
                let answer = scene.post(Endpoint::Update(room()), good.encode()).await.unwrap();
                let answer = UpdateResponse::decode(&answer).unwrap();
                assert!(matches!(answer, UpdateResponse::WrongEpoch { .. }), "{answer:?}");
                1
            }
            Attack::Slow => {
                let (a, b) = (scene.gateway("a.example"), scene.gateway("b.example"));
                slow::assert_given_up(b, a, &Endpoint::Update(room()), &good.encode()).await;
                0
            }
        };
        assert_eq!(scene.accepted() - before, accepted, "{attack:?}");
        match attack {
            Attack::Replay | Attack::Duplicate | Attack::Reorder => scene.bob.member_mut().accepted(&room()).unwrap(),
            _ => scene.bob.member_mut().rejected(&room()).unwrap(),
        }
        let reached = epoch + u64::try_from(accepted).unwrap();
        for device in [&mut scene.alice, &mut scene.bob] {
            device.until_epoch(&room(), reached).await.unwrap();
        }
        scene.assert_unharmed().await;
    }
}

fn taken(answer: UpdateResponse) -> UpdateResponse {
    assert!(matches!(answer, UpdateResponse::Success { .. }), "{answer:?}");
    answer
}

fn assert_refused(answer: UpdateResponse) -> usize {
    assert!(matches!(answer, UpdateResponse::NotAllowed { .. }), "{answer:?}");
    0
}

#[tokio::test]
async fn messages() {
    let mut scene = Scene::open().await;
    for attack in ATTACKS {
        let good = scene.bob.member_mut().text(&room(), &format!("{attack:?}")).unwrap();
        let next = scene.bob.member_mut().text(&room(), "the next one").unwrap();
        let before = scene.accepted();
        let send = async |from: &str, request: &SubmitMessageRequest| {
            let answer = scene.post_as(from, Endpoint::SubmitMessage(room()), request.encode()).await.unwrap();
            SubmitMessageResponse::decode(&answer).unwrap().outcome
        };
        let accepted = match attack {
            Attack::Replay => {
                assert_eq!(heard(send("b.example", &good).await), heard(send("b.example", &good).await));
                1
            }
            Attack::Duplicate => {
                let (first, second) = tokio::join!(send("b.example", &good), send("b.example", &good));
                assert_eq!(heard(first), heard(second));
                1
            }
            Attack::Reorder => {
                heard(send("b.example", &next).await);
                heard(send("b.example", &good).await);
                2
            }
            Attack::Truncate | Attack::Oversize => {
                let b = scene.gateway("b.example");
                malformed(b, "a.example", Endpoint::SubmitMessage(room()), &good.encode(), 1 << 20, attack).await;
                0
            }
            Attack::WrongIdentity => scene.assert_hidden(Endpoint::SubmitMessage(room()), good.encode()).await,
            // Content is not the hub's to read; who is said to have sent it is.
            Attack::Forged => {
                let sender = user("b.example/u/fred");
                let forged = SubmitMessageRequest { sender, ..good };
                assert_eq!(send("b.example", &forged).await, SubmitOutcome::NotAllowed);
                0
            }
            Attack::Stale => {
                for _ in 0..PAST_EPOCHS + 1 {
                    assert_accepted(&scene.alice.commit_pending(&room()).await.unwrap());
                }
                let answer = scene.post(Endpoint::SubmitMessage(room()), good.encode()).await.unwrap();
                let outcome = SubmitMessageResponse::decode(&answer).unwrap().outcome;
                assert!(matches!(outcome, SubmitOutcome::EpochTooOld { .. }), "{outcome:?}");
                PAST_EPOCHS + 1
            }
            Attack::Slow => {
                let (a, b) = (scene.gateway("a.example"), scene.gateway("b.example"));
                slow::assert_given_up(b, a, &Endpoint::SubmitMessage(room()), &good.encode()).await;
                0
            }
        };
        assert_eq!(scene.accepted() - before, accepted, "{attack:?}");
        if matches!(attack, Attack::Replay | Attack::Duplicate | Attack::Reorder) {
            scene.alice.until_text(&room(), &format!("{attack:?}")).await.unwrap();
        }
        scene.bob.until_epoch(&room(), scene.alice.member().epoch(&room()).unwrap()).await.unwrap();
        scene.assert_unharmed().await;
    }
}

fn heard(outcome: SubmitOutcome) -> SubmitOutcome {
    assert!(matches!(outcome, SubmitOutcome::Accepted { .. }), "{outcome:?}");
    outcome
}

#[tokio::test]
async fn requests_for_group_info() {
    let mut scene = Scene::open().await;
    let mut tablet = scene.lab.device("b.example/d/bob/tablet").await;
    for attack in ATTACKS {
        // Of its own each time, for a key that asks and asks is answered no more.
        let name = format!("b.example/d/bob/{attack:?}").to_lowercase();
        let mut laptop = scene.lab.device(&name).await;
        let good = laptop.member_mut().group_info_request(&room(), None).unwrap();
        let before = scene.accepted();
        let ask = async |from: &str, request: &GroupInfoRequest| {
            let answer = scene.post_as(from, Endpoint::GroupInfo(room()), request.encode()).await.unwrap();
            GroupInfoResponse::decode(&answer).unwrap()
        };
        match attack {
            Attack::Replay => {
                assert_sealed(&ask("b.example", &good).await);
                opened(&mut laptop, &ask("b.example", &good).await);
            }
            Attack::Duplicate => {
                let (first, second) = tokio::join!(ask("b.example", &good), ask("b.example", &good));
                assert_sealed(&first);
                opened(&mut laptop, &second);
            }
            Attack::Reorder => {
                let other = tablet.member_mut().group_info_request(&room(), None).unwrap();
                let (of_tablet, of_laptop) = (ask("b.example", &other).await, ask("b.example", &good).await);
                assert!(tablet.member_mut().open_group_info_response(&room(), &of_laptop).is_err());
                opened(&mut laptop, &of_laptop);
                opened(&mut tablet, &of_tablet);
            }
            Attack::Truncate | Attack::Oversize => {
                let b = scene.gateway("b.example");
                malformed(b, "a.example", Endpoint::GroupInfo(room()), &good.encode(), 256 << 10, attack).await;
            }
            Attack::WrongIdentity => {
                assert_eq!(ask("c.example", &good).await.outcome, GroupInfoOutcome::NotAuthorized);
            }
            Attack::Forged => {
                let mut signature = good.signature.clone();
                signature[7] ^= 1;
                let forged = GroupInfoRequest { signature, ..good };
                assert_eq!(ask("b.example", &forged).await.outcome, GroupInfoOutcome::NotAuthorized);
            }
            // What it leads to is for an epoch that is over.
            Attack::Stale => {
                let answer = ask("b.example", &good).await;
                let material = laptop.member_mut().open_group_info_response(&room(), &answer).unwrap();
                assert_accepted(&scene.alice.commit_pending(&room()).await.unwrap());
                let late = laptop.member_mut().external_join(&room(), &material, None).unwrap();
                let answer = scene.post(Endpoint::Update(room()), late.encode()).await.unwrap();
                assert!(matches!(UpdateResponse::decode(&answer).unwrap(), UpdateResponse::WrongEpoch { .. }));
                laptop.member_mut().rejected(&room()).unwrap();
                scene.bob.until_epoch(&room(), scene.alice.member().epoch(&room()).unwrap()).await.unwrap();
            }
            Attack::Slow => {
                let (a, b) = (scene.gateway("a.example"), scene.gateway("b.example"));
                slow::assert_given_up(b, a, &Endpoint::GroupInfo(room()), &good.encode()).await;
            }
        }
        let commits = usize::from(matches!(attack, Attack::Stale));
        assert_eq!(scene.accepted() - before, commits, "{attack:?}");
        scene.assert_unharmed().await;
    }
}

fn opened(device: &mut Device, answer: &GroupInfoResponse) {
    device.member_mut().open_group_info_response(&room(), answer).unwrap();
}

fn assert_sealed(answer: &GroupInfoResponse) {
    assert!(matches!(answer.outcome, GroupInfoOutcome::Success(_)));
}

/// Here the hub means harm: it makes up what it fans out.
#[tokio::test]
async fn notifications() {
    let mut scene = Scene::open().await;
    for attack in ATTACKS {
        let texts = [format!("{attack:?} one"), format!("{attack:?} two")];
        let [first, second] = texts.each_ref().map(|text| made_up(&mut scene.alice, text));
        let streamed = scene.gateway("b.example").database().stream(scene.bob.client()).len();
        let arrived = match attack {
            Attack::Replay => {
                notify(&scene, "a.example", first.clone()).await.unwrap();
                notify(&scene, "a.example", first.clone()).await.unwrap();
                notify(&scene, "a.example", [second.as_slice(), &first].concat()).await.unwrap();
                2
            }
            Attack::Duplicate => {
                let again = || notify(&scene, "a.example", first.clone());
                let (one, two) = tokio::join!(again(), again());
                one.and(two).unwrap();
                1
            }
            Attack::Reorder => {
                notify(&scene, "a.example", second).await.unwrap();
                notify(&scene, "a.example", first).await.unwrap();
                2
            }
            Attack::Truncate | Attack::Oversize => {
                let a = scene.gateway("a.example");
                malformed(a, "b.example", Endpoint::Notify(room()), &first, 24 << 20, attack).await;
                0
            }
            Attack::WrongIdentity => {
                assert_eq!(notify(&scene, "c.example", first).await.unwrap_err().status(), Some(403));
                0
            }
            // Of an epoch that was over before it came, for the first time and once more: it is late, but not lost, and it
            // takes the group nowhere.
            Attack::Stale => {
                assert_accepted(&scene.alice.commit_pending(&room()).await.unwrap());
                let epoch = scene.alice.member().epoch(&room()).unwrap();
                scene.bob.until_epoch(&room(), epoch).await.unwrap();
                let message = FanoutMessage::decode(&first).unwrap().body.message().epoch();
                assert_eq!(message, Some(epoch - 1));
                for _ in 0..2 {
                    notify(&scene, "a.example", first.clone()).await.unwrap();
                }
                scene.bob.until_text(&room(), &texts[0]).await.unwrap();
                assert_eq!(tracked(&scene), Some(epoch));
                2
            }
            Attack::Forged => {
                // A Welcome for a client that this provider never had.
                let mut events = scene.gateway("a.example").database().events().into_iter().map(|event| event.event);
                let welcome = events.find(|event| event.kind == EventKind::Welcome).unwrap();
                let answer = scene.gateway("a.example").post("c.example", Endpoint::Notify(room()), welcome.fanout);
                assert_eq!(answer.await.unwrap_err().status(), Some(404));
                refuse_forged_commit(&mut scene).await;
                3
            }
            Attack::Slow => {
                let (a, b) = (scene.gateway("a.example"), scene.gateway("b.example"));
                slow::assert_given_up(a, b, &Endpoint::Notify(room()), &first).await;
                0
            }
        };
        scene.lab.quiet().await;
        let now = scene.gateway("b.example").database().stream(scene.bob.client()).len();
        assert_eq!(now - streamed, arrived, "{attack:?}");
        scene.assert_unharmed().await;
    }
}

/// A message of a member that its hub never accepted.
fn made_up(by: &mut Device, text: &str) -> Vec<u8> {
    let request = by.member_mut().text(&room(), text).unwrap();
    let body = FanoutBody::Application { message: request.message, frank: None };
    FanoutMessage { timestamp: Millis(1), body }.encode()
}

/// Makes the hub fan out a commit with one bit changed before the commit itself. The client does not take it in. Its provider
/// knows no longer where the group is, and says so: until the real one comes, and the client tells.
async fn refuse_forged_commit(scene: &mut Scene) {
    let epoch = scene.alice.member().epoch(&room()).unwrap();
    let commit = scene.alice.member_mut().commit_pending(&room()).unwrap();
    let UpdateRequest::Commit(changed) = forged(&commit) else { panic!("it is a commit") };
    let body = FanoutBody::Commit { message: changed.commit, external_proposals: Vec::new() };
    notify(scene, "a.example", FanoutMessage { timestamp: Millis(1), body }.encode()).await.unwrap();
    assert!(scene.bob.until_epoch(&room(), epoch + 1).await.is_err(), "the client takes in a forged commit");
    assert_eq!((scene.bob.member().epoch(&room()).unwrap(), tracked(scene)), (epoch, None));
    assert_accepted(&scene.alice.update(&room(), &commit).await.unwrap());
    scene.bob.until_epoch(&room(), epoch + 1).await.unwrap();
    assert_eq!(tracked(scene), Some(epoch + 1));
    scene.lab.quiet().await;
    let entries = scene.gateway("b.example").database().entries().into_iter().map(|entry| entry.record);
    let lost: Vec<String> = entries.filter(|it| it.kind == "follower.lost").map(|it| it.reason).collect();
    assert_eq!(lost, ["mls.authenticity"]);
}

/// Delivers to b.example in the name of a provider.
async fn notify(scene: &Scene, from: &str, body: Vec<u8>) -> Result<(), PeerError> {
    scene.gateway(from).post("b.example", Endpoint::Notify(room()), body).await.map(drop)
}

/// The epoch in which b.example tracks the room.
fn tracked(scene: &Scene) -> Option<u64> {
    u64::try_from(tracked_epoch(scene.gateway("b.example"))).ok()
}
