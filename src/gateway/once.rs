//! A request that names itself is answered once: its answer becomes durable in the transaction of its effect, or of the
//! record of its refusal, and whoever sends the same again gets that answer. Whatever ends a process, or whichever
//! replicas work on the request at once, there is the effect with its record and its answer, or nothing of them.

use std::future::Future;
use std::time::Duration;

use data_encoding::HEXLOWER;
use portcullis_core::time::Millis;
use portcullis_store::answers::{self, Recognised, StoredAnswer};
use portcullis_store::{Conn, Store, StoreError, Tx};
use uuid::Uuid;

use super::admin::AdminError;
use super::decide::Decision;
use super::{Answer, GatewayError, Inner};

/// How long an answer is kept for a repetition.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// What stands in the body of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A TLS-encoded MIMI structure.
    Octets,
    /// JSON.
    Json,
    /// Problem details.
    Problem,
}

impl Content {
    const ALL: [Self; 3] = [Self::Octets, Self::Json, Self::Problem];

    /// As it stands in the database.
    fn number(self) -> u8 {
        match self {
            Self::Octets => 0,
            Self::Json => 1,
            Self::Problem => 2,
        }
    }
}

/// An answer, or a refusal that would be the same again, as a door gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// What the body is.
    pub content: Content,
    /// The decision behind it.
    pub decision: Option<Uuid>,
    /// The body.
    pub body: Vec<u8>,
}

/// What a use case comes to, as the door that was asked shows it.
pub trait Shown {
    /// The answer.
    ///
    /// # Errors
    ///
    /// [`GatewayError::Internal`] for what cannot be written as JSON.
    fn reply(self) -> Result<Reply, GatewayError>;
}

impl Shown for Answer {
    fn reply(self) -> Result<Reply, GatewayError> {
        Ok(Reply { status: 200, content: Content::Octets, decision: self.decision, body: self.body })
    }
}

/// How a door shows a refusal that is the same for every repetition; `None` for what may be tried again.
pub type ShowRefusal = fn(AdminError) -> Option<Reply>;

/// An answer that may be given: it comes out of the transaction that made it durable, with what it tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept(Reply);

impl Kept {
    /// What is answered.
    pub fn into_reply(self) -> Reply {
        self.0
    }
}

/// What a request is recognised by when it comes again. A use case that has it cannot answer without keeping the answer.
#[derive(Clone, Copy, Debug)]
pub struct Once(Option<Named>);

#[derive(Clone, Copy, Debug)]
struct Named {
    /// Who asks, where, by which key.
    scope: [u8; 32],
    /// SHA-256 of the body.
    fingerprint: [u8; 32],
    /// When it came: what has expired by then is forgotten.
    at: Millis,
    show_refusal: ShowRefusal,
}

impl Once {
    /// A request that is one of its own, however often it comes: it has no key, or coming again it changes nothing.
    pub fn unnamed() -> Self {
        Self(None)
    }

    /// A request whose key has this scope ([`answers::scope`]).
    pub fn named(scope: [u8; 32], body: &[u8], at: Millis, show_refusal: ShowRefusal) -> Self {
        Self(Some(Named { scope, fingerprint: answers::scope(&[body]), at, show_refusal }))
    }

    /// Does `work` unless the request was answered before. An answer that is kept is the answer, whatever the work came
    /// to: another replica was faster, or a refusal is kept with its record.
    ///
    /// # Errors
    ///
    /// Those of `work`, and [`GatewayError::KeyReused`].
    pub async fn answer<E: From<GatewayError>>(
        self,
        store: &Store,
        work: impl Future<Output = Result<Kept, E>>,
    ) -> Result<Kept, E> {
        if let Some(kept) = self.recall(store).await? {
            return Ok(kept);
        }
        let error = match work.await {
            Ok(kept) => return Ok(kept),
            Err(error) => error,
        };
        match self.recall(store).await {
            Ok(Some(kept)) => Ok(kept),
            Err(reused @ GatewayError::KeyReused) => Err(reused.into()),
            // Why the work failed is what there is to say.
            Ok(None) | Err(_) => Err(error),
        }
    }

    /// Keeps a refusal for which nothing has been written.
    ///
    /// # Errors
    ///
    /// [`GatewayError::KeyReused`], and [`GatewayError::Unavailable`] when it cannot be kept.
    pub async fn keep_refusal(self, store: &Store, lane: &str, refusal: Reply) -> Result<Kept, GatewayError> {
        let kept = refusal.clone();
        match store.write_async(lane, move |tx: &mut Tx<'_>| self.store(tx, &kept)).await {
            Ok(()) => Ok(Kept(refusal)),
            Err(StoreError::KeyTaken) => self.recall(store).await?.ok_or_else(|| StoreError::KeyTaken.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps the answer of the request, in the transaction of what it tells of. The last thing that a job does.
    ///
    /// # Errors
    ///
    /// [`StoreError::KeyTaken`] when another request with the key was faster: the job must fail with it, and
    /// [`Self::answer`] finds what that was answered.
    pub(crate) fn keep(self, tx: &mut Tx<'_>, answer: impl Shown) -> Result<Kept, StoreError> {
        let reply = answer.reply().map_err(|_| StoreError::Corrupt("answer"))?;
        self.store(tx, &reply)?;
        Ok(Kept(reply))
    }

    /// As [`Self::keep`] for an answer that holds what is told only once: who asks again gets `kept`.
    ///
    /// # Errors
    ///
    /// As [`Self::keep`].
    pub(crate) fn keep_but(self, tx: &mut Tx<'_>, kept: impl Shown, told: impl Shown) -> Result<Kept, StoreError> {
        let told = told.reply().map_err(|_| StoreError::Corrupt("answer"))?;
        self.keep(tx, kept)?;
        Ok(Kept(told))
    }

    /// The key under which the request is passed on: the same for every repetition, and another one for another body.
    pub(super) fn passed_on(self) -> Option<String> {
        let Named { scope, fingerprint, .. } = self.0?;
        let named = answers::scope(&[b"passed on", &scope, &fingerprint]);
        Some(HEXLOWER.encode(&named))
    }

    fn show(self, refusal: impl Into<AdminError>) -> Option<Reply> {
        (self.0?.show_refusal)(refusal.into())
    }

    fn store(self, tx: &mut Tx<'_>, reply: &Reply) -> Result<(), StoreError> {
        let Some(Named { scope, fingerprint, at, .. }) = self.0 else { return Ok(()) };
        answers::store(tx, Recognised::ByKey, &scope, &pack(&fingerprint, reply), at, at.plus(KEPT_FOR))
    }

    async fn recall(self, store: &Store) -> Result<Option<Kept>, GatewayError> {
        let Some(named) = self.0 else { return Ok(None) };
        let store = store.clone();
        let read = tokio::task::spawn_blocking(move || store.read(|conn| named.find(conn)));
        read.await.unwrap_or_else(|panic| Err(GatewayError::internal(panic)))
    }
}

impl Named {
    fn find(&self, conn: &mut Conn) -> Result<Option<Kept>, GatewayError> {
        let Some(stored) = answers::lookup(conn, &self.scope, self.at)? else { return Ok(None) };
        let (fingerprint, reply) = unpack(stored).ok_or(StoreError::Corrupt("answer"))?;
        if fingerprint == self.fingerprint { Ok(Some(Kept(reply))) } else { Err(GatewayError::KeyReused) }
    }
}

/// A reply as it is stored: what it is and the fingerprint stand before the body.
fn pack(fingerprint: &[u8; 32], reply: &Reply) -> StoredAnswer {
    let body = [&[reply.content.number()], fingerprint.as_slice(), &reply.body].concat();
    StoredAnswer { status: reply.status, body, decision: reply.decision }
}

fn unpack(stored: StoredAnswer) -> Option<([u8; 32], Reply)> {
    let StoredAnswer { status, body, decision } = stored;
    let (number, rest) = body.split_first()?;
    let content = Content::ALL.into_iter().find(|content| content.number() == *number)?;
    let (fingerprint, body) = rest.split_first_chunk()?;
    Some((*fingerprint, Reply { status, content, decision, body: body.to_vec() }))
}

impl Inner {
    /// Makes the record of a decision durable that has no other effect, and no answer yet.
    pub(super) fn record(&self, lane: &str, decision: &Decision) -> Result<(), GatewayError> {
        let record = decision.record.clone();
        Ok(self.store.append(lane, move |tx: &mut Tx<'_>| tx.stage(&record))?)
    }

    /// The same for one that is refused, with the refusal that is told.
    pub(super) fn record_refusal(
        &self,
        once: Once,
        lane: &str,
        decision: &Decision,
        refusal: impl Into<AdminError>,
    ) -> Result<(), GatewayError> {
        let (record, reply) = (decision.record.clone(), once.show(refusal));
        Ok(self.store.append(lane, move |tx: &mut Tx<'_>| {
            tx.stage(&record)?;
            reply.as_ref().map_or(Ok(()), |reply| once.store(tx, reply))
        })?)
    }

    /// A refusal is recorded before it is told; if it cannot be recorded, the caller gets no answer but 503.
    pub(super) fn answer_refusal(
        &self,
        once: Once,
        lane: &str,
        decision: Decision,
        body: Vec<u8>,
    ) -> Result<Kept, GatewayError> {
        let id = decision.id();
        Ok(self.store.append(lane, move |tx: &mut Tx<'_>| {
            tx.stage(&decision.record)?;
            once.keep(tx, Answer { body: body.clone(), decision: Some(id) })
        })?)
    }

    /// As [`Self::answer_refusal`], where the answer has no field for a refusal.
    pub(super) fn refuse<T>(&self, once: Once, lane: &str, decision: &Decision) -> Result<T, GatewayError> {
        self.record_refusal(once, lane, decision, GatewayError::refused(decision))?;
        Err(GatewayError::refused(decision))
    }

    /// Keeps for this request, too, what the same bytes were answered before. Its effect is durable already.
    pub(super) fn keep_again(&self, once: Once, lane: &str, answer: Answer) -> Result<Kept, GatewayError> {
        if once.0.is_none() {
            return Ok(Kept(answer.reply()?));
        }
        Ok(self.store.append(lane, move |tx: &mut Tx<'_>| once.keep(tx, answer.clone()))?)
    }

    /// Keeps what another provider has answered. It is not told before: who repeats the request then has it passed on
    /// under the same key.
    pub(super) async fn keep_passed_on(
        &self,
        once: Once,
        lane: &str,
        answer: impl Shown + Clone + Send + 'static,
    ) -> Result<Kept, GatewayError> {
        let kept = self.store.write_async(lane, move |tx: &mut Tx<'_>| once.keep(tx, answer.clone()));
        Ok(kept.await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_comes_back_from_the_database_as_it_was_and_nothing_else_does() {
        for content in Content::ALL {
            let reply = Reply { status: 201, content, decision: Some(Uuid::from_u128(7)), body: b"body".to_vec() };
            let stored = pack(&[9; 32], &reply);
            assert_eq!(unpack(stored.clone()), Some(([9; 32], reply)));
            let cut = StoredAnswer { body: stored.body[..32].to_vec(), ..stored.clone() };
            assert_eq!(unpack(cut), None);
            let unknown = StoredAnswer { body: [&[3], &stored.body[1..]].concat(), ..stored };
            assert_eq!(unpack(unknown), None);
        }
    }

    #[test]
    fn a_request_is_passed_on_under_a_key_of_its_own_that_every_repetition_has() {
        let key = |scope: u8, body: &[u8], at| Once::named([scope; 32], body, Millis(at), |_| None).passed_on();
        assert_eq!(key(1, b"body", 1), key(1, b"body", 2));
        assert_ne!(key(1, b"body", 1), key(1, b"other", 1));
        assert_ne!(key(1, b"body", 1), key(2, b"body", 1));
        assert_eq!(Once::unnamed().passed_on(), None);
    }
}
