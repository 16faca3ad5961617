//! What policies say before anything is known but the action: Cedar's partial evaluation over every kind of question.

use cedar_policy::pst::{Clause, Expr};
use cedar_policy::{
    Entities, EntityUid, PartialEntities, PartialEntityUid, PartialRequest, Policy, PolicySet, RequestEnv, Schema,
};

use super::expressions::{self, Known};

/// What is left of a policy for one kind of question.
pub(super) struct Residual {
    pub(super) policy: Policy,
    pub(super) known: Known,
}

/// What is left of the policies for every kind of question about this action. They must be valid.
pub(super) fn of_action<'p>(
    policies: impl IntoIterator<Item = &'p Policy>,
    action: &EntityUid,
    schema: &Schema,
) -> Vec<Residual> {
    let Ok(policies) = PolicySet::from_policies(policies.into_iter().cloned()) else { return Vec::new() };
    let envs = schema.request_envs().filter(|env| env.action() == action);
    envs.flat_map(|env| of_env(&policies, &env, schema)).collect()
}

fn of_env(policies: &PolicySet, env: &RequestEnv, schema: &Schema) -> Vec<Residual> {
    let anybody = PartialEntityUid::new(env.principal().clone(), None);
    let anything = PartialEntityUid::new(env.resource().clone(), None);
    // With the schema come its actions and their groups.
    let entities = Entities::from_entities([], Some(schema)).ok();
    let entities = entities.and_then(|actions| PartialEntities::from_concrete(actions, schema).ok());
    let request = PartialRequest::new(anybody, env.action().clone(), anything, None, schema).ok();
    let (Some(entities), Some(request)) = (entities, request) else { return Vec::new() };
    match policies.tpe(&request, &entities, schema) {
        Ok(response) => response.policies().map(|policy| Residual { known: known(&policy), policy }).collect(),
        Err(_) => Vec::new(),
    }
}

/// What is known of a policy with no scope.
pub(super) fn known(policy: &Policy) -> Known {
    let mut all = Known::True;
    for (is_unless, expr) in clauses(policy) {
        let holds = match (expressions::known(&expr), is_unless) {
            (Known::Open, _) => Known::Open,
            (Known::True, false) | (Known::False, true) => Known::True,
            (Known::False, false) | (Known::True, true) => return Known::False,
        };
        if holds == Known::Open {
            all = Known::Open;
        }
    }
    all
}

/// Whether it may depend on an attribute of one of these names.
pub(super) fn reads(policy: &Policy, attributes: &[&str]) -> bool {
    known(policy) == Known::Open && clauses(policy).iter().any(|(_, expr)| expressions::reads(expr, attributes))
}

/// Whether it counts with numbers that can leave their range.
pub(super) fn counts(policy: &Policy) -> bool {
    clauses(policy).iter().any(|(_, expr)| expressions::counts(expr))
}

/// The conditions of a policy, and whether each is an `unless`.
pub(super) fn clauses(policy: &Policy) -> Vec<(bool, std::sync::Arc<Expr>)> {
    let Ok(tree) = policy.to_pst() else { return Vec::new() };
    let clauses = tree.body().clauses().iter().map(|clause| match clause {
        Clause::When(expr) => (false, expr.clone()),
        Clause::Unless(expr) => (true, expr.clone()),
    });
    clauses.collect()
}
