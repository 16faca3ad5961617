use std::collections::BTreeSet;

use portcullis_core::policy::{Bundle, Rule, Verdict};

use crate::MOST_LINKS;
use crate::invariant::never_fails;
use crate::solver::{Solver, Unproven};
use crate::witness::Witness;
use crate::world::Kind;

/// What two bundles decide otherwise, whatever their settings say.
#[derive(Clone, Debug, Default)]
pub struct Differences {
    /// Questions that the new one allows and the old one denies, one for each kind, with what the old one says.
    pub newly_allowed: Vec<(Witness, Verdict)>,
    /// Questions that the new one denies and the old one allows.
    pub newly_denied: Vec<(Witness, Verdict)>,
    /// Kinds of questions of which nobody knows, and why.
    pub not_proven: Vec<String>,
    /// How many kinds of questions are decided the same.
    pub same: usize,
}

impl Differences {
    /// Whether both decide everything the same.
    pub fn is_same(&self) -> bool {
        self.newly_allowed.is_empty() && self.newly_denied.is_empty() && self.not_proven.is_empty()
    }
}

/// Finds what two bundles of one schema decide otherwise. Bundles whose schemas differ are not compared.
pub fn differences(old: &Bundle, new: &Bundle, solver: &mut Solver) -> Differences {
    let mut found = Differences::default();
    for kind in Kind::all(new.schema()) {
        let (of_old, of_new) = (old.rules(kind.env.action()), new.rules(kind.env.action()));
        let (before, after) = (forms(&of_old), forms(&of_new));
        if before == after {
            found.same += 1;
            continue;
        }
        // What both have need not be looked into for links, which only forbid.
        let pair = [(&of_old, &after), (&of_new, &before)].map(|(rules, other)| {
            let kept = |rule: &&Rule<'_>| !rule.is_link || !other.contains(&form(rule));
            rules.iter().filter(kept).copied().collect::<Vec<Rule<'_>>>()
        });
        let changed: Vec<Rule<'_>> = pair[0]
            .iter()
            .filter(|rule| !after.contains(&form(rule)))
            .chain(pair[1].iter().filter(|rule| !before.contains(&form(rule))))
            .copied()
            .collect();
        let mut kind = Compared { kind, old, new, solver, found: &mut found };
        if let Err(why) = kind.compare(&pair, &changed) {
            let name = kind.kind.name();
            found.not_proven.push(format!("{name}: {why}"));
        }
    }
    found
}

struct Compared<'a, 's> {
    kind: Kind<'s>,
    old: &'a Bundle,
    new: &'a Bundle,
    solver: &'a mut Solver,
    found: &'a mut Differences,
}

impl Compared<'_, '_> {
    fn compare(&mut self, [old, new]: &[Vec<Rule<'_>>; 2], changed: &[Rule<'_>]) -> Result<(), Unproven> {
        let links = old.iter().chain(new).filter(|rule| rule.is_link).count();
        if links > MOST_LINKS {
            let why = format!("{links} links that differ are more than the {MOST_LINKS} that are analysed at once");
            return Err(Unproven::Failed(why));
        }
        self.solver.in_time()?;
        // A policy that fails denies, which Cedar's own semantics does not know. Of those that both have it is the same.
        let fails = changed.iter().try_for_each(|rule| never_fails(rule, &self.kind, self.solver));
        let before = self.kind.compile(old.iter().map(|rule| rule.policy))?;
        self.solver.in_time()?;
        let after = self.kind.compile(new.iter().map(|rule| rule.policy))?;
        let (mut is_same, mut spurious) = (true, false);
        if let Some(found) = self.solver.not_implied(&after, &before)? {
            is_same = false;
            match Witness::of(&found, self.new).and_then(|it| Some((it.by(self.old)?, it))) {
                Some((was, it)) if it.verdict.allow && !was.allow => self.found.newly_allowed.push((it, was)),
                _ => spurious = true,
            }
        }
        if let Some(found) = self.solver.not_implied(&before, &after)? {
            is_same = false;
            match Witness::of(&found, self.new).and_then(|it| Some((it.by(self.old)?, it))) {
                Some((was, it)) if !it.verdict.allow && was.allow => self.found.newly_denied.push((it, was)),
                _ => spurious = true,
            }
        }
        fails?;
        if spurious {
            return Err(Unproven::Failed("the engines do not confirm what the solver has found".to_owned()));
        }
        self.found.same += usize::from(is_same);
        Ok(())
    }
}

/// Policies by what they say; their ids and annotations decide nothing.
fn forms(rules: &[Rule<'_>]) -> BTreeSet<String> {
    rules.iter().map(form).collect()
}

fn form(rule: &Rule<'_>) -> String {
    // Those without a form as JSON must not all look the same.
    let Ok(mut json) = rule.policy.to_json() else { return rule.policy.to_string() };
    if let Some(fields) = json.as_object_mut() {
        fields.remove("annotations");
    }
    json.to_string()
}
