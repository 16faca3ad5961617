//! What the demo shows: a line a step, and the counts at the end. For people as a table, for programs as JSON lines.

use std::collections::BTreeMap;
use std::time::Duration;

use data_encoding::HEXLOWER;
use indicatif::{ProgressBar, ProgressStyle};
use portcullis_core::wire::uri::Domain;
use serde_json::{Value, json};

use super::commands::Entry;
use super::lab::Running;
use crate::member::Sent;

/// How the lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Aligned text.
    Plain,
    /// Aligned text with ANSI colours.
    Coloured,
    /// One JSON object a line.
    Json,
}

/// How the demo went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    /// Everything that differs from what it should be; empty when the demo has passed.
    pub differences: Vec<String>,
}

/// What became of a step, as its actor saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Accepted,
    /// With the code that the actor was told.
    Refused(String),
    /// By an operator: nothing was decided.
    Recorded,
}

/// What a step should be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    decision: Kind,
    policy: &'static [&'static str],
    reason: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Accepted,
    Refused(&'static str),
    Recorded,
}

/// A step that was taken.
pub(super) struct Step {
    pub(super) who: String,
    pub(super) what: String,
    pub(super) decision: Decision,
    pub(super) exchange: Option<[u8; 32]>,
    /// Whose log says so: the hub's, or that of the sender's own gateway.
    pub(super) log: Domain,
    /// What that log says of it.
    pub(super) entry: Entry,
    /// What its actor or others saw that should be otherwise.
    pub(super) differences: Vec<String>,
}

/// Collects the steps and shows them as they are taken.
pub(super) struct Report<'a> {
    form: Form,
    print: &'a mut dyn FnMut(&str),
    progress: ProgressBar,
    steps: usize,
    accepted: usize,
    recorded: usize,
    refused: BTreeMap<String, usize>,
    differences: Vec<String>,
}

/// Widths of the columns; longer text moves what follows.
const COLUMNS: [(&str, usize); 7] =
    [("step", 4), ("who", 13), ("what", 58), ("decision", 21), ("policy", 25), ("reason", 32), ("audit", 5)];

impl Wanted {
    /// Accepted, permitted by these policies.
    pub(super) const fn accepted(policy: &'static [&'static str], reason: &'static str) -> Self {
        Self { decision: Kind::Accepted, policy, reason }
    }

    /// Refused with this code by these policies, or without one by the protocol.
    pub(super) const fn refused(code: &'static str, policy: &'static [&'static str], reason: &'static str) -> Self {
        Self { decision: Kind::Refused(code), policy, reason }
    }

    /// Done by an operator.
    pub(super) const fn recorded(reason: &'static str) -> Self {
        Self { decision: Kind::Recorded, policy: &[], reason }
    }

    fn decision(self) -> Decision {
        match self.decision {
            Kind::Accepted => Decision::Accepted,
            Kind::Refused(code) => Decision::Refused(code.to_owned()),
            Kind::Recorded => Decision::Recorded,
        }
    }

    /// What of `step` differs.
    fn differences(self, step: &Step) -> Vec<String> {
        let (wanted, entry) = (self.decision(), &step.entry);
        let mut differences = step.differences.clone();
        let mut compare = |what: &str, found: &str, wanted: &str| {
            if found != wanted {
                differences.push(format!("{what} is `{found}`, not `{wanted}`"));
            }
        };
        compare("the answer", &step.decision.text(), &wanted.text());
        compare("the outcome in the log", &entry.outcome, wanted.outcome());
        compare("the policy", &entry.policy.join(" "), &self.policy.join(" "));
        compare("the reason", &entry.reason, self.reason);
        differences
    }
}

impl Decision {
    pub(super) fn of(sent: &Sent) -> Self {
        match &sent.answer {
            Ok(_) => Self::Accepted,
            Err(refused) => Self::Refused(refused.code.clone()),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Accepted => "accepted".to_owned(),
            Self::Refused(code) => format!("refused {code}"),
            Self::Recorded => "recorded".to_owned(),
        }
    }

    /// How the log calls it.
    fn outcome(&self) -> &'static str {
        match self {
            Self::Accepted => "allow",
            Self::Refused(_) => "deny",
            Self::Recorded => "info",
        }
    }

    fn colour(&self) -> &'static str {
        match self {
            Self::Accepted => "\x1b[32m",
            Self::Refused(_) => "\x1b[31m",
            Self::Recorded => "\x1b[36m",
        }
    }
}

impl<'a> Report<'a> {
    pub(super) fn new(form: Form, print: &'a mut dyn FnMut(&str)) -> Self {
        let progress = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner());
        progress.enable_steady_tick(Duration::from_millis(100));
        let (steps, accepted, recorded) = (0, 0, 0);
        Self { form, print, progress, steps, accepted, recorded, refused: BTreeMap::new(), differences: Vec::new() }
    }

    /// Says on the terminal what is being waited for.
    pub(super) fn progress(&self, what: String) {
        self.progress.set_message(what);
    }

    pub(super) fn progress_ends(&self) {
        self.progress.finish_and_clear();
    }

    pub(super) fn gateway(&mut self, gateway: &Running) {
        let (federation, provider) = gateway.doors();
        let domain = &gateway.domain;
        match self.form {
            Form::Plain | Form::Coloured => {
                (self.print)(&format!("{domain}: federation door {federation}, provider door {provider}"));
            }
            Form::Json => self.json(&json!({
                "gateway": { "domain": domain, "federation": federation, "provider": provider },
            })),
        }
    }

    pub(super) fn header(&mut self) {
        if self.form != Form::Json {
            (self.print)("");
            (self.print)(&row(COLUMNS.map(|(name, _)| name.to_owned())));
        }
    }

    /// Compares a step with what it should be, and shows it.
    pub(super) fn step(&mut self, step: &Step, wanted: Wanted) {
        self.steps += 1;
        match &step.decision {
            Decision::Accepted => self.accepted += 1,
            Decision::Refused(code) => *self.refused.entry(code.clone()).or_default() += 1,
            Decision::Recorded => self.recorded += 1,
        }
        let differences = wanted.differences(step);
        let line = match self.form {
            Form::Plain => row(self.cells(step)),
            Form::Coloured => {
                let (line, decision) = (row(self.cells(step)), step.decision.text());
                line.replacen(&decision, &format!("{}{decision}\x1b[0m", step.decision.colour()), 1)
            }
            Form::Json => self.object(step, &differences).to_string(),
        };
        (self.print)(&line);
        if self.form != Form::Json {
            differences.iter().for_each(|difference| (self.print)(&format!("      differs: {difference}")));
        }
        let number = self.steps;
        self.differences.extend(differences.into_iter().map(|difference| format!("step {number}: {difference}")));
    }

    /// Shows the counts. `owed` is what was not delivered.
    pub(super) fn total(mut self, entries: &[(Domain, u64)], owed: Vec<String>) -> Total {
        let empty = owed.is_empty();
        self.differences.extend(owed);
        let refused: usize = self.refused.values().sum();
        if self.form == Form::Json {
            let audit: BTreeMap<&str, u64> = entries.iter().map(|(domain, count)| (domain.as_str(), *count)).collect();
            self.json(&json!({ "total": {
                "steps": self.steps, "accepted": self.accepted, "recorded": self.recorded, "refused": self.refused,
                "audit_entries": audit, "lanes_empty": empty, "differences": self.differences,
            }}));
        } else {
            let kinds: Vec<String> = self.refused.iter().map(|(code, count)| format!("{count} {code}")).collect();
            let audit: Vec<String> = entries.iter().map(|(domain, count)| format!("{count} at {domain}")).collect();
            (self.print)("");
            (self.print)(&format!(
                "{} steps: {} accepted, {refused} refused ({}), {} by an operator",
                self.steps,
                self.accepted,
                kinds.join(", "),
                self.recorded
            ));
            (self.print)(&format!("audit entries: {}", audit.join(", ")));
            (self.print)(if empty { "outbox lanes: all empty" } else { "outbox lanes: NOT empty" });
            (self.print)(&match self.differences.len() {
                0 => "everything is as it should be".to_owned(),
                count => format!("{count} differences from what should be:\n  {}", self.differences.join("\n  ")),
            });
        }
        Total { differences: self.differences }
    }

    fn cells(&self, step: &Step) -> [String; 7] {
        let policy = if step.entry.policy.is_empty() { "-".to_owned() } else { step.entry.policy.join(" ") };
        [
            self.steps.to_string(),
            step.who.clone(),
            step.what.clone(),
            step.decision.text(),
            policy,
            step.entry.reason.clone(),
            format!("{}@{}", step.entry.seq, step.log),
        ]
    }

    fn object(&self, step: &Step, differences: &[String]) -> Value {
        let (decision, code) = match &step.decision {
            Decision::Accepted => ("accepted", None),
            Decision::Refused(code) => ("refused", Some(code)),
            Decision::Recorded => ("recorded", None),
        };
        json!({
            "step": self.steps, "who": step.who, "what": step.what, "decision": decision, "code": code,
            "policy": step.entry.policy, "reason": step.entry.reason, "audit": step.entry.seq, "log": step.log,
            "kind": step.entry.kind,
            "decision_id": step.entry.decision, "exchange": step.exchange.map(|hash| HEXLOWER.encode(&hash)),
            "differences": differences,
        })
    }

    fn json(&mut self, value: &Value) {
        (self.print)(&value.to_string());
    }
}

fn row(cells: [String; 7]) -> String {
    let padded = cells.iter().zip(COLUMNS).map(|(cell, (_, width))| format!("{cell:width$}"));
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MUTED: Wanted = Wanted::refused("not_allowed", &["company.muted"], "MUTED");

    fn muted() -> Step {
        let entry = json!({ "seq": 7, "kind": "decision.message", "outcome": "deny", "decision": null,
            "policy": ["company.muted"], "reason": "MUTED" });
        Step {
            who: "cathy/phone".to_owned(),
            what: "says something".to_owned(),
            decision: Decision::Refused("not_allowed".to_owned()),
            exchange: None,
            log: Domain::parse("a.example").unwrap(),
            entry: serde_json::from_value(entry).unwrap(),
            differences: Vec::new(),
        }
    }

    fn differences(step: &Step) -> usize {
        let mut report = Vec::new();
        let mut print = |line: &str| report.push(line.to_owned());
        let mut shown = Report::new(Form::Plain, &mut print);
        shown.step(step, MUTED);
        let total = shown.total(&[], Vec::new());
        assert_eq!(report.iter().filter(|line| line.contains("differs")).count(), total.differences.len());
        total.differences.len()
    }

    #[test]
    fn a_step_that_is_as_it_should_be_has_no_differences() {
        assert_eq!(differences(&muted()), 0);
    }

    #[test]
    fn each_thing_that_is_otherwise_is_a_difference() {
        let step = muted();
        assert_eq!(differences(&Step { decision: Decision::Accepted, ..muted() }), 1);
        assert_eq!(differences(&Step { differences: vec!["bob heard it".to_owned()], ..muted() }), 1);
        let outcome = Entry { outcome: "allow".to_owned(), ..step.entry.clone() };
        assert_eq!(differences(&Step { entry: outcome, ..muted() }), 1);
        let policy = Entry { policy: vec!["company.frozen".to_owned()], ..step.entry.clone() };
        assert_eq!(differences(&Step { entry: policy, ..muted() }), 1);
        let reason = Entry { reason: "ROOM_FROZEN".to_owned(), ..step.entry };
        assert_eq!(differences(&Step { entry: reason, ..muted() }), 1);
    }

    #[test]
    fn messages_that_are_still_owed_are_a_difference() {
        let mut print = |_: &str| {};
        let total = Report::new(Form::Json, &mut print).total(&[], vec!["a.example owes 1".to_owned()]);
        assert_eq!(total.differences.len(), 1);
    }
}
