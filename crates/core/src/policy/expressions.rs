//! Conditions of policies as trees: what they read, and what of them is decided before anything is known.

use cedar_policy::pst::{BinaryOp, Expr, Literal, UnaryOp, Var};

/// What a condition is, whatever the facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    True,
    False,
    /// It depends on the facts.
    Open,
}

/// What is known of a condition whose parts do not fail. Cedar's own partial evaluation keeps what could fail, though it
/// can no longer matter for the answer.
pub(super) fn known(expr: &Expr) -> Known {
    match expr {
        Expr::Literal(Literal::Bool(true)) => Known::True,
        Expr::Literal(Literal::Bool(false)) => Known::False,
        Expr::UnaryOp { op: UnaryOp::Not, expr } => match known(expr) {
            Known::True => Known::False,
            Known::False => Known::True,
            Known::Open => Known::Open,
        },
        Expr::BinaryOp { op: BinaryOp::And, left, right } => match (known(left), known(right)) {
            (Known::False, _) | (_, Known::False) => Known::False,
            (Known::True, Known::True) => Known::True,
            (Known::Open, _) | (_, Known::Open) => Known::Open,
        },
        Expr::BinaryOp { op: BinaryOp::Or, left, right } => match (known(left), known(right)) {
            (Known::True, _) | (_, Known::True) => Known::True,
            (Known::False, Known::False) => Known::False,
            (Known::Open, _) | (_, Known::Open) => Known::Open,
        },
        Expr::IfThenElse { cond, then_expr, else_expr } => match known(cond) {
            Known::True => known(then_expr),
            Known::False => known(else_expr),
            Known::Open if known(then_expr) == known(else_expr) => known(then_expr),
            Known::Open => Known::Open,
        },
        _ => Known::Open,
    }
}

/// Whether some part of it that can still matter is as `wanted`.
pub(super) fn any(expr: &Expr, wanted: &dyn Fn(&Expr) -> bool) -> bool {
    known(expr) == Known::Open && (wanted(expr) || parts(expr).into_iter().any(|part| any(part, wanted)))
}

/// Whether it reads an attribute of one of these names, of whatever.
fn reads(expr: &Expr, attributes: &[&str]) -> bool {
    any(expr, &|part| matches!(part, Expr::GetAttr { attr, .. } if attributes.contains(&attr.as_str())))
}

/// Whether it counts with numbers that are not written down, and so can leave their range.
pub(super) fn counts(expr: &Expr) -> bool {
    let written = |expr: &Expr| matches!(expr, Expr::Literal(_));
    any(expr, &|part| match part {
        Expr::BinaryOp { op: BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul, left, right } => {
            !(written(left) && written(right))
        }
        Expr::BinaryOp { op: BinaryOp::Offset | BinaryOp::DurationSince, left, right } => {
            !(is_near(left) && is_near(right))
        }
        Expr::UnaryOp { op: UnaryOp::Neg, expr } => !written(expr),
        _ => false,
    })
}

/// Whether it is a time that is written down, or the present.
fn is_near(expr: &Expr) -> bool {
    match expr {
        Expr::UnaryOp { op: UnaryOp::Datetime | UnaryOp::Duration, expr } => matches!(**expr, Expr::Literal(_)),
        Expr::GetAttr { expr, attr } => matches!(**expr, Expr::Var(Var::Context)) && attr.as_str() == "now",
        _ => false,
    }
}

/// Whether evaluating it fails, whatever the facts.
pub(super) fn fails(expr: &Expr) -> bool {
    match expr {
        Expr::ResidualError => true,
        Expr::BinaryOp { op: BinaryOp::And, left, right } => {
            fails(left) || (known(left) == Known::True && fails(right))
        }
        Expr::BinaryOp { op: BinaryOp::Or, left, right } => {
            fails(left) || (known(left) == Known::False && fails(right))
        }
        Expr::IfThenElse { cond, then_expr, else_expr } => fails(cond) || (fails(then_expr) && fails(else_expr)),
        _ => parts(expr).into_iter().any(fails),
    }
}

/// The sense in which a part of a condition counts for the whole.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sense {
    /// Where the part holds, the whole holds sooner.
    With,
    /// Where the part holds, the whole holds later.
    Against,
}

impl Sense {
    fn turned(self) -> Self {
        match self {
            Self::With => Self::Against,
            Self::Against => Self::With,
        }
    }
}

/// Whether it can come to hold because an attribute of one of these names is true.
pub(super) fn holds_by(expr: &Expr, attributes: &[&str], sense: Sense) -> bool {
    if known(expr) != Known::Open {
        return false;
    }
    match expr {
        Expr::GetAttr { expr, attr } if attributes.contains(&attr.as_str()) => {
            sense == Sense::With || reads(expr, attributes)
        }
        Expr::UnaryOp { op: UnaryOp::Not, expr } => holds_by(expr, attributes, sense.turned()),
        Expr::BinaryOp { op: BinaryOp::And | BinaryOp::Or, left, right } => {
            holds_by(left, attributes, sense) || holds_by(right, attributes, sense)
        }
        Expr::BinaryOp { op: op @ (BinaryOp::Eq | BinaryOp::NotEq), left, right } => {
            match (known(left), known(right)) {
                (Known::Open, Known::Open) => reads(expr, attributes),
                (Known::Open, value) => holds_by(left, attributes, compared(*op, value, sense)),
                (value, _) => holds_by(right, attributes, compared(*op, value, sense)),
            }
        }
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            reads(cond, attributes) || holds_by(then_expr, attributes, sense) || holds_by(else_expr, attributes, sense)
        }
        _ => reads(expr, attributes),
    }
}

/// The sense of what is compared with `value`.
fn compared(op: BinaryOp, value: Known, sense: Sense) -> Sense {
    if (op == BinaryOp::NotEq) == (value == Known::True) { sense.turned() } else { sense }
}

/// What must all hold for it to hold, but for what does anyway.
pub(super) fn conjuncts(expr: &Expr) -> Vec<String> {
    let (mut left_to_do, mut found) = (vec![expr], Vec::new());
    while let Some(expr) = left_to_do.pop() {
        match expr {
            Expr::BinaryOp { op: BinaryOp::And, left, right } => left_to_do.extend([&**right, &**left]),
            _ if known(expr) == Known::True => {}
            _ => found.push(expr.to_string()),
        }
    }
    found
}

/// What it is put together from.
pub(super) fn parts(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::UnaryOp { expr, .. }
        | Expr::GetAttr { expr, .. }
        | Expr::HasAttr { expr, .. }
        | Expr::Like { expr, .. } => vec![&**expr],
        Expr::BinaryOp { left, right, .. } => vec![&**left, &**right],
        Expr::Is { expr, in_expr, .. } => std::iter::once(&**expr).chain(in_expr.as_deref()).collect(),
        Expr::IfThenElse { cond, then_expr, else_expr } => vec![&**cond, &**then_expr, &**else_expr],
        Expr::Set(items) => items.iter().map(|item| &**item).collect(),
        Expr::Record(fields) => fields.values().map(|field| &**field).collect(),
        _ => Vec::new(),
    }
}
