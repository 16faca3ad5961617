//! What people ask of policy bundles at the admin door: what the command line asks of a folder, by the same engine. Each
//! is on the record before it is answered, with which bundle it was asked of.

use std::collections::BTreeMap;
use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};

use portcullis_core::policy::{AdminAct, Bundle, Diagnostic, Over, content_digest};
use portcullis_store::{Tx, bundles};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{AdminError, Changed, Operator, Wish};
use crate::gateway::policy::{Active, Patience, Window, keep_simulation, simulate};
use crate::gateway::rollout::BundleId;
use crate::gateway::{Gateway, GatewayError, Inner, Kept, Once};

mod worker;

pub use worker::answer as answer_policy;
use worker::{Files, Task};

/// How long a simulation may take, and how many entries of the log it reads.
const SIMULATION: Duration = Duration::from_secs(60);
const MOST_ENTRIES: u64 = 1_000_000;
/// How much of why there is no answer is on the record, in characters.
const TOLD: usize = 500;

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
#[derive(Clone, Debug, Serialize, Deserialize)]
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

/// A bundle that is asked, by its files.
struct Asked {
    digest: [u8; 32],
    files: Files,
    /// How it is named on the record.
    named: Value,
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

    /// The answer, of the bundles in the order in which they are named.
    fn answer(self, inner: &Inner, active: &Active, asked: Vec<Asked>) -> Result<Value, GatewayError> {
        let mut files = asked.into_iter().map(|asked| asked.files);
        let mut next = || files.next().unwrap_or_default();
        let limit = Duration::from_secs(inner.policy.config().question_seconds.get().into());
        let ask = |task: &Task| worker::ask(task, limit);
        match self {
            Self::Check(_) => alone(&BRIEF, || ask(&Task::Check(next()))),
            Self::Format(_) => alone(&BRIEF, || ask(&Task::Format(next()))),
            Self::Test(_) => alone(&BRIEF, || ask(&Task::Test(next()))),
            Self::Why(_, question) => alone(&BRIEF, || ask(&Task::Why(next(), question))),
            Self::Query(_, question, Over::Users) => alone(&BRIEF, || ask(&Task::WhoCan(next(), question))),
            Self::Query(_, question, Over::Actions) => alone(&BRIEF, || ask(&Task::WhatCan(next(), question))),
            Self::Query(_, question, Over::Rooms) => alone(&BRIEF, || ask(&Task::WhereCan(next(), question))),
            Self::Diff(..) => alone(&LONG, || {
                let old = next();
                ask(&Task::Diff(old, next()))
            }),
            Self::Prove(_) => alone(&LONG, || ask(&Task::Prove(next()))),
            Self::Simulate(of, window, keep) => alone(&LONG, || {
                let until = Instant::now() + SIMULATION;
                let bundle = match of {
                    AskedBundle::Active => active.bundle.clone(),
                    AskedBundle::Kept(_) | AskedBundle::Files(_) => {
                        let files = next();
                        // What cannot be read in time is not read here.
                        ask(&Task::Check(files.clone()))?;
                        let files = files.into_iter().map(|(name, text)| (name, text.into_bytes()));
                        Bundle::load(files.collect()).map_err(|wrong| malformed(&wrong))?
                    }
                };
                let patience = Patience { entries: Some(MOST_ENTRIES), until: Some(until) };
                let report = simulate(&inner.store, &bundle, window, patience)?;
                if keep && report.incomplete {
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
    fn resolve(&self, inner: &Inner, active: &Active) -> Result<Asked, GatewayError> {
        let kept = match self {
            Self::Files(files) => {
                let bytes = files.iter().map(|(name, text)| (name.clone(), text.clone().into_bytes())).collect();
                let digest = content_digest(&bytes);
                let named = json!({ "files": files.len(), "digest": BundleId(digest).to_string() });
                return Ok(Asked { digest, files: files.clone(), named });
            }
            Self::Active => (active.bundle.digest(), active.files.clone()),
            Self::Kept(BundleId(digest)) => {
                (*digest, inner.store.read(|conn| bundles::load(conn, digest))?.ok_or(GatewayError::NotFound)?)
            }
        };
        let (digest, files) = kept;
        let files = serde_json::from_slice(&files).map_err(GatewayError::internal)?;
        Ok(Asked { digest, files, named: json!(BundleId(digest).to_string()) })
    }

    /// As it stands on the record where there is no such bundle.
    fn unresolved(&self) -> Value {
        match self {
            Self::Kept(digest) => json!(digest.to_string()),
            Self::Active | Self::Files(_) => Value::Null,
        }
    }
}

fn malformed(wrong: &[Diagnostic]) -> GatewayError {
    let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    GatewayError::decode(wrong.join("; "))
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
            let (active, now) = (inner.policy.active(), inner.clock.now());
            let (id, mut record) = (decision.id(), decision.record);
            let (name, named) = (ask.name(), ask.bundles().into_iter().cloned().collect::<Vec<_>>());
            let asked = named.iter().map(|of| of.resolve(inner, &active)).collect::<Result<Vec<_>, _>>();
            let mut told = json!({ "ask": name, "bundles": match &asked {
                Ok(asked) => asked.iter().map(|of| of.named.clone()).collect::<Vec<_>>(),
                Err(_) => named.iter().map(AskedBundle::unresolved).collect(),
            } });
            let digest = asked.as_ref().ok().and_then(|asked| asked.first()).map(|of| of.digest);
            let kept = match &ask {
                PolicyAsk::Simulate(AskedBundle::Files(_), _, true) => {
                    Err(GatewayError::decode("these files are not kept"))
                }
                PolicyAsk::Simulate(_, window, true) => Ok(Some(*window)),
                _ => Ok(None),
            };
            let answer = asked.and_then(|asked| Ok((kept?, ask.answer(inner, &active, asked)?)));
            if let (Err(error @ (GatewayError::Decode(_) | GatewayError::NotFound)), Some(told)) =
                (&answer, told.as_object_mut())
            {
                let why: String = crate::peer::causes(error).chars().take(TOLD).collect();
                told.insert("failed".to_owned(), why.into());
            }
            if let Some(detail) = record.detail.as_object_mut() {
                detail.insert("policy".to_owned(), told);
            }
            let (window, answer) = match answer {
                Ok(answered) => answered,
                // Nothing was done, so it is for nobody else to hear of.
                Err(busy @ GatewayError::Unavailable { .. }) => return Err(busy),
                Err(error) => {
                    inner.store.write("policy", move |tx: &mut Tx<'_>| tx.stage(&record))?;
                    return Err(error);
                }
            };
            let kept = window.zip(digest).map(|(window, digest)| {
                let report = serde_json::from_value(answer.clone()).map_err(GatewayError::internal)?;
                Ok::<_, GatewayError>((digest, window, report))
            });
            let kept = kept.transpose()?;
            // What has no effect is asked anew when it comes again, and its answer may be long.
            let once = if kept.is_some() { once } else { Once::unnamed() };
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
