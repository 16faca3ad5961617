//! Check 1: the AppDataUpdates of a commit can be applied to the components.

use openmls::prelude::ProposalIn;

use crate::mls::component_updates::{ComponentChanges, ComponentUpdate, apply_to, component_update};
use crate::mls::error::HandshakeError;
use crate::mls::framing::Cited;
use crate::mls::proposals::Pending;
use crate::mls::{Effect, Part};
use crate::wire::components::{Dictionary, ParticipantList};

use super::CheckId;

/// What the AppDataUpdates of a commit, in its order, make of `components`, and of the participant list.
pub(in crate::mls) fn check(
    components: &Dictionary,
    pending: &[Pending],
    proposals: &[Cited],
) -> Result<(ComponentChanges, Option<ParticipantList>), HandshakeError> {
    let mut updates = Vec::new();
    let mut origins = Vec::new();
    for (position, cited) in proposals.iter().enumerate() {
        let update = match cited {
            Cited::Value(proposal) => match proposal.as_ref() {
                ProposalIn::AppDataUpdate(update) => Some(component_update(update)),
                _ => None,
            },
            Cited::Reference(reference) => {
                pending.iter().find(|pending| pending.reference() == reference).and_then(|pending| of(&pending.part))
            }
        };
        if let Some(update) = update {
            updates.push(update);
            origins.push((position, cited.reference().map(<[u8]>::to_vec)));
        }
    }
    apply_to(components, &updates).map_err(|error| {
        let origin = origins.get(error.position).cloned();
        let (position, reference) = origin.map_or((None, None), |(position, reference)| (Some(position), reference));
        HandshakeError::InvalidProposals {
            check: CheckId::Components,
            references: reference.into_iter().collect(),
            position,
        }
    })
}

/// The update that a proposal makes, if it is one.
pub(super) fn of(part: &Part) -> Option<ComponentUpdate> {
    match &part.effect {
        Effect::Component { id, operation } => Some(ComponentUpdate { component: *id, operation: operation.clone() }),
        _ => None,
    }
}
