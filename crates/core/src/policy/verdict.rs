//! What the engine says.

use super::obligations::Obligations;

/// What a peer or user is told when no policy says it better.
pub const NEUTRAL_SENTENCE: &str = "the request is not allowed";

/// The reason of a deny that follows from a policy that failed.
pub const POLICY_ERROR: &str = "POLICY_ERROR";

/// A decision and why it fell. Everything but [`Verdict::public_sentence`] is for the company's own eyes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may happen.
    pub allow: bool,
    /// Ids of the policies that decided, sorted: the permits of an allow; the forbids of a deny, and those that failed.
    /// Empty when nothing permitted it.
    pub determining: Vec<String>,
    /// Code of the reason: the `@reason` of the first deciding policy, the company's before the room's.
    pub reason: String,
    /// The `@public_message` of that policy, for a deny.
    pub public_message: Option<String>,
    /// Why evaluation failed, which denies.
    pub errors: Vec<String>,
    /// What the decision could not take into account.
    pub notes: Vec<String>,
    /// What is owed for it, where it is allowed.
    pub obligations: Obligations,
}

impl Verdict {
    /// The sentence that peers and users may read. It never names a policy.
    pub fn public_sentence(&self) -> &str {
        self.public_message.as_deref().unwrap_or(NEUTRAL_SENTENCE)
    }

    /// A deny that no policy gave.
    pub(super) fn deny(reason: &str) -> Self {
        Self {
            allow: false,
            determining: Vec::new(),
            reason: reason.to_owned(),
            public_message: None,
            errors: Vec::new(),
            notes: Vec::new(),
            obligations: Obligations::default(),
        }
    }

    /// A deny because something that must be known is not.
    pub(super) fn incomplete(error: &super::entities::FactsError) -> Self {
        Self { errors: vec![error.explain()], ..Self::deny("FACTS_INCOMPLETE") }
    }
}
