//! What others may know of a bundle before anything is decided.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use cedar_policy::PolicyId;

use crate::room::{Envelope, Template};
use crate::wire::components::Capability;

use super::bundle::Bundle;
use super::lints;
use super::reads::Reads;

/// Found out when it is asked for first: it takes some milliseconds for each policy.
#[derive(Debug, Default)]
pub(super) struct Outlook {
    closed: OnceLock<BTreeMap<Capability, PolicyId>>,
}

/// A capability that a role of a room grants and the ceiling keeps from everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantedInVain {
    /// The role.
    pub role: String,
    /// The capability.
    pub capability: Capability,
    /// The policy that forbids it; for the company's own eyes.
    pub policy: String,
}

impl Bundle {
    /// Which room policies the company accepts.
    pub fn envelope(&self) -> &Envelope {
        self.directory.envelope()
    }

    /// Capabilities that the ceiling keeps from everybody in every room, with the policy that does.
    pub fn closed(&self) -> &BTreeMap<Capability, PolicyId> {
        self.outlook.closed.get_or_init(|| lints::closed(self))
    }

    /// What roles of a template grant that nobody will be allowed.
    pub fn granted_in_vain(&self, template: &Template) -> Vec<GrantedInVain> {
        let closed = self.closed();
        let roles = template.roles().roles.iter();
        let granted = roles.flat_map(|role| role.capabilities.iter().map(move |capability| (role, capability)));
        granted
            .filter_map(|(role, capability)| {
                let policy = closed.get(capability)?.to_string();
                Some(GrantedInVain { role: role.name.clone(), capability: *capability, policy })
            })
            .collect()
    }

    /// Facts of a request that some policy reads; `None` where it may be all of them.
    pub fn reads(&self) -> Option<BTreeSet<String>> {
        let mut reads = Reads::default();
        self.metas.values().for_each(|meta| reads.add(&Reads::of(&meta.policy)));
        match reads {
            Reads::Named(names) => Some(names),
            Reads::All => None,
        }
    }
}
