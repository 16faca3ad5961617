//! The questions that the gateway can ask. The schema alone would allow more: users whose provider is another one than they
//! are in, messages of less than no bytes. What nobody asks is no witness against a bundle.

use std::collections::BTreeSet;

use cedar_policy::{Policy, PolicyId, PolicySet, RequestEnv, Schema, ValidationMode, Validator};
use cedar_policy_symcc::CompiledPolicySet;

use crate::solver::{Unproven, failed};

/// What holds of every question, as forbids of what cannot be. Each is left out where the schema has no such question.
const KNOWN: [(&str, &str); 7] = [
    (
        "a time that can be written down",
        r#"forbid (principal, action, resource)
           unless { context.now >= datetime("1970-01-01") && context.now < datetime("9999-12-31") };"#,
    ),
    (
        "a user is in its provider, employed and cleared as settings can say",
        r#"forbid (principal is Mimi::User, action, resource)
           unless {
             principal in principal.provider &&
             ["employee", "contractor", "guest"].contains(principal.employment) &&
             principal.clearance >= 0 && principal.clearance <= 3
           };"#,
    ),
    (
        "a room is classified as settings can say, and has participants only where they are known",
        r#"forbid (principal is Mimi::User, action, resource is Mimi::Room)
           unless {
             resource.classification >= 0 && resource.classification <= 3 && resource.maxMessageBytes >= 0 &&
             (resource.tracked || !resource.hasTag(principal.uri))
           };"#,
    ),
    (
        "what is counted is no less than nothing, and there are two sides",
        r#"forbid (principal is Mimi::User, action, resource is Mimi::Room)
           unless {
             ["hub", "follower"].contains(context.side) && context.messageBytes >= 0 && context.epoch >= 0 &&
             context.suite >= 0 && context.suite <= 65535 && context.change.from >= 0 && context.change.to >= 0
           };"#,
    ),
    (
        "the target of a question is cleared and employed as settings can say",
        r#"forbid (principal is Mimi::User, action, resource is Mimi::Room)
           unless {
             if context has target then
               ["employee", "contractor", "guest"].contains(context.target.employment) &&
               context.target.clearance >= 0 && context.target.clearance <= 3 &&
               context.target in context.target.provider
             else true
           };"#,
    ),
    (
        "whom an act at the door is about is in its provider",
        r#"forbid (principal is Mimi::User, action, resource is Mimi::User)
           unless { resource in resource.provider };"#,
    ),
    (
        "a user has a URI",
        r#"forbid (principal is Mimi::User, action, resource)
           when { principal.uri == "" };"#,
    ),
];

/// One kind of question: who asks, what, and about what.
pub(crate) struct Kind<'s> {
    pub(crate) env: RequestEnv,
    schema: &'s Schema,
    known: Vec<Policy>,
}

impl<'s> Kind<'s> {
    /// Every kind of question that the schema has.
    pub(crate) fn all(schema: &'s Schema) -> Vec<Self> {
        let known = known(schema);
        let mut seen = BTreeSet::new();
        let mut kinds: Vec<Self> = schema
            .request_envs()
            .filter(|env| seen.insert(name(env)))
            .map(|env| Self { env, schema, known: known.clone() })
            .collect();
        kinds.sort_by_key(Self::name);
        kinds
    }

    /// What it is called.
    pub(crate) fn name(&self) -> String {
        name(&self.env)
    }

    /// Policies as formulas; those of what cannot be asked beside them.
    pub(crate) fn compile<'p>(
        &self,
        policies: impl IntoIterator<Item = &'p Policy>,
    ) -> Result<CompiledPolicySet, Unproven> {
        let all = policies.into_iter().cloned().chain(self.known.iter().cloned());
        let set = PolicySet::from_policies(all).map_err(|error| Unproven::Failed(error.to_string()))?;
        CompiledPolicySet::compile(&set, &self.env, self.schema).map_err(|error| failed(&error))
    }

    /// The schema that it is of.
    pub(crate) fn schema(&self) -> &'s Schema {
        self.schema
    }
}

fn name(env: &RequestEnv) -> String {
    format!("{} by {} on {}", env.action().id().unescaped(), env.principal().basename(), env.resource().basename())
}

/// Those of [`KNOWN`] that the schema of the bundle has words for.
fn known(schema: &Schema) -> Vec<Policy> {
    let validator = Validator::new(schema.clone());
    let parsed = KNOWN.iter().enumerate().filter_map(|(number, (_, text))| {
        let policy = Policy::parse(Some(PolicyId::new(format!("known {number}"))), text).ok()?;
        let alone = PolicySet::from_policies([policy.clone()]).ok()?;
        validator.validate(&alone, ValidationMode::Strict).validation_passed().then_some(policy)
    });
    parsed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_known_can_be_said_in_the_shipped_schema() {
        let text = include_str!("../../../policies/schema/mimi.cedarschema");
        let (schema, _) = Schema::from_cedarschema_str(text).unwrap();
        assert_eq!(known(&schema).len(), KNOWN.len());
        assert!(Kind::all(&schema).len() > 80);
    }
}
