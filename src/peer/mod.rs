//! The client side of the federation: posts to other providers over mutual TLS, each of our domains with its own
//! certificate, at the addresses that the other provider's directory names.

mod card;
mod client;
mod directory;
mod error;
mod list;
mod tls;

#[cfg(test)]
pub(crate) mod testing;

pub use card::{CardError, CertificateEnd, PeerCard};
pub use client::Peers;
pub(crate) use client::{read, retry_after};
pub(crate) use directory::{DIRECTORY_LIMIT_BYTES, directory_url};
pub use directory::{DIRECTORY_PATH, OHTTP_PATH, directory_json};
pub use error::{PeerError, SetupError, causes};
pub use list::{Listed, PeerList};
pub use tls::{Identity, TlsMaterial, has_pin};

use std::time::Duration;

use actix_web::web::Bytes;
use portcullis_core::wire::uri::{Domain, RoomUri, UserUri};

/// What of another provider is called, and about what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Claims KeyPackages of this user's clients.
    KeyMaterial(UserUri),
    /// Changes the group of this room.
    Update(RoomUri),
    /// Sends an application message to this room.
    SubmitMessage(RoomUri),
    /// Delivers events of this room. Its answer has no body; whatever stands there is not read.
    Notify(RoomUri),
    /// Asks for the GroupInfo of this room.
    GroupInfo(RoomUri),
    /// Asks this user for consent, or no longer. Its answer has no body.
    RequestConsent(UserUri),
    /// Gives this user consent, or takes it back. Its answer has no body.
    UpdateConsent(UserUri),
    /// Reports messages of this room. Its answer has no body.
    ReportAbuse(RoomUri),
    /// Looks for users of this provider.
    IdentifierQuery(Domain),
    /// Fetches the file at this URL by way of a hub. Asked by GET; its answer is passed on as it comes.
    ProxyDownload(String),
}

impl Endpoint {
    /// The key in the directory.
    fn key(&self) -> &'static str {
        match self {
            Self::KeyMaterial(_) => "keyMaterial",
            Self::Update(_) => "update",
            Self::SubmitMessage(_) => "submitMessage",
            Self::Notify(_) => "notify",
            Self::GroupInfo(_) => "groupInfo",
            Self::RequestConsent(_) => "requestConsent",
            Self::UpdateConsent(_) => "updateConsent",
            Self::ReportAbuse(_) => "reportAbuse",
            Self::IdentifierQuery(_) => "identifierQuery",
            Self::ProxyDownload(_) => "proxyDownload",
        }
    }

    /// Names and values that the template may have as its variable (reading D-16).
    fn variables(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::KeyMaterial(user) => vec![("targetUser", user.to_string())],
            Self::Update(room)
            | Self::SubmitMessage(room)
            | Self::Notify(room)
            | Self::GroupInfo(room)
            | Self::ReportAbuse(room) => vec![("roomId", room.to_string())],
            Self::RequestConsent(user) => {
                vec![("targetDomain", user.domain().to_string()), ("targetUser", user.to_string())]
            }
            Self::UpdateConsent(user) => {
                vec![("requesterDomain", user.domain().to_string()), ("requesterUser", user.to_string())]
            }
            Self::IdentifierQuery(domain) => vec![("domain", domain.to_string())],
            Self::ProxyDownload(url) => vec![("downloadUrl", url.clone())],
        }
    }

    /// Longest answer that is read, in bytes.
    fn answer_limit_bytes(&self) -> usize {
        match self {
            Self::KeyMaterial(_) => 1 << 20,
            Self::Update(_) | Self::SubmitMessage(_) => 256 << 10,
            Self::Notify(_)
            | Self::RequestConsent(_)
            | Self::UpdateConsent(_)
            | Self::ReportAbuse(_)
            | Self::ProxyDownload(_) => 0,
            Self::IdentifierQuery(_) => 4 << 20,
            Self::GroupInfo(_) => 16 << 20,
        }
    }
}

/// What a provider answered with a status of 2xx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAnswer {
    /// HTTP status, 200 to 299.
    pub status: u16,
    /// The body; empty for endpoints whose answer has none.
    pub body: Bytes,
}

/// Uniform over all of `u32`, for jitter; without randomness there is none, which is no reason to stop.
pub(crate) fn random() -> u32 {
    let mut bytes = [0; 4];
    aws_lc_rs::rand::fill(&mut bytes).map_or(0, |()| u32::from_be_bytes(bytes))
}

/// How long a connection may take to come up, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a directory may take: less than an exchange, so that all who wait for it learn that it failed.
const DIRECTORY_TIMEOUT: Duration = Duration::from_secs(15);

/// How long one exchange may take, from the directory to the last byte of the answer.
pub(crate) const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(30);
