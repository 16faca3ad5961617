//! The commented `gateway.yaml`.

use std::fmt::Write as _;

use portcullis_core::wire::uri::Domain;

use super::{Args, LabPeer};

/// Path of the directory on every federation door.
const DIRECTORY: &str = "/.well-known/mimi-protocol-directory";

pub(super) fn config(args: &Args) -> String {
    let first = args.domains.first().map(Domain::as_str).unwrap_or_default();
    let list = args.domains.iter().map(Domain::as_str).collect::<Vec<_>>().join(", ");
    let tls: String = args.domains.iter().map(identity).collect();
    let peers = peers(&args.peers);
    let (federation, provider, admin, port) = (args.federation, args.provider, args.admin, args.federation.port());
    format!(
        "\
# Configuration of one Portcullis gateway. Paths are relative to this file; unknown keys are errors.
# Start it with: portcullis serve --config gateway.yaml

# The company's provider domains. The first is the default.
domains: [{list}]

# Further authorities under which the federation door is reached, besides the domains and the url below.
# hosts: [mimi.{first}]

# Where everything is kept: an SQLite file, or postgres://user@host/database for more than one replica.
database: sqlite:portcullis.db

listeners:
  # For other providers: MIMI over mutual TLS.
  federation:
    bind: '{federation}'
    # The origin under which other providers reach it.
    url: 'https://{first}:{port}'
  # For the chat backend and its clients: HTTP with bearer tokens. Its API is described at /v1/openapi.json.
  # Put it behind the company's own TLS when it is to leave this host.
  provider:
    bind: '{provider}'
    # Keys that sign the tokens: a JWKS file, or the URL of your identity provider's key set.
    # `portcullis token` issues tokens for development with the key beside this file.
    jwks: keys/jwks.json
    # The `iss` that tokens must have, when set.
    # issuer: https://id.{first}
  # For the company's people: HTTP with bearer tokens whose `aud` is `portcullis-admin`. Without this section the door
  # stays closed. Its API is described at /v1/openapi.json.
  admin:
    bind: '{admin}'
    # In production the key set of the identity provider of your people, not that of the chat backend.
    jwks: keys/jwks.json
    # issuer: https://id.{first}
    # The claim that holds a person's roles; policies/platform/admin.cedar says what each may do.
    # roles_claim: roles
  # For the company's identity provider: SCIM 2.0 with tokens that `portcullis directory token create` makes. Without this
  # section the door stays closed.
  # directory:
  #   bind: '127.0.0.1:8091'
  #   # The origin that the identity provider uses.
  #   url: https://id.{first}
  #   # What may stand behind the @ of user names beside the domains, and which domain that is.
  #   mail_domains: {{ mail.{first}: {first} }}

{peers}
# The policy bundle: Cedar policies, room templates and settings.
policies: policies

keys:
  # Certificates that sign the other providers' certificates.
  trust: keys/ca.pem
  # One certificate and key for each domain, used as server and as client.
  tls:
{tls}  # Ed25519 key of the hub: it removes members as an external sender, and signs groupInfo answers.
  hub: keys/hub.key
  # Ed25519 key of the franking agent.
  franking: keys/franking.key
  # Ed25519 key that signs the checkpoints of the audit log; `portcullis audit checkpoint` shows its public half.
  log: keys/log.key
  # Keys that seal what must not be read in a copy of the database: the keys by which reports of abuse are proven, and
  # what is reported. The first seals, all open; each file holds 32 octets in base64 (openssl rand -base64 32).
  # Without them reports cannot be read or proven any more: keep them where the database is not.
  sealing: [keys/sealing.key]
  # How many days the hub franks messages with one key, and how many it keeps that afterwards: what is older cannot be
  # reported. These are the defaults.
  # hub_key_days: 90
  # hub_key_kept_days: 730

# Which provider has the addresses of a mail domain that is not its own name, and which other domains may be asked at their own name
# ('*' for any); none unless set.
# addresses:
#   providers: {{ mail.b.example: b.example }}
#   probe: [c.example]

# What is downloaded for users and other providers, from hosts that peers and rooms name. These are the defaults.
# assets:
#   largest_mib: 100
#   seconds: 30
#   at_once: 64
#   cache_mib: 64
#   hosts_of_rooms: true

# How long a decided report of abuse is kept, and what was only for devices that are deleted. These are the defaults.
# retention:
#   closed_reports_days: 365
#   unsent_days: 30

# Traces, metrics and the export of the audit log go to an OTLP/HTTP collector.
# telemetry:
#   otlp: http://127.0.0.1:4318
#   # Sent to the collector; each value is read from a file or from a variable of the environment.
#   headers: {{ authorization: {{ file: keys/collector.token }} }}
#   log: info,portcullis=debug

# How much is taken from one party in a time, by each process; beyond it a request gets 429. These are the defaults.
# limits:
#   # Requests of one peer at the federation door.
#   peer: {{ per_minute: 60000, burst: 5000 }}
#   # Requests for one user at the provider door.
#   user: {{ per_minute: 3000, burst: 500 }}
#   # Requests of one person at the admin door.
#   operator: {{ per_minute: 3000, burst: 500 }}
#   # Claims of one user's key packages by one requester.
#   claims: {{ per_minute: 10, burst: 20 }}
#   # Claims of one user's key packages by everybody that one provider speaks for.
#   claims_by_provider: {{ per_minute: 30, burst: 60 }}
#   # Reports of abuse by one user, or by one provider for users who do not want to be named; and how many messages that
#   # cannot be proven are taken of one of them in a day.
#   reports: {{ per_minute: 10, burst: 20 }}
#   unproven_per_day: 100
#   # Steps of one user towards the consent of others, or to give its own.
#   consents: {{ per_minute: 20, burst: 40 }}
#   # Queries for users by one user of ours, or by one provider.
#   searches: {{ per_minute: 60, burst: 60 }}
#   # Downloads by one user of ours, or by one provider.
#   downloads: {{ per_minute: 600, burst: 300 }}
#   # How long a caller may take over its TLS handshake and over the head of a request, and over its body.
#   head_seconds: 10
#   body_seconds: 60
"
    )
}

fn identity(domain: &Domain) -> String {
    format!("    - domain: {domain}\n      certificate: keys/{domain}.pem\n      key: keys/{domain}.key\n")
}

fn peers(peers: &[LabPeer]) -> String {
    let mut text = String::from(
        "# The providers this gateway federates with; all others are refused. `directory` is found by the domain when not\n\
         # set, `connect` stands above DNS, `spki` pins the SHA-256 of the certificate's public key, or of\n\
         # several while one takes the place of another; `limit` stands above `limits.peer`; `contacts` are for people, and `asset_hosts`\n\
         # are where its users keep files.\n",
    );
    if peers.is_empty() {
        text.push_str("# peers:\n#   - domain: b.example\n");
        return text;
    }
    text.push_str("peers:\n");
    for LabPeer { domain, address } in peers {
        let port = address.port();
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "  - domain: {domain}\n    directory: 'https://{domain}:{port}{DIRECTORY}'\n    connect: '{address}'\n"
        );
    }
    text
}
