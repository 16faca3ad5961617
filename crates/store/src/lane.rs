//! A write lane: a thread with one connection that groups waiting jobs into one transaction (correction C-11).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::aside::{Held, Turns};
use crate::audit::known::Known;
use crate::audit::writer::{Identity, Writer};
use crate::changes::{Changes, Touched};
use crate::conn::Trouble;
use crate::failpoint::failpoint;
use crate::job::{Job, Typed};
use crate::later::{Later, Stop, Then};
use crate::store::Database;
use crate::{Conn, Options, StoreError, Tx};

/// Key of the lane that gives positions, apart from all rooms.
pub const SEQUENCER: &str = "sequencer";

/// Runs of a job that the database asks to try again.
const TRIES: u32 = 8;

/// Before the second run, and twice as long before each further one: whoever won the deadlock gets out of the way.
const PAUSE: Duration = Duration::from_millis(5);

/// How long a job waits for a lock that somebody else holds before its caller is told to come again.
const PATIENCE: Duration = Duration::from_secs(20);

/// The sending end; the thread ends when all of them are dropped.
#[derive(Clone)]
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
        waits: Waits,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = sync_channel(options.queue);
        let waiting = Arc::new(AtomicUsize::new(0));
        let identity = Identity { origin: options.origin.clone(), engine: options.engine.clone() };
        let mut worker = Worker {
            conn: None,
            writer: Writer::new(identity, known)?,
            database,
            changes,
            abandoned_after: options.abandoned_after,
            most: options.batch.get(),
            waiting: Arc::clone(&waiting),
            waits: Arc::new(waits),
        };
        worker.conn = Some(worker.connect()?);
        std::thread::Builder::new()
            .name("store-lane".to_owned())
            .spawn(move || worker.run(&queue))
            .map_err(|error| StoreError::Open(error.into()))?;
        Ok(Self { jobs, waiting })
    }

    pub(crate) fn send<T, E, F>(
        &self,
        key: &str,
        only_appends: bool,
        job: F,
    ) -> Result<oneshot::Receiver<Result<T, E>>, StoreError>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Typed { key: key.into(), only_appends, job, result: None, reply };
        self.queue(Box::new(job)).map(|()| answer).map_err(|(error, _)| error)
    }

    /// Lets a job wait for its turn, or gives it back.
    fn queue(&self, job: Box<dyn Job>) -> Result<(), (StoreError, Box<dyn Job>)> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.jobs.try_send(job).map_err(|refused| {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            match refused {
                TrySendError::Full(job) => (StoreError::Busy, job),
                TrySendError::Disconnected(job) => (StoreError::Closed, job),
            }
        })
    }

    /// Jobs that wait or run.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// What a lane does about a lock that somebody else holds.
pub(crate) enum Waits {
    /// It waits.
    Always,
    /// It hands jobs that are held up to the lane beside it, and those of their keys after them.
    NotLong(Arc<Held>, Lane),
    /// It is that lane, where keys take turns until they get their lock.
    ForOthers(Arc<Held>),
}

impl Waits {
    /// Gives a job back unless others of its key were handed over: then it follows them.
    fn pass(&self, job: Box<dyn Job>) -> Option<Box<dyn Job>> {
        match self {
            Self::NotLong(held, _) if held.has(job.key()) => self.hand_over(job),
            _ => Some(job),
        }
    }

    /// Gives a job back that has to wait here.
    fn hand_over(&self, job: Box<dyn Job>) -> Option<Box<dyn Job>> {
        let Self::NotLong(held, beside) = self else { return Some(job) };
        held.add(job.key());
        if let Err((error, mut job)) = beside.queue(job) {
            held.done(job.key());
            job.fail(error);
            job.answer();
        }
        None
    }
}

/// The jobs of one transaction: those that ran, and those that come while they run.
struct Batch<'q> {
    jobs: Vec<Box<dyn Job>>,
    /// Where more come from; `None` for a job that is tried again, alone.
    queue: Option<&'q Queue<'q>>,
    most: usize,
}

/// Where a lane's jobs come from.
struct Queue<'q> {
    jobs: &'q Receiver<Box<dyn Job>>,
    waits: &'q Waits,
    waiting: &'q AtomicUsize,
}

impl Queue<'_> {
    /// The next one that is not handed over, if it is there.
    fn next(&self) -> Option<Box<dyn Job>> {
        self.jobs.try_iter().find_map(|job| self.pass(job))
    }

    fn pass(&self, job: Box<dyn Job>) -> Option<Box<dyn Job>> {
        self.counted(self.waits.pass(job))
    }

    fn hand_over(&self, job: Box<dyn Job>) -> Option<Box<dyn Job>> {
        self.counted(self.waits.hand_over(job))
    }

    /// What is handed over waits here no longer.
    fn counted(&self, left: Option<Box<dyn Job>>) -> Option<Box<dyn Job>> {
        if left.is_none() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        left
    }
}

impl Batch<'_> {
    /// The job of this number, once it is there.
    fn job(&mut self, number: usize) -> Option<&mut Box<dyn Job>> {
        if number == self.jobs.len() && number < self.most {
            self.jobs.extend(self.queue.and_then(Queue::next));
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
            self.close();
        }
        closes
    }

    /// Takes no more jobs.
    fn close(&mut self) {
        self.most = 0;
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
    /// It is undone: somebody else holds for long what it wants.
    Held(StoreError),
    /// Nothing was tried: the database cannot be reached.
    Unreachable(StoreError),
    /// Nobody knows.
    Unknown,
}

struct Worker {
    conn: Option<Conn>,
    writer: Writer,
    database: Arc<Database>,
    changes: Arc<Changes>,
    abandoned_after: Duration,
    most: usize,
    waiting: Arc<AtomicUsize>,
    waits: Arc<Waits>,
}

impl Worker {
    fn connect(&self) -> Result<Conn, StoreError> {
        let mut conn = self.database.writer()?;
        conn.end_when_abandoned(self.abandoned_after)?;
        if !matches!(*self.waits, Waits::Always) {
            conn.hurry()?;
        }
        Ok(conn)
    }

    fn run(mut self, jobs: &Receiver<Box<dyn Job>>) {
        if matches!(*self.waits, Waits::ForOthers(_)) {
            return self.run_beside(jobs);
        }
        let (waits, waiting) = (Arc::clone(&self.waits), Arc::clone(&self.waiting));
        let queue = Queue { jobs, waits: &waits, waiting: &waiting };
        while let Ok(first) = jobs.recv() {
            if let Some(first) = queue.pass(first) {
                self.group(first, &queue);
            }
        }
    }

    /// Tries the jobs of many keys in turn, one in a transaction, so that no key waits for the lock of another.
    fn run_beside(mut self, jobs: &Receiver<Box<dyn Job>>) {
        let mut turns = Turns::default();
        loop {
            if turns.is_empty() {
                let Ok(job) = jobs.recv() else { return };
                turns.add(Arc::clone(job.key()), (Instant::now(), job));
            }
            jobs.try_iter().for_each(|job| turns.add(Arc::clone(job.key()), (Instant::now(), job)));
            let Some((since, job)) = turns.next() else { continue };
            let (end, mut tried) = self.try_alone(job);
            match (end, tried.pop()) {
                (End::Held(_), Some(job)) if since.elapsed() < PATIENCE => {
                    turns.again(Arc::clone(job.key()), (since, job));
                }
                (End::Held(_), Some(job)) => self.settle(End::Held(StoreError::Busy), vec![job]),
                (end, job) => self.settle(end, job.into_iter().collect()),
            }
        }
    }

    /// Runs `first` and what comes to `queue` meanwhile in one transaction; when that fails, each of them in its own.
    fn group(&mut self, first: Box<dyn Job>, queue: &Queue<'_>) {
        let mut batch = Batch { jobs: vec![first], queue: Some(queue), most: self.most };
        match self.attempt(&mut batch) {
            End::Undone(_) | End::Held(_) => {}
            end => return self.settle(end, batch.jobs),
        }
        for job in batch.jobs {
            if let Some(job) = queue.pass(job) {
                self.alone(job, queue);
            }
        }
    }

    fn alone(&mut self, job: Box<dyn Job>, queue: &Queue<'_>) {
        let (end, mut jobs) = self.try_alone(job);
        if matches!(end, End::Held(_)) {
            jobs = jobs.into_iter().filter_map(|job| queue.hand_over(job)).collect();
        }
        self.settle(end, jobs);
    }

    /// Runs a job in a transaction of its own, again and again while that may help.
    fn try_alone(&mut self, job: Box<dyn Job>) -> (End, Vec<Box<dyn Job>>) {
        let mut alone = Batch { jobs: vec![job], queue: None, most: 1 };
        let mut end = self.attempt(&mut alone);
        for tried in 1..TRIES {
            if !matches!(end, End::Undone(_)) {
                break;
            }
            pause(PAUSE * 2_u32.pow(tried - 1));
            end = self.attempt(&mut alone);
        }
        (end, alone.jobs)
    }

    fn settle(&mut self, end: End, mut batch: Vec<Box<dyn Job>>) {
        match end {
            End::Done(touched) => self.changes.signal(touched),
            End::Undone(error) | End::Held(error) | End::Unreachable(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "transaction failed and was undone");
                let mut reason = Some(error); // there is one job here but where nothing was tried
                batch.iter_mut().for_each(|job| job.fail(reason.take().unwrap_or(StoreError::Undone)));
            }
            End::Unknown => {
                tracing::error!("connection broke during a commit, its outcome is unknown");
                self.changes.signal(Touched::all());
                self.changes.tell(Touched::all());
                batch.iter_mut().for_each(|job| job.fail(StoreError::CommitUnknown));
            }
        }
        self.waiting.fetch_sub(batch.len(), Ordering::Relaxed);
        for job in batch {
            if let Waits::ForOthers(held) = &*self.waits {
                held.done(job.key());
            }
            job.answer();
        }
    }

    fn attempt(&mut self, batch: &mut Batch<'_>) -> End {
        let mut conn = match self.conn.take().map_or_else(|| self.connect(), Ok) {
            Ok(conn) => conn,
            Err(error) => return End::Unreachable(error),
        };
        let start = self.writer.mark();
        let outcome = transact(&mut conn, &mut self.writer, &self.changes, batch);
        let trouble = conn.take_trouble();
        let broken = trouble == Trouble::Broken;
        // A server that goes down may have committed and say that it is going down.
        let usable = !broken && conn.abandon();
        let end = match outcome {
            Ok(touched) => End::Done(touched),
            Err(Stop::Before(error)) => {
                self.writer.reset(start);
                if trouble == Trouble::Held { End::Held(error) } else { End::Undone(error) }
            }
            Err(Stop::Commit(_)) if !usable => {
                self.writer.renew(); // whether its last records exist is unknown, so its chain ends here
                End::Unknown
            }
            Err(Stop::Commit(error)) => {
                self.writer.reset(start);
                if trouble == Trouble::Held { End::Held(error) } else { End::Undone(error) }
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
            if later.takes_head() {
                batch.close();
            }
            let then = if batch.close_after(number) { Then::Last } else { Then::More };
            match later.flush(conn, writer, then) {
                Ok(written) => changed.join(written),
                Err(Stop::Before(error) | Stop::Commit(error)) => {
                    batch.fail(number, error);
                    keep = false;
                }
            }
        }
        if conn.trouble() != Trouble::None {
            return Err(Stop::Before(StoreError::Undone));
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
