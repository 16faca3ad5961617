use portcullis_core::wire::DecodeError;

use crate::provider::ProblemDetails;

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The origin is no URL that paths can follow.
    #[error("origin of the provider door is not usable")]
    Origin,
    /// The gateway refused, and said why.
    #[error("{} ({}): {}", .0.code, .0.status, .0.detail)]
    Refused(Box<ProblemDetails>),
    /// The gateway, or something before it, answered without details.
    #[error("answered with status {0}")]
    Status(u16),
    /// The answer is not the structure of its route.
    #[error("answer is malformed")]
    Decode(#[source] DecodeError),
    /// An event is not what the stream sends.
    #[error("event is malformed")]
    Event,
    /// The device is read by a newer stream.
    #[error("the device is read by a newer stream")]
    Superseded,
    /// The gateway does not answer.
    #[error("gateway does not answer")]
    Http(#[from] reqwest::Error),
}

impl ClientError {
    /// The details of a refusal.
    pub fn problem(&self) -> Option<&ProblemDetails> {
        match self {
            Self::Refused(problem) => Some(problem),
            Self::Origin | Self::Status(_) | Self::Decode(_) | Self::Event | Self::Superseded | Self::Http(_) => None,
        }
    }
}
