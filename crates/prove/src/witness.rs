use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Entities, EntityUid, EvalResult};
use cedar_policy_symcc::Env;
use portcullis_core::policy::{Bundle, Engine, Verdict};

/// A question that shows something, with what the engine decides.
#[derive(Clone, Debug)]
pub struct Witness {
    /// Who.
    pub principal: String,
    /// What.
    pub action: String,
    /// To what.
    pub resource: String,
    /// What is known of the request: names and values as Cedar writes them.
    pub context: BTreeMap<String, String>,
    /// What is known of everything that it speaks of: the entity, and its attributes, tags and what it is in.
    pub entities: BTreeMap<String, BTreeMap<String, String>>,
    /// What the engine decides.
    pub verdict: Verdict,
    env: Env,
}

impl Witness {
    /// Asks the engine of a bundle what the solver has found; `None` if it cannot be asked there.
    pub(crate) fn of(env: &Env, bundle: &Bundle) -> Option<Self> {
        let request = &env.request;
        let (principal, action, resource) = (request.principal()?, request.action()?, request.resource()?);
        let verdict = replay(env, bundle)?;
        let context = request.context()?;
        let names = context.clone().into_iter().map(|(name, _)| name);
        let context =
            names.filter_map(|name| Some((shown(context.get(&name)?), name))).map(|(value, name)| (name, value));
        let described = env.entities.iter().filter(|entity| !is_action(&entity.uid()));
        let entities = described.map(|entity| {
            let mut said: BTreeMap<String, String> = BTreeMap::new();
            said.extend(entity.attrs().filter_map(|(name, value)| Some((name.to_owned(), shown(value.ok()?)))));
            said.extend(entity.tags().filter_map(|(name, value)| Some((format!("[{name}]"), shown(value.ok()?)))));
            let uid = entity.uid();
            // In an order of their own: they come as they are hashed.
            let above: BTreeSet<String> =
                env.entities.ancestors(&uid).into_iter().flatten().map(ToString::to_string).collect();
            if !above.is_empty() {
                said.insert("in".to_owned(), above.into_iter().collect::<Vec<_>>().join(", "));
            }
            (uid.to_string(), said)
        });
        Some(Self {
            principal: principal.to_string(),
            action: action.to_string(),
            resource: resource.to_string(),
            context: context.collect(),
            entities: entities.collect(),
            verdict,
            env: env.clone(),
        })
    }

    /// What the engine of another bundle decides of the same.
    pub(crate) fn by(&self, bundle: &Bundle) -> Option<Verdict> {
        replay(&self.env, bundle)
    }
}

fn replay(env: &Env, bundle: &Bundle) -> Option<Verdict> {
    // With the schema come its actions and their groups.
    let described = env.entities.iter().filter(|entity| !is_action(&entity.uid())).cloned();
    let entities = Entities::from_entities(described, Some(bundle.schema())).ok()?;
    Engine::new(bundle).decide_request(env.request.clone(), entities)
}

fn is_action(uid: &EntityUid) -> bool {
    uid.type_name().basename() == "Action"
}

fn shown(value: EvalResult) -> String {
    value.to_string()
}
