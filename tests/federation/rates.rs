//! How much somebody may send, as policies oblige.

use portcullis_core::wire::Wire;

use crate::harness::{Gateway, Lab, edit, room};

use super::{assert_accepted, refusal};

const TWO: [&str; 2] = ["a.example", "b.example"];

/// Everybody whose `employment` is this may send two messages, and one in ten minutes from then on.
fn oblige(gateway: &Gateway, employment: &str) {
    let policies = gateway.folder.join("policies");
    edit(
        &policies.join("settings.yaml"),
        "  rate_classes: []",
        "  rate_classes: [{ name: slow, per_minute: 1, burst: 2 }, { name: swift, per_minute: 600, burst: 100 }]",
    );
    std::fs::create_dir_all(policies.join("obligations")).unwrap();
    let all = format!(
        "@id(\"company.swift\")\n@rate_class(\"swift\")\npermit (principal, action == Mimi::Action::\"canSendMessage\", \
         resource is Mimi::Room);\n@id(\"company.slow\")\n@rate_class(\"slow\")\npermit (principal, \
         action == Mimi::Action::\"canSendMessage\", resource is Mimi::Room)\nwhen {{ principal.employment == \"{employment}\" }};\n"
    );
    std::fs::write(policies.join("obligations/pace.cedar"), all).unwrap();
}

fn entries_of(gateway: &Gateway, reason: &str) -> Vec<portcullis_store::audit::AuditEntry> {
    gateway.database().entries().into_iter().filter(|entry| entry.record.reason == reason).collect()
}

#[tokio::test]
async fn a_hub_holds_back_who_sends_more_than_its_rate_class_leaves_it_and_nobody_else() {
    let mut lab = Lab::new(&TWO);
    let hub = lab.gateway("a.example");
    oblige(hub, "guest");
    edit(
        &hub.folder.join("policies/settings.yaml"),
        "users: []",
        "users: [{ uri: mimi://a.example/u/alice, employment: employee }]",
    );
    lab.start().await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let first = bob.member_mut().text(&room(), "one").unwrap();
    assert_accepted(&bob.submit(&room(), &first).await.unwrap());
    assert_accepted(&bob.say(&room(), "two").await.unwrap());
    assert_eq!(refusal(bob.say(&room(), "three").await.unwrap()), "too_many_requests");
    // What was accepted is answered again, and counts once.
    assert_accepted(&bob.submit(&room(), &first).await.unwrap());
    for number in 0..5 {
        assert_accepted(&alice.say(&room(), &format!("{number} of many")).await.unwrap());
    }
    bob.until_text(&room(), "4 of many").await.unwrap();
    let a = lab.gateway("a.example");
    let held_back = entries_of(a, "too_many_for_rate_class");
    assert_eq!(held_back.len(), 1, "{held_back:#?}");
    assert_eq!(held_back[0].record.policy, ["company.slow"]);
    assert_eq!(held_back[0].record.detail["rate_class"], "slow");
    let sent = entries_of(a, "ROLE_GRANTS");
    assert!(held_back[0].record.bundle.is_some());
    assert_eq!(held_back[0].record.bundle, sent[0].record.bundle, "the obligation is of the bundle that was asked");
    let owed = sent.iter().rfind(|entry| {
        entry.record.kind == "decision.message" && entry.record.actor.as_deref() == Some("mimi://b.example/u/bob")
    });
    let owed = &owed.unwrap().record.detail["actions"][0]["verdict"]["obligations"]["rate_class"];
    assert_eq!((&owed["value"], &owed["because"][0]), (&"slow".into(), &"company.slow".into()));
}

#[tokio::test]
async fn a_follower_holds_back_its_own_users_before_anything_leaves() {
    let mut lab = Lab::new(&TWO);
    oblige(lab.gateway("b.example"), "guest");
    lab.start().await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let first = bob.member_mut().text(&room(), "one").unwrap();
    // Whoever got no answer sends the same again, which counts once, also when nothing more is left.
    for _ in 0..3 {
        assert_accepted(&bob.submit(&room(), &first).await.unwrap());
    }
    assert_accepted(&bob.say(&room(), "two").await.unwrap());
    assert_accepted(&bob.submit(&room(), &first).await.unwrap());
    let third = bob.member_mut().text(&room(), "three").unwrap();
    let refused = bob.submit(&room(), &third).await.unwrap();
    assert_eq!(refusal(refused), "too_many_requests");
    assert_eq!(entries_of(lab.gateway("b.example"), "too_many_for_rate_class").len(), 1);
    assert_accepted(&alice.say(&room(), "as before").await.unwrap());
    let seen = lab.gateway("a.example").database().entries();
    let hash = portcullis_core::wire::mls::MlsMessage::decode(third.message.as_bytes()).unwrap().hash();
    assert!(!seen.iter().any(|entry| entry.record.exchange == Some(hash)), "the hub was not asked");
}
