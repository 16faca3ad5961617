use std::fs;

use portcullis::member::Device;
use serde_json::{Value, json};

use super::{TWO, hand_in, moderator, queue, report, said};
use crate::admin::Person;
use crate::harness::{Lab, room};

const WORDS: &str = "you unspeakable fool";

/// A report of Bob's about Alice, and its name.
async fn complained(lab: &Lab) -> (Device, Device, String) {
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let message = said(&mut alice, &mut bob, &room(), WORDS).await;
    let complaint = report(Some(bob.user()), alice.user(), vec![message]);
    hand_in(lab.gateway("b.example"), bob.user(), &complaint).await.unwrap();
    let id = queue(&moderator(lab)).await[0]["id"].as_str().unwrap().to_owned();
    (alice, bob, id)
}

#[tokio::test]
async fn a_report_is_reviewed_and_decided_with_case_and_reason_and_never_behind_somebody_s_back() {
    let lab = Lab::open(&TWO).await;
    let (_alice, _bob, id) = complained(&lab).await;
    let person = moderator(&lab);
    let change = async |to: &str, version: u64, case: Option<&str>| {
        let mut body = json!({ "reason": format!("to {to}"), "version": version });
        if let Some(case) = case {
            body["case"] = case.into();
        }
        person.post(&format!("reports/{id}/{to}"), body).await
    };
    assert_eq!(change("uphold", 1, None).await.refusal(), (409, "conflict"), "nobody has looked at it");
    let reviewed = change("review", 1, Some("CASE-7")).await;
    assert_eq!(
        (reviewed.status, &reviewed.body["state"], &reviewed.body["version"]),
        (200, &"in_review".into(), &2.into())
    );
    assert_eq!(change("uphold", 1, None).await.refusal(), (409, "conflict"), "it has changed meanwhile");
    let upheld = change("uphold", 2, None).await;
    assert_eq!((upheld.status, &upheld.body["state"]), (200, &"upheld".into()));
    let handled = &upheld.body["handled"];
    assert_eq!((&handled["case"], &handled["by"]), (&"CASE-7".into(), &"operator:ops".into()));
    assert_eq!(handled["reason"], "to uphold");
    assert_eq!(change("dismiss", 3, None).await.refusal(), (409, "conflict"), "it is decided");
    assert_eq!(change("review", 3, None).await.status, 200, "it is looked at again");
    assert_eq!(change("dismiss", 4, None).await.status, 200);
    assert_eq!(person.get("reports?state=dismissed").await.body["items"][0]["id"], id.as_str());
    assert_eq!(person.get("reports?state=new").await.body["items"], json!([]));
    lab.quiet().await;
    let entries = lab.gateway("a.example").database().entries();
    let steps: Vec<_> = entries.iter().filter(|entry| entry.record.kind == "report.handled").collect();
    let to: Vec<&Value> = steps.iter().map(|entry| &entry.record.detail["to"]).collect();
    assert_eq!(to, ["in_review", "upheld", "in_review", "dismissed"]);
    assert!(steps.iter().all(|entry| entry.record.detail["case"] == "CASE-7"));
}

#[tokio::test]
async fn what_was_reported_is_read_by_roles_that_may_and_every_look_is_on_the_record() {
    let lab = Lab::open(&TWO).await;
    let (_alice, _bob, id) = complained(&lab).await;
    let a = lab.gateway("a.example");
    let path = format!("reports/{id}/content");
    for roles in [["admin"], ["operator"], ["auditor"], ["viewer"]] {
        assert_eq!(Person::at(a, &roles).get(&path).await.refusal(), (403, "not_allowed"), "{roles:?}");
    }
    for (roles, sees) in [(["auditor"], 200), (["admin"], 200), (["operator"], 403), (["viewer"], 403)] {
        assert_eq!(Person::at(a, &roles).get(&format!("reports/{id}")).await.status, sees, "{roles:?}");
    }
    lab.quiet().await;
    let looks = |kind: &str| {
        let entries = a.database().entries();
        entries.iter().filter(|entry| entry.record.kind == kind).count()
    };
    assert_eq!(looks("report.read"), 0);
    for (looked, roles) in [(1, ["moderator"]), (2, ["compliance"])] {
        let told = Person::at(a, &roles).get(&path).await;
        assert_eq!((told.status, &told.body["messages"][0]["text"]), (200, &WORDS.into()), "{told:?}");
        assert_eq!(told.body["note"], "he said so");
        lab.quiet().await;
        assert_eq!(looks("report.read"), looked);
    }
    let entries = a.database().entries();
    let read = entries.iter().find(|entry| entry.record.kind == "report.read").unwrap();
    assert_eq!(
        (read.record.actor.as_deref(), &read.record.detail["report"]),
        (Some("operator:ops"), &id.as_str().into())
    );
    assert_eq!(Person::at(a, &["moderator"]).get(&path.replace(&id, &uuid::Uuid::nil().to_string())).await.status, 404);
}

#[tokio::test]
async fn what_was_reported_stands_nowhere_in_plain_text() {
    let mut lab = Lab::open(&TWO).await;
    let (_alice, _bob, id) = complained(&lab).await;
    assert_eq!(moderator(&lab).get(&format!("reports/{id}/content")).await.status, 200);
    lab.quiet().await;
    for gateway in &mut lab.gateways {
        assert!(!gateway.log().contains(WORDS));
        gateway.kill();
        for file in ["portcullis.db", "portcullis.db-wal"] {
            let bytes = fs::read(gateway.folder.join(file)).unwrap_or_default();
            let found = bytes.windows(WORDS.len()).any(|part| part == WORDS.as_bytes());
            // A repetition of what is handed in is known by its hash, so that not even an answer holds it.
            assert!(!found, "{file} of {}", gateway.domain);
        }
    }
}

#[tokio::test]
async fn reports_are_listed_page_by_page() {
    let lab = Lab::open(&TWO).await;
    let (mut alice, mut bob, first) = complained(&lab).await;
    let mut ids = vec![first];
    for text in ["one", "two", "three"] {
        let message = said(&mut alice, &mut bob, &room(), text).await;
        let complaint = report(Some(bob.user()), alice.user(), vec![message]);
        hand_in(lab.gateway("b.example"), bob.user(), &complaint).await.unwrap();
    }
    let person = moderator(&lab);
    ids.extend(queue(&person).await.iter().skip(1).map(|shown| shown["id"].as_str().unwrap().to_owned()));
    let mut read = Vec::new();
    let mut path = "reports?limit=3".to_owned();
    loop {
        let page = person.get(&path).await.body;
        read.extend(page["items"].as_array().unwrap().iter().map(|shown| shown["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("reports?limit=3&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((read.len(), &read), (4, &ids));
    let of_bob = format!("reports?alleged={}", crate::rights::encoded(bob.user().as_str()));
    assert_eq!(person.get(&of_bob).await.body["items"], json!([]));
}

#[tokio::test]
async fn an_operator_lists_shows_and_decides_reports_on_the_command_line() {
    let lab = Lab::open(&TWO).await;
    let (alice, _bob, id) = complained(&lab).await;
    let a = lab.gateway("a.example");
    let listed: Value = serde_json::from_str(&a.operated(&["report", "list", "--state", "new", "--json"])).unwrap();
    assert_eq!((&listed["report"], &listed["alleged"]), (&id.as_str().into(), &alice.user().as_str().into()));
    assert!(a.operated(&["report", "list"]).contains(&id));
    let shown = a.operated(&["report", "show", &id]);
    assert!(shown.contains("proven") && !shown.contains(WORDS), "{shown}");
    assert_eq!(a.operate(&["report", "show", &id, "--content"]).status.code(), Some(64));
    let shown = a.operated(&["report", "show", &id, "--content", "--reason", "CASE-7", "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["content"]["messages"][0]["text"], WORDS);
    assert_eq!(shown["verdicts"][0]["verdict"], "proven");
    let decide =
        |state: &'static str| a.operate(&["report", "decide", &id, state, "--case", "CASE-7", "--reason", "seen"]);
    assert_eq!(decide("upheld").status.code(), Some(2), "nobody has looked at it");
    assert_eq!(decide("in-review").status.code(), Some(0));
    assert_eq!(decide("upheld").status.code(), Some(0));
    let stale = ["report", "decide", &id, "in-review", "--seen", "1", "--reason", "again"];
    assert_eq!(a.operate(&stale).status.code(), Some(2));
    assert_eq!(moderator(&lab).get(&format!("reports/{id}")).await.body["state"], "upheld");
    lab.quiet().await;
    let entries = a.database().entries();
    let read = entries.iter().find(|entry| entry.record.kind == "report.read").unwrap();
    assert_eq!(read.record.reason, "CASE-7");
}
