//! What people do with policy bundles at the admin door.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use portcullis_core::policy::AdminAct;
use portcullis_store::audit::Outcome;
use portcullis_store::bundles::{self, KeptBundle, Pointer};
use portcullis_store::{Conn, StoreError, Tx, shadows};
use serde_json::json;

use super::{AdminError, Changed, Operator, Wish};
use crate::gateway::decide::Decision;
use crate::gateway::policy::{Active, ShadowView};
use crate::gateway::rollout::{self, Author, BundleId, RolloutError, Step};
use crate::gateway::{Gateway, GatewayError, Inner, Kept, Once};

/// What is wanted of a bundle.
#[derive(Clone, Debug)]
pub enum PolicyChange {
    /// These files, by their path in the bundle, become a draft.
    Push(BTreeMap<String, String>),
    /// A second person agrees.
    Approve(BundleId),
    /// It is asked beside the one that decides.
    Shadow(BundleId),
    /// None is any longer.
    StopShadow,
    /// It decides from now on.
    Activate(BundleId),
    /// It, or whatever decided before, decides again.
    RollBack(Option<BundleId>),
}

impl PolicyChange {
    fn act(&self) -> AdminAct {
        match self {
            Self::Push(_) => AdminAct::PushPolicy,
            Self::Approve(_) => AdminAct::ApprovePolicy,
            Self::Shadow(_) => AdminAct::ShadowPolicy,
            Self::StopShadow => AdminAct::StopShadow,
            Self::Activate(_) => AdminAct::ActivatePolicy,
            Self::RollBack(_) => AdminAct::RollBackPolicy,
        }
    }

    /// The step, with the bundle proved where it is to decide.
    fn step(self, inner: &Inner) -> Result<Step, RolloutError> {
        let config = inner.policy.config();
        let kept = |digest: [u8; 32]| inner.store.read(|conn| rollout::kept(conn, &digest, config));
        Ok(match self {
            Self::Push(files) => {
                let files = files.into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
                Step::Push(Arc::new(Active::prove(files, config, Path::new(""))?))
            }
            Self::Approve(BundleId(digest)) => Step::Approve(digest),
            Self::Shadow(BundleId(digest)) => Step::Shadow(kept(digest)?),
            Self::StopShadow => Step::StopShadow,
            Self::Activate(BundleId(digest)) => Step::Activate(kept(digest)?),
            Self::RollBack(Some(BundleId(digest))) => Step::RollBack(kept(digest)?),
            Self::RollBack(None) => Step::RollBack(kept(inner.store.read(rollout::previous)?)?),
        })
    }

    /// The bundle that is named.
    fn digest(&self) -> Option<BundleId> {
        match self {
            Self::Push(_) | Self::StopShadow => None,
            Self::Approve(digest) | Self::Shadow(digest) | Self::Activate(digest) => Some(*digest),
            Self::RollBack(digest) => *digest,
        }
    }

    /// Takes the step. What decides then, if that is another bundle, need not be proved again.
    fn take(
        self,
        inner: &Inner,
        once: Once,
        decision: Decision,
        author: Author,
    ) -> Result<(Kept, Option<Arc<Active>>), RolloutError> {
        let step = self.step(inner)?;
        let (id, record, now) = (decision.id(), decision.record, inner.clock.now());
        let known = match &step {
            Step::Activate(active) | Step::RollBack(active) | Step::BreakGlass(active) => Some(Arc::clone(active)),
            Step::Push(_) | Step::Approve(_) | Step::Shadow(_) | Step::StopShadow => None,
        };
        let config = inner.policy.config().clone();
        let kept = inner.store.write("policy", move |tx: &mut Tx<'_>| {
            let kept = rollout::take(tx, &step, &author, &config, now)?;
            tx.stage(&record)?;
            let view = Marks::read(tx)?.view(kept);
            Ok::<_, RolloutError>(once.keep(tx, Changed { value: view, decision: id })?)
        })?;
        Ok((kept, known))
    }
}

/// A bundle, and whether it decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleView {
    /// The bundle.
    pub kept: KeptBundle,
    /// Whether it is the one that decides.
    pub active: bool,
    /// Whether it is asked beside that.
    pub shadow: bool,
    /// Whether it is what the folder of a configuration held last.
    pub in_files: bool,
}

/// Which bundles stand out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    pointer: Option<Pointer>,
    shadow: Option<[u8; 32]>,
}

impl Marks {
    /// As the database has it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the database.
    pub fn read(conn: &mut Conn) -> Result<Self, StoreError> {
        let shadow = shadows::running(conn)?.map(|shadow| shadow.digest);
        Ok(Self { pointer: bundles::pointer(conn)?, shadow })
    }

    /// How a bundle stands.
    pub fn view(&self, kept: KeptBundle) -> BundleView {
        let active = self.pointer.as_ref().is_some_and(|pointer| pointer.active == kept.digest);
        let in_files = self.pointer.as_ref().is_some_and(|pointer| pointer.files == Some(kept.digest));
        let shadow = self.shadow == Some(kept.digest);
        BundleView { kept, active, shadow, in_files }
    }
}

impl BundleView {
    /// `active`, `shadow`, `retired` for one that has decided before, `approved` or `draft`.
    pub fn state(&self) -> &'static str {
        match (self.active, self.shadow, self.kept.activated_at, &self.kept.approved) {
            (true, ..) => "active",
            (false, true, ..) => "shadow",
            (false, false, Some(_), _) => "retired",
            (false, false, None, Some(_)) => "approved",
            (false, false, None, None) => "draft",
        }
    }
}

impl Gateway {
    /// The bundles that are kept, the latest first.
    ///
    /// # Errors
    ///
    /// [`AdminError::Denied`].
    pub async fn policies(&self, operator: Operator, limit: u32) -> Result<Vec<BundleView>, AdminError> {
        let read = move |conn: &mut _| {
            let (marks, kept) = (Marks::read(conn)?, bundles::list(conn, limit)?);
            Ok::<_, StoreError>(kept.into_iter().map(|kept| marks.view(kept)).collect())
        };
        self.view(operator, AdminAct::ViewPolicies, read).await
    }

    /// One of them, with its files.
    ///
    /// # Errors
    ///
    /// [`AdminError::Denied`]; [`GatewayError::NotFound`].
    pub async fn policy_bundle(
        &self,
        operator: Operator,
        BundleId(digest): BundleId,
    ) -> Result<(BundleView, Vec<u8>), AdminError> {
        let read = move |conn: &mut _| {
            let (marks, kept) = (Marks::read(conn)?, bundles::find(conn, &digest)?);
            let files = bundles::load(conn, &digest)?.ok_or(StoreError::Missing)?;
            Ok::<_, StoreError>((marks.view(kept), files))
        };
        self.view(operator, AdminAct::ViewPolicies, read).await
    }

    /// The bundle that is asked beside the one that decides, or was last, and what has come of it.
    ///
    /// # Errors
    ///
    /// [`AdminError::Denied`]; [`GatewayError::NotFound`] when none was.
    pub async fn policy_shadow(&self, operator: Operator) -> Result<ShadowView, AdminError> {
        self.view(operator, AdminAct::ViewDecisions, ShadowView::latest).await
    }

    /// Takes a step with a bundle, and answers ([`Changed`], [`BundleView`]) how it stands then. What decides is in force in
    /// this process when this gives the answer, and in the others as soon as they hear of the commit.
    ///
    /// # Errors
    ///
    /// [`AdminError::Denied`]; [`GatewayError::Decode`] for a bundle that cannot decide, [`GatewayError::Conflict`] for one
    /// that is not in the state that this needs.
    pub async fn change_policy(
        &self,
        once: Once,
        operator: Operator,
        change: PolicyChange,
        reason: String,
    ) -> Result<Kept, AdminError> {
        let by = operator.actor();
        let (act, why) = (change.act(), Some(reason.clone()));
        let wish = Wish { operator, act, about: None, room: None, user: None, why };
        let changed = self.allowed(once, wish, move |inner, decision| {
            let (mut refusal, digest) = (decision.clone(), change.digest());
            let author = Author { by, reason, policies: decision.record.policy.clone(), decision: Some(decision.id()) };
            match change.take(inner, once, decision, author) {
                Ok((kept, known)) => {
                    inner.follow_policy(known)?;
                    Ok(kept)
                }
                Err(RolloutError::State(missing)) => {
                    // What policy allows and the state of things does not is an attempt all the same.
                    refusal.record.outcome = Outcome::Deny;
                    "bundle_is_not_ready".clone_into(&mut refusal.record.reason);
                    refusal.record.detail = json!({
                        "asked": refusal.record.detail, "digest": digest.map(|digest| digest.to_string()),
                        "missing": missing,
                    });
                    inner.record_refusal(once, "admin", &refusal, GatewayError::Conflict)?;
                    Err(GatewayError::Conflict)
                }
                Err(error) => Err(error.into()),
            }
        });
        changed.await
    }
}
