//! What people ask of policy bundles at the admin door: what the command line asks of a folder, by the same engine. Each
//! is on the record before it is answered, with which bundle it was asked of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};

use portcullis_core::policy::{
    AdminAct, Bundle, BundleDiff, Coverage, Diagnostic, OpenFact, Over, Severity, Suite, Written, format, run_cases,
};
use portcullis_prove::{Solver, prove};
use portcullis_store::{Tx, bundles};
use serde_json::{Map, Value, json};

use super::{AdminError, Changed, Operator, Wish};
use crate::gateway::policy::{Patience, Window, keep_simulation, shown, simulate};
use crate::gateway::rollout::BundleId;
use crate::gateway::{Gateway, GatewayError, Inner, Kept, Once};

/// How long the solver may take for one query, and for all of an answer.
const QUERY: Duration = Duration::from_secs(5);
const ALL_QUERIES: Duration = Duration::from_secs(60);
/// How long a simulation may take, and how many entries of the log it reads.
const SIMULATION: Duration = Duration::from_secs(60);
const MOST_ENTRIES: u64 = 1_000_000;
/// What stands for an actor whom nobody need name: everybody in the room takes its place.
const ANYBODY: &str = "mimi://anybody.invalid/u/anybody";

/// Held by what takes a core for long: there is one of them at a time in a process.
static LONG: Mutex<()> = Mutex::new(());
/// The same for what reads and asks a bundle: the other places of people stay free for what cannot wait.
static BRIEF: Mutex<()> = Mutex::new(());

/// Which bundle is asked.
#[derive(Clone, Debug)]
pub enum AskedBundle {
    /// The one that decides.
    Active,
    /// One that is kept, whoever has signed it.
    Kept(BundleId),
    /// These files, by their path in the bundle.
    Files(BTreeMap<String, String>),
}

/// What is to be decided.
#[derive(Clone, Debug)]
pub enum PolicyQuestion {
    /// A case of the bundle's tests: the file, and what its sentence has in it.
    Case(String, String),
    /// As a file of cases, with the one case that is asked.
    Written(Map<String, Value>),
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum PolicyAsk {
    /// What is wrong with it, and what is perhaps not meant so.
    Check(AskedBundle),
    /// Its policies in their one form.
    Format(AskedBundle),
    /// How its tests come out, and what they leave out.
    Test(AskedBundle),
    /// Why a question is decided as it is.
    Why(AskedBundle, PolicyQuestion),
    /// Who can, what can, or where.
    Query(AskedBundle, PolicyQuestion, Over),
    /// What changes from the first to the second.
    Diff(AskedBundle, AskedBundle),
    /// Whether what it promises holds of every question.
    Prove(AskedBundle),
    /// What it would have decided otherwise, of what was recorded; whether that is kept for the record of its activation.
    Simulate(AskedBundle, Window, bool),
}

/// A bundle with its files.
struct Loaded {
    bundle: Bundle,
    files: BTreeMap<String, Vec<u8>>,
}

impl Loaded {
    fn written(&self) -> Written<'_> {
        Written { bundle: &self.bundle, files: &self.files }
    }
}

impl PolicyAsk {
    fn act(&self) -> AdminAct {
        match self {
            Self::Simulate(..) => AdminAct::SimulatePolicy,
            Self::Check(_)
            | Self::Format(_)
            | Self::Test(_)
            | Self::Why(..)
            | Self::Query(..)
            | Self::Diff(..)
            | Self::Prove(_) => AdminAct::ViewPolicies,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Check(_) => "check",
            Self::Format(_) => "format",
            Self::Test(_) => "test",
            Self::Why(..) => "why",
            Self::Query(_, _, Over::Users) => "who-can",
            Self::Query(_, _, Over::Actions) => "what-can",
            Self::Query(_, _, Over::Rooms) => "where-can",
            Self::Diff(..) => "diff",
            Self::Prove(_) => "prove",
            Self::Simulate(..) => "simulate",
        }
    }

    fn bundles(&self) -> Vec<&AskedBundle> {
        match self {
            Self::Check(of)
            | Self::Format(of)
            | Self::Test(of)
            | Self::Why(of, _)
            | Self::Query(of, ..)
            | Self::Prove(of)
            | Self::Simulate(of, ..) => vec![of],
            Self::Diff(old, new) => vec![old, new],
        }
    }

    /// For the record: what, and of which bundles.
    fn recorded(&self, inner: &Inner) -> Value {
        let named = |of: &&AskedBundle| match of {
            AskedBundle::Active => json!(BundleId(inner.policy.active().bundle.digest()).to_string()),
            AskedBundle::Kept(digest) => json!(digest.to_string()),
            AskedBundle::Files(files) => json!({ "files": files.len() }),
        };
        json!({ "ask": self.name(), "bundles": self.bundles().iter().map(named).collect::<Vec<_>>() })
    }

    fn answer(&self, inner: &Inner) -> Result<Value, GatewayError> {
        match self {
            Self::Check(of) => alone(&BRIEF, || Ok(checked(of.files(inner)?))),
            Self::Format(of) => alone(&BRIEF, || formatted(&of.files(inner)?)),
            Self::Test(of) => alone(&BRIEF, || Ok(tested(&of.load(inner)?.bundle))),
            Self::Why(of, question) => alone(&BRIEF, || {
                let loaded = of.load(inner)?;
                let (suite, number, _) = question.read(&loaded.bundle, None)?;
                let why = loaded.bundle.why(&suite, number);
                Ok(shown::why(&why.ok_or_else(|| GatewayError::decode("nothing decides that"))?))
            }),
            Self::Query(of, question, over) => alone(&BRIEF, || {
                let loaded = of.load(inner)?;
                let (suite, number, open) = question.read(&loaded.bundle, Some(*over))?;
                let answers = loaded.bundle.query(&suite, number, *over, &open);
                let answers = answers.ok_or_else(|| GatewayError::decode("that is not about a room"))?;
                Ok(json!({ "items": answers.iter().map(shown::answer).collect::<Vec<_>>() }))
            }),
            Self::Diff(old, new) => alone(&LONG, || {
                let (old, new) = (old.load(inner)?, new.load(inner)?);
                let diff = BundleDiff::of(old.written(), new.written());
                let proof = shown::compared(&diff, (&old.bundle, &new.bundle), &mut solver()?);
                Ok(shown::diff(&diff, &proof))
            }),
            Self::Prove(of) => alone(&LONG, || {
                let proofs = prove(&of.load(inner)?.bundle, &mut solver()?);
                Ok(json!({ "items": proofs.iter().map(shown::proof).collect::<Vec<_>>() }))
            }),
            Self::Simulate(of, window, keep) => alone(&LONG, || {
                let patience = Patience { entries: Some(MOST_ENTRIES), until: Some(Instant::now() + SIMULATION) };
                let report = simulate(&inner.store, &of.load(inner)?.bundle, *window, patience)?;
                if *keep && report.incomplete {
                    return Err(GatewayError::decode(
                        "the simulation ended early and is not kept: ask for a shorter time",
                    ));
                }
                serde_json::to_value(report).map_err(GatewayError::internal)
            }),
        }
    }
}

impl AskedBundle {
    fn files(&self, inner: &Inner) -> Result<BTreeMap<String, Vec<u8>>, GatewayError> {
        let kept = match self {
            Self::Files(files) => {
                return Ok(files.iter().map(|(name, text)| (name.clone(), text.clone().into_bytes())).collect());
            }
            Self::Active => inner.policy.active().files.clone(),
            Self::Kept(BundleId(digest)) => {
                inner.store.read(|conn| bundles::load(conn, digest))?.ok_or(GatewayError::NotFound)?
            }
        };
        let texts: BTreeMap<String, String> = serde_json::from_slice(&kept).map_err(GatewayError::internal)?;
        Ok(texts.into_iter().map(|(name, text)| (name, text.into_bytes())).collect())
    }

    /// The bundle, if it is good.
    fn load(&self, inner: &Inner) -> Result<Loaded, GatewayError> {
        let files = self.files(inner)?;
        let bundle = match self {
            Self::Active => inner.policy.active().bundle.clone(),
            Self::Kept(_) | Self::Files(_) => Bundle::load(files.clone()).map_err(|wrong| malformed(&wrong))?,
        };
        Ok(Loaded { bundle, files })
    }

    fn digest(&self, inner: &Inner) -> Option<[u8; 32]> {
        match self {
            Self::Active => Some(inner.policy.active().bundle.digest()),
            Self::Kept(BundleId(digest)) => Some(*digest),
            Self::Files(_) => None,
        }
    }
}

impl PolicyQuestion {
    /// The suite with the question, its number there, and what of it stays open: a case of a file is whole.
    fn read(&self, bundle: &Bundle, over: Option<Over>) -> Result<(Suite, usize, BTreeSet<OpenFact>), GatewayError> {
        match self {
            Self::Case(file, it) => {
                let suite = bundle.suite(file).ok_or_else(|| GatewayError::decode("the bundle has no such tests"))?;
                let number = suite.only(it).map_err(GatewayError::decode)?;
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
fn completed(written: &mut Map<String, Value>, over: Option<Over>) -> Result<BTreeSet<OpenFact>, GatewayError> {
    let anywhere = written.get("rooms").and_then(Value::as_object).and_then(|rooms| rooms.keys().next().cloned());
    let says_when = written.contains_key("now");
    let cases = written.get_mut("cases").and_then(Value::as_array_mut).map(Vec::as_mut_slice);
    let Some([Value::Object(case)]) = cases else {
        return Err(GatewayError::decode("a question is a file of cases with one case"));
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

fn malformed(wrong: &[Diagnostic]) -> GatewayError {
    let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    GatewayError::decode(wrong.join("; "))
}

/// Everything that is wrong with files, or may be.
fn checked(files: BTreeMap<String, Vec<u8>>) -> Value {
    let (bundle, found) = match Bundle::check(files) {
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
fn formatted(files: &BTreeMap<String, Vec<u8>>) -> Result<Value, GatewayError> {
    let (mut changed, mut wrong) = (Map::new(), Vec::new());
    for (file, content) in files.iter().filter(|(file, _)| file.ends_with(".cedar")) {
        let text = std::str::from_utf8(content).map_err(GatewayError::decode)?;
        match format(file, text) {
            Ok(formatted) if formatted != text => {
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
fn solver() -> Result<Solver, GatewayError> {
    let program = std::env::var_os("CVC5").unwrap_or_else(|| "cvc5".into());
    Ok(Solver::new(program, QUERY).map_err(GatewayError::internal)?.ending_after(ALL_QUERIES))
}

/// Does what takes long, unless something else does.
fn alone<T>(turn: &Mutex<()>, work: impl FnOnce() -> Result<T, GatewayError>) -> Result<T, GatewayError> {
    let _held = match turn.try_lock() {
        Ok(held) => held,
        // It guards nothing that a panic could leave half done.
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return Err(GatewayError::busy("another bundle is asked")),
    };
    work()
}

impl Gateway {
    /// Asks a bundle, and answers once it is on the record who has asked what of which. A simulation tells what people have
    /// done, and takes the right to see decisions beside its own.
    ///
    /// # Errors
    ///
    /// [`AdminError::Denied`]; [`GatewayError::Decode`] for a bundle or question that is not valid, with all that is wrong,
    /// [`GatewayError::NotFound`] for a bundle that is not kept, [`GatewayError::Unavailable`] while another takes long.
    pub async fn ask_policy(&self, once: Once, operator: Operator, ask: PolicyAsk) -> Result<Kept, AdminError> {
        let by = operator.actor();
        let wish = |act| Wish { operator: operator.clone(), act, about: None, room: None, user: None, why: None };
        if let PolicyAsk::Simulate(..) = ask {
            self.allowed(once, wish(AdminAct::ViewDecisions), |_, _| Ok(())).await?;
        }
        let answered = self.allowed(once, wish(ask.act()), move |inner, decision| {
            let answer = ask.answer(inner)?;
            let (id, mut record, now) = (decision.id(), decision.record, inner.clock.now());
            if let Some(detail) = record.detail.as_object_mut() {
                detail.insert("policy".to_owned(), ask.recorded(inner));
            }
            // What has no effect is asked anew when it comes again, and its answer may be long.
            let (kept, once) = match &ask {
                PolicyAsk::Simulate(of, window, true) => {
                    let digest = of.digest(inner).ok_or_else(|| GatewayError::decode("these files are not kept"))?;
                    let report = serde_json::from_value(answer.clone()).map_err(GatewayError::internal)?;
                    (Some((digest, *window, report)), once)
                }
                _ => (None, Once::unnamed()),
            };
            Ok(inner.store.write("policy", move |tx: &mut Tx<'_>| {
                if let Some((digest, window, report)) = &kept {
                    keep_simulation(tx, digest, (*window, report), &by, now)?;
                }
                tx.stage(&record)?;
                once.keep(tx, Changed { value: answer.clone(), decision: id })
            })?)
        });
        answered.await
    }
}
