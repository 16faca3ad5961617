use serde_json::Value;

use super::{Person, ROOM};
use crate::harness::{Lab, room};

const TWO: [&str; 2] = ["a.example", "b.example"];

fn events(page: &Value) -> Vec<u64> {
    page["items"].as_array().unwrap().iter().map(|item| item["seq"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn decisions_are_found_by_room_actor_outcome_kind_and_time_and_read_page_by_page() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let said = alice.say(&room(), "hello").await.unwrap();
    let hub = lab.gateway("a.example");
    // Only the hub knows this, so it is the hub that refuses.
    hub.operated(&["room", "mute", room().as_str(), bob.user().as_str(), "--reason", "too loud"]);
    let refused = bob.say(&room(), "hello?").await.unwrap();
    assert!(refused.answer.is_err(), "{refused:?}");
    lab.quiet().await;
    let auditor = Person::at(hub, &["auditor"]);
    let found = async |query: &str| auditor.get(&format!("decisions?{query}")).await.good().body;

    let all = events(&found("order=oldest&limit=500").await);
    let expected: Vec<u64> = hub
        .database()
        .entries()
        .iter()
        .filter(|entry| entry.record.decision.is_some())
        .map(|entry| entry.seq)
        .collect();
    assert_eq!(all, expected);
    let mut newest = all.clone();
    newest.reverse();
    assert_eq!(events(&found("").await), newest);

    for (order, wanted) in [("oldest", &all), ("newest", &newest)] {
        let mut paged = Vec::new();
        let mut query = format!("order={order}&limit=2");
        loop {
            let page = found(&query).await;
            paged.extend(events(&page));
            let Some(next) = page["next"].as_str() else { break };
            query = format!("order={order}&limit=2&cursor={next}");
        }
        assert_eq!(paged, *wanted, "{order}");
    }

    let denied = found(&format!("outcome=deny&room={ROOM}")).await;
    assert!(denied["items"].as_array().unwrap().iter().all(|item| item["outcome"] == "deny"), "{denied}");
    assert!(denied["items"].as_array().unwrap().iter().any(|item| item["actor"] == bob.user().as_str()), "{denied}");
    let messages = found("kind=decision.message&outcome=allow").await;
    let [message] = &messages["items"].as_array().unwrap()[..] else { panic!("{messages}") };
    assert_eq!(message["actor"], alice.user().as_str());
    let at = message["at"].as_u64().unwrap();
    assert_eq!(
        events(&found(&format!("kind=decision.message&outcome=allow&since={at}&until={}", at + 1)).await).len(),
        1
    );
    assert!(events(&found(&format!("kind=decision.message&outcome=allow&until={at}")).await).is_empty());
    assert!(events(&found("actor=mimi%3A%2F%2Fa.example%2Fu%2Fnobody").await).is_empty());
    for wrong in ["outcome=maybe", "since=18446744073709551615", "until=9223372036854775808", "cursor="] {
        assert_eq!(auditor.get(&format!("decisions?{wrong}")).await.refusal(), (400, "malformed"), "{wrong}");
    }

    let decision = said.decision.unwrap();
    let shown = auditor.get(&format!("decisions/{decision}")).await.good().body;
    assert_eq!((&shown["kind"], &shown["seq"]), (&"decision.message".into(), &message["seq"]));
    assert_eq!(shown["policy"], serde_json::json!(["mimi.role-capability"]));
    let nothing = format!("decisions/{}", uuid::Uuid::nil());
    assert_eq!(auditor.get(&nothing).await.refusal(), (404, "not_found"));
    assert_eq!(auditor.get("decisions/7").await.refusal(), (400, "malformed"));
}
