//! What a device has sent, and what became of it.

use portcullis_core::time::Millis;
use portcullis_core::wire::group_info::GroupInfoOutcome;
use portcullis_core::wire::key_material::KeyMaterialUserCode;
use portcullis_core::wire::submit::SubmitOutcome;
use portcullis_core::wire::update::UpdateResponse;
use uuid::Uuid;

use crate::provider::ProblemDetails;

/// One request of a device with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// By what the logs of all providers on the way know it: the SHA-256 of the MLSMessage, or the digest of a request
    /// that carries none. `None` where the only trace is the decision.
    pub exchange: Option<[u8; 32]>,
    /// The decision of the device's own gateway.
    pub decision: Option<Uuid>,
    /// What became of it.
    pub answer: Result<Accepted, Refused>,
}

/// An acceptance. Only updates and messages are given a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// When the hub accepted it.
    pub at: Option<Millis>,
}

/// A refusal, as the device is told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Code, such as `wrong_epoch`.
    pub code: String,
    /// What else the answer says; empty where the protocol has no field for it (correction C-8).
    pub detail: String,
}

impl Accepted {
    pub(super) fn at(at: Millis) -> Self {
        Self { at: Some(at) }
    }

    pub(super) fn untimed() -> Self {
        Self { at: None }
    }
}

impl Refused {
    fn new(code: &str, detail: impl Into<String>) -> Self {
        Self { code: code.to_owned(), detail: detail.into() }
    }
}

impl From<&ProblemDetails> for Refused {
    fn from(problem: &ProblemDetails) -> Self {
        Self::new(&problem.code, problem.detail.clone())
    }
}

pub(super) fn of_update(response: UpdateResponse) -> Result<Accepted, Refused> {
    match response {
        UpdateResponse::Success { accepted_at, .. } => Ok(Accepted::at(accepted_at)),
        UpdateResponse::WrongEpoch { description, .. } => Err(Refused::new("wrong_epoch", description)),
        UpdateResponse::NotAllowed { description } => Err(Refused::new("not_allowed", description)),
        UpdateResponse::InvalidProposal { description, .. } => Err(Refused::new("invalid_proposal", description)),
    }
}

pub(super) fn of_message(outcome: &SubmitOutcome) -> Result<Accepted, Refused> {
    match outcome {
        SubmitOutcome::Accepted { accepted_at, .. } => Ok(Accepted::at(*accepted_at)),
        SubmitOutcome::NotAllowed => Err(Refused::new("not_allowed", "")),
        SubmitOutcome::EpochTooOld { .. } => Err(Refused::new("epoch_too_old", "")),
    }
}

pub(super) fn of_key_material(status: KeyMaterialUserCode) -> Result<Accepted, Refused> {
    let code = match status {
        KeyMaterialUserCode::Success | KeyMaterialUserCode::PartialSuccess => return Ok(Accepted::untimed()),
        KeyMaterialUserCode::IncompatibleProtocol => "incompatible_protocol",
        KeyMaterialUserCode::NoCompatibleMaterial => "no_compatible_material",
        KeyMaterialUserCode::UserUnknown => "user_unknown",
        KeyMaterialUserCode::NoConsent => "no_consent",
        KeyMaterialUserCode::NoConsentForThisRoom => "no_consent_for_this_room",
        KeyMaterialUserCode::UserDeleted => "user_deleted",
    };
    Err(Refused::new(code, ""))
}

pub(super) fn of_group_info(outcome: &GroupInfoOutcome) -> Result<Accepted, Refused> {
    match outcome {
        GroupInfoOutcome::Success(_) => Ok(Accepted::untimed()),
        GroupInfoOutcome::NotAuthorized => Err(Refused::new("not_authorized", "")),
        GroupInfoOutcome::NoSuchRoom => Err(Refused::new("no_such_room", "")),
    }
}
