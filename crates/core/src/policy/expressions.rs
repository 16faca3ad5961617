//! Conditions of policies as trees: what they read, and what of them is decided before anything is known.

use cedar_policy::pst::{BinaryOp, Expr, Literal, UnaryOp};

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
pub(super) fn reads(expr: &Expr, attributes: &[&str]) -> bool {
    any(expr, &|part| matches!(part, Expr::GetAttr { attr, .. } if attributes.contains(&attr.as_str())))
}

/// Whether it counts with numbers that are not written down, and so can leave their range.
pub(super) fn counts(expr: &Expr) -> bool {
    let written = |expr: &Expr| matches!(expr, Expr::Literal(_));
    any(expr, &|part| match part {
        Expr::BinaryOp { op: BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul, left, right } => {
            !(written(left) && written(right))
        }
        Expr::UnaryOp { op: UnaryOp::Neg, expr } => !written(expr),
        _ => false,
    })
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
