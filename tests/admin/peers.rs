use portcullis::member::Sent;
use portcullis::peer::{Endpoint, PeerError};
use portcullis_core::wire::Wire;
use portcullis_store::audit::Outcome;
use serde_json::json;

use super::{Person, ROOM, recorded};
use crate::harness::{Gateway, Lab, eventually, room};

const TWO: [&str; 2] = ["a.example", "b.example"];

fn refusal(sent: Sent) -> String {
    sent.answer.unwrap_err().code
}

/// The status with which a.example refuses what `by` sends it, whatever that is.
async fn status_for(by: &Gateway) -> Option<u16> {
    match by.post("a.example", Endpoint::SubmitMessage(room()), b"no message".to_vec()).await {
        Err(PeerError::Permanent { status }) => Some(status),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_suspended_peer_does_no_new_business_until_it_is_allowed_again() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let hub = lab.gateway("a.example");
    let ops = Person::at(hub, &["operator"]);
    let peers = ops.get("peers").await.good().body;
    assert_eq!(
        peers["items"],
        json!([{
            "domain": "b.example", "state": "allowed", "source": "configuration", "configured": true,
            "spki": [], "contacts": [], "asset_hosts": [],
        }])
    );

    let suspended = ops.decide("b.example", "suspend").await.good();
    assert_eq!(refusal(bob.say(&room(), "hello?").await.unwrap()), "not_allowed");
    assert_eq!(refusal(bob.commit_pending(&room()).await.unwrap()), "not_allowed");
    assert!(alice.say(&room(), "we go on").await.unwrap().answer.is_ok());
    bob.until_text(&room(), "we go on").await.unwrap();
    let shown = ops.get("peers/b.example").await.good().body;
    assert_eq!((&shown["state"], &shown["source"]), (&"suspended".into(), &"operator".into()));
    let decided = &shown["decided"];
    assert_eq!((&decided["by"], &decided["reason"]), (&"operator:ops".into(), &"CASE-7".into()));
    assert_eq!(decided["decision"], suspended.decision.unwrap().to_string());

    ops.decide("b.example", "allow").await.good();
    assert!(bob.say(&room(), "hello").await.unwrap().answer.is_ok());
    alice.until_text(&room(), "hello").await.unwrap();
    lab.quiet().await;
    let [entry] = &recorded(hub, suspended.decision.unwrap())[..] else { panic!("one record") };
    assert_eq!((entry.record.kind.as_str(), entry.record.outcome), ("decision.admin", Outcome::Allow));
    assert_eq!(entry.record.peer.as_ref().map(|peer| peer.as_str()), Some("b.example"));
    assert_eq!(entry.record.policy, ["admin.manage-peers"]);
    assert!(entry.record.detail.to_string().contains("CASE-7"), "{}", entry.record.detail);
}

#[tokio::test]
async fn a_blocked_peer_is_refused_at_the_door_and_what_it_is_owed_waits_where_people_see_it() {
    let mut lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    let ops = Person::at(lab.gateway("a.example"), &["operator"]);
    assert_eq!(status_for(lab.gateway("b.example")).await, Some(400));
    ops.decide("b.example", "block").await.good();
    assert_eq!(status_for(lab.gateway("b.example")).await, Some(403));
    for text in ["held", "back"] {
        assert!(alice.say(&room(), text).await.unwrap().answer.is_ok());
    }
    // A gateway that starts again does not forget it.
    lab.gateway_mut("a.example").kill();
    lab.gateway_mut("a.example").restart().await;
    let ops = Person::at(lab.gateway("a.example"), &["operator"]);
    assert_eq!(status_for(lab.gateway("b.example")).await, Some(403));
    let lanes = ops.get("lanes?peer=b.example").await.good().body;
    let lane = &lanes["items"][0];
    assert_eq!((&lane["state"], &lane["owed"], &lane["attempts"]), (&"blocked".into(), &2.into(), &0.into()));
    let room_lane = &ops.get(&format!("rooms/{ROOM}")).await.good().body["lanes"][0];
    assert_eq!(room_lane["state"], "blocked");
    assert_eq!(lab.gateway("b.example").database().number("SELECT count(*) FROM stream_rows"), 1);

    ops.decide("b.example", "allow").await.good();
    bob.until_text(&room(), "held").await.unwrap();
    bob.until_text(&room(), "back").await.unwrap();
    assert_eq!(status_for(lab.gateway("b.example")).await, Some(400));
    lab.quiet().await;
}

#[tokio::test]
async fn a_provider_that_the_configuration_does_not_name_may_be_allowed_while_the_gateway_runs() {
    let mut lab = Lab::new(&["a.example", "c.example"]);
    let file = lab.gateway("a.example").config_file();
    let text = std::fs::read_to_string(&file).unwrap();
    let (start, end) = (text.find("peers:\n").unwrap(), text.find("\n# The policy bundle").unwrap());
    std::fs::write(&file, format!("{}{}", &text[..start], &text[end..])).unwrap();
    for domain in ["a.example", "c.example"] {
        lab.gateway_mut(domain).restart().await;
    }
    let (a, c) = (lab.gateway("a.example"), lab.gateway("c.example"));
    let ops = Person::at(a, &["operator"]);
    assert_eq!(status_for(c).await, Some(403));
    assert_eq!(ops.decide("c.example", "suspend").await.refusal(), (404, "not_found"));
    let allowed = ops.decide("c.example", "allow").await.good().body;
    assert_eq!(
        (&allowed["state"], &allowed["source"], &allowed["configured"]),
        (&"allowed".into(), &"operator".into(), &false.into())
    );
    assert_eq!(status_for(c).await, Some(400));
    ops.decide("c.example", "block").await.good();
    assert_eq!(status_for(c).await, Some(403));
    assert_eq!(ops.decide("a.example", "block").await.refusal(), (400, "malformed"));
    assert_eq!(ops.decide("no domain", "block").await.refusal(), (400, "malformed"));
    assert_eq!(ops.get("peers/d.example").await.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn what_the_settings_suspend_stays_suspended_whatever_is_allowed_at_the_door() {
    let mut lab = Lab::new(&TWO);
    let settings = lab.gateway("a.example").folder.join("policies/settings.yaml");
    crate::harness::edit(&settings, "providers: []", "providers: [{ domain: b.example, suspended: true }]");
    lab.gateway_mut("a.example").restart().await;
    let ops = Person::at(lab.gateway("a.example"), &["operator"]);
    let allowed = ops.decide("b.example", "allow").await.good().body;
    assert_eq!((&allowed["state"], &allowed["source"]), (&"suspended".into(), &"settings".into()));
}

#[tokio::test]
async fn who_may_only_look_changes_nothing_and_compliance_stops_but_does_not_begin() {
    let lab = Lab::open(&TWO).await;
    let hub = lab.gateway("a.example");
    for roles in [&["auditor"][..], &["viewer"], &["moderator"], &[]] {
        let refused = Person::at(hub, roles).decide("b.example", "block").await;
        assert_eq!(refused.refusal(), (403, "not_allowed"), "{roles:?}");
        assert_eq!(refused.body["reason"], "NOT_PERMITTED");
    }
    assert_eq!(status_for(lab.gateway("b.example")).await, Some(400));
    let compliance = Person::at(hub, &["compliance"]);
    compliance.decide("b.example", "block").await.good();
    assert_eq!(compliance.decide("b.example", "allow").await.refusal(), (403, "not_allowed"));
    assert_eq!(status_for(lab.gateway("b.example")).await, Some(403));
    lab.quiet().await;
    let entries = hub.database().entries();
    let denied = |entry: &&portcullis_store::audit::AuditEntry| {
        entry.record.kind == "decision.admin" && entry.record.outcome == Outcome::Deny
    };
    assert_eq!(entries.iter().filter(denied).count(), 5);
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_changed_and_not_refused_either() {
    let lab = Lab::open(&TWO).await;
    let (_alice, mut bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    let hub = lab.gateway("a.example");
    let broken = "CREATE TRIGGER full BEFORE INSERT ON audit_entries BEGIN SELECT RAISE(ABORT, 'disk is full'); END";
    hub.database().sql(broken);
    let refused = Person::at(hub, &["operator"]).decide("b.example", "suspend").await;
    assert_eq!(refused.refusal(), (503, "unavailable"));
    assert_eq!(Person::at(hub, &["viewer"]).decide("b.example", "suspend").await.refusal(), (503, "unavailable"));
    assert_eq!(Person::at(hub, &[]).get("status").await.refusal(), (503, "unavailable"));
    hub.database().sql("DROP TRIGGER full");
    assert_eq!(hub.database().number("SELECT count(*) FROM peer_standings"), 0);
    assert!(bob.say(&room(), "still here").await.unwrap().answer.is_ok());
}

#[tokio::test]
async fn the_same_request_again_is_decided_once_and_a_key_serves_one_body() {
    let lab = Lab::open(&TWO).await;
    let hub = lab.gateway("a.example");
    let ops = Person::at(hub, &["operator"]);
    let suspend = |key: &'static str, reason: &str| {
        let body = json!({ "reason": reason });
        let ops = &ops;
        async move { ops.post_as(key, "peers/b.example/suspend", body).await }
    };
    let (first, again) = (suspend("k", "CASE-7").await.good(), suspend("k", "CASE-7").await.good());
    assert_eq!((first.decision, first.body), (again.decision, again.body));
    assert_eq!(suspend("k", "CASE-8").await.refusal(), (422, "idempotency_key_reused"));
    assert_eq!(suspend("", "CASE-7").await.refusal(), (400, "idempotency_key_missing"));
    for reason in ["", "  ", "two\nlines"] {
        let key = uuid::Uuid::new_v4().to_string();
        let told = ops.post_as(&key, "peers/b.example/suspend", json!({ "reason": reason })).await;
        assert_eq!(told.refusal(), (400, "malformed"), "{reason:?}");
    }
    eventually("it is recorded", async || {
        let entries = hub.database().entries();
        (entries.iter().filter(|entry| entry.record.kind == "decision.admin").count() == 1).then_some(())
    })
    .await;
    let message = portcullis_core::wire::submit::SubmitMessageRequest::decode(b"no message");
    assert!(message.is_err());
}

#[tokio::test]
async fn a_token_of_the_command_line_opens_the_door() {
    let lab = Lab::open(&["a.example"]).await;
    let gateway = lab.gateway("a.example");
    let token = gateway.operated(&["token", "--admin", "olga", "--role", "operator", "--role", "auditor"]);
    let olga = Person::with(gateway, token.trim().to_owned());
    olga.get("decisions").await.good();
    olga.decide("z.example", "block").await.good();
    assert_eq!(olga.get("peers/z.example").await.good().body["decided"]["by"], "operator:olga");
    assert_eq!(gateway.operate(&["token", "--admin", "olga"]).status.code(), Some(64));
    assert_eq!(gateway.operate(&["token", "--service", "chat", "--role", "operator"]).status.code(), Some(64));
}
