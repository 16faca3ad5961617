//! One running gateway: the doors and the workers behind them, from a configuration to a drained stop.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use anyhow::Context;
use portcullis_store::vault::Wrapping;
use portcullis_store::{Options, Store};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::addresses::Resolver;
use crate::assets::Fetcher;
use crate::config::Config;
use crate::gateway::rollout::{self, Folder};
use crate::gateway::{Claims, Clock, Gateway, HubKeys, KeyError, Parts, Policy, PolicyError, Reporters, Sealer};
use crate::peer::{EXCHANGE_TIMEOUT, Peers, causes};
use crate::telemetry::{self, Collector};
use crate::{admin, audit, delivery, federation, gateway, provider, scim, upkeep};

/// How long requests under way, and each stage of the workers, may take once a stop is asked for.
const DRAIN: Duration = Duration::from_secs(20);

/// The same for the stage that sends to other providers: what is on its way there is answered or given up, and what comes of
/// that is written.
const DELIVERY_DRAIN: Duration = EXCHANGE_TIMEOUT.saturating_add(Duration::from_secs(5));

/// The same for what comes after a stage that has not ended in its time: it works on the same database, which then does not
/// answer, and loses nothing, for the next process goes on where it stood.
const STALLED_DRAIN: Duration = Duration::from_secs(1);

/// The sockets of the doors, bound before anything else so that a taken port is the first thing to fail.
pub struct Sockets {
    /// For other providers.
    pub federation: TcpListener,
    /// For the chat backend.
    pub provider: TcpListener,
    /// For the company's people, when that door is to be opened.
    pub admin: Option<TcpListener>,
    /// For the company's identity provider, when that door is to be opened.
    pub directory: Option<TcpListener>,
}

/// A gateway that runs until it is stopped.
pub struct Server {
    gateway: Gateway,
    federation: SocketAddr,
    provider: SocketAddr,
    admin: Option<SocketAddr>,
    directory: Option<SocketAddr>,
    doors: Vec<ServerHandle>,
    /// Ends the event streams, which have no end of their own.
    close: watch::Sender<bool>,
    /// Ends the workers, once the doors are closed: stage by stage, because each works on what the one before leaves.
    stages: Vec<Stage>,
}

/// Tasks that are told to end together.
struct Stage {
    stop: watch::Sender<bool>,
    /// How long the tasks may take to end.
    patience: Duration,
    tasks: Vec<JoinHandle<()>>,
}

impl Stage {
    /// A stage without tasks, and what tells them to end.
    fn new(patience: Duration) -> (Self, watch::Receiver<bool>) {
        let (stop, stopped) = watch::channel(false);
        (Self { stop, patience, tasks: Vec::new() }, stopped)
    }

    fn run(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push(tokio::spawn(task));
    }
}

impl Sockets {
    /// Binds what the configuration names; port 0 lets the kernel choose.
    ///
    /// # Errors
    ///
    /// When an address is taken or not ours.
    pub fn bind(config: &Config) -> anyhow::Result<Self> {
        let bind =
            |address: SocketAddr| TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"));
        Ok(Self {
            federation: bind(config.listeners.federation.bind)?,
            provider: bind(config.listeners.provider.bind)?,
            admin: config.listeners.admin.as_ref().map(|admin| bind(admin.bind)).transpose()?,
            directory: config.listeners.directory.as_ref().map(|directory| bind(directory.bind)).transpose()?,
        })
    }
}

/// A gateway that does nothing by itself yet, on the database that the configuration names.
///
/// # Errors
///
/// When a file or the database cannot be used.
pub async fn assemble(config: &Config, policy: Policy, clock: Clock) -> anyhow::Result<Gateway> {
    let keys = HubKeys::read(&config.keys)?;
    let peers = Peers::new(config)?;
    let store = open_store(config).await?;
    let (claims, reporters) = (Claims::new(&config.limits), Reporters::new(&config.limits));
    let assets = Fetcher::new(&config.assets, &config.card.asset_hosts).context("cannot read `assets.trust`")?;
    let addresses = Resolver::new(config).context("cannot read `assets.trust`")?;
    let domains = config.domains.clone();
    let parts = Parts { domains, store, policy, peers, keys, clock, claims, reporters, assets, addresses };
    Ok(Gateway::new(parts))
}

impl Server {
    /// Opens the database, starts the workers and opens the doors. `policy` is what the configuration names, proved.
    ///
    /// # Errors
    ///
    /// Whatever keeps the gateway from running; nothing is left open then.
    pub async fn start(config: &Config, policy: Policy, sockets: Sockets, clock: Clock) -> anyhow::Result<Self> {
        let collector = Collector::of(&config.telemetry)?;
        let log = audit::log_signer(config)?;
        let gateway = assemble(config, policy, clock).await?;
        let store = gateway.store().clone();
        let freed = tokio::task::spawn_blocking(move || store.appear()).await?.context("cannot take leases")?;
        if freed > 0 {
            tracing::info!(freed, "leases of processes that have ended are free again");
        }
        let loaded = gateway.load_policy().await;
        loaded.map_err(|error| anyhow::anyhow!("policies cannot decide: {}", causes(&error)))?;
        gateway.refresh_peers().await?;
        gateway.refresh_people().await?;
        gateway.open_data_keys().await.context("cannot open the keys that the database is sealed under")?;
        gateway.open_hub_keys().await.context("cannot open the keys that messages are franked with")?;

        let (close, closed) = watch::channel(false);
        telemetry::watch(gateway.store(), audit::SINK);
        let federation = sockets.federation.local_addr()?;
        let provider = sockets.provider.local_addr()?;
        let admin = sockets.admin.as_ref().map(TcpListener::local_addr).transpose()?;
        let directory = sockets.directory.as_ref().map(TcpListener::local_addr).transpose()?;
        let mut doors = vec![
            federation::open(gateway.clone(), config, sockets.federation)?,
            provider::open(gateway.clone(), config, sockets.provider, closed).await?,
        ];
        if let (Some(listener), Some(socket)) = (&config.listeners.admin, sockets.admin) {
            doors.push(admin::open(gateway.clone(), listener, &config.limits, socket).await?);
        }
        if let (Some(listener), Some(socket)) = (&config.listeners.directory, sockets.directory) {
            doors.push(scim::open(gateway.clone(), listener, config, socket)?);
        }
        let (mut workers, stopped) = Stage::new(DELIVERY_DRAIN);
        workers.run(delivery::run(gateway.clone(), stopped.clone()));
        workers.run(gateway::admin::watch(gateway.clone(), stopped.clone()));
        workers.run(gateway::people::watch(gateway.clone(), stopped.clone()));
        workers.run(rollout::watch(gateway.clone(), stopped.clone()));
        workers.run(gateway::shadow(gateway.clone(), stopped.clone()));
        let patience = config.moderation.alarm_after();
        workers.run(gateway::moderation::watch(
            gateway.clone(),
            (patience, config.devices.lost_after()),
            stopped.clone(),
        ));
        workers.run(upkeep::run(gateway.clone(), config.retention, stopped.clone()));
        workers.run(audit::follow(gateway.clone(), stopped));
        let (mut sequencer, stopped) = Stage::new(DRAIN);
        sequencer.run(audit::sequence(gateway.clone(), stopped));
        let (mut signer, stopped) = Stage::new(DRAIN);
        signer.run(audit::sign(gateway.clone(), log, stopped));
        let (mut exporter, stopped) = Stage::new(DRAIN);
        if let Some(collector) = collector {
            exporter.run(audit::export(gateway.clone(), collector, stopped));
        }
        let mut handles = Vec::new();
        for door in doors {
            handles.push(door.handle());
            workers.run(async move {
                if let Err(error) = door.await {
                    tracing::error!(%error, "door closed with an error");
                }
            });
        }
        let admin_address = admin.map(tracing::field::display);
        let directory_address = directory.map(tracing::field::display);
        tracing::info!(%federation, %provider, admin = admin_address, directory = directory_address, domains = ?config.domains, "gateway is ready");
        let stages = vec![workers, sequencer, signer, exporter];
        Ok(Self { gateway, federation, provider, admin, directory, doors: handles, close, stages })
    }

    /// The gateway behind the doors.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Where the federation door listens.
    pub fn federation(&self) -> SocketAddr {
        self.federation
    }

    /// Where the provider door listens.
    pub fn provider(&self) -> SocketAddr {
        self.provider
    }

    /// Where the admin door listens; `None` when it is closed.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Where the directory door listens; `None` when it is closed.
    pub fn directory(&self) -> Option<SocketAddr> {
        self.directory
    }

    /// Reads the folder of the policies again, where that counts; what fails changes nothing.
    pub async fn reload(&self) {
        let gateway = self.gateway.clone();
        let read = match tokio::task::spawn_blocking(move || gateway.policy().read()).await {
            Ok(Ok(read)) => read,
            Ok(Err(PolicyError::Invalid { diagnostics, .. })) => {
                for diagnostic in &diagnostics {
                    tracing::error!("{diagnostic}");
                }
                return tracing::error!(
                    count = diagnostics.len(),
                    "policies are not reloaded, the last good ones go on"
                );
            }
            Ok(Err(error)) => return tracing::error!(%error, "policies are not reloaded, the last good ones go on"),
            Err(error) => return tracing::error!(%error, "policies are not reloaded, the last good ones go on"),
        };
        match self.gateway.reload_policy(read).await {
            Ok(Folder::Decides) => tracing::info!("policies are reloaded"),
            Ok(Folder::Draft) => tracing::info!("policies of the folder are a draft, and wait to be activated"),
            Ok(Folder::Retired) => {
                tracing::info!("policies of the folder have decided before, and others decide by now")
            }
            Ok(Folder::Ignored) => tracing::info!("policies come from the store, their folder does not count"),
            Err(error) => {
                tracing::error!(
                    error = causes(&error),
                    "policies are not reloaded, for that cannot be recorded or what decides is not good"
                );
            }
        }
    }

    /// Closes the doors, lets what is under way end, then stops the workers: the sequencer once nothing more is staged,
    /// the signer once everything has its position, and the export last. Where one of them does not end in its
    /// time, those after it are hardly waited for: with a database that does not answer this takes about a minute, and never
    /// more than two.
    pub async fn drain(self) {
        let _ = self.close.send(true);
        let doors = self.doors.iter().map(|door| door.stop(true));
        let _ = tokio::time::timeout(DRAIN, futures_util::future::join_all(doors)).await;
        let mut stalled = false;
        for Stage { stop, patience, tasks } in self.stages {
            let _ = stop.send(true);
            let patience = if stalled { STALLED_DRAIN } else { patience };
            stalled |= tokio::time::timeout(patience, futures_util::future::join_all(tasks)).await.is_err();
        }
        if stalled {
            tracing::warn!("gateway stops although not all of its workers have ended");
        } else {
            tracing::info!("gateway is drained");
        }
    }
}

/// Opens the database of a configuration and brings its schema up to date.
///
/// # Errors
///
/// When it cannot be opened or migrated, or a sealing key cannot be read.
pub async fn open_store(config: &Config) -> anyhow::Result<Store> {
    let url = config.database.clone();
    let options = store_options(config)?;
    let opened = tokio::task::spawn_blocking(move || Store::open(&url, &options)).await?;
    opened.context("cannot open the database")
}

/// How the store of a configuration is set up.
///
/// # Errors
///
/// [`KeyError`] for a sealing key that cannot be read: without it, what is to be sealed would be written as it is.
pub fn store_options(config: &Config) -> Result<Options, KeyError> {
    let wrapping: Arc<dyn Wrapping> = Arc::new(Sealer::read(&config.keys.sealing)?);
    Ok(Options { origin: audit::origin(config), wrapping: Some(wrapping), ..Options::default() })
}
