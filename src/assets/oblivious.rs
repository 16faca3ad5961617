//! Requests of which nobody knows both who sends them and what they ask for: Oblivious HTTP (RFC 9458) with Binary HTTP
//! (RFC 9292) inside. Here is their form; which file is fetched is decided like that of any other download.

use std::io::Cursor;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use actix_web::http::header::HttpDate;
use aws_lc_rs::digest::{SHA256, digest};
use bhttp::{Message, Mode, StatusCode};
use lru::LruCache;
use ohttp::hpke::{Aead, Kdf, Kem};
use ohttp::{KeyConfig, Server, ServerResponse, SymmetricSuite};
use portcullis_core::time::Millis;

use super::{Asked, AssetUrl};

/// Octets that a key is derived from.
pub const SEED_BYTES: usize = 32;
/// Octets before the encapsulated key: which key and algorithms (RFC 9458, section 4.3).
const HEAD_BYTES: usize = 7;
/// Octets of the encapsulated key of X25519.
const ENC_BYTES: usize = 32;
/// Octets of what seals a text, for each algorithm.
const TAG_BYTES: usize = 16;
/// Requests that are remembered, so that they are not answered twice.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();
/// How far the time that a request says may be from ours (RFC 9458, section 6.5.2).
const DRIFT: Duration = Duration::from_secs(5 * 60);

/// The key of one period.
#[derive(Debug)]
pub struct GatewayKey(Server);

/// A request that was opened, and what its answer is sealed with.
pub struct Opened {
    /// What is asked for, or the answer to what is not asked as it should be.
    pub wanted: Result<(AssetUrl, Asked), Inside>,
    answer: ServerResponse,
}

/// An answer before it is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside {
    /// HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// What does not open: it is not encapsulated to this key.
#[derive(Debug, thiserror::Error)]
#[error("request is not encapsulated to a key of this gateway")]
pub struct NotForThisKey(#[source] ohttp::Error);

/// Requests that were answered. In the memory of a process: another replica answers them once more, which changes nothing, for
/// nothing but files is ever asked for.
#[derive(Debug)]
pub struct Answered(Mutex<LruCache<[u8; ENC_BYTES], ()>>);

impl GatewayKey {
    /// The key of a period. Two that follow each other are told apart by their number.
    ///
    /// # Errors
    ///
    /// [`ohttp::Error`].
    pub fn derive(period: u64, seed: &[u8; SEED_BYTES]) -> Result<Self, ohttp::Error> {
        let suites = [Aead::Aes128Gcm, Aead::ChaCha20Poly1305].map(|aead| SymmetricSuite::new(Kdf::HkdfSha256, aead));
        let config = KeyConfig::derive(Self::id(period), Kem::X25519Sha256, suites.to_vec(), seed)?;
        Ok(Self(Server::new(config)?))
    }

    /// By which number requests name the key of a period.
    pub fn id(period: u64) -> u8 {
        u8::try_from(period % 256).unwrap_or_default()
    }

    /// The configurations of these keys as clients read them (`application/ohttp-keys`).
    ///
    /// # Errors
    ///
    /// [`ohttp::Error`].
    pub fn published(keys: &[&Self]) -> Result<Vec<u8>, ohttp::Error> {
        let configs: Vec<&KeyConfig> = keys.iter().map(|key| key.0.config()).collect();
        KeyConfig::encode_list(&configs)
    }

    /// Opens a request.
    ///
    /// # Errors
    ///
    /// [`NotForThisKey`].
    pub fn open(&self, request: &[u8], answered: &Answered, now: Millis) -> Result<Opened, NotForThisKey> {
        let (inside, answer) = self.0.decapsulate(request).map_err(NotForThisKey)?;
        let first = answered.is_new(request);
        // Reading it may fail; that it came before is so whatever it says.
        let wanted = if first { read(&inside, now) } else { Err(Inside::of(425)) };
        Ok(Opened { wanted, answer })
    }
}

impl Opened {
    /// Seals the answer for who has sent the request.
    ///
    /// # Errors
    ///
    /// [`ohttp::Error`].
    pub fn seal(self, answer: &Inside) -> Result<Vec<u8>, ohttp::Error> {
        let status = StatusCode::try_from(answer.status).map_err(|_| ohttp::Error::Internal)?;
        let mut message = Message::response(status);
        for (name, value) in &answer.headers {
            message.put_header(*name, value.as_str());
        }
        message.write_content(&answer.body);
        let mut inside = Vec::new();
        message.write_bhttp(Mode::KnownLength, &mut inside).map_err(|_| ohttp::Error::Internal)?;
        self.answer.encapsulate(&inside)
    }
}

impl Inside {
    /// Nothing but a status.
    pub fn of(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }
}

impl Default for Answered {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl Answered {
    /// Whether nothing was encapsulated by this key of a client before: each is used once.
    fn is_new(&self, request: &[u8]) -> bool {
        let enc = request.get(HEAD_BYTES..HEAD_BYTES + ENC_BYTES).unwrap_or_default();
        let mut known = [0; ENC_BYTES];
        known.copy_from_slice(digest(&SHA256, enc).as_ref());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(known, ()).is_none()
    }
}

/// Reads what stands in a request: a GET of a file.
fn read(inside: &[u8], now: Millis) -> Result<(AssetUrl, Asked), Inside> {
    let message = Message::read_bhttp(&mut Cursor::new(inside)).map_err(|_| Inside::of(400))?;
    let (control, fields) = (message.control(), message.header());
    let text = |bytes: Option<&[u8]>| bytes.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
    if control.method() != Some(b"GET") {
        return Err(Inside::of(if control.is_request() { 405 } else { 400 }));
    }
    if let Some(date) = fields.get(b"date") {
        at_our_time(date, now)?;
    }
    // The authority may stand in a field instead (RFC 9292, section 3.3).
    let authority = control.authority().filter(|authority| !authority.is_empty()).or_else(|| fields.get(b"host"));
    let [Some(scheme), Some(authority), Some(path)] = [control.scheme(), authority, control.path()].map(text) else {
        return Err(Inside::of(400));
    };
    let url = AssetUrl::parse(&format!("{scheme}://{authority}{path}")).map_err(|_| Inside::of(400))?;
    // A path that does not begin as one would go on with the name of the host.
    if !path.starts_with('/') || authority.contains(['/', '?', '#', '@']) {
        return Err(Inside::of(400));
    }
    let asked = Asked::read(|name| std::str::from_utf8(fields.get(name.as_bytes())?).ok());
    Ok((url, asked))
}

/// That a request was made now, as far as it says when.
fn at_our_time(date: &[u8], now: Millis) -> Result<(), Inside> {
    let ours = UNIX_EPOCH + Duration::from_millis(now.0);
    let said = std::str::from_utf8(date).ok().and_then(|date| date.parse::<HttpDate>().ok());
    let said = said.map(std::time::SystemTime::from);
    let near = said.is_some_and(|said| {
        let apart = said.duration_since(ours).unwrap_or_else(|earlier| earlier.duration());
        apart <= DRIFT
    });
    if near {
        return Ok(());
    }
    let problem = r#"{"type":"https://iana.org/assignments/http-problem-types#date","title":"date is not ours"}"#;
    Err(Inside {
        status: 400,
        headers: vec![
            ("content-type", "application/problem+json".to_owned()),
            ("date", HttpDate::from(ours).to_string()),
        ],
        body: problem.into(),
    })
}

/// Whether this can be an encapsulated request at all (RFC 9458, section 4.3): it names algorithms that there are, and is as long as
/// any of them makes it. What users hand to a relay goes out in its provider's name.
pub fn may_be_encapsulated(request: &[u8]) -> bool {
    let [_, kem_high, kem, 0, kdf, 0, aead, rest @ ..] = request else { return false };
    let kem = u16::from_be_bytes([*kem_high, *kem]);
    // By the registries of HPKE: the DHKEMs, those with ML-KEM, and X-Wing.
    let known = matches!(kem, 0x10..=0x12 | 0x20..=0x21 | 0x40..=0x42 | 0x50..=0x52 | 0x647a);
    known && matches!(kdf, 1..=3) && matches!(aead, 1..=3) && rest.len() >= ENC_BYTES + TAG_BYTES
}

/// Reads a request as if it had been opened, for what tries readers: whether it asks for a file.
pub fn reads(inside: &[u8]) -> bool {
    read(inside, Millis(0)).is_ok()
}

#[cfg(test)]
mod tests {
    use ohttp::{ClientRequest, ClientResponse};

    use super::*;

    const NOW: Millis = Millis(1_800_000_000_000);

    fn get(url: (&str, &str, &str), fields: &[(&str, &str)]) -> Vec<u8> {
        let (scheme, authority, path) = url;
        let mut message = Message::request(b"GET".to_vec(), scheme.into(), authority.into(), path.into());
        fields.iter().for_each(|(name, value)| message.put_header(*name, *value));
        let mut bytes = Vec::new();
        message.write_bhttp(Mode::KnownLength, &mut bytes).unwrap();
        bytes
    }

    const FILE: (&str, &str, &str) = ("https", "files.b.example", "/a?b=c");

    fn sealed(keys: &[&GatewayKey], inside: &[u8]) -> (Vec<u8>, ClientResponse) {
        let published = GatewayKey::published(keys).unwrap();
        ClientRequest::from_encoded_config_list(&published).unwrap().encapsulate(inside).unwrap()
    }

    #[test]
    fn a_request_is_opened_by_its_key_and_answered_for_its_sender() {
        let (key, other) = (GatewayKey::derive(7, &[1; 32]).unwrap(), GatewayKey::derive(8, &[2; 32]).unwrap());
        let answered = Answered::default();
        let (request, client) = sealed(&[&key], &get(FILE, &[("range", "bytes=1-2")]));
        assert_eq!(request[0], 7);
        assert!(may_be_encapsulated(&request));
        for other in [&request[..54], b"{}".as_slice(), [0; 80].as_slice(), [0xff; 80].as_slice(), b"".as_slice()] {
            assert!(!may_be_encapsulated(other), "{other:?}");
        }
        assert!(other.open(&request, &answered, NOW).is_err());
        let opened = key.open(&request, &answered, NOW).unwrap();
        let (url, asked) = opened.wanted.clone().unwrap();
        assert_eq!((url.as_str(), asked.range.as_deref()), ("https://files.b.example/a?b=c", Some("bytes=1-2")));
        let inside = Inside { status: 206, headers: vec![("etag", "\"1\"".to_owned())], body: b"ab".to_vec() };
        let answer = client.decapsulate(&opened.seal(&inside).unwrap()).unwrap();
        let answer = Message::read_bhttp(&mut Cursor::new(answer)).unwrap();
        assert_eq!(answer.control().status().unwrap().code(), 206);
        assert_eq!((answer.header().get(b"etag"), answer.content()), (Some(b"\"1\"".as_slice()), b"ab".as_slice()));
    }

    #[test]
    fn a_request_that_comes_again_is_not_answered_again() {
        let (key, answered) = (GatewayKey::derive(0, &[1; 32]).unwrap(), Answered::default());
        let (request, _) = sealed(&[&key], &get(FILE, &[]));
        assert!(key.open(&request, &answered, NOW).unwrap().wanted.is_ok());
        assert_eq!(key.open(&request, &answered, NOW).unwrap().wanted, Err(Inside::of(425)));
        let (another, _) = sealed(&[&key], &get(FILE, &[]));
        assert!(key.open(&another, &answered, NOW).unwrap().wanted.is_ok());
    }

    #[test]
    fn only_files_are_asked_for_and_only_now() {
        let date = |seconds: u64| HttpDate::from(UNIX_EPOCH + Duration::from_secs(seconds)).to_string();
        let status = |inside: &[u8]| read(inside, NOW).map_or_else(|inside| inside.status, |_| 200);
        assert_eq!(status(&get(FILE, &[("date", &date(1_800_000_299))])), 200);
        for late in [date(1_800_000_301), date(1_799_999_699), "soon".to_owned()] {
            let told = read(&get(FILE, &[("date", &late)]), NOW).unwrap_err();
            assert!(told.status == 400 && String::from_utf8(told.body).unwrap().contains("#date"), "{late}");
        }
        assert_eq!(status(&get(("https", "", "/a"), &[("host", "files.b.example")])), 200);
        for (scheme, authority, path) in [
            ("http", "files.b.example", "/a"),
            ("https", "127.0.0.1", "/a"),
            ("https", "files.b.example:8443", "/a"),
            ("https", "files.b", ".example/a"),
            ("https", "u@files.b.example", "/a"),
            ("https", "files.b.example/x", "/a"),
            ("https", "", "/a"),
        ] {
            assert_eq!(status(&get((scheme, authority, path), &[])), 400, "{scheme} {authority} {path}");
        }
        let post = Message::request(b"POST".to_vec(), b"https".to_vec(), b"files.b.example".to_vec(), b"/".to_vec());
        let mut bytes = Vec::new();
        post.write_bhttp(Mode::KnownLength, &mut bytes).unwrap();
        assert_eq!((status(&bytes), status(b""), status(&[0xff; 32])), (405, 400, 400));
    }
}
