//! What a forbid must never stop, and what it cannot stop: a policy that promises either is not taken.

use std::collections::{BTreeSet, HashMap, HashSet};

use cedar_policy::{ActionConstraint, Effect, EntityUid, Policy, PolicyId, Schema};

use crate::wire::components::Capability;

use super::diagnostic::Diagnostic;
use super::partial::{self, Residual};
use super::policies::{Found, Layer};
use super::vocabulary::{Act, Vocabulary};

/// Capabilities that stay whatever is frozen or suspended, and the attributes that must make no forbid of them apply.
const KEPT: [(&[Capability], &[&str], &str); 2] = [
    (
        &[Capability::REMOVE_SELF, Capability::REMOVE_OWN_CLIENT, Capability::REPORT_ABUSE],
        &["frozen", "suspended"],
        "leaving, dropping own clients and reporting abuse stay possible whoever is suspended and whatever is frozen",
    ),
    (
        &[Capability::REMOVE_PARTICIPANT, Capability::BAN, Capability::KICK],
        &["frozen"],
        "moderators take users out of a frozen room",
    ),
];

/// A forbid that names what nobody here can stop says so by `@advisory`, and no other does.
pub(super) fn check_enforcement(
    found: &Found<'_>,
    vocabulary: &Vocabulary,
    beyond: &HashSet<&EntityUid>,
    wrong: &mut Vec<Diagnostic>,
) {
    if found.policy.effect() == Effect::Permit {
        if found.is_advisory() {
            wrong.push(found.wrong_near(
                "@advisory",
                "only a `forbid` is advisory".to_owned(),
                "leave `@advisory` out",
            ));
        }
        return;
    }
    let named = match found.policy.action_constraint() {
        ActionConstraint::Any => Vec::new(),
        ActionConstraint::Eq(action) => vec![action],
        ActionConstraint::In(actions) => actions,
    };
    if found.is_advisory() && !named.iter().any(|action| beyond.contains(action)) {
        let help = "leave `@advisory` out: it marks what this gateway cannot stop";
        wrong.push(found.wrong_near("@advisory", "policy is advisory, but enforced here".to_owned(), help));
        return;
    }
    for action in named.iter().filter(|action| beyond.contains(action) != found.is_advisory()) {
        let id = action.id().unescaped();
        let (message, help) = if found.is_advisory() {
            (
                format!("`{id}` is enforced here, and the policy is advisory"),
                "write two policies, one of them `@advisory`",
            )
        } else {
            let whom = vocabulary.enforcement(action).whom();
            let message = format!("`{id}` is enforced by {whom}: this gateway cannot stop it");
            (message, "mark the policy `@advisory`, or leave the action out")
        };
        wrong.push(found.wrong_near(&format!("\"{id}\""), message, help));
    }
}

/// Actions and groups of which nothing can be stopped here.
pub(super) fn beyond(vocabulary: &Vocabulary) -> HashSet<&EntityUid> {
    let mut here = HashMap::new();
    for act in vocabulary.acts() {
        let is_here = vocabulary.enforcement(&act.uid).is_here();
        for named in &act.lineage {
            *here.entry(named).or_insert(false) |= is_here;
        }
    }
    here.into_iter().filter(|(_, is_here)| !is_here).map(|(named, _)| named).collect()
}

/// No forbid stops by freeze or suspension what must stay possible then.
pub(super) fn check_kept(
    all: &[Found<'_>],
    invalid: &BTreeSet<PolicyId>,
    vocabulary: &Vocabulary,
    schema: &Schema,
    wrong: &mut Vec<Diagnostic>,
) {
    for (capabilities, attributes, why) in KEPT {
        let can_stop = |found: &&Found<'_>| {
            found.policy.effect() == Effect::Forbid
                && !invalid.contains(found.policy.id())
                && capabilities
                    .iter()
                    .any(|of| vocabulary.capability(*of).is_some_and(|act| applies(&found.policy, act)))
                && partial::applies_by(&found.policy, attributes)
        };
        for found in all.iter().filter(can_stop) {
            // That the company's own policies reach leaving is wrong in itself, and said elsewhere.
            let is_told =
                |capability: Capability| capability == Capability::REMOVE_SELF && found.layer != Layer::Platform;
            let stopped = |capability: &&Capability| {
                let act = vocabulary.capability(**capability).filter(|act| applies(&found.policy, act));
                let residuals = act.map(|act| partial::of_action([&found.policy], &act.uid, schema));
                let mut residuals = residuals.into_iter().flatten();
                !is_told(**capability)
                    && residuals.any(|Residual { policy, .. }| partial::applies_by(&policy, attributes))
            };
            let stopped: Vec<String> = capabilities.iter().filter(stopped).map(ToString::to_string).collect();
            if !stopped.is_empty() {
                let (what, by) = (stopped.join("` and `"), attributes.join("` or `"));
                let message = format!("policy would forbid `{what}` by `{by}`: {why}");
                let actions: Vec<String> = stopped.iter().map(|name| format!("Mimi::Action::\"{name}\"")).collect();
                wrong.push(found.wrong(message, &format!("add `unless {{ action in [{}] }}`", actions.join(", "))));
            }
        }
    }
}

/// Whether the scope of a policy has the action in it.
pub(super) fn applies(policy: &Policy, act: &Act) -> bool {
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(action) => action == act.uid,
        ActionConstraint::In(actions) => actions.iter().any(|action| act.lineage.contains(action)),
    }
}
