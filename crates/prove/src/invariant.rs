use cedar_policy::pst;
use cedar_policy::{Policy, RequestEnv};
use portcullis_core::policy::{Bundle, Invariant, Rule};

use cedar_policy_symcc::CompiledPolicy;

use crate::MOST_LINKS;
use crate::solver::{Solver, Unproven, failed};
use crate::witness::Witness;
use crate::world::Kind;

/// What became of an invariant.
#[derive(Clone, Debug)]
pub struct Proof {
    /// Its name.
    pub id: String,
    /// What it promises, in words.
    pub doc: String,
    /// The file of the bundle that has it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// What was found.
    pub found: Found,
}

/// What was found out about an invariant.
#[derive(Clone, Debug)]
pub enum Found {
    /// It holds for every question that can be asked, of so many kinds.
    Proven(usize),
    /// It does not: a question that breaks it.
    Broken(Box<Witness>),
    /// A test of the bundle breaks it: file, line and sentence.
    BrokenByCase(String, usize, String),
    /// Nobody knows, and why; the kinds of questions that are left.
    NotProven(Vec<String>),
}

/// Proves what a bundle promises, whatever its settings say.
pub fn prove(bundle: &Bundle, solver: &mut Solver) -> Vec<Proof> {
    let broken = bundle.broken_by_cases();
    let kinds = Kind::all(bundle.schema());
    let proofs = bundle.invariants().map(|invariant| {
        let (file, line) = invariant.place();
        let case = broken.iter().find(|(of, ..)| of.id() == invariant.id());
        let found = match case {
            Some((_, file, line, it)) => Found::BrokenByCase(file.clone(), *line, it.clone()),
            None => everywhere(bundle, invariant, &kinds, solver),
        };
        Proof { id: invariant.id(), doc: invariant.doc().to_owned(), file: file.to_owned(), line, found }
    });
    proofs.collect()
}

fn everywhere(bundle: &Bundle, invariant: Invariant<'_>, kinds: &[Kind<'_>], solver: &mut Solver) -> Found {
    let promised: Vec<RequestEnv> = invariant.policy().get_valid_request_envs(bundle.schema()).collect();
    let here = |kind: &&Kind<'_>| {
        promised.iter().any(|env| {
            env.action() == kind.env.action()
                && env.principal() == kind.env.principal()
                && env.resource() == kind.env.resource()
        })
    };
    let (mut proven, mut left) = (0, Vec::new());
    for kind in kinds.iter().filter(here) {
        match of_kind(bundle, invariant, kind, solver) {
            Ok(None) => proven += 1,
            Ok(Some(witness)) => return Found::Broken(Box::new(witness)),
            Err(why) => left.push(format!("{}: {why}", kind.name())),
        }
    }
    match (proven, left.is_empty()) {
        (0, true) => Found::NotProven(vec!["it is about nothing that can be asked".to_owned()]),
        (_, true) => Found::Proven(proven),
        (_, false) => Found::NotProven(left),
    }
}

/// A question of this kind that breaks the invariant, if there is one.
fn of_kind(
    bundle: &Bundle,
    invariant: Invariant<'_>,
    kind: &Kind<'_>,
    solver: &mut Solver,
) -> Result<Option<Witness>, Unproven> {
    solver.in_time()?;
    let rules = bundle.rules(kind.env.action());
    let links = rules.iter().filter(|rule| rule.is_link).count();
    let said = permitting(invariant.policy())?;
    let said = kind.compile([&said])?;
    if invariant.allows() {
        if links > MOST_LINKS {
            return Err(too_many(links));
        }
        // A policy that fails denies, which Cedar's own semantics does not know.
        for rule in &rules {
            never_fails(rule, kind, solver)?;
        }
        solver.in_time()?;
        let all = kind.compile(rules.iter().map(|rule| rule.policy))?;
        let Some(found) = solver.not_implied(&said, &all)? else { return Ok(None) };
        return confirmed(Witness::of(&found, bundle), |witness| !witness.verdict.allow);
    }
    // Links only forbid: what is never allowed without them is not with them either.
    let few = kind.compile(rules.iter().filter(|rule| !rule.is_link).map(|rule| rule.policy))?;
    let Some(found) = solver.shared(&said, &few)? else { return Ok(None) };
    let witness = Witness::of(&found, bundle);
    if links == 0 || witness.as_ref().is_some_and(|witness| witness.verdict.allow) {
        return confirmed(witness, |witness| witness.verdict.allow);
    }
    if links > MOST_LINKS {
        return Err(too_many(links));
    }
    let all = kind.compile(rules.iter().map(|rule| rule.policy))?;
    match solver.shared(&said, &all)? {
        Some(found) => confirmed(Witness::of(&found, bundle), |witness| witness.verdict.allow),
        None => Ok(None),
    }
}

/// What the solver has found counts once the engine says the same.
fn confirmed(witness: Option<Witness>, shows: impl Fn(&Witness) -> bool) -> Result<Option<Witness>, Unproven> {
    match witness.filter(shows) {
        Some(witness) => Ok(Some(witness)),
        None => Err(Unproven::Failed("the engine does not confirm what the solver has found".to_owned())),
    }
}

fn too_many(links: usize) -> Unproven {
    Unproven::Failed(format!("{links} links of templates are more than the {MOST_LINKS} that are analysed at once"))
}

/// That a policy does not fail for any question of the kind.
pub(crate) fn never_fails(rule: &Rule<'_>, kind: &Kind<'_>, solver: &mut Solver) -> Result<(), Unproven> {
    let compiled = CompiledPolicy::compile(rule.policy, &kind.env, kind.schema()).map_err(|error| failed(&error))?;
    if solver.never_fails(&compiled)? {
        return Ok(());
    }
    Err(Unproven::Failed(format!("`{}` can fail, and would deny then", rule.policy.id())))
}

/// The same as a permit.
fn permitting(policy: &Policy) -> Result<Policy, Unproven> {
    let built = policy.to_pst().and_then(|tree| {
        let mut body = tree.body().clone();
        body.effect = pst::Effect::Permit;
        Policy::from_pst(pst::Policy::Static(pst::StaticPolicy::try_from(body)?))
    });
    built.map_err(|error| Unproven::Failed(error.to_string()))
}
