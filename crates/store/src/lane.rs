//! A write lane: a thread with one connection that groups waiting jobs into one transaction (correction C-11).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::audit::known::Known;
use crate::audit::writer::{Identity, Writer};
use crate::changes::{Changes, Touched};
use crate::conn::Trouble;
use crate::failpoint::failpoint;
use crate::later::{Later, Stop, Then};
use crate::store::Database;
use crate::{Conn, Options, StoreError, Tx};

/// Key of the lane that gives positions, apart from all rooms.
pub const SEQUENCER: &str = "sequencer";

/// Runs of a job that the database asks to try again.
const TRIES: u32 = 8;

/// Before the second run, and twice as long before each further one: whoever won the deadlock gets out of the way.
const PAUSE: Duration = Duration::from_millis(5);

/// The sending end; the thread ends when it is dropped.
pub(crate) struct Lane {
    jobs: SyncSender<Box<dyn Job>>,
    /// Jobs that wait or run.
    waiting: Arc<AtomicUsize>,
}

impl Lane {
    pub(crate) fn start(
        database: Arc<Database>,
        changes: Arc<Changes>,
        known: Arc<Known>,
        options: &Options,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = sync_channel(options.queue);
        let waiting = Arc::new(AtomicUsize::new(0));
        let identity = Identity { origin: options.origin.clone(), engine: options.engine.clone() };
        let worker = Worker {
            conn: Some(database.writer()?),
            writer: Writer::new(identity, known)?,
            database,
            changes,
            most: options.batch.get(),
            waiting: Arc::clone(&waiting),
        };
        std::thread::Builder::new()
            .name("store-lane".to_owned())
            .spawn(move || worker.run(&queue))
            .map_err(|error| StoreError::Open(error.into()))?;
        Ok(Self { jobs, waiting })
    }

    pub(crate) fn send<T, E, F>(
        &self,
        only_appends: bool,
        job: F,
    ) -> Result<oneshot::Receiver<Result<T, E>>, StoreError>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let sent = match self.jobs.try_send(Box::new(Typed { only_appends, job, result: None, reply })) {
            Ok(()) => Ok(answer),
            Err(TrySendError::Full(_)) => Err(StoreError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(StoreError::Closed),
        };
        if sent.is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        sent
    }

    /// Jobs that wait or run.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// A job whose types are known only to its caller.
trait Job: Send {
    /// Whether it reads nothing of what is kept back ([`Later`]).
    fn only_appends(&self) -> bool;

    /// Runs it and keeps its result. Tells whether its effects are wanted.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;

    /// Makes `error` its result, unless it failed by itself: then it keeps its own reason.
    fn fail(&mut self, error: StoreError);

    /// Hands the result to the caller.
    fn answer(self: Box<Self>);
}

struct Typed<F, T, E> {
    only_appends: bool,
    job: F,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Job for Typed<F, T, E>
where
    F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
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
        let Self { job, result, reply, only_appends: _ } = *self;
        drop(job); // what it holds is given back before anybody can know that it is done
        if let Some(result) = result {
            // A caller that went away does not undo what is durable.
            let _ = reply.send(result);
        }
    }
}

/// The jobs of one transaction: those that ran, and those that come while they run.
struct Batch<'q> {
    jobs: Vec<Box<dyn Job>>,
    /// Where more come from; `None` for a job that is tried again, alone.
    queue: Option<&'q Receiver<Box<dyn Job>>>,
    most: usize,
}

impl Batch<'_> {
    /// The job of this number, once it is there.
    fn job(&mut self, number: usize) -> Option<&mut Box<dyn Job>> {
        if number == self.jobs.len() && number < self.most {
            self.jobs.extend(self.queue.and_then(|queue| queue.try_recv().ok()));
        }
        self.jobs.get_mut(number)
    }

    fn fail(&mut self, number: usize, error: StoreError) {
        if let Some(job) = self.jobs.get_mut(number) {
            job.fail(error);
        }
    }

    /// Takes no more jobs if none has come after that number, and tells whether that is so.
    fn close_after(&mut self, number: usize) -> bool {
        let closes = self.job(number + 1).is_none();
        if closes {
            self.most = 0;
        }
        closes
    }

    /// Whether this is a job that is tried again, alone.
    fn is_retried(&self) -> bool {
        self.queue.is_none()
    }
}

/// How a transaction ended.
enum End {
    /// It is durable; or the one job in it failed and nothing was to be committed.
    Done(Touched),
    /// It is undone, and trying again may help.
    Undone(StoreError),
    /// Nobody knows.
    Unknown,
}

struct Worker {
    conn: Option<Conn>,
    writer: Writer,
    database: Arc<Database>,
    changes: Arc<Changes>,
    most: usize,
    waiting: Arc<AtomicUsize>,
}

impl Worker {
    fn run(mut self, queue: &Receiver<Box<dyn Job>>) {
        while let Ok(first) = queue.recv() {
            let jobs = self.group(first, queue);
            self.waiting.fetch_sub(jobs, Ordering::Relaxed);
        }
    }

    /// Runs `first` and what comes to `queue` meanwhile in one transaction; when that fails, each of them in its own. Gives
    /// their number.
    fn group(&mut self, first: Box<dyn Job>, queue: &Receiver<Box<dyn Job>>) -> usize {
        let mut batch = Batch { jobs: vec![first], queue: Some(queue), most: self.most };
        let end = self.attempt(&mut batch);
        let jobs = batch.jobs.len();
        if !matches!(end, End::Undone(_)) {
            self.settle(end, batch.jobs);
            return jobs;
        }
        for job in batch.jobs {
            let mut alone = Batch { jobs: vec![job], queue: None, most: 1 };
            let mut end = self.attempt(&mut alone);
            for tried in 1..TRIES {
                if !matches!(end, End::Undone(_)) {
                    break;
                }
                pause(PAUSE * 2_u32.pow(tried - 1));
                end = self.attempt(&mut alone);
            }
            self.settle(end, alone.jobs);
        }
        jobs
    }

    fn settle(&mut self, end: End, mut batch: Vec<Box<dyn Job>>) {
        match end {
            End::Done(touched) => self.changes.signal(touched),
            End::Undone(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "transaction failed and was undone");
                let mut reason = Some(error); // there is only ever one job here
                batch.iter_mut().for_each(|job| job.fail(reason.take().unwrap_or(StoreError::Undone)));
            }
            End::Unknown => {
                tracing::error!("connection broke during a commit, its outcome is unknown");
                batch.iter_mut().for_each(|job| job.fail(StoreError::CommitUnknown));
            }
        }
        batch.into_iter().for_each(Job::answer);
    }

    fn attempt(&mut self, batch: &mut Batch<'_>) -> End {
        let mut conn = match self.conn.take().map_or_else(|| self.database.writer(), Ok) {
            Ok(conn) => conn,
            Err(error) => return End::Undone(error),
        };
        let start = self.writer.mark();
        let outcome = transact(&mut conn, &mut self.writer, &self.changes, batch);
        let broken = conn.take_trouble() == Trouble::Broken;
        // A server that goes down may have committed and say that it is going down.
        let usable = !broken && conn.abandon();
        let end = match outcome {
            Ok(touched) => End::Done(touched),
            Err(Stop::Before(error)) => {
                self.writer.reset(start);
                End::Undone(error)
            }
            Err(Stop::Commit(_)) if !usable => {
                self.writer.renew(); // whether its last records exist is unknown, so its chain ends here
                End::Unknown
            }
            Err(Stop::Commit(error)) => {
                self.writer.reset(start);
                End::Undone(error)
            }
        };
        if usable {
            self.conn = Some(conn); // any other connection is dropped, and its transaction with it
        }
        end
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "another replica holds what this lane wants, and nothing else to wait for"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn transact(conn: &mut Conn, writer: &mut Writer, changes: &Changes, batch: &mut Batch<'_>) -> Result<Touched, Stop> {
    let before = |error: diesel::result::Error| Stop::Before(error.into());
    let mut touched = Touched::default();
    let mut wanted = false;
    let mut only_appends = true;
    let mut later = Later::default();
    let retried = batch.is_retried();
    conn.begin_write().map_err(before)?;
    for number in 0.. {
        let Some(job) = batch.job(number) else { break };
        // All that such a job does is kept back, so that there is nothing to save or to undo. When writing it fails all are
        // undone, and each is told its own failure when it is tried again.
        let kept_back = !retried && job.only_appends();
        only_appends &= kept_back;
        if !kept_back {
            touched.join(later.flush(conn, writer, Then::More)?);
        }
        let mark = (writer.mark(), later.mark());
        conn.take_erred();
        if !kept_back {
            conn.savepoint().map_err(before)?;
        }
        let mut tx = Tx::new(conn, writer, &mut later);
        let mut keep = job.run(&mut tx);
        let mut changed = tx.touched();
        if keep && !kept_back {
            let then = if batch.close_after(number) { Then::Last } else { Then::More };
            match later.flush(conn, writer, then) {
                Ok(written) => changed.join(written),
                Err(Stop::Before(error) | Stop::Commit(error)) => {
                    batch.fail(number, error);
                    keep = false;
                }
            }
        }
        match conn.take_trouble() {
            Trouble::None => {}
            Trouble::Retry | Trouble::Broken => return Err(Stop::Before(StoreError::Undone)),
        }
        if keep {
            touched.join(changed);
            wanted = true;
        } else {
            writer.reset(mark.0);
            later.reset(mark.1);
        }
        match (kept_back, keep) {
            (true, _) if conn.take_erred() => return Err(Stop::Before(StoreError::Undone)),
            (true, _) => {}
            (false, true) => conn.commit().map_err(before)?,
            (false, false) => conn.rollback().map_err(before)?,
        }
    }
    if !wanted {
        conn.rollback().map_err(before)?;
        return Ok(touched);
    }
    // Of messages others are told soon after, of many transactions at once: a commit that tells them costs as much as a
    // message, and nobody waits for these on another replica who does not look again by himself.
    touched.join(later.flush(conn, writer, Then::End((!only_appends).then_some(changes), touched))?);
    if only_appends {
        changes.tell(touched);
    }
    if !touched.is_empty() {
        failpoint("lane.after_commit");
    }
    Ok(touched)
}
