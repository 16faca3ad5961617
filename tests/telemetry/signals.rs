use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::trace::v1::Span;
use portcullis::telemetry::metrics::INSTRUMENTS;

use super::{Receiver, lab_with, open};
use crate::harness::{eventually, room, user};

const TWO: [&str; 2] = ["a.example", "b.example"];

/// The names of what stands directly below each span with this name.
fn below<'a>(spans: &'a [Span], name: &str) -> Vec<BTreeSet<&'a str>> {
    let mut children: BTreeMap<&[u8], BTreeSet<&str>> = BTreeMap::new();
    for span in spans {
        children.entry(&span.parent_span_id).or_default().insert(&span.name);
    }
    let named = spans.iter().filter(|span| span.name == name);
    named.map(|span| children.get(&*span.span_id).cloned().unwrap_or_default()).collect()
}

#[tokio::test]
async fn traces_go_through_every_stage_at_hub_and_follower_and_tell_no_secret() {
    let receiver = Receiver::start();
    let mut lab = lab_with(&TWO, receiver.url());
    open(&mut lab).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    assert!(alice.say(&room(), "a word in confidence").await.unwrap().answer.is_ok());
    bob.until_text(&room(), "a word in confidence").await.unwrap();
    // By now b.example knows the group, and follows it.
    let at = alice.member().epoch(&room()).unwrap();
    assert!(alice.commit_pending(&room()).await.unwrap().answer.is_ok());
    bob.until_epoch(&room(), at + 1).await.unwrap();
    assert!(bob.commit_pending(&room()).await.unwrap().answer.is_ok());
    assert!(bob.say(&room(), "a word in return").await.unwrap().answer.is_ok());
    lab.quiet().await;
    let token = lab.gateway("a.example").token(&user("a.example/u/alice"));
    for gateway in &mut lab.gateways {
        gateway.signal("TERM");
        assert!(gateway.ended().await.success());
    }
    let spans = receiver.spans();
    let commit = ["decode", "mls.inspect", "room.actions", "policy.decide", "store.write"];
    let forwarded_commit = ["decode", "mls.inspect", "room.actions", "policy.decide", "store.write", "peer.post"];
    // At the hub, at the follower that passes it on, and at the follower that it is fanned out to.
    for (request, stages) in [
        ("POST /v1/rooms/{room}/update", &commit[..]),
        ("POST /v1/rooms/{room}/update", &forwarded_commit[..]),
        ("POST /v1/update/{tail:.*}", &commit[..]),
        ("POST /v1/notify/{tail:.*}", &commit[..]),
        ("POST /v1/rooms/{room}/messages", &["decode", "policy.decide", "store.write"][..]),
        ("POST /v1/rooms/{room}/messages", &["decode", "policy.decide", "store.write", "peer.post"][..]),
        ("POST /v1/submitMessage/{tail:.*}", &["decode", "policy.decide", "store.write"][..]),
    ] {
        let stages: BTreeSet<&str> = stages.iter().copied().collect();
        let found = below(&spans, request);
        let forwarded = |below: &BTreeSet<&str>| below.contains("peer.post");
        let like = |below: &BTreeSet<&str>| below.is_superset(&stages) && forwarded(below) == forwarded(&stages);
        assert!(found.iter().any(like), "{request}, {stages:?}: {found:?}");
    }
    for (name, child) in [
        ("delivery.attempt", "peer.post"),
        ("delivery.attempt", "store.write"),
        ("sequencer.pass", "store.write"),
        ("audit.export", "store.write"),
    ] {
        let found = below(&spans, name);
        assert!(found.iter().any(|below| below.contains(child)), "no `{child}` below `{name}`: {found:?}");
    }
    for secret in ["a word in confidence", "a word in return", "Clubhouse", "alice", "mimi://", &token] {
        assert!(!receiver.has_seen(secret), "`{secret}` was reported");
    }
}

#[tokio::test]
async fn every_instrument_reports_when_a_gateway_stops_and_none_names_a_room_or_a_user() {
    let receiver = Receiver::start();
    let mut lab = lab_with(&TWO, receiver.url());
    open(&mut lab).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    assert!(alice.say(&room(), "hello").await.unwrap().answer.is_ok());
    bob.until_text(&room(), "hello").await.unwrap();
    let hub = lab.gateway("a.example");
    hub.signal("HUP");
    eventually("the policies are read again", async || {
        hub.database().entries().iter().any(|entry| entry.record.kind == "policy.reloaded").then_some(())
    })
    .await;
    lab.quiet().await;
    for gateway in &mut lab.gateways {
        gateway.signal("TERM");
        assert!(gateway.ended().await.success());
    }
    let metrics = receiver.metrics();
    let reported: BTreeSet<(&str, &str)> = metrics.iter().map(|it| (it.name.as_str(), it.unit.as_str())).collect();
    let known: BTreeSet<(&str, &str)> = INSTRUMENTS.iter().map(|it| (it.name, it.unit)).collect();
    assert_eq!(reported, known);
    for secret in ["mimi://", "clubhouse", "alice", "hello"] {
        assert!(!receiver.has_seen(secret), "`{secret}` was reported");
    }
}
