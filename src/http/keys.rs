//! The keys that sign tokens: a JWKS from a file or a URL, cached, read again when a token names an unknown key.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, JwkSet};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::warn;

use crate::peer::causes;

/// How long a key set is used before it is read again, so that a withdrawn key ends.
const FRESH: Duration = Duration::from_secs(300);

/// Shortest time between two readings, so that tokens with invented key ids cannot make us ask again and again.
const PAUSE: Duration = Duration::from_secs(5);

/// Longest wait for the server of the key set.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Largest key set that is read.
const MAX_JWKS_BYTES: usize = 256 * 1024;

/// Why there is no key set.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read.
    #[error("cannot read the key set `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The server does not give it.
    #[error("cannot fetch the key set `{url}`")]
    Url {
        /// The address.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The answer is longer than [`MAX_JWKS_BYTES`].
    #[error("the key set `{url}` is larger than {MAX_JWKS_BYTES} bytes")]
    Oversize {
        /// The address.
        url: String,
    },
    /// What was read is no key set.
    #[error("`{origin}` is no JSON Web Key Set")]
    Format {
        /// File or address.
        origin: String,
        /// Why.
        source: serde_json::Error,
    },
}

enum Source {
    File(PathBuf),
    Url { url: String, http: reqwest::Client },
}

struct Cached {
    keys: Vec<Jwk>,
    read_at: Instant,
}

/// The cached key set.
pub(super) struct Keys {
    source: Source,
    cached: RwLock<Option<Arc<Cached>>>,
    /// When it was last read again. Held while reading, so that many requests cause one reading.
    refreshed: Mutex<Option<Instant>>,
    pause: Duration,
}

impl Keys {
    /// Names the key set: a file, or an `http:`/`https:` URL. Reads nothing yet.
    pub(super) fn new(origin: &str) -> Result<Self, KeysError> {
        let source = if origin.starts_with("https:") || origin.starts_with("http:") {
            let http = reqwest::Client::builder().timeout(TIMEOUT).build();
            let http = http.map_err(|source| KeysError::Url { url: origin.to_owned(), source })?;
            Source::Url { url: origin.to_owned(), http }
        } else {
            Source::File(PathBuf::from(origin))
        };
        Ok(Self { source, cached: RwLock::new(None), refreshed: Mutex::new(None), pause: PAUSE })
    }

    /// Reads the set now, whatever is cached.
    pub(super) async fn load(&self) -> Result<(), KeysError> {
        let keys = self.source.read().await?;
        let cached = Arc::new(Cached { keys, read_at: Instant::now() });
        *self.cached.write().unwrap_or_else(PoisonError::into_inner) = Some(cached);
        Ok(())
    }

    /// The key a token names. Without a `kid`, the only key of the set.
    ///
    /// The set is read again when it is stale or lacks the key, but not more than once in [`PAUSE`]; while that
    /// fails, the last good set goes on.
    pub(super) async fn find(&self, kid: Option<&str>) -> Option<Jwk> {
        let now = Instant::now();
        let cached = self.current();
        let fresh = cached.as_ref().is_some_and(|cached| now.duration_since(cached.read_at) < FRESH);
        if let Some(key) = cached.as_ref().filter(|_| fresh).and_then(|cached| pick(&cached.keys, kid)) {
            return Some(key);
        }
        self.refresh(now).await;
        self.current().and_then(|cached| pick(&cached.keys, kid))
    }

    fn current(&self) -> Option<Arc<Cached>> {
        self.cached.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn refresh(&self, asked_at: Instant) {
        let mut refreshed = self.refreshed.lock().await;
        if refreshed.is_some_and(|at| at >= asked_at || asked_at.duration_since(at) < self.pause) {
            return;
        }
        *refreshed = Some(Instant::now());
        if let Err(error) = self.load().await {
            warn!(error = causes(&error), "key set for tokens not read");
        }
    }
}

impl Source {
    async fn read(&self) -> Result<Vec<Jwk>, KeysError> {
        let (bytes, origin) = match self {
            Self::File(path) => {
                let bytes =
                    tokio::fs::read(path).await.map_err(|source| KeysError::File { path: path.clone(), source })?;
                (bytes, path.display().to_string())
            }
            Self::Url { url, http } => {
                let failed = |source| KeysError::Url { url: url.clone(), source };
                let answer = http.get(url).send().await.map_err(failed)?;
                let mut answer = answer.error_for_status().map_err(failed)?;
                let mut bytes = Vec::new();
                while let Some(chunk) = answer.chunk().await.map_err(failed)? {
                    if bytes.len() + chunk.len() > MAX_JWKS_BYTES {
                        return Err(KeysError::Oversize { url: url.clone() });
                    }
                    bytes.extend_from_slice(&chunk);
                }
                (bytes, url.clone())
            }
        };
        let set: JwkSet = serde_json::from_slice(&bytes).map_err(|source| KeysError::Format { origin, source })?;
        Ok(set.keys)
    }
}

fn pick(keys: &[Jwk], kid: Option<&str>) -> Option<Jwk> {
    match (kid, keys) {
        (Some(kid), keys) => keys.iter().find(|key| key.common.key_id.as_deref() == Some(kid)).cloned(),
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
    }
}
