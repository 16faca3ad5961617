//! Refusals of handshakes, and failures of our own.

use openmls::group::{ProposalValidationError, PublicProcessMessageError, StageCommitError, ValidationError};
use openmls::key_packages::errors::KeyPackageVerifyError;
use openmls::prelude::CreationFromExternalError;
use openmls::treesync::errors::LeafNodeValidationError;

use crate::wire::DecodeError;

use super::checks::CheckId;

/// Why a handshake is refused: always the sender's doing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// It is for another epoch than the current one.
    #[error("handshake is for another epoch than {current}")]
    WrongEpoch {
        /// The epoch the group is in.
        current: u64,
    },
    /// Proposals in it are not valid.
    #[error("proposals are refused by check {check}")]
    InvalidProposals {
        /// Which check refused.
        check: CheckId,
        /// ProposalRefs of those that were sent before the commit, or that stand alone (reading D-29).
        references: Vec<Vec<u8>>,
        /// Position in the commit or bundle of the first of them, where it is known.
        position: Option<usize>,
    },
    /// It is not valid as a whole.
    #[error("handshake is refused by check {check}")]
    NotAllowed {
        /// Which check refused.
        check: CheckId,
    },
}

impl HandshakeError {
    /// The code that is told to the sender.
    pub fn code(&self) -> &'static str {
        match self {
            Self::WrongEpoch { .. } => "wrong_epoch",
            Self::InvalidProposals { .. } => "invalid_proposal",
            Self::NotAllowed { .. } => "not_allowed",
        }
    }

    /// The name of the check that refused.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::WrongEpoch { .. } => "epoch",
            Self::InvalidProposals { check, .. } | Self::NotAllowed { check } => check.name(),
        }
    }

    /// Which check refused; `None` for a wrong epoch.
    pub fn check(&self) -> Option<CheckId> {
        match self {
            Self::WrongEpoch { .. } => None,
            Self::InvalidProposals { check, .. } | Self::NotAllowed { check } => Some(*check),
        }
    }

    pub(super) fn proposals(check: CheckId) -> Self {
        Self::InvalidProposals { check, references: Vec::new(), position: None }
    }

    /// The same, about the proposal with this reference and position.
    pub(super) fn about(self, reference: Option<&[u8]>, position: Option<usize>) -> Self {
        match self {
            Self::InvalidProposals { check, .. } => {
                Self::InvalidProposals { check, references: reference.iter().map(|it| it.to_vec()).collect(), position }
            }
            error @ (Self::WrongEpoch { .. } | Self::NotAllowed { .. }) => error,
        }
    }
}

impl From<CheckId> for HandshakeError {
    fn from(check: CheckId) -> Self {
        Self::NotAllowed { check }
    }
}

/// Why a group cannot be founded, kept or restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MlsError {
    /// GroupInfo or tree do not decode.
    #[error("group is malformed")]
    Malformed(#[from] DecodeError),
    /// GroupInfo or tree are not those of a valid group.
    #[error("group is refused by check {0}")]
    Refused(CheckId),
    /// The snapshot is none of this version.
    #[error("snapshot does not restore")]
    Snapshot,
    /// The staged change is not of the epoch the group is in.
    #[error("staged change is of another epoch")]
    Stale,
    /// openmls failed where it does not depend on input.
    #[error("openmls failed")]
    Library,
}

impl MlsError {
    /// A short name for logs and audit records.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Refused(check) => check.name(),
            Self::Snapshot => "snapshot",
            Self::Stale => "stale",
            Self::Library => "library",
        }
    }
}

impl From<CheckId> for MlsError {
    fn from(check: CheckId) -> Self {
        Self::Refused(check)
    }
}

/// What it means that openmls does not take a message.
pub(super) fn unprocessed(error: &PublicProcessMessageError, current: u64) -> HandshakeError {
    match error {
        PublicProcessMessageError::ValidationError(error) => unauthentic(error, current),
        PublicProcessMessageError::InvalidCommit(error) => unstaged(error),
        PublicProcessMessageError::IncompatibleWireFormat => CheckId::WireFormat.into(),
        PublicProcessMessageError::UnsupportedProposalType => CheckId::ProposalTypes.into(),
        PublicProcessMessageError::MalformedSafeAad => CheckId::AuthenticatedData.into(),
        PublicProcessMessageError::UnauthorizedExternalApplicationMessage
        | PublicProcessMessageError::UnauthorizedExternalCommitMessage => CheckId::Authenticity.into(),
        PublicProcessMessageError::LibraryError(_) => CheckId::Validity.into(),
    }
}

fn unauthentic(error: &ValidationError, current: u64) -> HandshakeError {
    match error {
        ValidationError::WrongEpoch => HandshakeError::WrongEpoch { current },
        ValidationError::WrongGroupId => CheckId::Group.into(),
        ValidationError::KeyPackageVerifyError(KeyPackageVerifyError::LifetimeError(_)) => {
            HandshakeError::proposals(CheckId::Lifetimes)
        }
        ValidationError::KeyPackageVerifyError(_) => HandshakeError::proposals(CheckId::Validity),
        ValidationError::InvalidSignature
        | ValidationError::UnknownMember
        | ValidationError::UnauthorizedExternalSender
        | ValidationError::NoExternalSendersExtension
        | ValidationError::InvalidSenderType
        | ValidationError::MissingMembershipTag => CheckId::Authenticity.into(),
        _ => CheckId::Validity.into(),
    }
}

/// What it means that openmls does not stage a commit.
pub(super) fn unstaged(error: &StageCommitError) -> HandshakeError {
    match error {
        StageCommitError::ProposalValidationError(ProposalValidationError::LeafNodeValidation(
            LeafNodeValidationError::Lifetime(_),
        )) => HandshakeError::proposals(CheckId::Lifetimes),
        StageCommitError::ProposalValidationError(_)
        | StageCommitError::GroupContextExtensionsProposalValidationError(_)
        | StageCommitError::AppDataUpdateValidationError(_)
        | StageCommitError::DuplicatePskId(_) => HandshakeError::proposals(CheckId::Validity),
        _ => CheckId::Validity.into(),
    }
}

/// What it means that openmls does not take a whole group.
pub(super) fn unfounded<E>(error: &CreationFromExternalError<E>) -> CheckId {
    match error {
        CreationFromExternalError::UnknownSender | CreationFromExternalError::InvalidGroupInfoSignature => {
            CheckId::GroupInfo
        }
        CreationFromExternalError::TreeHashMismatch => CheckId::Tree,
        CreationFromExternalError::DuplicateSignatureKey => CheckId::SignatureKeys,
        CreationFromExternalError::LeafNodeValidation(LeafNodeValidationError::Lifetime(_)) => CheckId::Lifetimes,
        _ => CheckId::Validity,
    }
}
