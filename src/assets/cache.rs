//! What has been downloaded, kept as long as its server lets a cache keep it that many share (RFC 9111).

use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use actix_web::http::header::{EntityTag, HttpDate, Range};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_cache_semantics::{CacheOptions, CachePolicy};
use lru::LruCache;

use super::download::{Asked, Body, Download, PASSED_ON, passed_on};

/// Largest share of the cache that one file may take.
const SHARE: usize = 8;

/// Most files, however small.
const MOST_FILES: usize = 65_536;
/// What a file takes beside its bytes, its key and its headers, in bytes.
const BESIDE_BYTES: usize = 1024;
/// Largest number of seconds in a header: 68 years (RFC 9111, section 1.2.2).
const MOST_SECONDS: u64 = 1 << 31;
/// What tells whether an answer may be kept, beside what is passed on.
const RULES: [&str; 6] = ["age", "date", "expires", "vary", "set-cookie", "pragma"];

/// From whom, in whose name, and what: a hub may have something else at the same address.
pub(super) type Key = String;

/// A file in memory.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) policy: CachePolicy,
    /// Those that the policy was made of.
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A bounded cache of files, which those go from first that nobody has asked for the longest.
#[derive(Debug)]
pub(super) struct Cache {
    most_bytes: usize,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    files: LruCache<Key, Arc<Kept>>,
    bytes: usize,
}

impl Cache {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { most_bytes, held: Mutex::new(Held { files: LruCache::unbounded(), bytes: 0 }) }
    }

    /// Largest file that is kept, in bytes.
    pub(super) fn largest_bytes(&self) -> usize {
        self.most_bytes / SHARE
    }

    pub(super) fn find(&self, key: &Key) -> Option<Arc<Kept>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).files.get(key).cloned()
    }

    pub(super) fn keep(&self, key: Key, kept: Kept) {
        if kept.body.len() > self.largest_bytes() || !kept.policy.is_storable() {
            return;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.bytes += kept.takes(&key);
        if let Some((key, former)) = held.files.push(key, Arc::new(kept)) {
            held.bytes -= former.takes(&key);
        }
        while held.bytes > self.most_bytes || held.files.len() > MOST_FILES {
            let Some((key, oldest)) = held.files.pop_lru() else { return };
            held.bytes -= oldest.takes(&key);
        }
    }

    pub(super) fn forget(&self, key: &Key) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((key, former)) = held.files.pop_entry(key) {
            held.bytes -= former.takes(&key);
        }
    }
}

/// By which rules an answer may be kept. Nothing is kept on a guess: an answer that says nothing is asked about again.
pub(super) fn policy(request: &Request<()>, response: &Response<()>, now: SystemTime) -> CachePolicy {
    let options = CacheOptions { shared: true, cache_heuristic: 0.0, ..CacheOptions::default() };
    CachePolicy::new_options(request, response, now, options)
}

/// What of the headers of an answer is kept, as the rules read it: directives in lower case, and no number of seconds that cannot
/// be reckoned with. `None` where something says how it may be kept that is no text.
pub(super) fn read_by_rules(headers: &HeaderMap) -> Option<HeaderMap> {
    let mut read = HeaderMap::new();
    for name in PASSED_ON.into_iter().chain(RULES) {
        for value in headers.get_all(name) {
            let value = if name == header::CACHE_CONTROL.as_str() || name == header::PRAGMA.as_str() {
                HeaderValue::from_str(&value.to_str().ok()?.to_ascii_lowercase()).ok()?
            } else if name == header::AGE.as_str() {
                HeaderValue::from(value.to_str().ok()?.trim().parse::<u64>().ok()?.min(MOST_SECONDS))
            } else {
                value.clone()
            };
            read.append(http::HeaderName::from_static(name), value);
        }
    }
    Some(read)
}

impl Kept {
    /// How much of the cache it takes, in bytes.
    fn takes(&self, key: &Key) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
        // The policy has its own copy.
        self.body.len() + key.len() + 2 * headers.sum::<usize>() + BESIDE_BYTES
    }

    /// What of it is asked for. `headers` are those of the answer as they are now.
    pub(super) fn answer(&self, headers: &HeaderMap, asked: &Asked) -> Download {
        let tag = headers.get("etag").and_then(|tag| EntityTag::from_str(tag.to_str().ok()?).ok());
        let modified = headers.get("last-modified").and_then(date);
        let headers = passed_on(headers);
        if let (Some(known), Some(tag)) = (&asked.if_none_match, &tag)
            && known.split(',').any(|one| one.trim() == "*" || is(one, |one| one.weak_eq(tag)))
        {
            return Download { status: 304, headers, body: Body::Empty, place: None };
        }
        // Who asks by a tag is not asked for a time (RFC 9110, section 13.1.3).
        let since = asked.if_modified_since.as_ref().filter(|_| asked.if_none_match.is_none());
        if let (Some(since), Some(modified)) = (since.and_then(|since| since.parse::<HttpDate>().ok()), modified)
            && modified <= since
        {
            return Download { status: 304, headers, body: Body::Empty, place: None };
        }
        let whole = self.body.len() as u64;
        // A part of what has changed since is no use.
        let unchanged = asked
            .if_range
            .as_ref()
            .is_none_or(|known| tag.as_ref().is_some_and(|tag| is(known, |known| known.strong_eq(tag))));
        let range = asked.range.as_ref().filter(|_| unchanged).and_then(|range| Range::from_str(range).ok());
        let Some(Range::Bytes(ranges)) = range else {
            return Download { status: 200, headers, body: Body::Whole(self.body.clone()), place: None };
        };
        let [range] = ranges.as_slice() else {
            return Download { status: 200, headers, body: Body::Whole(self.body.clone()), place: None };
        };
        let mut headers = headers;
        let Some((first, last)) = range.to_satisfiable_range(whole) else {
            headers.push(("content-range", format!("bytes */{whole}")));
            return Download { status: 416, headers, body: Body::Empty, place: None };
        };
        headers.push(("content-range", format!("bytes {first}-{last}/{whole}")));
        let at = |position: u64| usize::try_from(position).unwrap_or(usize::MAX);
        let part = self.body.slice(at(first)..at(last).saturating_add(1).min(self.body.len()));
        Download { status: 206, headers, body: Body::Whole(part), place: None }
    }
}

fn date(header: &HeaderValue) -> Option<HttpDate> {
    header.to_str().ok()?.parse().ok()
}

fn is(text: &str, same: impl FnOnce(&EntityTag) -> bool) -> bool {
    EntityTag::from_str(text.trim()).is_ok_and(|tag| same(&tag))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn kept(headers: &[(&str, &str)], body: &str) -> Kept {
        let request = Request::get("https://files.a.example/a").body(()).unwrap();
        let mut response = Response::builder().status(200);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let mut response = response.body(()).unwrap();
        *response.headers_mut() = read_by_rules(response.headers()).unwrap();
        let policy = policy(&request, &response, UNIX_EPOCH);
        Kept { policy, headers: response.headers().clone(), body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[test]
    fn what_is_private_or_not_to_be_stored_is_not_kept() {
        let cache = Cache::new(16 << 10);
        for (headers, is_kept) in [
            (vec![("cache-control", "max-age=60")], true),
            (vec![("cache-control", "public, s-maxage=60")], true),
            (vec![("etag", "\"1\"")], true),
            (vec![("cache-control", "private, max-age=60")], false),
            (vec![("cache-control", "no-store")], false),
            (vec![("cache-control", "max-age=60, no-store")], false),
            (vec![("cache-control", "Max-Age=60, Private")], false),
            (vec![("cache-control", "NO-STORE")], false),
        ] {
            cache.keep("a".to_owned(), kept(&headers, "a file"));
            assert_eq!(cache.find(&"a".to_owned()).is_some(), is_kept, "{headers:?}");
            cache.forget(&"a".to_owned());
        }
        let unsaid = kept(&[("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT")], "a file").policy;
        assert_eq!(unsaid.time_to_live(UNIX_EPOCH), Duration::ZERO, "nothing is fresh on a guess");
    }

    #[test]
    fn the_cache_has_its_bounds() {
        let cache = Cache::new(8 << 10);
        let fresh = [("cache-control", "max-age=60")];
        cache.keep("large".to_owned(), kept(&fresh, &"x".repeat(1025)));
        assert!(cache.find(&"large".to_owned()).is_none());
        for number in 0..100 {
            cache.keep(format!("{number:02}"), kept(&fresh, "8 bytes."));
        }
        let held = cache.held.lock().unwrap();
        // Each takes 2 + 8 + 2 * 23 + 1024 bytes.
        assert_eq!((held.bytes, held.files.len()), (7560, 7));
    }

    #[test]
    fn headers_are_kept_as_far_as_they_are_of_use_and_no_number_is_too_large() {
        let answered = |headers: &[(&'static str, &[u8])]| {
            let headers =
                headers.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_bytes(value).unwrap()));
            headers.collect::<HeaderMap>()
        };
        let read = |headers: &[(&'static str, &[u8])]| read_by_rules(&answered(headers));
        let most = read(&[("age", b"18446744073709551615"), ("x-of-the-server", b"1")]).unwrap();
        assert_eq!(most, answered(&[("age", b"2147483648")]));
        assert_eq!(read(&[("age", b"18446744073709551616")]), None);
        assert_eq!(read(&[("cache-control", b"max-age=60, \xff")]), None);
        let old = kept(&[("cache-control", "max-age=60"), ("age", "18446744073709551615")], "a file").policy;
        assert_eq!(old.time_to_live(UNIX_EPOCH + Duration::from_secs(1)), Duration::ZERO);
    }

    #[test]
    fn parts_and_what_has_not_changed_are_answered_from_memory() {
        let kept = kept(&[("cache-control", "max-age=60"), ("etag", "\"1\"")], "0123456789");
        let headers = HeaderMap::from_iter([("etag".parse().unwrap(), "\"1\"".parse().unwrap())]);
        let ask = |range: Option<&str>, if_range: Option<&str>, if_none_match: Option<&str>| {
            let own = |text: Option<&str>| text.map(str::to_owned);
            let asked = Asked {
                range: own(range),
                if_range: own(if_range),
                if_none_match: own(if_none_match),
                if_modified_since: None,
            };
            let Download { status, headers, body, .. } = kept.answer(&headers, &asked);
            let range = headers.into_iter().find(|(name, _)| *name == "content-range").map(|(_, range)| range);
            let body = if let Body::Whole(body) = body { body } else { Bytes::new() };
            (status, range.unwrap_or_default(), String::from_utf8(body.to_vec()).unwrap())
        };
        let answer = |status, range: &str, body: &str| (status, range.to_owned(), body.to_owned());
        assert_eq!(ask(None, None, None), answer(200, "", "0123456789"));
        assert_eq!(ask(Some("bytes=2-4"), None, None), answer(206, "bytes 2-4/10", "234"));
        assert_eq!(ask(Some("bytes=7-"), None, None), answer(206, "bytes 7-9/10", "789"));
        assert_eq!(ask(Some("bytes=-3"), None, None), answer(206, "bytes 7-9/10", "789"));
        assert_eq!(ask(Some("bytes=5-900"), None, None), answer(206, "bytes 5-9/10", "56789"));
        assert_eq!(ask(Some("bytes=10-"), None, None), answer(416, "bytes */10", ""));
        assert_eq!(ask(Some("bytes=0-1,3-4"), None, None), answer(200, "", "0123456789"));
        assert_eq!(ask(Some("lines=1-2"), None, None), answer(200, "", "0123456789"));
        assert_eq!(ask(Some("bytes=2-4"), Some("\"1\""), None).0, 206);
        assert_eq!(ask(Some("bytes=2-4"), Some("\"2\""), None).0, 200);
        assert_eq!(ask(None, None, Some("\"0\", W/\"1\"")), answer(304, "", ""));
        assert_eq!(ask(None, None, Some("\"2\"")).0, 200);
    }
}
