use std::collections::HashMap;
use std::future::ready;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use actix_web::http::header::HttpDate;
use actix_web::web::{Bytes, BytesMut};
use portcullis_core::identity::certificate::IdentityError;
use portcullis_core::wire::directory::{Directory, lifetime};
use portcullis_core::wire::uri::Domain;
use portcullis_store::standings::Standing;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, DATE, FROM, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Client, Response, Url, redirect};
use rustls::pki_types::ServerName;
use tokio::sync::Mutex;
use tracing::Instrument as _;
use uuid::Uuid;

use super::directory::{DIRECTORY_LIMIT_BYTES, DirectoryError, directory_url, url_of};
use super::tls::{Demand, TlsMaterial};
use super::{
    CONNECT_TIMEOUT, CertificateEnd, DIRECTORY_TIMEOUT, EXCHANGE_TIMEOUT, Endpoint, PeerAnswer, PeerError, PeerList,
    SetupError,
};
use crate::config::{self, Config};

/// All providers we federate with. Clones share connections and directories.
#[derive(Clone, Debug)]
pub struct Peers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tls: TlsMaterial,
    list: PeerList,
    /// The peers of the configuration, and those an operator has allowed since, once they were needed; each with what was known
    /// of it then.
    known: RwLock<HashMap<Domain, (config::Peer, Arc<Peer>)>>,
}

#[derive(Debug)]
struct Peer {
    directory_url: Url,
    /// Shows no certificate: the directory is open to all (reading D-18).
    reader: Client,
    /// One for each of our domains, showing its certificate.
    posters: HashMap<Domain, Client>,
    /// As `posters`, to servers that show a key or a certificate of the provider itself: what users say as they like goes to nobody
    /// else in our name, whatever the directory names.
    askers: HashMap<Domain, Client>,
    directory: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    held: Option<Held>,
    failed_at: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Held {
    directory: Arc<Directory>,
    fetched_at: Instant,
    lifetime: Duration,
}

impl Peers {
    /// Prepares a client for each pair of our domains and our peers; connects to nobody yet.
    ///
    /// # Errors
    ///
    /// [`SetupError`] when files or addresses cannot be used.
    pub fn new(config: &Config) -> Result<Self, SetupError> {
        Self::with(&TlsMaterial::load(&config.keys)?, &config.peers)
    }

    /// The same with keys that are loaded already.
    ///
    /// # Errors
    ///
    /// [`SetupError`] when keys or addresses cannot be used.
    pub fn with(tls: &TlsMaterial, peers: &[config::Peer]) -> Result<Self, SetupError> {
        let list = PeerList::new(peers.iter().cloned());
        let known = peers.iter().map(|peer| Ok((peer.domain.clone(), (peer.clone(), Arc::new(Peer::new(tls, peer)?)))));
        let known = RwLock::new(known.collect::<Result<_, SetupError>>()?);
        Ok(Self(Arc::new(Inner { tls: tls.clone(), list, known })))
    }

    /// Who federates with us.
    pub fn list(&self) -> &PeerList {
        &self.0.list
    }

    /// The client for a provider on the list. One that only an operator has allowed is found where its card says, or else where
    /// providers are found without a configuration: its directory is at its own name.
    fn peer(&self, domain: &Domain) -> Result<Arc<Peer>, PeerError> {
        let Inner { tls, list, known } = &*self.0;
        match list.standing(domain) {
            Some(Standing::Allowed | Standing::Suspended) => {}
            Some(Standing::Blocked) => return Err(PeerError::Blocked(domain.clone())),
            Some(Standing::Pending) | None => return Err(PeerError::UnknownPeer(domain.clone())),
        }
        let settings = list.known(domain).ok_or_else(|| PeerError::UnreadableCard(domain.clone()))?;
        let same = |held: &(config::Peer, Arc<Peer>)| (held.0 == settings).then(|| Arc::clone(&held.1));
        if let Some(peer) = known.read().unwrap_or_else(PoisonError::into_inner).get(domain).and_then(same) {
            return Ok(peer);
        }
        let made = Arc::new(Peer::new(tls, &settings).map_err(|error| PeerError::Unusable(Box::new(error)))?);
        let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(domain.clone(), (settings, Arc::clone(&made)));
        Ok(made)
    }

    /// When our own certificates end, and those that peers have shown last.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] for one of ours that does not decode.
    pub fn certificates(&self) -> Result<Vec<CertificateEnd>, IdentityError> {
        let mut ends = self.0.tls.ends()?;
        ends.extend(self.0.list.shown());
        Ok(ends)
    }

    /// Posts `body` to an endpoint of the provider `to`, in the name of `own`. Fetches the directory when none is
    /// held or it has expired, and once more when the provider answers 404 or 421 and the directory has changed
    /// (readings D-12 to D-18). Without an `idempotency_key` the request is one of its own.
    ///
    /// # Errors
    ///
    /// [`PeerError`]; whether trying again may help says [`PeerError::is_transient`].
    pub async fn post(
        &self,
        own: &Domain,
        to: &Domain,
        endpoint: Endpoint,
        body: Bytes,
        idempotency_key: Option<&str>,
    ) -> Result<PeerAnswer, PeerError> {
        let peer = self.peer(to)?;
        let poster = peer.posters.get(own).ok_or_else(|| PeerError::UnknownOwn(own.clone()))?;
        let idempotency_key = idempotency_key.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
        let exchange = Exchange { poster, own, endpoint: &endpoint, body, idempotency_key };
        let span =
            tracing::info_span!("peer.post", otel.kind = "client", peer = %to, endpoint = exchange.endpoint.key());
        let answered = tokio::time::timeout(EXCHANGE_TIMEOUT, peer.exchange(&exchange)).instrument(span);
        answered.await.map_err(|_| PeerError::TimedOut)?
    }
}

/// One request, the same on every attempt.
struct Exchange<'a> {
    poster: &'a Client,
    own: &'a Domain,
    endpoint: &'a Endpoint,
    body: Bytes,
    idempotency_key: String,
}

impl Exchange<'_> {
    async fn send(&self, url: Url) -> Result<PeerAnswer, PeerError> {
        let request = self
            .poster
            .post(url)
            .header(FROM, format!("mimi@{}", self.own))
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(ACCEPT, "*/*")
            .header(HeaderName::from_static("idempotency-key"), &self.idempotency_key)
            .body(self.body.clone());
        let response = request.send().await.map_err(PeerError::Unreachable)?;
        let status = response.status();
        if status.is_success() {
            let body = match self.endpoint.answer_limit_bytes() {
                0 => Bytes::new(),
                limit_bytes => {
                    let body = read(response, limit_bytes).await.map_err(PeerError::Unreachable)?;
                    body.ok_or(PeerError::Oversize { limit_bytes })?
                }
            };
            return Ok(PeerAnswer { status: status.as_u16(), body });
        }
        let transient = !status.is_client_error() || matches!(status.as_u16(), 408 | 425 | 429);
        let (status, retry_after) = (status.as_u16(), retry_after(response.headers()));
        Err(if transient { PeerError::Transient { status, retry_after } } else { PeerError::Permanent { status } })
    }
}

impl Peer {
    fn new(tls: &TlsMaterial, peer: &config::Peer) -> Result<Self, SetupError> {
        let text = peer.directory.clone().unwrap_or_else(|| directory_url(&peer.domain));
        let invalid = || SetupError::DirectoryUrl { domain: peer.domain.clone(), url: text.clone() };
        let directory_url = Url::parse(&text).ok().filter(|url| url.scheme() == "https").ok_or_else(invalid)?;
        let name = ServerName::try_from(peer.domain.as_str().to_owned()).map_err(|_| invalid())?;
        let reader = client(tls, None, Demand::AlsoValidFor(name.clone()), peer.connect)?;
        let showing = |unpinned: &Demand| {
            let demand = || match peer.spki.as_slice() {
                [] => unpinned.clone(),
                pins => Demand::Pinned(pins.to_vec()),
            };
            let clients = tls.domains().map(|own| Ok((own.clone(), client(tls, Some(own), demand(), peer.connect)?)));
            clients.collect::<Result<_, SetupError>>()
        };
        let (posters, askers) = (showing(&Demand::Nothing)?, showing(&Demand::AlsoValidFor(name))?);
        Ok(Self { directory_url, reader, posters, askers, directory: Mutex::default() })
    }

    async fn exchange(&self, exchange: &Exchange<'_>) -> Result<PeerAnswer, PeerError> {
        let held = self.directory(None).await?;
        let url = url_of(&held.directory, exchange.endpoint)?;
        let answer = exchange.send(url.clone()).await;
        match answer {
            Err(PeerError::Permanent { status: 404 | 421 }) => {
                let newer = url_of(&self.directory(Some(held.fetched_at)).await?.directory, exchange.endpoint)?;
                if newer == url { answer } else { exchange.send(newer).await }
            }
            answer => answer,
        }
    }

    /// The directory that is held, or a fresh one when that has expired or is not newer than `outdated`. Of many
    /// callers one fetches and the others wait for it.
    async fn directory(&self, outdated: Option<Instant>) -> Result<Held, DirectoryError> {
        let asked_at = Instant::now();
        let mut cache = self.directory.lock().await;
        if let Some(held) = &cache.held {
            let fresh = held.fetched_at.elapsed() < held.lifetime || held.fetched_at >= asked_at;
            if fresh && outdated.is_none_or(|outdated| held.fetched_at > outdated) {
                return Ok(held.clone());
            }
        }
        if cache.failed_at.is_some_and(|failed_at| failed_at >= asked_at) {
            return Err(DirectoryError::JustFailed);
        }
        match self.fetch().await {
            Ok((directory, lifetime)) => {
                let held = Held { directory: Arc::new(directory), fetched_at: Instant::now(), lifetime };
                *cache = Cache { held: Some(held.clone()), failed_at: None };
                Ok(held)
            }
            Err(error) => {
                cache.failed_at = Some(Instant::now());
                Err(error)
            }
        }
    }

    async fn fetch(&self) -> Result<(Directory, Duration), DirectoryError> {
        let request = self.reader.get(self.directory_url.clone()).timeout(DIRECTORY_TIMEOUT);
        let response = request.send().await.map_err(DirectoryError::Fetch)?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(DirectoryError::Status { status, retry_after: retry_after(response.headers()) });
        }
        let cache_control = response.headers().get(CACHE_CONTROL).and_then(|header| header.to_str().ok());
        let lifetime = lifetime(cache_control);
        let body = read(response, DIRECTORY_LIMIT_BYTES).await.map_err(DirectoryError::Fetch)?;
        let directory = Directory::parse(&body.ok_or(DirectoryError::Oversize)?).map_err(DirectoryError::Json)?;
        Ok((directory, lifetime))
    }
}

pub(super) fn client(
    tls: &TlsMaterial,
    own: Option<&Domain>,
    demand: Demand,
    connect: Option<SocketAddr>,
) -> Result<Client, SetupError> {
    let mut tls = tls.client_config(own, demand)?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(true)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(EXCHANGE_TIMEOUT);
    if let Some(address) = connect {
        builder = builder.dns_resolver(Arc::new(Fixed(address)));
    }
    builder.build().map_err(SetupError::Client)
}

/// Every name is at this address; the port of the URL wins where it has one.
#[derive(Debug)]
struct Fixed(SocketAddr);

impl Resolve for Fixed {
    fn resolve(&self, _name: Name) -> Resolving {
        let addresses: Addrs = Box::new(std::iter::once(self.0));
        Box::pin(ready(Ok(addresses)))
    }
}

/// The body, or `None` when it is longer than the limit; no more than that is ever held.
pub(crate) async fn read(mut response: Response, limit_bytes: usize) -> Result<Option<Bytes>, reqwest::Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit_bytes {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body.freeze()))
}

/// Without the address, in which that of a file may stand.
fn unreachable(error: reqwest::Error) -> PeerError {
    PeerError::Unreachable(error.without_url())
}

/// `Retry-After` in seconds, or as a date against the answer's own `Date`, so that clocks need not agree.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let date = |text: &str| text.parse::<HttpDate>().ok().map(SystemTime::from);
    let value = header(RETRY_AFTER)?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    date(value)?.duration_since(date(header(DATE)?)?).ok()
}

mod download;
mod oblivious;

#[cfg(test)]
mod tests;
