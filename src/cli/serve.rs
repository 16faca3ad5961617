use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use portcullis_store::Store;
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, check};
use crate::config::Config;
use crate::gateway::{Active, Clock, Policy, rollout};
use crate::server::{Server, Sockets, store_options};
use crate::telemetry;

/// How long work may take that is still under way when the gateway has drained, which is work that waits for a database that
/// does not answer. Nobody was told of it.
const LEFT_BEHIND: Duration = Duration::from_secs(5);

/// Arguments of `portcullis serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
SIGTERM or SIGINT drains and stops; SIGHUP reads the policies again.

Example:
  portcullis serve --config gw/gateway.yaml")]
pub(super) struct Args {
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "gateway.yaml")]
    config: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (source, config, opened) = check::everything(&args.config)?;
    let policy = match opened {
        Ok(policy) => policy,
        // A folder that has broken while a good bundle decides keeps nobody from starting.
        Err(flaw) => match kept(&config) {
            Some(kept) => Policy::stand_in(kept, &config.policies, &flaw),
            None => return Err(Failure::invalid(check::reports(&source, flaw))),
        },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    let telemetry = telemetry::start(&config.telemetry).context("cannot start the telemetry")?;
    let served: anyhow::Result<()> = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let server = Server::start(&config, policy, Sockets::bind(&config)?, Clock::default()).await?;
        loop {
            tokio::select! {
                _ = hang_up.recv() => server.reload().await,
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        server.drain().await;
        Ok(())
    });
    // Dropped, it would wait without an end.
    runtime.shutdown_timeout(LEFT_BEHIND);
    telemetry.shut_down();
    Ok(served?)
}

/// What the database names, if it can be read and that can decide.
fn kept(config: &Config) -> Option<Active> {
    let store = Store::open(&config.database, &store_options(config).ok()?).ok()?;
    store.read(|conn| rollout::named(conn, &config.policies)).ok()?
}
