use portcullis::peer::Endpoint;
use portcullis_core::franking::Franking;
use portcullis_core::wire::Wire;
use portcullis_core::wire::report_abuse::{AbuseReport, AbusiveMessage};

use super::{ATTACKS, Attack, Scene, malformed, slow};
use crate::federation::assert_accepted;
use crate::harness::room;
use crate::rights::complaint;

/// What attacks the endpoint.
pub(super) const SUITE: fn() = reports_of_abuse;

impl Scene {
    /// Something that Alice says, as Bob can report it.
    async fn evidence(&mut self, text: &str) -> AbusiveMessage {
        assert_accepted(&self.alice.say(&room(), text).await.unwrap());
        match self.bob.until_text(&room(), text).await.unwrap().franking {
            Franking::Verified(evidence) => evidence.message(),
            other => panic!("not franked: {other:?}"),
        }
    }

    /// How many reports there are, how many messages in them are proven, and how often something was reported again.
    fn reported(&self) -> (i64, i64, i64) {
        let database = self.gateway("a.example").database();
        let sum = |column: &str| database.number(&format!("SELECT coalesce(sum({column}), 0) FROM reports"));
        (database.number("SELECT count(*) FROM reports"), sum("proven"), sum("repeats"))
    }
}

#[tokio::test]
async fn reports_of_abuse() {
    let mut scene = Scene::open().await;
    for attack in ATTACKS {
        let first = scene.evidence(&format!("{attack:?}")).await;
        let second = scene.evidence(&format!("{attack:?} again")).await;
        let about =
            |messages: Vec<AbusiveMessage>| AbuseReport { messages, ..complaint(scene.bob.user(), scene.alice.user()) };
        let good = about(vec![first.clone()]);
        let before = scene.reported();
        let send = async |from: &str, report: &AbuseReport| {
            let posted = scene.gateway(from).post("a.example", Endpoint::ReportAbuse(room()), report.encode()).await;
            posted.map_or_else(|error| error.status().unwrap(), |answer| answer.status)
        };
        let left = match attack {
            Attack::Replay => {
                assert_eq!((send("b.example", &good).await, send("b.example", &good).await), (201, 201));
                (1, 1, 1)
            }
            Attack::Duplicate => {
                let both = tokio::join!(send("b.example", &good), send("b.example", &good));
                assert_eq!(both, (201, 201));
                (1, 1, 1)
            }
            Attack::Reorder => {
                let later = about(vec![second]);
                assert_eq!((send("b.example", &later).await, send("b.example", &good).await), (201, 201));
                (2, 2, 0)
            }
            Attack::Truncate | Attack::Oversize => {
                let b = scene.gateway("b.example");
                malformed(b, "a.example", Endpoint::ReportAbuse(room()), &good.encode(), 5 << 20, attack).await;
                (0, 0, 0)
            }
            Attack::WrongIdentity => {
                assert_eq!(send("c.example", &good).await, 404);
                let in_her_name = AbuseReport { reporter: Some(scene.alice.user().clone()), ..good };
                assert_eq!(send("b.example", &in_her_name).await, 403);
                (0, 0, 0)
            }
            // The frank of one message beside another.
            Attack::Forged => {
                let forged = about(vec![AbusiveMessage { content: second.content, ..first }]);
                assert_eq!(send("b.example", &forged).await, 201);
                (1, 0, 0)
            }
            // A time that has not been, or not yet.
            Attack::Stale => {
                let at = |millis: u64| AbusiveMessage {
                    accepted_at: portcullis_core::time::Millis(millis),
                    ..first.clone()
                };
                assert_eq!(send("b.example", &about(vec![at(0), at(u64::MAX)])).await, 201);
                (1, 0, 0)
            }
            Attack::Slow => {
                let (a, b) = (scene.gateway("a.example"), scene.gateway("b.example"));
                slow::assert_given_up(b, a, &Endpoint::ReportAbuse(room()), &good.encode()).await;
                (0, 0, 0)
            }
        };
        let after = scene.reported();
        assert_eq!((after.0 - before.0, after.1 - before.1, after.2 - before.2), left, "{attack:?}");
        scene.assert_unharmed().await;
    }
}
