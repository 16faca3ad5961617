use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{Domain, RoomUri};
use serde_json::Value;
use uuid::Uuid;

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Policy allowed it and it happened.
    Allow,
    /// Policy or the protocol refused it.
    Deny,
    /// It failed.
    Error,
    /// Nothing was decided.
    Info,
    /// Policy refuses it, and it has happened all the same: another hub had accepted it.
    Alarm,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Allow, Self::Deny, Self::Error, Self::Info, Self::Alarm];

    /// The number that stands in leaves and columns.
    pub fn code(self) -> u8 {
        match self {
            Self::Allow => 0,
            Self::Deny => 1,
            Self::Error => 2,
            Self::Info => 3,
            Self::Alarm => 4,
        }
    }

    /// The outcome in a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Error => "error",
            Self::Info => "info",
            Self::Alarm => "alarm",
        }
    }

    /// The outcome of a number; `None` for a number that stands for none.
    pub fn from_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| u64::from(outcome.code()) == code)
    }
}

/// What the log is told of one decision or event.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRecord {
    /// Identifies the record wherever it is exported to.
    pub event: Uuid,
    /// When it happened.
    pub at: Millis,
    /// Kind of event, `decision.commit` and the like; at most 64 octets.
    pub kind: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The decision, as callers are told it.
    pub decision: Option<Uuid>,
    /// The room it is about.
    pub room: Option<RoomUri>,
    /// The user, client or provider that acted.
    pub actor: Option<String>,
    /// The provider that the request came from or went to.
    pub peer: Option<Domain>,
    /// Identifiers of the policies that determined the decision.
    pub policy: Vec<String>,
    /// Reason code.
    pub reason: String,
    /// Digest of the policy bundle that decided.
    pub bundle: Option<[u8; 32]>,
    /// MLS epoch it belongs to.
    pub epoch: Option<u64>,
    /// SHA-256 of the MLSMessage: the same at every provider that logs the exchange.
    pub exchange: Option<[u8; 32]>,
    /// Trace it belongs to.
    pub trace: Option<String>,
    /// Whatever else its kind tells; `null` for nothing. At most 256 KiB as JSON.
    pub detail: Value,
}

impl AuditRecord {
    /// A record of `kind` that tells nothing else yet.
    pub fn new(event: Uuid, at: Millis, kind: &str, outcome: Outcome) -> Self {
        Self {
            event,
            at,
            kind: kind.to_owned(),
            outcome,
            decision: None,
            room: None,
            actor: None,
            peer: None,
            policy: Vec::new(),
            reason: String::new(),
            bundle: None,
            epoch: None,
            exchange: None,
            trace: None,
            detail: Value::Null,
        }
    }
}
