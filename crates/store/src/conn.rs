use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use diesel::connection::{AnsiTransactionManager, Connection, InstrumentationEvent, TransactionManager};
use diesel::result::{DatabaseErrorKind, Error, QueryResult};
use diesel::sqlite::SqliteConnection;
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;

/// Types one body for both databases.
macro_rules! db {
    ($conn:expr, |$c:ident| $body:expr) => {
        match &mut $conn.kind {
            $crate::conn::Kind::Sqlite($c) => $body,
            $crate::conn::Kind::Postgres($c) => $body,
        }
    };
}

pub(crate) type PgConn = AsyncConnectionWrapper<AsyncPgConnection>;

pub(crate) enum Kind {
    Sqlite(SqliteConnection),
    Postgres(PgConn),
}

/// A connection to either database, inside a transaction that the store opened.
pub struct Conn {
    pub(crate) kind: Kind,
    trouble: Arc<AtomicU8>,
}

/// What went wrong on a connection since [`Conn::take_trouble`] was last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// Nothing but violated constraints, which are answers.
    None,
    /// A deadlock, a serialization failure or something unknown: worth another try.
    Retry,
    /// The connection is gone.
    Broken,
}

impl Conn {
    pub(crate) fn new(mut kind: Kind) -> Self {
        let trouble = Arc::new(AtomicU8::new(0));
        let seen = Arc::clone(&trouble);
        let watch = move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::FinishQuery { error: Some(error), .. } = event {
                seen.fetch_max(severity(error) as u8, Ordering::Relaxed);
            }
        };
        match &mut kind {
            Kind::Sqlite(conn) => conn.set_instrumentation(watch),
            Kind::Postgres(conn) => conn.set_instrumentation(watch),
        }
        Self { kind, trouble }
    }

    pub(crate) fn take_trouble(&mut self) -> Trouble {
        match self.trouble.swap(0, Ordering::Relaxed) {
            0 => Trouble::None,
            1 => Trouble::Retry,
            _ => Trouble::Broken,
        }
    }

    /// Opens a transaction that takes SQLite's only write lock at once, so that it never fails half-way for the lock.
    pub(crate) fn begin_write(&mut self) -> QueryResult<()> {
        match &mut self.kind {
            Kind::Sqlite(conn) => AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN IMMEDIATE"),
            Kind::Postgres(conn) => begin(conn),
        }
    }

    /// Opens a transaction that sees one snapshot.
    pub(crate) fn begin_read(&mut self) -> QueryResult<()> {
        use diesel::connection::SimpleConnection;
        match &mut self.kind {
            Kind::Sqlite(conn) => begin(conn),
            Kind::Postgres(conn) => {
                begin(conn)?;
                conn.batch_execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            }
        }
    }

    /// Opens a savepoint inside the transaction; ended by [`Self::commit`] or [`Self::rollback`].
    pub(crate) fn savepoint(&mut self) -> QueryResult<()> {
        db!(self, |c| begin(c))
    }

    pub(crate) fn commit(&mut self) -> QueryResult<()> {
        db!(self, |c| commit(c))
    }

    pub(crate) fn rollback(&mut self) -> QueryResult<()> {
        db!(self, |c| rollback(c))
    }

    /// Leaves any transaction that is still open. Tells whether the connection is good for another.
    pub(crate) fn abandon(&mut self) -> bool {
        db!(self, |c| abandon(c))
    }
}

fn severity(error: &Error) -> Trouble {
    match error {
        Error::DatabaseError(
            DatabaseErrorKind::UniqueViolation
            | DatabaseErrorKind::ForeignKeyViolation
            | DatabaseErrorKind::NotNullViolation
            | DatabaseErrorKind::CheckViolation
            | DatabaseErrorKind::ReadOnlyTransaction,
            _,
        ) => Trouble::None,
        Error::DatabaseError(DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection, _)
        | Error::BrokenTransactionManager => Trouble::Broken,
        Error::DatabaseError(..) => Trouble::Retry,
        _ => Trouble::None,
    }
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
