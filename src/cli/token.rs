//! `portcullis token`: tokens for development, signed with the key that `portcullis init` made.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use portcullis_core::wire::uri::UserUri;

use super::{Failure, output};
use crate::config::{Config, Listeners, ProviderListener};
use crate::http::token::{ACT, ADMIN_AUDIENCE, AUDIENCE, Grant, TokenKey};

/// File beside the JWKS that holds the private key for development tokens.
pub(super) const KEY_FILE: &str = "token.key";

/// Issue a development token for the provider or the admin door, and print it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The gateway's configuration
    #[arg(long, value_name = "FILE", default_value = "gateway.yaml")]
    config: PathBuf,

    /// The user the token is for, such as mimi://a.example/u/alice
    #[arg(long, value_name = "URI", required_unless_present_any = ["service", "admin"], conflicts_with_all = ["service", "admin"])]
    user: Option<UserUri>,

    /// Issue a service token instead: it may act for every user of the company, named in the header Portcullis-User
    #[arg(long, value_name = "NAME", conflicts_with = "admin")]
    service: Option<String>,

    /// Issue a token for the admin door instead, for the person of this name
    #[arg(long, value_name = "NAME", requires = "roles")]
    admin: Option<String>,

    /// What the person is, such as operator or auditor; more than one may be given
    #[arg(long = "role", value_name = "ROLE", requires = "admin", conflicts_with_all = ["user", "service"])]
    roles: Vec<String>,

    /// How long the token is good for, in minutes
    #[arg(long, value_name = "MINUTES", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    minutes: u32,

    /// The private key (PKCS#8 PEM) [default: token.key beside the JWKS file of the configuration]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
///
/// A configuration or key that is not valid, or a user of another company.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = Config::load(&args.config)?;
    if let Some(user) = args.user.as_ref().filter(|user| !config.domains.contains(&user.domain())) {
        return Err(Failure::usage(format!("`{user}` is not a user of a domain in `{}`", args.config.display())));
    }
    let Listeners { provider, admin, .. } = &config.listeners;
    let lifetime_seconds = u64::from(args.minutes) * 60;
    let (jwks, grant) = match (&args.user, &args.service, &args.admin) {
        (Some(user), ..) => (&provider.jwks, of_provider(provider, user.as_str(), "", lifetime_seconds)),
        (None, Some(service), _) => (&provider.jwks, of_provider(provider, service, ACT, lifetime_seconds)),
        (None, None, Some(name)) => {
            let admin = admin.as_ref().ok_or_else(|| Failure::usage("the configuration opens no admin door"))?;
            let grant = Grant {
                subject: name,
                audience: ADMIN_AUDIENCE,
                issuer: admin.issuer.as_deref(),
                scope: "",
                roles: Some((&admin.roles_claim, &args.roles)),
                lifetime_seconds,
            };
            (&admin.jwks, grant)
        }
        (None, None, None) => return Err(Failure::usage("name a `--user`, a `--service` or an `--admin`")),
    };
    let path = args.key.clone().unwrap_or_else(|| Path::new(jwks).with_file_name(KEY_FILE));
    output::line(issue(&path, &grant)?);
    Ok(())
}

fn of_provider<'a>(
    listener: &'a ProviderListener,
    subject: &'a str,
    scope: &'a str,
    lifetime_seconds: u64,
) -> Grant<'a> {
    let issuer = listener.issuer.as_deref();
    Grant { subject, audience: AUDIENCE, issuer, scope, roles: None, lifetime_seconds }
}

/// Signs a token with the key in a file.
///
/// # Errors
///
/// When the file cannot be read or holds no Ed25519 key.
pub(super) fn issue(key: &Path, grant: &Grant<'_>) -> anyhow::Result<String> {
    let pem = std::fs::read_to_string(key).with_context(|| format!("cannot read the key `{}`", key.display()))?;
    let key = TokenKey::from_pem(&pem).with_context(|| format!("no Ed25519 key (PKCS#8) in `{}`", key.display()))?;
    Ok(key.sign(grant)?)
}
