use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::connection::{
    AnsiTransactionManager, Connection, SimpleConnection, TransactionDepthChange, TransactionManager,
    TransactionManagerStatus,
};
use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error, QueryResult};
use diesel::sqlite::SqliteConnection;
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::{AsyncConnectionWrapper, BlockOn};

use crate::driver::Driver;
use crate::effects::Effects;
use crate::fixed::{Bind, fixed};
use crate::listen::CHANNEL;
use crate::turn::{Bounds, Turn};
use crate::vault::Vault;

/// After this time a lock is held for long: transactions of others take a few milliseconds.
const LONG: Duration = Duration::from_millis(100);

/// Types one body, which answers a `QueryResult`, for both databases, and notes what went wrong.
macro_rules! db {
    ($conn:expr, |$c:ident| $body:expr) => {{
        let answer = match ($conn.begin_now(), &mut $conn.kind) {
            (Err(error), _) => Err(error),
            (Ok(()), $crate::conn::Kind::Sqlite(conn)) => {
                let $c = conn;
                $body
            }
            (Ok(()), $crate::conn::Kind::Postgres(conn)) => {
                let $c = &mut **conn;
                $body
            }
        };
        $conn.note(answer)
    }};
}

pub(crate) type PgConn = AsyncConnectionWrapper<AsyncPgConnection, Driver>;

pub(crate) enum Kind {
    Sqlite(SqliteConnection),
    Postgres(Link),
}

/// A connection to PostgreSQL, and what drives it.
pub(crate) struct Link {
    conn: Box<PgConn>,
    driver: Driver,
}

impl Link {
    pub(crate) fn new(conn: AsyncPgConnection, driver: Driver) -> Self {
        Self { conn: Box::new(driver.offer(|| PgConn::from(conn))), driver }
    }
}

impl Link {
    /// Tells diesel of a transaction that it did not begin or end itself.
    fn change_depth(&mut self, change: TransactionDepthChange) -> QueryResult<()> {
        type Manager = <PgConn as Connection>::TransactionManager;
        match Manager::transaction_manager_status_mut(&mut self.conn) {
            TransactionManagerStatus::Valid(status) => status.change_transaction_depth(change),
            TransactionManagerStatus::InError => Err(Error::BrokenTransactionManager),
        }
    }
}

impl Deref for Link {
    type Target = PgConn;

    fn deref(&self) -> &PgConn {
        &self.conn
    }
}

impl DerefMut for Link {
    fn deref_mut(&mut self) -> &mut PgConn {
        &mut self.conn
    }
}

/// A connection to either database, inside a transaction that the store opened.
pub struct Conn {
    pub(crate) kind: Kind,
    /// The keys under which some of what is read and written is sealed.
    pub(crate) vault: Option<Arc<Vault>>,
    /// The transaction is to begin with the first that is asked in it.
    unbegun: bool,
    trouble: Trouble,
    erred: bool,
    /// Since when its transaction runs, where it gives up on locks that others hold for long ([`Self::hurry`]).
    hurries: Option<Instant>,
}

/// The worst that went wrong on a connection since [`Conn::take_trouble`] was last asked. Jobs have errors of their own
/// kinds, so that a lane cannot tell from those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// Nothing, or what another try would not change: violated constraints, which are answers, and statements or values
    /// that the database does not take.
    None,
    /// Somebody else was in the way, by a lock or a snapshot: worth another try.
    Retry,
    /// Somebody holds a lock for longer than a connection waits that hurries.
    Held,
    /// The connection is gone.
    Broken,
}

impl Conn {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, vault: None, unbegun: false, trouble: Trouble::None, erred: false, hurries: None }
    }

    pub(crate) fn note<T>(&mut self, answer: QueryResult<T>) -> QueryResult<T> {
        answer.inspect_err(|error| self.see(error))
    }

    fn see(&mut self, error: &Error) {
        let long = self.hurries.is_some_and(|since| since.elapsed() >= LONG);
        let severity = if long && is_held(error) { Trouble::Held } else { severity(error) };
        self.trouble = self.trouble.max(severity);
        self.erred = true;
    }

    /// Sends statements together. They take effect in their order, or one fails: tells which.
    pub(crate) fn send(&mut self, turn: &Turn<'_>) -> Result<(), (usize, Error)> {
        if turn.len() == 0 {
            return Ok(());
        }
        self.begin_now().map_err(|error| (0, error))?;
        self.send_within(turn, Bounds::default())
    }

    /// As [`Self::send`], and begins the transaction with it where that was not done yet. For questions alone: if the server
    /// does not begin it, they are asked outside of it.
    pub(crate) fn ask_first(&mut self, turn: &Turn<'_>) -> QueryResult<()> {
        let bounds = Bounds { begins: std::mem::take(&mut self.unbegun), ..Bounds::default() };
        self.send_within(turn, bounds).map_err(|(_, error)| error)
    }

    fn send_within(&mut self, turn: &Turn<'_>, bounds: Bounds) -> Result<(), (usize, Error)> {
        let sent = match &mut self.kind {
            Kind::Sqlite(conn) => turn.run(conn),
            Kind::Postgres(link) => link.driver.block_on(turn.send(&link.conn, bounds)),
        };
        sent.inspect_err(|(_, error)| self.see(error))
    }

    /// Sends statements of a transaction that has begun, and commits behind them: all of them take effect, or none.
    pub(crate) fn finish(&mut self, turn: &Turn<'_>, before_commit: impl FnOnce()) -> QueryResult<()> {
        let finished = match &mut self.kind {
            Kind::Sqlite(conn) => turn.run(conn).map_err(|(_, error)| error).and_then(|()| {
                before_commit();
                commit(conn)
            }),
            Kind::Postgres(link) => {
                before_commit();
                let bounds = Bounds { commits: true, ..Bounds::default() };
                match link.driver.block_on(turn.send(&link.conn, bounds)) {
                    Ok(()) => link.change_depth(TransactionDepthChange::DecreaseDepth),
                    Err((_, error)) => Err(error),
                }
            }
        };
        self.note(finished)
    }

    /// Writes all of them, or fails.
    pub(crate) fn write(&mut self, effects: Effects<'_>) -> QueryResult<()> {
        let mut turn = Turn::default();
        turn.add_some(effects);
        self.send(&turn).map_err(|(_, error)| error)
    }

    /// Whether a statement has failed since this was last asked: PostgreSQL then takes no other before a rollback.
    pub(crate) fn take_erred(&mut self) -> bool {
        std::mem::take(&mut self.erred)
    }

    /// As [`Self::take_trouble`], and leaves it there.
    pub(crate) fn trouble(&self) -> Trouble {
        self.trouble
    }

    pub(crate) fn take_trouble(&mut self) -> Trouble {
        std::mem::replace(&mut self.trouble, Trouble::None)
    }

    /// Lets it give up on a lock that somebody else holds for long; SQLite has only one, for which its writers take turns.
    pub(crate) fn hurry(&mut self) -> QueryResult<()> {
        if let Kind::Postgres(link) = &mut self.kind {
            link.batch_execute(&format!("SET lock_timeout = {}", LONG.as_millis()))?;
            self.hurries = Some(Instant::now());
        }
        Ok(())
    }

    /// Has the server end the session when nothing comes in a transaction for so long: a host that is gone would keep rooms
    /// and heads from everybody else, until the kernel of the server notices after hours.
    pub(crate) fn end_when_abandoned(&mut self, after: Duration) -> QueryResult<()> {
        let (millis, seconds) = (after.as_millis(), after.as_secs().max(1));
        if let Kind::Postgres(link) = &mut self.kind {
            link.batch_execute(&format!(
                "SET idle_in_transaction_session_timeout = {millis}; SET tcp_user_timeout = {millis}; \
                 SET tcp_keepalives_idle = {seconds}; SET tcp_keepalives_interval = {seconds}; SET tcp_keepalives_count = 2"
            ))?;
        }
        Ok(())
    }

    /// Takes the connection for gone, whatever was wrong with it.
    pub(crate) fn give_up(&mut self) {
        self.trouble = Trouble::Broken;
    }

    /// Opens a transaction that takes SQLite's only write lock at once, so that it never fails half-way for the lock. A
    /// server is told with the first statement.
    pub(crate) fn begin_write(&mut self) -> QueryResult<()> {
        let begun = match &mut self.kind {
            Kind::Sqlite(conn) => AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN IMMEDIATE"),
            Kind::Postgres(link) => link.change_depth(TransactionDepthChange::IncreaseDepth),
        };
        self.unbegun = begun.is_ok() && matches!(self.kind, Kind::Postgres(_));
        self.hurries = self.hurries.map(|_| Instant::now());
        self.note(begun)
    }

    /// Begins the transaction if nothing was asked in it yet.
    pub(crate) fn begin_now(&mut self) -> QueryResult<()> {
        let begun = match &mut self.kind {
            Kind::Postgres(link) if self.unbegun => link.batch_execute("BEGIN"),
            Kind::Sqlite(_) | Kind::Postgres(_) => Ok(()),
        };
        self.unbegun &= begun.is_err();
        self.note(begun)
    }

    /// Opens a transaction that sees one snapshot.
    pub(crate) fn begin_read(&mut self) -> QueryResult<()> {
        match &mut self.kind {
            Kind::Sqlite(conn) => begin(conn),
            Kind::Postgres(conn) => {
                begin(&mut **conn)?;
                conn.batch_execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            }
        }
    }

    /// Opens a savepoint inside the transaction; ended by [`Self::commit`] or [`Self::rollback`].
    pub(crate) fn savepoint(&mut self) -> QueryResult<()> {
        db!(self, |c| begin(c))
    }

    /// Tells other processes `message` once this transaction is committed; SQLite has only one.
    pub(crate) fn announcement<'m>(&self, message: Option<&'m str>) -> Effects<'m> {
        let mut told = Effects::default();
        if let (Kind::Postgres(_), Some(message)) = (&self.kind, message) {
            let parts = &["SELECT pg_notify(", ", ", ")"];
            told.add(fixed::<()>(parts, [Bind::Text(CHANNEL), Bind::Text(message)]));
        }
        told
    }

    pub(crate) fn commit(&mut self) -> QueryResult<()> {
        db!(self, |c| commit(c))
    }

    pub(crate) fn rollback(&mut self) -> QueryResult<()> {
        db!(self, |c| rollback(c))
    }

    /// Leaves any transaction that is still open. Tells whether the connection is good for another.
    pub(crate) fn abandon(&mut self) -> bool {
        match &mut self.kind {
            Kind::Sqlite(conn) => abandon(conn),
            Kind::Postgres(link) if std::mem::take(&mut self.unbegun) => {
                link.change_depth(TransactionDepthChange::DecreaseDepth).is_ok()
            }
            Kind::Postgres(link) => abandon(&mut **link),
        }
    }
}

fn severity(error: &Error) -> Trouble {
    match error {
        Error::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => Trouble::Retry,
        Error::DatabaseError(DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection, _)
        | Error::BrokenTransactionManager => Trouble::Broken,
        Error::DatabaseError(DatabaseErrorKind::Unknown, told) if is_locked(&**told) => Trouble::Retry,
        _ => Trouble::None,
    }
}

/// diesel has no kind for these, and keeps the codes of PostgreSQL to itself. A deadlock there is the one that names the
/// processes and points to the server's log, in whatever language; SQLite speaks English.
fn is_locked(told: &(dyn DatabaseErrorInformation + Send + Sync)) -> bool {
    let deadlock = told.details().is_some() && told.hint().is_some() && told.table_name().is_none();
    deadlock || ["locked", "lock timeout"].iter().any(|words| told.message().contains(words))
}

/// PostgreSQL says of a lock that was not to be had in time only this, in its own language. What is taken for it and is
/// something else fails where nobody hurries, for its own reason.
fn is_held(error: &Error) -> bool {
    let Error::DatabaseError(DatabaseErrorKind::Unknown, told) = error else { return false };
    let more = (told.details(), told.hint(), told.table_name(), told.statement_position());
    more == (None, None, None, None)
}

fn begin<C: Connection>(conn: &mut C) -> QueryResult<()> {
    C::TransactionManager::begin_transaction(conn)
}

fn commit<C: Connection>(conn: &mut C) -> QueryResult<()> {
    C::TransactionManager::commit_transaction(conn)
}

fn rollback<C: Connection>(conn: &mut C) -> QueryResult<()> {
    C::TransactionManager::rollback_transaction(conn)
}

fn abandon<C: Connection>(conn: &mut C) -> bool {
    loop {
        match C::TransactionManager::transaction_manager_status_mut(conn).transaction_depth() {
            Ok(None) => return true,
            Ok(Some(_)) if rollback(conn).is_ok() => {}
            Ok(Some(_)) | Err(_) => return false,
        }
    }
}
