use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::vault::Wrapping;

/// How the store is set up. [`Options::default`] suits one small gateway.
#[derive(Clone)]
pub struct Options {
    /// Most connections that read at once.
    pub readers: NonZeroUsize,
    /// Write lanes on PostgreSQL, beside the one of the sequencer and the one for what waits long. SQLite always has one lane.
    pub lanes: NonZeroUsize,
    /// Jobs that wait for a lane before [`crate::StoreError::Busy`] is the answer.
    pub queue: usize,
    /// Most jobs in one transaction.
    pub batch: NonZeroUsize,
    /// How long a transaction may stand still on PostgreSQL before the server ends its session, because its process is gone.
    pub abandoned_after: Duration,
    /// PEM file of the certificates that a PostgreSQL server's certificate must lead to. Needed for `sslmode=require`.
    pub postgres_roots: Option<PathBuf>,
    /// Wraps the keys under which group states, events and KeyPackages are sealed; without it they are not.
    pub wrapping: Option<Arc<dyn Wrapping>>,
    /// Name of the audit log, put into every leaf.
    pub origin: String,
    /// What decided, put into every leaf: the versions of the policy engine and of this gateway.
    pub engine: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            readers: NonZeroUsize::MIN.saturating_add(7),
            lanes: NonZeroUsize::MIN.saturating_add(3),
            queue: 1024,
            batch: NonZeroUsize::MIN.saturating_add(63),
            abandoned_after: Duration::from_secs(30),
            postgres_roots: None,
            wrapping: None,
            origin: "portcullis".to_owned(),
            engine: concat!("portcullis ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}
