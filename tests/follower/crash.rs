use super::*;

/// The follower ends at a point of taking a commit in, and comes back: group, stream and log have moved together.
async fn ends_at(point: &str) {
    let mut lab = Lab::new(&TWO);
    for gateway in &mut lab.gateways {
        let armed = gateway.folder.join("armed");
        let ends = [("PORTCULLIS_CRASH_AT", point.as_ref()), ("PORTCULLIS_CRASH_ARMED", armed.as_os_str())];
        gateway.start_with(if gateway.domain.as_str() == "b.example" { &ends } else { &[] });
    }
    for gateway in &mut lab.gateways {
        gateway.ready().await;
    }
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    std::fs::write(lab.gateway("b.example").folder.join("armed"), "").unwrap();
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    let b = lab.gateway_mut("b.example");
    b.crashed().await;
    let done = b.database().number("SELECT count(*) FROM stream_payloads WHERE kind = 'commit'");
    assert_eq!(tracked_epoch(b), 1 + done, "the group and the stream have not moved together");
    b.restart().await;
    bob.until_epoch(&room(), 2).await.unwrap();
    assert_accepted(&bob.say(&room(), "back").await.unwrap());
    alice.until_text(&room(), "back").await.unwrap();
    lab.quiet().await;
    let (a, b) = (lab.gateway("a.example"), lab.gateway("b.example"));
    assert_eq!(tracked_epoch(b), 2);
    assert_eq!(records(b, "arrival.commit").len(), 1);
    assert_eq!(outcomes(b, "follower.lost"), []);
    a.database().assert_delivered(bob.client(), &b.database());
    b.database().assert_gapless();
}

#[tokio::test]
async fn a_commit_is_not_half_followed_when_the_follower_ends_before_it_is_durable() {
    ends_at("lane.before_commit").await;
}

#[tokio::test]
async fn a_commit_is_followed_once_when_the_follower_ends_before_it_acknowledges() {
    ends_at("lane.after_commit").await;
}
