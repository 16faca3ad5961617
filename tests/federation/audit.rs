use portcullis::member::DeviceError;
use portcullis::provider::client::ClientError;

use super::assert_accepted;
use crate::harness::{Gateway, Lab, eventually, room};

const TWO: [&str; 2] = ["a.example", "b.example"];

fn break_audit(gateway: &Gateway) {
    let broken = "CREATE TRIGGER full BEFORE INSERT ON audit_entries BEGIN SELECT RAISE(ABORT, 'disk is full'); END";
    gateway.database().sql(broken);
}

fn mend_audit(gateway: &Gateway) {
    gateway.database().sql("DROP TRIGGER full");
}

fn status<T: std::fmt::Debug>(answered: Result<T, DeviceError>) -> u16 {
    match answered.unwrap_err() {
        DeviceError::Door(ClientError::Refused(problem)) => problem.status,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_cannot_be_recorded_does_not_happen_and_is_unavailable() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    let hub = lab.gateway("a.example");
    let before = (hub.database().events(), hub.database().entries().len());
    break_audit(hub);
    assert_eq!(status(alice.say(&room(), "unheard").await), 503);
    let commit = alice.member_mut().commit_pending(&room()).unwrap();
    assert_eq!(status(alice.update(&room(), &commit).await), 503);
    assert_eq!(status(alice.claim(bob.user(), &room()).await), 503);
    assert_eq!(status(alice.ask_group_info(&room()).await), 503);
    assert!(matches!(status(bob.say(&room(), "unheard").await), 502 | 503));
    assert_eq!((hub.database().events(), hub.database().entries().len()), before);
    mend_audit(hub);
    assert_accepted(&alice.update(&room(), &commit).await.unwrap());
    assert_accepted(&alice.say(&room(), "heard").await.unwrap());
    bob.until_text(&room(), "heard").await.unwrap();
    lab.quiet().await;
    hub.database().assert_gapless();
    hub.database().assert_one_commit_per_epoch();
}

#[tokio::test]
async fn what_a_follower_cannot_record_it_does_not_take_and_the_hub_sends_it_again() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    let follower = lab.gateway("b.example");
    let before = follower.database().stream(bob.client());
    break_audit(follower);
    assert_accepted(&alice.say(&room(), "later").await.unwrap());
    assert_eq!(status(bob.say(&room(), "unheard").await), 503);
    eventually("an attempt fails", async || {
        let tried = "SELECT max(attempts) FROM outbox_lanes";
        (lab.gateway("a.example").database().number(tried) > 0).then_some(())
    })
    .await;
    assert_eq!(follower.database().stream(bob.client()), before);
    mend_audit(follower);
    bob.until_text(&room(), "later").await.unwrap();
}

#[tokio::test]
async fn every_acceptance_and_every_refusal_is_on_the_record_of_both_gateways_by_the_same_hash() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let good = bob.say(&room(), "hello").await.unwrap();
    let late = bob.member_mut().commit_pending(&room()).unwrap();
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    let bad = bob.update(&room(), &late).await.unwrap();
    assert_eq!(super::refusal(bad.clone()), "wrong_epoch");
    lab.quiet().await;
    for gateway in &lab.gateways {
        let entries = gateway.database().entries();
        for sent in [&good, &bad] {
            assert!(entries.iter().any(|entry| entry.record.exchange == sent.exchange), "{}", gateway.domain);
        }
    }
    let listed = lab.gateway("a.example").operated(&["audit", "list", "--json"]);
    assert!(listed.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    assert_eq!(listed.lines().count(), lab.gateway("a.example").database().entries().len());
}

#[tokio::test]
async fn the_log_is_signed_as_it_grows_proves_its_entries_and_shows_what_somebody_has_changed() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, _bob) = lab.alice_and_bob().await;
    assert_accepted(&alice.say(&room(), "on the record").await.unwrap());
    lab.quiet().await;
    let hub = lab.gateway("a.example");
    let size = || hub.database().number("SELECT count(*) FROM audit_entries");
    eventually("all of the log is signed", async || {
        (hub.database().number("SELECT max(size) FROM audit_checkpoints") == size()).then_some(())
    })
    .await;
    let kept = hub.folder.join("kept");
    std::fs::write(&kept, hub.operated(&["audit", "checkpoint"])).unwrap();
    let key = hub.operated(&["audit", "checkpoint", "--key"]);
    let kept = kept.to_str().unwrap();

    let good = hub.operated(&["audit", "verify", "--kept", kept]);
    assert!(!good.contains("BAD") && good.contains(&format!("{} entries", size())), "{good}");
    let database = hub.folder.join("portcullis.db").display().to_string();
    hub.operated(&["audit", "verify", "--database", &database, "--key", &key]);

    let nowhere = hub.folder.join("nowhere.db");
    let refused = hub.operate(&["audit", "verify", "--database", nowhere.to_str().unwrap(), "--key", &key]);
    assert_eq!((refused.status.code(), nowhere.exists()), (Some(64), false));

    let policy = portcullis_tlog::Policy::parse(format!("log {key}quorum none\n").as_bytes()).unwrap();
    let proof = hub.operated(&["audit", "prove", "3"]);
    let proof = portcullis_tlog::LogProof::parse(proof.as_bytes()).unwrap();
    let entries = hub.database().entries();
    proof.verify(&portcullis_tlog::Hash::leaf(&entries[3].leaf), &policy).unwrap();
    proof.verify(&portcullis_tlog::Hash::leaf(&entries[4].leaf), &policy).unwrap_err();
    assert_eq!(hub.operate(&["audit", "prove", "100000"]).status.code(), Some(2));

    hub.database().sql("UPDATE audit_entries SET openings = NULL WHERE seq = 3");
    let changed = hub.operate(&["audit", "verify", "--json"]);
    assert_eq!(changed.status.code(), Some(2));
    let lines = String::from_utf8(changed.stdout).unwrap();
    let wrong = |line: &&str| serde_json::from_str::<serde_json::Value>(line).unwrap()["wrong"] == 1;
    let wrong: Vec<_> = lines.lines().filter(wrong).collect();
    assert!(wrong.len() == 1 && wrong[0].contains("openings") && wrong[0].contains("entry 3"), "{lines}");
}
