use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use diesel::{Connection, QueryableByName, RunQueryDsl};
use portcullis_store::{Options, Store};
use tempfile::TempDir;

use super::cluster::Cluster;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// An empty database of one test.
pub(crate) struct Db {
    pub(crate) url: String,
    _dir: Option<TempDir>,
}

impl Db {
    pub(crate) fn sqlite() -> Self {
        let dir = TempDir::new().unwrap();
        let url = format!("sqlite://{}", dir.path().join("store.db").display());
        Self { url, _dir: Some(dir) }
    }

    pub(crate) fn postgres() -> Self {
        let cluster = Cluster::shared();
        let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        postgres_sql(&cluster.url("postgres"), &format!("CREATE DATABASE {name}"));
        Self { url: cluster.url(&name), _dir: None }
    }

    /// Opens a store; each stands for another process.
    pub(crate) fn open(&self) -> Store {
        Store::open(&self.url, &Options::default()).unwrap()
    }

    /// Does what somebody with access to the database could do.
    pub(crate) fn sql(&self, statements: &str) {
        match self.path() {
            Some(path) => sqlite(path).batch_execute(statements).unwrap(),
            None => postgres_sql(&self.url, statements),
        }
    }

    /// The number that a query gives.
    pub(crate) fn number(&self, query: &str) -> i64 {
        match self.path() {
            Some(path) => {
                let query = format!("SELECT ({query}) AS number");
                diesel::sql_query(query).get_result::<Number>(&mut sqlite(path)).unwrap().number
            }
            None => with_postgres(&self.url, async |client| client.query_one(query, &[]).await.unwrap().get(0)),
        }
    }

    fn path(&self) -> Option<&str> {
        self.url.strip_prefix("sqlite://")
    }
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// A transaction that has run these statements, and holds what they lock until the sender is dropped.
pub(crate) fn hold(db: &Db, statements: &str) -> (Sender<()>, JoinHandle<()>) {
    let (url, statements) = (db.url.clone(), format!("BEGIN; {statements}"));
    let (held, holds) = channel();
    let (release, released) = channel::<()>();
    let holding = std::thread::spawn(move || {
        with_postgres(&url, async |client| {
            client.batch_execute(&statements).await.unwrap();
            held.send(()).unwrap();
            let _ = released.recv();
        });
    });
    holds.recv().unwrap();
    (release, holding)
}

/// A connection that waits for a store that was dropped and is still closing its own.
fn sqlite(path: &str) -> SqliteConnection {
    let mut conn = SqliteConnection::establish(path).unwrap();
    conn.batch_execute("PRAGMA busy_timeout = 10000").unwrap();
    conn
}

fn postgres_sql(url: &str, statements: &str) {
    with_postgres(url, async |client| client.batch_execute(statements).await.unwrap());
}

fn with_postgres<T>(url: &str, job: impl AsyncFnOnce(&tokio_postgres::Client) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, driver) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        let driver = tokio::spawn(driver);
        let answer = job(&client).await;
        drop(client);
        driver.await.unwrap().unwrap();
        answer
    })
}
