//! Stage `policy`: actions and facts in, a decision out. A bundle of Cedar policies is proved when it is loaded, indexed
//! by action and room, and evaluated so that whatever is unknown or fails denies.
//!
//! The room's roles permit, the company's ceiling forbids, and a forbid always wins: a room can narrow what the company
//! allows, never widen it.

mod attributes;
mod bundle;
mod cases;
mod clauses;
mod depth;
mod diagnostic;
mod diff;
mod enforcement;
mod engine;
mod entities;
mod expressions;
mod facts;
mod format;
mod index;
mod invariants;
mod links;
mod lints;
mod looks;
mod obligations;
mod outlook;
mod partial;
mod people;
mod policies;
mod promises;
mod queries;
mod reads;
mod recorded;
mod roles;
mod settings;
mod slices;
mod verdict;
mod vocabulary;
mod why;

pub use attributes::{Attribute, DirectoryRule, DirectorySettings, Given, Origin, UserPattern, UserRule};
pub use bundle::{Bundle, MAX_BUNDLE_BYTES, MAX_FILE_BYTES, MAX_FILES, SIGNATURE_FILE, content_digest, is_example};
pub use cases::{CaseOutcome, ClauseCoverage, Coverage, Difference, PolicyCoverage, Suite, run_cases};
pub use clauses::{Clause, Holds, Joined, Part, PartKind};
pub use diagnostic::{Diagnostic, Severity};
pub use diff::{BundleDiff, Change, Changed, DecisionChange, Written};
pub use enforcement::Enforcement;
pub use engine::Engine;
pub use facts::{
    AdminAct, AdminQuestion, Claim, ConsentStep, DoorAct, DoorQuestion, Membership, Question, RoleFacts, RoomFacts,
    Side,
};
pub use format::format;
pub use invariants::{Invariant, Rule};
pub use obligations::{ObligationSettings, Obligations, Owed, RateClass};
pub use outlook::GrantedInVain;
pub use people::{People, Person, PersonFacts};
pub use queries::{Answer, Condition, OpenFact, Over, Possible};
pub use recorded::{Recalled, RecordHead, Told, Unasked};
pub use roles::RoleSet;
pub use settings::{
    ConsentSettings, Defaults, DeniedCommit, Employment, FollowerSettings, ImpliedConsent, ProviderSettings,
    RoomSettings, SearchSettings, Settings, UserDefaults, UserSettings,
};
pub use verdict::{NEUTRAL_SENTENCE, POLICY_ERROR, Verdict};
pub use why::{Explained, Why};

#[cfg(test)]
mod tests;
