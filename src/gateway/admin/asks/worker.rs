//! One question to a bundle, answered by a process of its own: what people send may make any loop of the engine, of Cedar or of
//! the solver run for long or take much memory, and a process is what can be ended whole. It reads no configuration, no key and
//! no database.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use portcullis_core::policy::{
    Bundle, BundleDiff, Coverage, Diagnostic, OpenFact, Over, Severity, Suite, Written, format, run_cases,
};
use portcullis_prove::{Solver, prove};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::PolicyQuestion;
use crate::gateway::GatewayError;
use crate::gateway::policy::shown;
use crate::gateway::rollout::BundleId;

/// What the process is called with.
const ARGUMENTS: [&str; 2] = ["policy", "answer"];
/// How long the solver may take for one query, and for all of an answer.
const QUERY: Duration = Duration::from_secs(5);
const ALL_QUERIES: Duration = Duration::from_secs(60);
/// How much memory the process may have, and the solver again as much.
const MEMORY_BYTES: u64 = 1 << 30;
/// Longest answer.
const ANSWER_BYTES: u64 = 64 << 20;
/// What stands for an actor whom nobody need name: everybody in the room takes its place.
const ANYBODY: &str = "mimi://anybody.invalid/u/anybody";

/// The files of a bundle by their path in it.
pub(super) type Files = BTreeMap<String, String>;

/// What is asked, of which files.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Task {
    Check(Files),
    Format(Files),
    Test(Files),
    Why(Files, PolicyQuestion),
    WhoCan(Files, PolicyQuestion),
    WhatCan(Files, PolicyQuestion),
    WhereCan(Files, PolicyQuestion),
    Diff(Files, Files),
    Prove(Files),
}

/// Why there is no answer, for whoever has asked.
#[derive(Debug, Serialize, Deserialize)]
struct Unanswered(String);

impl Unanswered {
    fn of(why: impl ToString) -> Self {
        Self(why.to_string())
    }
}

/// Has a process of this program answer in so much time, or ends it; where the solver is asked, that has its own beside.
pub(super) fn ask(task: &Task, limit: Duration) -> Result<Value, GatewayError> {
    let limit = if task.asks_the_solver() { limit + ALL_QUERIES } else { limit };
    let mut command = Command::new(std::env::current_exe().map_err(GatewayError::internal)?);
    // Or the allocator takes its whole first arena at once.
    command.args(ARGUMENTS).arg(limit.as_secs().to_string()).env("MIMALLOC_ARENA_EAGER_COMMIT", "0");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(GatewayError::internal)?;
    let said = exchange(&mut child, task);
    // It has said all, or is not to say more.
    let _ = child.kill();
    let ended = child.wait().map_err(GatewayError::internal)?;
    tracing::debug!(%ended, "a bundle was asked");
    match said.ok().and_then(|said| serde_json::from_slice::<Result<Value, Unanswered>>(&said).ok()) {
        Some(answer) => answer.map_err(|Unanswered(why)| GatewayError::decode(why)),
        None => {
            let (seconds, megabytes) = (limit.as_secs(), MEMORY_BYTES >> 20);
            Err(GatewayError::decode(format!(
                "this takes more than the {seconds} seconds and {megabytes} MiB that a question has: ask the command line"
            )))
        }
    }
}

fn exchange(child: &mut std::process::Child, task: &Task) -> std::io::Result<Vec<u8>> {
    if let Some(mut input) = child.stdin.take() {
        serde_json::to_writer(&mut input, task)?;
    }
    let mut said = Vec::new();
    let output = child.stdout.take().into_iter();
    output.map(|output| output.take(ANSWER_BYTES).read_to_end(&mut said)).collect::<Result<Vec<_>, _>>()?;
    Ok(said)
}

/// The process that answers: reads what is asked from its standard input, and ends after so many seconds whatever it is at. Gives
/// its exit code.
pub fn answer(seconds: u64) -> i32 {
    let (busy, ends) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if ends.recv_timeout(Duration::from_secs(seconds)) == Err(RecvTimeoutError::Timeout) {
            std::process::exit(1);
        }
    });
    // The solver has the same limit.
    let limit = Rlimit { current: Some(MEMORY_BYTES), maximum: Some(MEMORY_BYTES) };
    if setrlimit(Resource::Data, limit).is_err() {
        return 1;
    }
    let answered = || {
        let mut asked = Vec::new();
        std::io::stdin().read_to_end(&mut asked).map_err(Unanswered::of)?;
        serde_json::from_slice::<Task>(&asked).map_err(Unanswered::of)?.answer()
    };
    let said = serde_json::to_vec(&answered()).unwrap_or_default();
    let written = std::io::stdout().write_all(&said).and_then(|()| std::io::stdout().flush());
    drop(busy);
    match written {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

impl Task {
    fn asks_the_solver(&self) -> bool {
        match self {
            Self::Diff(..) | Self::Prove(_) => true,
            Self::Check(_)
            | Self::Format(_)
            | Self::Test(_)
            | Self::Why(..)
            | Self::WhoCan(..)
            | Self::WhatCan(..)
            | Self::WhereCan(..) => false,
        }
    }

    fn answer(self) -> Result<Value, Unanswered> {
        match self {
            Self::Check(files) => Ok(checked(files)),
            Self::Format(files) => formatted(&files),
            Self::Test(files) => Ok(tested(&load(files)?)),
            Self::Why(files, question) => {
                let bundle = load(files)?;
                let (suite, number, _) = question.read(&bundle, None)?;
                let why = bundle.why(&suite, number).ok_or_else(|| Unanswered::of("nothing decides that"))?;
                Ok(shown::why(&why))
            }
            Self::WhoCan(files, question) => query(files, &question, Over::Users),
            Self::WhatCan(files, question) => query(files, &question, Over::Actions),
            Self::WhereCan(files, question) => query(files, &question, Over::Rooms),
            Self::Diff(old, new) => {
                let (old, new) = (bytes(old), bytes(new));
                let loaded = |files: &BTreeMap<_, _>| Bundle::load(files.clone()).map_err(|wrong| malformed(&wrong));
                let (before, after) = (loaded(&old)?, loaded(&new)?);
                let mut solver = solver()?;
                let written = Written { bundle: &before, files: &old };
                let diff = BundleDiff::of(written, Written { bundle: &after, files: &new });
                let proof = shown::compared(&diff, (&before, &after), &mut solver);
                Ok(shown::diff(&diff, &proof))
            }
            Self::Prove(files) => {
                let proofs = prove(&load(files)?, &mut solver()?);
                Ok(json!({ "items": proofs.iter().map(shown::proof).collect::<Vec<_>>() }))
            }
        }
    }
}

fn bytes(files: Files) -> BTreeMap<String, Vec<u8>> {
    files.into_iter().map(|(name, text)| (name, text.into_bytes())).collect()
}

/// The bundle, if it is good.
fn load(files: Files) -> Result<Bundle, Unanswered> {
    Bundle::load(bytes(files)).map_err(|wrong| malformed(&wrong))
}

fn query(files: Files, question: &PolicyQuestion, over: Over) -> Result<Value, Unanswered> {
    let bundle = load(files)?;
    let (suite, number, open) = question.read(&bundle, Some(over))?;
    let answers = bundle.query(&suite, number, over, &open);
    let answers = answers.ok_or_else(|| Unanswered::of("that is not about a room"))?;
    Ok(json!({ "items": answers.iter().map(shown::answer).collect::<Vec<_>>() }))
}

impl PolicyQuestion {
    /// The suite with the question, its number there, and what of it stays open: a case of a file is whole.
    fn read(&self, bundle: &Bundle, over: Option<Over>) -> Result<(Suite, usize, BTreeSet<OpenFact>), Unanswered> {
        match self {
            Self::Case(file, it) => {
                let suite = bundle.suite(file).ok_or_else(|| Unanswered::of("the bundle has no such tests"))?;
                let number = suite.only(it).map_err(Unanswered::of)?;
                Ok((suite.clone(), number, BTreeSet::new()))
            }
            Self::Written(written) => {
                let mut written = written.clone();
                let open = completed(&mut written, over)?;
                let suite = bundle.questions("the question", &Value::Object(written).to_string());
                Ok((suite.map_err(|wrong| malformed(&wrong))?, 0, open))
            }
        }
    }
}

/// Fills in what stands for all users, capabilities or rooms, and says what of the request nobody has said.
fn completed(written: &mut Map<String, Value>, over: Option<Over>) -> Result<BTreeSet<OpenFact>, Unanswered> {
    let anywhere = written.get("rooms").and_then(Value::as_object).and_then(|rooms| rooms.keys().next().cloned());
    let says_when = written.contains_key("now");
    let cases = written.get_mut("cases").and_then(Value::as_array_mut).map(Vec::as_mut_slice);
    let Some([Value::Object(case)]) = cases else {
        return Err(Unanswered::of("a question is a file of cases with one case"));
    };
    let mut fill = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            case.entry(name).or_insert(value);
        }
    };
    fill("it", Some(json!("the question")));
    match over {
        None => return Ok(BTreeSet::new()),
        Some(Over::Users) => fill("actor", Some(json!(ANYBODY))),
        Some(Over::Actions) => fill("action", Some(json!("canSendMessage"))),
        Some(Over::Rooms) => fill("room", anywhere.map(Value::from)),
    }
    let open = [(OpenFact::Now, says_when || case.contains_key("now")), (OpenFact::Bytes, case.contains_key("bytes"))];
    Ok(open.into_iter().filter(|(_, is_said)| !is_said).map(|(fact, _)| fact).collect())
}

fn malformed(wrong: &[Diagnostic]) -> Unanswered {
    let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    Unanswered(wrong.join("; "))
}

/// Everything that is wrong with files, or may be.
fn checked(files: Files) -> Value {
    let (bundle, found) = match Bundle::check(bytes(files)) {
        Ok((bundle, warnings)) => (Some(bundle), warnings),
        Err(wrong) => (None, wrong),
    };
    let of = |severity| found.iter().filter(|diagnostic: &&Diagnostic| diagnostic.severity == severity).count();
    json!({
        "good": bundle.is_some(), "errors": of(Severity::Error), "warnings": of(Severity::Warning),
        "digest": bundle.as_ref().map(|bundle| BundleId(bundle.digest()).to_string()),
        "policies": bundle.as_ref().map(|bundle| bundle.policy_ids().count()),
        "items": found.iter().map(shown::diagnostic).collect::<Vec<_>>(),
    })
}

/// The files whose policies stand in another form, in that which they should have.
fn formatted(files: &Files) -> Result<Value, Unanswered> {
    let (mut changed, mut wrong) = (Map::new(), Vec::new());
    for (file, text) in files.iter().filter(|(file, _)| file.ends_with(".cedar")) {
        match format(file, text) {
            Ok(formatted) if formatted != *text => {
                changed.insert(file.clone(), formatted.into());
            }
            Ok(_) => {}
            Err(found) => wrong.extend(found),
        }
    }
    if wrong.is_empty() { Ok(json!({ "files": changed })) } else { Err(malformed(&wrong)) }
}

fn tested(bundle: &Bundle) -> Value {
    let outcomes = run_cases(bundle);
    let failed = outcomes.iter().filter(|outcome| !outcome.holds()).count();
    json!({
        "cases": outcomes.len(), "failed": failed,
        "items": outcomes.iter().map(shown::outcome).collect::<Vec<_>>(),
        "coverage": Coverage::of(bundle).policies.iter().map(shown::coverage).collect::<Vec<_>>(),
    })
}

/// The solver that the command line asks, with less patience: people wait, and decisions fall beside it.
fn solver() -> Result<Solver, Unanswered> {
    let program = std::env::var_os("CVC5").unwrap_or_else(|| "cvc5".into());
    Ok(Solver::new(program, QUERY).map_err(Unanswered::of)?.ending_after(ALL_QUERIES))
}
