//! A1..A16: who comes, who goes, who becomes what.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::mls::Leaf;
use crate::wire::components::Capability;
use crate::wire::uri::{ClientUri, UserUri};

use super::operations::{ClientOperation, ListOperation, Operations};
use super::settings::by_role;
use super::state::{BANNED, UNLISTED};
use super::{Action, Actor, Applicant, Breach, RoomState, Rule, Violation};

/// A client that commits itself into the group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Joiner<'a> {
    pub applicant: Applicant<'a>,
    /// The role that its joining code gives.
    pub code: Option<u32>,
}

/// A change of participants and clients, seen from both ends.
pub(super) struct Membership<'a> {
    pub operations: &'a Operations,
    pub before: &'a RoomState,
    pub post: &'a RoomState,
    /// The clients before it.
    pub leaves: &'a [Arc<Leaf>],
    pub joiner: Option<Joiner<'a>>,
    /// Whether it is a commit, and not proposals that wait for one.
    pub committed: bool,
}

impl Membership<'_> {
    /// What the change does to participants and clients.
    ///
    /// # Errors
    ///
    /// What no role and no policy can allow.
    pub(super) fn actions(&self) -> Result<Vec<Action>, Violation> {
        let mut actions = Vec::new();
        for operation in self.operations.list.values() {
            actions.push(self.listed(operation)?);
        }
        let mut seen = BTreeSet::new();
        let clients = self
            .joined()
            .into_iter()
            .chain(self.operations.added.iter().map(|added| self.added(added)))
            .chain(self.operations.removed.iter().map(|removed| self.removed(removed)));
        for action in clients {
            if let Some((user, action)) = action?
                && seen.insert((action.rule, action.actor.clone(), user, action.reference.clone()))
            {
                actions.push(action);
            }
        }
        Ok(actions)
    }

    /// One move in the participant list.
    fn listed(&self, operation: &ListOperation) -> Result<Action, Violation> {
        let ListOperation { user, from, to, origin } = operation;
        let breach = |breach| Err(origin.violation(breach).about(user));
        if origin.actor.is(user) {
            return match (*from, *to) {
                (UNLISTED, _) => self.self_joined(operation),
                (_, UNLISTED) if self.committed && origin.reference.is_none() => breach(Breach::OwnLeaveCommit),
                (_, UNLISTED) => Ok(self.own(operation, Rule::Leave, Capability::REMOVE_SELF)),
                _ => Ok(self.own_role(operation)),
            };
        }
        let (rule, capability) = match (*from, *to) {
            (_, BANNED) if !self.before.has_banned_role() => return breach(Breach::NoBannedRole),
            (_, BANNED) => (Rule::Ban, Capability::BAN),
            (UNLISTED, _) => (Rule::AddParticipant, Capability::ADD_PARTICIPANT),
            (BANNED, UNLISTED) => (Rule::ForgetBan, Capability::REMOVE_PARTICIPANT),
            (_, UNLISTED) => (Rule::RemoveParticipant, Capability::REMOVE_PARTICIPANT),
            (BANNED, _) => (Rule::Unban, Capability::UNBAN),
            _ => (Rule::ChangeRole, Capability::CHANGE_USER_ROLE),
        };
        let alternative = self.before.alternative(rule, capability, self.before.role_of(&origin.actor.uri()));
        Ok(Action {
            target: Some(user.clone()),
            from_role: *from,
            to_role: *to,
            transition_authorized: self.may_move(&origin.actor, *from, *to),
            alternative_granted: alternative,
            ..by_role(rule, capability, origin, self.before)
        })
    }

    /// A5, A6, A7: a user lists itself, which only a joiner can.
    fn self_joined(&self, operation: &ListOperation) -> Result<Action, Violation> {
        let ListOperation { user, to, origin, .. } = operation;
        let refused = || origin.violation(Breach::RoleNotGranted).about(user);
        let joiner = self.joiner.filter(|joiner| joiner.applicant.user == user).ok_or_else(refused)?;
        let grant = self.before.grants_role(joiner.applicant, *to, joiner.code).ok_or_else(refused)?;
        Ok(grant.action(user, *to))
    }

    /// A9: the actor's own way out.
    fn own(&self, operation: &ListOperation, rule: Rule, capability: Capability) -> Action {
        let ListOperation { from, to, origin, .. } = operation;
        Action {
            from_role: *from,
            to_role: *to,
            transition_authorized: self.may_move(&origin.actor, *from, *to),
            ..by_role(rule, capability, origin, self.before)
        }
    }

    /// A16: the actor takes another role, which only the first matching entry of the preauth list can give.
    fn own_role(&self, operation: &ListOperation) -> Action {
        let entitled = |client: &ClientUri| {
            let leaf = self.leaves.iter().find(|leaf| leaf.client == *client && leaf.user == operation.user);
            let joiner = self.joiner.map(|joiner| joiner.applicant).filter(|joiner| joiner.client == client);
            let applicant = joiner.or_else(|| leaf.map(|leaf| leaf.as_ref().into()));
            applicant.and_then(|applicant| self.before.preauthorized_role(applicant)) == Some(operation.to)
        };
        Action {
            transition_authorized: true,
            preauthorized: operation.origin.client.as_ref().is_some_and(entitled),
            ..self.own(operation, Rule::ChangeOwnRole, Capability::CHANGE_OWN_ROLE)
        }
    }

    /// A4 for the client that commits itself in; what lists its user is judged there.
    fn joined(&self) -> Option<Result<Option<(UserUri, Action)>, Violation>> {
        let joiner = self.joiner?;
        if self.before.is_banned(joiner.applicant.user) {
            return Some(Err(Violation::from(Breach::BannedClient).about(joiner.applicant.user)));
        }
        let role = self.before.role_of(joiner.applicant.user);
        let action = super::Grant::OwnClient.action(joiner.applicant.user, role);
        self.before.is_listed(joiner.applicant.user).then(|| Ok(Some((joiner.applicant.user.clone(), action))))
    }

    /// A2, A3, A4: an Add. `None` when it is implied by the action that lists its user.
    fn added(&self, operation: &ClientOperation) -> Result<Option<(UserUri, Action)>, Violation> {
        let ClientOperation { user, origin, .. } = operation;
        let moved = self.operations.list.get(user);
        if moved.is_some_and(|moved| moved.from == BANNED && self.before.has_banned_role()) {
            return Err(origin.violation(Breach::UnbanWithClients).about(user));
        }
        if moved.is_some_and(|moved| moved.from == UNLISTED && moved.origin.actor == origin.actor) {
            return Ok(None);
        }
        if !self.post.is_listed(user) {
            return Err(origin.violation(Breach::UnlistedClient).about(user));
        }
        let role = self.post.role_of(user);
        if origin.actor.is(user) {
            let action = by_role(Rule::AddOwnClient, Capability::ADD_OWN_CLIENT, origin, self.before);
            return Ok(Some((user.clone(), action)));
        }
        if self.before.is_active(user) {
            return Err(origin.violation(Breach::ForeignClient).about(user));
        }
        let fixed = self.before.brings_listed(&origin.actor.uri());
        let action = Action {
            target: Some(user.clone()),
            from_role: self.before.role_of(user),
            to_role: role,
            transition_authorized: fixed || self.may_move(&origin.actor, UNLISTED, role),
            alternative_granted: fixed,
            ..by_role(Rule::AddClients, Capability::ADD_PARTICIPANT, origin, self.before)
        };
        Ok(Some((user.clone(), action)))
    }

    /// A10, A11: a Remove or SelfRemove. `None` when it follows from the removal or ban of its user, or makes room for
    /// the same client's new leaf.
    fn removed(&self, operation: &ClientOperation) -> Result<Option<(UserUri, Action)>, Violation> {
        let ClientOperation { client, user, origin } = operation;
        if self.joiner.is_some_and(|joiner| joiner.applicant.client == client) {
            return Ok(None);
        }
        let out = |role| role == UNLISTED || (role == BANNED && self.before.has_banned_role());
        let moved_out = self.operations.list.get(user).filter(|moved| out(moved.to));
        let follows = moved_out.is_some_and(|moved| moved.origin.actor.is(user) || !origin.actor.is(user));
        if follows {
            return Ok(None);
        }
        if origin.actor.is(user) {
            // P-22: whoever is out, or on the way, may always take its clients along.
            let action = Action {
                alternative_granted: moved_out.is_some() || out(self.before.role_of(user)),
                ..by_role(Rule::RemoveOwnClient, Capability::REMOVE_OWN_CLIENT, origin, self.before)
            };
            return Ok(Some((user.clone(), action)));
        }
        // P-28: the hub may remove a single lost device; everybody else kicks a user with all of them (P-11).
        if matches!(origin.actor, Actor::User(_)) && self.post.is_active(user) {
            return Err(origin.violation(Breach::PartialKick).about(user).lacking(Capability::KICK));
        }
        let role = self.before.role_of(user);
        let action = Action {
            target: Some(user.clone()),
            from_role: role,
            to_role: self.post.role_of(user),
            ..by_role(Rule::Kick, Capability::KICK, origin, self.before)
        };
        Ok(Some((user.clone(), action)))
    }

    /// Whether the actor's own role lists the change of role.
    fn may_move(&self, actor: &Actor, from: u32, to: u32) -> bool {
        self.before.may_move(self.before.role_of(&actor.uri()), from, to)
    }
}
