//! Why a change is refused before any policy is asked.

use std::fmt;

use crate::wire::components::Capability;
use crate::wire::uri::UserUri;

/// A rule of the room that a change breaks, with whom and what it concerns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Violation {
    breach: Breach,
    user: Option<UserUri>,
    capability: Option<Capability>,
    reference: Option<Vec<u8>>,
}

impl Violation {
    /// Which rule.
    pub fn breach(&self) -> Breach {
        self.breach
    }

    /// The user it concerns.
    pub fn user(&self) -> Option<&UserUri> {
        self.user.as_ref()
    }

    /// The capability it concerns.
    pub fn capability(&self) -> Option<Capability> {
        self.capability
    }

    /// ProposalRef of the proposal at fault, when it was sent before the commit.
    pub fn reference(&self) -> Option<&[u8]> {
        self.reference.as_deref()
    }

    /// The stable code that stands in an errorDescription.
    pub fn code(&self) -> &'static str {
        self.breach.code()
    }

    /// Whether the proposal itself makes no sense (invalidProposal), rather than not being allowed (notAllowed).
    pub fn is_invalid_proposal(&self) -> bool {
        self.breach.is_invalid_proposal()
    }

    pub(super) fn about(mut self, user: &UserUri) -> Self {
        self.user = Some(user.clone());
        self
    }

    pub(super) fn lacking(mut self, capability: Capability) -> Self {
        self.capability = Some(capability);
        self
    }

    /// Names the proposal at fault, unless one is named already.
    pub(super) fn proposed_as(mut self, reference: Option<&Vec<u8>>) -> Self {
        self.reference = self.reference.or_else(|| reference.cloned());
        self
    }
}

impl From<Breach> for Violation {
    fn from(breach: Breach) -> Self {
        Self { breach, user: None, capability: None, reference: None }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.breach.sentence())?;
        if let Some(user) = &self.user {
            write!(f, ": `{user}`")?;
        }
        if let Some(capability) = self.capability {
            write!(f, " ({capability})")?;
        }
        Ok(())
    }
}

macro_rules! breaches {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $answer:ident, $sentence:literal;)+) => {
        /// A rule that a change can break.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Breach {
            $($(#[$doc])* $name,)+
        }

        impl Breach {
            /// Every rule, for documentation and for the test that codes are unique.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The stable machine-readable code.
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)+
                }
            }

            /// The rule in words.
            pub fn sentence(self) -> &'static str {
                match self {
                    $(Self::$name => $sentence,)+
                }
            }

            fn is_invalid_proposal(self) -> bool {
                match self {
                    $(Self::$name => breaches!(@$answer),)+
                }
            }
        }
    };
    (@not_allowed) => { false };
    (@invalid) => { true };
}

breaches! {
    /// The draft has it, this build does not carry it out.
    NotSupported = "not_supported", not_allowed, "this is not supported here";
    /// A component or an update of one does not decode, or its content contradicts itself.
    Malformed = "component_malformed", invalid, "a component is malformed";
    /// D-50: an index outside the participant list, or twice in one update.
    ListIndex = "list_index", invalid, "a position in the participant list is wrong";
    /// D-50: the user to add is listed already.
    AlreadyListed = "already_listed", invalid, "the user is listed already";
    /// D-50: a change to the role that the user has.
    SameRole = "same_role", invalid, "the user has this role already";
    /// A role that is not defined, or role 0.
    UnknownRole = "unknown_role", invalid, "the role is not defined";
    /// Invariant 1: one user in two list operations of a commit.
    DoubleOperation = "double_operation", not_allowed, "one user is changed twice";
    /// Invariant 2: roles_list together with the participant list.
    RolesWithList = "roles_with_list", not_allowed, "roles and participants change together";
    /// Invariant 2: preauth_list together with more than removals.
    PreauthWithList = "preauth_with_list", not_allowed, "the preauth list and participants change together";
    /// P-7: the role definitions contradict themselves.
    IllFormedRoles = "roles_ill_formed", not_allowed, "the role definitions are not well formed";
    /// Invariant 3: a client whose user is not listed.
    UnlistedClient = "unlisted_client", not_allowed, "a client's user is not listed";
    /// Invariants 3 and 4: a client of a banned user.
    BannedClient = "banned_client", not_allowed, "the user is banned";
    /// Invariant 4: a removed or banned user keeps clients.
    ClientsRemain = "clients_remain", not_allowed, "a removed user keeps clients";
    /// A3: clients for an active user by somebody else.
    ForeignClient = "foreign_client", not_allowed, "only the user itself adds further clients";
    /// A9: a leave that the leaving user commits itself.
    OwnLeaveCommit = "own_leave_commit", not_allowed, "a user does not commit its own leave";
    /// A11, P-11: a kick that leaves clients.
    PartialKick = "partial_kick", not_allowed, "a kick removes all clients of the user";
    /// A13: a ban where role 1 is not `banned`.
    NoBannedRole = "no_banned_role", not_allowed, "role 1 is not the role of banned users";
    /// A14: clients added by the commit that unbans their user.
    UnbanWithClients = "unban_with_clients", not_allowed, "an unbanned user gets clients in a later commit";
    /// Invariant 6.
    MinParticipants = "min_participants", not_allowed, "too few users would have the role";
    /// Invariant 6.
    MaxParticipants = "max_participants", not_allowed, "too many users would have the role";
    /// Invariant 6.
    MinActive = "min_active", not_allowed, "too few active users would have the role";
    /// Invariant 6.
    MaxActive = "max_active", not_allowed, "too many active users would have the role";
    /// Invariant 7.
    MaxClients = "max_clients", not_allowed, "the room would have too many clients";
    /// Invariant 7.
    MaxUsers = "max_users", not_allowed, "the room would have too many users";
    /// Invariant 7.
    SecondClient = "second_client", not_allowed, "the room allows one client a user";
    /// Invariant 8.
    FixedMembership = "fixed_membership", not_allowed, "the membership of the room is fixed";
    /// Invariant 8: these users have such a room already; only the hub knows.
    FixedRoomExists = "fixed_room_exists", not_allowed, "the same users have a room of fixed membership already";
    /// Invariant 9, P-18: what a dependent room depends on is set when it is created.
    Parent = "parent", not_allowed, "the parent room does not change";
    /// Invariant 9: somebody in a dependent room who does not take part in its parent.
    NotInParent = "not_in_parent", not_allowed, "the user does not take part in the parent room";
    /// Invariant 9: a dependent room is for some of its parent's participants, not for all.
    WholeParent = "whole_parent", not_allowed, "everybody of the parent room would take part";
    /// Invariant 10.
    Pseudonym = "pseudonym", not_allowed, "the room does not allow pseudonyms";
    /// Invariant 11, P-19.
    PolicyComponents = "policy_components", not_allowed, "the base policy does not list the policy components";
    /// Invariant 12: a KeyPackage that is valid for too long.
    KeyPackageLifetime = "key_package_lifetime", not_allowed, "the KeyPackage is valid for too long";
    /// Invariant 12: a client that lacks what the operational parameters make mandatory, or has what they forbid.
    LeafCapabilities = "leaf_capabilities", not_allowed, "the client does not do what the room asks of clients";
    /// A23: more links than the policy of the room allows.
    JoinLinks = "join_links", not_allowed, "the room has one join link at a time";
    /// P-23: a room that must be logged, and who logs it is not there.
    NotLogged = "not_logged", not_allowed, "a client that must log the room is not in it";
    /// Invariant 13: two metadata updates in one commit, or two of another component that is replaced as a whole.
    ComponentTwice = "component_twice", not_allowed, "one component is updated twice";
    /// Invariant 13: a component that a room must have is removed.
    ComponentRemoval = "component_removal", invalid, "the component cannot be removed";
    /// A17: the room's identifier is changed, or the avatar is no https URL.
    Metadata = "metadata", not_allowed, "the metadata is not acceptable";
    /// Invariant 14.
    LastClient = "last_client", not_allowed, "the last client cannot be removed";
    /// D-46: an external commit without a groupInfo answer before it, or by another key.
    NotAdmitted = "not_admitted", not_allowed, "the joiner was not admitted";
    /// A5, A6, P-14: the joiner has no right to the role it takes.
    RoleNotGranted = "role_not_granted", not_allowed, "the joiner has no right to this role";
    /// An external commit carries more than its own joining.
    ExternalContent = "external_content", not_allowed, "an external commit does nothing but join";
    /// A28: the room allows no external commits.
    ExternalCommit = "external_commit", not_allowed, "the room allows no external commits";
    /// A28: the room allows no proposals from outside.
    ExternalProposal = "external_proposal", not_allowed, "the room allows no external proposals";
    /// A capability that this stage itself must ask for is missing.
    MissingCapability = "missing_capability", not_allowed, "the user lacks the capability";
    /// D-51: the user's removal or ban is accepted already.
    Blocked = "blocked", not_allowed, "the user's rights have ended";
    /// A room must start with its creator alone.
    Founding = "founding", not_allowed, "a room starts with clients of its creator only";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_breach_has_a_code_of_its_own() {
        let codes: BTreeSet<_> = Breach::ALL.iter().map(|breach| breach.code()).collect();
        assert_eq!(codes.len(), Breach::ALL.len());
        assert!(codes.iter().all(|code| code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }

    #[test]
    fn a_violation_names_user_and_capability() {
        let bob = UserUri::parse("mimi://b.example/u/bob").unwrap();
        let violation = Violation::from(Breach::MissingCapability).about(&bob).lacking(Capability::KICK);
        assert_eq!(violation.to_string(), "the user lacks the capability: `mimi://b.example/u/bob` (canKick)");
    }
}
