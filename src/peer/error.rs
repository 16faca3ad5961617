use std::path::PathBuf;
use std::time::Duration;

use portcullis_core::wire::uri::Domain;

use super::directory::DirectoryError;

/// Why a provider gave no usable answer (reading D-14).
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// We do not federate with this provider.
    #[error("`{0}` is not among the peers")]
    UnknownPeer(Domain),
    /// An operator has blocked this provider. Trying again may help once it is allowed again.
    #[error("`{0}` is blocked")]
    Blocked(Domain),
    /// Nobody knows which keys are this provider's. Trying again may help once its card was taken again.
    #[error("the card of `{0}` cannot be read")]
    UnreadableCard(Domain),
    /// No client for this provider can be made.
    #[error("nothing can be sent to this provider")]
    Unusable(#[source] Box<SetupError>),
    /// We hold no certificate for this domain.
    #[error("`{0}` is not a domain of this gateway")]
    UnknownOwn(Domain),
    /// The provider cannot be reached or does not answer in time. Trying again may help.
    #[error("provider cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// The exchange took too long. Trying again may help.
    #[error("provider did not answer in time")]
    TimedOut,
    /// Its directory cannot be used. Trying again may help.
    #[error("directory of the provider cannot be used")]
    Directory(#[from] DirectoryError),
    /// It answered with 408, 425, 429, 5xx or a redirect. Trying again may help.
    #[error("provider answered with the transient status {status}")]
    Transient {
        /// HTTP status.
        status: u16,
        /// How long it asks us to wait.
        retry_after: Option<Duration>,
    },
    /// It answered with another 4xx. The same request will not be taken later either.
    #[error("provider answered with the permanent status {status}")]
    Permanent {
        /// HTTP status.
        status: u16,
    },
    /// Its answer is longer than the endpoint's answers may be.
    #[error("answer is longer than {limit_bytes} bytes")]
    Oversize {
        /// The limit.
        limit_bytes: usize,
    },
}

impl PeerError {
    /// Whether the same request may be answered later (reading D-14).
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Blocked(_)
            | Self::UnreadableCard(_)
            | Self::Unreachable(_)
            | Self::TimedOut
            | Self::Directory(_)
            | Self::Transient { .. } => true,
            Self::UnknownPeer(_)
            | Self::Unusable(_)
            | Self::UnknownOwn(_)
            | Self::Permanent { .. }
            | Self::Oversize { .. } => false,
        }
    }

    /// How long the provider asks us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Transient { retry_after, .. } | Self::Directory(DirectoryError::Status { retry_after, .. }) => {
                *retry_after
            }
            Self::UnknownPeer(_)
            | Self::Blocked(_)
            | Self::UnreadableCard(_)
            | Self::Unusable(_)
            | Self::UnknownOwn(_)
            | Self::Unreachable(_)
            | Self::TimedOut
            | Self::Directory(_)
            | Self::Permanent { .. }
            | Self::Oversize { .. } => None,
        }
    }

    /// The HTTP status that the provider answered with, where it did and that is the error.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Transient { status, .. } | Self::Permanent { status } => Some(*status),
            Self::UnknownPeer(_)
            | Self::Blocked(_)
            | Self::UnreadableCard(_)
            | Self::Unusable(_)
            | Self::UnknownOwn(_)
            | Self::Unreachable(_)
            | Self::TimedOut
            | Self::Directory(_)
            | Self::Oversize { .. } => None,
        }
    }
}

/// Why keys or certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A PEM file that cannot be read or holds nothing of the kind.
    #[error("cannot read a {what} from `{}`", path.display())]
    Pem {
        /// What the file should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// A certificate that cannot be a trust anchor.
    #[error("certificate in `{}` cannot be a trust anchor", path.display())]
    Anchor {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// A certificate and key that do not go together, or of an unknown kind.
    #[error("certificate and key of `{domain}` cannot be used")]
    Identity {
        /// Whose they are.
        domain: Domain,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// No trust anchors, or none that can be used.
    #[error("trust anchors cannot be used")]
    Trust(#[source] rustls::client::VerifierBuilderError),
    /// A TLS setting that the library refuses.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// An HTTP client that cannot be built.
    #[error("HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
    /// A socket that cannot be served.
    #[error("socket cannot be served")]
    Socket(#[source] std::io::Error),
    /// A directory address that is no `https:` URL.
    #[error("directory `{url}` of the peer `{domain}` is no https URL")]
    DirectoryUrl {
        /// The peer.
        domain: Domain,
        /// What stands in the configuration.
        url: String,
    },
}

/// The error and everything beneath it, for the log and for operators.
pub fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
