//! What a hub checks of a handshake beyond what openmls checks, numbered: one function each.
//!
//! A hub has no secrets. It cannot check membership and confirmation tags, path secrets or what a Welcome seals; it can
//! check everything else, and openmls leaves part of that to its caller.

use std::fmt;

use crate::wire::components::Dictionary;

use super::{GroupView, Part};

pub(super) mod authenticated_data;
pub(super) mod citations;
pub(super) mod components;
pub(super) mod context;
pub(super) mod credentials;
pub(super) mod external_remove;
pub(super) mod group_info;
pub(super) mod leaf_operations;
pub(super) mod leaf_support;
pub(super) mod lifetimes;
pub(super) mod participants;
pub(super) mod proposal_types;
pub(super) mod signature_keys;
pub(super) mod sizes;
pub(super) mod standalone;
pub(super) mod tree;
pub(super) mod welcome;

/// Checks 8, 10 and 11 on a group as it is.
pub(super) fn view(group: &GroupView) -> Result<(), CheckId> {
    components_of(&group.components)?;
    participants::check(group)
}

/// The same on a group as it would be, for which they held before `parts`.
pub(super) fn next_view(before: &GroupView, parts: &[Part], after: &GroupView) -> Result<(), CheckId> {
    components_of(&after.components)?;
    participants::check_next(before, parts, after)
}

/// Checks 10 and 11 on components as they would be.
fn components_of(after: &Dictionary) -> Result<(), CheckId> {
    sizes::check(after)?;
    authenticated_data::allowed(after).map(|_| ())
}

macro_rules! check_ids {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)+) => {
        /// Which check refused. Numbers and names are stable: they stand in logs and audit records.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum CheckId {
            $($(#[$doc])* $variant = $number,)+
        }

        impl CheckId {
            /// Every check, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its number.
            pub fn number(self) -> u16 {
                match self { $(Self::$variant => $number,)+ }
            }

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

check_ids! {
    /// The AppDataUpdates of a proposal list can be applied: openmls takes a Remove of an absent component, and
    /// Removes beside other operations on one component.
    Components = 1, "components";
    /// No two leaves share a signature key: openmls compares those of Adds only, and a group in which two share one
    /// can be joined by nobody.
    SignatureKeys = 2, "signature_keys";
    /// The Remove in an external commit hits a former leaf of the joining client.
    ExternalRemove = 3, "external_remove";
    /// KeyPackages of Adds live neither too long nor too short.
    Lifetimes = 4, "lifetimes";
    /// Credentials name clients, and a renewed leaf names the client and the user it named before.
    Credentials = 5, "credentials";
    /// The GroupInfo is that of the new epoch, signed by the committer's new leaf, with external_pub and without a
    /// tree.
    GroupInfo = 6, "group_info";
    /// The Welcome is for exactly the KeyPackages of the Adds (C-9).
    Welcome = 7, "welcome";
    /// Who has a client in the group is in the participant list.
    Participants = 8, "participants";
    /// A standalone proposal fits the tree and what is pending: one that fits no commit would block the group.
    Standalone = 9, "standalone";
    /// Authenticated data is exactly one SafeAAD, of components that the group allows there.
    AuthenticatedData = 10, "authenticated_data";
    /// What every member must keep stays within limits.
    Sizes = 11, "sizes";
    /// A handshake is a PublicMessage with a commit or proposal, whichever is expected.
    WireFormat = 12, "wire_format";
    /// The handshake is for this group.
    Group = 13, "group";
    /// The sender is in the group, among its external senders or a joiner, and the signature is its own.
    Authenticity = 14, "authenticity";
    /// Everything that openmls refuses otherwise (RFC 9420, section 12).
    Validity = 15, "validity";
    /// A commit cites all pending proposals; an external commit all pending SelfRemoves and nothing else.
    Citations = 16, "citations";
    /// The tree is left to the hub, or is the tree of the new epoch.
    Tree = 18, "tree";
    /// required_capabilities ask for app_data_dictionary, AppDataUpdate and SelfRemove.
    RequiredCapabilities = 19, "required_capabilities";
    /// Proposals are of types that may be sent, and sent this way.
    ProposalTypes = 20, "proposal_types";
    /// external_senders is there, and each of its entries that proposes names a provider.
    ExternalSenders = 21, "external_senders";
    /// A leaf is subject to at most one Update, Remove or SelfRemove, and the committer's to none.
    LeafOperations = 22, "leaf_operations";
    /// The proposals of one bundle have one sender (reading D-28).
    Bundle = 23, "bundle";
    /// A leaf to come can do what the group requires, and all leaves take each other's types of credential.
    LeafSupport = 24, "leaf_support";
}

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.number(), self.name())
    }
}
