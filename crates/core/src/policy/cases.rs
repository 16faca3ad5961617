//! The tests of a bundle, `tests/*.yaml`: what the policies are meant to decide, in the words of rooms and users.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;

use crate::room::Template;
use crate::wire::uri::UserUri;

mod admin;
mod ask;
mod case;
mod coverage;
mod expected;
mod fixtures;
mod moment;

use super::bundle::Bundle;
use super::diagnostic::{Diagnostic, Source};
use super::engine::Engine;
use super::people::{People, Person};
use super::settings::{Settings, parse_yaml};
use super::verdict::Verdict;
use admin::AdminCase;
pub(super) use ask::{Ask, RoomAsk};
use case::Case;
pub use coverage::{ClauseCoverage, Coverage, PolicyCoverage};
pub use expected::Difference;
use expected::Expected;
pub(super) use fixtures::no_template;
use fixtures::{Fixture, RoomFixture};
use moment::Moment;

/// How many cases are named of those that fit.
const MOST_NAMED: usize = 5;

/// One file of tests, or of questions.
#[derive(Clone, Debug)]
pub struct Suite {
    /// Instead of the bundle's settings.
    settings: Option<Settings>,
    people: People,
    rooms: BTreeMap<String, Arc<Fixture>>,
    cases: Vec<Ready>,
}

/// A case that is whole: every name in it means something.
#[derive(Clone, Debug)]
struct Ready {
    it: String,
    line: usize,
    ask: Ask,
    expect: Option<Expected>,
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    settings: Option<Settings>,
    /// What the company's identity provider says of whom.
    people: BTreeMap<UserUri, Person>,
    /// When everything is asked that does not say otherwise.
    now: Moment,
    /// Rooms by a name that the cases use.
    rooms: BTreeMap<String, RoomFixture>,
    cases: Vec<Case>,
    /// Questions at the admin door.
    admin: Vec<AdminCase>,
}

/// How one case of a bundle's tests came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseOutcome {
    /// File of the bundle.
    pub file: String,
    /// Line of the sentence, from 1.
    pub line: usize,
    /// The sentence.
    pub it: String,
    /// What was decided.
    pub verdict: Verdict,
    /// What is not as the sentence says; empty when it is true.
    pub differences: Vec<Difference>,
}

impl CaseOutcome {
    /// Whether the sentence is true.
    pub fn holds(&self) -> bool {
        self.differences.is_empty()
    }
}

/// What a suite is read with.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    /// The ids of all policies.
    pub(super) policies: &'a BTreeSet<String>,
    pub(super) templates: &'a BTreeMap<String, Template>,
    /// Whether every case must say what is to come out.
    pub(super) expecting: bool,
}

/// Runs every test of a bundle, in the order of files and cases.
pub fn run_cases(bundle: &Bundle) -> Vec<CaseOutcome> {
    let engine = Engine::new(bundle);
    let suites = bundle.suites.iter().flat_map(|(file, suite)| {
        let engine = suite.engine(&engine);
        let run = move |case: &Ready| {
            let verdict = engine.decide_any(&case.ask.question());
            let differences = case.expect.iter().flat_map(|expect| expect.differences(&verdict)).collect();
            CaseOutcome { file: file.clone(), line: case.line, it: case.it.clone(), verdict, differences }
        };
        suite.cases.iter().map(run).collect::<Vec<_>>()
    });
    suites.collect()
}

/// What two engines make of the cases of a suite: of each its sentence and line, and both verdicts.
pub(super) fn decide_by_both<'a>(
    suite: &'a Suite,
    one: &'a Engine,
    other: &'a Engine,
) -> impl Iterator<Item = (String, usize, Verdict, Verdict)> + use<'a> {
    suite.cases.iter().map(move |case| {
        let question = case.ask.question();
        (case.it.clone(), case.line, one.decide_any(&question), other.decide_any(&question))
    })
}

impl Suite {
    /// Reads a file and reports every name in it that means nothing.
    pub(super) fn parse(source: Source<'_>, reading: Reading<'_>) -> Result<Self, Vec<Diagnostic>> {
        let written: Written = parse_yaml(source).map_err(|diagnostic| vec![diagnostic])?;
        let mut wrong = Vec::new();
        let mut rooms = BTreeMap::new();
        for (name, room) in &written.rooms {
            match room.build(reading.templates) {
                Ok(fixture) => {
                    rooms.insert(name.clone(), Arc::new(fixture));
                }
                Err((near, message)) => wrong.push(source.near(0, &near, message, None)),
            }
        }
        let mut place = Place { source, offset: 0 };
        let mut cases = Vec::new();
        for row in written.cases.iter().flat_map(rows) {
            place.go_to(&row.it);
            let asked = row.ask(&rooms, written.now);
            cases.extend(place.ready(&row.it, asked, row.expect, reading, &mut wrong));
        }
        for row in written.admin.iter().flat_map(rows) {
            place.go_to(&row.it);
            let asked = row.ask(written.now);
            cases.extend(place.ready(&row.it, asked, row.expect, reading, &mut wrong));
        }
        let people = written.people.into_iter().map(|(user, person)| (user.folded(), person));
        let people = Arc::new(people.collect());
        if wrong.is_empty() { Ok(Self { settings: written.settings, people, rooms, cases }) } else { Err(wrong) }
    }

    /// What the cases say, each with its number from 0.
    pub fn sentences(&self) -> impl Iterator<Item = (usize, &str)> {
        self.cases.iter().map(|case| case.it.as_str()).enumerate()
    }

    /// The number of the case whose sentence has this in it.
    ///
    /// # Errors
    ///
    /// In words, when none has, or several have and none is it.
    pub fn only(&self, text: &str) -> Result<usize, String> {
        let fitting: Vec<(usize, &str)> = self.sentences().filter(|(_, it)| it.contains(text)).collect();
        // A sentence may stand within another.
        match (&fitting[..], fitting.iter().find(|(_, it)| *it == text)) {
            ([(number, _)], _) | (_, Some((number, _))) => Ok(*number),
            ([], None) => Err(format!("no case has `{text}` in its sentence")),
            (several, None) => {
                let first: Vec<&str> = several.iter().map(|(_, it)| *it).take(MOST_NAMED).collect();
                let (count, first) = (several.len(), first.join("; "));
                Err(format!("{count} cases have `{text}` in their sentence, such as: {first}"))
            }
        }
    }

    /// Where a case stands: its line, from 1.
    pub(super) fn line(&self, number: usize) -> usize {
        self.cases.get(number).map_or(1, |case| case.line)
    }

    pub(super) fn rooms(&self) -> impl Iterator<Item = (&str, &Arc<Fixture>)> {
        self.rooms.iter().map(|(name, room)| (name.as_str(), room))
    }

    pub(super) fn ask(&self, number: usize) -> Option<&Ask> {
        self.cases.get(number).map(|case| &case.ask)
    }

    /// The engine with the settings of the suite, where it has its own, and the people of the suite.
    pub(super) fn engine(&self, engine: &Engine) -> Engine {
        let engine = match &self.settings {
            Some(settings) => engine.with_settings(settings.clone()),
            None => engine.clone(),
        };
        engine.with_people(People::clone(&self.people))
    }
}

/// Why something cannot be asked: the word it is about, what is wrong with it, and what was expected.
#[derive(Debug)]
struct Unclear {
    near: String,
    message: String,
    help: Option<String>,
}

impl Unclear {
    fn new(near: &str, message: String, help: &str) -> Self {
        Self { near: near.to_owned(), message, help: Some(help.to_owned()) }
    }
}

/// Where in the file the cases are: they are read in its order.
struct Place<'a> {
    source: Source<'a>,
    offset: usize,
}

impl Place<'_> {
    fn go_to(&mut self, it: &str) {
        let sentence = it.split(TABLE).next().unwrap_or(it);
        let rest = self.source.text.get(self.offset..).unwrap_or_default();
        if let Some(found) = rest.find(sentence).filter(|_| !sentence.is_empty()) {
            self.offset += found;
        }
    }

    fn ready(
        &self,
        it: &str,
        asked: Result<Ask, Unclear>,
        expect: Option<Expected>,
        reading: Reading<'_>,
        wrong: &mut Vec<Diagnostic>,
    ) -> Option<Ready> {
        if expect.is_none() && reading.expecting {
            let help = "write what is to come out, such as `expect: { allow: false }`".to_owned();
            wrong.push(self.source.at(self.offset, format!("`{it}` has no `expect`"), Some(help)));
        }
        for id in expect.iter().flat_map(|expect| expect.unknown(reading.policies)) {
            let help = "expected the `@id` of a policy of this bundle".to_owned();
            wrong.push(self.source.near(self.offset, id, format!("no policy `{id}`"), Some(help)));
        }
        match asked {
            Ok(ask) => {
                let line = self.source.at(self.offset, "", None).line;
                Some(Ready { it: it.to_owned(), line, ask, expect })
            }
            Err(Unclear { near, message, help }) => {
                wrong.push(self.source.near(self.offset, &near, message, help));
                None
            }
        }
    }
}

/// A case as a file has it: asked by itself, or once for each row of its table.
trait Tabled: Clone {
    fn it(&self) -> &str;
    fn expect(&self) -> Option<&Expected>;
    fn table(&self) -> &[Self];
    /// This row, with what it leaves out taken from the case.
    fn over(&self, of: &Self) -> Self;
}

/// A case, or a row of its table, with all that it takes from the case.
struct Row<C> {
    it: String,
    expect: Option<Expected>,
    case: C,
}

/// What is asked: the case itself, or the rows of its table.
fn rows<C: Tabled>(case: &C) -> Vec<Row<C>> {
    let row = |it: String, case: C| Row { it, expect: case.expect().cloned(), case };
    if case.table().is_empty() {
        return vec![row(case.it().to_owned(), case.clone())];
    }
    let rows = case
        .table()
        .iter()
        .enumerate()
        .map(|(number, written)| row(row_sentence(case.it(), written.it(), number + 1), written.over(case)));
    rows.collect()
}

impl<C: Tabled> Row<C> {
    /// The case, if it has no table in its table.
    fn flat(&self) -> Result<&C, Unclear> {
        if self.case.table().is_empty() {
            return Ok(&self.case);
        }
        let message = format!("`{}` has a table in a table", self.it);
        Err(Unclear::new(&self.it, message, "write its rows into the outer table"))
    }
}

/// Between the sentence of a case and what a row of its table adds to it.
const TABLE: &str = " / ";

/// The sentence of a row of a table.
fn row_sentence(of: &str, row: &str, number: usize) -> String {
    if row.is_empty() { format!("{of}{TABLE}row {number}") } else { format!("{of}{TABLE}{row}") }
}
