//! Checks 19 and 21: what the GroupContext of a room's group always holds (C-6).

use openmls::extensions::ExtensionType;
use openmls::group::GroupContext;
use openmls::messages::proposals::ProposalType;

use super::CheckId;

/// Check 19: every member can keep and update components, and leave. While AppDataUpdate is required, components
/// cannot be changed in any other way.
pub(in crate::mls) fn required_capabilities(context: &GroupContext) -> Result<(), CheckId> {
    let required = context.extensions().required_capabilities().ok_or(CheckId::RequiredCapabilities)?;
    let all = required.extension_types().contains(&ExtensionType::AppDataDictionary)
        && required.proposal_types().contains(&ProposalType::AppDataUpdate)
        && required.proposal_types().contains(&ProposalType::SelfRemove);
    if all { Ok(()) } else { Err(CheckId::RequiredCapabilities) }
}

/// Check 21: somebody can propose from outside; whether the hub is among them is for whoever knows the hub's key.
pub(in crate::mls) fn external_senders(context: &GroupContext) -> Result<(), CheckId> {
    match context.extensions().external_senders() {
        Some(senders) if !senders.is_empty() => Ok(()),
        Some(_) | None => Err(CheckId::ExternalSenders),
    }
}
