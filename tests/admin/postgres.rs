use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use super::{Person, ROOM, address};
use crate::harness::{Cluster, Gateway, Lab, edit, eventually, portcullis, room};

/// Another process of a gateway, on the same database, with doors of its own.
struct Replica {
    child: Child,
    log: std::path::PathBuf,
}

impl Replica {
    fn start(of: &Gateway) -> Self {
        let folder = of.folder.with_extension("replica");
        assert!(Command::new("cp").arg("-r").arg(&of.folder).arg(&folder).status().unwrap().success());
        let config = folder.join("gateway.yaml");
        for door in [of.federation, of.provider] {
            let free = TcpListener::bind(SocketAddr::new(door.ip(), 0)).unwrap().local_addr().unwrap();
            edit(&config, &format!("bind: '{door}'"), &format!("bind: '{free}'"));
        }
        let log = folder.join("replica.log");
        let mut serve = portcullis();
        serve.arg("serve").arg("--config").arg(&config).stdin(Stdio::null()).stdout(Stdio::null());
        Self { child: serve.stderr(File::create(&log).unwrap()).spawn().unwrap(), log }
    }

    async fn ready(&mut self) -> String {
        let Self { child, log } = self;
        eventually("the replica is ready", async || {
            let said = std::fs::read_to_string(&*log).unwrap();
            assert!(child.try_wait().unwrap().is_none(), "it has ended:\n{said}");
            said.contains("gateway is ready").then(|| format!("http://{}", address(&said)))
        })
        .await
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn what_is_decided_about_a_peer_at_one_replica_is_in_force_at_the_other() {
    let cluster = Cluster::start();
    let mut lab = Lab::new(&["a.example", "b.example"]);
    edit(
        &lab.gateway("a.example").config_file(),
        "database: sqlite:portcullis.db",
        &format!("database: {}", cluster.url()),
    );
    for domain in ["a.example", "b.example"] {
        lab.gateway_mut(domain).restart().await;
    }
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let hub = lab.gateway("a.example");
    let mut replica = Replica::start(hub);
    let there = Person { origin: replica.ready().await, ..Person::at(hub, &["operator", "auditor"]) };
    let here = Person::at(hub, &["operator", "auditor"]);
    assert_ne!(there.origin, here.origin);
    assert_eq!(there.get("status").await.good().body["database"], "postgres");

    let suspended = there.decide("b.example", "suspend").await.good();
    let refused = eventually("it is in force at the other replica", async || {
        bob.say(&room(), "hello?").await.unwrap().answer.err()
    })
    .await;
    assert_eq!(refused.code, "not_allowed");
    assert_eq!(here.get("peers/b.example").await.good().body["state"], "suspended");

    there.decide("b.example", "block").await.good();
    assert!(alice.say(&room(), "held back").await.unwrap().answer.is_ok());
    let lane = here.get(&format!("lanes/{ROOM}/b.example")).await.good().body;
    assert_eq!(lane["state"], "blocked");
    here.decide("b.example", "allow").await.good();
    bob.until_text(&room(), "held back").await.unwrap();
    let decision = suspended.decision.unwrap();
    eventually("the decision has its position", async || {
        let shown = here.get(&format!("decisions/{decision}")).await;
        (shown.status == 200 && shown.body["actor"] == "operator:ops").then_some(())
    })
    .await;
}
