//! Stage `policy`: actions and facts in, a decision out. A bundle of Cedar policies is proved when it is loaded, indexed
//! by action and room, and evaluated so that whatever is unknown or fails denies.
//!
//! The room's roles permit, the company's ceiling forbids, and a forbid always wins: a room can narrow what the company
//! allows, never widen it.

mod bundle;
mod cases;
mod diagnostic;
mod engine;
mod entities;
mod facts;
mod index;
mod policies;
mod settings;
mod slices;
mod verdict;
mod vocabulary;

pub use bundle::Bundle;
pub use cases::{CaseOutcome, run_cases};
pub use diagnostic::Diagnostic;
pub use engine::Engine;
pub use facts::{
    AdminAct, AdminQuestion, Claim, ConsentStep, DoorAct, DoorQuestion, Membership, Question, RoleFacts, RoomFacts,
    Side,
};
pub use settings::{
    ConsentSettings, Defaults, DeniedCommit, Employment, FollowerSettings, ImpliedConsent, ProviderSettings,
    RoomSettings, SearchSettings, Settings, UserDefaults, UserSettings,
};
pub use verdict::{NEUTRAL_SENTENCE, Verdict};

#[cfg(test)]
mod tests;
