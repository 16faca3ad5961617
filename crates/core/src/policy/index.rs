//! Policies by what their scope names, so that a question meets only those that can apply to it: first by room, for
//! policies about one room, then by action. Every policy stands once for each action or group that its scope names, so
//! the index grows with the policies and not with what they apply to.

use std::collections::HashMap;

use cedar_policy::{
    ActionConstraint, Authorizer, Effect, EntityUid, Policy, PolicyId, PolicySet, PolicySetError, Request,
    ResourceConstraint,
};

use super::entities::Asked;

/// The policies of a bundle, ready to be asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    anywhere: ByAction,
    rooms: HashMap<EntityUid, ByAction>,
}

#[derive(Clone, Debug, Default)]
struct ByAction {
    any: PolicySet,
    named: HashMap<EntityUid, PolicySet>,
}

/// What the policies said, before anything is made of it.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Permits that hold, unless a forbid holds too: then perhaps not all of them.
    pub(super) permits: Vec<PolicyId>,
    /// Forbids that hold: all of them.
    pub(super) forbids: Vec<PolicyId>,
    /// Policies that could not be evaluated, and why.
    pub(super) errors: Vec<(PolicyId, String)>,
}

impl Index {
    pub(super) fn insert(&mut self, policy: &Policy) -> Result<(), Box<PolicySetError>> {
        let place = match policy.resource_constraint() {
            ResourceConstraint::Eq(room) => self.rooms.entry(room).or_default(),
            ResourceConstraint::Any
            | ResourceConstraint::In(_)
            | ResourceConstraint::Is(_)
            | ResourceConstraint::IsIn(..) => &mut self.anywhere,
        };
        match policy.action_constraint() {
            ActionConstraint::Any => place.any.add(policy.clone()).map_err(Box::new),
            ActionConstraint::Eq(action) => place.add(action, policy),
            ActionConstraint::In(mut actions) => {
                actions.sort();
                actions.dedup();
                actions.into_iter().try_for_each(|action| place.add(action, policy))
            }
        }
    }

    /// Asks every policy that can apply to the question. Cedar's answer over all policies at once follows from the
    /// answers over these parts, for they hold every policy whose scope can match.
    pub(super) fn ask(&self, authorizer: &Authorizer, lineage: &[EntityUid], asked: &Asked) -> Findings {
        let mut findings = Findings::default();
        let here = self.rooms.get(&asked.resource);
        for place in here.into_iter().chain([&self.anywhere]) {
            let named = lineage.iter().filter_map(|action| place.named.get(action));
            for policies in named.chain([&place.any]).filter(|policies| !policies.is_empty()) {
                findings.add(authorizer, &asked.request, policies, asked);
            }
        }
        findings.settle();
        findings
    }

    /// How many policies a question with this lineage in this place is put to.
    #[cfg(test)]
    pub(super) fn breadth(&self, lineage: &[EntityUid], resource: &EntityUid) -> usize {
        let places = self.rooms.get(resource).into_iter().chain([&self.anywhere]);
        let sets =
            places.flat_map(|place| lineage.iter().filter_map(|action| place.named.get(action)).chain([&place.any]));
        sets.map(PolicySet::num_of_policies).sum()
    }
}

impl ByAction {
    fn add(&mut self, action: EntityUid, policy: &Policy) -> Result<(), Box<PolicySetError>> {
        self.named.entry(action).or_default().add(policy.clone()).map_err(Box::new)
    }
}

impl Findings {
    fn add(&mut self, authorizer: &Authorizer, request: &Request, policies: &PolicySet, asked: &Asked) {
        let response = authorizer.is_authorized(request, policies, &asked.entities);
        for id in response.diagnostics().reason() {
            match policies.policy(id).map(Policy::effect) {
                Some(Effect::Permit) => self.permits.push(id.clone()),
                // An id that is not in the set cannot be; if it were, it must not open anything.
                Some(Effect::Forbid) | None => self.forbids.push(id.clone()),
            }
        }
        for error in response.diagnostics().errors() {
            let cedar_policy::AuthorizationError::PolicyEvaluationError(failed) = error;
            self.errors.push((failed.policy_id().clone(), failed.to_string()));
        }
    }

    /// A policy that names two groups of one action was asked twice.
    fn settle(&mut self) {
        for ids in [&mut self.permits, &mut self.forbids] {
            ids.sort();
            ids.dedup();
        }
        self.errors.sort();
        self.errors.dedup();
    }
}
