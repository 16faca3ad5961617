//! Who may have the GroupInfo of a room, and join by it (draft-ietf-mimi-protocol, "groupInfo"; reading D-46).

use serde::{Deserialize, Serialize};

use crate::mls::Leaf;
use crate::wire::components::Capability;
use crate::wire::uri::{ClientUri, UserUri};

use super::state::UNLISTED;
use super::{Action, Actor, Applicant, Breach, RoomState, Rule, Violation};

/// By which right a client may join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// A4: its user is a participant and may bring in own clients.
    OwnClient,
    /// A5: the first matching entry of the preauth list.
    Preauthorized,
    /// A6: anybody may join.
    Open,
    /// A7: a joining code of the hub, by which the room lets in whoever has it (reading P-10).
    Code,
}

/// What the answer to a groupInfo request grants: the external commit must come from the same key and client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    client: ClientUri,
    user: UserUri,
    signature_key: Vec<u8>,
    grant: Grant,
    role: u32,
    /// The role that its joining code gives, whether it needs it or not.
    code: Option<u32>,
}

impl Admission {
    /// Decides whether `applicant` may have the GroupInfo of `room`: as a participant that may bring in own clients, by
    /// the preauth list, because the room is open, or by a joining code that is good and gives the role `code`; tried in
    /// that order (reading P-14).
    ///
    /// # Errors
    ///
    /// [`Breach::ExternalCommit`], [`Breach::BannedClient`], [`Breach::MissingCapability`] for a participant that may not
    /// bring in clients, [`Breach::NotAdmitted`] for everybody else.
    pub fn of(
        room: &RoomState,
        applicant: Applicant<'_>,
        signature_key: &[u8],
        code: Option<u32>,
    ) -> Result<Self, Violation> {
        let (grant, role) = room.grant(applicant, code)?;
        let signature_key = signature_key.to_vec();
        let (client, user) = (applicant.client.clone(), applicant.user.clone());
        Ok(Self { client, user, signature_key, grant, role, code })
    }

    /// The same where only the hub knows who has a good code: whoever takes a role that a code could give may have one.
    ///
    /// # Errors
    ///
    /// As [`Self::of`].
    pub fn on_trust(room: &RoomState, leaf: &Leaf, role: u32) -> Result<Self, Violation> {
        let code = Some(role).filter(|role| *role != UNLISTED && room.joins_by_code(*role));
        Self::of(room, leaf.into(), &leaf.signature_key, code)
    }

    /// The client that was admitted.
    pub fn client(&self) -> &ClientUri {
        &self.client
    }

    /// Its user.
    pub fn user(&self) -> &UserUri {
        &self.user
    }

    /// By which right.
    pub fn grant(&self) -> Grant {
        self.grant
    }

    /// The role it was granted with; in an open room the lowest of those the joiner may choose from.
    pub fn role(&self) -> u32 {
        self.role
    }

    /// The role that its joining code gives.
    pub(super) fn code(&self) -> Option<u32> {
        self.code
    }

    /// The key that must sign the external commit.
    pub fn signature_key(&self) -> &[u8] {
        &self.signature_key
    }

    /// What the joiner does, as a question for the policy.
    pub fn action(&self) -> Action {
        self.grant.action(&self.user, self.role)
    }

    /// Whether the leaf that an external commit adds is the client that was admitted.
    pub(super) fn covers(&self, leaf: &Leaf) -> bool {
        leaf.client == self.client && leaf.user == self.user && leaf.signature_key == self.signature_key
    }
}

impl RoomState {
    /// Whether a joining code may give `role`: who is not listed may use codes, and may take the role (reading P-10).
    pub fn joins_by_code(&self, role: u32) -> bool {
        role != UNLISTED
            && self.roles().contains_key(&role)
            && self.role_has(UNLISTED, Capability::USE_JOIN_CODE)
            && self.may_move(UNLISTED, UNLISTED, role)
    }

    fn grant(&self, applicant: Applicant<'_>, code: Option<u32>) -> Result<(Grant, u32), Violation> {
        let user = applicant.user;
        self.external_commits_allowed().map_err(|violation| violation.about(user))?;
        if self.is_banned(user) {
            return Err(Violation::from(Breach::BannedClient).about(user));
        }
        if self.is_listed(user) {
            return if self.holds(user, Capability::ADD_OWN_CLIENT) {
                Ok((Grant::OwnClient, self.role_of(user)))
            } else {
                Err(Violation::from(Breach::MissingCapability).about(user).lacking(Capability::ADD_OWN_CLIENT))
            };
        }
        let by_right = |right: Grant| {
            let role = self.roles().keys().find(|role| self.grants_role(applicant, **role, code) == Some(right));
            role.map(|role| (right, *role))
        };
        by_right(Grant::Preauthorized)
            .or_else(|| by_right(Grant::Open))
            .or_else(|| by_right(Grant::Code))
            .ok_or_else(|| Violation::from(Breach::NotAdmitted).about(user))
    }

    /// The right by which a client whose user is not listed takes `role`, if it has one; `code` is the role that its joining
    /// code gives.
    pub(super) fn grants_role(&self, applicant: Applicant<'_>, role: u32, code: Option<u32>) -> Option<Grant> {
        if role == UNLISTED || self.is_listed(applicant.user) {
            return None;
        }
        if self.preauthorized_role(applicant) == Some(role) && self.preauth_joins(role) {
            Some(Grant::Preauthorized)
        } else if self.role_has(UNLISTED, Capability::OPEN_JOIN) && self.may_move(UNLISTED, UNLISTED, role) {
            Some(Grant::Open)
        } else if code == Some(role) && self.joins_by_code(role) {
            Some(Grant::Code)
        } else {
            None
        }
    }

    fn preauth_joins(&self, role: u32) -> bool {
        role != UNLISTED && self.role_has(role, Capability::JOIN_IF_PREAUTHORIZED)
    }

    /// A28: the switch of the operational parameters, where the room has them.
    pub(super) fn external_commits_allowed(&self) -> Result<(), Violation> {
        match self.operational() {
            Some(operational) if !operational.external_commit_allowed => Err(Breach::ExternalCommit.into()),
            _ => Ok(()),
        }
    }
}

impl Grant {
    /// What a client does that joins by this right.
    pub(super) fn action(self, user: &UserUri, role: u32) -> Action {
        let (rule, capability) = match self {
            Self::OwnClient => (Rule::AddOwnClient, Capability::ADD_OWN_CLIENT),
            Self::Preauthorized => (Rule::JoinPreauthorized, Capability::JOIN_IF_PREAUTHORIZED),
            Self::Open => (Rule::JoinOpen, Capability::OPEN_JOIN),
            Self::Code => (Rule::JoinByCode, Capability::USE_JOIN_CODE),
        };
        Action {
            rule,
            capability,
            actor: Actor::User(user.clone()),
            target: None,
            from_role: if self == Self::OwnClient { role } else { UNLISTED },
            to_role: role,
            transition_authorized: true,
            alternative_granted: false,
            preauthorized: self == Self::Preauthorized,
            external: true,
            reference: None,
        }
    }
}
