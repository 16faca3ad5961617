//! Policies by what their scope names, so that a question meets only those that can apply to it: first by the room, user,
//! group or mark that they are about, then by action. Every policy stands once for each action or group that its scope names, so
//! the index grows with the policies and not with what they apply to. Policies that read what differs from question to
//! question stand apart from those that say the same until the facts change.

use std::collections::HashMap;

use cedar_policy::{
    ActionConstraint, Authorizer, Effect, EntityUid, Policy, PolicyId, PolicySet, PolicySetError, PrincipalConstraint,
    ResourceConstraint,
};

use super::entities::Asked;
use super::reads::Reads;

/// The policies of a bundle, ready to be asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    anywhere: ByAction,
    /// Those that are about one thing, or what is in it.
    about: HashMap<EntityUid, ByAction>,
}

#[derive(Clone, Debug, Default)]
struct ByAction {
    any: Scoped,
    named: HashMap<EntityUid, Scoped>,
}

/// The policies of one scope.
#[derive(Clone, Debug, Default)]
struct Scoped {
    steady: PolicySet,
    passing: PolicySet,
    /// What those of `passing` read of the context.
    reads: Reads,
}

/// What the policies said, before anything is made of it.
#[derive(Clone, Debug, Default)]
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
        let place = match about(policy) {
            Some(one) => self.about.entry(one).or_default(),
            None => &mut self.anywhere,
        };
        let reads = Reads::of(policy);
        match policy.action_constraint() {
            ActionConstraint::Any => place.any.add(policy, &reads),
            ActionConstraint::Eq(action) => place.add(action, policy, &reads),
            ActionConstraint::In(mut actions) => {
                actions.sort();
                actions.dedup();
                actions.into_iter().try_for_each(|action| place.add(action, policy, &reads))
            }
        }
    }

    /// Asks every policy that can apply to the question. Cedar's answer over all policies at once follows from the
    /// answers over these parts, for they hold every policy whose scope can match.
    pub(super) fn ask(&self, authorizer: &Authorizer, lineage: &[EntityUid], asked: &Asked) -> Findings {
        let mut findings = self.ask_steady(authorizer, lineage, asked);
        self.ask_passing(authorizer, lineage, asked, &mut findings);
        findings
    }

    /// Asks those of them that read nothing of a question but what its [`super::slices::Key`] holds.
    pub(super) fn ask_steady(&self, authorizer: &Authorizer, lineage: &[EntityUid], asked: &Asked) -> Findings {
        let mut findings = Findings::default();
        for scoped in self.scoped(lineage, asked) {
            findings.add(authorizer, &scoped.steady, asked);
        }
        findings.settle();
        findings
    }

    /// Asks the others, for which the context needs no more than [`Self::passing_reads`], and adds what they say.
    pub(super) fn ask_passing(
        &self,
        authorizer: &Authorizer,
        lineage: &[EntityUid],
        asked: &Asked,
        findings: &mut Findings,
    ) {
        for scoped in self.scoped(lineage, asked) {
            findings.add(authorizer, &scoped.passing, asked);
        }
        findings.settle();
    }

    /// What the policies of [`Self::ask_passing`] read of the context.
    pub(super) fn passing_reads(&self, lineage: &[EntityUid], asked: &Asked) -> Reads {
        let mut reads = Reads::default();
        self.scoped(lineage, asked).for_each(|scoped| reads.add(&scoped.reads));
        reads
    }

    /// The policies whose scope can match the question; one may be there twice.
    pub(super) fn candidates<'i>(
        &'i self,
        lineage: &'i [EntityUid],
        asked: &Asked,
    ) -> impl Iterator<Item = &'i PolicyId> {
        let sets = self.scoped(lineage, asked).flat_map(|scoped| [&scoped.steady, &scoped.passing]);
        sets.flat_map(|set| set.policies().map(Policy::id))
    }

    fn scoped<'i>(&'i self, lineage: &'i [EntityUid], asked: &Asked) -> impl Iterator<Item = &'i Scoped> {
        let places: Vec<&ByAction> = asked.named().filter_map(|named| self.about.get(named)).collect();
        let places = places.into_iter().chain([&self.anywhere]);
        places.flat_map(|place| lineage.iter().filter_map(|action| place.named.get(action)).chain([&place.any]))
    }
}

/// What the scope of a policy is about, if that is one thing and what is in it.
fn about(policy: &Policy) -> Option<EntityUid> {
    use {PrincipalConstraint as Of, ResourceConstraint as In};
    match (policy.resource_constraint(), policy.principal_constraint()) {
        (In::Eq(one) | In::In(one) | In::IsIn(_, one), _) => Some(one),
        (In::Any | In::Is(_), Of::Eq(one) | Of::In(one) | Of::IsIn(_, one)) => Some(one),
        (In::Any | In::Is(_), Of::Any | Of::Is(_)) => None,
    }
}

impl ByAction {
    fn add(&mut self, action: EntityUid, policy: &Policy, reads: &Reads) -> Result<(), Box<PolicySetError>> {
        self.named.entry(action).or_default().add(policy, reads)
    }
}

impl Scoped {
    fn add(&mut self, policy: &Policy, reads: &Reads) -> Result<(), Box<PolicySetError>> {
        if reads.is_steady() {
            return self.steady.add(policy.clone()).map_err(Box::new);
        }
        self.reads.add(reads);
        self.passing.add(policy.clone()).map_err(Box::new)
    }
}

impl Findings {
    fn add(&mut self, authorizer: &Authorizer, policies: &PolicySet, asked: &Asked) {
        if policies.is_empty() {
            return;
        }
        let response = authorizer.is_authorized(&asked.request, policies, &asked.entities);
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
