//! `portcullis init`: everything one gateway needs to start, for a lab or as a start to edit.

mod authority;
mod template;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context as _;
use portcullis_core::wire::uri::Domain;
use rcgen::{KeyPair, PKCS_ED25519};

use super::keys::sealing_key;
use super::token::KEY_FILE;
use super::{Failure, output};
use crate::provider::token::TokenKey;
use authority::Authority;

/// The shipped policy bundle: path inside the bundle and content.
pub(super) const BUNDLE: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/bundle.rs"));

/// Write a configuration, a development CA and a policy bundle into a folder. Nothing that exists is overwritten.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The folder; made when it does not exist
    #[arg(value_name = "DIR")]
    pub(super) dir: PathBuf,

    /// Provider domain of the company; more than one may be given, the first is the default
    #[arg(long = "domain", value_name = "DOMAIN", default_value = "a.example", value_parser = domain)]
    pub(super) domains: Vec<Domain>,

    /// Folder of the development CA, so that several gateways trust each other; made when it does not exist
    /// [default: DIR/keys]
    #[arg(long, value_name = "DIR")]
    pub(super) ca: Option<PathBuf>,

    /// Where the federation door listens
    #[arg(long, value_name = "ADDRESS", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)))]
    pub(super) federation: SocketAddr,

    /// Where the provider door listens
    #[arg(long, value_name = "ADDRESS", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)))]
    pub(super) provider: SocketAddr,

    /// Where the admin door listens
    #[arg(long, value_name = "ADDRESS", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 8090)))]
    pub(super) admin: SocketAddr,

    /// Another provider, and where its federation door is in the lab
    #[arg(long = "peer", value_name = "DOMAIN=ADDRESS")]
    pub(super) peers: Vec<LabPeer>,
}

/// Another provider of a lab, at an address that DNS does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LabPeer {
    /// Its provider domain.
    pub(super) domain: Domain,
    /// Where its federation door listens.
    pub(super) address: SocketAddr,
}

impl FromStr for LabPeer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, address) =
            text.split_once('=').ok_or("expected DOMAIN=ADDRESS, such as b.example=127.0.0.1:8444")?;
        let address = address.parse().map_err(|_| format!("`{address}` is no address such as 127.0.0.1:8444"))?;
        Ok(Self { domain: domain(name)?, address })
    }
}

fn domain(text: &str) -> Result<Domain, String> {
    Domain::parse(text).map_err(|error| error.to_string())
}

/// Runs the command.
///
/// # Errors
///
/// When something of it exists already, or a file cannot be written.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let written = init(args)?;
    let config = args.dir.join("gateway.yaml");
    output::line(format!("{written} files in {}", args.dir.display()));
    output::line(format!("next: portcullis serve --config {}", config.display()));
    Ok(())
}

/// Writes the files and gives their number.
///
/// # Errors
///
/// As [`run`]. Names are checked first, so that a refusal writes nothing.
pub(super) fn init(args: &Args) -> Result<usize, Failure> {
    let files = plan(args)?;
    if let Some(file) = files.iter().find(|file| file.path.exists()) {
        let path = file.path.display();
        return Err(Failure::failed(format!("`{path}` exists, and nothing is overwritten; name another folder")));
    }
    for file in &files {
        file.write().with_context(|| format!("cannot write `{}`", file.path.display()))?;
    }
    Ok(files.len())
}

/// A file to be made.
struct File {
    path: PathBuf,
    content: Vec<u8>,
    /// Private keys are for their owner only.
    private: bool,
}

impl File {
    fn public(path: PathBuf, content: impl Into<Vec<u8>>) -> Self {
        Self { path, content: content.into(), private: false }
    }

    fn private(path: PathBuf, content: impl Into<Vec<u8>>) -> Self {
        Self { path, content: content.into(), private: true }
    }

    fn write(&self) -> std::io::Result<()> {
        use std::io::Write as _;
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, if self.private { 0o600 } else { 0o644 });
        options.open(&self.path)?.write_all(&self.content)
    }
}

/// All files, made in memory.
fn plan(args: &Args) -> anyhow::Result<Vec<File>> {
    let keys = args.dir.join("keys");
    let mut files = vec![File::public(args.dir.join("gateway.yaml"), template::config(args))];
    let authority = match &args.ca {
        Some(folder) if Authority::exists(folder) => Authority::read(folder)?,
        Some(folder) => made(Authority::make()?, folder, &mut files),
        None => made(Authority::make()?, &keys, &mut files),
    };
    if args.ca.is_some() {
        files.push(File::public(keys.join(authority::CERTIFICATE), authority.certificate()));
    }
    for domain in &args.domains {
        let identity = authority.issue(domain)?;
        files.push(File::public(keys.join(format!("{domain}.pem")), identity.certificate));
        files.push(File::private(keys.join(format!("{domain}.key")), identity.key));
    }
    for name in ["hub.key", "franking.key", "log.key"] {
        files.push(File::private(keys.join(name), KeyPair::generate_for(&PKCS_ED25519)?.serialize_pem()));
    }
    files.push(File::private(keys.join("sealing.key"), sealing_key()?));
    let token = KeyPair::generate_for(&PKCS_ED25519)?.serialize_pem();
    let jwks = serde_json::to_string_pretty(&TokenKey::from_pem(&token)?.jwks())?;
    files.push(File::public(keys.join("jwks.json"), jwks));
    files.push(File::private(keys.join(KEY_FILE), token));
    let policies = args.dir.join("policies");
    files.extend(BUNDLE.iter().map(|(path, content)| File::public(policies.join(path), *content)));
    Ok(files)
}

fn made(authority: Authority, folder: &Path, files: &mut Vec<File>) -> Authority {
    files.push(File::public(folder.join(authority::CERTIFICATE), authority.certificate()));
    files.push(File::private(folder.join(authority::KEY), authority.key()));
    authority
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn args(dir: &Path, domain: &str) -> Args {
        Args {
            dir: dir.join(domain),
            domains: vec![Domain::parse(domain).unwrap()],
            ca: Some(dir.join("ca")),
            federation: "127.0.0.1:18443".parse().unwrap(),
            provider: "127.0.0.1:18080".parse().unwrap(),
            admin: "127.0.0.1:18090".parse().unwrap(),
            peers: vec!["z.example=127.0.0.1:18444".parse().unwrap()],
        }
    }

    #[test]
    fn what_it_writes_is_a_configuration_whose_files_exist() {
        let dir = tempfile::tempdir().unwrap();
        let args = args(dir.path(), "a.example");
        init(&args).unwrap();
        let config = Config::load(&args.dir.join("gateway.yaml")).unwrap();
        assert_eq!(config.domains, args.domains);
        assert_eq!(config.peers[0].connect, Some(args.peers[0].address));
        let keys = &config.keys;
        for file in [
            &keys.trust,
            &keys.hub,
            &keys.franking,
            &keys.log,
            &keys.sealing[0],
            &keys.tls[0].certificate,
            &keys.tls[0].key,
        ] {
            assert!(file.is_file(), "{}", file.display());
        }
        assert!(Path::new(&config.listeners.provider.jwks).is_file());
        let admin = config.listeners.admin.unwrap();
        assert_eq!(admin.bind, args.admin);
        assert!(Path::new(&admin.jwks).is_file());
    }

    #[test]
    fn nothing_is_overwritten_and_a_refusal_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let args = args(dir.path(), "a.example");
        std::fs::create_dir_all(args.dir.join("keys")).unwrap();
        std::fs::write(args.dir.join("keys/hub.key"), "mine").unwrap();
        assert!(init(&args).is_err());
        assert_eq!(std::fs::read_to_string(args.dir.join("keys/hub.key")).unwrap(), "mine");
        assert!(!args.dir.join("gateway.yaml").exists());
    }

    #[test]
    fn gateways_under_one_ca_trust_each_other() {
        let dir = tempfile::tempdir().unwrap();
        for domain in ["a.example", "b.example"] {
            init(&args(dir.path(), domain)).unwrap();
        }
        let trust = |domain: &str| std::fs::read(dir.path().join(domain).join("keys/ca.pem")).unwrap();
        assert_eq!(trust("a.example"), trust("b.example"));
        authority::tests::assert_chain(
            &trust("a.example"),
            &dir.path().join("b.example/keys/b.example.pem"),
            "b.example",
        );
    }
}
