//! Three gateways under one development CA, each in a folder of its own, as child processes.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use portcullis_core::wire::uri::{ClientUri, Domain, RoomUri, UserUri};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::time::{sleep, timeout};

use super::commands::{Operator, PATIENCE, POLL, Program};
use super::report::{Report, Total};
use crate::member::Device;
use crate::provider::client::Client;

/// The providers. The first is the hub.
const DOMAINS: [&str; 3] = ["a.example", "b.example", "c.example"];
/// The provider that the hub's company has suspended; nobody runs it.
pub(super) const SUSPENDED: &str = "d.example";
/// What of the shipped settings is replaced to suspend it.
const NOBODY: &str = "providers: []";
/// Lines of a gateway's log that are shown when it does not start.
const LAST_LINES: usize = 20;

/// The gateways while they run.
pub(super) struct Lab {
    gateways: Vec<Running>,
    /// Removed with all that is in it when the lab is dropped.
    _temporary: Option<TempDir>,
}

/// One gateway.
pub(super) struct Running {
    pub(super) domain: Domain,
    pub(super) operator: Operator,
    federation: SocketAddr,
    provider: SocketAddr,
    log: PathBuf,
    child: Child,
}

/// Where a gateway will be.
struct Site {
    domain: &'static str,
    folder: PathBuf,
    federation: SocketAddr,
    provider: SocketAddr,
}

impl Lab {
    /// Sets the gateways up in `dir`, where nothing may be in their way, or in a temporary folder, and waits until
    /// they are ready.
    pub(super) async fn open(program: Program, dir: Option<&Path>, report: &Report<'_>) -> anyhow::Result<Self> {
        let (folder, temporary) = match dir {
            Some(dir) => (made(dir)?, None),
            None => {
                let temporary = tempfile::tempdir().context("cannot make a temporary folder")?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        let (sites, sockets) = sites(&folder)?;
        for site in &sites {
            report.progress(format!("writing configuration, keys and policies of {}", site.domain));
            set_up(&program, site, &sites, &folder).await?;
        }
        suspend(&sites)?;
        // Free for the gateways only now, so that nobody else was given the same ports.
        drop(sockets);
        let mut gateways = Vec::new();
        for site in &sites {
            report.progress(format!("starting {}", site.domain));
            gateways.push(Running::start(&program, site)?);
        }
        for gateway in &mut gateways {
            report.progress(format!("waiting for {}", gateway.domain));
            gateway.ready().await?;
        }
        report.progress_ends();
        Ok(Self { gateways, _temporary: temporary })
    }

    pub(super) fn gateways(&self) -> &[Running] {
        &self.gateways
    }

    /// The gateway of a provider.
    pub(super) fn gateway(&self, domain: &Domain) -> anyhow::Result<&Running> {
        self.gateways
            .iter()
            .find(|gateway| gateway.domain == *domain)
            .with_context(|| format!("no gateway of {domain}"))
    }

    /// Registers a device at the gateway of its user, with a token of the user.
    pub(super) async fn device(&self, client: ClientUri) -> anyhow::Result<Device> {
        let gateway = self.gateway(&client.domain())?;
        let user: UserUri = client.user().with_context(|| format!("`{client}` names no user"))?;
        let token = gateway.operator.token(&user).await?;
        Ok(Device::register(gateway.client(token)?, client).await?)
    }

    /// The hub of a room.
    pub(super) fn hub(&self, room: &RoomUri) -> anyhow::Result<&Operator> {
        Ok(&self.gateway(&room.domain())?.operator)
    }

    /// Waits for what is under way, counts, and stops the gateways.
    pub(super) async fn close(mut self, report: Report<'_>) -> anyhow::Result<Total> {
        let mut owed = Vec::new();
        for gateway in &self.gateways {
            let lanes = gateway.operator.settled_lanes().await?;
            let stuck = lanes.iter().filter(|lane| lane.owed > 0);
            owed.extend(stuck.map(|lane| format!("{} owes {} messages to {}", gateway.domain, lane.owed, lane.peer)));
        }
        let mut entries = Vec::new();
        for gateway in &self.gateways {
            entries.push((gateway.domain.clone(), gateway.operator.entries().await?));
        }
        self.gateways.iter().try_for_each(Running::terminate)?;
        for gateway in &mut self.gateways {
            gateway.ended().await?;
        }
        Ok(report.total(&entries, owed))
    }
}

impl Running {
    fn start(program: &Program, site: &Site) -> anyhow::Result<Self> {
        let (config, log) = (site.folder.join("gateway.yaml"), site.folder.join("gateway.log"));
        let file = std::fs::File::create(&log).with_context(|| format!("cannot write `{}`", log.display()))?;
        Ok(Self {
            domain: Domain::parse(site.domain)?,
            child: program.serve(&config, file)?,
            operator: Operator::new(program.clone(), config),
            federation: site.federation,
            provider: site.provider,
            log,
        })
    }

    /// Where its doors are.
    pub(super) fn doors(&self) -> (SocketAddr, SocketAddr) {
        (self.federation, self.provider)
    }

    fn client(&self, token: String) -> anyhow::Result<Client> {
        Ok(Client::new(&format!("http://{}", self.provider), token)?)
    }

    /// Waits until both doors are open.
    async fn ready(&mut self) -> anyhow::Result<()> {
        let door = self.client(String::new())?;
        let opened = async {
            while door.openapi().await.is_err() || TcpStream::connect(self.federation).await.is_err() {
                if let Some(status) = self.child.try_wait()? {
                    bail!("it has ended: {status}");
                }
                sleep(POLL).await;
            }
            Ok(())
        };
        let opened = timeout(PATIENCE, opened).await.unwrap_or_else(|_| bail!("its doors stay closed"));
        opened.with_context(|| format!("the gateway of {} does not start:\n{}", self.domain, self.last_lines()))
    }

    /// Asks it to stop.
    fn terminate(&self) -> anyhow::Result<()> {
        if let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM).with_context(|| format!("cannot stop the gateway of {}", self.domain))?;
        }
        Ok(())
    }

    /// Waits until it has drained.
    async fn ended(&mut self) -> anyhow::Result<()> {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        let status = ended.with_context(|| format!("the gateway of {} does not stop", self.domain))??;
        ensure!(status.success(), "the gateway of {} has failed ({status}):\n{}", self.domain, self.last_lines());
        Ok(())
    }

    fn last_lines(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default().join("\n")
    }
}

/// A folder by its full path; made when it does not exist.
fn made(dir: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make the folder `{}`", dir.display()))?;
    dir.canonicalize().with_context(|| format!("cannot find the folder `{}`", dir.display()))
}

/// A folder and two free ports for each provider, and the sockets that hold the ports.
fn sites(folder: &Path) -> anyhow::Result<(Vec<Site>, Vec<TcpListener>)> {
    let mut sockets = Vec::new();
    let mut port = || -> anyhow::Result<SocketAddr> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on loopback")?;
        let address = socket.local_addr()?;
        sockets.push(socket);
        Ok(address)
    };
    let mut sites = Vec::new();
    for domain in DOMAINS {
        sites.push(Site { domain, folder: folder.join(domain), federation: port()?, provider: port()? });
    }
    Ok((sites, sockets))
}

async fn set_up(program: &Program, site: &Site, sites: &[Site], folder: &Path) -> anyhow::Result<()> {
    let text = |path: &Path| path.display().to_string();
    let mut arguments = vec!["init".to_owned(), text(&site.folder), "--ca".to_owned(), text(&folder.join("ca"))];
    let mut option = |name: &str, value: String| arguments.extend([format!("--{name}"), value]);
    option("domain", site.domain.to_owned());
    option("federation", site.federation.to_string());
    option("provider", site.provider.to_string());
    option("admin", SocketAddr::new(site.provider.ip(), 0).to_string());
    for peer in sites.iter().filter(|peer| peer.domain != site.domain) {
        option("peer", format!("{}={}", peer.domain, peer.federation));
    }
    program.run(&arguments).await.map(drop)
}

/// The company of the first gateway suspends a provider.
fn suspend(sites: &[Site]) -> anyhow::Result<()> {
    let Some(hub) = sites.first() else { bail!("there is no gateway") };
    let path = hub.folder.join("policies/settings.yaml");
    let settings = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    ensure!(settings.contains(NOBODY), "`{}` lists providers already", path.display());
    let listed = format!("providers:\n  - domain: {SUSPENDED}\n    suspended: true");
    std::fs::write(&path, settings.replacen(NOBODY, &listed, 1))
        .with_context(|| format!("cannot write `{}`", path.display()))
}
