use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use diesel::Connection;
use diesel::connection::SimpleConnection;
use diesel::sqlite::SqliteConnection;

use crate::StoreError;
use crate::conn::{Conn, Kind};
use crate::presence::Register;

/// A database file.
#[derive(Clone)]
pub(crate) struct Sqlite {
    path: PathBuf,
}

impl Sqlite {
    pub(crate) fn new(path: &str) -> Self {
        Self { path: Path::new(path).to_owned() }
    }

    /// A connection that writes: a commit is on the disk when it returns. What it has written goes from the log into the
    /// database itself after 32 MiB, so that a page that changes often is written there once.
    pub(crate) fn writer(&self) -> Result<Conn, StoreError> {
        self.connect("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 8000;")
    }

    /// A connection that cannot write.
    pub(crate) fn reader(&self) -> Result<Conn, StoreError> {
        self.connect("PRAGMA query_only = ON;")
    }

    /// Whoever holds this opens the database while others that start wait: SQLite refuses rather than waits when two
    /// change a new file's journal mode, and looks up what is to be migrated before it locks.
    pub(crate) fn turn(&self) -> Result<File, StoreError> {
        let mut path = self.path.clone().into_os_string();
        path.push("-opening");
        let file =
            OpenOptions::new().create(true).append(true).open(path).map_err(|error| StoreError::Open(error.into()))?;
        file.lock().map_err(|error| StoreError::Open(error.into()))?;
        Ok(file)
    }

    /// The file by which processes on this database know of each other.
    pub(crate) fn register(&self) -> Result<Register, StoreError> {
        Register::open(&self.path)
    }

    fn connect(&self, pragmas: &str) -> Result<Conn, StoreError> {
        let path = self.path.to_str().ok_or_else(|| StoreError::Open("path is not UTF-8".into()))?;
        let mut conn = SqliteConnection::establish(path).map_err(|error| StoreError::Open(error.into()))?;
        conn.batch_execute("PRAGMA busy_timeout = 10000; PRAGMA foreign_keys = ON;")?;
        conn.batch_execute(pragmas)?;
        Ok(Conn::new(Kind::Sqlite(conn)))
    }
}
