//! What the tests of a bundle show of its policies: which of them decide in some case, and which of their conditions are
//! seen to hold and not to hold.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::PolicyId;

use super::Ready;
use crate::policy::bundle::Bundle;
use crate::policy::clauses::{Evaluator, Holds, Part, PartKind};
use crate::policy::engine::Engine;
use crate::policy::policies::PolicyMeta;
use crate::policy::promises::applies;

/// What the tests show of all policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Each policy, in the order of files and lines.
    pub policies: Vec<PolicyCoverage>,
}

/// What the tests show of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyCoverage {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// In how many cases it is one of those that decide, or that what is owed is owed for.
    pub decides: usize,
    /// In how many its scope is met; of a template, that of any of its links.
    pub in_scope: usize,
    /// Its conditions.
    pub clauses: Vec<ClauseCoverage>,
}

/// What the tests show of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClauseCoverage {
    /// `when` or `unless`, and the condition.
    pub text: String,
    /// In how many cases it holds.
    pub holds: usize,
    /// In how many it does not.
    pub fails: usize,
}

impl PolicyCoverage {
    /// Whether it decides in some case, and each of its conditions is seen to hold and not to hold.
    pub fn is_full(&self) -> bool {
        self.decides > 0 && self.clauses.iter().all(|clause| clause.holds > 0 && clause.fails > 0)
    }
}

impl Coverage {
    /// Runs every test of the bundle once more and watches its policies.
    pub fn of(bundle: &Bundle) -> Self {
        let written = bundle.metas.values().filter(|meta| meta.template.is_none());
        let written = written.chain(bundle.slotted.iter().map(|(meta, _)| meta)).chain(&bundle.owing.metas);
        let mut seen: BTreeMap<&PolicyId, PolicyCoverage> =
            written.map(|meta| (meta.policy.id(), unseen(meta))).collect();
        let engine = Engine::new(bundle);
        let mut evaluator = Evaluator::default();
        for (_, suite) in bundle.suites.iter() {
            let engine = suite.engine(&engine);
            for case in &suite.cases {
                watch(bundle, &engine, case, &mut evaluator, &mut seen);
            }
        }
        let mut policies: Vec<PolicyCoverage> = seen.into_values().collect();
        policies.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        Self { policies }
    }

    /// How many policies decide in some case.
    pub fn deciding(&self) -> usize {
        self.policies.iter().filter(|policy| policy.decides > 0).count()
    }
}

fn unseen(meta: &PolicyMeta) -> PolicyCoverage {
    let (id, place) = (meta.policy.id().to_string(), &meta.place);
    PolicyCoverage { id, file: place.file.clone(), line: place.line, decides: 0, in_scope: 0, clauses: Vec::new() }
}

fn watch<'b>(
    bundle: &'b Bundle,
    engine: &Engine,
    case: &Ready,
    evaluator: &mut Evaluator,
    seen: &mut BTreeMap<&'b PolicyId, PolicyCoverage>,
) {
    let question = case.ask.question();
    let verdict = engine.decide_any(&question);
    let owed: Vec<&String> = verdict.obligations.named().into_values().flat_map(|owed| &owed.because).collect();
    let ids = verdict.determining.iter().map(PolicyId::new);
    let deciding = ids.filter_map(|id| Some(row(bundle.metas.get_key_value(&id)?)));
    let obliging = bundle.owing.metas.iter().map(|meta| meta.policy.id());
    let obliging = obliging.filter(|id| owed.iter().any(|owed| id.to_string() == **owed));
    let deciding: BTreeSet<&PolicyId> = deciding.chain(obliging).collect();
    for id in deciding {
        if let Some(policy) = seen.get_mut(id) {
            policy.decides += 1;
        }
    }
    let Some((act, Ok(asked))) = engine.put(&question) else { return };
    let mut met = BTreeSet::new();
    let candidates: BTreeSet<&PolicyId> = engine.candidates(act, &asked).collect();
    let deciding = candidates.into_iter().filter_map(|id| bundle.metas.get_key_value(id));
    let owing = bundle.owing.metas.iter().filter(|meta| applies(&meta.policy, act));
    for known in deciding.chain(owing.map(|meta| (meta.policy.id(), meta))) {
        let Some(policy) = seen.get_mut(row(known)) else { continue };
        let parts = evaluator.parts(&known.1.policy, &asked);
        let is_condition = |part: &&Part| matches!(part.kind, PartKind::When | PartKind::Unless);
        if parts.iter().filter(|part| !is_condition(part)).all(Part::passes) && met.insert(row(known)) {
            policy.in_scope += 1;
            policy.count(parts.iter().filter(is_condition));
        }
    }
}

/// What a policy counts for: a link for its template.
fn row<'m>((id, meta): (&'m PolicyId, &'m PolicyMeta)) -> &'m PolicyId {
    meta.template.as_ref().unwrap_or(id)
}

impl PolicyCoverage {
    fn count<'p>(&mut self, conditions: impl Iterator<Item = &'p Part>) {
        for (number, part) in conditions.enumerate() {
            if self.clauses.len() == number {
                let text = format!("{} {{ {} }}", part.kind.name(), part.clause.text);
                self.clauses.push(ClauseCoverage { text, holds: 0, fails: 0 });
            }
            if let Some(clause) = self.clauses.get_mut(number) {
                clause.holds += usize::from(part.clause.holds == Holds::Yes);
                clause.fails += usize::from(part.clause.holds == Holds::No);
            }
        }
    }
}
