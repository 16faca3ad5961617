//! Reports of abuse: what a hub has franked is proven to its moderators, and nothing else is.

mod duplicates;
mod moderation;
mod periods;
mod rights;
mod verdicts;

use portcullis::member::Device;
use portcullis_core::franking::Franking;
use portcullis_core::wire::Wire;
use portcullis_core::wire::report_abuse::{AbuseReport, AbuseType, AbusiveMessage};
use portcullis_core::wire::uri::{RoomUri, UserUri};
use serde_json::Value;

use crate::admin::Person;
use crate::federation::assert_accepted;
use crate::harness::{Gateway, Lab, room};

const TWO: [&str; 2] = ["a.example", "b.example"];

/// `by` says something in a room, and `to` keeps it with its frank.
async fn said(by: &mut Device, to: &mut Device, room: &RoomUri, text: &str) -> AbusiveMessage {
    assert_accepted(&by.say(room, text).await.unwrap());
    match to.until_text(room, text).await.unwrap().franking {
        Franking::Verified(evidence) => evidence.message(),
        other => panic!("`{text}` is not franked: {other:?}"),
    }
}

fn report(reporter: Option<&UserUri>, alleged: &UserUri, messages: Vec<AbusiveMessage>) -> AbuseReport {
    let (reporter, alleged) = (reporter.cloned(), alleged.clone());
    let (reason, note) = (AbuseType::default(), b"he said so".to_vec());
    AbuseReport { reporter, alleged, reason, note, messages, extensions: Default::default() }
}

/// Hands a report in at the provider door of the user's own gateway.
async fn hand_in(by: &Gateway, user: &UserUri, report: &AbuseReport) -> Result<(), (u16, String)> {
    match by.client(user).report(&room(), report.encode()).await {
        Ok(decision) => {
            assert!(decision.is_some());
            Ok(())
        }
        Err(error) => {
            let problem = error.problem().unwrap_or_else(|| panic!("{error:?}"));
            Err((problem.status, problem.code.clone()))
        }
    }
}

/// What moderators have before them.
async fn queue(moderator: &Person) -> Vec<Value> {
    let told = moderator.get("reports").await;
    assert_eq!(told.status, 200, "{told:?}");
    told.body["items"].as_array().unwrap().clone()
}

/// The verdicts of the last report.
async fn verdicts(moderator: &Person) -> Vec<String> {
    let last = queue(moderator).await.pop().unwrap();
    let told = moderator.get(&format!("reports/{}", last["id"].as_str().unwrap())).await;
    assert_eq!(told.status, 200, "{told:?}");
    let verdicts = told.body["verdicts"].as_array().unwrap();
    verdicts.iter().map(|verdict| verdict["verdict"].as_str().unwrap().to_owned()).collect()
}

fn moderator(lab: &Lab) -> Person {
    Person::at(lab.gateway("a.example"), &["moderator"])
}
