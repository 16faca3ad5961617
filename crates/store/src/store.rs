use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::{oneshot, watch};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::aside::Held;
use crate::audit::known::Known;
use crate::changes::{Changes, Topic};
use crate::lane::{Lane, SEQUENCER, Waits};
use crate::migrate::migrate;
use crate::pool::Pool;
use crate::postgres::Postgres;
use crate::presence::{self, Register};
use crate::sqlite::Sqlite;
use crate::vault::Vault;
use crate::{Conn, Options, StoreError, Tx};

/// Key of the write lane on which leases are freed.
const OUTBOX: &str = "outbox";

/// The database. Clones share everything; the last one to go ends the lanes.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    /// The only lane of SQLite; the sequencer's on PostgreSQL.
    first: Lane,
    rest: Vec<Lane>,
    /// Takes over from the rest what waits for long.
    beside: Option<Lane>,
    readers: Pool,
    changes: Arc<Changes>,
    database: Arc<Database>,
    busy: AtomicU64,
    /// Says on SQLite that this process lives.
    presence: OnceLock<Register>,
}

/// A job that waits for its lane, or runs there; it goes on when nobody waits for it any more.
pub struct Queued<T, E = StoreError>(oneshot::Receiver<Result<T, E>>);

impl<T, E: From<StoreError>> Queued<T, E> {
    /// Returns once the effects of the job are durable.
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    pub async fn done(self) -> Result<T, E> {
        let done = async { self.0.await.unwrap_or_else(|_| Err(StoreError::Closed.into())) };
        done.instrument(tracing::info_span!("store.write")).await
    }
}

/// Which database a store is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseKind {
    /// One file, one process.
    Sqlite,
    /// A server, any number of processes.
    Postgres,
}

pub(crate) struct Database {
    engine: Engine,
    vault: Option<Arc<Vault>>,
}

enum Engine {
    Sqlite(Sqlite),
    Postgres(Box<Postgres>),
}

impl Database {
    /// The database of an address.
    pub(crate) fn at(url: &str, options: &Options) -> Result<Self, StoreError> {
        let vault = options.wrapping.clone().map(|wrapping| Arc::new(Vault::new(wrapping)));
        Ok(Self { engine: Engine::at(url, options)?, vault })
    }

    pub(crate) fn writer(&self) -> Result<Conn, StoreError> {
        let conn = match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.writer()?,
            Engine::Postgres(postgres) => postgres.connect()?,
        };
        Ok(self.equipped(conn))
    }

    fn equipped(&self, mut conn: Conn) -> Conn {
        conn.vault.clone_from(&self.vault);
        conn
    }

    fn prepare(&self) -> Result<(), StoreError> {
        let _turn = match &self.engine {
            Engine::Sqlite(sqlite) => Some(sqlite.turn()?),
            Engine::Postgres(_) => None,
        };
        migrate(&mut self.writer()?)
    }

    pub(crate) fn reader(&self) -> Result<Conn, StoreError> {
        let conn = match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.reader()?,
            Engine::Postgres(postgres) => postgres.connect()?,
        };
        Ok(self.equipped(conn))
    }
}

impl Engine {
    fn at(url: &str, options: &Options) -> Result<Self, StoreError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(Box::new(Postgres::new(url, options.postgres_roots.as_deref())?)));
        }
        match url.strip_prefix("sqlite:") {
            Some(path) => Ok(Self::Sqlite(Sqlite::new(path.strip_prefix("//").unwrap_or(path)))),
            None => Err(StoreError::Open("address starts with neither `sqlite:` nor `postgres://`".into())),
        }
    }
}

impl Store {
    /// Opens `sqlite://path`, `sqlite:path` or `postgres://…`, brings the schema up to date and starts the write lanes.
    /// Blocks.
    ///
    /// # Errors
    ///
    /// [`StoreError::Open`] and [`StoreError::Migrate`].
    pub fn open(url: &str, options: &Options) -> Result<Self, StoreError> {
        let database = Arc::new(Database::at(url, options)?);
        let more = match &database.engine {
            Engine::Sqlite(_) => 0,
            Engine::Postgres(_) => options.lanes.get(),
        };
        let changes = Arc::new(Changes::new());
        database.prepare()?;
        if let Engine::Postgres(postgres) = &database.engine {
            postgres.listen(&changes)?;
        }
        let known = Arc::new(Known::default());
        let start =
            |waits| Lane::start(Arc::clone(&database), Arc::clone(&changes), Arc::clone(&known), options, waits);
        let first = start(Waits::Always)?;
        let held = Arc::new(Held::default());
        let beside = if more == 0 { None } else { Some(start(Waits::ForOthers(Arc::clone(&held)))?) };
        let waits = beside.iter().cycle().map(|beside| Waits::NotLong(Arc::clone(&held), beside.clone()));
        let rest = waits.take(more).map(start).collect::<Result<_, _>>()?;
        let readers = Pool::new(options.readers.get());
        Ok(Self {
            shared: Arc::new(Shared {
                first,
                rest,
                beside,
                readers,
                changes,
                database,
                busy: AtomicU64::new(0),
                presence: OnceLock::new(),
            }),
        })
    }

    /// Runs `job` on one snapshot of the database. Blocks: not for async code.
    ///
    /// # Errors
    ///
    /// Those of `job`, and [`StoreError`] when there is no connection.
    pub fn read<T, E: From<StoreError>>(&self, job: impl FnOnce(&mut Conn) -> Result<T, E>) -> Result<T, E> {
        self.shared.readers.read(|| self.shared.database.reader(), job)
    }

    /// As [`Self::read`], for a job of one statement, which sees one snapshot by itself and so costs one turn.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn read_one<T, E: From<StoreError>>(&self, job: impl FnOnce(&mut Conn) -> Result<T, E>) -> Result<T, E> {
        self.shared.readers.lend(|| self.shared.database.reader(), job)
    }

    /// Runs `job` on the write lane of `key`, usually the room, and returns once its effects are durable. Blocks: not
    /// for async code.
    ///
    /// Jobs of one key run one after the other in this process. A job's error undoes that job alone. A job may run more
    /// than once, when the database asks to try again: only its last run counts, so it must have no effects outside.
    ///
    /// # Errors
    ///
    /// Those of `job`, [`StoreError::Busy`] when the queue is full, and those of the commit.
    pub fn write<T, E, F>(&self, key: &str, job: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.run(key, false, job)
    }

    /// As [`Self::write`], for a job that does no more than accept messages into rooms, owe and stream them, keep answers
    /// and stage records, and reads none of that: what many such jobs do goes to the database together.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub fn append<T, E, F>(&self, key: &str, job: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.run(key, true, job)
    }

    fn run<T, E, F>(&self, key: &str, only_appends: bool, job: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        tracing::info_span!("store.write").in_scope(|| {
            let answer = self.send(key, only_appends, job)?;
            answer.blocking_recv().unwrap_or_else(|_| Err(StoreError::Closed.into()))
        })
    }

    /// As [`Self::write`], for async code.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub async fn write_async<T, E, F>(&self, key: &str, job: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        Queued(self.send(key, false, job)?).done().await
    }

    /// As [`Self::append`], without waiting: jobs of one key run in the order in which they were queued.
    ///
    /// # Errors
    ///
    /// [`StoreError::Busy`] when too many wait, [`StoreError::Closed`] when the store is.
    pub fn queue_append<T, E, F>(&self, key: &str, job: F) -> Result<Queued<T, E>, StoreError>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.send(key, true, job).map(Queued)
    }

    fn send<T, E, F>(
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
        let sent = self.lane(key).send(key, only_appends, job);
        if matches!(sent, Err(StoreError::Busy)) {
            self.shared.busy.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }

    /// Whether group states, events and KeyPackages are sealed in it.
    pub fn seals(&self) -> bool {
        self.shared.database.vault.is_some()
    }

    /// Jobs that wait for a write lane or run on one.
    pub fn waiting(&self) -> usize {
        let Shared { first, rest, beside, .. } = &*self.shared;
        std::iter::once(first).chain(rest).chain(beside).map(Lane::waiting).sum()
    }

    /// How often [`StoreError::Busy`] was the answer since the store was opened.
    pub fn busy(&self) -> u64 {
        self.shared.busy.load(Ordering::Relaxed)
    }

    /// Names this process in leases.
    pub fn process(&self) -> Uuid {
        self.shared.changes.process()
    }

    /// Lets other processes see that this one lives, until it ends: for one that takes leases, before it takes any. Ends
    /// the leases of those that do not live, and gives their number. Blocks.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the database, and [`StoreError::Open`] when the file beside it cannot be locked.
    pub fn appear(&self) -> Result<usize, StoreError> {
        let Engine::Sqlite(sqlite) = &self.shared.database.engine else { return self.write(OUTBOX, presence::free) };
        let register = sqlite.register()?;
        let freed = if register.alone()? { self.write(OUTBOX, presence::free)? } else { 0 };
        register.join()?;
        let _ = self.shared.presence.set(register); // one that stands there already says the same
        Ok(freed)
    }

    /// Ends the leases of processes that do not live, and gives their number. Blocks.
    ///
    /// # Errors
    ///
    /// As [`Self::appear`].
    pub fn free_leases(&self) -> Result<usize, StoreError> {
        let Engine::Sqlite(sqlite) = &self.shared.database.engine else { return self.write(OUTBOX, presence::free) };
        let register = sqlite.register()?;
        if register.alone()? { self.write(OUTBOX, presence::free) } else { Ok(0) }
    }

    /// Which database it is.
    pub fn kind(&self) -> DatabaseKind {
        match self.shared.database.engine {
            Engine::Sqlite(_) => DatabaseKind::Sqlite,
            Engine::Postgres(_) => DatabaseKind::Postgres,
        }
    }

    /// A counter that moves after each commit that touched `topic`: of this process, and on PostgreSQL of the others. A
    /// hint, which a lost connection can delay: look again now and then.
    pub fn changes(&self, topic: Topic) -> watch::Receiver<u64> {
        self.shared.changes.of(topic).subscribe()
    }

    /// Jobs of one key share a lane. The sequencer has its own where there are several: it holds the lock on the heads
    /// until its transaction ends, and must not do so while it waits for a room.
    fn lane(&self, key: &str) -> &Lane {
        let Shared { first, rest, .. } = &*self.shared;
        if key == SEQUENCER {
            return first;
        }
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % (rest.len().max(1) as u64)).unwrap_or(0);
        rest.get(at).unwrap_or(first)
    }
}
