use std::time::Duration;

use portcullis::config::Retention;
use portcullis::gateway::{Clock, Policy};
use portcullis::server::{Server, Sockets};
use portcullis::upkeep;
use serde_json::json;

use super::{hand_in, report, said, verdicts};
use crate::harness::{Lab, ORDINARY, edit, room};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn a_message_is_proven_by_the_key_of_its_time_as_long_as_that_is_kept() {
    let lab = Lab::new(&["a.example"]);
    let a = lab.gateway("a.example");
    edit(&a.config_file(), "  hub: keys/hub.key", "  hub_key_days: 1\n  hub_key_kept_days: 5\n  hub: keys/hub.key");
    let (config, clock) = (a.config(), Clock::default());
    let server =
        Server::start(&config, Policy::open(&config.policies).unwrap(), Sockets::bind(&config).unwrap(), clock.clone())
            .await
            .unwrap();
    let mut alice = lab.device("a.example/d/alice/phone").await;
    let mut dora = lab.device("a.example/d/dora/phone").await;
    assert!(alice.create_room(&room(), "strict", "Clubhouse").await.unwrap().answer.is_ok());
    lab.bring_in(&mut alice, &mut dora, ORDINARY).await;

    let mut messages = Vec::new();
    for text in ["the first day", "the second day", "the third day"] {
        messages.push(said(&mut alice, &mut dora, &room(), text).await);
        clock.advance(DAY);
    }
    assert_eq!(a.database().number("SELECT count(*) FROM hub_keys"), 3);
    let person = crate::admin::Person::at_address(a, server.admin().unwrap());
    hand_in(a, dora.user(), &report(Some(dora.user()), alice.user(), messages.clone())).await.unwrap();
    assert_eq!(verdicts(&person).await, ["proven", "proven", "proven"]);

    // The first key ended more than five days ago, the second less.
    clock.advance(3 * DAY);
    assert!(alice.say(&room(), "days later").await.unwrap().answer.is_ok());
    upkeep::once(server.gateway(), Retention::default()).await.unwrap();
    hand_in(a, alice.user(), &report(Some(alice.user()), alice.user(), messages)).await.unwrap();
    assert_eq!(verdicts(&person).await, ["hub_key_gone", "proven", "proven"]);
    server.drain().await;
}

#[tokio::test]
async fn a_report_goes_when_it_was_decided_long_ago_and_that_is_on_the_record() {
    let lab = Lab::new(&["a.example"]);
    let a = lab.gateway("a.example");
    a.configure("retention: { closed_reports_days: 90 }\n");
    let (config, clock) = (a.config(), Clock::default());
    let policy = Policy::open(&config.policies).unwrap();
    let server = Server::start(&config, policy, Sockets::bind(&config).unwrap(), clock.clone()).await.unwrap();
    let mut alice = lab.device("a.example/d/alice/phone").await;
    let mut dora = lab.device("a.example/d/dora/phone").await;
    assert!(alice.create_room(&room(), "strict", "Clubhouse").await.unwrap().answer.is_ok());
    lab.bring_in(&mut alice, &mut dora, ORDINARY).await;
    for text in ["the first word", "the second word"] {
        let message = said(&mut alice, &mut dora, &room(), text).await;
        hand_in(a, dora.user(), &report(Some(dora.user()), alice.user(), vec![message])).await.unwrap();
    }
    let person = crate::admin::Person::at_address(a, server.admin().unwrap());
    let listed = async || person.get("reports").await.body["items"].as_array().unwrap().clone();
    let closed = listed().await[0]["id"].as_str().unwrap().to_owned();
    for (step, version) in [("review", 1), ("dismiss", 2)] {
        let told =
            person.post(&format!("reports/{closed}/{step}"), json!({ "reason": "seen", "version": version })).await;
        assert_eq!(told.status, 200, "{told:?}");
    }
    clock.advance(89 * DAY);
    upkeep::once(server.gateway(), config.retention).await.unwrap();
    assert_eq!(a.database().number("SELECT count(*) FROM reports"), 2);
    clock.advance(2 * DAY);
    upkeep::once(server.gateway(), config.retention).await.unwrap();
    for table in ["reports", "report_messages"] {
        assert_eq!(a.database().number(&format!("SELECT count(*) FROM {table}")), 1, "{table}: what is open stays");
    }
    server.drain().await;
    let entries = a.database().entries().into_iter().filter(|entry| entry.record.kind == "retention.purged");
    let told: Vec<_> = entries.map(|entry| (entry.record.reason, entry.record.detail["purged"].clone())).collect();
    assert_eq!(told, [("reports".to_owned(), json!(1))]);
}
