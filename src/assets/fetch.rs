//! One download: from the server, or from memory.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use http_cache_semantics::{AfterResponse, BeforeRequest, CachePolicy};
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::Domain;
use reqwest::{Certificate, Client, redirect};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::address::Resolver;
use super::cache::{Cache, Kept, Key, policy, read_by_rules};
use super::{Answered, AssetUrl, Place, Places};
use crate::config;
use crate::peer::{causes, retry_after};

/// How long a connection may take to come up, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Pieces of a file that are read ahead of who downloads it.
const AHEAD: usize = 4;
/// Largest file that is given whole, in bytes: what is sealed is in memory as a whole.
pub const WHOLE_BYTES: usize = 8 << 20;
/// Which part of all places one caller may have.
const SHARE_OF_ONE: usize = 4;
/// Which part of all places downloads may have that are in memory as a whole, sealed and unsealed; half of those one caller.
const SHARE_OF_OBLIVIOUS: usize = 8;
/// What of an answer is passed on: what describes the file, and how long it may be kept.
pub(super) const PASSED_ON: [&str; 11] = [
    "accept-ranges",
    "age",
    "cache-control",
    "content-encoding",
    "content-language",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expires",
    "last-modified",
];

/// Why there is no download.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// As many run as may.
    #[error("as many downloads run as may")]
    Busy,
    /// The server cannot be reached: it has no name or no address that may be connected to, or TLS fails.
    #[error("server cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// The certificates that hosts are held against cannot be used.
    #[error("certificates of hosts cannot be checked")]
    NoTrust,
    /// It took too long.
    #[error("download took too long")]
    TimedOut,
    /// There is nothing for us there.
    #[error("server answered with status {0}")]
    Missing(u16),
    /// The server wants to be asked later.
    #[error("server asks to come again")]
    Later(Option<Duration>),
    /// The server fails, or answers with what is no answer to a download.
    #[error("server answered with status {0}")]
    Failed(u16),
    /// Longer than any download may be.
    #[error("download is larger than allowed")]
    Oversize,
    /// The download broke off.
    #[error("download broke off")]
    BrokenOff,
}

/// What of a file is asked for (RFC 9110, sections 13 and 14), in the words of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// `Range`.
    pub range: Option<String>,
    /// `If-Range`.
    pub if_range: Option<String>,
    /// `If-None-Match`.
    pub if_none_match: Option<String>,
    /// `If-Modified-Since`.
    pub if_modified_since: Option<String>,
}

/// What has come of a request.
#[derive(Debug)]
pub enum Fetched {
    /// The file.
    Download(Download),
    /// The file is said to be elsewhere.
    Elsewhere(AssetUrl),
}

/// A file on its way.
#[derive(Debug)]
pub struct Download {
    /// 200, 206, 304 or 416.
    pub status: u16,
    /// What describes it.
    pub headers: Vec<(&'static str, String)>,
    /// The bytes.
    pub body: Body,
    /// To be held until the bytes are gone to who asked for them.
    pub place: Option<Arc<Place>>,
}

/// The bytes of a download.
pub enum Body {
    /// None.
    Empty,
    /// All of them.
    Whole(Bytes),
    /// As they come: no more is read from the server than was taken here, but for a few pieces.
    Flow {
        /// How many there will be, where the server says so.
        length: Option<u64>,
        /// Ends with an error unless everything came.
        pieces: Pieces,
    },
}

/// Bytes as they come.
type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, FetchError>> + Send>>;

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Whole(bytes) => write!(f, "Whole({})", bytes.len()),
            Self::Flow { length, .. } => write!(f, "Flow({length:?})"),
        }
    }
}

/// Fetches files, and keeps them for who asks for the same.
#[derive(Debug)]
pub struct Fetcher {
    /// None where there are no certificates to hold hosts against.
    client: Option<Client>,
    own_hosts: Vec<String>,
    places: Arc<Places>,
    /// Places of oblivious requests, here and by way of here.
    pub(crate) oblivious: Arc<Places>,
    cache: Arc<Cache>,
    /// Oblivious requests that have been answered.
    pub(crate) answered: Answered,
    largest_bytes: u64,
    longest: Duration,
}

impl Asked {
    /// Reads the headers of a request.
    pub fn read<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Self {
        let read = |name: HeaderName| header(name.as_str()).map(str::to_owned);
        Self {
            range: read(header::RANGE),
            if_range: read(header::IF_RANGE),
            if_none_match: read(header::IF_NONE_MATCH),
            if_modified_since: read(header::IF_MODIFIED_SINCE),
        }
    }

    /// The headers of a request that asks the same: no others go along, and no credentials.
    fn headers(&self) -> HeaderMap {
        let all = [
            (header::RANGE, &self.range),
            (header::IF_RANGE, &self.if_range),
            (header::IF_NONE_MATCH, &self.if_none_match),
            (header::IF_MODIFIED_SINCE, &self.if_modified_since),
        ];
        let said =
            all.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::from_str(value.as_ref()?).ok()?)));
        said.collect()
    }
}

impl Fetcher {
    /// Prepares downloads, and keeps which are the hosts where our own users keep files; connects to nobody yet. Where no certificate can be used to hold hosts against, it is said so, and
    /// nothing is downloaded.
    ///
    /// # Errors
    ///
    /// When a file with certificates cannot be read.
    pub fn new(config: &config::Assets, own_hosts: &[String]) -> std::io::Result<Self> {
        let mut trust = Vec::new();
        for path in &config.trust {
            let read = Certificate::from_pem_bundle(&std::fs::read(path)?);
            trust.extend(read.map_err(|error| std::io::Error::other(format!("{}: {error}", path.display())))?);
        }
        let client = Client::builder()
            .tls_certs_merge(trust)
            .https_only(true)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .dns_resolver(Arc::new(Resolver { connect: Arc::new(config.connect.clone()) }))
            .build();
        if let Err(error) = &client {
            tracing::warn!(error = causes(error), "nothing can be downloaded from asset hosts");
        }
        if !config.connect.is_empty() {
            let hosts: Vec<&str> = config.connect.keys().map(Domain::as_str).collect();
            tracing::warn!(
                ?hosts,
                "asset hosts are where `assets.connect` says, whatever addresses those are: for labs"
            );
        }
        let at_once = usize::try_from(config.at_once.get()).unwrap_or(usize::MAX);
        let oblivious = at_once / SHARE_OF_OBLIVIOUS;
        Ok(Self {
            client: client.ok(),
            own_hosts: own_hosts.to_vec(),
            places: Places::new(at_once, at_once / SHARE_OF_ONE),
            oblivious: Places::new(oblivious, oblivious / 2),
            cache: Arc::new(Cache::new(usize::try_from(config.cache_mib).unwrap_or_default() << 20)),
            answered: Answered::default(),
            largest_bytes: config.largest_bytes(),
            longest: config.longest(),
        })
    }

    /// Whether our own users keep files at this host.
    pub fn is_own(&self, host: &Domain) -> bool {
        self.own_hosts.iter().any(|own| own == host.as_str())
    }

    /// Fetches a file from its server, or from memory, for the caller `who`. A redirect is not followed.
    ///
    /// # Errors
    ///
    /// [`FetchError`].
    pub async fn fetch(&self, who: &str, url: &AssetUrl, asked: &Asked, now: Millis) -> Result<Fetched, FetchError> {
        let client = self.client.as_ref().ok_or(FetchError::NoTrust)?;
        let send =
            async |headers: HeaderMap| client.get(url.url().clone()).headers(headers).send().await.map_err(unreachable);
        self.through((who, ""), (url, asked), now, send).await
    }

    /// The same by way of somebody else: `from` says who, and who we are there; `send` asks there, with further headers.
    ///
    /// # Errors
    ///
    /// [`FetchError`] and those of `send`.
    pub async fn through<E: From<FetchError>>(
        &self,
        (who, from): (&str, &str),
        (url, asked): (&AssetUrl, &Asked),
        now: Millis,
        send: impl AsyncFnOnce(HeaderMap) -> Result<reqwest::Response, E>,
    ) -> Result<Fetched, E> {
        let (key, now) = (format!("{from} {url}"), UNIX_EPOCH + Duration::from_millis(now.0));
        let mut request = Request::new(());
        *request.uri_mut() = url.as_str().parse().map_err(|_| FetchError::Missing(400))?;
        let place = Arc::new(self.places.take(who)?);
        let held = self.cache.find(&key);
        let mut validators = HeaderMap::new();
        if let Some(kept) = &held {
            match kept.policy.before_request(&request, now) {
                BeforeRequest::Fresh(parts) => {
                    return Ok(Fetched::Download(kept.answer(&parts.headers, asked).held(place)));
                }
                BeforeRequest::Stale { request, .. } => {
                    let own = [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE];
                    let own =
                        own.into_iter().filter_map(|name| Some((name.clone(), request.headers.get(name)?.clone())));
                    validators.extend(own);
                }
            }
        }
        let deadline = Instant::now() + self.longest;
        // What we hold is asked about in the place of what the caller holds, and serves the caller then.
        let held = held.filter(|_| !validators.is_empty());
        let headers = if held.is_some() { validators } else { asked.headers() };
        let response = timeout_at(deadline, send(headers)).await.map_err(|_| FetchError::TimedOut)??;
        let mut head = http::Response::new(());
        // None where what it says of keeping it cannot be read.
        let said = read_by_rules(response.headers());
        let readable = said.is_some();
        (*head.status_mut(), *head.headers_mut()) = (response.status(), said.unwrap_or_default());
        let passed = || passed_on(response.headers());
        match (response.status().as_u16(), &held) {
            (304, Some(kept)) => match kept.policy.after_response(&request, &head, now) {
                AfterResponse::NotModified(policy, parts) => {
                    let kept = Kept { policy, headers: parts.headers.clone(), body: kept.body.clone() };
                    let download = kept.answer(&parts.headers, asked).held(place);
                    // It may be for nobody else from now on.
                    if readable && kept.policy.is_storable() {
                        self.cache.keep(key, kept);
                    } else {
                        self.cache.forget(&key);
                    }
                    Ok(Fetched::Download(download))
                }
                AfterResponse::Modified(..) => {
                    self.cache.forget(&key);
                    Err(FetchError::Failed(304).into())
                }
            },
            (status @ (304 | 416), _) => {
                Ok(Fetched::Download(Download { status, headers: passed(), body: Body::Empty, place: None }))
            }
            (301..=303 | 307 | 308, _) => {
                let location = response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
                let location = location.and_then(|location| url.join(location).ok());
                Ok(Fetched::Elsewhere(location.ok_or(FetchError::Failed(head.status().as_u16()))?))
            }
            (status @ (200 | 203 | 206), _) => {
                let whole = if status == 203 { 200 } else { status };
                let rules = policy(&request, &head, now);
                let keep =
                    (status == 200 && readable && rules.is_storable()).then(|| (key, rules, head.headers().clone()));
                Ok(Fetched::Download(self.flow(whole, response, keep, (place, deadline))?))
            }
            (408 | 425 | 429, _) => Err(FetchError::Later(retry_after(response.headers())).into()),
            (status @ 400..=499, _) => {
                self.cache.forget(&key);
                Err(FetchError::Missing(status).into())
            }
            (status, _) => Err(FetchError::Failed(status).into()),
        }
    }

    fn flow(
        &self,
        status: u16,
        response: reqwest::Response,
        keep: Option<(Key, CachePolicy, HeaderMap)>,
        (place, deadline): (Arc<Place>, Instant),
    ) -> Result<Download, FetchError> {
        let length = response.content_length();
        if length.is_some_and(|length| length > self.largest_bytes) {
            return Err(FetchError::Oversize);
        }
        let headers = passed_on(response.headers());
        let (taken, pieces) = mpsc::channel(AHEAD);
        let (cache, left) = (Arc::clone(&self.cache), self.largest_bytes);
        // By itself, so that whoever takes nothing holds neither the server nor its place for longer than a download may take.
        let held = Arc::clone(&place);
        tokio::spawn(async move {
            let _held = held;
            let end = match timeout_at(deadline, pour(response, left, keep, &cache, &taken)).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(Err(error)),
                Err(_) => Some(Err(FetchError::TimedOut)),
            };
            if let Some(end) = end {
                // Without it the end comes all the same, and is none.
                let _ = taken.try_send(end);
            }
        });
        let pieces = unfold(Some(pieces), |pieces| async move {
            let mut pieces = pieces?;
            match pieces.recv().await {
                Some(Ok(Piece::End)) => None,
                Some(Ok(Piece::Bytes(bytes))) => Some((Ok(bytes), Some(pieces))),
                Some(Err(error)) => Some((Err(error), None)),
                None => Some((Err(FetchError::BrokenOff), None)),
            }
        });
        Ok(Download { status, headers, body: Body::Flow { length, pieces: Box::pin(pieces) }, place: Some(place) })
    }
}

impl Download {
    fn held(self, place: Arc<Place>) -> Self {
        Self { place: Some(place), ..self }
    }

    /// All of it at once: status, headers and bytes.
    ///
    /// # Errors
    ///
    /// [`FetchError::Oversize`] for more than [`WHOLE_BYTES`], and why it does not come.
    pub async fn whole(self) -> Result<(u16, Vec<(&'static str, String)>, Vec<u8>), FetchError> {
        let Self { status, headers, body, place: _place } = self;
        let body = match body {
            Body::Empty => Vec::new(),
            Body::Whole(bytes) if bytes.len() > WHOLE_BYTES => return Err(FetchError::Oversize),
            Body::Whole(bytes) => bytes.to_vec(),
            Body::Flow { mut pieces, .. } => {
                let mut body = Vec::new();
                while let Some(piece) = pieces.next().await {
                    let piece = piece?;
                    if body.len() + piece.len() > WHOLE_BYTES {
                        return Err(FetchError::Oversize);
                    }
                    body.extend_from_slice(&piece);
                }
                body
            }
        };
        Ok((status, headers, body))
    }
}

/// A part of what comes.
enum Piece {
    Bytes(Bytes),
    /// That was all.
    End,
}

/// Hands a file on piece by piece, as fast as it is taken, and keeps it where it may be kept.
async fn pour(
    mut response: reqwest::Response,
    mut left: u64,
    keep: Option<(Key, CachePolicy, HeaderMap)>,
    cache: &Cache,
    taken: &mpsc::Sender<Result<Piece, FetchError>>,
) -> Result<(), FetchError> {
    let mut kept = keep.map(|keep| (keep, BytesMut::new()));
    loop {
        let piece = tokio::select! {
            // Nobody takes it any more, and who sends nothing is not waited for.
            () = taken.closed() => return Ok(()),
            piece = response.chunk() => piece.map_err(unreachable)?,
        };
        let Some(piece) = piece else { break };
        left = left.checked_sub(piece.len() as u64).ok_or(FetchError::Oversize)?;
        kept = kept.filter(|(_, bytes)| bytes.len() + piece.len() <= cache.largest_bytes());
        if let Some((_, bytes)) = &mut kept {
            bytes.extend_from_slice(&piece);
        }
        if taken.send(Ok(Piece::Bytes(piece))).await.is_err() {
            return Ok(());
        }
    }
    if let Some(((key, policy, headers), bytes)) = kept {
        // A copy of just its size: what it has grown in may be twice as large.
        cache.keep(key, Kept { policy, headers, body: Bytes::copy_from_slice(&bytes) });
    }
    // Who has gone meanwhile has everything.
    let _ = taken.send(Ok(Piece::End)).await;
    Ok(())
}

/// Without the address, which is nobody's business who reads logs.
fn unreachable(error: reqwest::Error) -> FetchError {
    FetchError::Unreachable(error.without_url())
}

/// What of the headers of an answer is passed on.
pub(super) fn passed_on(headers: &HeaderMap) -> Vec<(&'static str, String)> {
    let said = PASSED_ON.into_iter().filter_map(|name| Some((name, headers.get(name)?.to_str().ok()?.to_owned())));
    said.collect()
}
