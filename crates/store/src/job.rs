//! What a write lane runs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::{StoreError, Tx};

/// A job whose types are known only to its caller.
pub(crate) trait Job: Send {
    /// What it is about.
    fn key(&self) -> &Arc<str>;

    /// Whether it reads nothing of what is kept back ([`Later`]).
    fn only_appends(&self) -> bool;

    /// Runs it and keeps its result. Tells whether its effects are wanted.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;

    /// Makes `error` its result, unless it failed by itself: then it keeps its own reason.
    fn fail(&mut self, error: StoreError);

    /// Hands the result to the caller.
    fn answer(self: Box<Self>);
}

/// A job with its types.
pub(crate) struct Typed<F, T, E> {
    pub(crate) key: Arc<str>,
    pub(crate) only_appends: bool,
    pub(crate) job: F,
    pub(crate) result: Option<Result<T, E>>,
    pub(crate) reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Job for Typed<F, T, E>
where
    F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn key(&self) -> &Arc<str> {
        &self.key
    }

    fn only_appends(&self) -> bool {
        self.only_appends
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        self.result = Some(match catch_unwind(AssertUnwindSafe(|| (self.job)(tx))) {
            Ok(Ok(_)) if tx.unaudited() => {
                Err(StoreError::AuditUnavailable("job went on without its audit record".into()).into())
            }
            Ok(result) => result,
            Err(_) => Err(StoreError::Panicked.into()),
        });
        matches!(self.result, Some(Ok(_)))
    }

    fn fail(&mut self, error: StoreError) {
        if !matches!(self.result, Some(Err(_))) {
            self.result = Some(Err(error.into()));
        }
    }

    fn answer(self: Box<Self>) {
        let Self { job, result, reply, key: _, only_appends: _ } = *self;
        drop(job); // what it holds is given back before anybody can know that it is done
        if let Some(result) = result {
            // A caller that went away does not undo what is durable.
            let _ = reply.send(result);
        }
    }
}
