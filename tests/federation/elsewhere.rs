use serde_json::json;

use super::{assert_accepted, refusal};
use crate::admin::Person;
use crate::harness::{ADMIN, Lab, room};
use crate::rights::encoded;

const TWO: [&str; 2] = ["a.example", "b.example"];

fn path(user: &str, change: &str) -> String {
    format!("rooms/{}/users/{}/{change}", encoded(room().as_str()), encoded(user))
}

#[tokio::test]
async fn a_user_who_is_banned_from_a_room_of_another_hub_gets_and_sends_nothing_there_and_leaves() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut carol = lab.device("b.example/d/carol/phone").await;
    lab.bring_in(&mut alice, &mut carol, ADMIN).await;
    bob.until_epoch(&room(), 2).await.unwrap();
    lab.quiet().await;
    let b = lab.gateway("b.example");
    let moderator = Person::at(b, &["moderator"]);
    let told = moderator.post(&path(bob.user().as_str(), "ban"), json!({ "reason": "CASE-7" })).await;
    assert_eq!((told.status, &told.body["cryptographic"]), (200, &"by_the_hub".into()), "{told:?}");
    assert!(!told.body["limits"].as_array().unwrap().is_empty());
    assert_eq!(refusal(bob.say(&room(), "not any more").await.unwrap()), "not_allowed");
    assert_accepted(&alice.say(&room(), "for carol").await.unwrap());
    carol.until_text(&room(), "for carol").await.unwrap();
    bob.until_leaving(&room()).await.unwrap();
    alice.until_proposed(&room(), 2).await.unwrap();
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    bob.until_removed(&room()).await.unwrap();
    carol.until_epoch(&room(), 3).await.unwrap();
    let stream = b.database().stream(bob.client());
    assert!(!stream.iter().any(|row| row.item.kind == "application"));
    let imposed = moderator.get(&format!("rooms/{}/restrictions", encoded(room().as_str()))).await.body;
    assert_eq!(imposed["items"][0]["cryptographic"], "done");
    // Alice may add him again; he does not come in.
    bob.publish_key_packages(1).await.unwrap();
    let (_, packages) = alice.claim(bob.user(), &room()).await.unwrap();
    assert_accepted(&alice.add(&room(), packages, (bob.user().clone(), ADMIN)).await.unwrap());
    carol.until_epoch(&room(), 4).await.unwrap();
    lab.quiet().await;
    let stream = b.database().stream(bob.client());
    assert_eq!(stream.iter().filter(|row| row.item.kind == "welcome").count(), 1, "the one that let him in at first");
}

#[tokio::test]
async fn what_cannot_be_done_about_a_user_of_another_provider_in_its_room_is_said() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    let moderator = Person::at(lab.gateway("b.example"), &["moderator"]);
    let told = moderator.post(&path(alice.user().as_str(), "ban"), json!({ "reason": "CASE-7" })).await;
    assert_eq!(told.status, 200, "{told:?}");
    let limits = told.body["limits"].to_string();
    assert!(limits.contains("still reaches ours"), "{limits}");
    assert_accepted(&alice.say(&room(), "still here").await.unwrap());
    bob.until_text(&room(), "still here").await.unwrap();
    // Her commits are an alarm here.
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    bob.until_epoch(&room(), 2).await.unwrap();
    lab.quiet().await;
    let entries = lab.gateway("b.example").database().entries();
    let alarm = entries.iter().rfind(|entry| entry.record.kind == "arrival.commit").unwrap();
    assert_eq!(
        (alarm.record.reason.as_str(), &alarm.record.policy),
        ("BARRED", &vec!["company.barred-actor".to_owned()])
    );
}

#[tokio::test]
async fn a_room_of_another_hub_of_which_nothing_is_known_is_not_moderated() {
    let lab = Lab::open(&TWO).await;
    let moderator = Person::at(lab.gateway("b.example"), &["moderator"]);
    let told = moderator.post(&path("mimi://b.example/u/bob", "ban"), json!({ "reason": "CASE-7" })).await;
    assert_eq!(told.refusal(), (404, "not_found"));
}
