//! What a policy reads of the context. A policy that reads nothing of what differs from question to question need not be
//! asked again while the facts are the same.

use std::collections::BTreeSet;

use cedar_policy::Policy;
use cedar_policy::pst::{Clause, Expr, Var};

use super::expressions::parts;

/// Attributes of the context that differ between questions with the same [`super::slices::Key`].
const PASSING: [&str; 3] = ["now", "epoch", "messageBytes"];

/// Attributes of the context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// These at most.
    Named(BTreeSet<String>),
    /// Perhaps every one.
    All,
}

impl Reads {
    /// What `policy` reads, whether or not its evaluation gets there.
    pub(super) fn of(policy: &Policy) -> Self {
        let Ok(tree) = policy.to_pst() else { return Self::All };
        let mut reads = Self::default();
        for clause in tree.body().clauses() {
            let (Clause::When(condition) | Clause::Unless(condition)) = clause;
            reads.visit(condition);
        }
        reads
    }

    /// Whether it is nothing that differs between questions with the same key.
    pub(super) fn is_steady(&self) -> bool {
        !PASSING.iter().any(|name| self.contains(name))
    }

    /// Whether nothing is read.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Named(names) if names.is_empty())
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        match self {
            Self::Named(names) => names.contains(name),
            Self::All => true,
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Named(names), Self::Named(more)) => names.extend(more.iter().cloned()),
            (_, Self::All) | (Self::All, _) => *self = Self::All,
        }
    }

    /// The context in any other place than before an attribute may be read as a whole, and so may what is not known here.
    fn visit(&mut self, condition: &Expr) {
        let mut left = vec![condition];
        while let Some(expr) = left.pop() {
            match expr {
                Expr::GetAttr { expr, attr } if is_context(expr) => self.name(attr),
                Expr::HasAttr { expr, attrs } if is_context(expr) => self.name(attrs.first()),
                Expr::Var(Var::Context) => *self = Self::All,
                Expr::Literal(_) | Expr::Var(_) => {}
                Expr::UnaryOp { .. }
                | Expr::BinaryOp { .. }
                | Expr::GetAttr { .. }
                | Expr::HasAttr { .. }
                | Expr::Like { .. }
                | Expr::Is { .. }
                | Expr::IfThenElse { .. }
                | Expr::Set(_)
                | Expr::Record(_) => left.extend(parts(expr)),
                _ => *self = Self::All,
            }
        }
    }

    fn name(&mut self, attribute: &str) {
        self.add(&Self::Named(BTreeSet::from([attribute.to_owned()])));
    }
}

fn is_context(expr: &Expr) -> bool {
    matches!(expr, Expr::Var(Var::Context))
}

impl Default for Reads {
    fn default() -> Self {
        Self::Named(BTreeSet::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(condition: &str) -> Reads {
        let policy = format!("permit (principal, action, resource) {condition};");
        Reads::of(&policy.parse::<Policy>().unwrap())
    }

    fn named(names: &[&str]) -> Reads {
        Reads::Named(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn what_a_policy_reads_is_found_wherever_it_stands() {
        assert_eq!(of(""), named(&[]));
        assert_eq!(of("when { principal.now > 1 }"), named(&[]));
        assert_eq!(of("when { context.now > datetime(\"2026-01-01\") }"), named(&["now"]));
        assert_eq!(of("when { true } unless { [1, context[\"epoch\"]].contains(2) }"), named(&["epoch"]));
        assert_eq!(of("when { context has change.from && context.change.from == 1 }"), named(&["change"]));
        assert_eq!(of("when { if context has target then {a: context.now}.a else \"\" like \"context\" }"), {
            named(&["now", "target"])
        });
        assert_eq!(of("when { context.source.isInRange(ip(context.suite)) }"), { named(&["source", "suite"]) });
    }

    #[test]
    fn a_policy_that_takes_the_context_as_a_whole_may_read_everything() {
        for whole in
            ["context == {a: 1}", "[context].contains(principal)", "(if true then context else context).now > 1"]
        {
            assert_eq!(of(&format!("when {{ {whole} }}")), Reads::All);
        }
    }

    #[test]
    fn only_what_differs_between_questions_is_not_steady() {
        assert!(of("when { context.side == \"hub\" && context.change.from == context.suite }").is_steady());
        for passing in PASSING {
            assert!(!of(&format!("when {{ context has {passing} }}")).is_steady());
        }
        assert!(!Reads::All.is_steady());
    }
}
