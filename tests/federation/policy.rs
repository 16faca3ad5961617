use crate::harness::{Gateway, Lab, ORDINARY, edit, eventually, room};

use super::{assert_accepted, refusal};

const TWO: [&str; 2] = ["a.example", "b.example"];

/// Makes the gateway read its policies again, and waits until its log says what came of it.
async fn reload(gateway: &Gateway, outcome: &str) {
    let before = gateway.log().matches(outcome).count();
    gateway.signal("HUP");
    eventually(outcome, async || (gateway.log().matches(outcome).count() > before).then_some(())).await;
}

fn suspend(gateway: &Gateway, domain: &str) {
    let listed = format!("providers:\n  - domain: {domain}\n    suspended: true");
    edit(&gateway.folder.join("policies/settings.yaml"), "providers: []", &listed);
}

#[tokio::test]
async fn users_of_a_provider_that_is_suspended_are_not_heard_and_not_brought_in() {
    let lab = Lab::open(&["a.example", "b.example", "c.example"]).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut cathy = lab.device("c.example/d/cathy/phone").await;
    cathy.publish_key_packages(2).await.unwrap();
    let (_, packages) = bob.claim(cathy.user(), &room()).await.unwrap();
    let a = lab.gateway("a.example");
    suspend(a, "c.example");
    reload(a, "policies are reloaded").await;
    assert_eq!(refusal(bob.claim(cathy.user(), &room()).await.unwrap().0), "no_consent");
    let added = bob.add(&room(), packages, (cathy.user().clone(), ORDINARY)).await.unwrap();
    assert_eq!(refusal(added), "not_allowed");
    assert_accepted(&alice.say(&room(), "we two").await.unwrap());
    bob.until_text(&room(), "we two").await.unwrap();
}

#[tokio::test]
async fn a_user_of_a_provider_that_is_suspended_later_is_no_longer_heard() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let a = lab.gateway("a.example");
    suspend(a, "b.example");
    reload(a, "policies are reloaded").await;
    assert_eq!(refusal(bob.say(&room(), "hello?").await.unwrap()), "not_allowed");
    assert_eq!(refusal(bob.commit_pending(&room()).await.unwrap()), "not_allowed");
    assert_accepted(&alice.say(&room(), "he is gone").await.unwrap());
}

#[tokio::test]
async fn a_bundle_with_an_error_changes_nothing_until_it_is_mended() {
    let lab = Lab::open(&TWO).await;
    let (_alice, mut bob) = lab.alice_and_bob().await;
    let a = lab.gateway("a.example");
    let broken = a.folder.join("policies/ceiling/broken.cedar");
    suspend(a, "b.example");
    std::fs::write(&broken, "forbid (principal, action, resource) when {").unwrap();
    reload(a, "policies are not reloaded").await;
    assert_accepted(&bob.say(&room(), "as before").await.unwrap());
    std::fs::remove_file(&broken).unwrap();
    reload(a, "policies are reloaded").await;
    assert_eq!(refusal(bob.say(&room(), "no longer").await.unwrap()), "not_allowed");
}

#[tokio::test]
async fn a_muted_user_is_not_heard_until_unmuted() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let a = lab.gateway("a.example");
    let moderate =
        |verb: &str| a.operated(&["room", verb, room().as_str(), bob.user().as_str(), "--reason", "too loud"]);
    moderate("mute");
    let sent = bob.member_mut().text(&room(), "hello?").unwrap();
    assert_eq!(refusal(bob.submit(&room(), &sent).await.unwrap()), "not_allowed");
    a.operated(&["room", "unmute", room().as_str(), bob.user().as_str(), "--reason", "calm again"]);
    assert_accepted(&bob.say(&room(), "hello").await.unwrap());
    alice.until_text(&room(), "hello").await.unwrap();
    let kinds = |kind: &str| a.database().entries().iter().filter(|entry| entry.record.kind == kind).count();
    assert_eq!((kinds("moderation.mute"), kinds("moderation.unmute")), (1, 1));
}

#[tokio::test]
async fn neither_the_peer_nor_the_user_is_told_which_policy_denied() {
    let lab = Lab::open(&TWO).await;
    let (_alice, mut bob) = lab.alice_and_bob().await;
    let a = lab.gateway("a.example");
    suspend(a, "b.example");
    reload(a, "policies are reloaded").await;
    let request = bob.member_mut().commit_pending(&room()).unwrap();
    let told = format!("{:?}", super::hand_in(lab.gateway("b.example"), &request).await);
    let entries = a.database().entries();
    let denied = entries.iter().rfind(|entry| entry.record.kind == "decision.commit").unwrap();
    assert!(denied.record.policy.contains(&"company.suspended-actor".to_owned()), "{denied:?}");
    assert!(told.contains(&denied.record.decision.unwrap().to_string()), "{told}");
    assert!(!told.contains("suspended") && !told.contains("SUSPENDED"), "{told}");
}

#[tokio::test]
async fn a_policy_that_fails_denies_and_calls_somebody() {
    let lab = Lab::open(&TWO).await;
    let (_alice, mut bob) = lab.alice_and_bob().await;
    let a = lab.gateway("a.example");
    let failing = "@id(\"company.failing\")\n@reason(\"FAILING\")\nforbid (\n  principal,\n  \
        action == Mimi::Action::\"canSendMessage\",\n  resource is Mimi::Room\n)\n\
        when { context.messageBytes * 9223372036854775807 == 7 };\n";
    std::fs::write(a.folder.join("policies/ceiling/failing.cedar"), failing).unwrap();
    reload(a, "policies are reloaded").await;
    assert_eq!(refusal(bob.say(&room(), "hello?").await.unwrap()), "not_allowed");
    let log = a.log();
    let called = log.lines().find(|line| line.contains("a policy fails, which denies")).unwrap();
    assert!(called.contains("\"ERROR\"") && called.contains("company.failing"), "{called}");
}

/// A mounted ConfigMap: what it holds stands behind a link that is turned to another folder when it changes.
#[tokio::test]
async fn a_bundle_is_read_from_a_mounted_config_map_and_again_when_its_link_has_turned() {
    let lab = Lab::open(&TWO).await;
    let (_alice, mut bob) = lab.alice_and_bob().await;
    let a = lab.gateway("a.example");
    let mount = a.folder.join("policies");
    let (first, second) = (mount.join("..2026_11_22_first"), mount.join("..2026_11_22_second"));
    std::fs::create_dir(&first).unwrap();
    for entry in std::fs::read_dir(&mount).unwrap().map(|entry| entry.unwrap().file_name()) {
        let name = entry.to_str().unwrap();
        if !name.starts_with("..") {
            std::fs::rename(mount.join(name), first.join(name)).unwrap();
            std::os::unix::fs::symlink(format!("..data/{name}"), mount.join(name)).unwrap();
        }
    }
    std::os::unix::fs::symlink("..2026_11_22_first", mount.join("..data")).unwrap();
    reload(a, "policies are reloaded").await;
    assert_accepted(&bob.say(&room(), "as before").await.unwrap());
    assert!(std::process::Command::new("cp").arg("-r").args([&first, &second]).status().unwrap().success());
    edit(&second.join("settings.yaml"), "providers: []", "providers:\n  - domain: b.example\n    suspended: true");
    std::os::unix::fs::symlink("..2026_11_22_second", mount.join("..data_tmp")).unwrap();
    std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    reload(a, "policies are reloaded").await;
    assert_eq!(refusal(bob.say(&room(), "no longer").await.unwrap()), "not_allowed");
}
