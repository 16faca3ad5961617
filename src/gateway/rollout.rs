//! How another policy bundle comes to decide: one row of the database names it, and every process follows. What is done with
//! bundles is on the record with its effect, with what decided before and after.

use std::str::FromStr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use data_encoding::HEXLOWER;
use portcullis_core::time::Millis;
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::bundles::{self, Activation, How, KeptBundle, Pointer};
use portcullis_store::{Conn, StoreError, Topic, Tx};
use serde_json::{Value, json};
use tokio::sync::watch as channel;
use tokio::time::sleep;
use uuid::Uuid;

use super::policy::{Active, PolicyError};
use super::{Gateway, GatewayError, Inner};
use crate::config::{Activate, Policies, PolicySource};
use crate::peer::causes;
use crate::telemetry::metrics;

/// Longest wait without a sign of a change: the connection that listens for them may be lost.
const PAUSE: Duration = Duration::from_secs(1);
/// How many activations are looked through for the one to go back to.
const REMEMBERED: u32 = 1000;
/// Who brings what stands in the folder of a configuration.
const FILES: &str = "files";

/// Digest of a bundle, 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleId(pub [u8; 32]);

impl FromStr for BundleId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let octets = HEXLOWER.decode(text.as_bytes()).ok().and_then(|octets| octets.try_into().ok());
        octets.map(Self).ok_or("expected the digest of a bundle, 64 hexadecimal digits")
    }
}

impl std::fmt::Display for BundleId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// What somebody does with a bundle.
#[derive(Clone)]
pub enum Step {
    /// Brings it: it is a draft then.
    Push(Arc<Active>),
    /// Agrees with what somebody else has brought.
    Approve([u8; 32]),
    /// Lets it decide.
    Activate(Arc<Active>),
    /// Lets it decide again.
    RollBack(Arc<Active>),
    /// The same from the host, past the admin door.
    BreakGlass(Arc<Active>),
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

/// What keeps a bundle from deciding, in one sentence that names the first things.
pub(super) fn described(error: &PolicyError) -> String {
    /// How many are named.
    const FIRST: usize = 20;
    match error {
        PolicyError::Invalid { diagnostics, .. } => {
            let first: Vec<String> = diagnostics.iter().take(FIRST).map(ToString::to_string).collect();
            format!("the bundle is not valid, {} errors: {}", diagnostics.len(), first.join("; "))
        }
        error => causes(error),
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

/// The bundle that decided before the one that does now.
///
/// # Errors
///
/// [`RolloutError::State`] when there was none.
pub fn previous(conn: &mut Conn) -> Result<[u8; 32], RolloutError> {
    let none = RolloutError::State("no other bundle has decided before");
    let Some(pointer) = bundles::pointer(conn)? else { return Err(none) };
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
    let digest = match step {
        Step::Push(active) | Step::Activate(active) | Step::RollBack(active) | Step::BreakGlass(active) => {
            active.bundle.digest()
        }
        Step::Approve(digest) => *digest,
    };
    let (by, at) = (author.by.clone(), now);
    let (kind, outcome, moved) = match step {
        Step::Push(active) => {
            bundles::put(tx, &digest, &active.files, &by, at)?;
            ("policy.pushed", Outcome::Info, None)
        }
        Step::Approve(_) => {
            if standing(tx, &digest)?.pushed_by == by {
                return Err(RolloutError::State("a bundle is approved by somebody else than who has brought it"));
            }
            bundles::approve(tx, &digest, &by, at)?;
            ("policy.approved", Outcome::Info, None)
        }
        Step::Activate(_) => {
            if config.approvals > 1 && standing(tx, &digest)?.approved.is_none() {
                return Err(RolloutError::State("nobody else has approved the bundle, and it takes two people"));
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
    let stands = standing(tx, &digest)?;
    let pointer = bundles::pointer(tx)?;
    let before = moved.unwrap_or_else(|| pointer.clone());
    tx.stage(&AuditRecord {
        actor: Some(author.by.clone()),
        policy: author.policies.clone(),
        reason: author.reason.clone(),
        bundle: pointer.as_ref().map(|pointer| pointer.active),
        detail: json!({
            "digest": BundleId(digest).to_string(),
            "before": active_of(before.as_ref()),
            "after": active_of(pointer.as_ref()),
            "pushed_by": stands.pushed_by,
            "approved_by": stands.approved.as_ref().map(|(by, _)| by),
            "decision": author.decision,
        }),
        ..AuditRecord::new(Uuid::now_v7(), now, kind, outcome)
    })?;
    Ok(stands)
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
    /// It is what the folder held before, and somebody has let another bundle decide since.
    Unchanged,
    /// The folder does not matter.
    Ignored,
}

/// Takes what the folder of a configuration holds, with its record. It decides unaided where no other bundle does, or where
/// it has changed and that is enough.
fn take_folder(
    tx: &mut Tx<'_>,
    folder: &Active,
    config: &Policies,
    (kind, now): (&str, Millis),
) -> Result<Folder, StoreError> {
    let (digest, before) = (folder.bundle.digest(), bundles::pointer(tx)?);
    let from_files = config.source == PolicySource::Files;
    let changed = before.as_ref().is_none_or(|pointer| pointer.files != Some(digest));
    let unaided = from_files && changed && config.activate == Activate::OnChange && config.approvals < 2;
    if from_files || before.is_none() {
        bundles::put(tx, &digest, &folder.files, FILES, now)?;
    }
    let decides = before.as_ref().is_some_and(|pointer| pointer.active == digest);
    if before.is_none() || (unaided && !decides) {
        bundles::activate(tx, &Activation { digest, by: FILES.to_owned(), at: now }, How::Files)?;
    }
    if from_files {
        bundles::note_files(tx, &digest)?;
    }
    let after = bundles::pointer(tx)?;
    let decides = after.as_ref().is_some_and(|pointer| pointer.active == digest);
    let (outcome, reason) = match (decides, from_files, changed) {
        (true, ..) => (Folder::Decides, "bundle_is_active"),
        (false, false, _) => (Folder::Ignored, "folder_does_not_count"),
        (false, true, true) => (Folder::Draft, "bundle_is_draft"),
        (false, true, false) => (Folder::Unchanged, "bundle_is_unchanged"),
    };
    tx.stage(&AuditRecord {
        reason: reason.to_owned(),
        bundle: after.as_ref().map(|pointer| pointer.active),
        detail: json!({
            "folder": BundleId(digest).to_string(),
            "before": active_of(before.as_ref()),
            "after": active_of(after.as_ref()),
        }),
        ..AuditRecord::new(Uuid::now_v7(), now, kind, Outcome::Info)
    })?;
    Ok(outcome)
}

impl Gateway {
    /// Takes what the folder of the configuration holds, as `folder` has it, and puts in force here what decides then.
    /// `kind` is that of the record.
    ///
    /// # Errors
    ///
    /// [`GatewayError`] of the database, or when what decides cannot decide here.
    pub async fn take_policy_folder(&self, folder: Arc<Active>, kind: &'static str) -> Result<Folder, GatewayError> {
        let work = move |inner: &Arc<Inner>| {
            let (config, now, taken) = (inner.policy.config().clone(), inner.clock.now(), Arc::clone(&folder));
            let outcome =
                inner.store.write("policy", move |tx: &mut Tx<'_>| take_folder(tx, &taken, &config, (kind, now)))?;
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
    /// `known` need not be proved again.
    pub(super) fn follow_policy(&self, known: Option<Arc<Active>>) -> Result<(), GatewayError> {
        let mut broken = self.policy.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pointer) = self.store.read(bundles::pointer).map_err(|error: StoreError| GatewayError::from(error))?
        else {
            return Ok(());
        };
        let digest = pointer.active;
        if self.policy.active().bundle.digest() == digest {
            *broken = None;
            return Ok(());
        }
        let known = known.filter(|known| known.bundle.digest() == digest);
        if known.is_none() && *broken == Some(digest) {
            return Ok(()); // That was told.
        }
        let config = self.policy.config();
        let proved = match known {
            Some(known) => Ok(known),
            None => self.store.read(|conn| kept(conn, &digest, config)).inspect(|_| metrics::policy_load("good")),
        };
        let active = proved.inspect_err(|error| {
            if let RolloutError::Bundle(_) | RolloutError::State(_) = error {
                *broken = Some(digest);
                metrics::policy_load("bad");
            }
        })?;
        self.policy.activate(active);
        *broken = None;
        let bundle = BundleId(digest).to_string();
        match pointer.how {
            How::BreakGlass => {
                metrics::policy_break_glass(1);
                tracing::error!(%bundle, by = pointer.by, "policies were rolled back from the host, past the admin door");
            }
            How::Files | How::Activated | How::RolledBack => {
                tracing::info!(%bundle, by = pointer.by, "another policy bundle decides");
            }
        }
        Ok(())
    }
}

/// Keeps in force what the database names, whichever process lets another bundle decide, until `closing` becomes true.
pub async fn watch(gateway: Gateway, mut closing: channel::Receiver<bool>) {
    metrics::policy_break_glass(0);
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
