//! Policies taken apart: what each part of their scope and conditions is for one question, with the values that it
//! compares.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::pst::{BinaryOp, Expr, UnaryOp};
use cedar_policy::{
    ActionConstraint, EvalResult, Expression, Policy, PrincipalConstraint, ResourceConstraint, eval_expression,
};

use super::entities::Asked;
use super::expressions;
use super::partial;

/// Longest value that is shown, in characters: a set of capabilities is longer.
const MOST_CHARS: usize = 120;

/// What a part is for one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// True.
    Yes,
    /// False.
    No,
    /// It cannot be evaluated, and why.
    Failed(String),
    /// What stands before it has decided already.
    NotReached,
}

/// What kind of part it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartKind {
    /// Of the scope: by whom.
    Principal,
    /// Of the scope: what.
    Action,
    /// Of the scope: to what.
    Resource,
    /// A condition that must hold.
    When,
    /// A condition that must not hold.
    Unless,
}

impl PartKind {
    /// As Cedar spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Principal => "principal",
            Self::Action => "action",
            Self::Resource => "resource",
            Self::When => "when",
            Self::Unless => "unless",
        }
    }
}

/// A part of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which.
    pub kind: PartKind,
    /// Its expression for the question.
    pub clause: Clause,
}

impl Part {
    /// Whether the policy can still apply after it.
    pub fn passes(&self) -> bool {
        match self.kind {
            PartKind::Unless => self.clause.holds == Holds::No,
            PartKind::Principal | PartKind::Action | PartKind::Resource | PartKind::When => {
                self.clause.holds == Holds::Yes
            }
        }
    }
}

/// An expression for one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// As Cedar writes it.
    pub text: String,
    /// What it is.
    pub holds: Holds,
    /// Where it is put together from several: how.
    pub joined: Option<Joined>,
    /// From what it is put together.
    pub parts: Vec<Clause>,
    /// Where it is not: what it compares, and the values.
    pub values: Vec<(String, String)>,
}

/// How an expression is put together from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// `&&`
    All,
    /// `||`
    Any,
    /// `!`
    Not,
}

/// The parts of policies, ready to be evaluated for many questions.
#[derive(Debug, Default)]
pub(super) struct Evaluator {
    parsed: HashMap<String, Option<Expression>>,
}

impl Evaluator {
    /// The parts of a policy for a question, in their order.
    pub(super) fn parts(&mut self, policy: &Policy, asked: &Asked) -> Vec<Part> {
        let scope = scope(policy).into_iter().map(|(kind, text)| {
            let holds = self.holds(&text, asked);
            Part { kind, clause: Clause { text, holds, joined: None, parts: Vec::new(), values: Vec::new() } }
        });
        let mut parts: Vec<Part> = scope.collect();
        for (is_unless, expr) in partial::clauses(policy) {
            let kind = if is_unless { PartKind::Unless } else { PartKind::When };
            let reached = parts.iter().all(Part::passes);
            parts.push(Part { kind, clause: self.clause(&expr, asked, reached) });
        }
        parts
    }

    fn clause(&mut self, expr: &Expr, asked: &Asked, reached: bool) -> Clause {
        let text = expr.to_string();
        let (joined, of) = match expr {
            Expr::BinaryOp { op: BinaryOp::And, .. } => (Some(Joined::All), flat(expr, BinaryOp::And)),
            Expr::BinaryOp { op: BinaryOp::Or, .. } => (Some(Joined::Any), flat(expr, BinaryOp::Or)),
            Expr::UnaryOp { op: UnaryOp::Not, expr } => (Some(Joined::Not), vec![expr.clone()]),
            _ => (None, Vec::new()),
        };
        let holds = if reached { self.holds(&text, asked) } else { Holds::NotReached };
        let Some(how) = joined else {
            let compares = !matches!(expr, Expr::GetAttr { .. });
            let values = if reached && compares { self.values(expr, asked) } else { Vec::new() };
            return Clause { text, holds, joined, parts: Vec::new(), values };
        };
        let mut parts: Vec<Clause> = Vec::new();
        for part in of {
            let goes_on = match how {
                Joined::All => Holds::Yes,
                Joined::Any | Joined::Not => Holds::No,
            };
            let reached = reached && parts.iter().all(|before| before.holds == goes_on);
            parts.push(self.clause(&part, asked, reached));
        }
        Clause { text, holds, joined, parts, values: Vec::new() }
    }

    /// A variable or another expression for the question, as Cedar writes it.
    pub(super) fn show(&mut self, text: &str, asked: &Asked) -> Option<String> {
        self.value(text, asked)?.ok().map(|value| value.to_string())
    }

    fn values(&mut self, expr: &Expr, asked: &Asked) -> Vec<(String, String)> {
        let compared = expressions::parts(expr)
            .into_iter()
            .filter(|part| !matches!(part, Expr::Literal(_) | Expr::Var(_) | Expr::Set(_) | Expr::Record(_)));
        let compared: Vec<String> = compared.map(ToString::to_string).collect();
        let shown = compared.into_iter().filter_map(|text| {
            let value = self.value(&text, asked)?.ok()?;
            let mut value = value.to_string();
            if let Some((end, _)) = value.char_indices().nth(MOST_CHARS) {
                value.truncate(end);
                value.push('…');
            }
            Some((text, value))
        });
        shown.collect()
    }

    fn holds(&mut self, text: &str, asked: &Asked) -> Holds {
        match self.value(text, asked) {
            Some(Ok(EvalResult::Bool(true))) => Holds::Yes,
            Some(Ok(EvalResult::Bool(false))) => Holds::No,
            Some(Ok(other)) => Holds::Failed(format!("`{other}` is neither true nor false")),
            Some(Err(error)) => Holds::Failed(error),
            None => Holds::Failed("expression cannot be read back".to_owned()),
        }
    }

    fn value(&mut self, text: &str, asked: &Asked) -> Option<Result<EvalResult, String>> {
        if !self.parsed.contains_key(text) {
            self.parsed.insert(text.to_owned(), Expression::from_str(text).ok());
        }
        let expression = self.parsed.get(text)?.as_ref()?;
        Some(eval_expression(&asked.request, &asked.entities, expression).map_err(|error| error.to_string()))
    }
}

/// The operands of a row of the same operator.
fn flat(expr: &Expr, of: BinaryOp) -> Vec<Arc<Expr>> {
    match expr {
        Expr::BinaryOp { op, left, right } if *op == of => {
            let side = |side: &Arc<Expr>| match &**side {
                Expr::BinaryOp { op, .. } if *op == of => flat(side, of),
                _ => vec![Arc::clone(side)],
            };
            side(left).into_iter().chain(side(right)).collect()
        }
        _ => Vec::new(),
    }
}

/// The scope of a policy as expressions; what it leaves open is left out.
fn scope(policy: &Policy) -> Vec<(PartKind, String)> {
    let principal = match policy.principal_constraint() {
        PrincipalConstraint::Any => None,
        PrincipalConstraint::Eq(uid) => Some(format!("principal == {uid}")),
        PrincipalConstraint::In(uid) => Some(format!("principal in {uid}")),
        PrincipalConstraint::Is(kind) => Some(format!("principal is {kind}")),
        PrincipalConstraint::IsIn(kind, uid) => Some(format!("principal is {kind} in {uid}")),
    };
    let action = match policy.action_constraint() {
        ActionConstraint::Any => None,
        ActionConstraint::Eq(uid) => Some(format!("action == {uid}")),
        ActionConstraint::In(uids) => {
            let uids: Vec<String> = uids.iter().map(ToString::to_string).collect();
            Some(format!("action in [{}]", uids.join(", ")))
        }
    };
    let resource = match policy.resource_constraint() {
        ResourceConstraint::Any => None,
        ResourceConstraint::Eq(uid) => Some(format!("resource == {uid}")),
        ResourceConstraint::In(uid) => Some(format!("resource in {uid}")),
        ResourceConstraint::Is(kind) => Some(format!("resource is {kind}")),
        ResourceConstraint::IsIn(kind, uid) => Some(format!("resource is {kind} in {uid}")),
    };
    let kinds = [PartKind::Principal, PartKind::Action, PartKind::Resource];
    kinds.into_iter().zip([principal, action, resource]).filter_map(|(kind, text)| Some((kind, text?))).collect()
}
