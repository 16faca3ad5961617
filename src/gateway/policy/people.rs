//! Who stands behind a bundle, where it takes two people.

use portcullis_store::bundles::KeptBundle;

use crate::gateway::rollout::RolloutError;

/// Who brings what stands in the folder of a configuration: whoever can write there, so nobody in particular.
pub(in crate::gateway) const FILES: &str = "files";

/// Whether two people stand behind a bundle that somebody activates.
pub(in crate::gateway) fn stands_behind(stands: &KeptBundle, activator: &str) -> Result<(), RolloutError> {
    let Some((approver, _)) = &stands.approved else {
        return Err(RolloutError::State("nobody else has approved the bundle, and it takes two people"));
    };
    // Who has written into the folder is not known, and may be the one who approves.
    are_two(approver, if stands.pushed_by == FILES { activator } else { &stands.pushed_by })
}

/// Whether two names of the audit log are surely two people.
pub(in crate::gateway) fn are_two(one: &str, other: &str) -> Result<(), RolloutError> {
    let kind = |name: &str| name.split(':').next().map(ToOwned::to_owned);
    if one == other {
        return Err(RolloutError::State("it takes two people, and this is one"));
    }
    if kind(one) != kind(other) {
        // One person has a name at the admin door and another one on the host.
        return Err(RolloutError::State("both people come the same way: at the admin door, or from the host"));
    }
    Ok(())
}
