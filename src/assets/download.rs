//! What is asked for, and what comes of it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{AssetUrl, Place};

/// Largest file that is given whole, in bytes: what is sealed is in memory as a whole.
pub const WHOLE_BYTES: usize = 8 << 20;
/// What of an answer is passed on: what describes the file, and for how long it may be kept. When it was fetched is left out (`Age`,
/// `Date`, `Expires`): whoever asks would learn from it that somebody else has read the file, and when.
pub(super) const PASSED_ON: [&str; 8] = [
    "accept-ranges",
    "cache-control",
    "content-encoding",
    "content-language",
    "content-range",
    "content-type",
    "etag",
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
pub(super) type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, FetchError>> + Send>>;

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Whole(bytes) => write!(f, "Whole({})", bytes.len()),
            Self::Flow { length, .. } => write!(f, "Flow({length:?})"),
        }
    }
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
    pub(super) fn headers(&self) -> HeaderMap {
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

    /// Whether nothing is wanted unless it has changed.
    pub(super) fn is_conditional(&self) -> bool {
        self.if_none_match.is_some() || self.if_modified_since.is_some()
    }
}

impl FetchError {
    /// Its name among the outcomes of downloads.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::TimedOut => "timed_out",
            Self::Missing(_) => "missing",
            Self::Later(_) => "later",
            Self::Oversize => "too_large",
            Self::Unreachable(_) | Self::NoTrust | Self::Failed(_) | Self::BrokenOff => "failed",
        }
    }
}

impl Download {
    pub(super) fn held(self, place: Arc<Place>) -> Self {
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

/// What of the headers of an answer is passed on.
pub(super) fn passed_on(headers: &HeaderMap) -> Vec<(&'static str, String)> {
    let said = PASSED_ON.into_iter().filter_map(|name| Some((name, headers.get(name)?.to_str().ok()?.to_owned())));
    said.collect()
}
