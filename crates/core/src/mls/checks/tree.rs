//! Check 18: the tree is left to the hub, or is the tree of the new epoch (reading D-25).

use crate::mls::group::Group;
use crate::wire::update::RatchetTreeOption;

use super::CheckId;

pub(in crate::mls) fn check(next: &Group, option: &RatchetTreeOption) -> Result<(), CheckId> {
    match option {
        RatchetTreeOption::DistributionService => Ok(()),
        RatchetTreeOption::Full(tree) if next.ratchet_tree().is_ok_and(|own| *tree == own) => Ok(()),
        RatchetTreeOption::Full(_) | RatchetTreeOption::HttpsUri { .. } | RatchetTreeOption::OutOfBand { .. } => {
            Err(CheckId::Tree)
        }
    }
}
