//! What a request is about: the identifier in the path of its URL.

use std::str::FromStr;

use super::uri::UriError;

/// Why a path names nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// A path of another shape, which no endpoint has.
    #[error("path is of no endpoint")]
    NoRoute,
    /// What it names is no identifier of the kind that the endpoint is about.
    #[error("path does not name what the endpoint is about")]
    Uri(#[from] UriError),
}

/// Reads `/v1/{endpoint}/` and then the identifier percent-encoded as a whole, or, as in the figures of the draft,
/// `host/kind/id` (reading D-17).
///
/// # Errors
///
/// [`TargetError`] when nothing, or nothing of that kind, is named.
pub fn target<T: FromStr<Err = UriError>>(path: &str) -> Result<T, TargetError> {
    let rest = path.splitn(4, '/').nth(3).ok_or(TargetError::NoRoute)?;
    let uri = match rest.split('/').collect::<Vec<_>>().as_slice() {
        [whole] => percent_decode(whole).ok_or(TargetError::Uri(UriError::Scheme))?,
        [_host, _kind, _id] => format!("mimi://{rest}"),
        _ => return Err(TargetError::NoRoute),
    };
    uri.parse().map_err(TargetError::Uri)
}

/// Reads `/v1/{endpoint}/` and then something else that is percent-encoded as a whole.
///
/// # Errors
///
/// [`TargetError`] when it is not encoded, or not as a whole.
pub fn whole(path: &str) -> Result<String, TargetError> {
    let rest = path.splitn(4, '/').nth(3).filter(|rest| !rest.contains('/')).ok_or(TargetError::NoRoute)?;
    percent_decode(rest).ok_or(TargetError::Uri(UriError::Scheme))
}

fn percent_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |byte| char::from(byte).to_digit(16);
            let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
            decoded.push(u8::try_from(high << 4 | low).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::uri::{RoomUri, UserUri};

    #[test]
    fn the_encoded_and_the_pictured_form_name_the_same_room() {
        let clubhouse = RoomUri::parse("mimi://a.example/r/clubhouse").unwrap();
        for path in [
            "/v1/update/mimi%3A%2F%2Fa.example%2Fr%2Fclubhouse",
            "/v1/update/mimi:%2f%2fa.example%2fr%2fclubhouse",
            "/v1/update/a.example/r/clubhouse",
        ] {
            assert_eq!(target::<RoomUri>(path).unwrap(), clubhouse, "{path}");
        }
    }

    #[test]
    fn escapes_inside_an_identifier_survive_both_forms() {
        let bob = UserUri::parse("mimi://b.example/u/b%2Fb").unwrap();
        for path in ["/v1/keyMaterial/mimi%3A%2F%2Fb.example%2Fu%2Fb%252Fb", "/v1/keyMaterial/b.example/u/b%2Fb"] {
            assert_eq!(target::<UserUri>(path).unwrap(), bob, "{path}");
        }
    }

    #[test]
    fn something_else_is_decoded_once_and_as_a_whole() {
        let file = whole("/v1/proxyDownload/https%3A%2F%2Ffiles.b.example%2Fa%2520b%3Fc%3D%252F").unwrap();
        assert_eq!(file, "https://files.b.example/a%20b?c=%2F");
        for path in ["/v1/proxyDownload/https://files.b.example/a", "/v1/proxyDownload", "/v1/proxyDownload/a/"] {
            assert_eq!(whole(path), Err(TargetError::NoRoute), "{path}");
        }
        assert!(whole("/v1/proxyDownload/%f").is_err() && whole("/v1/proxyDownload/%ff").is_err());
    }

    #[test]
    fn what_names_no_room_is_malformed_and_another_shape_is_no_route() {
        for path in [
            "/v1/update/mimi%3A%2F%2Fa.example%2Fu%2Falice",
            "/v1/update/mimi%3A%2F%2FA.example%2Fr%2Fclubhouse",
            "/v1/update/a.example/u/alice",
            "/v1/update/%",
            "/v1/update/%ff",
            "/v1/update/",
        ] {
            assert!(matches!(target::<RoomUri>(path), Err(TargetError::Uri(_))), "{path}");
        }
        for path in ["/v1/update", "/v1/update/a.example/clubhouse", "/v1/update/a.example/r/clubhouse/x"] {
            assert!(matches!(target::<RoomUri>(path), Err(TargetError::NoRoute)), "{path}");
        }
    }
}
