use std::path::{Path, PathBuf};

use miette::Report;
use portcullis_core::wire::uri::Domain;

use super::{Failure, diagnostics, output};
use crate::audit::log_signer;
use crate::config::{Config, Keys, Listeners, Source};
use crate::gateway::{HubKeys, Policy, PolicyError};
use crate::http::Verifier;
use crate::http::token::{ADMIN_AUDIENCE, AUDIENCE};
use crate::peer::{Peers, SetupError};
use crate::telemetry::{Collector, TelemetryError};

/// Arguments of `portcullis check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  portcullis check --config gw/gateway.yaml")]
pub(super) struct Args {
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "gateway.yaml")]
    config: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (source, config, opened) = everything(&args.config)?;
    opened.map_err(|error| Failure::invalid(reports(&source, error)))?;
    let names: Vec<&str> = config.domains.iter().map(|domain| domain.as_str()).collect();
    output::line(format!("{}: good, for {}", args.config.display(), names.join(", ")));
    Ok(())
}

/// Reads the configuration, its keys and its policies; says everything that is wrong with them, each where the
/// configuration names it. Where it is the policies alone, that is left to the caller.
pub(super) fn everything(path: &Path) -> Result<(Source, Config, Result<Policy, PolicyError>), Failure> {
    let source = Source::read(path)?;
    let config = Config::parse(&source)?;
    let faults = keys_and_peers(&config).into_iter().chain(token_keys(&config)?).chain(collector(&config));
    let faults: Vec<Report> =
        faults.map(|(key, error)| Report::new(source.fault(&key, format!("{error:#}")))).collect();
    let opened = Policy::open(&config.policies);
    if faults.is_empty() {
        return Ok((source, config, opened));
    }
    let of_policies = opened.err().map(|error| reports(&source, error));
    Err(Failure::invalid(of_policies.into_iter().flatten().chain(faults)))
}

/// What is wrong with the policies.
pub(super) fn reports(source: &Source, error: PolicyError) -> Vec<Report> {
    match error {
        PolicyError::Invalid { path, files, diagnostics } => diagnostics::reports(&path, &files, diagnostics),
        error => vec![Report::new(source.fault("policies", format!("{:#}", anyhow::Error::from(error))))],
    }
}

/// What is wrong, and with the value of which key.
type Fault = (String, anyhow::Error);

fn keys_and_peers(config: &Config) -> Vec<Fault> {
    let hub = HubKeys::read(&config.keys).err().or_else(|| log_signer(config).err());
    let hub = hub.map(|error| {
        let key = error.path().map_or_else(|| "keys.sealing".to_owned(), |file| key_of(config, file));
        (key, error.into())
    });
    let peers = Peers::new(config).err().map(|error| {
        let position =
            |domain: &Domain| config.peers.iter().position(|peer| peer.domain == *domain).unwrap_or_default();
        let identity =
            |domain: &Domain| config.keys.tls.iter().position(|tls| tls.domain == *domain).unwrap_or_default();
        let key = match &error {
            SetupError::Pem { path, .. } | SetupError::Anchor { path, .. } => key_of(config, path),
            SetupError::Identity { domain, .. } => format!("keys.tls.{}", identity(domain)),
            SetupError::DirectoryUrl { domain, .. } => format!("peers.{}.directory", position(domain)),
            SetupError::Trust(_) => "keys.trust".to_owned(),
            SetupError::Tls(_) | SetupError::Client(_) | SetupError::Socket(_) => "keys".to_owned(),
        };
        (key, error.into())
    });
    hub.into_iter().chain(peers).collect()
}

/// The key that names a key file.
fn key_of(config: &Config, file: &Path) -> String {
    let Keys { trust, tls, hub, log, sealing, .. } = &config.keys;
    let of_tls = tls.iter().enumerate().find_map(|(number, files)| {
        let named = [("certificate", &files.certificate), ("key", &files.key)];
        let (key, _) = named.into_iter().find(|(_, named)| *named == file)?;
        Some(format!("keys.tls.{number}.{key}"))
    });
    match of_tls {
        Some(key) => key,
        None if file == trust => "keys.trust".to_owned(),
        None if file == hub => "keys.hub".to_owned(),
        None if file == log => "keys.log".to_owned(),
        None if sealing.iter().any(|named| *named == file) => "keys.sealing".to_owned(),
        None => "keys.franking".to_owned(),
    }
}

/// Key sets in files; one behind a URL may come later.
fn token_keys(config: &Config) -> anyhow::Result<Vec<Fault>> {
    let Listeners { provider, admin, .. } = &config.listeners;
    let provider = ("listeners.provider.jwks", provider.jwks.as_str(), AUDIENCE);
    let admin = admin.as_ref().map(|admin| ("listeners.admin.jwks", admin.jwks.as_str(), ADMIN_AUDIENCE));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let files = std::iter::once(provider).chain(admin).filter(|(_, jwks, _)| !jwks.starts_with("http"));
    let opened = files.map(|(key, jwks, audience)| (key, runtime.block_on(Verifier::open(jwks, None, audience))));
    Ok(opened.filter_map(|(key, opened)| Some((key.to_owned(), opened.err()?.into()))).collect())
}

fn collector(config: &Config) -> Option<Fault> {
    let error = Collector::of(&config.telemetry).err()?;
    let key = match &error {
        TelemetryError::Secret { header, .. } => format!("telemetry.headers.{header}"),
        TelemetryError::Filter { .. } | TelemetryError::Exporter { .. } | TelemetryError::Again(_) => {
            "telemetry".to_owned()
        }
    };
    Some((key, error.into()))
}
