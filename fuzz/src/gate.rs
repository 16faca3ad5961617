//! A running gateway, and the keys that sign tokens for it.

use std::cell::RefCell;
use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::config::{Config, Source};
use portcullis::gateway::{Clock, Policy};
use portcullis::http::token::{ADMIN_AUDIENCE, AUDIENCE, Grant, TokenKey};
use portcullis::http::{AuthError, IDEMPOTENCY_KEY};
use portcullis::provider::{ACTING_USER, Tokens, User};
use portcullis::server::{Server, Sockets};
use portcullis_core::wire::uri::Domain;
use rcgen::{KeyPair, PKCS_ED25519, SigningKey as _};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// The user that requests speak for.
pub(super) const ALICE: &str = "mimi://a.example/u/alice";
/// Her device.
pub(super) const PHONE: &str = "mimi://a.example/d/alice/phone";

/// A configuration that is good but for the files it names.
pub(super) const CONFIG: &str = "\
domains: [a.example]
database: sqlite:portcullis.db
listeners:
  federation: { bind: '127.0.0.1:0', url: 'https://a.example:8443' }
  provider: { bind: '127.0.0.1:0', jwks: jwks.json }
  admin: { bind: '127.0.0.1:0', jwks: jwks.json }
policies: policies
keys:
  trust: a.crt
  tls: [{ domain: a.example, certificate: a.crt, key: a.key }]
  hub: hub.key
  log: log.key
  franking: franking.key
  sealing: [sealing.key]
limits:
  user: { per_minute: 1000000000, burst: 1000000000 }
";

/// Requests after which a gateway gives way to a new one, so that what they leave behind does not fill the disk.
const REQUESTS: u32 = 20_000;

/// Longest wait for an answer; only what hangs takes so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Signed for as long as any run of a target takes.
const LIFETIME_SECONDS: u64 = 30 * 24 * 3600;

type Mishap = Box<dyn Error>;

thread_local! {
    static GATE: RefCell<Gate> = RefCell::new(Gate::opened().unwrap_or_else(|error| panic!("no gateway: {error}")));
}

/// Which door with bearer tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// For the chat backend and its clients.
    Provider,
    /// For the company's people.
    Admin,
}

/// A request before it goes over the wire.
pub(super) struct Request<'a> {
    pub(super) door: Door,
    pub(super) method: &'a str,
    /// Path and query.
    pub(super) target: &'a str,
    /// `None` for a good one.
    pub(super) token: Option<&'a str>,
    pub(super) body: &'a [u8],
}

pub(super) struct Gate {
    runtime: Runtime,
    key: KeyPair,
    /// The `kid` of the key.
    kid: String,
    tokens: Tokens,
    user: String,
    person: String,
    doors: Option<Doors>,
    sent: u32,
    folder: TempDir,
}

/// Where the doors are, while they are open.
struct Doors {
    server: Server,
    provider: SocketAddr,
    admin: SocketAddr,
}

impl Gate {
    /// Gives a running gateway to `work`.
    pub(super) fn with<T>(work: impl FnOnce(&mut Self) -> T) -> T {
        GATE.with(|gate| work(&mut gate.borrow_mut()))
    }

    fn opened() -> Result<Self, Mishap> {
        let folder = TempDir::new()?;
        let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text);
        let of_domain = rcgen::generate_simple_self_signed(["a.example".to_owned()])?;
        write("a.crt", of_domain.cert.pem())?;
        write("a.key", of_domain.signing_key.serialize_pem())?;
        for name in ["hub.key", "franking.key", "log.key"] {
            write(name, KeyPair::generate_for(&PKCS_ED25519)?.serialize_pem())?;
        }
        // 32 octets of zero in base64.
        write("sealing.key", format!("{}=", "A".repeat(43)))?;
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let signer = TokenKey::from_pem(&key.serialize_pem())?;
        let jwks = serde_json::to_value(signer.jwks())?;
        write("jwks.json", jwks.to_string())?;
        let kid = jwks["keys"][0]["kid"].as_str().ok_or("no kid")?.to_owned();
        let auditor = ["auditor".to_owned()];
        let grant = Grant {
            subject: ALICE,
            audience: AUDIENCE,
            issuer: None,
            scope: "",
            roles: None,
            lifetime_seconds: LIFETIME_SECONDS,
        };
        let person =
            Grant { subject: "ops", audience: ADMIN_AUDIENCE, roles: Some(("roles", &auditor)), ..grant.clone() };
        let (user, person) = (signer.sign(&grant)?, signer.sign(&person)?);
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let tokens = runtime.block_on(tokens(&folder.path().join("jwks.json")))?;
        Ok(Self { runtime, key, kid, tokens, user, person, doors: None, sent: 0, folder })
    }

    /// A good token of Alice's.
    pub(super) fn token(&self) -> &str {
        &self.user
    }

    /// Signs a header and claims, whatever they say.
    pub(super) fn signed(&self, header: &[u8], claims: &[u8]) -> String {
        let said = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let Ok(signature) = self.key.sign(said.as_bytes()) else { panic!("the key does not sign") };
        format!("{said}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The header of our tokens.
    pub(super) fn header(&self) -> String {
        format!(r#"{{"alg":"EdDSA","kid":"{}"}}"#, self.kid)
    }

    /// Whom a token speaks for at the provider door.
    pub(super) fn user(&self, token: &[u8], acting: &[u8]) -> Result<User, AuthError> {
        self.runtime.block_on(self.tokens.user(&headers(token, acting).ok_or(AuthError::Missing)?))
    }

    /// Has a token checked by a key set that signed nothing of it. Says whether a gateway would start with the set.
    pub(super) fn by_key_set(&self, key_set: &[u8], token: &str) -> Result<bool, Mishap> {
        let file = self.folder.path().join("other.json");
        std::fs::write(&file, key_set)?;
        let headers = headers(token.as_bytes(), &[]).ok_or("a token is no header")?;
        Ok(self.runtime.block_on(async {
            let Ok(tokens) = tokens(&file).await else { return false };
            assert!(tokens.user(&headers).await.is_err(), "a token was signed by nobody");
            true
        }))
    }

    /// Sends a request to a door and gives the status of the answer.
    pub(super) fn send(&mut self, request: &Request<'_>) -> u16 {
        self.sent += 1;
        let key = self.sent;
        let doors = self.doors().unwrap_or_else(|error| panic!("no gateway: {error}"));
        let address = match request.door {
            Door::Provider => doors.provider,
            Door::Admin => doors.admin,
        };
        let token = request.token.unwrap_or(match request.door {
            Door::Provider => &self.user,
            Door::Admin => &self.person,
        });
        let Request { method, target, body, .. } = request;
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             {IDEMPOTENCY_KEY}: {key}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        match exchange(address, &[head.as_bytes(), body].concat()) {
            Ok(status) => status,
            Err(error) => panic!("`{method} {target}` has no answer: {error}"),
        }
    }

    /// The open doors.
    fn doors(&mut self) -> Result<&Doors, Mishap> {
        if self.sent.is_multiple_of(REQUESTS)
            && let Some(doors) = self.doors.take()
        {
            self.runtime.block_on(doors.server.drain());
        }
        if self.doors.is_none() {
            for database in ["portcullis.db", "portcullis.db-wal", "portcullis.db-shm"] {
                let _ = std::fs::remove_file(self.folder.path().join(database));
            }
            let config = CONFIG.replace("policies: policies", &format!("policies: {}", policies()?.display()));
            let config = Config::parse(&Source::new(self.folder.path().join("gateway.yaml"), config))?;
            let policy = Policy::open(&config.policies)?;
            let server =
                self.runtime.block_on(Server::start(&config, policy, Sockets::bind(&config)?, Clock::default()))?;
            let (provider, admin) = (server.provider(), server.admin().ok_or("no admin door")?);
            for target in [format!("/v1/users/{}", escaped(ALICE)), format!("/v1/devices/{}", escaped(PHONE))] {
                let head = format!("PUT {target} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\r\n", self.user);
                let status = exchange(provider, head.as_bytes())?;
                assert!(status == 204, "{target}: {status}");
            }
            self.doors = Some(Doors { server, provider, admin });
        }
        Ok(self.doors.as_ref().ok_or("no doors")?)
    }
}

async fn tokens(key_set: &Path) -> Result<Tokens, Mishap> {
    Ok(Tokens::open(&key_set.display().to_string(), None, vec![Domain::parse("a.example")?]).await?)
}

fn headers(token: &[u8], acting: &[u8]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_bytes(&[b"Bearer ", token].concat()).ok()?);
    if !acting.is_empty() {
        let name = HeaderName::from_bytes(ACTING_USER.as_bytes()).ok()?;
        headers.insert(name, HeaderValue::from_bytes(acting).ok()?);
    }
    Some(headers)
}

/// Sends bytes and reads the status of the answer; streams of events have no end, so nothing more is read.
fn exchange(address: SocketAddr, bytes: &[u8]) -> std::io::Result<u16> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.write_all(bytes)?;
    let mut status = [0; 12];
    connection.read_exact(&mut status)?;
    let status = std::str::from_utf8(&status).ok().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.parse().ok());
    status.ok_or_else(|| std::io::Error::other("the answer is no HTTP"))
}

/// Every byte that may not stand in a segment of a path, percent-encoded.
pub(super) fn escaped(text: &str) -> String {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
    text.bytes().map(|byte| if kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The shipped bundle. This file belongs to two packages, and one of them is in a folder of the other.
fn policies() -> Result<PathBuf, Mishap> {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut policies = folders.map(|folder| folder.join("policies"));
    Ok(policies.find(|policies| policies.is_dir()).ok_or("no policies")?)
}
