//! `gateway.yaml`: one struct a section, unknown keys refused, relative paths taken from the file's own folder.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_core::wire::uri::Domain;
use portcullis_core::yaml;
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

mod addresses;
mod assets;
mod directory;
mod error;
mod limits;
mod peers;
mod policies;
mod provider;
mod retention;

pub use addresses::{Addresses, Probed};
pub use assets::Assets;
pub use directory::DirectoryListener;
pub use error::{ConfigError, Source};
pub use limits::{Limits, Rate};
pub use peers::{Card, Peer};
pub use policies::{Activate, Policies, PolicySource, Signer};
pub use provider::ProviderListener;
pub use retention::Retention;

/// Everything one gateway process needs to know before it opens a door.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The company's provider domains; the first is the default.
    pub domains: Vec<Domain>,
    /// Further authorities under which the federation door is reached (reading D-11). The domains always count.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// `sqlite:PATH` or `postgres://…`.
    pub database: String,
    /// Where the doors listen.
    pub listeners: Listeners,
    /// The providers this gateway federates with; all others are refused.
    #[serde(default)]
    pub peers: Vec<Peer>,
    /// What other providers are told of this one, on the card that it gives them.
    #[serde(default)]
    pub card: Card,
    /// What is downloaded through this gateway.
    #[serde(default)]
    pub assets: Assets,
    /// Which providers have which addresses.
    #[serde(default)]
    pub addresses: Addresses,
    /// Where the policy bundle comes from: a folder, or more about it.
    pub policies: Policies,
    /// Key and certificate files.
    pub keys: Keys,
    /// What is reported, and where to.
    #[serde(default)]
    pub telemetry: Telemetry,
    /// How much is taken from one party in a time.
    #[serde(default)]
    pub limits: Limits,
    /// When moderators are to be alarmed.
    #[serde(default)]
    pub moderation: Moderation,
    /// What becomes of our users' devices.
    #[serde(default)]
    pub devices: Devices,
    /// How long what has served its time is kept.
    #[serde(default)]
    pub retention: Retention,
}

/// What becomes of our users' devices.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Devices {
    /// After how many days without a stream or new KeyPackages a device is taken for lost, and goes from the rooms we host;
    /// never when not set.
    pub lost_after_days: Option<NonZeroU32>,
}

impl Devices {
    /// [`Self::lost_after_days`].
    pub fn lost_after(&self) -> Option<Duration> {
        self.lost_after_days.map(|days| Duration::from_secs(u64::from(days.get()) * 24 * 60 * 60))
    }
}

/// When moderators are to be alarmed.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Moderation {
    /// How long a commit that takes clients out of a group may be in coming, in seconds.
    pub alarm_after_seconds: NonZeroU32,
}

impl Moderation {
    /// [`Self::alarm_after_seconds`].
    pub fn alarm_after(&self) -> Duration {
        Duration::from_secs(self.alarm_after_seconds.get().into())
    }
}

impl Default for Moderation {
    fn default() -> Self {
        Self { alarm_after_seconds: number(3600) }
    }
}

/// The doors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listeners {
    /// The door for other providers.
    pub federation: FederationListener,
    /// The door for the company's chat backend and its clients.
    pub provider: ProviderListener,
    /// The door for the company's people; closed when not set.
    #[serde(default)]
    pub admin: Option<AdminListener>,
    /// The door for the company's identity provider; closed when not set.
    #[serde(default)]
    pub directory: Option<DirectoryListener>,
}

/// The federation door: MIMI over mutual TLS.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FederationListener {
    /// Address to listen on.
    pub bind: SocketAddr,
    /// Origin other providers use, such as `https://a.example:8443`; stands in the directory.
    pub url: String,
}

/// The admin door: HTTP with bearer tokens, for the company's people. Put it behind the company's own TLS when it
/// leaves the host.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminListener {
    /// Address to listen on.
    pub bind: SocketAddr,
    /// Keys that sign the tokens: a JWKS file, or an `https:`/`http:` URL.
    pub jwks: String,
    /// Required `iss` of tokens, when set.
    #[serde(default)]
    pub issuer: Option<String>,
    /// The claim that holds a person's roles, as a list or as words; dots lead into nested claims.
    #[serde(default = "roles")]
    pub roles_claim: String,
}

fn roles() -> String {
    "roles".to_owned()
}

/// Key material: PEM files but for the sealing keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Certificates that sign the peers' certificates.
    pub trust: PathBuf,
    /// One certificate and key for each of the `domains`, for both directions.
    pub tls: Vec<TlsIdentity>,
    /// Ed25519 key (PKCS#8) of the hub as external sender; also signs groupInfo answers.
    pub hub: PathBuf,
    /// Ed25519 key (PKCS#8) of the franking agent.
    pub franking: PathBuf,
    /// Ed25519 key (PKCS#8) that signs the checkpoints of the audit log.
    pub log: PathBuf,
    /// Keys that seal what must not be read in a copy of the database: 32 octets in base64 each. The first seals, all open.
    pub sealing: Vec<PathBuf>,
    /// How long the hub franks messages with one key of its own, in days (reading D-34).
    #[serde(default = "hub_key_days")]
    pub hub_key_days: NonZeroU32,
    /// How long such a key is kept after its days, and so for how long messages can be reported, in days.
    #[serde(default = "hub_key_kept_days")]
    pub hub_key_kept_days: NonZeroU32,
}

const fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(number - 1)
}

fn hub_key_days() -> NonZeroU32 {
    number(90)
}

fn hub_key_kept_days() -> NonZeroU32 {
    number(730)
}

/// The certificate chain and key of one domain.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsIdentity {
    /// The provider domain that the certificate names.
    pub domain: Domain,
    /// Certificate chain, leaf first.
    pub certificate: PathBuf,
    /// Private key (PKCS#8).
    pub key: PathBuf,
}

/// Where the file waits that is to take the place of `path`.
pub fn next_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".next");
    PathBuf::from(name)
}

/// Diagnostics and the export of the audit log.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// OTLP/HTTP collector, such as `http://127.0.0.1:4318`; nothing is exported when not set.
    #[serde(default)]
    pub otlp: Option<String>,
    /// Headers for the collector, such as `authorization`, by where their values are.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Filter of the diagnostic log on standard error, such as `info,portcullis=debug`.
    #[serde(default)]
    pub log: Option<String>,
}

/// Where a secret is: in a file or in a variable of the environment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// The file; space at its ends does not count.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// The variable.
    #[serde(default)]
    pub env: Option<String>,
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with file, line and column of what does not fit.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&Source::read(path)?)
    }

    /// Checks a configuration that was read: everything that can be said without looking at another file.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`].
    pub fn parse(source: &Source) -> Result<Self, ConfigError> {
        let config: Self = yaml::parse(source.text()).map_err(|error| source.unparsed(error))?;
        let expected = |key: &str, what: &str| Err(source.fault(key, format!("expected {what}")));
        if config.domains.is_empty() {
            return expected("domains", "at least one provider domain");
        }
        for (number, domain) in config.domains.iter().enumerate() {
            if !config.keys.tls.iter().any(|identity| identity.domain == *domain) {
                let what = format!("a certificate and key for the domain `{domain}` in `keys.tls`");
                return expected(&format!("domains.{number}"), &what);
            }
        }
        if !(1..=2).contains(&config.policies.approvals) {
            return expected("policies.approvals", "1, or 2 for two people");
        }
        if config.listeners.provider.claims.len() > provider::MOST_CLAIMS {
            return expected(
                "listeners.provider.claims",
                &format!("at most {} names of claims", provider::MOST_CLAIMS),
            );
        }
        if config.keys.sealing.is_empty() {
            return expected("keys.sealing", "at least one key file");
        }
        if !["sqlite:", "postgres:", "postgresql:"].iter().any(|scheme| config.database.starts_with(scheme)) {
            return expected("database", "`sqlite:PATH` or `postgres://…`");
        }
        if !config.listeners.federation.url.starts_with("https://") {
            return expected("listeners.federation.url", "an origin that starts with `https://`");
        }
        if let Err(error) = config.telemetry.log.as_deref().map_or(Ok(()), |log| EnvFilter::try_new(log).map(drop)) {
            return Err(source.fault("telemetry.log", error.to_string()));
        }
        for (number, peer) in config.peers.iter().enumerate() {
            if config.domains.contains(&peer.domain) {
                let what = format!("another provider, not our own domain `{}`", peer.domain);
                return expected(&format!("peers.{number}.domain"), &what);
            }
            if config.peers.iter().take(number).any(|other| other.domain == peer.domain) {
                return expected(&format!("peers.{number}.domain"), "each provider once");
            }
            if peer.spki.iter().any(|spki| !is_sha256(spki)) {
                return expected(&format!("peers.{number}.spki"), "a SHA-256 in 64 hexadecimal digits");
            }
        }
        if let Some(what) = config.listeners.directory.as_ref().and_then(|door| door.misfit(&config.domains)) {
            return expected("listeners.directory.mail_domains", &what);
        }
        for (mail, provider) in &config.addresses.providers {
            let elsewhere = config.listeners.directory.as_ref().and_then(|door| door.mail_domains.get(mail.as_str()));
            let own = config.domains.contains(mail).then_some(mail);
            if let Some(other) = own.or(elsewhere).filter(|other| *other != provider) {
                let what = format!("`{other}`, which is the provider of `{mail}` elsewhere in this file");
                return expected(&format!("addresses.providers.{mail}"), &what);
            }
        }
        Ok(config.relative_to(source.folder()))
    }

    fn relative_to(mut self, folder: &Path) -> Self {
        let keys = &mut self.keys;
        let files = [&mut self.policies.folder, &mut keys.trust, &mut keys.hub, &mut keys.franking, &mut keys.log];
        let identities = keys.tls.iter_mut().flat_map(|identity| [&mut identity.certificate, &mut identity.key]);
        let sealing = keys.sealing.iter_mut().chain(&mut self.assets.trust);
        let secrets = self.telemetry.headers.values_mut().filter_map(|secret| secret.file.as_mut());
        for file in files.into_iter().chain(identities).chain(sealing).chain(secrets) {
            *file = folder.join(&*file);
        }
        if let Some(file) = self.database.strip_prefix("sqlite:") {
            self.database = format!("sqlite:{}", folder.join(file).display());
        }
        let Listeners { provider, admin, .. } = &mut self.listeners;
        for jwks in admin.iter_mut().map(|admin| &mut admin.jwks).chain([&mut provider.jwks]) {
            if !jwks.starts_with("https:") && !jwks.starts_with("http:") {
                *jwks = folder.join(&*jwks).display().to_string();
            }
        }
        self
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
domains: [a.example]
database: sqlite:portcullis.db
listeners:
  federation: { bind: '127.0.0.1:8443', url: 'https://a.example:8443' }
  provider: { bind: '127.0.0.1:8080', jwks: jwks.json }
policies: policies
keys:
  trust: ca.pem
  tls: [{ domain: a.example, certificate: a.crt, key: a.key }]
  hub: hub.key
  franking: franking.key
  log: log.key
  sealing: [sealing.key]
";

    fn load(text: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.yaml");
        std::fs::write(&path, text).unwrap();
        Config::load(&path)
    }

    #[test]
    fn relative_paths_are_taken_from_the_folder_of_the_file() {
        let config = load(GOOD).unwrap();
        assert!(config.policies.folder.is_absolute());
        assert!(config.database.starts_with("sqlite:/") && config.database.ends_with("/portcullis.db"));
    }

    #[test]
    fn policies_are_a_folder_or_more_about_it() {
        let policies = load(GOOD).unwrap().policies;
        assert_eq!(
            (policies.source, policies.activate, policies.approvals),
            (PolicySource::Files, Activate::OnChange, 1)
        );
        let with =
            |more: &str| load(&GOOD.replace("policies: policies", &format!("policies: {{ folder: p, {more} }}")));
        let key = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
        let policies =
            with(&format!("source: store, activate: manual, approvals: 2, signers: ['{key}']")).unwrap().policies;
        assert!(policies.folder.is_absolute() && policies.folder.ends_with("p"));
        assert_eq!(
            (policies.source, policies.activate, policies.approvals),
            (PolicySource::Store, Activate::Manual, 2)
        );
        assert_eq!(policies.signers[0].0[0], 0xd7);
        assert!(with("sorce: store").unwrap_err().to_string().contains("sorce"));
        assert!(with("approvals: 3").unwrap_err().to_string().contains("two people"));
        assert!(with("signers: [short]").unwrap_err().to_string().contains("32 octets"));
    }

    #[test]
    fn the_admin_door_is_closed_unless_it_is_set_and_takes_roles_from_roles_unless_told() {
        assert!(load(GOOD).unwrap().listeners.admin.is_none());
        let provider = "  provider: { bind: '127.0.0.1:8080', jwks: jwks.json }\n";
        let admin = format!("{provider}  admin: {{ bind: '127.0.0.1:8090', jwks: people.json }}\n");
        let opened = load(&GOOD.replace(provider, &admin)).unwrap().listeners.admin.unwrap();
        assert_eq!(opened.roles_claim, "roles");
        assert!(Path::new(&opened.jwks).is_absolute(), "{}", opened.jwks);
    }

    #[test]
    fn an_unknown_key_is_an_error_at_its_line() {
        let error = load(&format!("{GOOD}polices: x\n")).unwrap_err();
        assert_eq!(error.position(), Some((14, 1)));
        assert!(error.to_string().contains("polices"), "{error}");
    }

    #[test]
    fn a_domain_without_a_certificate_is_an_error() {
        let error = load(&GOOD.replace("domains: [a.example]", "domains: [a.example, z.example]")).unwrap_err();
        assert!(error.to_string().contains("z.example"), "{error}");
    }

    #[test]
    fn a_domain_of_addresses_has_one_provider_and_may_be_asked_by_its_name_or_as_any() {
        let with = |addresses: &str| load(&format!("{GOOD}addresses: {{ {addresses} }}\n"));
        let addresses = with("providers: { mail.b.example: b.example }, probe: ['*', c.example]").unwrap().addresses;
        assert_eq!(addresses.providers.len(), 1);
        assert_eq!(addresses.probe, [Probed::Any, Probed::Domain(Domain::parse("c.example").unwrap())]);
        for (wrong, told) in [
            ("providers: { a.example: b.example }", "a.example"),
            ("probe: ['*.example']", "host"),
            ("probes: []", "probes"),
        ] {
            let error = with(wrong).unwrap_err();
            assert!(error.position().is_some() && error.to_string().contains(told), "{error}");
        }
        let door = "  directory: { bind: '127.0.0.1:8091', url: 'https://id.a.example', mail_domains: { m.example: a.example } }\n";
        let both = GOOD.replace("policies: policies\n", &format!("{door}policies: policies\n"));
        let error = load(&format!("{both}addresses: {{ providers: {{ m.example: b.example }} }}\n")).unwrap_err();
        assert!(error.to_string().contains("`a.example`, which is the provider of `m.example`"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_shown_where_it_stands() {
        let peers = "\
peers:
  # spki: 00
  - { domain: b.example, spki: 0000000000000000000000000000000000000000000000000000000000000000 }
  - domain: c.example
    spki: beef
";
        let position = |text: &str| load(text).unwrap_err().position();
        assert_eq!(position(&format!("{GOOD}{peers}")), Some((18, 11)));
        assert_eq!(position(&GOOD.replace("sqlite:portcullis.db", "mysql://x")), Some((2, 11)));
        assert_eq!(position(&GOOD.replace("https://a", "http://a")), Some((4, 46)));
        assert_eq!(position(&format!("{GOOD}telemetry: {{ log: 'info,=,' }}\n")), Some((14, 19)));
        assert_eq!(position(&format!("{GOOD}peers: [{{ domain: a.example }}]\n")), Some((14, 19)));
    }
}
