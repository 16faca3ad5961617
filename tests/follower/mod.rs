//! Rooms of another hub, as the follower sees them: tracked or not, and what it does about what it does not want.

mod answers;
mod crash;
mod deciding;
mod forged;
mod order;
mod replicas;
mod tracking;

use portcullis::member::{Device, Sent};
use portcullis::peer::Endpoint;
use portcullis_store::audit::{AuditEntry, Outcome};

use crate::harness::{ADMIN, Gateway, Lab, client, edit, eventually, room};

const TWO: [&str; 2] = ["a.example", "b.example"];
/// A user of the hub's company whom the follower's has suspended.
const MALLORY: &str = "a.example/d/mallory/phone";

/// Alice has the room, and Bob is in it in a role.
async fn with_bob_as(lab: &Lab, role: u32) -> (Device, Device) {
    let mut alice = lab.device("a.example/d/alice/phone").await;
    let mut bob = lab.device("b.example/d/bob/phone").await;
    assert_accepted(&alice.create_room(&room(), "strict", "Clubhouse").await.unwrap());
    lab.bring_in(&mut alice, &mut bob, role).await;
    (alice, bob)
}

fn assert_accepted(sent: &Sent) {
    assert!(sent.answer.is_ok(), "{sent:?}");
}

fn refusal(sent: Sent) -> String {
    sent.answer.unwrap_err().code
}

/// The epoch in which the follower tracks the room; -1 where it does not.
pub(crate) fn tracked_epoch(follower: &Gateway) -> i64 {
    follower.database().number("coalesce((SELECT max(epoch) FROM rooms WHERE status = 2), -1)")
}

/// The records of a kind, oldest first.
fn records(of: &Gateway, kind: &str) -> Vec<AuditEntry> {
    of.database().entries().into_iter().filter(|entry| entry.record.kind == kind).collect()
}

fn outcomes(of: &Gateway, kind: &str) -> Vec<(Outcome, String)> {
    records(of, kind).into_iter().map(|entry| (entry.record.outcome, entry.record.reason)).collect()
}

/// What kinds of events stand in the stream of a device.
fn kinds(of: &Gateway, device: &Device) -> Vec<String> {
    of.database().stream(device.client()).into_iter().map(|row| row.item.kind).collect()
}

/// Delivers to b.example in the name of the hub.
async fn notify(lab: &Lab, body: Vec<u8>) {
    lab.gateway("a.example").post("b.example", Endpoint::Notify(room()), body).await.unwrap();
}

/// What the hub has fanned out, oldest first.
fn fanned_out(lab: &Lab) -> Vec<Vec<u8>> {
    lab.gateway("a.example").database().events().into_iter().map(|event| event.event.fanout).collect()
}

/// Makes the follower read settings in which `what` is replaced by `with`.
async fn settle_on(follower: &Gateway, changes: &[(&str, &str)]) {
    for (what, with) in changes {
        edit(&follower.folder.join("policies/settings.yaml"), what, with);
    }
    let reloaded = || follower.log().matches("policies are reloaded").count();
    let before = reloaded();
    follower.signal("HUP");
    eventually("the policies are reloaded", async || (reloaded() > before).then_some(())).await;
}

/// The follower suspends Mallory, and answers commits that it denies in this way.
async fn without_mallory(follower: &Gateway, answer: &str) {
    let suspended = "users:\n  - uri: mimi://a.example/u/mallory\n    suspended: true";
    let answer = format!("denied_commit: {answer}");
    settle_on(follower, &[("users: []", suspended), ("denied_commit: deliver_with_alarm", &answer)]).await;
}
