use diesel::backend::Backend;
use diesel::connection::SimpleConnection;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::StoreError;
use crate::conn::{Conn, Kind};

pub(crate) const SQLITE: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");
pub(crate) const POSTGRES: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");

/// Key of the advisory lock under which replicas that start together take turns.
const LOCK: i64 = 0x506f_7274_6375_6c6c;

/// Brings the schema up to date. On SQLite for one that holds the [`turn`](crate::sqlite::Sqlite::turn).
pub(crate) fn migrate(conn: &mut Conn) -> Result<(), StoreError> {
    match &mut conn.kind {
        Kind::Sqlite(conn) => run(conn, SQLITE),
        Kind::Postgres(conn) => {
            conn.batch_execute(&format!("SELECT pg_advisory_lock({LOCK})"))?;
            let outcome = run(&mut **conn, POSTGRES);
            conn.batch_execute(&format!("SELECT pg_advisory_unlock({LOCK})"))?;
            outcome
        }
    }
}

fn run<DB: Backend>(conn: &mut impl MigrationHarness<DB>, migrations: EmbeddedMigrations) -> Result<(), StoreError> {
    conn.run_pending_migrations(migrations).map(drop).map_err(StoreError::Migrate)
}
