//! What a bundle promises whatever else it says: `invariants/*.cedar`, each written as a policy. A `forbid` promises that what
//! it says is never allowed, a `permit` that it always is. None of them decides anything.

use cedar_policy::{Effect, Entities, Policy, Request, Schema};

use super::bundle::Bundle;
use super::diagnostic::{Diagnostic, Source};
use super::engine::Engine;
use super::entities::Asked;
use super::policies::{self, Found, Layer, PolicyMeta};
use super::promises::applies;
use super::verdict::Verdict;

/// Annotations that an invariant may have.
const ANNOTATIONS: [&str; 2] = ["id", "doc"];

/// Something that a bundle promises.
#[derive(Clone, Copy, Debug)]
pub struct Invariant<'b>(&'b PolicyMeta);

impl<'b> Invariant<'b> {
    /// Its name.
    pub fn id(self) -> String {
        self.0.policy.id().to_string()
    }

    /// What it promises, in words.
    pub fn doc(self) -> &'b str {
        self.0.policy.annotation("doc").unwrap_or_default()
    }

    /// The file of the bundle and the line on which it begins, from 1.
    pub fn place(self) -> (&'b str, usize) {
        (&self.0.place.file, self.0.place.line)
    }

    /// Whether what it says is always allowed; else it never is.
    pub fn allows(self) -> bool {
        self.0.policy.effect() == Effect::Permit
    }

    /// What it says.
    pub fn policy(self) -> &'b Policy {
        &self.0.policy
    }
}

/// A policy as it is analysed.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'b> {
    /// As it decides.
    pub policy: &'b Policy,
    /// Whether it is one of the links of a template.
    pub is_link: bool,
}

impl Bundle {
    /// What it promises, in the order of files and lines.
    pub fn invariants(&self) -> impl Iterator<Item = Invariant<'_>> {
        self.invariants.iter().map(Invariant)
    }

    /// The schema that its policies are valid by.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The policies whose scope has this action in it, in the order of their ids.
    pub fn rules(&self, action: &cedar_policy::EntityUid) -> Vec<Rule<'_>> {
        let Some(act) = self.vocabulary.acts().find(|act| act.uid == *action) else { return Vec::new() };
        let metas = self.metas.values().filter(|meta| applies(&meta.policy, act));
        let mut rules: Vec<Rule<'_>> =
            metas.map(|meta| Rule { policy: &meta.policy, is_link: meta.template.is_some() }).collect();
        rules.sort_by(|a, b| a.policy.id().cmp(b.policy.id()));
        rules
    }

    /// The invariants that a test of the bundle breaks: what each promises, and the file, line and sentence of the case.
    pub fn broken_by_cases(&self) -> Vec<(Invariant<'_>, String, usize, String)> {
        let engine = Engine::new(self);
        let mut broken = Vec::new();
        for (file, suite) in self.suites() {
            let engine = suite.engine(&engine);
            for (number, it) in suite.sentences() {
                let Some(question) = suite.ask(number).map(|ask| ask.question()) else { continue };
                let Some((_, Ok(asked))) = engine.put(&question) else { continue };
                let verdict = engine.decide_any(&question);
                let breaks = |invariant: &Invariant<'_>| {
                    verdict.allow != invariant.allows() && policies::matches(invariant.policy(), &asked)
                };
                let line = suite.line(number);
                let of_case = self.invariants().filter(breaks);
                broken.extend(of_case.map(|invariant| (invariant, file.to_owned(), line, it.to_owned())));
            }
        }
        broken
    }
}

impl Engine {
    /// Decides a request in Cedar's own terms, with all entities that it refers to; `None` if nobody asks for its action here.
    pub fn decide_request(&self, request: Request, entities: Entities) -> Option<Verdict> {
        let resource = request.resource()?.clone();
        let action = request.action()?.clone();
        let asked = Asked { request, resource, entities: std::sync::Arc::new(entities) };
        self.decide_asked(&action, asked)
    }
}

/// Parses a file of invariants.
pub(super) fn parse<'a>(source: Source<'a>, wrong: &mut Vec<Diagnostic>) -> Vec<Found<'a>> {
    let found = policies::parse(source, Layer::Platform, wrong);
    for found in &found {
        policies::check_id(found, wrong);
        for (key, _) in found.policy.annotations().filter(|(key, _)| !ANNOTATIONS.contains(key)) {
            let help = format!("expected one of `@{}`: an invariant decides nothing", ANNOTATIONS.join("`, `@"));
            wrong.push(found.wrong_near(&format!("@{key}"), format!("unknown annotation `@{key}`"), &help));
        }
    }
    found
}
