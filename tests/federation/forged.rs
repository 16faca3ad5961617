//! Clients that somebody has made up: a KeyPackage is signed by whoever makes it.

use portcullis::member::{Device, KEY_PACKAGE_LIFETIME};
use portcullis_core::member::{Draft, Member};
use portcullis_core::mls::crypto::HubCrypto;
use portcullis_core::mls::key_package;
use portcullis_core::time::Millis;
use portcullis_core::wire::mls::KeyPackage;
use portcullis_store::audit::Outcome;

use super::assert_accepted;
use crate::harness::{Gateway, Lab, ORDINARY, client, eventually, room, user};

const TWO: [&str; 2] = ["a.example", "b.example"];

fn made_up(name: &str) -> Vec<KeyPackage> {
    Member::new(client(name)).unwrap().key_packages(1, KEY_PACKAGE_LIFETIME).unwrap()
}

fn reasons(gateway: &Gateway) -> Vec<(Outcome, String)> {
    let entries = gateway.database().entries();
    entries.into_iter().map(|entry| (entry.record.outcome, entry.record.reason)).collect()
}

/// Adds a client by a commit, then by a proposal, both of which are refused.
async fn assert_refused(by: &mut Device, name: &str) {
    let whose = user(&name.replace("/d/", "/u/").replace("/phone", ""));
    let packages = made_up(name);
    let told = by.add(&room(), packages.clone(), (whose.clone(), ORDINARY)).await.unwrap().answer.unwrap_err();
    assert!(told.detail.contains("key_package_unknown"), "{told:?}");
    let proposed = Draft::default().clients(packages).participant(whose, ORDINARY);
    let proposals = by.member_mut().propose(&room(), &proposed).unwrap();
    let told = by.update(&room(), &proposals).await.unwrap().answer.unwrap_err();
    assert!(told.detail.contains("key_package_unknown"), "{told:?}");
}

#[tokio::test]
async fn nobody_adds_a_client_that_its_provider_has_not_given_out() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut cathy = lab.device("a.example/d/cathy/phone").await;
    let _eve = lab.device("b.example/d/eve/phone").await;
    // Of the hub, by another provider and by its own; of another provider, by the hub's user and by its own.
    for name in ["a.example/d/cathy/phone", "b.example/d/eve/phone"] {
        assert_refused(&mut alice, name).await;
        assert_refused(&mut bob, name).await;
    }
    lab.quiet().await;
    let refused = (Outcome::Deny, "key_package_was_not_given_out".to_owned());
    let count = |gateway: &str| reasons(lab.gateway(gateway)).into_iter().filter(|it| *it == refused).count();
    assert_eq!((count("a.example"), count("b.example")), (6, 2));
    lab.bring_in(&mut bob, &mut cathy, ORDINARY).await;
}

#[tokio::test]
async fn a_key_package_that_was_uploaded_and_not_given_out_adds_nobody() {
    let lab = Lab::open(&TWO).await;
    let (_alice, mut bob) = lab.alice_and_bob().await;
    let mut cathy = lab.device("a.example/d/cathy/phone").await;
    let packages = cathy.member_mut().key_packages(1, KEY_PACKAGE_LIFETIME).unwrap();
    let uploaded = packages.iter().map(|package| package.as_bytes().to_vec()).collect();
    let door = lab.gateway("a.example").client(cathy.user());
    assert_eq!(door.upload_key_packages(cathy.client(), uploaded).await.unwrap(), 1);
    let told = bob.add(&room(), packages, (cathy.user().clone(), ORDINARY)).await.unwrap().answer.unwrap_err();
    assert!(told.detail.contains("key_package_unknown"), "{told:?}");
}

#[tokio::test]
async fn a_follower_sounds_the_alarm_over_a_client_of_its_own_that_it_has_not_given_out() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, _bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    let packages = made_up("b.example/d/eve/phone");
    let now = Millis(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64);
    let remaining = key_package::MINIMUM_REMAINING;
    let info = key_package::validate(&HubCrypto::default(), &packages[0], remaining, now).unwrap();
    let reference: String = info.reference.iter().map(|byte| format!("{byte:02x}")).collect();
    // What a hub does that lets everybody in.
    lab.gateway("a.example")
        .database()
        .sql(&format!("INSERT INTO welcome_routes VALUES (x'{reference}', 'b.example', {})", info.not_after.0));
    assert_accepted(&alice.add(&room(), packages, (info.user, ORDINARY)).await.unwrap());
    let alarm = (Outcome::Alarm, "key_package_was_not_given_out".to_owned());
    eventually("the alarm", async || reasons(lab.gateway("b.example")).contains(&alarm).then_some(())).await;
}
