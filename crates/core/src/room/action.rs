//! What one user, or the hub, does to a room.

use std::fmt;

use crate::wire::components::Capability;
use crate::wire::uri::{Domain, UserUri};

use super::RoomState;
use super::state::UNLISTED;

/// The action a part of a change amounts to; the number is its row in the table of the stage's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A1, with A2: list another user, and add clients of it in the same commit.
    AddParticipant,
    /// A3: add the first clients of a user that was listed without any.
    AddClients,
    /// A4: bring in an own client.
    AddOwnClient,
    /// A5: join by an entry of the preauth list.
    JoinPreauthorized,
    /// A6: join an open room.
    JoinOpen,
    /// A7: join by a code.
    JoinByCode,
    /// A8: remove another user.
    RemoveParticipant,
    /// A9: leave.
    Leave,
    /// A10: drop own clients and stay listed.
    RemoveOwnClient,
    /// A11: remove the clients of a user that stays listed.
    Kick,
    /// A12: change the role of another user.
    ChangeRole,
    /// A13: ban.
    Ban,
    /// A14: give a banned user a role again.
    Unban,
    /// A15: forget a ban.
    ForgetBan,
    /// A16: change the own role.
    ChangeOwnRole,
    /// A17: change one field of the room's metadata.
    ChangeMetadata,
    /// A18: change the role definitions.
    ChangeRoles,
    /// A19: change the preauth list.
    ChangePreauth,
    /// A20: change the base policy.
    ChangeBasePolicy,
    /// A21: change another policy component.
    ChangePolicy,
    /// A22: change the operational parameters.
    ChangeOperational,
    /// A23: add or remove join links.
    ChangeJoinLinks,
    /// A27: renew a leaf, mix in a key, or only commit.
    Maintain,
    /// A28: propose from outside the group, or commit oneself into it.
    External,
}

impl Rule {
    /// Its number in the table, such as `A1`.
    pub fn id(self) -> &'static str {
        match self {
            Self::AddParticipant => "A1",
            Self::AddClients => "A3",
            Self::AddOwnClient => "A4",
            Self::JoinPreauthorized => "A5",
            Self::JoinOpen => "A6",
            Self::JoinByCode => "A7",
            Self::RemoveParticipant => "A8",
            Self::Leave => "A9",
            Self::RemoveOwnClient => "A10",
            Self::Kick => "A11",
            Self::ChangeRole => "A12",
            Self::Ban => "A13",
            Self::Unban => "A14",
            Self::ForgetBan => "A15",
            Self::ChangeOwnRole => "A16",
            Self::ChangeMetadata => "A17",
            Self::ChangeRoles => "A18",
            Self::ChangePreauth => "A19",
            Self::ChangeBasePolicy => "A20",
            Self::ChangePolicy => "A21",
            Self::ChangeOperational => "A22",
            Self::ChangeJoinLinks => "A23",
            Self::Maintain => "A27",
            Self::External => "A28",
        }
    }
}

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Actor {
    /// A user, by one of its clients.
    User(UserUri),
    /// A provider, by its entry in external_senders; it acts with the role it is listed under (reading P-8).
    Hub(Domain),
}

impl Actor {
    /// Under which identifier the participant list has it.
    pub fn uri(&self) -> UserUri {
        match self {
            Self::User(user) => user.clone(),
            Self::Hub(domain) => UserUri::provider(domain),
        }
    }

    /// The provider that answers for it.
    pub fn domain(&self) -> Domain {
        match self {
            Self::User(user) => user.domain(),
            Self::Hub(domain) => domain.clone(),
        }
    }

    pub(super) fn is(&self, user: &UserUri) -> bool {
        matches!(self, Self::User(own) if own == user)
    }
}

impl From<UserUri> for Actor {
    fn from(user: UserUri) -> Self {
        Self::User(user)
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => user.fmt(f),
            Self::Hub(domain) => domain.fmt(f),
        }
    }
}

/// One thing that a change does, with every fact a decision about it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// What is done.
    pub rule: Rule,
    /// The capability that it takes.
    pub capability: Capability,
    /// Who does it. The sender of a commit answers only for its own proposals, not for those it cites.
    pub actor: Actor,
    /// To whom, where it is done to a user other than the actor.
    pub target: Option<UserUri>,
    /// Role that the user concerned has before; 0 is not listed.
    pub from_role: u32,
    /// Role that the user concerned has after; 0 is not listed.
    pub to_role: u32,
    /// Whether the actor's own role may make this change of role; true where no transition is consulted.
    pub transition_authorized: bool,
    /// Whether the actor has the right by something other than `capability`: the alternatives of A13 and A14, or
    /// because the action takes no capability at all (A27).
    pub alternative_granted: bool,
    /// Whether the first matching entry of the preauth list grants it (A5, A16).
    pub preauthorized: bool,
    /// Whether it comes from outside the group.
    pub external: bool,
    /// ProposalRef when it was proposed before the commit, and was decided then.
    pub reference: Option<Vec<u8>>,
}

impl Action {
    /// What the room's own policy says about this action: capability or alternative, transition, preauth.
    pub fn granted_by(&self, room: &RoomState) -> bool {
        match self.rule {
            Rule::JoinPreauthorized => self.preauthorized,
            Rule::ChangeOwnRole => self.preauthorized && room.holds(&self.actor.uri(), self.capability),
            _ => {
                (self.alternative_granted || room.holds(&self.actor.uri(), self.capability))
                    && self.transition_authorized
            }
        }
    }

    /// The user whom it brings into the room, or a client of whom.
    pub fn brings_in(&self) -> Option<UserUri> {
        match self.rule {
            Rule::AddParticipant | Rule::AddClients | Rule::Unban => self.target.clone(),
            Rule::AddOwnClient | Rule::JoinPreauthorized | Rule::JoinOpen | Rule::JoinByCode => Some(self.actor.uri()),
            Rule::RemoveParticipant
            | Rule::Leave
            | Rule::RemoveOwnClient
            | Rule::Kick
            | Rule::ChangeRole
            | Rule::Ban
            | Rule::ForgetBan
            | Rule::ChangeOwnRole
            | Rule::ChangeMetadata
            | Rule::ChangeRoles
            | Rule::ChangePreauth
            | Rule::ChangeBasePolicy
            | Rule::ChangePolicy
            | Rule::ChangeOperational
            | Rule::ChangeJoinLinks
            | Rule::Maintain
            | Rule::External => None,
        }
    }

    /// The user who takes part no longer after it.
    pub fn takes_out(&self) -> Option<UserUri> {
        match self.rule {
            Rule::RemoveParticipant | Rule::Ban => self.target.clone(),
            Rule::Leave => Some(self.actor.uri()),
            Rule::AddParticipant
            | Rule::AddClients
            | Rule::AddOwnClient
            | Rule::JoinPreauthorized
            | Rule::JoinOpen
            | Rule::JoinByCode
            | Rule::RemoveOwnClient
            | Rule::Kick
            | Rule::ChangeRole
            | Rule::Unban
            | Rule::ForgetBan
            | Rule::ChangeOwnRole
            | Rule::ChangeMetadata
            | Rule::ChangeRoles
            | Rule::ChangePreauth
            | Rule::ChangeBasePolicy
            | Rule::ChangePolicy
            | Rule::ChangeOperational
            | Rule::ChangeJoinLinks
            | Rule::Maintain
            | Rule::External => None,
        }
    }

    /// The same, were `role` the role of the actor.
    pub(super) fn granted_to(&self, role: u32, room: &RoomState) -> bool {
        let has = room.role_has(role, self.capability);
        match self.rule {
            Rule::JoinPreauthorized => self.preauthorized,
            Rule::ChangeOwnRole => self.preauthorized && has,
            Rule::Ban | Rule::Unban | Rule::ChangePolicy | Rule::ChangeOperational | Rule::ChangeJoinLinks => {
                (has || room.alternative(self.rule, self.capability, role)) && self.transition_of(role, room)
            }
            _ => (has || self.alternative_granted) && self.transition_of(role, room),
        }
    }

    /// Whether `role` lists the change of role, where one is consulted.
    fn transition_of(&self, role: u32, room: &RoomState) -> bool {
        match self.rule {
            Rule::AddParticipant
            | Rule::RemoveParticipant
            | Rule::ChangeRole
            | Rule::Ban
            | Rule::Unban
            | Rule::ForgetBan => room.may_move(role, self.from_role, self.to_role),
            Rule::AddClients => room.base_policy().fixed_membership || room.may_move(role, UNLISTED, self.to_role),
            Rule::Leave => room.may_move(role, role, self.to_role),
            _ => self.transition_authorized,
        }
    }
}
