use std::collections::BTreeMap;

use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use diesel::{Connection, QueryableByName, RunQueryDsl};
use portcullis::config::Config;
use portcullis::server::store_options;
use portcullis_core::wire::Wire;
use portcullis_core::wire::notify::FanoutMessage;
use portcullis_core::wire::uri::ClientUri;
use portcullis_store::audit::{AuditEntry, Filter, Outcome, entries};
use portcullis_store::events::{self, Event, EventKind};
use portcullis_store::streams::{self, StreamRow};
use portcullis_store::{Conn, Options, Store, StoreError};

use super::{cluster, room};

/// More than any test writes.
const ALL: u32 = 100_000;

/// What a gateway has made durable, seen past it.
pub(crate) struct Database {
    url: String,
    options: Options,
}

impl Database {
    pub(super) fn new(config: &Config) -> Self {
        Self { url: config.database.clone(), options: store_options(config).unwrap() }
    }

    fn sqlite(&self) -> SqliteConnection {
        let mut conn = SqliteConnection::establish(self.url.strip_prefix("sqlite:").unwrap()).unwrap();
        conn.batch_execute("PRAGMA busy_timeout = 10000").unwrap();
        conn
    }

    /// Does what somebody with access to the SQLite file could do.
    pub(crate) fn sql(&self, statements: &str) {
        self.sqlite().batch_execute(statements).unwrap();
    }

    /// Has everything staged from now on, as if another process held the heads, until [`Self::free_heads`].
    pub(crate) fn hold_heads(&self) {
        self.sql("UPDATE heads SET name = 'held ' || name");
    }

    /// Lets the sequencer go on.
    pub(crate) fn free_heads(&self) {
        self.sql("UPDATE heads SET name = replace(name, 'held ', '')");
    }

    /// The number that a query gives.
    pub(crate) fn number(&self, query: &str) -> i64 {
        let query = format!("SELECT ({query}) AS number");
        if self.url.starts_with("postgres:") {
            return cluster::number(&self.url, &query);
        }
        diesel::sql_query(query).get_result::<Number>(&mut self.sqlite()).unwrap().number
    }

    /// What stands in each table of an SQLite file, but in those whose names begin so.
    pub(crate) fn contents(&self, but: &[&str]) -> BTreeMap<String, Vec<String>> {
        let mut conn = self.sqlite();
        let mut texts = |query: String| -> Vec<String> {
            let rows: Vec<Text> = diesel::sql_query(query).load(&mut conn).unwrap();
            rows.into_iter().map(|row| row.text).collect()
        };
        let mut tables = texts("SELECT name AS text FROM sqlite_master WHERE type = 'table'".to_owned());
        tables.retain(|table| !but.iter().any(|but| table.starts_with(but)));
        let read = |table: String| {
            let columns =
                texts(format!("SELECT 'quote(\"' || name || '\")' AS text FROM pragma_table_info('{table}')"));
            let rows = texts(format!("SELECT {} AS text FROM {table} ORDER BY 1", columns.join(" || ', ' || ")));
            (table, rows)
        };
        tables.into_iter().map(read).collect()
    }

    /// Rows that some worker has still to do something with.
    pub(crate) fn waiting(&self) -> i64 {
        self.number(
            "(SELECT count(*) FROM audit_stage) + (SELECT count(*) FROM stream_stage) \
             + (SELECT count(*) FROM outbox_lanes WHERE status = 0 AND (head < tail OR lease_until > 0)) \
             + (SELECT count(*) FROM consent_lanes WHERE owed > 0 OR lease_until > 0)",
        )
    }

    /// On a thread of its own, because the store blocks.
    fn read<T: Send>(&self, job: impl FnOnce(&mut Conn) -> Result<T, StoreError> + Send) -> T {
        let read = || Store::open(&self.url, &self.options).unwrap().read(job).unwrap();
        std::thread::scope(|scope| scope.spawn(read).join().unwrap())
    }

    /// The audit log.
    pub(crate) fn entries(&self) -> Vec<AuditEntry> {
        self.read(|conn| entries(conn, &Filter { limit: ALL, ..Filter::default() }))
    }

    /// What the room's hub has accepted.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.read(|conn| events::range(conn, &room(), 0, ALL))
    }

    /// The stream of a device.
    pub(crate) fn stream(&self, device: &ClientUri) -> Vec<StreamRow> {
        self.read(|conn| streams::read(conn, device, 0, ALL))
    }

    /// How often a request with this hash has taken effect, and how often its acceptance is on the record.
    pub(crate) fn effects(&self, exchange: [u8; 32]) -> (usize, usize) {
        let events = self.events().iter().filter(|event| event.event.message_hash == exchange).count();
        let allowed =
            |entry: &&AuditEntry| entry.record.exchange == Some(exchange) && entry.record.outcome == Outcome::Allow;
        (events, self.entries().iter().filter(allowed).count())
    }

    /// The audit log has every position once, and no record of a broken chain.
    pub(crate) fn assert_gapless(&self) {
        let entries = self.entries();
        let positions: Vec<u64> = entries.iter().map(|entry| entry.seq).collect();
        assert_eq!(positions, (0..entries.len() as u64).collect::<Vec<_>>());
        let gaps: Vec<_> = entries.iter().filter(|entry| entry.record.kind == "audit.gap").collect();
        assert!(gaps.is_empty(), "{gaps:?}");
    }

    /// Of each epoch there is at most one commit, and they follow each other.
    pub(crate) fn assert_one_commit_per_epoch(&self) {
        let commits: Vec<u64> = self.events().iter().filter(is_commit).map(|event| event.event.epoch).collect();
        assert_eq!(commits, (0..commits.len() as u64).collect::<Vec<_>>());
    }

    /// What the hub has accepted from the first event of the device on, the Welcomes of others excepted, came to the device once, in the hub's order,
    /// byte by byte.
    pub(crate) fn assert_delivered(&self, device: &ClientUri, at: &Self) {
        let payloads: Vec<Vec<u8>> = at.stream(device).into_iter().map(|row| row.item.payload).collect();
        let first = payloads.first();
        let owed = self.events().into_iter().map(|event| event.event);
        let owed = owed.skip_while(|event| Some(&event.fanout) != first);
        let owed = owed.filter(|event| event.kind != EventKind::Welcome || Some(&event.fanout) == first);
        let owed: Vec<Vec<u8>> = owed.map(|event| event.fanout).collect();
        let hashes = |all: &[Vec<u8>]| -> Vec<[u8; 32]> {
            all.iter().map(|fanout| FanoutMessage::decode(fanout).unwrap().body.message().hash()).collect()
        };
        assert_eq!(hashes(&payloads), hashes(&owed));
        assert_eq!(payloads, owed);
        let mut times = BTreeMap::new();
        payloads.iter().for_each(|payload| *times.entry(payload).or_insert(0) += 1);
        assert!(times.values().all(|times| *times == 1), "something came twice");
    }
}

fn is_commit(event: &&Event) -> bool {
    event.event.kind == EventKind::Commit
}

#[derive(QueryableByName)]
struct Text {
    #[diesel(sql_type = diesel::sql_types::Text)]
    text: String,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}
