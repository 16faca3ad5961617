//! What commands that work on a gateway's own database share.

use std::path::PathBuf;

use anyhow::Context;
use portcullis_core::time::Millis;
use portcullis_store::{Store, StoreError, Tx};

use super::Failure;
use crate::config::Config;
use crate::gateway::{Clock, Sealer};
use crate::server::store_options;

/// Which gateway.
#[derive(Debug, clap::Args)]
pub(super) struct Host {
    /// The gateway's configuration; its database is used directly, whether the gateway runs or not.
    #[arg(long, value_name = "FILE", default_value = "gateway.yaml", global = true)]
    config: PathBuf,
}

impl Host {
    /// The configuration.
    pub(super) fn config(&self) -> Result<Config, Failure> {
        Ok(Config::load(&self.config)?)
    }

    /// Opens the database named by the configuration.
    pub(super) fn open(&self) -> Result<Store, Failure> {
        let config = self.config()?;
        let store = Store::open(&config.database, &store_options(&config)).context("cannot open the database")?;
        Ok(store)
    }

    /// The keys that seal what must not be read in a copy of the database.
    pub(super) fn sealer(&self) -> Result<Sealer, Failure> {
        let config = Config::load(&self.config)?;
        Ok(Sealer::read(&config.keys.sealing).context("cannot read the sealing keys")?)
    }
}

/// Changes the database; `missing` is said when what is to be changed is not there.
pub(super) fn change<T: Send + 'static>(
    store: &Store,
    lane: &str,
    missing: &str,
    mut job: impl FnMut(&mut Tx<'_>, Millis) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Failure> {
    let now = Clock::default().now();
    match store.write(lane, move |tx: &mut Tx<'_>| job(tx, now)) {
        Err(StoreError::Missing | StoreError::NoRoom) => Err(Failure::failed(missing)),
        outcome => Ok(outcome.context("cannot change the database")?),
    }
}

/// Who runs this command, for the audit log.
pub(super) fn operator() -> String {
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER"));
    format!("operator:{}", user.unwrap_or_else(|_| "unknown".to_owned()))
}
