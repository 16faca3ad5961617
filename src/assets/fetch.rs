//! One download: from the server, or from memory.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use futures_util::stream::unfold;
use http::{HeaderMap, Request, header};
use http_cache_semantics::{AfterResponse, BeforeRequest, CachePolicy};
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::Domain;
use reqwest::Client;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::cache::{Cache, Kept, Key, policy, read_by_rules};
use super::download::{Asked, Body, Download, FetchError, Fetched, passed_on};
use super::{Answered, AssetUrl, Place, Places};
use crate::peer::retry_after;
use crate::telemetry::metrics;
use crate::{config, outside};

/// Pieces of a file that are read ahead of who downloads it.
const AHEAD: usize = 4;
/// Which part of all places one caller may have.
const SHARE_OF_ONE: usize = 4;
/// Which part of all places downloads may have that are in memory as a whole, sealed and unsealed; half of those one caller.
const SHARE_OF_OBLIVIOUS: usize = 8;
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
    hosts_of_rooms: bool,
}

impl Fetcher {
    /// Prepares downloads, and keeps which are the hosts where our own users keep files; connects to nobody yet. Where no certificate can be used to hold hosts against, it is said so, and
    /// nothing is downloaded.
    ///
    /// # Errors
    ///
    /// When a file with certificates cannot be read.
    pub fn new(config: &config::Assets, own_hosts: &[String]) -> std::io::Result<Self> {
        let at_once = usize::try_from(config.at_once.get()).unwrap_or(usize::MAX);
        let oblivious = at_once / SHARE_OF_OBLIVIOUS;
        Ok(Self {
            client: outside::client(config)?,
            own_hosts: own_hosts.to_vec(),
            places: Places::new(at_once, at_once / SHARE_OF_ONE),
            oblivious: Places::new(oblivious, oblivious / 2),
            cache: Arc::new(Cache::new(usize::try_from(config.cache_mib).unwrap_or_default() << 20)),
            answered: Answered::default(),
            largest_bytes: config.largest_bytes(),
            longest: config.longest(),
            hosts_of_rooms: config.hosts_of_rooms,
        })
    }

    /// Whether our own users keep files at this host.
    pub fn is_own(&self, host: &Domain) -> bool {
        self.own_hosts.iter().any(|own| own == host.as_str())
    }

    /// Whether rooms may name hosts that no provider names.
    pub fn takes_hosts_of_rooms(&self) -> bool {
        self.hosts_of_rooms
    }

    /// When a download that begins now is given up, with all the redirects that it follows.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.longest
    }

    /// A place for an oblivious request of `who`.
    ///
    /// # Errors
    ///
    /// [`FetchError::Busy`].
    pub fn oblivious_place(&self, who: &str) -> Result<Place, FetchError> {
        self.oblivious.take(who, self.deadline())
    }

    /// Fetches a file from its server, or from memory, for the caller `who`. A redirect is not followed.
    ///
    /// # Errors
    ///
    /// [`FetchError`].
    pub async fn fetch(
        &self,
        who: &str,
        asked: (&AssetUrl, &Asked),
        when: (Millis, Instant),
    ) -> Result<Fetched, FetchError> {
        let client = self.client.as_ref().ok_or(FetchError::NoTrust)?;
        let send = async |headers: HeaderMap| {
            client.get(asked.0.url().clone()).headers(headers).send().await.map_err(unreachable)
        };
        self.through((who, ""), asked, when, send).await
    }

    /// The same by way of somebody else: `from` says who, and who we are there; `send` asks there, with further headers. `when` is
    /// now, and when it is given up.
    ///
    /// # Errors
    ///
    /// [`FetchError`] and those of `send`.
    pub async fn through<E: From<FetchError>>(
        &self,
        by: (&str, &str),
        asked: (&AssetUrl, &Asked),
        when: (Millis, Instant),
        send: impl AsyncFn(HeaderMap) -> Result<reqwest::Response, E>,
    ) -> Result<Fetched, E> {
        let (outcome, come) = match self.come(by, asked, when, send).await {
            Ok((outcome, fetched)) => (outcome, Ok(fetched)),
            Err(Ended::Fetch(error)) => (error.outcome(), Err(error.into())),
            Err(Ended::Send(error)) => ("failed", Err(error)),
        };
        metrics::download(outcome);
        come
    }

    async fn come<E>(
        &self,
        (who, from): (&str, &str),
        (url, asked): (&AssetUrl, &Asked),
        (now, deadline): (Millis, Instant),
        send: impl AsyncFn(HeaderMap) -> Result<reqwest::Response, E>,
    ) -> Result<(&'static str, Fetched), Ended<E>> {
        let (key, now) = (format!("{from} {url}"), UNIX_EPOCH + Duration::from_millis(now.0));
        let mut request = Request::new(());
        *request.uri_mut() = url.as_str().parse().map_err(|_| FetchError::Missing(400))?;
        let place = Arc::new(self.places.take(who, deadline)?);
        let mut held = self.cache.find(&key);
        let mut validators = HeaderMap::new();
        if let Some(kept) = &held {
            match kept.policy.before_request(&request, now) {
                BeforeRequest::Fresh(parts) => {
                    return Ok(("from_memory", Fetched::Download(kept.answer(&parts.headers, asked).held(place))));
                }
                BeforeRequest::Stale { request, .. } => {
                    let own = [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE];
                    let own =
                        own.into_iter().filter_map(|name| Some((name.clone(), request.headers.get(name)?.clone())));
                    validators.extend(own);
                }
            }
        }
        // What we hold is asked about in the place of what the caller holds, and serves the caller then.
        held = held.filter(|_| !validators.is_empty());
        loop {
            let headers = if held.is_some() { validators.clone() } else { asked.headers() };
            let sent = timeout_at(deadline, send(headers)).await.map_err(|_| FetchError::TimedOut)?;
            let response = sent.map_err(Ended::Send)?;
            let mut head = http::Response::new(());
            // None where what it says of keeping it cannot be read.
            let said = read_by_rules(response.headers());
            let readable = said.is_some();
            (*head.status_mut(), *head.headers_mut()) = (response.status(), said.unwrap_or_default());
            let status = response.status().as_u16();
            let Some(kept) = held.take_if(|_| status == 304) else {
                // What was asked about in our own name was asked for as a whole.
                let own = held.is_some();
                return self.answer_of(
                    response,
                    (head, readable, own),
                    (key, request, (url, asked)),
                    now,
                    (place, deadline),
                );
            };
            // One question was about one copy: who does not say which has not changed says it of that one.
            if ![header::ETAG, header::LAST_MODIFIED].iter().any(|name| head.headers().contains_key(name)) {
                for name in [header::ETAG, header::LAST_MODIFIED] {
                    head.headers_mut().extend(kept.headers.get(&name).cloned().map(|value| (name, value)));
                }
            }
            match kept.policy.after_response(&request, &head, now) {
                AfterResponse::NotModified(policy, parts) => {
                    let kept = Kept { policy, headers: parts.headers.clone(), body: kept.body.clone() };
                    let download = kept.answer(&parts.headers, asked).held(place);
                    // It may be for nobody else from now on.
                    if readable && kept.policy.is_storable() {
                        self.cache.keep(key, kept);
                    } else {
                        self.cache.forget(&key);
                    }
                    return Ok(("from_memory", Fetched::Download(download)));
                }
                // Something else has not changed: the file is asked for once more, as if we held nothing.
                AfterResponse::Modified(..) => self.cache.forget(&key),
            }
        }
    }

    /// What came from the server itself. `own` says that it was asked for in our own name, without what the caller asked for.
    fn answer_of<E>(
        &self,
        response: reqwest::Response,
        (head, readable, own): (http::Response<()>, bool, bool),
        (key, request, (url, asked)): (Key, Request<()>, (&AssetUrl, &Asked)),
        now: std::time::SystemTime,
        (place, deadline): (Arc<Place>, Instant),
    ) -> Result<(&'static str, Fetched), Ended<E>> {
        let ranged = asked.range.is_some() && !own;
        let empty = |status| {
            Fetched::Download(Download {
                status,
                headers: passed_on(response.headers()),
                body: Body::Empty,
                place: None,
            })
        };
        match response.status().as_u16() {
            304 if asked.is_conditional() && !own => Ok(("unchanged", empty(304))),
            416 if ranged => Ok(("missing", empty(416))),
            status @ (301..=303 | 307 | 308) => {
                let location = response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
                let location = location.and_then(|location| url.join(location).ok());
                Ok(("elsewhere", Fetched::Elsewhere(location.ok_or(FetchError::Failed(status))?)))
            }
            status @ (200 | 203 | 206) if status != 206 || ranged => {
                let whole = if status == 203 { 200 } else { status };
                let rules = policy(&request, &head, now);
                let keep =
                    (status == 200 && readable && rules.is_storable()).then(|| (key, rules, head.headers().clone()));
                Ok(("fetched", Fetched::Download(self.flow(whole, response, keep, (place, deadline))?)))
            }
            408 | 425 | 429 => Err(FetchError::Later(retry_after(response.headers())).into()),
            status @ (400..=415 | 417..=499) => {
                self.cache.forget(&key);
                Err(FetchError::Missing(status).into())
            }
            // A part that nobody has asked for, or nothing new to who holds nothing, is no answer.
            status => Err(FetchError::Failed(status).into()),
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

/// Why nothing came.
enum Ended<E> {
    Fetch(FetchError),
    Send(E),
}

impl<E> From<FetchError> for Ended<E> {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
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
        metrics::downloaded(piece.len() as u64);
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
