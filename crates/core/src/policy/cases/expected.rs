use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;

use crate::policy::verdict::Verdict;

/// What is to come out of a case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    allow: bool,
    /// Exactly the policies that decide, in any order.
    policies: Option<BTreeSet<String>>,
    reason: Option<String>,
    /// What peers and users read.
    public: Option<String>,
    /// Exactly what is owed, by its name.
    obligations: Option<BTreeMap<String, String>>,
}

/// Something that came out otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is: `decision`, `policies`, `reason`, `public`, `obligations` or `errors`.
    pub of: &'static str,
    /// What was to come out.
    pub expected: String,
    /// What came out.
    pub got: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: expected {}, got {}", self.of, self.expected, self.got)
    }
}

impl Expected {
    /// Policies that do not exist decide nothing.
    pub(super) fn unknown<'a>(&'a self, policies: &'a BTreeSet<String>) -> impl Iterator<Item = &'a String> {
        self.policies.iter().flatten().filter(|id| !policies.contains(*id))
    }

    pub(super) fn differences(&self, verdict: &Verdict) -> Vec<Difference> {
        let determining: BTreeSet<String> = verdict.determining.iter().cloned().collect();
        let list = |ids: &BTreeSet<String>| {
            if ids.is_empty() {
                "none".to_owned()
            } else {
                ids.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
            }
        };
        let decision = |allow: bool| if allow { "allow" } else { "deny" }.to_owned();
        let mut found = Vec::new();
        let mut compare = |of: &'static str, expected: String, got: String| {
            if expected != got {
                found.push(Difference { of, expected, got });
            }
        };
        compare("decision", decision(self.allow), decision(verdict.allow));
        if let Some(policies) = &self.policies {
            compare("policies", list(policies), list(&determining));
        }
        if let Some(reason) = &self.reason {
            compare("reason", reason.clone(), verdict.reason.clone());
        }
        if let Some(public) = &self.public {
            compare("public", public.clone(), verdict.public_sentence().to_owned());
        }
        if let Some(obligations) = &self.obligations {
            let owed = verdict.obligations.named();
            let owed = owed.into_iter().map(|(name, owed)| (name.to_owned(), owed.value.clone())).collect();
            let words = |of: &BTreeMap<String, String>| {
                let words: Vec<String> = of.iter().map(|(name, value)| format!("{name} {value}")).collect();
                if words.is_empty() { "none".to_owned() } else { words.join(", ") }
            };
            compare("obligations", words(obligations), words(&owed));
        }
        if self.reason.as_ref() != Some(&verdict.reason) {
            compare("errors", String::new(), verdict.errors.join("; "));
        }
        found
    }
}
