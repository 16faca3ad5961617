//! Applies the AppDataUpdates of a commit: committer, hub and every other member compute the same.

use openmls::group::{AppDataDictionaryUpdater, AppDataUpdates};
use openmls::prelude::AppDataUpdateProposal;

use crate::mls::component_updates::{ComponentUpdate, apply, component_update, fill};
use crate::wire::components::Dictionary;

use super::error::MemberError;

/// What `proposals`, in the order of their commit, make of the components `before` it.
pub(super) fn resolve<'a>(
    before: &Dictionary,
    mut updater: AppDataDictionaryUpdater<'_>,
    proposals: impl Iterator<Item = &'a AppDataUpdateProposal>,
) -> Result<Option<AppDataUpdates>, MemberError> {
    let updates: Vec<ComponentUpdate> = proposals.map(component_update).collect();
    fill(&mut updater, apply(before, &updates)?);
    Ok(updater.changes())
}
