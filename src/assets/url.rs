use std::fmt;
use std::str::FromStr;

use portcullis_core::wire::uri::Domain;
use reqwest::Url;

/// Longest URL, in bytes.
const LONGEST: usize = 4096;

/// The address of a file: `https:`, at port 443 of a host that has a name, without credentials and without a fragment
/// (reading D-57).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetUrl {
    url: Url,
    host: Domain,
}

/// Not the address of a file that may be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an https URL of a named host, without port, credentials or fragment, of at most {LONGEST} bytes")]
pub struct AssetUrlError;

impl AssetUrl {
    /// Reads an absolute URL. It is not repaired: what a parser would strip or turn into something else is refused.
    ///
    /// # Errors
    ///
    /// [`AssetUrlError`].
    pub fn parse(text: &str) -> Result<Self, AssetUrlError> {
        let authority = text.strip_prefix("https://").and_then(|rest| rest.split(['/', '?', '#']).next());
        let plain = text.len() <= LONGEST
            && authority.is_some_and(|authority| !authority.contains('@'))
            && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        let url = if plain { Url::parse(text).map_err(|_| AssetUrlError)? } else { return Err(AssetUrlError) };
        Self::of(url)
    }

    /// Where a redirect leads to.
    ///
    /// # Errors
    ///
    /// [`AssetUrlError`].
    pub fn join(&self, location: &str) -> Result<Self, AssetUrlError> {
        let url = self.url.join(location).map_err(|_| AssetUrlError)?;
        Self::parse(url.as_str())
    }

    fn of(url: Url) -> Result<Self, AssetUrlError> {
        // Of an address there is no domain; neither has it two labels of letters when it is written like a name.
        let host = url.domain().and_then(|host| Domain::parse(host).ok()).ok_or(AssetUrlError)?;
        let bare =
            url.port().is_none() && url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        if bare && url.scheme() == "https" { Ok(Self { url, host }) } else { Err(AssetUrlError) }
    }

    /// The name of the host.
    pub fn host(&self) -> &Domain {
        &self.host
    }

    /// For the request.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }
}

impl FromStr for AssetUrl {
    type Err = AssetUrlError;

    fn from_str(text: &str) -> Result<Self, AssetUrlError> {
        Self::parse(text)
    }
}

impl fmt::Display for AssetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_at_a_named_host_is_taken() {
        for text in [
            "https://files.a.example/",
            "https://files.a.example/a%20b/c?x=1&y=%2F",
            "https://files.a.example:443/a",
            "https://files.a.example/@b/c@d",
            "https://xn--bcher-kva.example/a",
        ] {
            assert!(AssetUrl::parse(text).is_ok(), "{text}");
        }
        assert_eq!(AssetUrl::parse("https://FILES.a.example/").unwrap().host().as_str(), "files.a.example");
    }

    #[test]
    fn whatever_is_not_plainly_such_a_file_is_refused() {
        let long = format!("https://files.a.example/{}", "a".repeat(LONGEST));
        for text in [
            "http://files.a.example/a",
            "ftp://files.a.example/a",
            "https:/files.a.example/a",
            "//files.a.example/a",
            "files.a.example/a",
            "https://files.a.example:8443/a",
            "https://files.a.example:80/a",
            "https://u@files.a.example/a",
            "https://u:p@files.a.example/a",
            "https://@files.a.example/a",
            "https://files.a.example@evil.example/a",
            "https://files.a.example/a#b",
            "https://files.a.example./a",
            "https://files/a",
            "https://localhost/a",
            "https://127.0.0.1/a",
            "https://127.1/a",
            "https://2130706433/a",
            "https://0x7f.0.0.1/a",
            "https://017700000001/a",
            "https://[::1]/a",
            "https://[::ffff:127.0.0.1]/a",
            "https://files.a.example\\@evil.example/a",
            "https://files.a.example/a b",
            "https://files.a.example/\n",
            " https://files.a.example/",
            "https://files.a.example/ü",
            &long,
        ] {
            assert_eq!(AssetUrl::parse(text), Err(AssetUrlError), "{text}");
        }
    }

    #[test]
    fn a_redirect_leads_to_a_file_of_the_same_kind_or_nowhere() {
        let from = AssetUrl::parse("https://files.a.example/a/b").unwrap();
        assert_eq!(from.join("/c").unwrap().as_str(), "https://files.a.example/c");
        assert_eq!(from.join("//media.a.example/c").unwrap().host().as_str(), "media.a.example");
        for location in ["http://files.a.example/c", "https://127.0.0.1/", "https://u@files.a.example/", "data:,x"] {
            assert_eq!(from.join(location), Err(AssetUrlError), "{location}");
        }
    }
}
