//! The directory of a provider: which address serves which endpoint (readings D-16 to D-18).

use std::time::Duration;

use portcullis_core::wire::directory::{Directory, TemplateError};
use portcullis_core::wire::uri::Domain;
use reqwest::Url;

use super::Endpoint;

/// Where a provider publishes its directory.
pub const DIRECTORY_PATH: &str = "/.well-known/mimi-protocol-directory";

/// Where a provider has its directory of whom nothing else is known than its name.
pub(crate) fn directory_url(domain: &Domain) -> String {
    format!("https://{domain}{DIRECTORY_PATH}")
}

/// Where a provider has its gateway of Oblivious HTTP, with its keys (RFC 9540, section 4).
pub const OHTTP_PATH: &str = "/.well-known/ohttp-gateway";

/// Longest directory that is read, in bytes.
pub(crate) const DIRECTORY_LIMIT_BYTES: usize = 64 << 10;

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It cannot be fetched.
    #[error("directory cannot be fetched")]
    Fetch(#[source] reqwest::Error),
    /// The directory's server answered with something else than 200.
    #[error("directory answered with status {status}")]
    Status {
        /// HTTP status.
        status: u16,
        /// How long it asks us to wait.
        retry_after: Option<Duration>,
    },
    /// Longer than any directory needs to be.
    #[error("directory is longer than {DIRECTORY_LIMIT_BYTES} bytes")]
    Oversize,
    /// Another caller has just failed to fetch it.
    #[error("directory could not be fetched a moment ago")]
    JustFailed,
    /// Not a JSON object.
    #[error("directory is not a JSON object")]
    Json(#[source] serde_json::Error),
    /// An endpoint that this provider does not offer, or not as text.
    #[error("directory does not name `{0}`")]
    Missing(&'static str),
    /// A template that is not one.
    #[error("directory has no usable template for `{key}`")]
    Template {
        /// The endpoint.
        key: &'static str,
        /// Why.
        #[source]
        source: TemplateError,
    },
    /// An address that is no absolute `https:` URL.
    #[error("directory names no https URL for `{0}`")]
    Url(&'static str),
}

/// The address of `endpoint` in a provider's directory.
pub(super) fn url_of(directory: &Directory, endpoint: &Endpoint) -> Result<Url, DirectoryError> {
    let key = endpoint.key();
    let variables = endpoint.variables();
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let url = directory.url(key, &variables).map_err(|source| DirectoryError::Template { key, source })?;
    https(&url.ok_or(DirectoryError::Missing(key))?, key)
}

/// Where a provider has its gateway of Oblivious HTTP (reading D-58).
pub(super) fn ohttp_gateway(directory: &Directory) -> Result<Url, DirectoryError> {
    const KEY: &str = "ohttpGateway";
    https(directory.address(KEY).ok_or(DirectoryError::Missing(KEY))?, KEY)
}

fn https(url: &str, key: &'static str) -> Result<Url, DirectoryError> {
    match Url::parse(url) {
        Ok(url) if url.scheme() == "https" && url.username().is_empty() && url.password().is_none() => Ok(url),
        Ok(_) | Err(_) => Err(DirectoryError::Url(key)),
    }
}

/// The directory that we publish: the endpoints this gateway serves, under `origin` such as `https://a.example:8443`.
pub fn directory_json(origin: &str) -> serde_json::Value {
    let origin = origin.trim_end_matches('/');
    serde_json::json!({
        "keyMaterial": format!("{origin}/v1/keyMaterial/{{targetUser}}"),
        "update": format!("{origin}/v1/update/{{roomId}}"),
        "notify": format!("{origin}/v1/notify/{{roomId}}"),
        "submitMessage": format!("{origin}/v1/submitMessage/{{roomId}}"),
        "groupInfo": format!("{origin}/v1/groupInfo/{{roomId}}"),
        "requestConsent": format!("{origin}/v1/requestConsent/{{targetDomain}}"),
        "updateConsent": format!("{origin}/v1/updateConsent/{{requesterDomain}}"),
        "reportAbuse": format!("{origin}/v1/reportAbuse/{{roomId}}"),
        "identifierQuery": format!("{origin}/v1/identifierQuery/{{domain}}"),
        "proxyDownload": format!("{origin}/v1/proxyDownload/{{downloadUrl}}"),
        "ohttpGateway": format!("{origin}{OHTTP_PATH}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_core::wire::uri::{RoomUri, UserUri};

    fn room() -> RoomUri {
        RoomUri::parse("mimi://a.example/r/clubhouse").unwrap()
    }

    fn alice() -> UserUri {
        UserUri::parse("mimi://a.example/u/alice").unwrap()
    }

    #[test]
    fn our_own_directory_serves_every_endpoint() {
        let directory = Directory::parse(directory_json("https://a.example:8443/").to_string().as_bytes()).unwrap();
        let url = |endpoint| url_of(&directory, &endpoint).unwrap().to_string();
        let path = "mimi%3A%2F%2Fa.example%2Fr%2Fclubhouse";
        assert_eq!(url(Endpoint::Update(room())), format!("https://a.example:8443/v1/update/{path}"));
        assert_eq!(url(Endpoint::Notify(room())), format!("https://a.example:8443/v1/notify/{path}"));
        assert_eq!(url(Endpoint::SubmitMessage(room())), format!("https://a.example:8443/v1/submitMessage/{path}"));
        assert_eq!(url(Endpoint::GroupInfo(room())), format!("https://a.example:8443/v1/groupInfo/{path}"));
        assert_eq!(url(Endpoint::ReportAbuse(room())), format!("https://a.example:8443/v1/reportAbuse/{path}"));
        assert_eq!(
            url(Endpoint::KeyMaterial(alice())),
            "https://a.example:8443/v1/keyMaterial/mimi%3A%2F%2Fa.example%2Fu%2Falice"
        );
        assert_eq!(url(Endpoint::RequestConsent(alice())), "https://a.example:8443/v1/requestConsent/a.example");
        assert_eq!(url(Endpoint::UpdateConsent(alice())), "https://a.example:8443/v1/updateConsent/a.example");
        let query = Endpoint::IdentifierQuery(alice().domain());
        assert_eq!(url(query), "https://a.example:8443/v1/identifierQuery/a.example");
        let file = Endpoint::ProxyDownload("https://files.b.example/a%20b?c".to_owned());
        let path = "https%3A%2F%2Ffiles.b.example%2Fa%2520b%3Fc";
        assert_eq!(url(file), format!("https://a.example:8443/v1/proxyDownload/{path}"));
    }

    #[test]
    fn a_directory_may_name_the_user_where_another_names_the_domain() {
        let text = br#"{"requestConsent": "https://a.example/{targetUser}", "updateConsent": "https://a.example/{requesterUser}"}"#;
        let directory = Directory::parse(text).unwrap();
        for endpoint in [Endpoint::RequestConsent(alice()), Endpoint::UpdateConsent(alice())] {
            let url = url_of(&directory, &endpoint).unwrap();
            assert_eq!(url.as_str(), "https://a.example/mimi%3A%2F%2Fa.example%2Fu%2Falice");
        }
    }

    #[test]
    fn unknown_keys_are_ignored_and_missing_ones_are_an_error() {
        let directory = Directory::parse(br#"{"x": 1, "update": "https://a.example/{roomId}"}"#).unwrap();
        assert!(url_of(&directory, &Endpoint::Update(room())).is_ok());
        assert!(matches!(url_of(&directory, &Endpoint::Notify(room())), Err(DirectoryError::Missing("notify"))));
    }

    #[test]
    fn only_https_addresses_are_used() {
        for address in ["http://a.example/{roomId}", "/v1/update/{roomId}", "https://u:p@a.example/{roomId}"] {
            let directory = Directory::parse(serde_json::json!({ "update": address }).to_string().as_bytes()).unwrap();
            assert!(
                matches!(url_of(&directory, &Endpoint::Update(room())), Err(DirectoryError::Url("update"))),
                "{address}"
            );
        }
    }
}
