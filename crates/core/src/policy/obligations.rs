//! What else is owed where something is allowed: `obligations/*.cedar`, permits of a set of their own. All of them that hold
//! count, each by its annotations, and what they ask for is merged by an order that `settings.yaml` declares. They allow and
//! deny nothing.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;

use cedar_policy::{ActionConstraint, PolicyId};
use serde::{Deserialize, Serialize};

use crate::wire::components::Capability;

use super::diagnostic::{Diagnostic, Source};
use super::partial;
use super::policies::{self, Found};
use super::vocabulary::Vocabulary;

/// Annotations of an obligation that oblige to nothing.
const WORDS: [&str; 3] = ["id", "reason", "doc"];
/// How often somebody may do what is allowed.
const RATE_CLASS: &str = "rate_class";
/// What nobody carries out yet.
const NOT_CARRIED_OUT: [&str; 6] = ["retention", "retention_max", "review", "journal", "redact", "step_up"];

/// What `settings.yaml` says of obligations.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObligationSettings {
    /// Rates that obligations may name, the strictest first: of several that somebody is given, it has the first.
    pub rate_classes: Vec<RateClass>,
}

/// How often somebody may do something: a token bucket in each process for each user.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateClass {
    /// Its name.
    pub name: String,
    /// How many it regains a minute, evenly.
    pub per_minute: NonZeroU32,
    /// How many may come at once after a rest.
    pub burst: NonZeroU32,
}

/// What is owed for something that is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obligations {
    /// The name of the rate class that it counts in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_class: Option<Owed>,
}

/// One thing that is owed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// What.
    pub value: String,
    /// The obligations that ask for it, in the order of their ids.
    pub because: Vec<String>,
}

impl Obligations {
    /// Whether nothing is owed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is owed by its name, as tests and records spell it.
    pub fn named(&self) -> BTreeMap<&'static str, &Owed> {
        self.rate_class.iter().map(|owed| (RATE_CLASS, owed)).collect()
    }
}

/// What each obligation asks for: the place of its rate class among those of the bundle.
#[derive(Clone, Debug, Default)]
pub(super) struct Duties {
    classes: Vec<RateClass>,
    by_policy: HashMap<PolicyId, usize>,
}

impl Duties {
    /// What the obligations ask for, which were checked.
    pub(super) fn of(all: &[Found<'_>], settings: &ObligationSettings) -> Self {
        let classes = settings.rate_classes.clone();
        let by_policy = all.iter().filter_map(|found| {
            let named = found.policy.annotation(RATE_CLASS)?;
            let place = classes.iter().position(|class| class.name == named)?;
            Some((found.policy.id().clone(), place))
        });
        Self { by_policy: by_policy.collect(), classes }
    }

    /// What is owed where these obligations hold.
    pub(super) fn merge(&self, holding: &[PolicyId]) -> Obligations {
        let places = holding.iter().filter_map(|id| Some((*self.by_policy.get(id)?, id)));
        let places: Vec<(usize, &PolicyId)> = places.collect();
        let first = places.iter().map(|(place, _)| *place).min();
        let rate_class = first.and_then(|first| {
            let because = places.iter().filter(|(place, _)| *place == first).map(|(_, id)| id.to_string());
            Some(Owed { value: self.classes.get(first)?.name.clone(), because: because.collect() })
        });
        Obligations { rate_class }
    }

    pub(super) fn rate_class(&self, name: &str) -> Option<&RateClass> {
        self.classes.iter().find(|class| class.name == name)
    }
}

/// That the classes have names of their own and stand in their order.
pub(super) fn check_settings(settings: &ObligationSettings, source: Source<'_>, wrong: &mut Vec<Diagnostic>) {
    for (place, class) in settings.rate_classes.iter().enumerate() {
        let mut say = |message: String, help: &str| {
            wrong.push(source.near(0, &class.name, message, Some(help.to_owned())));
        };
        let before = settings.rate_classes.get(..place).unwrap_or_default();
        if before.iter().any(|other| other.name == class.name) {
            say(format!("rate class `{}` is listed twice", class.name), "keep one entry");
        }
        let stricter = before.last().filter(|last| last.per_minute > class.per_minute || last.burst > class.burst);
        if let Some(stricter) = stricter {
            let message = format!("rate class `{}` allows less than `{}` before it", class.name, stricter.name);
            say(message, "expected the strictest first: no more a minute, and no more at once, than those after it");
        }
    }
}

/// Checks what obligations are, beside what holds for every policy.
pub(super) fn check(
    all: &[Found<'_>],
    vocabulary: Option<&Vocabulary>,
    settings: Option<&ObligationSettings>,
    wrong: &mut Vec<Diagnostic>,
) {
    for found in all {
        policies::check_id(found, wrong);
        check_annotations(found, settings, wrong);
        check_scope(found, vocabulary, wrong);
        if partial::counts(&found.policy) {
            let help = "compare facts without counting: an obligation that fails denies what it is about";
            wrong.push(found.wrong("obligation counts with facts, which can leave the range of numbers", help));
        }
    }
}

fn check_annotations(found: &Found<'_>, settings: Option<&ObligationSettings>, wrong: &mut Vec<Diagnostic>) {
    let mut obliges = false;
    for (key, value) in found.policy.annotations() {
        let near = format!("@{key}");
        if key == RATE_CLASS {
            obliges = true;
            let Some(settings) = settings else { continue };
            if !settings.rate_classes.iter().any(|class| class.name == value) {
                let help = "expected one of `obligations.rate_classes` in `settings.yaml`";
                wrong.push(found.wrong_near(&near, format!("no rate class `{value}`"), help));
            }
        } else if NOT_CARRIED_OUT.contains(&key) {
            obliges = true;
            let help = "leave it out; an obligation that nobody carries out would be a false promise";
            wrong.push(found.wrong_near(&near, format!("`@{key}` is not carried out by this version"), help));
        } else if !WORDS.contains(&key) {
            let help = format!("expected `@{RATE_CLASS}`, and `@{}`", WORDS.join("`, `@"));
            wrong.push(found.wrong_near(&near, format!("unknown annotation `@{key}`"), &help));
        }
    }
    if !obliges {
        wrong.push(found.wrong("obligation asks for nothing", "write `@rate_class(\"NAME\")` above it"));
    }
}

/// An obligation is about what it is carried out for, and nothing else.
fn check_scope(found: &Found<'_>, vocabulary: Option<&Vocabulary>, wrong: &mut Vec<Diagnostic>) {
    let Some(act) = vocabulary.and_then(|vocabulary| vocabulary.capability(Capability::SEND_MESSAGE)) else { return };
    let is_carried_out = match found.policy.action_constraint() {
        ActionConstraint::Any => false,
        ActionConstraint::Eq(action) => action == act.uid,
        ActionConstraint::In(actions) => actions.iter().all(|action| *action == act.uid),
    };
    if !is_carried_out {
        let help = format!("expected `action == {}`", act.uid);
        wrong.push(found.wrong("obligation is about more than it is carried out for", &help));
    }
}
