//! MIMI identifiers: `mimi://host/kind/segment`, canonical and compared byte by byte (reading D-6).

use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tls_codec::{Deserialize as TlsDeserialize, Serialize as TlsSerialize, Size, VLByteSlice, vlen};

/// Longest identifier, in octets.
pub const MAX_URI_BYTES: usize = 1024;

/// Why bytes are not a canonical MIMI identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// Longer than [`MAX_URI_BYTES`].
    #[error("identifier is longer than {MAX_URI_BYTES} octets")]
    TooLong,
    /// Not UTF-8, or without the lower-case `mimi://` scheme.
    #[error("identifier does not start with `mimi://`")]
    Scheme,
    /// Not a lower-case DNS name of at least two labels.
    #[error("host of the identifier is not a lower-case DNS name of at least two labels")]
    Host,
    /// A kind this identifier must not have, or wrongly many segments for its kind.
    #[error("identifier is not of the expected kind")]
    Kind,
    /// An empty segment, a character that must be escaped, or a non-canonical escape.
    #[error("segment of the identifier is empty or not canonical")]
    Segment,
}

/// The DNS name of a provider: lower case, at least two labels, no port, no trailing dot.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Domain(Arc<str>);

impl Domain {
    /// Parses a provider domain.
    ///
    /// # Errors
    ///
    /// [`UriError::Host`] for anything but a lower-case DNS name of two labels or more.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        host(text)?;
        Ok(Self(text.into()))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Domain {
    type Error = UriError;

    fn try_from(text: String) -> Result<Self, UriError> {
        Self::parse(&text)
    }
}

impl From<Domain> for String {
    fn from(domain: Domain) -> Self {
        domain.0.as_ref().to_owned()
    }
}

fn host(text: &str) -> Result<(), UriError> {
    let label_ok = |label: &[u8]| {
        (1..=63).contains(&label.len())
            && !label.starts_with(b"-")
            && !label.ends_with(b"-")
            && label.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
    };
    let bytes = text.as_bytes();
    let dns = bytes.len() <= 253 && bytes.contains(&b'.') && bytes.split(|b| *b == b'.').all(label_ok);
    if dns { Ok(()) } else { Err(UriError::Host) }
}

/// Checks `text` against the grammar and returns its kind letter and how many segments follow; neither for a provider's
/// own identifier.
fn kind(text: &str) -> Result<(&str, usize), UriError> {
    if text.len() > MAX_URI_BYTES {
        return Err(UriError::TooLong);
    }
    let rest = text.strip_prefix("mimi://").ok_or(UriError::Scheme)?;
    let Some((name, path)) = rest.split_once('/') else {
        host(rest)?;
        return Ok(("", 0));
    };
    host(name)?;
    let (kind, segments) = path.split_once('/').ok_or(UriError::Kind)?;
    let mut count = 0;
    for segment in segments.as_bytes().split(|b| *b == b'/') {
        if !canonical(segment) {
            return Err(UriError::Segment);
        }
        count += 1;
    }
    Ok((kind, count))
}

/// RFC 3986 `pchar`s, escapes in upper case, and nothing escaped that needs no escape.
fn canonical(bytes: &[u8]) -> bool {
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'%' {
            let Some(&[high, low]) = bytes.get(at + 1..at + 3) else { return false };
            let (Some(high), Some(low)) = (hex(high), hex(low)) else { return false };
            if unreserved(high << 4 | low) {
                return false;
            }
            at += 3;
        } else if unreserved(byte) || b"!$&'()*+,;=:@".contains(&byte) {
            at += 1;
        } else {
            return false;
        }
    }
    !bytes.is_empty()
}

fn escaped(bytes: &[u8]) -> String {
    let plain = |byte: u8| unreserved(byte) || b"!$&'()*+,;=:@".contains(&byte);
    bytes.iter().map(|&byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The octets that a canonical segment stands for.
fn unescaped(segment: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(segment.len());
    let mut rest = segment;
    while let Some((&byte, behind)) = rest.split_first() {
        let escape = behind.first_chunk::<2>().filter(|_| byte == b'%');
        match escape.and_then(|[high, low]| Some(hex(*high)? << 4 | hex(*low)?)) {
            Some(octet) => {
                octets.push(octet);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                octets.push(byte);
                rest = behind;
            }
        }
    }
    octets
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $kind_and_segments:pat) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses a canonical identifier of this kind.
            ///
            /// # Errors
            ///
            /// [`UriError`] when the text is no MIMI identifier, not canonical, or of another kind.
            pub fn parse(text: &str) -> Result<Self, UriError> {
                match kind(text)? {
                    $kind_and_segments => Ok(Self(text.into())),
                    _ => Err(UriError::Kind),
                }
            }

            /// Parses the UTF-8 bytes of a canonical identifier of this kind.
            ///
            /// # Errors
            ///
            /// As [`Self::parse`]; [`UriError::Scheme`] for bytes that are not UTF-8.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, UriError> {
                Self::parse(std::str::from_utf8(bytes).map_err(|_| UriError::Scheme)?)
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The bytes that are hashed, signed and compared.
            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }

            /// The provider that names it.
            pub fn domain(&self) -> Domain {
                let rest = &self.0["mimi://".len()..];
                Domain(rest.split('/').next().unwrap_or(rest).into())
            }

            /// The last segment, which is only a label: nothing is derived from it.
            pub fn last_segment(&self) -> &str {
                self.0.rsplit('/').next().unwrap_or(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = UriError;

            fn try_from(text: String) -> Result<Self, UriError> {
                Self::parse(&text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = UriError;

            fn from_str(text: &str) -> Result<Self, UriError> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(uri: $name) -> Self {
                uri.0.as_ref().to_owned()
            }
        }

        impl Size for $name {
            fn tls_serialized_len(&self) -> usize {
                VLByteSlice(self.as_bytes()).tls_serialized_len()
            }
        }

        impl TlsSerialize for $name {
            fn tls_serialize<W: Write>(&self, writer: &mut W) -> Result<usize, tls_codec::Error> {
                VLByteSlice(self.as_bytes()).tls_serialize(writer)
            }
        }

        impl TlsDeserialize for $name {
            fn tls_deserialize<R: Read>(bytes: &mut R) -> Result<Self, tls_codec::Error> {
                let (length, _) = vlen::read_length(bytes)?;
                let mut buffer = [0; MAX_URI_BYTES];
                let read = buffer.get_mut(..length);
                let read = read.ok_or_else(|| tls_codec::Error::DecodingError(UriError::TooLong.to_string()))?;
                bytes.read_exact(read)?;
                Self::from_bytes(read).map_err(|error| tls_codec::Error::DecodingError(error.to_string()))
            }
        }
    };
}

identifier!(
    /// A user, `mimi://a.example/u/alice`, or a pseudonym, `mimi://a.example/p/x`; or a provider in its own right,
    /// `mimi://a.example`, which is how a hub stands in the participant list of its rooms (reading P-8).
    UserUri, ("u" | "p", 1) | ("", 0)
);
identifier!(
    /// A client, `mimi://a.example/d/alice/phone` or `mimi://a.example/d/phone`.
    ClientUri, ("d", 1 | 2)
);
identifier!(
    /// A room, `mimi://a.example/r/clubhouse`.
    RoomUri, ("r", 1)
);
identifier!(
    /// An MLS group, `mimi://a.example/g/clubhouse`.
    GroupUri, ("g", 1)
);

impl UserUri {
    /// The user of `domain` whose segment stands for `local`, with everything escaped that must be (RFC 3986, section 3.3).
    ///
    /// # Errors
    ///
    /// [`UriError`] when `local` is empty or too long.
    pub fn named(domain: &Domain, local: &str) -> Result<Self, UriError> {
        Self::parse(&format!("mimi://{domain}/u/{}", escaped(local.as_bytes())))
    }

    /// The same user in small letters, as identity providers tell users apart (RFC 7643, section 4.1.1: `userName` is not
    /// `caseExact`). MIMI itself tells `Alice` from `alice` (reading D-6), so this names a user for nothing but a look-up.
    pub fn folded(&self) -> Self {
        let text = &self.0["mimi://".len()..];
        let Some((domain, segment)) = text.split_once("/u/") else { return self.clone() };
        if !segment.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'%') {
            return self.clone();
        }
        let folded = match String::from_utf8(unescaped(segment.as_bytes())) {
            // Letter by letter: the end of a word makes no difference.
            Ok(text) => text.chars().flat_map(char::to_lowercase).collect::<String>().into_bytes(),
            Err(other) => other.into_bytes().to_ascii_lowercase(),
        };
        Self::parse(&format!("mimi://{domain}/u/{}", escaped(&folded))).unwrap_or_else(|_| self.clone())
    }

    /// The identifier under which the provider `domain` itself is listed.
    pub fn provider(domain: &Domain) -> Self {
        Self(format!("mimi://{domain}").into())
    }

    /// Whether this names a provider and not one of its users.
    pub fn is_provider(&self) -> bool {
        !self.0["mimi://".len()..].contains('/')
    }

    /// Whether this is a pseudonym.
    pub fn is_pseudonym(&self) -> bool {
        self.0["mimi://".len()..].split('/').nth(1) == Some("p")
    }
}

impl ClientUri {
    /// The user that a basic credential with this client binds to (reading D-7): only the form
    /// `/d/{user}/{client}` names one.
    pub fn user(&self) -> Option<UserUri> {
        let mut parts = self.0["mimi://".len()..].split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(host), Some(_), Some(user), Some(_client)) => Some(UserUri(format!("mimi://{host}/u/{user}").into())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_of_the_draft_are_accepted() {
        assert!(UserUri::parse("mimi://b.example/u/bob").is_ok());
        assert!(ClientUri::parse("mimi://b.example/d/bob/phone").is_ok());
        assert!(ClientUri::parse("mimi://b.example/d/ClientA1").is_ok());
        assert!(RoomUri::parse("mimi://hub.example/r/Rl33FWLCYWOwxHrYnpWDQg").is_ok());
    }

    #[test]
    fn users_are_folded_as_identity_providers_tell_them_apart() {
        for (user, folded) in [
            ("a.example/u/alice", "a.example/u/alice"),
            ("a.example/u/ALice", "a.example/u/alice"),
            ("a.example/u/%C3%84nne%2FX", "a.example/u/%C3%A4nne%2Fx"),
            ("a.example/u/%C3%A4nne", "a.example/u/%C3%A4nne"),
            ("a.example/u/o%27Hara", "a.example/u/o'hara"),
            ("a.example/u/A%FF", "a.example/u/a%FF"),
            ("a.example/p/X", "a.example/p/X"),
            ("a.example", "a.example"),
        ] {
            let (user, folded) = (format!("mimi://{user}"), format!("mimi://{folded}"));
            let of = UserUri::parse(&user).unwrap().folded();
            assert_eq!((of.as_str(), of.folded().as_str()), (folded.as_str(), folded.as_str()), "{user}");
        }
        let long = UserUri::parse(&format!("mimi://a.example/u/A{}", "%C4%B0".repeat(160))).unwrap();
        assert!(long.folded().as_str().len() <= MAX_URI_BYTES);
        let domain = Domain::parse("a.example").unwrap();
        assert_eq!(UserUri::named(&domain, "Ann o'Hara").unwrap().folded().as_str(), "mimi://a.example/u/ann%20o'hara");
        assert_eq!(UserUri::named(&domain, ""), Err(UriError::Segment));
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        for (text, error) in [
            ("MIMI://b.example/u/bob", UriError::Scheme),
            ("mimi://B.example/u/bob", UriError::Host),
            ("mimi://b.example:443/u/bob", UriError::Host),
            ("mimi://b.example./u/bob", UriError::Host),
            ("mimi://localhost/u/bob", UriError::Host),
            ("mimi://b.example/b/bob", UriError::Kind),
            ("mimi://b.example/u/bob/x", UriError::Kind),
            ("mimi://b.example/u", UriError::Kind),
            ("mimi://b.example/u/", UriError::Segment),
            ("mimi://b.example/u/b%6fb", UriError::Segment),
            ("mimi://b.example/u/b%2fb", UriError::Segment),
            ("mimi://b.example/u/b%6Fb", UriError::Segment),
            ("mimi://b.example/u/bob?x", UriError::Segment),
            ("mimi://b.example/u/b ob", UriError::Segment),
        ] {
            assert_eq!(UserUri::parse(text), Err(error), "{text}");
        }
        assert!(UserUri::parse("mimi://b.example/u/b%2Fb").is_ok());
    }

    #[test]
    fn a_provider_is_listed_under_its_bare_domain() {
        let hub = UserUri::parse("mimi://a.example").unwrap();
        assert_eq!(hub, UserUri::provider(&Domain::parse("a.example").unwrap()));
        assert!(hub.is_provider());
        let alice = UserUri::parse("mimi://a.example/u/alice").unwrap();
        assert!(!alice.is_provider() && !alice.is_pseudonym());
        assert!(UserUri::parse("mimi://a.example/p/x").unwrap().is_pseudonym());
        assert_eq!(RoomUri::parse("mimi://a.example"), Err(UriError::Kind));
        assert_eq!(UserUri::parse("mimi://a.example/"), Err(UriError::Kind));
    }

    #[test]
    fn a_client_names_its_user_only_in_two_segments() {
        let user = |text: &str| ClientUri::parse(text).unwrap().user().map(String::from);
        assert_eq!(user("mimi://b.example/d/bob/phone").as_deref(), Some("mimi://b.example/u/bob"));
        assert_eq!(user("mimi://b.example/d/phone"), None);
    }
}
