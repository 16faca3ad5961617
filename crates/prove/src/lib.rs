//! What a bundle says of every question that can be asked, and not only of those that its tests ask: that an invariant holds,
//! and what another bundle newly allows or denies. Policies are compiled to formulas and given to cvc5, a solver that need
//! not be there. What it finds is asked again of the engine that decides; what it does not find is not proven, and never
//! called the same.

mod differ;
mod invariant;
mod solver;
mod witness;
mod world;

pub use differ::{Differences, differences};
pub use invariant::{Found, Proof, prove};
pub use solver::Solver;
pub use witness::Witness;

/// Links that are given to the solver for one kind of question: each is a name of its own, and time grows fast with them.
const MOST_LINKS: usize = 40;

#[cfg(test)]
mod tests;
