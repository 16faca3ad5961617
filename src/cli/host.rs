//! What commands that work on a gateway's own database share.

use std::path::PathBuf;

use anyhow::Context;
use portcullis_core::time::Millis;
use portcullis_store::{Options, Store, StoreError, Tx};

use super::{Failure, check};
use crate::config::Config;
use crate::gateway::{Clock, Policy, Sealer};
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

    /// Address of the database, and how it is opened.
    pub(super) fn database(&self) -> Result<(String, Options), Failure> {
        let config = self.config()?;
        let options = store_options(&config).context("cannot read the sealing keys")?;
        Ok((config.database.clone(), options))
    }

    /// Opens the database named by the configuration.
    pub(super) fn open(&self) -> Result<Store, Failure> {
        let (url, options) = self.database()?;
        Ok(Store::open(&url, &options).context("cannot open the database")?)
    }

    /// The policies that the configuration names, proved.
    pub(super) fn policy(&self) -> Result<Policy, Failure> {
        let (source, _, opened) = check::everything(&self.config)?;
        opened.map_err(|flaw| Failure::invalid(check::reports(&source, flaw)))
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

/// Who runs this command, for the audit log: the real user of the process, whatever its environment says. People of the
/// admin door have another prefix, for the same name is not the same person there.
pub(super) fn operator() -> String {
    let uid = rustix::process::getuid().as_raw();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    format!("host:{}", name_of(uid, &users).unwrap_or_else(|| uid.to_string()))
}

/// The name of a user as it stands in `/etc/passwd`.
fn name_of(uid: u32, users: &str) -> Option<String> {
    let mut named = users.lines().filter_map(|line| {
        let mut fields = line.split(':');
        Some((fields.next()?, fields.nth(1)?.parse::<u32>().ok()?))
    });
    named.find(|(_, of)| *of == uid).map(|(name, _)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_name_of_its_number_and_no_other() {
        let users = "root:x:0:0:::\n# 7\nbroken\nann:x:7:100:::\nann2:x:7:100:::\n";
        assert_eq!(name_of(0, users).as_deref(), Some("root"));
        assert_eq!(name_of(7, users).as_deref(), Some("ann"));
        assert_eq!(name_of(100, users), None);
    }
}
