//! What policies say before anything is known but the action: Cedar's partial evaluation over every kind of question.

use cedar_policy::pst::{Clause, Expr};
use cedar_policy::{
    ActionConstraint, Entities, EntityUid, PartialEntities, PartialEntityUid, PartialRequest, Policy, PolicySet,
    PrincipalConstraint, RequestEnv, ResourceConstraint, Schema,
};

use super::expressions::{self, Known, Sense};

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

/// Whether it can come to apply because an attribute of one of these names is true.
pub(super) fn applies_by(policy: &Policy, attributes: &[&str]) -> bool {
    let by = |(is_unless, expr): &(bool, std::sync::Arc<Expr>)| {
        expressions::holds_by(expr, attributes, if *is_unless { Sense::Against } else { Sense::With })
    };
    known(policy) == Known::Open && clauses(policy).iter().any(by)
}

/// Whether a policy with no scope fails, whatever the facts.
pub(super) fn fails(policy: &Policy) -> bool {
    for (is_unless, expr) in clauses(policy) {
        if expressions::fails(&expr) {
            return true;
        }
        let passes = if is_unless { Known::False } else { Known::True };
        if expressions::known(&expr) != passes {
            return false;
        }
    }
    false
}

/// The parts that all must hold for a policy with no scope to apply, in their order.
pub(super) fn conjuncts(policy: &Policy) -> Vec<String> {
    let parts = clauses(policy).into_iter().flat_map(|(is_unless, expr)| {
        if is_unless { vec![format!("!({expr})")] } else { expressions::conjuncts(&expr) }
    });
    parts.collect()
}

/// A forbid of all that the scope of the policy names.
pub(super) fn scope_of(policy: &Policy) -> Option<Policy> {
    let action = match policy.action_constraint() {
        ActionConstraint::Any => "action".to_owned(),
        ActionConstraint::Eq(action) => format!("action == {action}"),
        ActionConstraint::In(actions) => {
            let actions: Vec<String> = actions.iter().map(ToString::to_string).collect();
            format!("action in [{}]", actions.join(", "))
        }
    };
    let principal = match policy.principal_constraint() {
        PrincipalConstraint::Any => "principal".to_owned(),
        PrincipalConstraint::Eq(one) => format!("principal == {one}"),
        PrincipalConstraint::In(group) => format!("principal in {group}"),
        PrincipalConstraint::Is(of) => format!("principal is {of}"),
        PrincipalConstraint::IsIn(of, group) => format!("principal is {of} in {group}"),
    };
    let resource = match policy.resource_constraint() {
        ResourceConstraint::Any => "resource".to_owned(),
        ResourceConstraint::Eq(one) => format!("resource == {one}"),
        ResourceConstraint::In(group) => format!("resource in {group}"),
        ResourceConstraint::Is(of) => format!("resource is {of}"),
        ResourceConstraint::IsIn(of, group) => format!("resource is {of} in {group}"),
    };
    Policy::parse(Some(policy.id().clone()), format!("forbid ({principal}, {action}, {resource});")).ok()
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
