use std::collections::HashMap;
use std::time::Duration;

use portcullis_core::wire::uri::Domain;

use crate::config::Config;
use crate::http::Intake;
use crate::limits::Limiter;
use crate::peer::Peers;

/// What the door knows of itself and of those who may knock.
pub(super) struct Door {
    /// The company's provider domains.
    pub(super) domains: Vec<Domain>,
    /// Further authorities under which we are reached.
    pub(super) authorities: Vec<String>,
    /// Origin that stands in the directory.
    pub(super) origin: String,
    /// With the list of who may come in.
    pub(super) peers: Peers,
    /// How much one peer may ask for.
    pub(super) rate: Limiter<Domain>,
    /// The same for those that the configuration gives a limit of their own.
    pub(super) rates: HashMap<Domain, Limiter<Domain>>,
    /// How long a caller may take over a handshake, and over the head of a request.
    pub(super) head: Duration,
    /// How bodies are taken in.
    pub(super) intake: Intake,
}

impl Door {
    /// Takes what the configuration says about the federation door and the peers. The authority of the published
    /// origin is always one of ours.
    pub(super) fn new(config: &Config, peers: Peers) -> Self {
        let origin = config.listeners.federation.url.clone();
        let authority = origin.trim_start_matches("https://").split('/').next().unwrap_or_default().to_owned();
        Self {
            domains: config.domains.clone(),
            authorities: config.hosts.iter().cloned().chain([authority]).collect(),
            origin,
            peers,
            rate: Limiter::new(config.limits.peer),
            rates: config
                .peers
                .iter()
                .filter_map(|peer| Some((peer.domain.clone(), Limiter::new(peer.limit?))))
                .collect(),
            head: config.limits.head(),
            intake: Intake::new(config.limits.body()),
        }
    }
}
