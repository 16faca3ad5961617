//! How another policy bundle comes to decide: one row of the database names it, and every process follows. What is done with
//! bundles is on the record with its effect, with what decided before and after.

mod bundle_id;

pub use bundle_id::BundleId;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use portcullis_core::time::Millis;
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::bundles::{self, Activation, How, KeptBundle, Pointer};
use portcullis_store::shadows;
use portcullis_store::{Conn, StoreError, Topic, Tx};
use serde_json::{Value, json};
use tokio::sync::watch as channel;
use tokio::time::sleep;
use uuid::Uuid;

use super::policy::people::{FILES, are_two, stands_behind};
use super::policy::{Active, PolicyError, Turn, described, evidence, shadow};
use super::{Gateway, GatewayError, Inner};
use crate::config::{Activate, Policies, PolicySource};
use crate::peer::causes;
use crate::telemetry::metrics;

/// Longest wait without a sign of a change: the connection that listens for them may be lost.
const PAUSE: Duration = Duration::from_secs(1);
/// How many activations are looked through for the one to go back to.
const REMEMBERED: u32 = 1000;

/// What somebody does with a bundle.
#[derive(Clone)]
pub enum Step {
    /// Brings it: it is a draft then.
    Push(Arc<Active>),
    /// Agrees with what somebody else has brought.
    Approve([u8; 32]),
    /// Asks it beside the one that decides.
    Shadow(Arc<Active>),
    /// Asks none any longer.
    StopShadow,
    /// Lets it decide.
    Activate(Arc<Active>),
    /// Lets it decide again.
    RollBack(Arc<Active>),
    /// The same from the host, past the admin door.
    BreakGlass(Arc<Active>),
}

impl Step {
    /// What it is called, as policy is asked about it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Push(_) => "push",
            Self::Approve(_) => "approve",
            Self::Shadow(_) => "shadow",
            Self::StopShadow => "stopShadow",
            Self::Activate(_) => "activate",
            Self::RollBack(_) | Self::BreakGlass(_) => "rollBack",
        }
    }

    /// The bundle that it is about, where it names one.
    pub fn digest(&self) -> Option<[u8; 32]> {
        match self {
            Self::Push(active)
            | Self::Shadow(active)
            | Self::Activate(active)
            | Self::RollBack(active)
            | Self::BreakGlass(active) => Some(active.bundle.digest()),
            Self::Approve(digest) => Some(*digest),
            Self::StopShadow => None,
        }
    }
}

/// Who does it, and why.
#[derive(Clone, Debug, Default)]
pub struct Author {
    /// As the audit log names the person.
    pub by: String,
    /// In the person's own words.
    pub reason: String,
    /// The policies that allow it.
    pub policies: Vec<String>,
    /// The decision that allows it.
    pub decision: Option<Uuid>,
}

/// Why a step is not taken.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// The bundle is not in the state that this needs.
    #[error("{0}")]
    State(&'static str),
    /// The bundle cannot decide here.
    #[error(transparent)]
    Bundle(#[from] PolicyError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<RolloutError> for GatewayError {
    fn from(error: RolloutError) -> Self {
        match error {
            RolloutError::State(_) => Self::Conflict,
            RolloutError::Bundle(error) => Self::decode(described(&error)),
            RolloutError::Store(error) => error.into(),
        }
    }
}

/// A kept bundle, proved to be one that can decide here.
///
/// # Errors
///
/// [`RolloutError::State`] when it is not kept, [`RolloutError::Bundle`] when it is not good.
pub fn kept(conn: &mut Conn, digest: &[u8; 32], config: &Policies) -> Result<Arc<Active>, RolloutError> {
    let kept = bundles::load(conn, digest)?.ok_or(RolloutError::State("no such bundle is kept"))?;
    Ok(Arc::new(Active::of_kept(&kept, digest, config)?))
}

/// The bundle that the database names, proved to be one that can decide here; `None` where it names none.
///
/// # Errors
///
/// [`RolloutError::Bundle`] when it is not good.
pub fn named(conn: &mut Conn, config: &Policies) -> Result<Option<Active>, RolloutError> {
    let Some(pointer) = bundles::pointer(conn)? else { return Ok(None) };
    let kept = bundles::load(conn, &pointer.active)?.ok_or(StoreError::Missing)?;
    Ok(Some(Active::of_kept(&kept, &pointer.active, config)?))
}

/// The bundle that decided before the one that does now.
///
/// # Errors
///
/// [`RolloutError::State`] when there was none, or when it was gone back from.
pub fn previous(conn: &mut Conn) -> Result<[u8; 32], RolloutError> {
    let none = RolloutError::State("no other bundle has decided before");
    let Some(pointer) = bundles::pointer(conn)? else { return Err(none) };
    if let How::RolledBack | How::BreakGlass = pointer.how {
        // What decided before was gone back from: nobody wants it by saying nothing.
        return Err(RolloutError::State(
            "the policies were rolled back last: say by its digest which bundle is to decide",
        ));
    }
    let before = bundles::activations(conn, REMEMBERED)?;
    let before = before.into_iter().map(|activation| activation.digest).find(|digest| *digest != pointer.active);
    before.ok_or(none)
}

/// Takes a step, with its record, and gives the bundle as it stands then.
///
/// # Errors
///
/// [`RolloutError::State`] says what is missing.
pub fn take(
    tx: &mut Tx<'_>,
    step: &Step,
    author: &Author,
    config: &Policies,
    now: Millis,
) -> Result<KeptBundle, RolloutError> {
    bundles::hold(tx)?;
    let shadow_before = shadows::running(tx)?;
    let running = || shadow_before.as_ref().map(|shadow| shadow.digest);
    let digest = step.digest().or_else(running).ok_or(RolloutError::State("no bundle is the shadow"))?;
    let (by, at) = (author.by.clone(), now);
    let (kind, outcome, moved) = match step {
        Step::Push(active) => {
            keep(tx, active, &by, at)?;
            ("policy.pushed", Outcome::Info, None)
        }
        Step::Approve(_) => {
            let pushed_by = standing(tx, &digest)?.pushed_by;
            if pushed_by == by {
                return Err(RolloutError::State("a bundle is approved by somebody else than who has brought it"));
            }
            if config.approvals > 1 && pushed_by != FILES {
                are_two(&pushed_by, &by)?;
            }
            bundles::approve(tx, &digest, &by, at)?;
            ("policy.approved", Outcome::Info, None)
        }
        Step::Shadow(_) => {
            standing(tx, &digest)?;
            shadow::begin(tx, &digest, shadow_before.as_ref(), (&by, at))?;
            ("policy.shadow_started", Outcome::Info, None)
        }
        Step::StopShadow => {
            shadow_before.iter().try_for_each(|shadow| shadows::stop(tx, shadow.run, &by, at))?;
            ("policy.shadow_stopped", Outcome::Info, None)
        }
        Step::Activate(_) => {
            if config.approvals > 1 {
                stands_behind(&standing(tx, &digest)?, &by)?;
            }
            let before = bundles::activate(tx, &Activation { digest, by, at }, How::Activated)?;
            ("policy.activated", Outcome::Info, Some(before))
        }
        Step::RollBack(_) | Step::BreakGlass(_) => {
            if standing(tx, &digest)?.activated_at.is_none() {
                return Err(RolloutError::State("the bundle has never decided: only to one that has is gone back"));
            }
            let (how, outcome) = match step {
                Step::BreakGlass(_) => (How::BreakGlass, Outcome::Alarm),
                _ => (How::RolledBack, Outcome::Info),
            };
            let before = bundles::activate(tx, &Activation { digest, by, at }, how)?;
            ("policy.rolled_back", outcome, Some(before))
        }
    };
    if let Some(Some(before)) = &moved
        && before.active == digest
    {
        return Err(RolloutError::State("that bundle decides already"));
    }
    if moved.is_some() {
        evidence::end_shadow(tx, &digest, &author.by, now)?;
    }
    let stands = standing(tx, &digest)?;
    let pointer = bundles::pointer(tx)?;
    let before = moved.unwrap_or_else(|| pointer.clone());
    let shadow_after = shadows::running(tx)?;
    let mut detail = json!({
        "digest": BundleId(digest).to_string(),
        "before": active_of(before.as_ref()),
        "after": active_of(pointer.as_ref()),
        "pushed_by": stands.pushed_by,
        "approved_by": stands.approved.as_ref().map(|(by, _)| by),
        "decision": author.decision,
    });
    let shadows = [("shadow_before", &shadow_before), ("shadow_after", &shadow_after)];
    for (name, shadow) in shadows.into_iter().filter_map(|(name, shadow)| Some((name, shadow.as_ref()?))) {
        detail[name] = BundleId(shadow.digest).to_string().into();
    }
    evidence::of_bundle(tx, &digest)?.into_iter().for_each(|(name, found)| detail[name] = found);
    tx.stage(&AuditRecord {
        actor: Some(author.by.clone()),
        policy: author.policies.clone(),
        reason: author.reason.clone(),
        bundle: pointer.as_ref().map(|pointer| pointer.active),
        detail,
        ..AuditRecord::new(Uuid::now_v7(), now, kind, outcome)
    })?;
    Ok(stands)
}

/// Keeps a bundle. What is kept already gets the signatures that stand beside it now.
fn keep(tx: &mut Tx<'_>, active: &Active, by: &str, now: Millis) -> Result<(), StoreError> {
    let digest = active.bundle.digest();
    if !bundles::put(tx, &digest, &active.files, by, now)? && active.has_signatures {
        bundles::replace(tx, &digest, &active.files)?;
    }
    Ok(())
}

fn standing(tx: &mut Tx<'_>, digest: &[u8; 32]) -> Result<KeptBundle, RolloutError> {
    bundles::find(tx, digest).map_err(|error| match error {
        StoreError::Missing => RolloutError::State("no such bundle is kept"),
        error => error.into(),
    })
}

fn active_of(pointer: Option<&Pointer>) -> Value {
    pointer.map_or(Value::Null, |pointer| BundleId(pointer.active).to_string().into())
}

/// What has become of what the folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    /// It decides.
    Decides,
    /// It waits for somebody.
    Draft,
    /// It has decided before, and another bundle does by now.
    Retired,
    /// The folder does not matter.
    Ignored,
}

/// Takes what the folder of a configuration holds, with its record. It decides unaided where no other bundle does; and, if
/// that is enough, where it never has, or where this process has seen it change since it took it as `last` and nobody has gone
/// back from anything. So no process that is late, or starts again, undoes what has been done since.
fn take_folder(
    tx: &mut Tx<'_>,
    (folder, last): (&Active, Option<[u8; 32]>),
    config: &Policies,
    (kind, now): (&str, Millis),
) -> Result<Folder, StoreError> {
    bundles::hold(tx)?;
    let (digest, before) = (folder.bundle.digest(), bundles::pointer(tx)?);
    let from_files = config.source == PolicySource::Files;
    if from_files || before.is_none() {
        keep(tx, folder, FILES, now)?;
    }
    let has_decided = match bundles::find(tx, &digest) {
        Ok(kept) => kept.activated_at.is_some(),
        Err(StoreError::Missing) => false,
        Err(error) => return Err(error),
    };
    let changed = last.is_some_and(|last| last != digest);
    let gone_back = before.as_ref().is_some_and(|pointer| matches!(pointer.how, How::RolledBack | How::BreakGlass));
    let unaided = from_files && config.activate == Activate::OnChange && config.approvals < 2;
    let is_wanted = unaided && (!has_decided || (changed && !gone_back));
    let decides = before.as_ref().is_some_and(|pointer| pointer.active == digest);
    let mut evidence = Vec::new();
    if before.is_none() || (is_wanted && !decides) {
        bundles::activate(tx, &Activation { digest, by: FILES.to_owned(), at: now }, How::Files)?;
        evidence::end_shadow(tx, &digest, FILES, now)?;
        evidence = evidence::of_bundle(tx, &digest)?;
    }
    if from_files {
        bundles::note_files(tx, &digest)?;
    }
    let after = bundles::pointer(tx)?;
    let decides = after.as_ref().is_some_and(|pointer| pointer.active == digest);
    let (outcome, reason) = match (decides, from_files, has_decided) {
        (true, ..) => (Folder::Decides, "bundle_is_active"),
        (false, false, _) => (Folder::Ignored, "folder_does_not_count"),
        (false, true, false) => (Folder::Draft, "bundle_is_draft"),
        (false, true, true) => (Folder::Retired, "bundle_is_retired"),
    };
    let mut detail = json!({
        "folder": BundleId(digest).to_string(),
        "before": active_of(before.as_ref()),
        "after": active_of(after.as_ref()),
    });
    evidence.into_iter().for_each(|(name, found)| detail[name] = found);
    tx.stage(&AuditRecord {
        reason: reason.to_owned(),
        bundle: after.as_ref().map(|pointer| pointer.active),
        detail,
        ..AuditRecord::new(Uuid::now_v7(), now, kind, Outcome::Info)
    })?;
    Ok(outcome)
}

impl Gateway {
    /// At the start of a process: takes what the folder of the configuration holds and puts in force here what decides then.
    /// Where the one or the other is not good, the bundle that this began with goes on, and an alarm is on the record.
    ///
    /// # Errors
    ///
    /// [`GatewayError`] of the database.
    pub async fn load_policy(&self) -> Result<(), GatewayError> {
        const KIND: &str = "policy.loaded";
        let work = |inner: &Arc<Inner>| {
            let followed = match inner.policy.flaw() {
                Some(flaw) => {
                    tracing::error!(cause = flaw, "policies of the folder are not good, those of the database go on");
                    metrics::policy_load("bad");
                    inner.alarm_of_policy(KIND, "folder_is_not_good", flaw)?;
                    inner.follow_policy(None)
                }
                None => {
                    let folder = inner.policy.active();
                    inner.take_folder(&folder, KIND)?;
                    inner.follow_policy(Some(folder))
                }
            };
            match followed {
                Err(GatewayError::Decode(flaw)) => {
                    let flaw = causes(flaw.as_ref());
                    tracing::error!(cause = flaw, "policies that should decide are not good, those of the folder do");
                    inner.alarm_of_policy(KIND, "active_bundle_is_not_good", &flaw)
                }
                followed => followed,
            }
        };
        self.0.aside(work).await
    }

    /// Takes what the folder of the configuration holds by now, as `folder` has it, and puts in force here what decides then.
    ///
    /// # Errors
    ///
    /// [`GatewayError`] of the database, or when what decides cannot decide here.
    pub async fn reload_policy(&self, folder: Arc<Active>) -> Result<Folder, GatewayError> {
        let work = move |inner: &Arc<Inner>| {
            let outcome = inner.take_folder(&folder, "policy.reloaded")?;
            inner.follow_policy(Some(folder))?;
            Ok(outcome)
        };
        self.0.aside(work).await
    }

    /// Puts the bundle that the database names in force in this process. One that cannot decide here changes nothing.
    ///
    /// # Errors
    ///
    /// [`GatewayError`] of the database, or when that bundle cannot decide here.
    pub async fn follow_policy(&self) -> Result<(), GatewayError> {
        self.0.aside(|inner| inner.follow_policy(None)).await
    }
}

impl Inner {
    fn take_folder(&self, folder: &Arc<Active>, kind: &'static str) -> Result<Folder, GatewayError> {
        let (config, now, taken) = (self.policy.config().clone(), self.clock.now(), Arc::clone(folder));
        let last = self.policy.turn().folder;
        let job = move |tx: &mut Tx<'_>| take_folder(tx, (&taken, last), &config, (kind, now));
        let outcome = self.store.write("policy", job)?;
        self.policy.turn().folder = Some(folder.bundle.digest());
        Ok(outcome)
    }

    fn alarm_of_policy(&self, kind: &str, reason: &str, flaw: &str) -> Result<(), GatewayError> {
        let decides = self.policy.active().bundle.digest();
        let record = AuditRecord {
            reason: reason.to_owned(),
            bundle: Some(decides),
            detail: json!({ "decides": BundleId(decides).to_string(), "flaw": flaw }),
            ..AuditRecord::new(Uuid::now_v7(), self.clock.now(), kind, Outcome::Alarm)
        };
        Ok(self.store.write("policy", move |tx: &mut Tx<'_>| tx.stage(&record))?)
    }

    /// `known` need not be proved again.
    pub(super) fn follow_policy(&self, known: Option<Arc<Active>>) -> Result<(), GatewayError> {
        let mut turn = self.policy.turn();
        let Some(pointer) = self.store.read(bundles::pointer).map_err(|error: StoreError| GatewayError::from(error))?
        else {
            return Ok(());
        };
        let followed = self.put_in_force(&mut turn, &pointer, known);
        // What was there at the start was told when it came.
        let is_news = turn.seen.replace(pointer.version).is_some_and(|seen| seen < pointer.version);
        if is_news && pointer.how == How::BreakGlass {
            let bundle = BundleId(pointer.active);
            metrics::policy_break_glass(1);
            tracing::error!(%bundle, by = pointer.by, "policies were rolled back from the host, past the admin door");
        }
        followed
    }

    fn put_in_force(&self, turn: &mut Turn, pointer: &Pointer, known: Option<Arc<Active>>) -> Result<(), GatewayError> {
        let digest = pointer.active;
        if self.policy.active().bundle.digest() == digest {
            turn.broken = None;
            return Ok(());
        }
        let active = match known.filter(|known| known.bundle.digest() == digest) {
            Some(known) => known,
            None => {
                let kept = self.store.read(|conn| bundles::load(conn, &digest))?;
                let kept = kept.ok_or(StoreError::Corrupt("policy pointer"))?;
                let mut hash = [0; 32];
                hash.copy_from_slice(digest::digest(&digest::SHA256, &kept).as_ref());
                if turn.broken == Some(hash) {
                    return Ok(()); // That was told.
                }
                let proved = Active::of_kept(&kept, &digest, self.policy.config());
                metrics::policy_load(if proved.is_ok() { "good" } else { "bad" });
                let proved = proved.inspect_err(|_| turn.broken = Some(hash)).map_err(RolloutError::from)?;
                Arc::new(proved)
            }
        };
        self.policy.activate(active);
        turn.broken = None;
        tracing::info!(bundle = %BundleId(digest), by = pointer.by, "another policy bundle decides");
        Ok(())
    }
}

/// Keeps in force what the database names, whichever process lets another bundle decide, until `closing` becomes true.
pub async fn watch(gateway: Gateway, mut closing: channel::Receiver<bool>) {
    metrics::policy_break_glass(0);
    metrics::held_back(0);
    metrics::shadowed("same", 0);
    let mut changes = gateway.store().changes(Topic::Policy);
    while !*closing.borrow() {
        // Seen before looking, so that what changes meanwhile wakes us again.
        changes.mark_unchanged();
        if let Err(error) = gateway.follow_policy().await {
            tracing::error!(cause = causes(&error), "policies are not followed, the last good ones go on");
        }
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            _ = changes.changed() => {}
            () = sleep(PAUSE) => {}
        }
    }
}
