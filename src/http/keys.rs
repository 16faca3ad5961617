//! The keys that sign tokens: a JWKS from a file or a URL, cached, read again when a token names an unknown key.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, JwkSet};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
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
pub(super) struct Keys(Arc<Shared>);

struct Shared {
    source: Source,
    cached: RwLock<Option<Arc<Cached>>>,
    /// When it was last read again. Held while reading, so that many requests cause one reading.
    refreshed: Mutex<Option<Instant>>,
    fresh: Duration,
    pause: Duration,
}

impl Keys {
    /// Names the key set: a file, or an `http:`/`https:` URL. Reads nothing yet.
    pub(super) fn new(origin: &str) -> Result<Self, KeysError> {
        Self::with(origin, FRESH, PAUSE)
    }

    fn with(origin: &str, fresh: Duration, pause: Duration) -> Result<Self, KeysError> {
        let source = if origin.starts_with("https:") || origin.starts_with("http:") {
            let http = reqwest::Client::builder().timeout(TIMEOUT).build();
            let http = http.map_err(|source| KeysError::Url { url: origin.to_owned(), source })?;
            Source::Url { url: origin.to_owned(), http }
        } else {
            Source::File(PathBuf::from(origin))
        };
        let (cached, refreshed) = (RwLock::new(None), Mutex::new(None));
        Ok(Self(Arc::new(Shared { source, cached, refreshed, fresh, pause })))
    }

    /// Reads the set now, whatever is cached.
    pub(super) async fn load(&self) -> Result<(), KeysError> {
        self.0.load().await
    }

    /// The key a token names. Without a `kid`, the only key of the set.
    ///
    /// The set is read again when it is stale or lacks the key, but not more than once in [`PAUSE`]; while that
    /// fails, the last good set goes on. Nobody waits for that but who names a key that is not there, and no longer than
    /// [`TIMEOUT`].
    pub(super) async fn find(&self, kid: Option<&str>) -> Option<Jwk> {
        let now = Instant::now();
        let cached = self.0.current();
        if let Some(key) = cached.as_ref().and_then(|cached| pick(&cached.keys, kid)) {
            let fresh = cached.is_some_and(|cached| now.duration_since(cached.read_at) < self.0.fresh);
            if !fresh && self.0.may_refresh(now) {
                drop(self.refresh(now));
            }
            return Some(key);
        }
        let _ = tokio::time::timeout(TIMEOUT, self.refresh(now)).await;
        self.0.current().and_then(|cached| pick(&cached.keys, kid))
    }

    /// Goes on when nobody waits for it.
    fn refresh(&self, asked_at: Instant) -> JoinHandle<()> {
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move { shared.refresh(asked_at).await })
    }
}

impl Shared {
    async fn load(&self) -> Result<(), KeysError> {
        let keys = self.source.read().await?;
        let cached = Arc::new(Cached { keys, read_at: Instant::now() });
        *self.cached.write().unwrap_or_else(PoisonError::into_inner) = Some(cached);
        Ok(())
    }

    fn current(&self) -> Option<Arc<Cached>> {
        self.cached.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether nobody reads it now or has just done so.
    fn may_refresh(&self, now: Instant) -> bool {
        self.refreshed.try_lock().is_ok_and(|refreshed| refreshed.is_none_or(|at| now.duration_since(at) >= self.pause))
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use futures_util::FutureExt as _;
    use jsonwebtoken::jwk::JwkSet;
    use rcgen::{KeyPair, PKCS_ED25519};

    use super::*;
    use crate::http::token::TokenKey;

    fn key_set() -> JwkSet {
        TokenKey::from_pem(&KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem()).unwrap().jwks()
    }

    #[actix_web::test]
    async fn a_known_key_of_a_stale_set_is_served_while_the_server_of_the_set_hangs() {
        // Takes connections and says nothing.
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/jwks", server.local_addr().unwrap());
        let keys = Keys::with(&url, Duration::ZERO, Duration::ZERO).unwrap();
        let set = key_set();
        let kid = set.keys[0].common.key_id.clone();
        *keys.0.cached.write().unwrap() = Some(Arc::new(Cached { keys: set.keys, read_at: Instant::now() }));
        for _ in 0..3 {
            assert!(keys.find(kid.as_deref()).now_or_never().unwrap().is_some());
        }
        assert!(keys.find(Some("unknown")).now_or_never().is_none());
    }

    #[actix_web::test]
    async fn a_stale_set_is_read_again_though_nobody_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("jwks.json");
        let [old, new] = [key_set(), key_set()];
        std::fs::write(&file, serde_json::to_vec(&old).unwrap()).unwrap();
        let keys = Keys::with(&file.display().to_string(), Duration::ZERO, Duration::ZERO).unwrap();
        keys.load().await.unwrap();
        std::fs::write(&file, serde_json::to_vec(&new).unwrap()).unwrap();
        let [old, new] = [old, new].map(|set| set.keys[0].common.key_id.clone());
        assert!(keys.find(old.as_deref()).await.is_some());
        while keys.0.current().is_some_and(|cached| pick(&cached.keys, new.as_deref()).is_none()) {
            tokio::task::yield_now().await;
        }
        assert!(keys.find(old.as_deref()).await.is_none());
    }
}
