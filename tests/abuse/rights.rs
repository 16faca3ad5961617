use portcullis::peer::Endpoint;
use portcullis_core::wire::Wire;
use portcullis_core::wire::report_abuse::AbuseReport;

use super::{TWO, hand_in, moderator, queue, report, said};
use crate::admin::Person;
use crate::harness::{Gateway, Lab, edit, eventually, room, user};

/// The status with which a.example answers a provider that hands in a report.
async fn posted(by: &Gateway, report: &AbuseReport) -> u16 {
    match by.post("a.example", Endpoint::ReportAbuse(room()), report.encode()).await {
        Ok(answer) => answer.status,
        Err(error) => error.status().unwrap_or_else(|| panic!("{error:?}")),
    }
}

fn not_allowed() -> (u16, String) {
    (403, "not_allowed".to_owned())
}

#[tokio::test]
async fn only_who_may_report_in_the_room_does_so_and_only_for_itself() {
    let lab = Lab::open(&["a.example", "b.example", "c.example"]).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let (a, b) = (lab.gateway("a.example"), lab.gateway("b.example"));
    let message = said(&mut alice, &mut bob, &room(), "you fool").await;
    let complaint = |by: &str| report(Some(&user(by)), alice.user(), vec![message.clone()]);
    // A provider with nobody in the room, another provider's user, a user who is not in the room, a provider as a user.
    assert_eq!(posted(lab.gateway("c.example"), &complaint("c.example/u/cathy")).await, 404);
    assert_eq!(posted(b, &complaint("a.example/u/alice")).await, 403);
    assert_eq!(posted(b, &complaint("b.example/u/eve")).await, 403);
    assert_eq!(posted(b, &complaint("b.example")).await, 403);
    let mallory = user("a.example/u/mallory");
    a.client(&mallory).register_user(&mallory).await.unwrap();
    assert_eq!(hand_in(a, &mallory, &complaint("a.example/u/mallory")).await.unwrap_err().0, 404);
    assert_eq!(hand_in(a, alice.user(), &complaint("a.example/u/mallory")).await.unwrap_err().0, 403);
    assert_eq!(hand_in(b, bob.user(), &complaint("b.example/u/eve")).await.unwrap_err().0, 403);
    assert!(queue(&moderator(&lab)).await.is_empty());
    assert_eq!(posted(b, &complaint("b.example/u/bob")).await, 201);
    assert_eq!(queue(&moderator(&lab)).await.len(), 1);
}

#[tokio::test]
async fn a_report_without_a_name_is_taken_from_providers_that_the_company_names() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let (a, b) = (lab.gateway("a.example"), lab.gateway("b.example"));
    let message = said(&mut alice, &mut bob, &room(), "you fool").await;
    let nameless = report(None, alice.user(), vec![message]);
    assert_eq!(hand_in(b, bob.user(), &nameless).await.unwrap_err(), not_allowed());
    assert_eq!(hand_in(a, alice.user(), &nameless).await.unwrap_err(), not_allowed());
    let settings = a.folder.join("policies/settings.yaml");
    edit(&settings, "providers: []", "providers: [{ domain: b.example, anonymous_reports: true }]");
    a.signal("HUP");
    eventually("policies are reloaded", async || a.log().contains("policies are reloaded").then_some(())).await;
    hand_in(b, bob.user(), &nameless).await.unwrap();
    assert_eq!(hand_in(a, alice.user(), &nameless).await.unwrap_err(), not_allowed());
    let [shown] = &queue(&moderator(&lab)).await[..] else { panic!("one report") };
    assert_eq!((shown.get("reporter"), &shown["provider"]), (None, &"b.example".into()));
    assert_eq!(shown["proven"], 1);
    lab.quiet().await;
    let of_hub = a.database().entries();
    let named = of_hub.iter().filter(|entry| entry.record.kind == "decision.report");
    let named: Vec<_> = named.filter(|entry| format!("{entry:?}").contains("u/bob")).collect();
    assert!(named.is_empty(), "{named:?}");
}

#[tokio::test]
async fn who_is_muted_or_suspended_reports_all_the_same() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let (a, b) = (lab.gateway("a.example"), lab.gateway("b.example"));
    let first = said(&mut alice, &mut bob, &room(), "you fool").await;
    let second = said(&mut alice, &mut bob, &room(), "you thief").await;
    a.operated(&["room", "mute", room().as_str(), bob.user().as_str(), "--reason", "CASE-7"]);
    hand_in(b, bob.user(), &report(Some(bob.user()), alice.user(), vec![first])).await.unwrap();
    let ops = Person::at(a, &["operator"]);
    assert_eq!(ops.decide("b.example", "suspend").await.status, 200);
    hand_in(b, bob.user(), &report(Some(bob.user()), alice.user(), vec![second])).await.unwrap();
    assert_eq!(queue(&moderator(&lab)).await.len(), 2);
}
