//! A gateway ends at every labelled point of accepting and of delivering, starts again, and nothing is lost, doubled or
//! left half done.

use portcullis::member::{Device, DeviceError, Sent};
use portcullis_core::member::Received;
use portcullis_core::wire::submit::SubmitMessageRequest;
use portcullis_core::wire::update::UpdateRequest;

use crate::harness::{Lab, eventually, room};

/// What is under way when the gateway ends. It is sent again as the same bytes.
enum Request {
    Commit(UpdateRequest),
    Message(SubmitMessageRequest),
}

impl Request {
    fn hash(&self) -> [u8; 32] {
        match self {
            Self::Commit(UpdateRequest::Commit(bundle)) => bundle.commit.hash(),
            Self::Commit(UpdateRequest::Proposals(proposals)) => proposals[0].hash(),
            Self::Message(request) => request.message.hash(),
        }
    }

    async fn send(&self, by: &mut Device) -> Result<Sent, DeviceError> {
        match self {
            Self::Commit(request) => by.update(&room(), request).await,
            Self::Message(request) => by.submit(&room(), request).await,
        }
    }
}

/// Who ends, where, and who has sent what was under way.
struct Case {
    ends: &'static str,
    point: &'static str,
    sender: &'static str,
    what: fn(&mut Device) -> Request,
}

fn commit(by: &mut Device) -> Request {
    Request::Commit(by.member_mut().commit_pending(&room()).unwrap())
}

fn message(by: &mut Device) -> Request {
    Request::Message(by.member_mut().text(&room(), "under way").unwrap())
}

impl Case {
    async fn play(&self) {
        let mut lab = Lab::new(&["a.example", "b.example"]);
        for gateway in &mut lab.gateways {
            let armed = gateway.folder.join("armed");
            let ends = [("PORTCULLIS_CRASH_AT", self.point.as_ref()), ("PORTCULLIS_CRASH_ARMED", armed.as_os_str())];
            gateway.start_with(if gateway.domain.as_str() == self.ends { &ends } else { &[] });
        }
        for gateway in &mut lab.gateways {
            gateway.ready().await;
        }
        let (mut alice, mut bob) = lab.alice_and_bob().await;
        lab.quiet().await;
        let by = if self.sender == "a.example" { &mut alice } else { &mut bob };
        let request = (self.what)(by);
        assert_eq!(lab.gateway("a.example").database().effects(request.hash()), (0, 0));

        std::fs::write(lab.gateway(self.ends).folder.join("armed"), "").unwrap();
        // The sequencer has something to do only while its heads are held.
        let sequencer = self.point.starts_with("sequence.").then(|| lab.gateway(self.ends).database());
        sequencer.iter().for_each(|database| database.hold_heads());
        let first = request.send(by).await;
        if let Some(database) = sequencer {
            eventually("something is staged", async || {
                (database.number("SELECT count(*) FROM audit_stage") > 0).then_some(())
            })
            .await;
            database.free_heads();
        }
        lab.gateway_mut(self.ends).crashed().await;
        self.restart(&mut lab).await;
        self.check_all_or_nothing(&lab, &request, first.is_ok()).await;

        let again = eventually("an answer", async || request.send(by).await.ok()).await;
        let accepted = again.answer.unwrap();
        if let Ok(first) = first {
            assert_eq!(first.answer.unwrap(), accepted, "the answer is another one the second time");
        }
        lab.quiet().await;
        self.check_end(lab, alice, bob, &request).await;
    }

    async fn restart(&self, lab: &mut Lab) {
        lab.gateway_mut(self.ends).restart().await;
    }

    /// What was acknowledged has its effect and its record; what was not has both or neither.
    async fn check_all_or_nothing(&self, lab: &Lab, request: &Request, acknowledged: bool) {
        let hub = lab.gateway("a.example").database();
        eventually("staged records get their positions", async || {
            (hub.number("SELECT count(*) FROM audit_stage") == 0).then_some(())
        })
        .await;
        let (events, records) = hub.effects(request.hash());
        assert_eq!(events, records, "half of it was done");
        assert!(events == 1 || !acknowledged, "it was acknowledged and is lost");
        assert!(events <= 1);
    }

    async fn check_end(&self, lab: Lab, mut alice: Device, mut bob: Device, request: &Request) {
        let sent = alice.say(&room(), "to bob").await.unwrap();
        assert!(sent.answer.is_ok(), "{sent:?}");
        bob.until_text(&room(), "to bob").await.unwrap();
        let sent = bob.say(&room(), "to alice").await.unwrap();
        assert!(sent.answer.is_ok(), "{sent:?}");
        alice.until_text(&room(), "to alice").await.unwrap();
        lab.quiet().await;

        let (hub, follower) = (lab.gateway("a.example").database(), lab.gateway("b.example").database());
        assert_eq!(hub.effects(request.hash()), (1, 1));
        hub.assert_one_commit_per_epoch();
        hub.assert_gapless();
        follower.assert_gapless();
        hub.assert_delivered(bob.client(), &follower);
        hub.assert_delivered(alice.client(), &hub);
        assert_eq!(
            alice.member().epoch_authenticator(&room()).unwrap(),
            bob.member().epoch_authenticator(&room()).unwrap()
        );
        let hearer = if self.sender == "a.example" { &bob } else { &alice };
        let heard = |text: &str| {
            let said = |received: &&Received| match received {
                Received::Message(message) => message.content.body.as_text() == Some(text),
                _ => false,
            };
            hearer.heard(&room()).filter(said).count()
        };
        let under_way = usize::from(matches!(request, Request::Message(_)));
        assert_eq!(heard("under way"), under_way);
    }
}

macro_rules! crashes {
    ($($name:ident: $ends:literal at $point:literal while $sender:literal sends $what:ident;)*) => {
        $(#[tokio::test]
        async fn $name() {
            Case { ends: $ends, point: $point, sender: $sender, what: $what }.play().await;
        })*
    };
}

crashes! {
    a_commit_is_not_half_done_when_the_hub_ends_before_it_is_durable:
        "a.example" at "lane.before_commit" while "a.example" sends commit;
    a_message_is_not_half_done_when_the_hub_ends_before_it_is_durable:
        "a.example" at "lane.before_commit" while "a.example" sends message;
    a_commit_is_done_once_when_the_hub_ends_before_it_answers:
        "a.example" at "lane.after_commit" while "a.example" sends commit;
    a_message_is_done_once_when_the_hub_ends_before_it_answers:
        "a.example" at "lane.after_commit" while "a.example" sends message;
    a_forwarded_commit_is_not_half_done_when_the_hub_ends_before_it_is_durable:
        "a.example" at "lane.before_commit" while "b.example" sends commit;
    a_forwarded_commit_is_done_once_when_the_hub_ends_before_it_answers:
        "a.example" at "lane.after_commit" while "b.example" sends commit;
    a_forwarded_message_is_done_once_when_the_hub_ends_before_it_answers:
        "a.example" at "lane.after_commit" while "b.example" sends message;
    an_accepted_commit_gets_its_position_when_the_sequencer_ends:
        "a.example" at "sequence.before_commit" while "a.example" sends commit;
    an_accepted_message_is_delivered_when_the_hub_ends_in_its_second_transaction:
        "a.example" at "lane.after_commit:2" while "a.example" sends message;
    an_accepted_commit_is_delivered_when_the_hub_ends_before_its_lease_is_durable:
        "a.example" at "outbox.leased" while "a.example" sends commit;
    an_accepted_message_is_delivered_once_when_the_hub_ends_before_it_knows_so:
        "a.example" at "outbox.before_acknowledge" while "a.example" sends message;
    an_accepted_commit_is_delivered_once_when_the_hub_ends_before_it_knows_so:
        "a.example" at "outbox.before_acknowledge" while "a.example" sends commit;
    a_message_is_not_lost_when_the_follower_ends_before_it_is_durable:
        "b.example" at "lane.before_commit" while "a.example" sends message;
    a_message_is_not_doubled_when_the_follower_ends_before_it_acknowledges:
        "b.example" at "lane.after_commit" while "a.example" sends message;
    a_commit_is_not_doubled_when_the_follower_ends_before_it_acknowledges:
        "b.example" at "lane.after_commit" while "a.example" sends commit;
    a_commit_gets_its_position_when_the_follower_s_sequencer_ends:
        "b.example" at "sequence.before_commit" while "a.example" sends commit;
    a_commit_leaves_once_when_the_follower_ends_after_deciding_it:
        "b.example" at "lane.after_commit" while "b.example" sends commit;
}

#[tokio::test]
async fn an_operator_frees_what_a_dead_gateway_had_taken_and_not_what_a_living_one_has() {
    const HELD: &str = "SELECT count(*) FROM outbox_lanes WHERE lease_until > 0";
    const RETRY: [&str; 6] = ["outbox", "retry", "--room", "mimi://a.example/r/clubhouse", "--peer", "b.example"];
    let mut lab = Lab::new(&["a.example", "b.example"]);
    let armed = lab.gateway("a.example").folder.join("armed");
    let point = "outbox.before_acknowledge".as_ref();
    let ends = [("PORTCULLIS_CRASH_AT", point), ("PORTCULLIS_CRASH_ARMED", armed.as_os_str())];
    lab.gateway_mut("a.example").start_with(&ends);
    lab.gateway_mut("b.example").start();
    for gateway in &mut lab.gateways {
        gateway.ready().await;
    }
    let (mut alice, _bob) = lab.alice_and_bob().await;
    lab.quiet().await;
    let hub = lab.gateway("a.example");
    // As if an exchange took its time.
    hub.database().sql("UPDATE outbox_lanes SET lease_until = 9000000000000");
    hub.operated(&RETRY);
    assert_eq!(hub.database().number(HELD), 1);
    hub.database().sql("UPDATE outbox_lanes SET lease_until = 0");

    std::fs::write(&armed, "").unwrap();
    let _ = alice.say(&room(), "under way").await;
    let hub = lab.gateway_mut("a.example");
    hub.crashed().await;
    assert_eq!(hub.database().number(HELD), 1);
    hub.operated(&RETRY);
    assert_eq!(hub.database().number(HELD), 0);
}
