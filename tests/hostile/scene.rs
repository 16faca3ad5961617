use portcullis::member::Device;
use portcullis::peer::{Endpoint, PeerError};

use crate::federation::assert_accepted;
use crate::harness::{Gateway, Lab, room};

/// The hub a.example with Alice, b.example with Bob, both in the room, and c.example, which has nobody there.
pub(super) struct Scene {
    pub(super) lab: Lab,
    pub(super) alice: Device,
    pub(super) bob: Device,
    said: usize,
}

impl Scene {
    pub(super) async fn open() -> Self {
        Self::prepared(|_| ()).await.0
    }

    /// The same, after something was done to gateways that do not run yet.
    pub(super) async fn prepared<T>(prepare: impl FnOnce(&Lab) -> T) -> (Self, T) {
        let mut lab = Lab::new(&["a.example", "b.example", "c.example"]);
        let prepared = prepare(&lab);
        for gateway in &mut lab.gateways {
            gateway.configure("limits: { body_seconds: 1 }\n");
            gateway.start();
        }
        for gateway in &mut lab.gateways {
            gateway.ready().await;
        }
        let (alice, bob) = lab.alice_and_bob().await;
        lab.quiet().await;
        (Self { lab, alice, bob, said: 0 }, prepared)
    }

    pub(super) fn gateway(&self, domain: &str) -> &Gateway {
        self.lab.gateway(domain)
    }

    /// Posts to the hub in the name of b.example.
    pub(super) async fn post(&self, endpoint: Endpoint, body: Vec<u8>) -> Result<Vec<u8>, PeerError> {
        self.post_as("b.example", endpoint, body).await
    }

    pub(super) async fn post_as(&self, from: &str, endpoint: Endpoint, body: Vec<u8>) -> Result<Vec<u8>, PeerError> {
        Ok(self.gateway(from).post("a.example", endpoint, body).await?.body.to_vec())
    }

    /// To c.example there is no such room.
    pub(super) async fn assert_hidden(&self, endpoint: Endpoint, body: Vec<u8>) -> usize {
        assert_eq!(self.post_as("c.example", endpoint, body).await.unwrap_err().status(), Some(404));
        0
    }

    /// Whatever was tried, the room goes on for those who are in it, and the hub's books are in order.
    pub(super) async fn assert_unharmed(&mut self) {
        self.said += 1;
        let text = format!("still here, {}", self.said);
        assert_accepted(&self.alice.say(&room(), &text).await.unwrap());
        self.bob.until_text(&room(), &text).await.unwrap();
        self.lab.quiet().await;
        for domain in ["a.example", "b.example"] {
            self.gateway(domain).database().assert_gapless();
        }
        self.gateway("a.example").database().assert_one_commit_per_epoch();
    }

    /// How many of Alice's key packages nobody has.
    pub(super) async fn unclaimed(&self) -> u64 {
        let door = self.gateway("a.example").client(self.alice.user());
        door.count_key_packages(self.alice.client()).await.unwrap()
    }

    /// How many events the hub has accepted.
    pub(super) fn accepted(&self) -> usize {
        self.gateway("a.example").database().events().len()
    }
}
