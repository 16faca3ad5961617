use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use portcullis_core::wire::uri::Domain;
use serde::Deserialize;

use super::number;

/// What is downloaded through this gateway from hosts of others (reading D-57). From which, rooms and peers say.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Assets {
    /// Largest download, in MiB.
    pub largest_mib: NonZeroU32,
    /// How long one may take, in seconds.
    pub seconds: NonZeroU32,
    /// How many may run at once in a process.
    pub at_once: NonZeroU32,
    /// How much is kept in memory for who asks for the same, in MiB. Nothing for 0.
    pub cache_mib: u32,
    /// Whether rooms may name hosts that no provider names as its own.
    pub hosts_of_rooms: bool,
    /// Certificates that sign those of asset hosts and mail domains, beside those of the system.
    pub trust: Vec<PathBuf>,
    /// Where hosts are, past DNS and whatever else is asked of addresses. For labs.
    pub connect: BTreeMap<Domain, SocketAddr>,
}

impl Assets {
    /// [`Self::largest_mib`], in bytes.
    pub fn largest_bytes(&self) -> u64 {
        u64::from(self.largest_mib.get()) << 20
    }

    /// [`Self::seconds`].
    pub fn longest(&self) -> Duration {
        Duration::from_secs(self.seconds.get().into())
    }
}

impl Default for Assets {
    fn default() -> Self {
        Self {
            largest_mib: number(100),
            seconds: number(30),
            at_once: number(64),
            cache_mib: 64,
            hosts_of_rooms: true,
            trust: Vec::new(),
            connect: BTreeMap::new(),
        }
    }
}
