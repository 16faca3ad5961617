//! A running gateway, and the keys that sign tokens for it.

use std::cell::RefCell;
use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::config::{Config, Source};
use portcullis::gateway::{Clock, Policy};
use portcullis::http::token::{ADMIN_AUDIENCE, AUDIENCE, Grant, TokenKey};
use portcullis::http::{AuthError, IDEMPOTENCY_KEY};
use portcullis::provider::{self, ACTING_USER, Tokens, User};
use portcullis::server::{Server, Sockets};
use portcullis_core::wire::uri::{ClientUri, Domain};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, PKCS_ED25519,
    SigningKey as _,
};
use reqwest::{Certificate, Client, Identity, Url};
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
peers: [{ domain: b.example, connect: '127.0.0.1:9' }, { domain: c.example, connect: '127.0.0.1:9' }]
keys:
  trust: ca.crt
  tls: [{ domain: a.example, certificate: a.crt, key: a.key }]
  hub: hub.key
  log: log.key
  franking: franking.key
  sealing: [sealing.key]
limits:
  user: { per_minute: 1000000000, burst: 1000000000 }
  operator: { per_minute: 1000000000, burst: 1000000000 }
  peer: { per_minute: 1000000000, burst: 1000000000 }
  claims: { per_minute: 1000000000, burst: 1000000000 }
  claims_by_provider: { per_minute: 1000000000, burst: 1000000000 }
  consents: { per_minute: 1000000000, burst: 1000000000 }
  reports: { per_minute: 1000000000, burst: 1000000000 }
  searches: { per_minute: 1000000000, burst: 1000000000 }
  downloads: { per_minute: 1000000000, burst: 1000000000 }
";

/// Every role that people may have, so that requests get as far as they can.
const ROLES: [&str; 6] = ["admin", "operator", "compliance", "moderator", "auditor", "viewer"];

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
    /// Lines of the head, each with its end.
    pub(super) headers: &'a [u8],
    pub(super) body: &'a [u8],
}

impl<'a> Request<'a> {
    /// A request with a good token and nothing else.
    pub(super) fn of(door: Door, method: &'a str, target: &'a str) -> Self {
        Self { door, method, target, token: None, headers: &[], body: &[] }
    }
}

/// A request of another provider; what is empty is as it should be.
#[derive(Default)]
pub(super) struct Call<'a> {
    pub(super) path: &'a str,
    pub(super) from: &'a [u8],
    pub(super) host: &'a [u8],
    /// The `Idempotency-Key`.
    pub(super) key: &'a [u8],
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
    /// The certificate of the authority, and that of c.example with its key.
    authority: String,
    of_peer: String,
    doors: Option<Doors>,
    sent: u32,
    folder: TempDir,
}

/// Where the doors are, while they are open.
struct Doors {
    server: Server,
    provider: SocketAddr,
    admin: SocketAddr,
    /// Speaks for c.example, whose business is not what people at the admin door meddle with here.
    peer: Client,
}

impl Gate {
    /// Gives a running gateway to `work`.
    pub(super) fn with<T>(work: impl FnOnce(&mut Self) -> T) -> T {
        GATE.with(|gate| work(&mut gate.borrow_mut()))
    }

    fn opened() -> Result<Self, Mishap> {
        let folder = TempDir::new()?;
        let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text);
        let (authority, [ours, of_peer]) = certificates(["a.example", "c.example"])?;
        write("ca.crt", authority.clone())?;
        write("a.crt", ours.0)?;
        write("a.key", ours.1)?;
        let of_peer = format!("{}{}", of_peer.0, of_peer.1);
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
        let roles = ROLES.map(str::to_owned);
        let grant = Grant {
            subject: ALICE,
            audience: AUDIENCE,
            issuer: None,
            scope: "",
            roles: None,
            lifetime_seconds: LIFETIME_SECONDS,
        };
        let person =
            Grant { subject: "ops", audience: ADMIN_AUDIENCE, roles: Some(("roles", &roles)), ..grant.clone() };
        let (user, person) = (signer.sign(&grant)?, signer.sign(&person)?);
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let tokens = runtime.block_on(tokens(&folder.path().join("jwks.json")))?;
        Ok(Self { runtime, key, kid, tokens, user, person, authority, of_peer, doors: None, sent: 0, folder })
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
        let Request { method, target, headers, body, .. } = request;
        let named = headers.split(|byte| *byte == b':').any(|name| name.ends_with(IDEMPOTENCY_KEY.as_bytes()));
        let key = if named { String::new() } else { format!("{IDEMPOTENCY_KEY}: {key}\r\n") };
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             {key}content-length: {}\r\nconnection: close\r\n",
            body.len()
        );
        let status = match exchange(address, &[head.as_bytes(), headers, b"\r\n", body].concat()) {
            Ok(status) => status,
            Err(error) => panic!("`{method} {target}` has no answer: {error}"),
        };
        if *method == "DELETE" && status < 300 {
            // A device that was deleted does not come back, and need not for requests to be understood.
            let _ = register(address, token).unwrap_or_else(|error| panic!("no answer: {error}"));
        }
        status
    }

    /// Calls the federation door as c.example. Gives status and body of the answer; `None` for what is no request.
    pub(super) fn call(&mut self, call: &Call<'_>) -> Option<(u16, Vec<u8>)> {
        let (from, host) = (or(call.from, b"mimi@c.example"), or(call.host, b"a.example"));
        self.sent += 1;
        let doors = self.doors().unwrap_or_else(|error| panic!("no gateway: {error}"));
        let url = format!("https://a.example:{}{}", doors.server.federation().port(), call.path);
        let mut request = doors.peer.post(Url::parse(&url).ok()?).body(call.body.to_vec());
        request = request.header("from", from);
        request = request.header("host", host);
        if !call.key.is_empty() {
            request = request.header("idempotency-key", call.key);
        }
        let request = request.build().ok()?;
        let client = doors.peer.clone();
        let answer = self.runtime.block_on(async {
            let answer = client.execute(request).await?;
            let status = answer.status().as_u16();
            Ok::<_, reqwest::Error>((status, answer.bytes().await?.to_vec()))
        });
        Some(answer.unwrap_or_else(|error| panic!("`{}` has no answer: {error:?}", call.path)))
    }

    /// What a client makes of a stream of events that a door answers with these bytes: how many, until it is refused or ends.
    pub(super) fn stream(&self, bytes: &[u8]) -> Result<usize, Mishap> {
        let door = TcpListener::bind("127.0.0.1:0")?;
        let origin = format!("http://{}", door.local_addr()?);
        let (client, device) = (provider::client::Client::new(&origin, "token")?, ClientUri::parse(PHONE)?);
        // The last event ends every stream.
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        let answer = [head, bytes, b"\n\nevent: superseded\ndata: {}\n\n"].concat();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let Ok((mut connection, _)) = door.accept() else { return };
                let mut asked = [0; 4096];
                // Whoever has read enough hangs up.
                let _ = connection.read(&mut asked).and_then(|_| connection.write_all(&answer));
            });
            let mut events = client.events(&device, 0);
            Ok(self.runtime.block_on(async {
                let mut count = 0;
                while let Ok(event) = events.next().await {
                    assert_eq!(event.position, events.position());
                    count += 1;
                }
                count
            }))
        })
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
            if !register(provider, &self.user)? {
                return Err("nobody can be registered".into());
            }
            let peer = Client::builder()
                .http1_only()
                .no_proxy()
                .timeout(PATIENCE)
                .tls_certs_only([Certificate::from_pem(self.authority.as_bytes())?])
                .identity(Identity::from_pem(self.of_peer.as_bytes())?)
                .resolve("a.example", server.federation())
                .build()?;
            self.doors = Some(Doors { server, provider, admin, peer });
        }
        Ok(self.doors.as_ref().ok_or("no doors")?)
    }
}

/// Registers Alice and her device, and says whether that was allowed.
fn register(provider: SocketAddr, token: &str) -> std::io::Result<bool> {
    let mut registered = true;
    for target in [format!("/v1/users/{}", escaped(ALICE)), format!("/v1/devices/{}", escaped(PHONE))] {
        let head = format!("PUT {target} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n");
        registered &= exchange(provider, head.as_bytes())? == 204;
    }
    Ok(registered)
}

/// The certificate of an authority, and for each domain a certificate that it gave, with its key.
fn certificates<const N: usize>(domains: [&str; N]) -> Result<(String, [(String, String); N]), Mishap> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "authority");
    let authority = params.self_signed(&key)?.pem();
    let issuer = Issuer::new(params, key);
    let mut issued = domains.map(|_| (String::new(), String::new()));
    for (issued, domain) in issued.iter_mut().zip(domains) {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([domain.to_owned()])?.signed_by(&key, &issuer)?;
        *issued = (certificate.pem(), key.serialize_pem());
    }
    Ok((authority, issued))
}

fn or<'a>(bytes: &'a [u8], usual: &'a [u8]) -> &'a [u8] {
    if bytes.is_empty() { usual } else { bytes }
}

async fn tokens(key_set: &Path) -> Result<Tokens, Mishap> {
    let tokens = Tokens::open(&key_set.display().to_string(), None, vec![Domain::parse("a.example")?]).await?;
    Ok(tokens.keeping(["acr", "devices", "groups"].map(str::to_owned).to_vec()))
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
pub(super) fn policies() -> Result<PathBuf, Mishap> {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut policies = folders.map(|folder| folder.join("policies"));
    Ok(policies.find(|policies| policies.is_dir()).ok_or("no policies")?)
}
