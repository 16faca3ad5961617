//! What people do at the admin door. Policy is asked about all of it, by the roles in the person's token: what is refused
//! is on the record before anybody hears of it, and a change is on the record in its own transaction.

mod addresses;
mod asks;
mod audit;
mod exports;
mod join_codes;
mod lanes;
mod letters;
mod moderation;
mod peers;
mod policies;
mod reports;
mod rooms;

pub use asks::{AskedBundle, PolicyAsk, PolicyQuestion, answer_policy};
pub use exports::Records;
pub use lanes::LaneChange;
pub use letters::LetterChange;
pub use peers::{PeerChange, watch};
pub use policies::{BundleView, Marks, PolicyChange};
pub use rooms::{GroupPart, RoomView};

use std::collections::BTreeSet;
use std::sync::Arc;

use portcullis_core::policy::{AdminAct, AdminQuestion};
use portcullis_core::wire::uri::{Domain, RoomUri, UserUri};
use portcullis_store::{Conn, StoreError};
use uuid::Uuid;

use super::decide::{Case, Decision};
use super::once::Once;
use super::places::Of;
use super::{Gateway, GatewayError, Inner};

/// A person at the admin door, authenticated for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Subject of the token.
    pub subject: String,
    /// Roles in the token.
    pub roles: BTreeSet<String>,
}

impl Operator {
    /// As the audit log names the person.
    pub fn actor(&self) -> String {
        format!("operator:{}", self.subject)
    }
}

/// What somebody gives as a reason, at the admin door or on the host: one line that says something.
///
/// # Errors
///
/// What is expected.
pub fn worded(reason: &str) -> Result<String, String> {
    /// Longest reason, in bytes.
    const LONGEST: usize = 1024;
    if reason.trim().is_empty() || reason.len() > LONGEST || reason.chars().any(char::is_control) {
        return Err(format!("a reason is one line of at most {LONGEST} bytes, and not empty"));
    }
    Ok(reason.to_owned())
}

/// Why a person does not get what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Policy refuses. HTTP 403.
    #[error("{}", .0.sentence)]
    Denied(Denied),
    /// What every use case can fail with.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
}

/// A refusal by policy, with what only the company's own people may know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The decision in the audit log.
    pub decision: Uuid,
    /// A neutral sentence, or the policy's public message.
    pub sentence: String,
    /// Code of the reason.
    pub reason: String,
    /// The policies that decided.
    pub policies: Vec<String>,
}

impl From<Decision> for Denied {
    fn from(decision: Decision) -> Self {
        Self {
            decision: decision.id(),
            reason: decision.record.reason,
            policies: decision.record.policy,
            sentence: decision.sentence,
        }
    }
}

/// What a change came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed<T> {
    /// What there is to say about it.
    pub value: T,
    /// The decision that allowed it.
    pub decision: Uuid,
}

/// What somebody wants to do, and about what.
#[derive(Clone, Debug)]
struct Wish {
    operator: Operator,
    act: AdminAct,
    /// Absent: the gateway as a whole.
    about: Option<Domain>,
    room: Option<RoomUri>,
    user: Option<UserUri>,
    /// In the person's own words.
    why: Option<String>,
}

impl Gateway {
    /// Reads from the database what policy lets this person see.
    ///
    /// # Errors
    ///
    /// [`AdminError::Denied`], and what `read` fails with.
    pub async fn view<T: Send + 'static>(
        &self,
        operator: Operator,
        act: AdminAct,
        read: impl FnOnce(&mut Conn) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, AdminError> {
        let wish = Wish { operator, act, about: None, room: None, user: None, why: None };
        self.permitted(wish, move |inner| Ok(inner.store.read(read)?)).await
    }

    /// Lets `work` see what policy lets this person see.
    async fn permitted<T: Send + 'static>(
        &self,
        wish: Wish,
        work: impl FnOnce(&Arc<Inner>) -> Result<T, GatewayError> + Send + 'static,
    ) -> Result<T, AdminError> {
        self.allowed(Once::unnamed(), wish, move |inner, _| work(inner)).await
    }

    /// Does `work`, which stages the decision with its effect if it has one.
    async fn allowed<T: Send + 'static>(
        &self,
        once: Once,
        wish: Wish,
        work: impl FnOnce(&Arc<Inner>, Decision) -> Result<T, GatewayError> + Send + 'static,
    ) -> Result<T, AdminError> {
        let of = vec![Of::Person(wish.operator.subject.clone())];
        let outcome = self.0.blocking(of, move |inner| {
            let decision = wish.decide(inner)?;
            if decision.allow {
                return work(inner, decision).map(Ok);
            }
            let denied = Denied::from(decision.clone());
            inner.record_refusal(once, "admin", &decision, AdminError::Denied(denied.clone()))?;
            Ok(Err(denied))
        });
        outcome.await?.map_err(AdminError::Denied)
    }
}

impl Wish {
    fn decide(&self, inner: &Inner) -> Result<Decision, GatewayError> {
        let now = inner.clock.now();
        let about = self.about.as_ref().or_else(|| inner.domains.first());
        let about = about.ok_or_else(|| GatewayError::internal("the gateway has no domain"))?;
        let case = Case {
            kind: "decision.admin",
            room: self.room.as_ref(),
            actor: Some(self.operator.actor()),
            peer: about.clone(),
            epoch: None,
            exchange: None,
            now,
        };
        let Operator { subject, roles } = &self.operator;
        let (room, user) = (self.room.as_ref(), self.user.as_ref());
        let question = AdminQuestion { act: self.act, operator: subject, roles, about, room, user, now };
        Ok(case.decide_admin(&inner.policy.active(), &question, self.why.as_deref()))
    }
}
