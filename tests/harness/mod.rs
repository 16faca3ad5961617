//! Gateways as their operators run them: child processes, each with a folder and a loopback address of its own.

mod balancer;
mod cluster;
mod database;
mod gateway;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use portcullis::member::Device;
use portcullis_core::wire::uri::{ClientUri, RoomUri, UserUri};
use tempfile::TempDir;

use balancer::Balancer;
pub(crate) use cluster::Cluster;
pub(crate) use database::Database;
pub(crate) use gateway::Gateway;

/// Positions of the roles in the template `strict`.
pub(crate) const ORDINARY: u32 = 2;
pub(crate) const ADMIN: u32 = 3;

/// When waiting is given up: nothing that is waited for takes so long unless something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn room() -> RoomUri {
    RoomUri::parse("mimi://a.example/r/clubhouse").unwrap()
}

pub(crate) fn client(name: &str) -> ClientUri {
    ClientUri::parse(&format!("mimi://{name}")).unwrap()
}

pub(crate) fn user(name: &str) -> UserUri {
    UserUri::parse(&format!("mimi://{name}")).unwrap()
}

/// Waits until `check` gives something.
pub(crate) async fn eventually<T>(wanted: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = check().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("in vain: {wanted}"))
}

/// Gateways that know each other, under one development CA.
pub(crate) struct Lab {
    pub(crate) gateways: Vec<Gateway>,
    _folder: TempDir,
}

impl Lab {
    /// Writes configurations, keys and policies of gateways that do not run yet, one for each domain.
    pub(crate) fn new(domains: &[&str]) -> Self {
        Self::of_companies(&domains.iter().map(std::slice::from_ref).collect::<Vec<_>>())
    }

    /// The same, one for each company with all its domains.
    pub(crate) fn of_companies(companies: &[&[&str]]) -> Self {
        let folder = TempDir::new().unwrap();
        let mut sockets = Vec::new();
        let mut free = || -> SocketAddr {
            let socket = TcpListener::bind((own_loopback(), 0)).unwrap();
            let address = socket.local_addr().unwrap();
            sockets.push(socket);
            address
        };
        let doors: Vec<_> = companies.iter().map(|domains| (*domains, free(), free())).collect();
        for (domains, federation, provider) in &doors {
            let mut init = portcullis();
            init.arg("init").arg(folder.path().join(domains[0])).arg("--ca").arg(folder.path().join("ca"));
            init.args(domains.iter().flat_map(|domain| ["--domain", domain]));
            init.args(["--federation", &federation.to_string(), "--provider", &provider.to_string()]);
            init.args(["--admin", &SocketAddr::new(provider.ip(), 0).to_string()]);
            for (peers, address, _) in doors.iter().filter(|(peers, ..)| peers != domains) {
                init.args(peers.iter().flat_map(|peer| ["--peer".to_owned(), format!("{peer}={address}")]));
            }
            let done = init.output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
        let gateways = doors.iter().map(|(domains, federation, provider)| {
            Gateway::new(domains, folder.path().join(domains[0]), *federation, *provider)
        });
        Self { gateways: gateways.collect(), _folder: folder }
    }

    /// Starts all gateways.
    pub(crate) async fn open(domains: &[&str]) -> Self {
        let mut lab = Self::new(domains);
        lab.start().await;
        lab
    }

    pub(crate) async fn start(&mut self) {
        for gateway in &mut self.gateways {
            gateway.start();
        }
        for gateway in &mut self.gateways {
            gateway.ready().await;
        }
    }

    pub(crate) fn gateway(&self, domain: &str) -> &Gateway {
        self.gateways.iter().find(|gateway| gateway.serves(domain)).unwrap()
    }

    pub(crate) fn gateway_mut(&mut self, domain: &str) -> &mut Gateway {
        self.gateways.iter_mut().find(|gateway| gateway.serves(domain)).unwrap()
    }

    /// Starts two processes of a gateway that does not run yet, on one database, behind its addresses.
    pub(crate) async fn replicas(&mut self, domain: &str, database: &str) -> Replicas {
        let front = self.gateway(domain);
        edit(&front.config_file(), "database: sqlite:portcullis.db", &format!("database: {database}"));
        let mut gateways = Vec::new();
        for number in 0..2 {
            let folder = front.folder.with_extension(format!("replica-{number}"));
            let copied = Command::new("cp").arg("-r").arg(&front.folder).arg(&folder).status().unwrap();
            assert!(copied.success());
            let [federation, provider] = free();
            let gateway = Gateway::new(&[domain], folder, federation, provider);
            let own = [(front.federation, federation), (front.provider, provider)];
            for (theirs, ours) in own {
                edit(&gateway.config_file(), &format!("bind: '{theirs}'"), &format!("bind: '{ours}'"));
            }
            gateways.push(gateway);
        }
        for gateway in &mut gateways {
            gateway.restart().await;
        }
        let doors = |door: fn(&Gateway) -> SocketAddr| gateways.iter().map(door).collect();
        let _doors = [
            Balancer::open(front.federation, doors(|gateway| gateway.federation)).await,
            Balancer::open(front.provider, doors(|gateway| gateway.provider)).await,
        ];
        Replicas { gateways, _doors }
    }

    /// Registers a device, such as `b.example/d/bob/phone`, at the gateway of its user.
    pub(crate) async fn device(&self, name: &str) -> Device {
        let client = client(name);
        self.gateway(client.domain().as_str()).device(client).await
    }

    /// `guest`, who has a device, comes into the room in a role, and has heard so.
    pub(crate) async fn bring_in(&self, host: &mut Device, guest: &mut Device, role: u32) {
        bring_into(&room(), host, guest, role).await;
    }

    /// A user of b.example comes into the room by a key package that b.example has forgotten since it gave it out, so
    /// that it refuses the Welcome.
    pub(crate) async fn bring_in_ghost(&self, host: &mut Device, role: u32) {
        let mut ghost = self.device("b.example/d/ghost/phone").await;
        ghost.publish_key_packages(1).await.unwrap();
        let (_, packages) = host.claim(ghost.user(), &room()).await.unwrap();
        self.gateway("b.example").database().sql("DELETE FROM key_packages");
        let added = host.add(&room(), packages, (ghost.user().clone(), role)).await.unwrap();
        assert!(added.answer.is_ok(), "{added:?}");
    }

    /// Alice of the first provider with the room she has created, and Bob of the second, whom she has brought in.
    pub(crate) async fn alice_and_bob(&self) -> (Device, Device) {
        let mut alice = self.device("a.example/d/alice/phone").await;
        let mut bob = self.device("b.example/d/bob/phone").await;
        let created = alice.create_room(&room(), "strict", "Clubhouse").await.unwrap();
        assert!(created.answer.is_ok(), "{created:?}");
        self.bring_in(&mut alice, &mut bob, ADMIN).await;
        (alice, bob)
    }

    /// Waits until no gateway has anything to do.
    pub(crate) async fn quiet(&self) {
        eventually("all gateways come to rest", async || {
            self.gateways.iter().all(|gateway| gateway.database().waiting() == 0).then_some(())
        })
        .await;
    }
}

/// `guest`, who has a device, comes into a room in a role, and has heard so.
pub(crate) async fn bring_into(room: &RoomUri, host: &mut Device, guest: &mut Device, role: u32) {
    guest.publish_key_packages(1).await.unwrap();
    let (claimed, packages) = host.claim(guest.user(), room).await.unwrap();
    assert!(claimed.answer.is_ok(), "{claimed:?}");
    let added = host.add(room, packages, (guest.user().clone(), role)).await.unwrap();
    assert!(added.answer.is_ok(), "{added:?}");
    guest.until_epoch(room, host.member().epoch(room).unwrap()).await.unwrap();
}

/// Two processes of one gateway, and what stands before them.
pub(crate) struct Replicas {
    pub(crate) gateways: Vec<Gateway>,
    _doors: [Balancer; 2],
}

/// The program that is tested.
pub(crate) fn portcullis() -> Command {
    Command::new(env!("CARGO_BIN_EXE_portcullis"))
}

/// An address of this process alone, so that the ports of tests that run side by side do not meet.
pub(crate) fn own_loopback() -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 + high % 64, middle, low.clamp(1, 254))
}

/// Two addresses that nobody listens on.
fn free() -> [SocketAddr; 2] {
    let sockets = [(); 2].map(|()| TcpListener::bind((own_loopback(), 0)).unwrap());
    sockets.map(|socket| socket.local_addr().unwrap())
}

/// Puts `with` where `what` stands in a file.
pub(crate) fn edit(file: &Path, what: &str, with: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(what), "`{what}` does not stand in {}", file.display());
    std::fs::write(file, text.replacen(what, with, 1)).unwrap();
}
