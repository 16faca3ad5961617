//! What another bundle would decide otherwise, counted.

use std::collections::BTreeMap;

use portcullis_core::policy::Told;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{Domain, RoomUri};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// How many policies, rooms and peers are counted apart.
const MOST_NAMES: usize = 1000;
/// What stands for all others.
const OTHERS: &str = "(others)";
/// How many decisions are kept whole, and of those how many by one policy in one direction.
const MOST_SAMPLES: usize = 50;
const SAMPLES_OF_A_POLICY: usize = 3;

/// How a decision would change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It was denied and would be allowed.
    NewlyAllowed,
    /// It was allowed and would be denied.
    NewlyDenied,
    /// It would end the same, by other policies or for another reason.
    ByOthers,
}

impl Change {
    /// What lies between two verdicts; `None` when they are the same.
    pub(super) fn between(recorded: &Told, candidate: &Told) -> Option<Self> {
        match (recorded.allow, candidate.allow) {
            (false, true) => Some(Self::NewlyAllowed),
            (true, false) => Some(Self::NewlyDenied),
            _ => (recorded != candidate).then_some(Self::ByOthers),
        }
    }

    /// The policies that make the difference: those that forbid now or did before, where there are any; else those that
    /// permit.
    fn because(self, recorded: &Told, candidate: &Told) -> Vec<String> {
        let (first, second) = match self {
            Self::NewlyDenied => (candidate, recorded),
            Self::NewlyAllowed => (recorded, candidate),
            Self::ByOthers => {
                let all = |of: &Told| {
                    let owed = of.obligations.named().into_values().flat_map(|owed| owed.because.clone());
                    of.policy.iter().cloned().chain(owed).collect::<Vec<String>>()
                };
                let (before, after) = (all(recorded), all(candidate));
                let gone = before.iter().filter(|id| !after.contains(id));
                return gone.chain(after.iter().filter(|id| !before.contains(id))).cloned().collect();
            }
        };
        if first.policy.is_empty() { second.policy.clone() } else { first.policy.clone() }
    }
}

/// How many decisions would change, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Changes {
    /// Denied then, allowed by the other bundle.
    pub newly_allowed: u64,
    /// Allowed then, denied by the other bundle.
    pub newly_denied: u64,
    /// The same outcome, by other policies, for another reason or with other obligations.
    pub by_others: u64,
}

impl Changes {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.newly_allowed.saturating_add(self.newly_denied).saturating_add(self.by_others)
    }

    fn count(&mut self, change: Change) {
        match change {
            Change::NewlyAllowed => self.newly_allowed += 1,
            Change::NewlyDenied => self.newly_denied += 1,
            Change::ByOthers => self.by_others += 1,
        }
    }

    /// Saturates: what is stored may be anything.
    fn add(&mut self, more: Self) {
        self.newly_allowed = self.newly_allowed.saturating_add(more.newly_allowed);
        self.newly_denied = self.newly_denied.saturating_add(more.newly_denied);
        self.by_others = self.by_others.saturating_add(more.by_others);
    }
}

/// A decision that would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Sample {
    /// How.
    pub change: Change,
    /// Position of its record in the log.
    pub seq: u64,
    /// When it was made, in milliseconds since the UNIX epoch.
    #[schema(value_type = u64)]
    pub at: Millis,
    /// The decision.
    #[schema(value_type = String, format = "uuid")]
    pub decision: Uuid,
    /// Kind of its record.
    pub kind: String,
    /// The room.
    #[schema(value_type = Option<String>)]
    pub room: Option<RoomUri>,
    /// The provider that the request came from.
    #[schema(value_type = Option<String>)]
    pub peer: Option<Domain>,
    /// What was asked, as the record has it.
    #[schema(value_type = Object)]
    pub question: Value,
    /// What was decided.
    #[schema(value_type = Object)]
    pub recorded: Told,
    /// What the other bundle decides.
    #[schema(value_type = Object)]
    pub candidate: Told,
}

/// What came of asking recorded decisions again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// Whether it ended before all of the decisions were asked again: nothing is known of the older ones.
    #[serde(default)]
    pub incomplete: bool,
    /// Records of decisions.
    pub records: u64,
    /// Questions that they answered; a commit asks several.
    pub questions: u64,
    /// Questions that the other bundle answers in the same way.
    pub same: u64,
    /// Questions that it answers otherwise.
    pub changed: Changes,
    /// Questions that cannot be asked again, by the reason; nothing is known of them.
    pub not_replayable: BTreeMap<String, u64>,
    /// What changes by the policies that make the difference.
    pub by_policy: BTreeMap<String, Changes>,
    /// What changes by room.
    pub by_room: BTreeMap<String, Changes>,
    /// What changes by the provider that the request came from.
    pub by_peer: BTreeMap<String, Changes>,
    /// Some of what changes.
    pub samples: Vec<Sample>,
}

impl Report {
    /// How many questions could not be asked again.
    pub fn unknown(&self) -> u64 {
        self.not_replayable.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The report without what it says of single decisions, rooms and peers: for a record.
    pub fn summary(&self) -> Value {
        serde_json::json!({
            "records": self.records,
            "questions": self.questions,
            "same": self.same,
            "changed": self.changed,
            "not_replayable": self.not_replayable,
            "by_policy": first(&self.by_policy),
        })
    }

    /// Adds what another part of the log gave.
    pub fn add(&mut self, more: Self) {
        self.incomplete |= more.incomplete;
        self.records = self.records.saturating_add(more.records);
        self.questions = self.questions.saturating_add(more.questions);
        self.same = self.same.saturating_add(more.same);
        self.changed.add(more.changed);
        for (reason, count) in more.not_replayable {
            let kept = self.not_replayable.entry(reason).or_default();
            *kept = kept.saturating_add(count);
        }
        let parts = [
            (&mut self.by_policy, more.by_policy),
            (&mut self.by_room, more.by_room),
            (&mut self.by_peer, more.by_peer),
        ];
        for (names, more) in parts {
            more.into_iter().for_each(|(name, changes)| of(names, &name).add(changes));
        }
        more.samples.into_iter().for_each(|sample| self.keep(sample));
    }

    pub(super) fn unasked(&mut self, reason: &str, count: u64) {
        self.questions += count;
        if count > 0 {
            *self.not_replayable.entry(reason.to_owned()).or_default() += count;
        }
    }

    pub(super) fn unchanged(&mut self) {
        self.questions += 1;
        self.same += 1;
    }

    pub(super) fn changes(&mut self, sample: impl FnOnce() -> Sample) {
        let sample = sample();
        self.questions += 1;
        self.changed.count(sample.change);
        for policy in sample.change.because(&sample.recorded, &sample.candidate) {
            of(&mut self.by_policy, &policy).count(sample.change);
        }
        if let Some(room) = &sample.room {
            of(&mut self.by_room, room.as_str()).count(sample.change);
        }
        if let Some(peer) = &sample.peer {
            of(&mut self.by_peer, peer.as_str()).count(sample.change);
        }
        self.keep(sample);
    }

    fn keep(&mut self, sample: Sample) {
        let because = |sample: &Sample| sample.change.because(&sample.recorded, &sample.candidate);
        let why = because(&sample);
        let alike = |kept: &&Sample| kept.change == sample.change && because(kept) == why;
        if self.samples.len() < MOST_SAMPLES && self.samples.iter().filter(alike).count() < SAMPLES_OF_A_POLICY {
            self.samples.push(sample);
        }
    }
}

fn of<'n>(names: &'n mut BTreeMap<String, Changes>, name: &str) -> &'n mut Changes {
    let name = if names.len() < MOST_NAMES || names.contains_key(name) { name } else { OTHERS };
    names.entry(name.to_owned()).or_default()
}

/// The names with the most changes, which are few enough for a record.
fn first(names: &BTreeMap<String, Changes>) -> BTreeMap<&str, Changes> {
    const FEW: usize = 50;
    let mut sorted: Vec<(&str, Changes)> = names.iter().map(|(name, changes)| (name.as_str(), *changes)).collect();
    sorted.sort_by_key(|(_, changes)| std::cmp::Reverse(changes.total()));
    sorted.into_iter().take(FEW).collect()
}

#[cfg(test)]
mod tests {
    use portcullis_core::policy::Obligations;

    use super::*;

    fn told(allow: bool, policy: &[&str]) -> Told {
        let policy = policy.iter().map(|id| (*id).to_owned()).collect();
        Told { allow, policy, reason: "R".to_owned(), obligations: Obligations::default() }
    }

    fn sample(number: u64, recorded: Told, candidate: Told) -> Sample {
        Sample {
            change: Change::between(&recorded, &candidate).unwrap(),
            seq: number,
            at: Millis(number),
            decision: Uuid::nil(),
            kind: "decision.message".to_owned(),
            room: Some(RoomUri::parse(&format!("mimi://a.example/r/r{number}")).unwrap()),
            peer: None,
            question: Value::Null,
            recorded,
            candidate,
        }
    }

    #[test]
    fn a_change_is_put_down_to_what_forbids_and_else_to_what_permits() {
        let (role, quiet, late, nothing) =
            (told(true, &["role"]), told(false, &["quiet"]), told(false, &["late"]), told(false, &[]));
        let because = |one: &Told, other: &Told| Change::between(one, other).unwrap().because(one, other);
        assert_eq!(because(&role, &quiet), ["quiet"]);
        assert_eq!(because(&quiet, &role), ["quiet"]);
        assert_eq!(because(&role, &nothing), ["role"]);
        assert_eq!(because(&nothing, &role), ["role"]);
        assert_eq!(because(&quiet, &late), ["quiet", "late"]);
        assert_eq!(Change::between(&role, &role), None);
    }

    #[test]
    fn a_report_stays_small_and_loses_no_count_whichever_parts_it_is_added_from() {
        let mut parts = vec![Report::default(), Report::default()];
        for number in 0..3 * MOST_NAMES as u64 {
            let part = &mut parts[usize::from(number % 3 == 0)];
            part.changes(|| sample(number, told(true, &["role"]), told(false, &[&format!("p{number}")])));
        }
        let mut whole = Report::default();
        parts.into_iter().for_each(|part| whole.add(part));
        assert_eq!((whole.questions, whole.changed.newly_denied), (3000, 3000));
        for names in [&whole.by_policy, &whole.by_room] {
            assert!(names.len() <= MOST_NAMES + 1 && names[OTHERS].total() > 1000, "{}", names.len());
            assert_eq!(names.values().map(Changes::total).sum::<u64>(), 3000);
        }
        assert_eq!(whole.samples.len(), MOST_SAMPLES);
        let mut one = Report::default();
        (0..9).for_each(|number| one.changes(|| sample(number, told(true, &["role"]), told(false, &["quiet"]))));
        assert_eq!((one.samples.len(), one.changed.newly_denied), (SAMPLES_OF_A_POLICY, 9));
    }

    #[test]
    fn counts_that_nobody_has_counted_end_at_the_highest() {
        let changes = Changes { newly_allowed: u64::MAX, newly_denied: 1, by_others: 0 };
        let not_replayable = [("erased".to_owned(), u64::MAX), ("not_listed".to_owned(), 1)].into();
        let report = Report { records: u64::MAX, changed: changes, not_replayable, ..Report::default() };
        let mut twice = report.clone();
        twice.add(report);
        assert_eq!((twice.records, twice.unknown(), twice.changed.total()), (u64::MAX, u64::MAX, u64::MAX));
        assert_eq!((twice.changed.newly_denied, twice.not_replayable["not_listed"]), (2, 2));
    }
}
