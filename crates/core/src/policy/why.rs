//! Why a question is decided as it is: the policies that decide, clause by clause with values; what would allow it without
//! them; and where nothing permits it, what comes nearest.

use cedar_policy::Effect;

use crate::wire::uri::UserUri;

use super::attributes::Attribute;
use super::bundle::Bundle;
use super::cases::Suite;
use super::clauses::{Evaluator, Holds, Part};
use super::enforcement::Enforcement;
use super::engine::Engine;
use super::facts::AnyQuestion;
use super::policies::PolicyMeta;
use super::promises::applies;
use super::verdict::Verdict;

/// How many near misses are shown.
const MOST_NEAR: usize = 3;

/// A decision with its grounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// What is decided.
    pub verdict: Verdict,
    /// The action, as the schema names it.
    pub action: String,
    /// Who can stop it.
    pub enforcement: Enforcement,
    /// What the policies know of the request, as Cedar writes it.
    pub facts: Vec<(&'static str, String)>,
    /// What holds for the users whom it concerns, with where it comes from.
    pub attributes: Vec<(UserUri, Vec<Attribute>)>,
    /// The policies that decide.
    pub deciding: Vec<Explained>,
    /// Permits that would allow it if nothing forbade it.
    pub permitted_by: Vec<String>,
    /// Where nothing permits it: the permits that come nearest, the nearest first.
    pub near: Vec<Explained>,
}

/// A policy for one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Whether it forbids.
    pub forbids: bool,
    /// Whether it says itself that nobody here can enforce it.
    pub advisory: bool,
    /// Its scope and its conditions.
    pub parts: Vec<Part>,
}

impl Explained {
    fn new(meta: &PolicyMeta, parts: Vec<Part>) -> Self {
        Self {
            id: meta.policy.id().to_string(),
            file: meta.place.file.clone(),
            line: meta.place.line,
            forbids: meta.policy.effect() == Effect::Forbid,
            advisory: meta.advisory,
            parts,
        }
    }

    fn applies(&self) -> bool {
        self.parts.iter().all(Part::passes)
    }

    /// How many parts keep it from applying, of those that are reached.
    fn misses(&self) -> usize {
        let missed = |part: &&Part| !part.passes() && part.clause.holds != Holds::NotReached;
        self.parts.iter().filter(missed).count()
    }

    fn unreached(&self) -> usize {
        self.parts.iter().filter(|part| part.clause.holds == Holds::NotReached).count()
    }
}

/// The users whom a question concerns.
fn concerned(question: &AnyQuestion<'_>) -> Vec<UserUri> {
    let (actor, other) = match question {
        AnyQuestion::Room(question) => (question.actor.uri(), question.target),
        AnyQuestion::Door(question) => (question.actor.clone(), question.act.about()),
        AnyQuestion::Admin(_) | AnyQuestion::Unknown => return Vec::new(),
    };
    let other = other.filter(|other| **other != actor).cloned();
    [Some(actor), other].into_iter().flatten().collect()
}

impl Bundle {
    /// Why a case of a suite is decided as it is; `None` if the suite has no case of that number.
    pub fn why(&self, suite: &Suite, number: usize) -> Option<Why> {
        let engine = suite.engine(&Engine::new(self));
        let question = suite.ask(number)?.question();
        let verdict = engine.decide_any(&question);
        let (act, asked) = engine.put(&question)?;
        let (mut deciding, mut permitted_by, mut near, mut facts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        if let Ok(asked) = &asked {
            let mut evaluator = Evaluator::default();
            let variables = ["principal", "action", "resource", "context"];
            facts.extend(variables.into_iter().filter_map(|name| Some((name, evaluator.show(name, asked)?))));
            // Of a forbid that does not decide nothing is told.
            let is_told = |meta: &&PolicyMeta| {
                let policy = &meta.policy;
                policy.effect() == Effect::Permit
                    || verdict.determining.iter().any(|id| id == AsRef::<str>::as_ref(policy.id()))
            };
            let told = self.metas.values().filter(is_told).filter(|meta| applies(&meta.policy, act));
            let mut metas: Vec<&PolicyMeta> = told.collect();
            metas.sort_by(|a, b| a.place.cmp(&b.place));
            let explained = metas.into_iter().map(|meta| Explained::new(meta, evaluator.parts(&meta.policy, asked)));
            for policy in explained.collect::<Vec<_>>() {
                if verdict.determining.contains(&policy.id) {
                    deciding.push(policy);
                } else if !policy.forbids && policy.applies() {
                    permitted_by.push(policy.id);
                } else if !policy.forbids {
                    near.push(policy);
                }
            }
        }
        if verdict.determining.is_empty() && permitted_by.is_empty() {
            near.sort_by_key(|policy| (policy.misses(), policy.unreached()));
            near.truncate(MOST_NEAR);
        } else {
            near.clear();
        }
        let enforcement = self.vocabulary.enforcement(&act.uid);
        let action = act.uid.id().unescaped().to_owned();
        let users = concerned(&question).into_iter().map(|user| (user.clone(), engine.attributes(&user)));
        Some(Why { verdict, action, enforcement, facts, attributes: users.collect(), deciding, permitted_by, near })
    }
}
