use std::time::Duration;

use portcullis::gateway::{Clock, Policy};
use portcullis::server::{Server, Sockets};
use portcullis::upkeep;

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
    upkeep::once(server.gateway()).await.unwrap();
    hand_in(a, alice.user(), &report(Some(alice.user()), alice.user(), messages)).await.unwrap();
    assert_eq!(verdicts(&person).await, ["hub_key_gone", "proven", "proven"]);
    server.drain().await;
}
