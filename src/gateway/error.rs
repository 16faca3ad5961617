use portcullis_store::StoreError;
use uuid::Uuid;

use super::decide::Decision;
use crate::limits::TooMany;

/// Why a use case gives no protocol answer. A refusal that the protocol can express is an answer, not an error.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The body is not what the endpoint takes. HTTP 400.
    #[error("body is malformed")]
    Decode(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The caller speaks for somebody it may not speak for. HTTP 403.
    #[error("caller may not act for this identity")]
    WrongIdentity,
    /// Policy or the state of things refuses, on an endpoint whose answer has no field for it. HTTP 403.
    #[error("{sentence}")]
    Refused {
        /// Documented deny code, such as `not_allowed`.
        code: &'static str,
        /// A neutral sentence, or the policy's public message.
        sentence: String,
        /// The decision in the audit log.
        decision: Option<Uuid>,
    },
    /// The room, user or device is not known here. HTTP 404.
    #[error("not found")]
    NotFound,
    /// It exists already, or is in a state that does not take this. HTTP 409.
    #[error("in conflict with what exists")]
    Conflict,
    /// The key of the request was used before with another body. HTTP 422.
    #[error("this `Idempotency-Key` was used before with another body")]
    KeyReused,
    /// Too much at once, or no durable audit record can be written. HTTP 503 with Retry-After.
    #[error("temporarily unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// More requests than the limit allows. HTTP 429 with Retry-After.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// The other provider cannot be reached or does not answer. HTTP 502.
    #[error("other provider does not answer")]
    PeerUnreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A fault of our own. HTTP 500.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl GatewayError {
    pub(crate) fn decode(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Decode(source.into())
    }

    pub(crate) fn busy(why: &'static str) -> Self {
        Self::Unavailable(why.into())
    }

    pub(crate) fn peer(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::PeerUnreachable(source.into())
    }

    pub(super) fn refused(decision: &Decision) -> Self {
        Self::Refused { code: decision.code, sentence: decision.sentence.clone(), decision: Some(decision.id()) }
    }

    pub(crate) fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }
}

impl From<StoreError> for GatewayError {
    /// What the caller may try again, because it has not happened or because the same request gets the stored answer,
    /// and what is a fault of ours.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy
            | StoreError::Closed
            | StoreError::EpochMoved { .. }
            | StoreError::AlreadyAnswered
            | StoreError::KeyTaken
            | StoreError::LeaseLost
            | StoreError::AuditUnavailable(_)
            | StoreError::CommitUnknown
            | StoreError::Undone
            | StoreError::Database(_) => Self::Unavailable(Box::new(error)),
            StoreError::NoRoom | StoreError::Missing => Self::NotFound,
            StoreError::Exists => Self::Conflict,
            // The database holds numbers of 63 bits; a larger one is never ours.
            StoreError::OutOfRange => Self::Decode(Box::new(error)),
            StoreError::Panicked
            | StoreError::Corrupt(_)
            | StoreError::Sealed
            | StoreError::Open(_)
            | StoreError::Migrate(_) => Self::Internal(Box::new(error)),
        }
    }
}
