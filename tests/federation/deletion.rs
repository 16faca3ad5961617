use portcullis_core::member::Draft;
use serde_json::Value;

use super::{assert_accepted, refusal};
use crate::admin::Person;
use crate::harness::{ADMIN, Lab, room};
use crate::rights::encoded;

const TWO: [&str; 2] = ["a.example", "b.example"];

async fn imposed(lab: &Lab, restriction: &str) -> Option<Value> {
    let person = Person::at(lab.gateway("a.example"), &["auditor"]);
    let told = person.get(&format!("rooms/{}/restrictions", encoded(room().as_str()))).await;
    let items = told.body["items"].as_array().unwrap().clone();
    items.into_iter().find(|item| item["restriction"] == restriction)
}

#[tokio::test]
async fn a_device_that_is_deleted_gets_nothing_any_more_and_goes_with_the_next_commit() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut tablet = lab.device("a.example/d/alice/tablet").await;
    let (_, material) = tablet.ask_group_info(&room()).await.unwrap();
    assert_accepted(&tablet.external_join(&room(), &material.unwrap(), None).await.unwrap());
    for device in [&mut alice, &mut bob] {
        device.until_epoch(&room(), 2).await.unwrap();
    }
    let a = lab.gateway("a.example");
    tablet.publish_key_packages(1).await.unwrap();
    a.client(alice.user()).deregister_device(tablet.client()).await.unwrap();
    bob.until_proposed(&room(), 1).await.unwrap();
    assert_accepted(&alice.say(&room(), "not for a lost device").await.unwrap());
    assert_accepted(&bob.commit_pending(&room()).await.unwrap());
    assert!(!bob.member().clients(&room()).unwrap().contains(tablet.client()));
    assert!(bob.member().clients(&room()).unwrap().contains(alice.client()), "her other device stays");
    lab.quiet().await;
    assert!(!a.database().stream(tablet.client()).iter().any(|row| row.item.kind == "application"));
    assert_eq!(a.database().number("SELECT count(*) FROM key_packages WHERE client LIKE '%tablet'"), 0);
    assert_eq!(imposed(&lab, "leaf").await.unwrap()["cryptographic"], "done");
    assert!(tablet.ask_group_info(&room()).await.unwrap().1.is_none(), "it has its keys, and comes back in no way");
    let again = a.client(alice.user()).deregister_device(tablet.client()).await.unwrap_err();
    assert_eq!(again.problem().unwrap().status, 404);
}

#[tokio::test]
async fn a_device_that_is_registered_again_comes_back_once_its_former_client_has_gone() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let joins = async || {
        let mut tablet = lab.device("a.example/d/alice/tablet").await;
        let (_, material) = tablet.ask_group_info(&room()).await.unwrap();
        assert_accepted(&tablet.external_join(&room(), &material.unwrap(), None).await.unwrap());
        tablet
    };
    let lost = joins().await;
    alice.until_epoch(&room(), 2).await.unwrap();
    lab.gateway("a.example").client(alice.user()).deregister_device(lost.client()).await.unwrap();
    bob.until_proposed(&room(), 1).await.unwrap();
    // Registered again before the commit comes, it joins after it.
    lab.device("a.example/d/alice/tablet").await;
    alice.until_proposed(&room(), 1).await.unwrap();
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    assert!(!alice.member().clients(&room()).unwrap().contains(lost.client()));
    let mut found = joins().await;
    alice.until_epoch(&room(), 4).await.unwrap();
    assert_accepted(&found.say(&room(), "it was under the sofa").await.unwrap());
    alice.until_text(&room(), "it was under the sofa").await.unwrap();
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    assert!(alice.member().clients(&room()).unwrap().contains(found.client()));
    assert_eq!(lab.gateway("a.example").database().number("SELECT count(*) FROM proposals"), 0);
}

#[tokio::test]
async fn a_user_who_is_deleted_has_no_rights_until_it_is_registered_again() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut dora = lab.device("a.example/d/dora/phone").await;
    lab.bring_in(&mut alice, &mut dora, ADMIN).await;
    bob.until_epoch(&room(), 2).await.unwrap();
    let a = lab.gateway("a.example");
    a.client(dora.user()).deregister_user(dora.user()).await.unwrap();
    assert_eq!(refusal(dora.say(&room(), "my last words").await.unwrap()), "not_allowed");
    bob.until_proposed(&room(), 1).await.unwrap();
    assert_accepted(&bob.commit_pending(&room()).await.unwrap());
    alice.until_epoch(&room(), 3).await.unwrap();
    assert!(!alice.member().clients(&room()).unwrap().contains(dora.client()));
    assert_eq!(imposed(&lab, "deprovisioned").await.unwrap()["cryptographic"], "done");
    // She is hired again, and comes back.
    let mut laptop = lab.device("a.example/d/dora/laptop").await;
    let (_, material) = laptop.ask_group_info(&room()).await.unwrap();
    assert_accepted(&laptop.external_join(&room(), &material.unwrap(), None).await.unwrap());
    assert_accepted(&laptop.say(&room(), "back").await.unwrap());
}

#[tokio::test]
async fn a_leave_that_an_external_commit_voids_keeps_the_user_out_until_it_is_off_the_list() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut dora = lab.device("a.example/d/dora/phone").await;
    lab.bring_in(&mut alice, &mut dora, ADMIN).await;
    bob.until_epoch(&room(), 2).await.unwrap();
    assert_accepted(&bob.leave(&room()).await.unwrap());
    let mut tablet = lab.device("a.example/d/alice/tablet").await;
    let (_, material) = tablet.ask_group_info(&room()).await.unwrap();
    assert_accepted(&tablet.external_join(&room(), &material.unwrap(), None).await.unwrap());
    alice.until_epoch(&room(), 3).await.unwrap();
    let mut laptop = lab.device("b.example/d/bob/laptop").await;
    assert!(laptop.ask_group_info(&room()).await.unwrap().1.is_none(), "he has left");
    let unlisted = Draft::default().without_participant(bob.user().clone());
    let commit = alice.member_mut().commit(&room(), &unlisted).unwrap();
    assert_accepted(&alice.update(&room(), &commit).await.unwrap());
    assert!(imposed(&lab, "removal").await.unwrap()["ended_at"].as_u64().is_some());
}
